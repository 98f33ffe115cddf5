"""The clock of a host, and that of its world: what programs see of virtual time.

It shows the scheduler's time, on a calendar that begins at the world's epoch. A host's may be wrong
by an offset, and run too fast or too slow; what the stack does by timers is not touched by that.
"""

from __future__ import annotations

from threading import get_ident

from pystack.core.scheduler import Scheduler

_NS = 1_000_000_000


class WorldClock:
    """What a clock shows. `time` is that of the calendar, `monotonic` begins with the run."""

    __slots__ = ("epoch_s", "monotonic_s", "rate", "reads", "scheduler", "seen", "since",
                 "thread", "wall_ns", "wall_s")  # fmt: skip

    def __init__(
        self, scheduler: Scheduler, epoch_s: float, offset_s: float = 0.0, drift: float = 0.0
    ) -> None:
        """`epoch_s`: seconds since 1970 where the world's time is 0."""
        self.scheduler = scheduler
        self.epoch_s = epoch_s
        self.since = 0.0  # the instant at which it showed the three that follow
        self.monotonic_s = 0.0
        self.wall_s = epoch_s
        self.wall_ns = round(epoch_s * _NS)
        self.rate = 1.0
        self.thread = get_ident()  # where the world's time passes
        self.seen = -1.0  # the instant that was read last, and how often since it came
        self.reads = 0
        if offset_s or drift:
            self.set(offset_s, drift)

    def set(self, offset_s: float | None = None, drift: float | None = None) -> None:
        """Step it to be ahead of the world's calendar by so much; let it drift from now on.

        None: it goes on as it did. `monotonic` is not stepped.
        """
        now = self.scheduler.now
        self.monotonic_s = self.monotonic()
        if offset_s is None:
            self.wall_s, self.wall_ns = self.time(), self.time_ns()
        else:
            self.wall_s = self.epoch_s + offset_s + now
            self.wall_ns = round((self.epoch_s + offset_s) * _NS) + round(now * _NS)
        if drift is not None:
            self.rate = 1.0 + drift
        self.since = now

    @property
    def offset_s(self) -> float:
        """Return by how much it is ahead of the world's calendar now, in seconds."""
        now = self.scheduler.now
        return (self.wall_s - self.epoch_s - self.since) + (now - self.since) * (self.rate - 1.0)

    def time(self) -> float:
        """Return seconds since 1970."""
        return self.wall_s + (self.scheduler.now - self.since) * self.rate

    def time_at(self, instant: float) -> float:
        """Return what `time` shows at an instant of the world, or showed since it was set."""
        return self.wall_s + (instant - self.since) * self.rate

    def time_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return self.wall_ns + int((self.scheduler.now - self.since) * self.rate * _NS + 0.5)

    def monotonic(self) -> float:
        """Return seconds since the run began, by this clock's rate."""
        return self.monotonic_s + (self.scheduler.now - self.since) * self.rate

    def monotonic_ns(self) -> int:
        """Return nanoseconds since the run began, by this clock's rate."""
        return int(self.monotonic() * _NS + 0.5)

    def instant_of(self, monotonic_s: float) -> float:
        """Return the world's time at which `monotonic` shows, or showed, that."""
        return self.since + (monotonic_s - self.monotonic_s) / self.rate
