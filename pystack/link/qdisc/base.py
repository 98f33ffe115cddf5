"""What a queueing discipline is: it decides what waits, in which order, and what is thrown away."""

from collections.abc import Callable
from typing import Protocol

from pystack.wire.frame import Frame

# (reason, frame, now): each frame that is dropped or marked; the reason names a counter.
Report = Callable[[str, Frame, float], None]


class Qdisc(Protocol):
    """A queue in front of a transmitter. Sync, reads no clock, owns its random source."""

    report: Report  # set by the pipe: told of every drop and mark, by name

    def enqueue(self, frame: Frame, now: float) -> None:
        """Take a frame, or drop it (or another one) and report why."""
        ...

    def dequeue(self, now: float) -> Frame | None:
        """Return the frame to send now; None where there is none, or none may go yet."""
        ...

    def next_at(self, now: float) -> float:
        """Return when `dequeue` may have something: `now`, later for a shaper, inf when empty."""
        ...

    def __len__(self) -> int:
        """Return how many frames wait."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait (whole frames)."""
        ...
