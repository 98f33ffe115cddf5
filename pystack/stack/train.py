"""Super-frames of one batch that continue one another go up the stack as one: the kernel's GRO.

A TAP hands a bulk transfer on in pieces of 64 KiB, several of which come in one batch, and to take
one through the layers costs as much Python as to copy it. What follows in order with the same
headers is only added to the first; the connection gets all of it together, before it is pumped.
"""

from typing import Final

from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.checksum import Buffer
from pystack.wire.frame import CHECKSUM_UNKNOWN, SuperFrame
from pystack.wire.tcp import Segment

# In a frame whose IP header has no options, which is all that there are trains of
_LENGTH: Final = slice(16, 18)
_SEQ: Final = slice(38, 42)
_FLAGS: Final = 47
_PLAIN: Final = frozenset((tcp.ACK, tcp.ACK | tcp.PSH))
# What may differ from one to the next: that, the identification, PSH, and the two checksums
_VARIES: Final = (_LENGTH, slice(18, 20), slice(24, 26), _SEQ, slice(50, 52))


def _mask(head_bytes: int) -> int:
    """Return the bits of headers, as one number, that have to be the same."""
    bits = bytearray(b"\xff" * head_bytes)
    for part in _VARIES:
        bits[part] = bytes(part.stop - part.start)
    bits[_FLAGS] &= ~tcp.PSH
    return int.from_bytes(bits, "big")


_HEADERS_BYTES: Final = ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + tcp.HEADER_BYTES
_MASKS: Final = {size: _mask(size) for size in range(54, 54 + 41, 4)}


class Train:
    """The first segment of a train, and the text of those that have followed it so far."""

    __slots__ = ("_head_bytes", "_mask", "_next_seq", "_same", "_segment", "_texts")

    def __init__(self, segment: Segment, frame: SuperFrame) -> None:
        head = frame.head
        self._segment = segment
        self._texts: list[Buffer] = []
        self._head_bytes = len(head)
        self._mask = _MASKS[self._head_bytes]
        self._same = int.from_bytes(head, "big") & self._mask
        self._next_seq = _after(segment.seq, len(segment.payload))

    def add(self, frame: SuperFrame) -> bool:
        """Take a frame that continues it (HOT); False: that one does not."""
        head = frame.head
        if (
            head[_SEQ] != self._next_seq
            or len(head) != self._head_bytes
            or int.from_bytes(head, "big") & self._mask != self._same
            or int.from_bytes(head[_LENGTH], "big") != len(head) + len(frame.payload) - 14
            or frame.more
            or frame.checksum == CHECKSUM_UNKNOWN
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


def may_begin(segment: Segment, frame: SuperFrame) -> bool:
    """Tell whether a super-frame's segment may be the first of a train: its text is apart."""
    return segment.flags in _PLAIN and len(frame.head) == _HEADERS_BYTES + len(segment.options)


def _after(seq: int, size: int) -> bytes:
    return (seq + size & 0xFFFFFFFF).to_bytes(4, "big")
