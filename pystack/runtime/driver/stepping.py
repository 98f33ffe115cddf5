"""One event at a time: what comes next on the heap, in words, and letting just that happen."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from pystack.core.scheduler import Scheduler
from pystack.observe.summary import summarize
from pystack.wire.frame import Frame

Kind = Literal["frame", "timer", "work", "deadline", "nothing"]

# What an event of a module is for; others are called by their functions.
_TIMERS: Final[Mapping[str, str]] = {
    "tcp_table": "a timer of a TCP connection",
    "time_wait": "the end of TIME-WAIT",
    "neighbors": "a timer of a neighbour",
    "groups": "a report about multicast groups",
    "own_addresses": "an address is tried out",
    "autoconf": "what routers have said runs out, or is asked for",
    "advertise": "a router's advertisement",
    "fragments": "fragments that never became whole",
    "transmit": "a transmitter is free again",
    "lookups": "a name look-up",
    "timeline": "the timeline",
    "topology": "addresses and routes for what is new",
    "host": "a host",
    "port": "the loopback",
}


@dataclass(frozen=True, slots=True)
class Stepped:
    """One event that happened by itself, while time stood still otherwise."""

    at: float  # the world's time
    kind: Kind
    what: str  # in words
    frame: Frame | None = None  # None: it was none

    def __str__(self) -> str:
        """Return it as a line."""
        return f"{self.at:.6f} {self.kind}: {self.what}"


def run_one(
    scheduler: Scheduler, deadline: float, run: Callable[..., object] | None = None
) -> Stepped:
    """Let the next event happen, or time go on to Trio's next deadline; return which it was.

    `run` runs a function with its arguments, in the context of events; None: here.
    """
    next_at = scheduler.next_at()
    if next_at == math.inf == deadline:
        return Stepped(scheduler.now, "nothing", "nothing is to happen any more")
    run_due = (
        scheduler.run_due
        if run is None
        else lambda *args, **more: run(scheduler.run_due, *args, **more)
    )
    if next_at > deadline:
        run_due(deadline)
        return Stepped(deadline, "deadline", "a program has waited for long enough")
    step = _upcoming(scheduler, next_at)
    run_due(next_at, _at_once, to_the_end=False)
    return step


def _upcoming(scheduler: Scheduler, next_at: float) -> Stepped:
    found = scheduler.upcoming()
    if found is None:
        return Stepped(next_at, "work", "what was put off to the end of the event before")
    fn, argument = found
    frame = _frame_of(argument)
    if frame is not None:
        return Stepped(next_at, "frame", f"arrives: {summarize(frame)}", frame)
    return Stepped(next_at, "timer", _name_of(fn))


def _frame_of(argument: object) -> Frame | None:
    """Return the frame that an event is about: itself, in a box, or with more about its way."""
    if isinstance(argument, Frame):
        return argument
    if isinstance(argument, Sequence) and argument:
        return next((part for part in argument if isinstance(part, Frame)), None)
    inner = getattr(argument, "frame", None)
    return inner if isinstance(inner, Frame) else None


def _name_of(fn: object) -> str:
    function = getattr(fn, "func", fn)  # of a partial
    module = str(getattr(function, "__module__", "")).rpartition(".")[2]
    name = str(getattr(function, "__qualname__", type(function).__name__))
    return _TIMERS.get(module) or name.replace(".<locals>", "").replace(".<lambda>", "")


def _at_once() -> bool:
    return True
