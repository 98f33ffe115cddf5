"""IPv6 frames to look at, of every kind that a line is promised for."""

from typing import Final

from packets6 import Header, destination, fragment, hop_by_hop, packet6, routing
from sample_frames import MAC_A, MAC_B

from pystack.core.addresses import Prefix, parse_ip6, solicited_node
from pystack.wire import ethernet, icmpv6, mld, nd, tcp, udp
from pystack.wire.ipv6_ext import HOP_BY_HOP, ICMPV6

A: Final = parse_ip6("fd00::a")
B: Final = parse_ip6("fd00::b")
LINK: Final = parse_ip6("fe80::1")
ALL: Final = parse_ip6("ff02::1")
GROUP: Final = parse_ip6("ff02::fb")
NOBODY: Final = parse_ip6("::")


def frame6(packet: bytes) -> bytes:
    """Return a packet in a frame."""
    return ethernet.pack(MAC_B, MAC_A, ethernet.IPV6, packet)


def segment6(flags: int, payload: bytes = b"", headers: list[Header] | None = None) -> bytes:
    """Return a TCP segment from A to B in its frame."""
    ack = 456 if flags & tcp.ACK else 0
    segment = tcp.Segment(40324, 80, 2**32 - 5, ack, flags, 64240, b"", payload)
    return frame6(packet6(headers or [], 6, tcp.pack_header(segment, A, B) + payload, src=A, dst=B))


def datagram6(payload: bytes, headers: list[Header] | None = None) -> bytes:
    """Return a datagram from A to B in its frame."""
    data = udp.pack(A, B, 5, 7777, payload)
    return frame6(packet6(headers or [], 17, data, src=A, dst=B))


def icmp6_frame(message: bytes, src: int = LINK, dst: int = ALL, ttl: int = 255) -> bytes:
    """Return an ICMPv6 message in its frame."""
    return frame6(packet6([], ICMPV6, message, src=src, dst=dst, ttl=ttl))


def error6(kind: int, code: int = 0, rest: int = 0, quote: bytes = b"") -> bytes:
    """Return an error about a packet of B's."""
    quote = quote or packet6([], 17, udp.pack(B, A, 7777, 5, b"abc"), src=B, dst=A)
    return icmp6_frame(icmpv6.pack(A, B, kind, code, rest, quote), A, B, 64)


def errors6() -> list[bytes]:
    """Return errors of every kind."""
    quote = packet6([], 6, bytes.fromhex("00500016") + bytes(20), src=B, dst=A)
    behind = packet6([destination()], 17, udp.pack(B, A, 7777, 5, b"abc"), src=B, dst=A)
    return [
        *(error6(icmpv6.DESTINATION_UNREACHABLE, code) for code in (0, 2, 3, 4)),
        error6(icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE, 0, quote),
        error6(icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE, 0, behind),
        error6(icmpv6.PACKET_TOO_BIG, 0, 1400),
        *(error6(icmpv6.TIME_EXCEEDED, code) for code in range(3)),
        *(error6(icmpv6.PARAMETER_PROBLEM, code, 40) for code in range(5)),
    ]


def discovery_frames() -> list[bytes]:
    """Return Neighbor Discovery of every kind, with all options."""
    options = nd.NdOptions(
        source_mac=MAC_A,
        mtu_bytes=1400,
        prefixes=[nd.PrefixInformation(Prefix.of(A, 64), True, True, 86400, nd.FOR_EVER)],
        routes=[nd.RouteInformation(Prefix.of(A, 48), 1, 600)],
        rdnss=[nd.Rdnss(600, (A, B))],
        dnssl=[nd.Dnssl(600, ("lab.example", "b.example"))],
    )
    return [
        icmp6_frame(nd.pack_neighbor_solicitation(LINK, B, B, source_mac=MAC_A), LINK, B),
        icmp6_frame(
            nd.pack_neighbor_solicitation(
                NOBODY, solicited_node(B), B, source_mac=None, nonce=b"123456"
            ),
            NOBODY,
            solicited_node(B),
        ),
        icmp6_frame(
            nd.pack_neighbor_advertisement(
                LINK, ALL, B, mac=MAC_B, router=True, solicited=True, override=True
            )
        ),
        icmp6_frame(
            nd.pack_neighbor_advertisement(
                LINK, ALL, B, mac=MAC_B, router=False, solicited=False, override=False
            )
        ),
        icmp6_frame(nd.pack_router_solicitation(LINK, ALL, source_mac=MAC_A)),
        icmp6_frame(
            nd.pack_router_advertisement(
                LINK, ALL, nd.RouterAdvertisement(64, True, True, 1, 1800, 30000, 1000, options)
            )
        ),
        icmp6_frame(nd.pack_router_advertisement(LINK, ALL, nd.RouterAdvertisement())),
        icmp6_frame(
            nd.pack_redirect(LINK, B, nd.Redirect(LINK, A, nd.NdOptions(target_mac=MAC_B))), LINK, B
        ),
    ]


def listener_frames() -> list[bytes]:
    """Return Multicast Listener Discovery of version 2."""
    records = [(mld.CHANGE_TO_EXCLUDE, GROUP), (mld.CHANGE_TO_INCLUDE, ALL)]
    messages = [
        mld.pack_query(LINK, ALL, mld.MldQuery(10.0, NOBODY, 2)),
        mld.pack_query(LINK, ALL, mld.MldQuery(1.0, GROUP, 2, (A,))),
        mld.pack_report(LINK, ALL, records),
        mld.pack_report(LINK, ALL, [(mld.MODE_IS_INCLUDE, GROUP)], (A, B)),
    ]
    return [listener_frame(message) for message in messages]


def listener_frame(message: bytes) -> bytes:
    """Return a message of Multicast Listener Discovery in its frame, behind a Router Alert."""
    alert = (HOP_BY_HOP, mld.ROUTER_ALERT[1:])
    return frame6(packet6([alert], ICMPV6, message, src=LINK, dst=ALL, ttl=1))


def ordinary_frames6() -> list[bytes]:
    """Return frames whose lines are to equal tcpdump's."""
    echo = icmpv6.pack(A, B, icmpv6.ECHO, 0, 5 << 16 | 6, bytes(56))
    reply = icmpv6.pack(A, B, icmpv6.ECHO_REPLY, 0, 5 << 16 | 6, b"")
    return [
        segment6(tcp.SYN),
        segment6(tcp.ACK | tcp.PSH, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        segment6(tcp.ACK, headers=[destination()]),
        datagram6(b"abc"),
        datagram6(b"abc", [hop_by_hop(), destination()]),
        datagram6(b"abc", [fragment(0, more=True, ident=0x1234)]),
        datagram6(b"abcdefgh", [fragment(2, more=True, ident=0x1234)]),
        datagram6(b"abc", [fragment(3, more=False, ident=0x1234)]),
        datagram6(b"abc", [routing(0, 1)]),
        datagram6(b"abc", [routing(4, 0)]),
        icmp6_frame(echo, A, B, 64),
        icmp6_frame(reply, A, B, 64),
        *errors6(),
        *discovery_frames(),
        *listener_frames(),
        frame6(packet6([], 59, b"", src=A, dst=B)),
        frame6(packet6([], 59, b"abc", src=A, dst=B)),
    ]
