"""What a queueing discipline is: it decides what waits, in which order, and what is thrown away."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from pystack.core.rng import Random
from pystack.wire.frame import Frame

# (reason, frame, now): each frame that is dropped or marked; the reason names a counter.
# Reasons of marks end in "_mark" and the frame goes on; all others are drops. What each of them
# means is in `pystack/core/counters.toml`. A marked frame is reported as it goes on, with CE set.
Report = Callable[[str, Frame, float], None]

MARK_SUFFIX: Final = "_mark"


class Qdisc(Protocol):
    """A queue in front of a transmitter. Sync, reads no clock, owns its random source.

    A frame that takes another's place is `frame.replaced(...)`, so that its way can be followed.
    Instants given to it never go back. Sizes are those of whole frames, as in tc(8): 14 bytes of
    Ethernet and the packet.
    """

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

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait, oldest first, unreported: for whoever moves or loses them."""
        ...

    def __len__(self) -> int:
        """Return how many frames wait."""
        ...

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait (whole frames)."""
        ...


class OneFifo:
    """What queues share whose frames wait in one line: the line itself, as a Qdisc without a limit.

    A subclass says what is let in, and what comes of it.
    """

    __slots__ = ("_bytes", "_frames", "report")

    def __init__(self) -> None:
        self.report: Report = ignore
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it."""
        self._frames.append(frame)
        self._bytes += len(frame.data)

    def dequeue(self, now: float) -> Frame | None:
        """Return the oldest."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame.data)
        return frame

    def next_at(self, now: float) -> float:
        """Return `now` while there is something."""
        return now if self._frames else math.inf

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait."""
        frames = list(self._frames)
        self._frames.clear()
        self._bytes = 0
        return frames

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._frames)

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait."""
        return self._bytes


# Makes a queue, once its words are known: a pipe has one queue, a link two, each of its own.
QdiscFactory = Callable[[Random], Qdisc]

# How one asks for a queue: its name with its words, or what makes it (a class, a function).
QdiscLike = str | Mapping[str, object] | QdiscFactory


def is_mark(reason: str) -> bool:
    """Tell whether a reported reason is that of a mark (the frame goes on) or of a drop."""
    return reason.endswith(MARK_SUFFIX)


def ignore(reason: str, frame: Frame, now: float) -> None:
    """Tell nobody: the `report` of a queue that no pipe has taken yet."""
