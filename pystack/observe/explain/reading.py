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
from pystack.observe import reading
from pystack.wire import arp, ethernet, icmp, icmpv6, ipv4, ipv6, nd
from pystack.wire.frame import Frame
from pystack.wire.packet import DONT_FRAGMENT, OFFSET_MASK, Packet
from pystack.wire.tcp_options import TcpOptions

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
    seq: int = 0  # of TCP, as are those that follow
    ack: int = 0
    flags: int = 0
    wnd: int = 0  # as it stands there
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
    def transport_bytes(self) -> int:
        """Return how long the header of TCP or UDP is."""
        return self.packet_bytes - self.header_bytes - self.size if self.kind != "other" else 0


def read(frame: Frame) -> Read:
    """Read a frame. Never raises."""
    data = frame.data
    found = Read("other", frame_bytes=len(data))
    look = reading.read(data)
    if not look.ethertype:
        return found
    dst_mac, src_mac, _ = ethernet.HEADER.unpack_from(data)
    found.src_mac, found.dst_mac = format_mac(src_mac), format_mac(dst_mac)
    try:
        if look.ethertype == ethernet.ARP:
            _arp(found, look.payload)
        elif look.packet is not None:
            _ip(found, look, look.packet)
    except (WireError, IndexError, struct.error):
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


def _ip(found: Read, look: reading.Read, packet: Packet) -> None:
    (found.src, found.src_port), (found.dst, found.dst_port) = look.ends
    found.version, found.ttl, found.ecn = packet.version, packet.ttl, packet.tos & 3
    found.ident = packet.ident
    found.dont_fragment = bool(packet.flags_offset & DONT_FRAGMENT)
    found.header_bytes = packet.header_bytes
    found.packet_bytes = packet.header_bytes + look.body_bytes
    missing = found.packet_bytes - len(packet.raw)
    found.frame_bytes += max(missing, 0)  # of a frame that a capture has cut
    at = packet.flags_offset & OFFSET_MASK
    found.key = (found.src, found.dst, packet.ident, at, look.body_bytes, bytes(look.body[:64]))
    if packet.fragment_offset_bytes:
        found.kind = "fragment"
    elif look.transport:
        found.kind = look.transport
        found.seq, found.ack, found.flags, found.wnd = look.seq, look.ack, look.flags, look.wnd
        found.options = look.options or found.options
        found.data, found.size = bytes(look.text), look.text_bytes
    elif packet.proto == ipv4.ICMP:
        _icmp(found, look)
    elif packet.proto == ipv6.ICMPV6:
        _icmp6(found, look)


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


def _icmp(found: Read, look: reading.Read) -> None:
    payload = look.body
    kind, code = payload[0], payload[1]
    found.kind = "icmp"
    found.op = _ICMP_WORDS.get((kind, code), {8: "echo request", 0: "echo reply"}.get(kind, ""))
    found.op = found.op or f"type {kind}, code {code}"
    if kind in (3, 11, 12):
        found.is_error = True
        if (kind, code) == (3, 4):
            found.mtu_bytes = payload[6] << 8 | payload[7]
        _quote(found, look)


def _icmp6(found: Read, look: reading.Read) -> None:
    payload = look.body
    kind, code = payload[0], payload[1]
    if kind in _ND_KINDS:
        found.kind, found.op = "neighbor", _ND_KINDS[kind]
        found.target = format_ip(unpack_ip6(payload[nd.TARGET]))
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
        _quote(found, look)


def _quote(found: Read, look: reading.Read) -> None:
    error = reading.quoted_by(look)
    if error is None:
        raise WireError("icmp_quote_truncated")
    packet = error[2]
    found.target = format_ip(packet.dst)
    if packet.proto in (ipv4.TCP, ipv4.UDP) and len(packet.payload) >= 8:
        src_port, dst_port = icmp.quoted_ports(packet.payload)
        found.about = (format_ip(packet.src), src_port, found.target, dst_port)
