"""What the outer datagram has to know of the frame inside: its flow, its VLAN, its ECN field."""

from typing import Final
from zlib import crc32

from pystack.wire import ecn, ethernet
from pystack.wire.checksum import Buffer
from pystack.wire.frame import Frame

# IEEE 802.1Q, 802.1ad, and what stood for the latter before
_TAGGED: Final = frozenset((b"\x81\x00", b"\x88\xa8", b"\x91\x00"))
_TAG_BYTES: Final = 4
_TYPE: Final = ethernet.TYPE
_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6
_PORTED: Final = frozenset((6, 17, 33, 132, 136))  # TCP, UDP, DCCP, SCTP, UDP-Lite
_FRAGMENT: Final = 0x3FFF  # more fragments, or an offset


def is_tagged(data: Buffer) -> bool:
    """Tell whether a frame has a VLAN tag."""
    return bytes(data[_TYPE]) in _TAGGED


def untagged(data: bytes) -> bytes | None:
    """Return a frame with a VLAN tag as RFC 7348 section 6.1 sends it; None: it does not.

    A tag of VLAN 0 says no more than a priority, and is taken off. No VLAN is mapped to a link: one
    of another number is not of its network.
    """
    while is_tagged(data):
        if len(data) < ethernet.HEADER_BYTES + _TAG_BYTES or data[14] & 0x0F or data[15]:
            return None
        data = data[:12] + data[16:]
    return data


def codepoint(data: Buffer) -> int:
    """Return the ECN field of the packet in a frame; 0 for what is not IP (HOT)."""
    kind = data[_TYPE]
    if kind == _IPV4 and len(data) > 15:
        return data[15] & 3
    if kind == _IPV6 and len(data) > 15:
        return data[15] >> 4 & 3
    return 0


def decapsulated(data: bytes, outer: int) -> bytes | None:
    """Return a frame with the marks that its datagram got on the way (RFC 6040 section 4.2).

    None: the datagram was marked CE and the frame is of somebody who does not understand marks, so
    that it is lost instead.
    """
    inner = ecn.codepoint(Frame(data))
    if outer == ecn.CE:
        if inner == ecn.NOT_ECT and data[_TYPE] in (_IPV4, _IPV6):
            return None
        marked = ecn.mark_ce(Frame(data))
        return data if marked is None else marked.data
    if outer == ecn.ECT_1 and inner == ecn.ECT_0:
        return ecn.with_codepoint(Frame(data), ecn.ECT_1).data
    return data


def flow_number(data: bytes) -> int:
    """Return a number that all frames of a flow have, and those of others rarely.

    Fragments have no ports but the first: a packet's have the number of its addresses, so that
    none overtakes another.
    """
    kind = data[_TYPE]
    if kind == _IPV4 and len(data) >= 34:
        proto, ends = data[23], 34
        whole = not int.from_bytes(data[20:22], "big") & _FRAGMENT and data[14] == 0x45
        if whole and proto in _PORTED:
            ends = 38
        return crc32(data[26:ends], proto)
    if kind == _IPV6 and len(data) >= 54:
        proto = data[20]
        return crc32(data[22 : 58 if proto in _PORTED else 54], proto)
    return crc32(data[:14])
