"""Frames that leave for another machine in one call of the kernel's, cut into datagrams there."""

from typing import Final

from pystack.wire.frame import Frame

# What one call takes (UDP_MAX_SEGMENTS, and what a datagram can have)
_MOST_FRAMES: Final = 64
_MOST_BYTES: Final = 65000


class Departing:
    """Frames of one length but for the last, of one ECN field, from one port."""

    __slots__ = ("_each_bytes", "_room_bytes", "_way", "frames")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self._each_bytes = self._room_bytes = 0
        self._way = (0, 0)

    @property
    def each_bytes(self) -> int:
        """Of a frame, but for the last, which may be shorter."""
        return len(self.frames[0].data)

    @property
    def way(self) -> tuple[int, int]:
        """The ECN field, and the number of the port."""
        return self._way

    def add(self, frame: Frame, way: tuple[int, int], around_bytes: int) -> bool:
        """Take one more; False: it goes with the next ones.

        `around_bytes`: of a datagram, around its frame.
        """
        size = len(frame.data)
        frames = self.frames
        if not frames:
            self._each_bytes, self._way = size, way
            self._room_bytes = _MOST_BYTES - size - around_bytes
        elif (
            size > self._each_bytes
            or way != self._way
            or self._room_bytes < size + around_bytes
            or len(frames) >= _MOST_FRAMES
        ):
            return False
        else:
            self._room_bytes -= size + around_bytes
            if size < self._each_bytes:
                self._room_bytes = 0  # the last one
        frames.append(frame)
        return True
