"""Super-frames of one batch that continue one another go up the stack as one: the kernel's GRO.

A TAP hands a bulk transfer on in pieces of 64 KiB, several of which come in one batch, and to take
one through the layers costs as much Python as to copy it. What follows in order with the same
headers is only added to the first; the connection gets all of it together, before it is pumped.
"""

from typing import Final

from pystack.wire import tcp
from pystack.wire.checksum import Buffer
from pystack.wire.frame import SuperFrame
from pystack.wire.tcp import Segment

# In a frame whose IP header has no options, which is all that there are trains of
_LENGTH: Final = slice(16, 18)
_SEQ: Final = slice(38, 42)
_FLAGS: Final = 47
# Everything else but the identification, the two checksums, and the ends, by which it was found
_SAME: Final = (slice(0, 16), slice(20, 24), slice(42, 47), slice(48, 50), slice(54, None))
_PLAIN: Final = frozenset((tcp.ACK, tcp.ACK | tcp.PSH))


class Train:
    """The first segment of a train, and the text of those that have followed it so far."""

    __slots__ = ("_next_seq", "_same", "_segment", "_texts")

    def __init__(self, segment: Segment, frame: SuperFrame) -> None:
        head = frame.head
        self._segment = segment
        self._texts: list[Buffer] = []
        self._same = [head[part] for part in _SAME]
        self._next_seq = _after(segment.seq, len(segment.payload))

    def add(self, frame: SuperFrame) -> bool:
        """Take a frame that continues it (HOT); False: that one does not."""
        head = frame.head
        if (
            head[_SEQ] != self._next_seq
            or head[_FLAGS] not in _PLAIN
            or frame.more
            or int.from_bytes(head[_LENGTH], "big") != len(frame) - 14
            or [head[part] for part in _SAME] != self._same
        ):
            return False
        text = frame.payload
        self._texts.append(text)
        self._segment.flags |= head[_FLAGS]
        self._next_seq = _after(int.from_bytes(self._next_seq, "big"), len(text))
        return True

    def segment(self) -> Segment:
        """Return it all as one segment."""
        self._segment.more = self._texts
        return self._segment


def may_begin(segment: Segment) -> bool:
    """Tell whether a super-frame's segment may be the first of a train."""
    return segment.flags in _PLAIN


def _after(seq: int, size: int) -> bytes:
    return (seq + size & 0xFFFFFFFF).to_bytes(4, "big")
