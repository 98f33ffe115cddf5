"""What the sender of a packet hears that is too large for a tunnel: the router's word, RFC 1191.

The tunnel is no router and has no address; as Linux does it for its own, the answer comes from
whoever the packet was for.
"""

from __future__ import annotations

import struct
from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6
from pystack.wire.frame import Frame
from pystack.wire.packet import DONT_FRAGMENT, OFFSET_MASK

_QUOTED_BYTES: Final = 576 - ipv4.HEADER_BYTES - icmp.HEADER_BYTES  # RFC 1812 section 4.3.2.3
_QUOTED6_BYTES: Final = ipv6.MIN_MTU_BYTES - ipv6.HEADER_BYTES - icmp.HEADER_BYTES


def answer(data: bytes, mtu_bytes: int) -> Frame | None:
    """Return the frame for the sender; None: nobody is to be told, or could do anything."""
    if not data or data[0] & 1:
        return None  # for many (RFC 1122 section 3.2.2)
    try:
        packet = ip.packet_of(data)
    except (WireError, struct.error, IndexError):
        return None
    if packet.version == 6:
        if packet.proto == ipv6.ICMPV6 and (packet.payload[:1] or b"\0")[0] < icmpv6.ECHO:
            return None  # an error
        quoted = bytes(packet.raw[:_QUOTED6_BYTES])
        text = icmpv6.pack(
            packet.dst, packet.src, icmpv6.PACKET_TOO_BIG, 0, max(mtu_bytes, 1280), quoted
        )
        header = ipv6.pack_header(packet.dst, packet.src, ipv6.ICMPV6, len(text))
    else:
        if not packet.flags_offset & DONT_FRAGMENT or packet.flags_offset & OFFSET_MASK:
            return None
        if packet.proto == ipv4.ICMP and packet.payload[:1] and packet.payload[0] in icmp.ERRORS:
            return None
        quoted = bytes(packet.raw[:_QUOTED_BYTES])
        kind, code = icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED
        text = icmp.pack(kind, code, mtu_bytes, quoted)
        header = ipv4.pack_header(packet.dst, packet.src, ipv4.ICMP, len(text))
    link_header = data[ethernet.SRC] + data[ethernet.DST] + data[ethernet.TYPE]
    return Frame(link_header + header + text)
