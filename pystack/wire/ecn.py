"""Explicit Congestion Notification in the IP header (RFC 3168, RFC 9331), on whole frames.

Queues mark; they do not parse packets. So these few functions look at a frame's bytes only as far
as the two ECN bits, and mark without touching anything else: the transport's checksum does not
cover them, so what offload knows about a frame stays true.
"""

from typing import Final

from pystack.wire import ethernet
from pystack.wire.checksum import update
from pystack.wire.frame import Frame

NOT_ECT: Final = 0b00  # the transport does not understand marks: only a drop tells it
ECT_1: Final = 0b01  # RFC 9331: the L4S identifier
ECT_0: Final = 0b10
CE: Final = 0b11  # congestion experienced
_MASK: Final = 0b11

_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6
_TYPE: Final = ethernet.TYPE
_IP: Final = ethernet.HEADER_BYTES
_CHECKSUM: Final = _IP + 10
_IPV4_END: Final = _IP + 20
_IPV6_END: Final = _IP + 40


def tos(frame: Frame) -> int:
    """Return the TOS byte (IPv6: the traffic class): DSCP and ECN bits; 0 when it isn't IP."""
    data = frame.data
    kind = data[_TYPE]
    if kind == _IPV4 and len(data) >= _IPV4_END:
        return data[_IP + 1]
    if kind == _IPV6 and len(data) >= _IPV6_END:
        return (data[_IP] << 4 | data[_IP + 1] >> 4) & 0xFF
    return 0


def codepoint(frame: Frame) -> int:
    """Return its ECN field; NOT_ECT for what isn't IP (an ARP frame can't be marked)."""
    return tos(frame) & _MASK


def mark_ce(frame: Frame) -> Frame | None:
    """Return the frame with CE set (itself if it was); None: not ECN-capable, it can't be marked.

    The frame that was given stays as it is. The IPv4 header checksum is moved on (RFC 1624).
    """
    ecn = tos(frame) & _MASK
    if ecn == NOT_ECT:
        return None
    if ecn == CE:
        return frame
    return with_codepoint(frame, CE)


def with_codepoint(frame: Frame, codepoint: int) -> Frame:
    """Return a frame of IP, complete with its header, with that ECN field."""
    data = bytearray(frame.data)
    if data[_TYPE] == _IPV4:
        old_word = data[_IP] << 8 | data[_IP + 1]
        data[_IP + 1] = data[_IP + 1] & ~_MASK | codepoint
        old_check = data[_CHECKSUM] << 8 | data[_CHECKSUM + 1]
        check = update(old_check, old_word, data[_IP] << 8 | data[_IP + 1])
        data[_CHECKSUM : _CHECKSUM + 2] = check.to_bytes(2, "big")
    else:
        data[_IP + 1] = data[_IP + 1] & ~(_MASK << 4) | codepoint << 4
    return frame.replaced(bytes(data), frame.checksum, frame.gso_bytes)
