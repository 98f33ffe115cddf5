"""Frames that leave for another machine in one call of the kernel's, cut into datagrams there."""

from collections.abc import Sequence
from typing import Final

# What one call takes (UDP_MAX_SEGMENTS, and what a datagram can have)
_MOST_FRAMES: Final = 64
_MOST_BYTES: Final = 65000


class Departing:
    """Frames of one length but for the last, of one ECN field, from one port."""

    __slots__ = ("_each_bytes", "_room_bytes", "_way", "frames")

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self._each_bytes = self._room_bytes = 0
        self._way = (0, 0)

    @property
    def each_bytes(self) -> int:
        """Of a frame, but for the last, which may be shorter."""
        return self._each_bytes

    @property
    def way(self) -> tuple[int, int]:
        """The ECN field, and the number of the port."""
        return self._way

    def add(
        self, pieces: Sequence[bytes], first: int, way: tuple[int, int], around_bytes: int
    ) -> int:
        """Take pieces of one frame from number `first` on; return how many: the rest goes next.

        They have one length, but for the last, which may be shorter. `around_bytes`: of a datagram,
        around its frame. Where nothing is there yet, one is taken whatever its length.
        """
        size = len(pieces[first])
        frames, datagram_bytes = self.frames, size + around_bytes
        if not frames:
            self._each_bytes, self._way = size, way
            self._room_bytes = max(_MOST_BYTES, datagram_bytes)
        elif (
            size > self._each_bytes
            or way != self._way
            or datagram_bytes > self._room_bytes
            or len(frames) >= _MOST_FRAMES
        ):
            return 0
        if first + 1 == len(pieces) or size < self._each_bytes:
            frames.append(pieces[first])
            self._room_bytes = 0 if size < self._each_bytes else self._room_bytes - datagram_bytes
            return 1
        room = min(self._room_bytes // datagram_bytes, _MOST_FRAMES - len(frames))
        taken = pieces[first : first + room]
        frames += taken
        self._room_bytes -= datagram_bytes * len(taken)
        if len(taken[-1]) < self._each_bytes:
            self._room_bytes = 0  # the last one
        return len(taken)
