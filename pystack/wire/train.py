"""Super-frames of one batch that continue one another go up the stack as one: the kernel's GRO.

A TAP hands a bulk transfer on in pieces of 64 KiB, several of which come in one batch, and to take
one through the layers costs as much Python as to copy it. What follows in order with the same
headers is only added to the first; the connection gets all of it together, before it is pumped.
"""

from typing import Final

from pystack.wire import ethernet, tcp
from pystack.wire.checksum import Buffer
from pystack.wire.frame import CHECKSUM_UNKNOWN, SuperFrame
from pystack.wire.headers import V4_END, V6_END
from pystack.wire.tcp import Segment

BULK: Final = frozenset((tcp.ACK, tcp.ACK | tcp.PSH))  # the flags of a train's segments
_TYPE: Final = ethernet.TYPE
_IS_IPV6: Final = ethernet.IS_IPV6


class Layout:
    """Where things are in frames of TCP whose headers have one length."""

    __slots__ = ("flags_at", "length", "length_more", "mask", "seq")

    def __init__(self, start: int, head_bytes: int) -> None:
        if start == V6_END:
            # What may differ from one to the next: the length,
            self.length = slice(18, 20)
            self.length_more = head_bytes - V6_END
            varies = [self.length]
        else:
            self.length = slice(16, 18)
            self.length_more = head_bytes - ethernet.HEADER_BYTES
            varies = [self.length, slice(18, 20), slice(24, 26)]  # identification and checksum,
        self.seq = slice(start + 4, start + 8)
        self.flags_at = start + 13
        bits = bytearray(b"\xff" * head_bytes)
        for part in (*varies, self.seq, slice(start + 16, start + 18)):  # TCP's checksum,
            bits[part] = bytes(part.stop - part.start)
        bits[self.flags_at] &= ~tcp.PSH  # and PSH
        self.mask = int.from_bytes(bits, "big")  # of the bits that have to be the same


LAYOUTS: Final = {
    (start, size): Layout(start, size)
    for start in (V4_END, V6_END)
    for size in range(start + tcp.HEADER_BYTES, start + 61, 4)
}


class Train:
    """The first segment of a train, and the text of those that have followed it so far."""

    __slots__ = ("_head_bytes", "_layout", "_mask", "_next_seq", "_same", "_segment", "_texts")

    def __init__(self, segment: Segment, frame: SuperFrame) -> None:
        head = frame.head
        self._segment = segment
        self._texts: list[Buffer] = list(frame.more)
        self._head_bytes = len(head)
        self._layout = LAYOUTS[V6_END if head[_TYPE] == _IS_IPV6 else V4_END, self._head_bytes]
        self._mask = self._layout.mask
        self._same = int.from_bytes(head, "big") & self._mask
        self._next_seq = _after(segment.seq, len(segment.payload) + sum(map(len, frame.more)))

    def add(self, frame: SuperFrame) -> bool:
        """Take a frame that continues it (HOT); False: that one does not."""
        head, layout, text = frame.head, self._layout, frame.payload
        if (
            head[layout.seq] != self._next_seq
            or len(head) != self._head_bytes
            or int.from_bytes(head, "big") & self._mask != self._same
            or frame.more
            or int.from_bytes(head[layout.length], "big") != layout.length_more + len(text)
            or frame.checksum == CHECKSUM_UNKNOWN
        ):
            return False
        self._texts.append(text)
        self._segment.flags |= head[layout.flags_at]
        self._next_seq = _after(int.from_bytes(self._next_seq, "big"), len(text))
        return True

    def segment(self) -> Segment:
        """Return it all as one segment."""
        self._segment.more = self._texts
        return self._segment


def is_apart(segment: Segment, frame: SuperFrame, start: int) -> bool:
    """Tell whether all of a super-frame's text is apart from its headers.

    `start`: where TCP's header is, in a frame whose IP header is plain.
    """
    return len(frame.head) == start + tcp.HEADER_BYTES + len(segment.options)


def _after(seq: int, size: int) -> bytes:
    return (seq + size & 0xFFFFFFFF).to_bytes(4, "big")
