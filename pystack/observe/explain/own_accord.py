"""Which frames tell of a program, and which a kernel sends of its own accord."""

from __future__ import annotations

from typing import Final

from pystack.observe.reading import read
from pystack.wire.frame import Frame

# Of ICMPv6: groups, routers, neighbours (RFC 2710, RFC 3810, RFC 4861)
_OF_THE_LINK: Final = frozenset({130, 131, 132, 133, 134, 135, 136, 137, 143})


def is_of_own_accord(frame: Frame) -> bool:
    """Tell whether a kernel sends it by itself: about groups, routers, neighbours of IPv6.

    ARP is none of those: nobody asks for a station but who has something for it.
    """
    found = read(frame.data)
    if found.protocol != "icmp6":
        return found.protocol == "igmp"
    return len(found.body) > 0 and found.body[0] in _OF_THE_LINK
