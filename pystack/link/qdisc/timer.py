"""A periodic timer that nobody has to run: its user catches up before anything else happens.

Between two frames nothing changes in a queue, so to do all ticks up to `now` at the next frame is
the same as to do each at its own instant. A tick at the very instant of a frame comes before it.
"""

import math

from pystack.core.instants import GRACE_S


class LazyTimer:
    """Ticks at start + interval, start + 2 interval, ...: counted, so that no error adds up."""

    __slots__ = ("_start", "_ticks", "due_at", "interval_s")

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.due_at = math.inf  # of the next tick; inf: not started
        self._start = 0.0
        self._ticks = 0

    def start(self, now: float) -> None:
        """Begin; starting twice does nothing."""
        if self.due_at == math.inf:
            self._start = now
            self.step()

    def step(self) -> None:
        """Go on to the next tick."""
        self._ticks += 1
        self.due_at = self._start + self._ticks * self.interval_s

    def skip_past(self, now: float) -> None:
        """Go on to the first tick after `now`: for when ticks no longer change anything."""
        self._ticks = max(self._ticks, int((now - self._start) / self.interval_s) - 1)
        while self.due_at - GRACE_S <= now:
            self.step()
