"""A packet's line to the packet that arrives at the host: the script's numbers become live ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from pystack.testing.packetdrill.flow import MASK, Flow
from pystack.testing.packetdrill.icmp_words import on_the_wire
from pystack.testing.packetdrill.parse_options import pack
from pystack.testing.packetdrill.script import IcmpPart, Packet, TcpOption, TcpPart, UdpPart
from pystack.wire import icmp, icmpv6, ipv4, ipv6, tcp, tcp_options, udp

DEFAULT_TTL: Final = 255  # as the original's packets
_QUOTED_BYTES: Final = 8  # RFC 792: what an error has of the packet behind its IP header
_PATTERN: Final = bytes(at * 7 % 251 for at in range(251))


def pattern(offset: int, size: int) -> bytes:
    """Return what stands at `offset` of every stream, either way."""
    start = offset % len(_PATTERN)
    repeated = _PATTERN * ((start + size) // len(_PATTERN) + 1)
    return repeated[start : start + size]


def packet_of(line: Packet, flow: Flow) -> bytes:
    """Return the IP packet for a line that comes in."""
    src_port, dst_port = flow.inbound(line.ports)
    tos = line.ip.tos
    match line.part:
        case TcpPart() as part:
            proto, body = ipv4.TCP, _segment(part, flow, src_port, dst_port)
        case UdpPart(size):
            proto = ipv4.UDP
            body = udp.pack(flow.remote_ip, flow.local_ip, src_port, dst_port, pattern(0, size))
        case IcmpPart() as part:
            proto = ipv6.ICMPV6 if flow.is_v6 else ipv4.ICMP
            body = _message(part, flow)
    header = _pack_header(flow)(
        flow.remote_ip,
        flow.local_ip,
        proto,
        len(body),
        ttl=DEFAULT_TTL if line.ip.ttl is None else line.ip.ttl,
        tos=tos,
    )
    return header + body


def _segment(part: TcpPart, flow: Flow, src_port: int, dst_port: int) -> bytes:
    syn = bool(part.flags & tcp.SYN)
    seq = (part.seq + flow.theirs.offset(syn=syn)) & MASK
    ack = 0
    if part.flags & tcp.ACK:
        ack = ((part.ack or 0) + flow.ours.offset(syn=syn)) & MASK
    acked = bool(part.flags & tcp.ACK)
    options = [_live_option(option, flow, syn=syn, acked=acked) for option in part.options or ()]
    # What stands right behind a SYN is the stream's beginning, whatever its number.
    payload = pattern(0 if syn else part.seq - 1, part.size)
    segment = tcp.Segment(
        src_port,
        dst_port,
        seq,
        ack,
        part.flags,
        0 if part.win is None else part.win,
        pack(options),
        payload,
        up=part.urgent,
    )
    return tcp.pack_header(segment, flow.remote_ip, flow.local_ip) + payload


def _live_option(option: TcpOption, flow: Flow, *, syn: bool, acked: bool) -> TcpOption:
    data = option.data or b""
    if option.kind == tcp_options.SACK:
        offset = flow.ours.offset(syn=syn)
        edges = (edge + offset & MASK for (edge,) in struct.iter_unpack("!I", data))
        return TcpOption(option.kind, b"".join(edge.to_bytes(4, "big") for edge in edges))
    if option.kind == tcp_options.TIMESTAMPS and len(data) == 8 and acked:
        echo = flow.echo_to_live(int.from_bytes(data[4:], "big"))
        return TcpOption(option.kind, data[:4] + echo.to_bytes(4, "big"))
    return option


def _pack_header(flow: Flow) -> Callable[..., bytes]:
    return ipv6.pack_header if flow.is_v6 else ipv4.pack_header


def _message(part: IcmpPart, flow: Flow) -> bytes:
    kind, code = on_the_wire(part.kind, part.code, is_v6=flow.is_v6)
    rest, body = part.ident << 16, b""
    if part.kind not in (icmp.ECHO, icmp.ECHO_REPLY):
        rest, body = part.mtu_bytes or 0, _quoted(part, flow)
    if flow.is_v6:
        return icmpv6.pack(flow.remote_ip, flow.local_ip, kind, code, rest, body)
    return icmp.pack(kind, code, rest, body)


def _quoted(part: IcmpPart, flow: Flow) -> bytes:
    """Return the start of the packet of the host's that a message is about."""
    ports = struct.pack("!HH", flow.local_port, flow.remote_port)
    if part.quoted_proto == ipv4.UDP:
        size = udp.HEADER_BYTES + part.quoted_size
        start = ports + struct.pack("!HH", size, 0)
    else:
        # At 0 stands our SYN, as large as it was; a message that quotes nothing is about that too.
        text_bytes = part.quoted_size if part.quoted_seq else flow.syn_text_bytes
        size = tcp.HEADER_BYTES + text_bytes
        seq = (part.quoted_seq + flow.ours.offset(syn=False)) & MASK
        start = ports + seq.to_bytes(4, "big")
    header = _pack_header(flow)(flow.local_ip, flow.remote_ip, part.quoted_proto, size)
    return header + start[:_QUOTED_BYTES]
