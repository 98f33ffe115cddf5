"""A stage: one toxic in the way of the bytes of one direction of a connection.

Stages are linked, and push: what one hands on the next takes at once, as far as it has room. What
it has no room for stays, and `room` is called, from the end to the beginning, when there is some
again. So nothing grows without bound: a stage that is full takes nothing, and then the socket is
not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Final, Protocol

from pystack.apps.proxy.toxics.spec import ToxicSpec, number
from pystack.core.scheduler import Handle, Scheduler

# What a stage takes when it is not its business to hold data: a read of Toxiproxy's.
STAGE_BYTES: Final = 32 << 10

Data = memoryview


class Taker(Protocol):
    """What data are handed to: a stage, or the end of the chain."""

    @property
    def room_bytes(self) -> int:
        """Return how much it takes now."""
        ...

    def take(self, data: Data, now: float) -> None:
        """Take at most `room_bytes`."""
        ...

    def end(self, now: float) -> None:
        """Be told that nothing more comes."""
        ...


class Giver(Protocol):
    """What data come from: a stage, or the beginning of the chain."""

    def room(self, now: float) -> None:
        """Be told that what comes next has room again."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What a stage has of its chain."""

    scheduler: Scheduler
    rng: Random  # of this stage alone
    close: Callable[[float], None]  # the end that is to come ends the whole connection
    reset: Callable[[float], None]  # a reset of the whole connection, now


class Stage:
    """A stage that hands on all it takes, at once. Toxics are its subclasses."""

    limit_bytes: ClassVar[int] = STAGE_BYTES

    __slots__ = (
        "_flushing",
        "_is_full",
        "around",
        "ended",
        "held_bytes",
        "next",
        "passed",
        "previous",
        "ready",
        "spec",
    )

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        self.around = around
        self.spec = spec
        self.next: Taker
        self.previous: Giver
        self.ready: deque[Data] = deque()  # to be handed on, as soon as there is room
        self.held_bytes = 0  # of what was taken, and is not handed on
        self.ended = False  # it takes nothing more
        self.passed = False  # and has told the next so
        self._flushing = False
        self._is_full = False  # the previous one waits for room

    # what its chain does with it

    def begin(self, now: float) -> None:
        """Start what runs from its beginning."""

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Work by other attributes from now on (`self.spec` has the old ones still)."""

    def leave(self, now: float) -> None:
        """Put all that it holds into `ready`, and let no timer run: the toxic is removed."""

    def forget(self) -> None:
        """Hold nothing, take nothing, and let no timer run: the connection is over."""
        self.ended = self.passed = True
        self.ready.clear()

    # what its neighbours do with it

    @property
    def room_bytes(self) -> int:
        """Return how much it takes now."""
        return max(self.limit_bytes - self.held_bytes, 0)

    def take(self, data: Data, now: float) -> None:
        """Take data, unless it has said itself that this was the end."""
        if not self.ended:
            self.held_bytes += len(data)
            self.accept(data, now)
            self._is_full = not self.room_bytes

    def end(self, now: float) -> None:
        """Hand on the end, after all that it holds."""
        self.ended = True
        self.flush(now)

    def room(self, now: float) -> None:
        """Hand on what is ready."""
        self.flush(now)

    # what toxics are made of

    def accept(self, data: Data, now: float) -> None:
        """Do with data what the toxic does."""
        self.pass_on(data, now)

    @property
    def is_idle(self) -> bool:
        """Tell whether it holds nothing back: nothing that is not ready yet, and not the end."""
        return True

    def pass_on(self, data: Data, now: float) -> None:
        """Hand data on, now or when there is room."""
        self.ready.append(data)
        self.flush(now)

    def flush(self, now: float) -> None:
        """Hand on what is ready, as far as there is room, and then the end."""
        if self._flushing:
            return  # the loop further out goes on
        self._flushing = True
        ready, following = self.ready, self.next
        while ready and (room := following.room_bytes):
            data = ready.popleft()
            if len(data) > room:
                ready.appendleft(data[room:])
                data = data[:room]
            self.held_bytes -= len(data)
            following.take(data, now)
        self._flushing = False
        if self.ended:
            if not ready and not self.passed and self.is_idle:
                self.passed = True
                following.end(now)
        elif self._is_full and self.room_bytes:
            self._is_full = False
            self.previous.room(now)

    def finish(self, now: float) -> None:
        """Take no more, and let the whole connection be closed when the end gets through."""
        self.around.close(now)
        if not self.passed:
            self.end(now)

    def number(self, name: str) -> float:
        """Return an attribute."""
        return number(self.spec.attributes, name)


class Timed(Stage):
    """A stage with a timer."""

    __slots__ = ("_timer",)

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._timer: Handle | None = None  # None: it does not run

    def due(self, now: float) -> None:
        """Be told that the timer has run down."""
        raise NotImplementedError

    def arm(self, when: float) -> None:
        """Let the timer run down at `when`, instead of whenever it would have."""
        self.disarm()
        self._timer = self.around.scheduler.call_at(when, self._run_down)

    def arm_next(self, when: float) -> None:
        """Do the same, but not before the driver's next turn: others go first."""
        self.disarm()
        handle = self._timer = Handle(when, self._run_down)
        self.around.scheduler.call_next(lambda now: self._arm_if(handle))

    def disarm(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def is_armed(self) -> bool:
        """Tell whether the timer runs."""
        return self._timer is not None

    def leave(self, now: float) -> None:
        """Put all that it holds into `ready`, and let no timer run: the toxic is removed."""
        self.disarm()

    def forget(self) -> None:
        """Hold nothing, take nothing, and let no timer run: the connection is over."""
        super().forget()
        self.disarm()

    def _arm_if(self, handle: Handle) -> None:
        if handle is self._timer:
            self.arm(handle.when)

    def _run_down(self, now: float) -> None:
        self._timer = None
        self.due(now)
