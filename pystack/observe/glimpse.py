"""A glimpse of a frame: whose it is, and TCP's numbers, for lists and plots of many.

Headers alone are looked at, no checksum is verified, and what is cut off or malformed is a frame
without more to say. `summary` has a line for people, `dissect` has every bit.
"""

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import format_ip4, format_ip6, unpack_ip6
from pystack.wire import ethernet, ipv4, ipv6, tcp
from pystack.wire.options import walk

_VLAN: Final = 0x8100
_IP6: Final = struct.Struct("!IHBB16s16s")
_TCP: Final = struct.Struct("!HHIIHH")
_PORTS: Final = struct.Struct("!HH")
_BLOCK: Final = struct.Struct("!II")
_SACK: Final = 5
_ICMP6: Final = 58
_NAMES: Final = {1: "icmp", 2: "igmp", ipv4.TCP: "tcp", ipv4.UDP: "udp", _ICMP6: "icmp6"}


@dataclass(slots=True)
class Glimpse:
    """What is seen of a frame at once. Sequence numbers are as on the wire."""

    protocol: str  # "tcp", "udp", "icmp", "icmp6", "igmp", "arp", "ip", or "ethernet": of others
    source: str = ""  # addresses; "": it has none
    destination: str = ""
    source_port: int = 0  # of TCP and UDP
    destination_port: int = 0
    flags: int = 0  # of TCP, as are those that follow
    seq: int = 0
    ack: int = 0
    wnd: int = 0  # as it stands there, before any scaling
    text_bytes: int = 0
    sack_blocks: tuple[tuple[int, int], ...] = ()

    @property
    def is_segment(self) -> bool:
        """Tell whether it is a segment of TCP, whole as far as its header goes."""
        return self.protocol == "tcp" and self.destination_port > 0


def glimpse(data: bytes | memoryview) -> Glimpse:
    """Return what is seen of an Ethernet frame, or of its beginning. Never raises."""
    view = memoryview(data)
    if len(view) < ethernet.HEADER_BYTES:
        return Glimpse("ethernet")
    at, kind = ethernet.HEADER_BYTES, view[12] << 8 | view[13]
    while kind == _VLAN and len(view) >= at + 4:
        kind = view[at + 2] << 8 | view[at + 3]
        at += 4
    if kind == ethernet.IPV4:
        return _ip4(view[at:])
    if kind == ethernet.IPV6:
        return _ip6(view[at:])
    return Glimpse("arp" if kind == ethernet.ARP else "ethernet")


def _ip4(data: memoryview) -> Glimpse:
    if len(data) < ipv4.HEADER_BYTES:
        return Glimpse("ip")
    header_bytes = (data[0] & 15) * 4
    total_bytes = data[2] << 8 | data[3]
    source, destination = (format_ip4(int.from_bytes(data[at : at + 4], "big")) for at in (12, 16))
    seen = Glimpse(_NAMES.get(data[9], "ip"), source, destination)
    if not (data[6] << 8 | data[7]) & 0x1FFF:  # a fragment but the first has no more headers
        # 0: more than there is a number for ("BIG TCP"); then what is there counts.
        _transport(seen, data[header_bytes:], (total_bytes or len(data)) - header_bytes)
    return seen


def _ip6(data: memoryview) -> Glimpse:
    if len(data) < ipv6.HEADER_BYTES:
        return Glimpse("ip")
    _, length, proto, _, source, destination = _IP6.unpack_from(data)
    seen = Glimpse(
        _NAMES.get(proto, "ip"), format_ip6(unpack_ip6(source)), format_ip6(unpack_ip6(destination))
    )
    rest = data[ipv6.HEADER_BYTES :]
    _transport(seen, rest, length or len(rest))
    return seen


def _transport(seen: Glimpse, data: memoryview, whole_bytes: int) -> None:
    """Add what TCP or UDP say. `whole_bytes`: what IP says that it carries."""
    if seen.protocol == "udp" and len(data) >= 4:
        seen.source_port, seen.destination_port = _PORTS.unpack_from(data)
    if seen.protocol != "tcp" or len(data) < tcp.HEADER_BYTES:
        return
    ports = _TCP.unpack_from(data)
    seen.source_port, seen.destination_port, seen.seq, seen.ack, offset_flags, seen.wnd = ports
    header_bytes = (offset_flags >> 12) * 4
    seen.flags = offset_flags & 0x1FF
    seen.text_bytes = max(whole_bytes - header_bytes, 0)
    options = data[tcp.HEADER_BYTES : max(header_bytes, tcp.HEADER_BYTES)]
    for kind, at, length in walk(options):
        if kind == _SACK:
            end = at + length - (length - 2) % _BLOCK.size
            seen.sack_blocks = tuple(_BLOCK.iter_unpack(options[at + 2 : end]))
