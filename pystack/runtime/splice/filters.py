"""What may stand in a splice, between what the kernel brings and what the stack sends."""

from __future__ import annotations

from typing import Protocol


class FilterSink(Protocol):
    """Where a filter sends: the stack's side of its splice.

    To be called from what the splice calls, or from timers of the world's scheduler.
    """

    @property
    def room_bytes(self) -> int:
        """Return how much `put` would take now."""
        ...

    def put(self, data: bytes | memoryview, now: float) -> int:
        """Send; return how much of it there was room for. `room` tells when there is for more."""
        ...

    def end(self, now: float) -> None:
        """Send a FIN after what was put: this direction has ended."""
        ...

    def reset(self, now: float) -> None:
        """End the whole connection with a reset on both sides."""
        ...

    def close(self, now: float) -> None:
        """End the whole connection as two programs that close do; what was put is still sent."""
        ...

    def read_on(self, now: float) -> None:
        """Say that `room_bytes` of the filter was 0 and is not any more."""
        ...


class Filter(Protocol):
    """Changes the bytes of one connection on their way from the kernel to the stack."""

    @property
    def room_bytes(self) -> int:
        """Return how much `take` may be given now; at 0 the kernel's buffer is left unread."""
        ...

    def begin(self, sink: FilterSink, now: float) -> None:
        """Be told where to send, before all else."""
        ...

    def take(self, data: bytes, now: float) -> None:
        """Take what has come, at most `room_bytes`."""
        ...

    def end(self, now: float) -> None:
        """The kernel's side has ended this direction: `sink.end` is to follow the last byte."""
        ...

    def room(self, now: float) -> None:
        """There is room in the sink again, after a `put` that was not taken whole."""
        ...

    def over(self, now: float) -> None:
        """The connection is over, for whatever reason: forget what is held, cancel the timers."""
        ...
