"""A frame read as far as a story needs it: who to whom, and what TCP, UDP, ARP, ICMP say.

Nothing is verified, and nothing raises: what cannot be read is of kind "other". What a layer added
is told by `dissect`; this is for following conversations, at some microseconds a frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import format_ip, format_mac, unpack_ip6
from pystack.core.errors import WireError
from pystack.observe.flows.reading import segment_of
from pystack.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, tcp, tcp_options, udp
from pystack.wire.frame import Frame
from pystack.wire.packet import Packet
from pystack.wire.tcp import Segment
from pystack.wire.tcp_options import TcpOptions

_VLAN: Final = 0x8100
_ND_TARGET: Final = slice(8, 24)
_ND_KINDS: Final = {icmpv6.NEIGHBOR_SOLICITATION: "ask", icmpv6.NEIGHBOR_ADVERTISEMENT: "answer"}

Ends = tuple[str, int, str, int]  # source, its port, destination, its port


@dataclass(slots=True)
class Read:
    """What one frame says."""

    kind: str  # "tcp", "udp", "icmp", "neighbor", "fragment", "other"
    src_mac: str = ""
    dst_mac: str = ""
    src: str = ""
    dst: str = ""
    version: int = 0
    ttl: int = 0
    ecn: int = 0  # the two bits of the IP header
    ident: int = 0
    dont_fragment: bool = False
    header_bytes: int = 0  # of IP, options and extension headers included
    packet_bytes: int = 0  # of the IP packet
    frame_bytes: int = 0
    key: tuple[object, ...] = ()  # the same on every link that a packet crosses
    src_port: int = 0
    dst_port: int = 0
    segment: Segment | None = None  # of TCP
    options: TcpOptions = field(default_factory=TcpOptions)
    data: bytes = b""  # of UDP, or what TCP carries, as far as it was captured
    size: int = 0  # of that, on the wire
    op: str = ""  # of ARP and ND: "ask", "answer"; of ICMP: in words
    target: str = ""  # of ARP and ND: whose MAC address; of ICMP: what was to be reached
    mac: str = ""  # of an answer: the address that was asked for
    about: Ends | None = None  # of an ICMP error: the packet that it is about
    mtu_bytes: int = 0  # of "packet too big"
    is_error: bool = False  # an ICMP message that something went wrong

    @property
    def ends(self) -> Ends:
        """Return source and destination with their ports."""
        return self.src, self.src_port, self.dst, self.dst_port

    @property
    def flags(self) -> int:
        """Return TCP's flags; 0 of anything else."""
        return 0 if self.segment is None else self.segment.flags

    @property
    def transport_bytes(self) -> int:
        """Return how long the header of TCP or UDP is."""
        return self.packet_bytes - self.header_bytes - self.size if self.kind != "other" else 0


def read(frame: Frame) -> Read:
    """Read a frame. Never raises."""
    data = memoryview(frame.data)
    size = len(data)
    if size < ethernet.HEADER_BYTES:
        return Read("other", frame_bytes=size)
    dst_mac, src_mac, ethertype = ethernet.HEADER.unpack_from(data)
    payload = data[ethernet.HEADER_BYTES :]
    while ethertype == _VLAN and len(payload) >= 4:
        ethertype = payload[2] << 8 | payload[3]
        payload = payload[4:]
    found = Read("other", format_mac(src_mac), format_mac(dst_mac), frame_bytes=size)
    try:
        if ethertype == ethernet.ARP:
            _arp(found, payload)
        elif ethertype == ethernet.IPV4:
            _ip(found, ipv4.parse_quoted(payload))
        elif ethertype == ethernet.IPV6:
            _ip(found, ipv6.parse_quoted(payload))
    except (WireError, IndexError, ValueError, struct.error):
        found.kind = "other"
    return found


def _arp(found: Read, payload: memoryview) -> None:
    packet = arp.parse(payload)
    found.kind, found.version = "neighbor", 4
    found.op = "ask" if packet.op == arp.REQUEST else "answer"
    found.src, found.dst = format_ip(packet.spa), format_ip(packet.tpa)
    found.target = found.dst if found.op == "ask" else found.src
    found.mac = format_mac(packet.sha)
    if packet.spa == packet.tpa or not packet.spa:
        found.op = "announce"  # nobody is asked: is it free? it is mine


