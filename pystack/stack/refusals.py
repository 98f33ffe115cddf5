"""Refusals: what a firewall in the way answers to a packet that it does not let through.

As REJECT of iptables and nft (`reject with tcp reset`, `admin-prohibited`) on a bridge: a RST for
TCP, an ICMP error that says "administratively prohibited" for all else, both from the address that
the packet was for. Nothing answers what must not be answered: a RST, an ICMP error, what is for
many, and all fragments but the first (RFC 1122 3.2.2, RFC 4443 2.4; Linux's nf_reject).
"""

from __future__ import annotations

from typing import Final

from pystack.core.addresses import is_multicast, is_usable_source
from pystack.core.errors import WireError
from pystack.stack.icmp import Icmp
from pystack.stack.icmp6 import Icmp6
from pystack.stack.icmp_core import Trouble
from pystack.tcp.output import reset_for
from pystack.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6, tcp
from pystack.wire.frame import Frame
from pystack.wire.packet import Packet

_LINK: Final = ethernet.HEADER_BYTES
_MAC: Final = 6
_ICMPV6_INFORMATIONAL: Final = 128  # types from here on are no errors (RFC 4443 section 2.1)


def refusal_of(frame: Frame) -> Frame | None:
    """Return the answer to a frame, to its sender; None: it gets none."""
    data = bytes(frame.data)
    try:
        packet = ip.packet_of(data, checksum_good=True)
        message = _message(packet)
    except WireError:
        return None
    if message is None:
        return None
    proto, payload = message
    pack = ipv4.pack_header if packet.version == 4 else ipv6.pack_header
    header = pack(packet.dst, packet.src, proto, len(payload))
    back = data[_MAC : 2 * _MAC] + data[:_MAC] + data[2 * _MAC : _LINK]
    return Frame(back + header + payload)


def _message(packet: Packet) -> tuple[int, bytes] | None:
    """Return protocol and payload of an answer. WireError: it is to a packet that is damaged."""
    src, dst = packet.src, packet.dst
    if packet.fragment_offset_bytes or is_multicast(dst) or not is_usable_source(src):
        return None
    if packet.proto == ipv4.TCP:
        segment = tcp.parse(packet)
        if segment.flags & tcp.RST:
            return None
        return ipv4.TCP, tcp.pack_header(reset_for(segment), dst, src)
    kind = packet.payload[0] if len(packet.payload) else 0
    if packet.version == 4:
        if packet.proto == ipv4.ICMP and kind in icmp.ERRORS:
            return None
        words = Icmp.words[Trouble.PROHIBITED]
        return ipv4.ICMP, icmp.pack(*words, 0, packet.quoted)
    if packet.proto == ipv6.ICMPV6 and kind < _ICMPV6_INFORMATIONAL:
        return None
    words = Icmp6.words[Trouble.PROHIBITED]
    return ipv6.ICMPV6, icmpv6.pack(dst, src, *words, 0, packet.quoted)
