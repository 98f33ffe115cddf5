"""Frames to look at, of every kind that a line is promised for."""

import struct
from typing import Final

from pystack.core.addresses import Ip4, Mac, parse_ip4
from pystack.wire import arp, ethernet, icmp, ipv4, tcp, tcp_options, udp

A: Final = parse_ip4("10.77.0.1")
B: Final = parse_ip4("10.77.0.2")
MAC_A: Final = Mac(bytes.fromhex("020000000001"))
MAC_B: Final = Mac(bytes.fromhex("020000000002"))
SYN_OPTIONS: Final = tcp_options.TcpOptions(
    mss=1460, sack_permitted=True, timestamps=(1, 0), wscale=7
)


def ip_frame(proto: int, body: bytes, flags_offset: int = 0) -> bytes:
    """Return an IPv4 packet from A to B in its frame."""
    header = ipv4.pack_header(A, B, proto, len(body), flags_offset=flags_offset)
    return ethernet.pack(MAC_B, MAC_A, ethernet.IPV4, header + body)


def tcp_frame(
    flags: int,
    payload: bytes = b"",
    options: bytes = b"",
    ports: tuple[int, int] = (40324, 80),
    urgent: int = 0,
) -> bytes:
    """Return a segment from A to B in its frame."""
    ack = 456 if flags & tcp.ACK else 0
    segment = tcp.Segment(*ports, 2**32 - 5, ack, flags, 64240, options, payload, up=urgent)
    return ip_frame(ipv4.TCP, tcp.pack_header(segment, A, B) + payload)


def udp_frame(payload: bytes, flags_offset: int = 0, kept: int | None = None) -> bytes:
    """Return a datagram from A to B in its frame, or the first `kept` bytes of it."""
    return ip_frame(ipv4.UDP, udp.pack(A, B, 5, 7777, payload)[:kept], flags_offset)


def icmp_frame(kind: int, code: int = 0, rest: int = 0, payload: bytes = b"") -> bytes:
    """Return an ICMP message from A to B in its frame."""
    return ip_frame(ipv4.ICMP, icmp.pack(kind, code, rest, payload))


def arp_frame(op: int, target: Ip4, tha: Mac = Mac(bytes(6))) -> bytes:  # noqa: B008
    """Return an ARP packet of A's in its frame."""
    return ethernet.pack(b"\xff" * 6, MAC_A, ethernet.ARP, arp.pack(op, MAC_A, A, target, tha))


def ip6_frame(next_header: int, body: bytes) -> bytes:
    """Return an IPv6 packet from fe80::1 to ff02::2 in its frame."""
    addresses = bytes.fromhex(f"fe80{1:028x}ff02{2:028x}")
    header = struct.pack("!IHBB", 6 << 28, len(body), next_header, 255) + addresses
    return ethernet.pack(MAC_B, MAC_A, ethernet.IPV6, header + body)


def quoted(frame: bytes) -> bytes:
    """Return what an ICMP error quotes of the frame's packet: header and 8 bytes."""
    return frame[ethernet.HEADER_BYTES : ethernet.HEADER_BYTES + 28]


def tcp_frames() -> list[bytes]:
    """Return segments with all flags and options that tcpdump and we have words for."""
    sack = bytes((1, 1, 5, 18)) + struct.pack("!IIII", 5, 9, 20, 2**32 - 1)
    return [
        tcp_frame(tcp.SYN, options=tcp_options.pack(SYN_OPTIONS)),
        tcp_frame(tcp.SYN | tcp.ACK),
        tcp_frame(tcp.ACK),
        tcp_frame(tcp.FIN | tcp.ACK),
        tcp_frame(tcp.RST),
        tcp_frame(tcp.RST | tcp.ACK),
        tcp_frame(tcp.SYN | tcp.ECE | tcp.CWR),
        tcp_frame(0),
        tcp_frame(0x1FF, b"ab", ports=(5, 6), urgent=4),
        tcp_frame(tcp.ACK, b"x" * 10, ports=(40324, 9999)),
        tcp_frame(tcp.ACK | tcp.PSH, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        tcp_frame(tcp.ACK, b"HTTP/1.1 200 OK\r\n\r\nbody", ports=(80, 40324)),
        tcp_frame(tcp.ACK, b"in the middle of a body", ports=(8080, 40324)),
        tcp_frame(tcp.ACK, options=sack),
        tcp_frame(tcp.ACK, options=bytes((254, 4, 1, 2, 0, 0, 0, 0))),
        tcp_frame(tcp.SYN, options=bytes((34, 2, 1, 1))),
        tcp_frame(tcp.SYN, options=bytes((34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 0))),
    ]


def icmp_frames() -> list[bytes]:
    """Return echo messages and every kind of error."""
    quote, tcp_quote = quoted(udp_frame(b"abc")), quoted(tcp_frame(tcp.SYN))
    errors = [icmp_frame(icmp.DESTINATION_UNREACHABLE, code, 1400, quote) for code in range(17)]
    return [
        *errors,
        icmp_frame(icmp.ECHO, 0, 5 << 16 | 6, bytes(56)),
        icmp_frame(icmp.ECHO_REPLY, 0, 5 << 16 | 6),
        icmp_frame(icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, 0, tcp_quote),
        icmp_frame(icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, 0, quote),
        icmp_frame(icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED, 0, quote),
        icmp_frame(icmp.TIME_EXCEEDED, 2, 0, quote),
        icmp_frame(icmp.PARAMETER_PROBLEM, 0, 20 << 24, quote),
        icmp_frame(icmp.PARAMETER_PROBLEM, 1, 0, quote),
        icmp_frame(4, 0, 0, quote),
        icmp_frame(5, 0, A, quote),
        icmp_frame(5, 1, A, quote),
        icmp_frame(200, 3),
    ]


def ordinary_frames() -> list[bytes]:
    """Return frames whose lines are to equal tcpdump's."""
    listener_report = bytes.fromhex("3a00050200000100" + "8f00000000000001") + bytes(20)
    return [
        *tcp_frames(),
        *icmp_frames(),
        udp_frame(b"abc"),
        udp_frame(b""),
        udp_frame(b"a" * 100, ipv4.MORE_FRAGMENTS, kept=64),
        ip_frame(ipv4.UDP, b"abcdefgh", ipv4.MORE_FRAGMENTS | 1),
        ip_frame(ipv4.ICMP, b"abcdefgh", 1),
        arp_frame(arp.REQUEST, B),
        arp_frame(arp.REQUEST, B, MAC_B),
        arp_frame(arp.REQUEST, A) + bytes(18),
        arp_frame(arp.REPLY, B, MAC_B),
        ip6_frame(58, b"\x85" + bytes(7)),
        ip6_frame(58, b"\x87" + bytes(23)),
        ip6_frame(58, b"\x80" + bytes(23)),
        ip6_frame(0, listener_report),
        ip6_frame(17, udp.pack(0, 0, 5, 6, b"abc")),
        ip6_frame(59, b""),
        ethernet.pack(MAC_B, MAC_A, 0x8100, b"\0\5" + tcp_frame(tcp.ACK)[12:]),
        tcp_frame(tcp.ACK) + bytes(6),
    ]
