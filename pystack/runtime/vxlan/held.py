"""Frames that wait until the ends of a tunnel have met: a few, and not for long.

As a neighbor's packets do, while its address is asked for.
"""

import math
from collections import deque
from collections.abc import Callable
from typing import Final

from pystack.wire.frame import Frame

HELD_FRAMES: Final = 64
HELD_BYTES: Final = 1 << 18
HELD_S: Final = 3.0


class Held:
    """What waits, the oldest first; `lost` is called for each that has to go."""

    __slots__ = ("_frames", "_lost", "held_bytes")

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._frames: deque[tuple[Frame, float]] = deque()
        self.held_bytes = 0

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)

    def add(self, frame: Frame, now: float) -> None:
        """Keep one more, in the place of those that are too old or too many."""
        self.expire(now)
        self._frames.append((frame, now))
        self.held_bytes += len(frame)
        while len(self._frames) > HELD_FRAMES or self.held_bytes > HELD_BYTES:
            self._forget()

    def expire(self, now: float) -> None:
        """Drop what has waited too long."""
        until = now - HELD_S
        while self._frames and self._frames[0][1] <= until:
            self._forget()

    def clear(self) -> None:
        """Drop all."""
        self.expire(math.inf)

    def taken(self, now: float) -> list[Frame]:
        """Return what has not waited too long, and keep nothing."""
        self.expire(now)
        frames = [frame for frame, _when in self._frames]
        self._frames.clear()
        self.held_bytes = 0
        return frames

    def _forget(self) -> None:
        frame, _when = self._frames.popleft()
        self.held_bytes -= len(frame)
        self._lost()
