"""A frame read as far as those need it who look on: whose it is, and what TCP says.

Stories, flows, ladders and lists of frames stand on this one reader; `summary` has tcpdump's line
of a frame, `dissect` its bits. The bytes are read by `pystack.wire`; no checksum is verified, for
whoever captures may see segments whose card fills it in later. Nothing raises: what is cut off or
malformed is not said.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip, format_ip, without_zone
from pystack.core.errors import WireError
from pystack.observe.captures.link_types import ETHERNET, network_at
from pystack.wire import ethernet, icmp, icmpv6, ipv4, ipv6, tcp, tcp_options, udp
from pystack.wire.packet import Packet
from pystack.wire.tcp_options import TcpOptions

End = tuple[str, int]  # address and port

_TRANSPORTS: Final = {ipv4.TCP: "tcp", ipv4.UDP: "udp"}
_NAMES: Final = {ipv4.ICMP: "icmp", 2: "igmp", **_TRANSPORTS, ipv6.ICMPV6: "icmp6"}
_WELL_KNOWN: Final = 1024  # ports below it are servers'
_NOTHING: Final = memoryview(b"")
_NOBODY: Final = Ip(0)


@dataclass(slots=True)
class Read:
    """What one frame says. Times, and all that hangs on what came before, are not here."""

    ethertype: int = 0  # behind VLAN tags
    payload: memoryview = _NOTHING  # of the link
    packet: Packet | None = None  # None: it is none of IP, or not to be read
    src: Ip = _NOBODY
    dst: Ip = _NOBODY
    ident: int = 0
    body: memoryview = _NOTHING  # behind IP's headers, without padding, as far as it is here
    body_bytes: int = 0  # of that, on the wire: captures cut frames short
    transport: str = ""  # "tcp", "udp": its whole header is here
    src_port: int = 0
    dst_port: int = 0
    seq: int = 0  # of TCP, as are those that follow: as on the wire, the window unscaled
    ack: int = 0
    flags: int = 0
    wnd: int = 0
    options: TcpOptions | None = None  # None: there are none
    text: memoryview = _NOTHING  # of TCP or UDP, as far as it is here
    text_bytes: int = 0  # on the wire
    quotes: str = ""  # of `read_or_quote`: what an ICMP error says of the ends that it quotes

    @property
    def ends(self) -> tuple[End, End]:
        """Return the sender's and the receiver's; without addresses: it is none of IP."""
        if self.packet is None:
            return ("", 0), ("", 0)
        return (format_ip(self.src), self.src_port), (format_ip(self.dst), self.dst_port)

    @property
    def protocol(self) -> str:
        """Return its name: "tcp", "udp", "icmp", "icmp6", "igmp", "ip", "arp", "ethernet"."""
        if self.packet is not None:
            return _NAMES.get(self.packet.proto, "ip")
        if self.ethertype in (ethernet.IPV4, ethernet.IPV6):
            return "ip"
        return "arp" if self.ethertype == ethernet.ARP else "ethernet"


def read(data: bytes | memoryview, link_type: int = ETHERNET, beyond: int = 0) -> Read:
    """Read a frame. `beyond`: so many bytes more of it are somewhere else."""
    found = Read()
    at = network_at(data, link_type)
    if at is None:
        return found
    ethertype, start = at
    while ethertype in ethernet.TAGS and len(data) >= start + 4:
        ethertype = data[start + 2] << 8 | data[start + 3]
        start += 4
    found.ethertype = ethertype
    found.payload = memoryview(data)[start:]
    try:
        if ethertype == ethernet.IPV4:
            _packet(found, ipv4.parse_quoted(found.payload), beyond)
        elif ethertype == ethernet.IPV6:
            _packet(found, ipv6.parse_quoted(found.payload), beyond)
    except (WireError, struct.error, IndexError):
        pass
    return found


def read_or_quote(data: bytes, link_type: int) -> Read | None:
    """Read a segment, a datagram, or an ICMP error, which has the ends of what it quotes."""
    found = read(data, link_type)
    if not found.transport:
        try:
            _take_quote(found)
        except (WireError, struct.error, IndexError):
            return None
    return found if found.transport else None


def is_by_opener(transport: str, flags: int, src_port: int, dst_port: int) -> bool:
    """Tell from the first frame that is seen of a conversation whether its sender began it."""
    if flags & tcp.SYN:
        return not flags & tcp.ACK
    # Seen from the middle on: servers have the lower port. A first datagram mostly asks, though.
    return src_port >= (dst_port if transport == "tcp" else min(dst_port, _WELL_KNOWN))


def quoted_by(found: Read) -> tuple[int, int, Packet] | None:
    """Return type and code of an ICMP error, and the packet that it is about; None: it is none.

    Raises WireError where that cannot be read.
    """
    packet, body = found.packet, found.body
    if packet is None or packet.fragment_offset_bytes or len(body) < icmp.HEADER_BYTES:
        return None
    kind, code, quote = body[0], body[1], body[icmp.HEADER_BYTES :]
    if packet.proto == ipv4.ICMP and kind in icmp.ERRORS:
        return kind, code, ipv4.parse_quoted(quote)
    if packet.proto == ipv6.ICMPV6 and kind < icmpv6.FIRST_INFORMATIONAL:
        return kind, code, ipv6.parse_quoted(quote)
    return None


def _packet(found: Read, packet: Packet, beyond: int) -> None:
    found.packet, found.src, found.dst = packet, packet.src, packet.dst
    found.ident = packet.ident
    body = packet.payload
    said = packet.total_length - packet.header_bytes
    if packet.total_length == (0 if packet.version == 4 else ipv6.HEADER_BYTES):
        said = len(body) + beyond  # more than the header has a number for, see `SuperFrame`
    said = max(said, 0)
    found.body, found.body_bytes = body[:said], said
    if packet.fragment_offset_bytes:
        return
    if packet.proto == ipv4.TCP:
        _segment(found, found.body, packet.tos)
    elif packet.proto == ipv4.UDP:
        found.src_port, found.dst_port = icmp.quoted_ports(found.body)
        found.transport = "udp"
        found.text = found.body[udp.HEADER_BYTES :]
        found.text_bytes = max(said - udp.HEADER_BYTES, 0)


def _segment(found: Read, body: memoryview, tos: int) -> None:
    length = len(body)
    if length < tcp.HEADER_BYTES:
        return
    header_bytes = (body[12] >> 4) * 4
    if length < header_bytes:  # options that were cut off are none
        body, length = memoryview(bytes(body).ljust(header_bytes, b"\0")), header_bytes
    segment = tcp.read(body, 0, length, None, tos)
    found.src_port, found.dst_port = segment.src_port, segment.dst_port
    found.seq, found.ack = segment.seq, segment.ack
    found.flags, found.wnd = segment.flags, segment.wnd
    if header_bytes > tcp.HEADER_BYTES:
        found.options = tcp_options.parse(segment.options)
    found.text = body[header_bytes:]
    found.text_bytes = max(found.body_bytes - header_bytes, 0)
    found.transport = "tcp"


def _take_quote(found: Read) -> None:
    error = quoted_by(found)
    if error is None:
        return
    kind, code, about = error
    ports = about.payload[:4]
    if len(ports) < 4 or about.proto not in _TRANSPORTS:
        return
    version = "ICMP" if about.version == 4 else "ICMPv6"
    found.quotes = f"{version} type {kind} code {code} from {format_ip(without_zone(found.src))}"
    found.transport = _TRANSPORTS[about.proto]
    found.src, found.dst = about.src, about.dst
    found.src_port, found.dst_port = ports[0] << 8 | ports[1], ports[2] << 8 | ports[3]
