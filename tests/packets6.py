"""IPv6 packets for tests, put together byte by byte."""

from typing import Final

from pystack.core.addresses import parse_ip6
from pystack.wire import icmpv6, ipv6
from pystack.wire.icmp import IcmpMessage
from pystack.wire.ipv6_ext import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING
from pystack.wire.packet import Packet

A: Final = parse_ip6("fe80::a")
B: Final = parse_ip6("fe80::b")
GLOBAL: Final = parse_ip6("2001:db8::1")
NOBODY: Final = parse_ip6("::")
ALL_NODES: Final = parse_ip6("ff02::1")
LAST: Final = 59  # no next header

Header = tuple[int, bytes]  # its number, and all behind its first byte


def options(number: int, body: bytes) -> Header:
    """Return a header of options, padded to whole words by PadN."""
    missing = -(2 + len(body)) % 8
    if missing:
        body += b"\0" if missing == 1 else bytes((1, missing - 2)) + bytes(missing - 2)
    return number, bytes(((2 + len(body)) // 8 - 1,)) + body


def hop_by_hop(body: bytes = b"") -> Header:
    return options(HOP_BY_HOP, body)


def destination(body: bytes = b"") -> Header:
    return options(DESTINATION_OPTIONS, body)


def routing(kind: int, left: int, stations: int = 1) -> Header:
    return ROUTING, bytes((2 * stations, kind, left)) + bytes(4 + 16 * stations)


def fragment(offset: int, *, more: bool, ident: int = 7) -> Header:
    return FRAGMENT, b"\0" + (offset << 3 | more).to_bytes(2, "big") + ident.to_bytes(4, "big")


def packet6(
    headers: list[Header],
    proto: int,
    payload: bytes = b"",
    *,
    src: int = A,
    dst: int = B,
    ttl: int = 64,
    tos: int = 0,
) -> bytes:
    """Return a packet with these extension headers."""
    body, following = payload, proto
    for number, rest in reversed(headers):
        body = bytes((following,)) + rest + body
        following = number
    return ipv6.pack_header(src, dst, following, len(body), ttl=ttl, tos=tos) + body


def parsed(data: bytes) -> Packet:
    return ipv6.parse(memoryview(data))


def message(
    data: bytes, *, src: int = A, dst: int = B, ttl: int = 255, headers: list[Header] | None = None
) -> tuple[Packet, IcmpMessage]:
    """Return an ICMPv6 message as it arrives."""
    packet = parsed(packet6(headers or [], ipv6.ICMPV6, data, src=src, dst=dst, ttl=ttl))
    return packet, icmpv6.parse(packet)
