"""Points run in one process after another: within limits, and tried again where a process dies.

The same on this machine and in a worker of a cluster, so that what comes out is the same too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Final

from pystack.core.errors import PystackError
from pystack.experiments.model import Ended, Limits, Outcome, Point
from pystack.experiments.running.framing import Message

if TYPE_CHECKING:
    from pystack.experiments.running.processes import Child, Crew

_SHORT_S: Final = 0.25  # runs that are shorter are handed out one ahead, so that nobody waits


class RunningError(PystackError):
    """A sweep cannot go on; what is done is kept."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a run has cost, which is another each time."""

    wall_s: float
    cpu_s: float
    peak_bytes: int  # the most memory that its process has had; 0: unknown
    attempts: int  # how often it was tried
    where: str = ""  # the worker of a cluster; "": this machine

    def to_json(self) -> dict[str, object]:
        """Return it by its names; `asdict` copies deeply, and took as long as to write it down."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Done:
    """A run that has ended, one way or another."""

    point: Point
    outcome: Outcome
    timing: Timing

    def at(self, where: str) -> Done:
        """Return it with the worker of a cluster that ran it."""
        return replace(self, timing=replace(self.timing, where=where))


@dataclass(slots=True)
class _Given:
    """A point that a process has."""

    point: Point
    attempts: int = 0  # that have failed


class Supervisor:
    """Has one process, and puts another in its place as needed. For one thread."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._child: Child | None = None  # None: there is none at present
        self._wall_s = 0.0  # what a run takes, by and by; 0: no run has ended yet

    def run(self, points: Iterable[Point], deliver: Callable[[Done], object]) -> None:
        """Run points, and deliver what they come to; ends early if the crew stops.

        Raises RunningError where no process can read the experiment.
        """
        source = iter(points)
        given: deque[_Given] = deque()  # the first is being run, or was when its process died
        while not self._crew.is_stopping:
            self._hand_out(source, given)
            if not given:
                return
            assert self._child is not None
            message = self._child.receive(given[0].point.number, is_last=len(given) == 1)
            if self._crew.is_stopping and message is None:
                return
            done = self._gone(given[0]) if message is None else self._came(given[0], message)
            if done is not None:
                given.popleft()
                deliver(done)

    def close(self) -> None:
        """End its process."""
        if self._child is not None:
            self._crew.dismiss(self._child)
            self._child = None

    def _hand_out(self, source: Iterable[Point], given: deque[_Given]) -> None:
        if self._child is None and given:  # those that another one had
            self._child = self._start()
            for each in given:
                self._child.send(each.point)
        ahead = 2 if 0 < self._wall_s < _SHORT_S else 1
        while len(given) < ahead:
            point = next(iter(source), None)
            if point is None:
                return
            if self._child is None:
                self._child = self._start()
            given.append(_Given(point))
            self._child.send(point)

    def _start(self) -> Child:
        for attempt in count(1):
            child = self._crew.start()
            if child.is_ready() or self._crew.is_stopping:
                break
            words, how = child.last_words(), child.how_it_ended()
            self._crew.dismiss(child)
            # Killed, by the kernel for lack of memory say, or stopped: it may be tried again.
            if child.was_killed and attempt < self._crew.limits.attempts:
                continue
            raise RunningError(
                f"a process for the runs {how} before it had read the experiment"
                + (f': "{words}"' if words else "")
            )
        return child

    def _came(self, given: _Given, message: Message) -> Done:
        """Take what a process says of a run."""
        head = message.head
        assert self._child is not None
        series = message.body if head["has_series"] else None
        error, ended = self._child.everywhere(head["error"]), head["ended"]
        if ended == "memory_limit":
            error = _what(ended, self._crew.limits)
        elif ended != "ok" and (words := self._child.words_of(head["words"])):
            error = f'{error}; it printed last: "{words}"'
        outcome = Outcome(ended, error, head["measures"], series, head["digest"])
        timing = Timing(head["wall_s"], head["cpu_s"], head["peak_bytes"], given.attempts + 1)
        self._wall_s = timing.wall_s if not self._wall_s else (self._wall_s + timing.wall_s) / 2
        # With what the point has left behind; or it was at its limit, and ended as it said so. The
        # next point has no share in that, and finds a new one.
        if head["left"] or self._child.why is not None:
            self.close()
        return Done(given.point, outcome, timing)

    def _gone(self, given: _Given) -> Done | None:
        """Say what became of a run whose process is dead; None: it is to be tried again."""
        child, limits = self._child, self._crew.limits
        assert child is not None
        how, words, peak_bytes = child.how_it_ended(), child.last_words(), child.peak_bytes
        why, wall_s = child.why, child.run_s
        self.close()
        given.attempts += 1
        ended: Ended = "died"
        if why in ("time_limit", "memory_limit"):
            ended = why
        elif given.attempts < limits.attempts:
            return None
        error = _what(ended, limits, how)
        if words:
            error = f'{error}; it printed last: "{words}"'
        timing = Timing(wall_s, 0.0, peak_bytes, given.attempts)
        return Done(given.point, Outcome(ended, error), timing)


def _what(ended: Ended, limits: Limits, how: str = "") -> str:
    """Say what befell a run, in words that are the same wherever it ran."""
    match ended:
        case "time_limit":
            return f"took longer than its limit of {limits.time_s:g} s"
        case "memory_limit":
            return f"needed more memory than its limit of {limits.memory_bytes / 2**20:g} MiB"
        case _:
            times = (
                "in its only attempt"
                if limits.attempts == 1
                else (f"in each of {limits.attempts} attempts")
            )
            return f"its process {how}, {times}"
