"""Which frames tell of a program, and which a kernel sends of its own accord."""

from __future__ import annotations

from typing import Final

from pystack.core.addresses import Ip, format_ip, unpack_ip6
from pystack.wire import ethernet, ipv4, ipv6
from pystack.wire.frame import Frame

_IP: Final = ethernet.HEADER_BYTES
_IGMP: Final = 2
_HOP_BY_HOP: Final = 0
# Of ICMPv6: groups, routers, neighbours (RFC 2710, RFC 3810, RFC 4861)
_OF_THE_LINK: Final = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})


def is_of_own_accord(frame: Frame) -> bool:
    """Tell whether a kernel sends it by itself: about groups, routers, neighbours of IPv6.

    ARP is none of those: nobody asks for a station but who has something for it.
    """
    data = frame.data
    kind = data[ethernet.TYPE]
    if kind == ethernet.IS_IPV4:
        return len(data) > _IP + 9 and data[_IP + 9] == _IGMP
    if kind != ethernet.IS_IPV6 or len(data) <= _IP + ipv6.HEADER_BYTES + 8:
        return False
    proto, at = data[_IP + 6], _IP + ipv6.HEADER_BYTES
    if proto == _HOP_BY_HOP:  # in front of MLD it has eight bytes
        proto, at = data[at], at + 8
    return proto == ipv6.ICMPV6 and data[at] in _OF_THE_LINK


def destination_of(frame: Frame) -> str:
    """Return the address that a packet is for, as text; "": it is none of IP."""
    data = frame.data
    kind = data[ethernet.TYPE]
    if kind == ethernet.IS_IPV4 and len(data) >= _IP + ipv4.HEADER_BYTES:
        return format_ip(Ip(int.from_bytes(data[_IP + 16 : _IP + 20], "big")))
    if kind == ethernet.IS_IPV6 and len(data) >= _IP + ipv6.HEADER_BYTES:
        return format_ip(unpack_ip6(data[_IP + 24 : _IP + 40]))
    return ""
