"""A packet that the host sent, in the script's numbers, and as a line of text."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import WireError
from pystack.testing.packetdrill.flow import MASK, Flow
from pystack.testing.packetdrill.parse_options import describe, unpack
from pystack.testing.packetdrill.script import (
    EcnCheck,
    IcmpPart,
    IpPart,
    Packet,
    TcpOption,
    TcpPart,
    UdpPart,
)
from pystack.wire import icmp, icmpv6, ipv4, ipv6, tcp, tcp_options, udp
from pystack.wire.packet import Packet as IpPacket

_LETTERS: Final = (
    (tcp.FIN, "F"),
    (tcp.SYN, "S"),
    (tcp.RST, "R"),
    (tcp.PSH, "P"),
    (tcp.URG, "U"),
    (tcp.ECE, "E"),
    (tcp.CWR, "W"),
    (tcp.AE, "A"),
    (tcp.ACK, "."),
)
_ECN_NAMES: Final = ("noecn", "ect1", "ect0", "ce")


@dataclass(slots=True)
class Seen:
    """One packet, or several segments in a row that a line tells as one."""

    at_s: float  # in the script's time
    tos: int
    ttl: int
    ports: tuple[int, int]
    part: TcpPart | UdpPart | IcmpPart
    payload: bytes
    joined: bool = False

    def as_packet(self) -> Packet:
        """Return it as a line's value."""
        return Packet(False, IpPart(EcnCheck.TOS, self.tos, self.ttl), None, self.part)


def seen(packet: IpPacket, flow: Flow, at_s: float) -> Seen:
    """Read what the host sent. A WireError would be the host's fault: its packets are right."""
    match packet.proto:
        case ipv4.TCP:
            segment = tcp.parse(packet)
            ports = segment.src_port, segment.dst_port
            part = _tcp_part(segment, flow)
            return Seen(at_s, packet.tos, packet.ttl, ports, part, bytes(segment.payload))
        case ipv4.UDP:
            datagram = udp.parse(packet)
            payload = bytes(datagram.payload)
            ports = datagram.src_port, datagram.dst_port
            return Seen(at_s, packet.tos, packet.ttl, ports, UdpPart(len(payload)), payload)
        case ipv4.ICMP | ipv6.ICMPV6:
            message = icmpv6.parse(packet) if flow.is_v6 else icmp.parse(packet.payload)
            about = IcmpPart(message.kind, message.code, None, message.ident, 0, 0, 0)
            return Seen(at_s, packet.tos, packet.ttl, (0, 0), about, bytes(message.payload))
        case _:
            raise WireError("ip_unknown_protocol")


def _tcp_part(segment: tcp.Segment, flow: Flow) -> TcpPart:
    syn = bool(segment.flags & tcp.SYN)
    seq = (segment.seq - flow.ours.offset(syn=syn)) & MASK
    back = flow.theirs.offset(syn=syn)
    ack = (segment.ack - back) & MASK if segment.flags & tcp.ACK else None
    options = [_script_option(option, back) for option in unpack(bytes(segment.options))]
    return TcpPart(
        segment.flags,
        None,
        seq,
        len(segment.payload),
        ack,
        segment.wnd,
        segment.up,
        tuple(options),
    )


def _script_option(option: TcpOption, back: int) -> TcpOption:
    if option.kind != tcp_options.SACK or not option.data or len(option.data) % 4:
        return option
    edges = (edge - back & MASK for (edge,) in struct.iter_unpack("!I", option.data))
    return TcpOption(option.kind, b"".join(edge.to_bytes(4, "big") for edge in edges))


def line_of(packet: Packet) -> str:
    """Return a packet as its line would be written."""
    words = ["<" if packet.inbound else ">"]
    if packet.ip.check is EcnCheck.ECN:
        words.append(f"[{_ECN_NAMES[packet.ip.tos & 3]}]")
    elif packet.ip.check is EcnCheck.ECT_EITHER:
        words.append("[ect01]")
    elif packet.ip.check is EcnCheck.TOS and packet.ip.tos:
        shown = f"tos {packet.ip.tos:#04x}" if packet.ip.tos >> 2 else _ECN_NAMES[packet.ip.tos]
        words.append(f"[{shown}]")
    if packet.ports is not None:
        words.append(f"{packet.ports[0]} > {packet.ports[1]}")
    match packet.part:
        case TcpPart() as part:
            words += _tcp_words(part)
        case UdpPart(size):
            words.append(f"udp ({size})")
        case IcmpPart(kind=kind, code=code):
            words.append(f"icmp type {kind} code {code}")
    return " ".join(words)


def _tcp_words(part: TcpPart) -> list[str]:
    letters = "".join(letter for bit, letter in _LETTERS if part.flags & bit) or "-"
    words = [letters, f"{part.seq}:{part.seq + part.size & MASK}({part.size})"]
    if part.ack is not None:
        words.append(f"ack {part.ack}")
    if part.win is not None:
        words.append(f"win {part.win}")
    if part.urgent:
        words.append(f"urg {part.urgent}")
    if part.options is None:
        words.append("<...>")
    elif part.options:
        words.append(f"<{describe(part.options)}>")
    return words
