"""What analysis of conversations needs of a frame: ends, and of a segment its numbers.

The bytes are read by `pystack.wire`; no checksum is verified, for a capture has segments whose card
filled it in later, and lengths are those that headers say, for captures cut frames short.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip, format_ip, without_zone
from pystack.core.errors import WireError
from pystack.observe.captures.link_types import network_at
from pystack.wire import ethernet, icmp, icmpv6, ipv4, ipv6, ipv6_ext, tcp, tcp_options, udp
from pystack.wire.packet import Packet
from pystack.wire.tcp import Segment

End = tuple[str, int]  # address and port

_TAGS: Final = frozenset({0x8100, 0x88A8, 0x9100})
_PORTS: Final = struct.Struct("!HH")


@dataclass(slots=True)
class Read:
    """A segment or a datagram. Times, and all that hangs on what came before, are not here."""

    proto: int
    src: Ip
    dst: Ip
    src_port: int
    dst_port: int
    text_bytes: int
    frame_bytes: int
    ident: int = 0  # IPv4's identification
    seq: int = 0
    ack: int = 0
    flags: int = 0
    wnd: int = 0
    options: tcp_options.TcpOptions | None = None
    quotes: str = ""  # of an ICMP error: what it says; the ends are those of what it is about

    @property
    def ends(self) -> tuple[End, End]:
        """Return the sender's and the receiver's."""
        return (format_ip(self.src), self.src_port), (format_ip(self.dst), self.dst_port)


def read_frame(data: bytes, link_type: int) -> Read | None:
    """Return what a frame carries; None: neither TCP, UDP nor an error about such."""
    found = network_at(data, link_type)
    if found is None:
        return None
    ethertype, at = found
    while ethertype in _TAGS and len(data) >= at + 4:
        ethertype = data[at + 2] << 8 | data[at + 3]
        at += 4
    view = memoryview(data)[at:]
    try:
        if ethertype == ethernet.IPV4:
            return _read(ipv4.parse_quoted(view), len(data))
        if ethertype == ethernet.IPV6:
            return _read(ipv6.parse_quoted(view), len(data))
    except (WireError, struct.error):
        pass
    return None


def _read(packet: Packet, frame_bytes: int) -> Read | None:
    if packet.fragment_offset_bytes:
        return None
    body = packet.raw[packet.header_bytes :]
    # What the sender has put there, in so far as the capture does not have all of it
    said = packet.total_length - packet.header_bytes
    if packet.total_length in (0, ipv6.HEADER_BYTES):
        said = len(body)  # as `SuperFrame`
    if packet.proto == ipv4.TCP:
        return _segment(packet, body, said, frame_bytes)
    if packet.proto == ipv4.UDP and len(body) >= udp.HEADER_BYTES:
        src_port, dst_port = _PORTS.unpack_from(body)
        size = max(said - udp.HEADER_BYTES, 0)
        return Read(packet.proto, packet.src, packet.dst, src_port, dst_port, size, frame_bytes)
    if packet.proto in (ipv4.ICMP, ipv6_ext.ICMPV6):
        return _error(packet, body)
    return None


def segment_of(body: memoryview, tos: int) -> Segment:
    """Read a segment of which not all may have been captured. WireError: not even its header."""
    header_bytes = max((body[12] >> 4) * 4 if len(body) > 12 else 0, tcp.HEADER_BYTES)
    if tcp.HEADER_BYTES <= len(body) < header_bytes:  # options that were cut off are none
        body = memoryview(bytes(body).ljust(header_bytes, b"\0"))
    return tcp.read(body, 0, len(body), None, tos)


def _segment(packet: Packet, body: memoryview, said: int, frame_bytes: int) -> Read:
    segment = segment_of(body[:said], packet.tos)
    header_bytes = tcp.HEADER_BYTES + len(segment.options)
    return Read(
        packet.proto,
        packet.src,
        packet.dst,
        segment.src_port,
        segment.dst_port,
        max(said - header_bytes, 0),
        frame_bytes,
        packet.ident,
        segment.seq,
        segment.ack,
        segment.flags,
        segment.wnd,
        tcp_options.parse(segment.options) if len(segment.options) else None,
    )


def _error(packet: Packet, body: memoryview) -> Read | None:
    if len(body) < icmp.HEADER_BYTES:
        return None
    kind, code = body[0], body[1]
    is_v6 = packet.version == 6
    if (kind >= icmpv6.FIRST_INFORMATIONAL) if is_v6 else (kind not in icmp.ERRORS):
        return None
    quote = body[icmp.HEADER_BYTES :]
    about = ipv6.parse_quoted(quote) if is_v6 else ipv4.parse_quoted(quote)
    ports = about.raw[about.header_bytes : about.header_bytes + 4]
    if about.proto not in (ipv4.TCP, ipv4.UDP) or len(ports) < _PORTS.size:
        return None
    src_port, dst_port = _PORTS.unpack(ports)
    version = "ICMPv6" if is_v6 else "ICMP"
    said = f"{version} type {kind} code {code} from {format_ip(without_zone(packet.src))}"
    return Read(about.proto, about.src, about.dst, src_port, dst_port, 0, 0, quotes=said)