def _ip(found: Read, packet: Packet) -> None:
    found.src, found.dst = format_ip(packet.src), format_ip(packet.dst)
    found.version, found.ttl, found.ecn = packet.version, packet.ttl, packet.tos & 3
    found.ident = packet.ident
    found.dont_fragment = bool(packet.flags_offset & 0x4000)
    found.header_bytes = packet.header_bytes
    found.packet_bytes = packet.total_length or len(packet.raw)
    missing = found.packet_bytes - len(packet.raw)
    found.frame_bytes += max(missing, 0)  # of a frame that a capture has cut
    payload = packet.payload
    inside = max(found.packet_bytes - packet.header_bytes, 0)
    payload = payload[:inside]
    head = bytes(payload[:64])
    found.key = (found.src, found.dst, packet.ident, packet.flags_offset & 0x1FFF, inside, head)
    if packet.is_fragment and packet.fragment_offset_bytes:
        found.kind = "fragment"
    elif packet.proto == ipv4.TCP:
        _tcp(found, packet, payload, inside)
    elif packet.proto == ipv4.UDP:
        found.src_port, found.dst_port = icmp.quoted_ports(payload)
        found.kind = "udp"
        found.data = bytes(payload[udp.HEADER_BYTES :])
        found.size = max(int.from_bytes(payload[4:6], "big") - udp.HEADER_BYTES, 0)
    elif packet.proto == ipv4.ICMP:
        _icmp(found, payload)
    elif packet.proto == ipv6.ICMPV6:
        _icmp6(found, payload)


def _tcp(found: Read, packet: Packet, payload: memoryview, inside: int) -> None:
    segment = segment_of(payload, packet.tos)
    found.kind, found.segment = "tcp", segment
    found.src_port, found.dst_port = segment.src_port, segment.dst_port
    if len(segment.options):
        found.options = tcp_options.parse(segment.options)
    found.data = bytes(segment.payload)
    found.size = inside - tcp.HEADER_BYTES - len(segment.options)


_ICMP_WORDS: Final = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "fragmentation needed",
    (3, 13): "communication prohibited",
    (11, 0): "time to live exceeded",
    (11, 1): "reassembly time exceeded",
}
_ICMP6_WORDS: Final = {
    (1, 0): "no route to destination",
    (1, 1): "communication prohibited",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (2, 0): "packet too big",
    (3, 0): "hop limit exceeded",
    (3, 1): "reassembly time exceeded",
}


def _icmp(found: Read, payload: memoryview) -> None:
    kind, code = payload[0], payload[1]
    found.kind = "icmp"
    found.op = _ICMP_WORDS.get((kind, code), {8: "echo request", 0: "echo reply"}.get(kind, ""))
    found.op = found.op or f"type {kind}, code {code}"
    if kind in (3, 11, 12):
        found.is_error = True
        if (kind, code) == (3, 4):
            found.mtu_bytes = payload[6] << 8 | payload[7]
        _quote(found, ipv4.parse_quoted(payload[icmp.HEADER_BYTES :]))


def _icmp6(found: Read, payload: memoryview) -> None:
    kind, code = payload[0], payload[1]
    if kind in _ND_KINDS:
        found.kind, found.op = "neighbor", _ND_KINDS[kind]
        found.target = format_ip(unpack_ip6(payload[_ND_TARGET]))
        found.mac = found.src_mac
        if found.op == "ask" and found.src == "::":
            found.op = "announce"  # duplicate address detection
        elif found.op == "answer" and not payload[4] & 0x40:
            found.op = "announce"  # nobody asked (S is 0)
        return
    found.kind = "icmp"
    words = {128: "echo request", 129: "echo reply", 133: "router solicitation"}
    words |= {134: "router advertisement", 143: "multicast listener report"}
    found.op = _ICMP6_WORDS.get((kind, code), words.get(kind, f"type {kind}, code {code}"))
    if kind < 128:
        found.is_error = True
        if kind == icmpv6.PACKET_TOO_BIG:
            found.mtu_bytes = int.from_bytes(payload[4:8], "big")
        _quote(found, ipv6.parse_quoted(payload[icmp.HEADER_BYTES :]))


def _quote(found: Read, packet: Packet) -> None:
    found.target = format_ip(packet.dst)
    if packet.proto in (ipv4.TCP, ipv4.UDP) and len(packet.payload) >= 8:
        src_port, dst_port = icmp.quoted_ports(packet.payload)
        found.about = (format_ip(packet.src), src_port, found.target, dst_port)
