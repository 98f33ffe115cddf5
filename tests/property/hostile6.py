"""Good IPv6 frames of every kind, to be spoiled, and what spoils them."""

from random import Random
from typing import Final

from packets6 import Header, destination, fragment, hop_by_hop, options, packet6, routing
from stack_bench import HERE_MAC, OTHER_MAC, PEER_MAC
from stack_bench6 import (
    ALL_NODES,
    FAR,
    HERE,
    HERE_LINK,
    NOBODY,
    PEER,
    PEER_LINK,
    ROUTER,
    datagram6,
    frame6,
    icmp6,
    message6,
)
from storm import PEER_ISS

from pystack.core.addresses import Prefix, parse_ip6, solicited_node
from pystack.core.errors import WireError
from pystack.wire import icmpv6, ipv6, mld, nd, tcp, tcp_options, udp
from pystack.wire.checksum import checksum, pseudo_header_sum
from pystack.wire.ipv6_ext import HOP_BY_HOP

GROUP: Final = parse_ip6("ff02::fb")
ALERT: Final[Header] = (HOP_BY_HOP, mld.ROUTER_ALERT[1:])
UNKNOWN: Final = [bytes((kind, 2, 1, 2)) for kind in (0x1E, 0x5E, 0x9E, 0xDE)]
# Whose packet is it? All that a host has to think twice about
ODD_ADDRESSES: Final = [
    parse_ip6(text)
    for text in (
        "::",
        "::1",
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "fe80::1",
        "fe80::2",
        "fd00::1",
        "fd00::9",
        "2001:db8::9",
        "ff01::1",
        "ff02::1",
        "ff02::1:ff00:1",
        "ff0e::1",
        "fec0::1",
        "2002:a00:1::1",
    )
]


def segment6(
    flags: int, *, seq: int = 0, ack: int = 0, port: int = 5000, payload: bytes = b""
) -> bytes:
    """Return a segment from a port of the peer's to our listener."""
    told = tcp_options.pack(
        tcp_options.TcpOptions(1440, 7, True, (1, 0) if flags & tcp.SYN else (2, 3))
    )
    segment = tcp.Segment(port, 80, seq, ack, flags, 1000, told, payload)
    return packet6([], 6, tcp.pack_header(segment, PEER, HERE) + payload, src=PEER, dst=HERE)


def router_advertisement(prefix: int = FAR, lifetime_s: int = 1800, src: int = ROUTER) -> bytes:
    """Return what a router says, with all options, in its packet."""
    said = nd.RouterAdvertisement(
        64,
        preference=1,
        lifetime_s=lifetime_s,
        reachable_ms=30_000,
        retrans_ms=1000,
        options=nd.NdOptions(
            source_mac=OTHER_MAC,
            mtu_bytes=1400,
            prefixes=[nd.PrefixInformation(Prefix.of(prefix, 64), True, True, 86400, 14400)],
            routes=[nd.RouteInformation(Prefix.of(prefix, 48), 1, 600)],
            rdnss=[nd.Rdnss(600, (prefix,))],
            dnssl=[nd.Dnssl(600, ("lab.example",))],
        ),
    )
    return message6(nd.pack_router_advertisement(src, ALL_NODES, said), src, ALL_NODES)


def discovery() -> list[bytes]:
    """Return Neighbor Discovery and Multicast Listener Discovery of every kind."""
    asked, group = nd.pack_neighbor_solicitation, solicited_node(HERE)
    answered = nd.pack_neighbor_advertisement
    better = nd.Redirect(PEER_LINK, FAR, nd.NdOptions(target_mac=PEER_MAC, redirected=bytes(48)))
    messages = [
        (asked(PEER, group, HERE, source_mac=PEER_MAC), PEER, group),
        (asked(PEER_LINK, HERE_LINK, HERE_LINK, source_mac=PEER_MAC), PEER_LINK, HERE_LINK),
        (asked(NOBODY, group, HERE, source_mac=None, nonce=b"abcdef"), NOBODY, group),
        (
            answered(PEER, HERE, PEER, mac=PEER_MAC, router=False, solicited=True, override=True),
            PEER,
            HERE,
        ),
        (
            answered(
                PEER, ALL_NODES, PEER, mac=OTHER_MAC, router=True, solicited=False, override=True
            ),
            PEER,
            ALL_NODES,
        ),
        (
            answered(
                PEER, ALL_NODES, HERE, mac=OTHER_MAC, router=False, solicited=False, override=True
            ),
            PEER,
            ALL_NODES,
        ),
        (nd.pack_router_solicitation(PEER, ALL_NODES, source_mac=PEER_MAC), PEER, ALL_NODES),
        (nd.pack_redirect(ROUTER, HERE, better), ROUTER, HERE),
    ]
    listeners = [
        mld.pack_query(ROUTER, ALL_NODES, mld.MldQuery(1.0, NOBODY, 1)),
        mld.pack_query(ROUTER, ALL_NODES, mld.MldQuery(1.0, GROUP, 2, (FAR,))),
        mld.pack_report1(ROUTER, ALL_NODES, GROUP),
        mld.pack_report(ROUTER, ALL_NODES, [(mld.MODE_IS_EXCLUDE, GROUP)]),
    ]
    return [
        *(message6(*each) for each in messages),
        router_advertisement(),
        router_advertisement(lifetime_s=0),
        *(packet6([ALERT], 58, each, src=ROUTER, dst=ALL_NODES, ttl=1) for each in listeners),
    ]


def errors() -> list[bytes]:
    """Return errors about packets of ours, and about others."""
    ours = packet6([], 17, udp.pack(HERE, PEER, 7, 5000, b"abc"), src=HERE, dst=PEER)
    segment = packet6([], 6, bytes.fromhex("0050138800000001"), src=HERE, dst=PEER)
    first = packet6([fragment(0, more=True)], 17, udp.pack(HERE, PEER, 7, 5000, b""), src=HERE)
    echo = icmp6(icmpv6.ECHO, 0, 1, b"ping", src=HERE, dst=PEER)
    kinds = [(1, 0, 0), (1, 4, 0), (2, 0, 1280), (2, 0, 1400), (2, 0, 68), (3, 0, 0), (4, 1, 6)]
    return [
        icmp6(kind, code, rest, quote)
        for kind, code, rest in kinds
        for quote in (ours, segment, first, echo)
    ]


def chains() -> list[bytes]:
    """Return packets with all sorts of extension headers."""
    lists: list[list[Header]] = [
        [hop_by_hop(), destination(), routing(0, 0)],
        [hop_by_hop(UNKNOWN[0]), destination(UNKNOWN[0])],
        *([hop_by_hop(each)] for each in UNKNOWN),
        *([destination(each)] for each in UNKNOWN),
        [destination(), hop_by_hop()],
        [routing(0, 1)],
        [routing(4, 2, 2)],
        [destination()] * 9,
        [hop_by_hop(bytes((0xC2, 4, 0, 1, 0, 0)))],
        [fragment(0, more=False)],
        [fragment(0, more=False), destination()],
        [options(HOP_BY_HOP, bytes((0x1E, 0) * 12))],
    ]
    return [datagram6(b"in a chain", headers=each) for each in lists]


def fragments() -> list[bytes]:
    """Return pieces of datagrams that fit together, overlap, or are too small."""
    whole = udp.pack(PEER, HERE, 5000, 7, bytes(range(80)))
    return [
        packet6([fragment(0, more=True)], 17, whole[:48], src=PEER, dst=HERE),
        packet6([fragment(6, more=False)], 17, whole[48:], src=PEER, dst=HERE),
        packet6([fragment(5, more=False)], 17, whole[40:], src=PEER, dst=HERE),
        packet6([fragment(0, more=True, ident=8)], 17, whole[:4], src=PEER, dst=HERE),
        packet6([fragment(1, more=True, ident=8)], 17, whole[8:16], src=PEER, dst=HERE),
        packet6([fragment(8191, more=True, ident=9)], 17, whole[:80], src=PEER, dst=HERE),
        packet6([fragment(0, more=True, ident=9)], 44, bytes(16), src=PEER, dst=HERE),
        packet6(
            [destination(), fragment(0, more=True), destination()], 17, whole, src=PEER, dst=HERE
        ),
    ]


def corpus6() -> list[bytes]:
    """Return good frames of every kind."""
    packets = [
        *discovery(),
        *errors(),
        *chains(),
        *fragments(),
        icmp6(icmpv6.ECHO, 0, 1, bytes(56)),
        icmp6(icmpv6.ECHO, 0, 1, b"all", src=PEER_LINK, dst=ALL_NODES),
        icmp6(icmpv6.ECHO_REPLY, 0, 1, b"pong"),
        icmp6(200),
        datagram6(b"hello"),
        datagram6(b"far", src=FAR),
        datagram6(b"no port", dst_port=9),
        datagram6(b"to a group", dst=GROUP),
        packet6([], 59, b"nothing", src=PEER, dst=HERE),
        packet6([], 132, b"data", src=PEER, dst=HERE),
        segment6(tcp.SYN, seq=7, port=6000),
        segment6(tcp.SYN | tcp.ACK, seq=7, ack=9),
        segment6(tcp.ACK | tcp.PSH, seq=PEER_ISS + 1, payload=b"GET / HTTP/1.1"),
        segment6(tcp.ACK | tcp.FIN, seq=PEER_ISS + 1),
        segment6(tcp.RST, seq=PEER_ISS + 1),
    ]
    return [frame6(packet) for packet in packets]


CORPUS6: Final = corpus6()
# Where a change means most: lengths, next headers, hop limits, options, offsets, types, ports
HOT_BYTES6: Final = (12, 13, 14, 18, 19, 20, 21, 22, 38, *range(54, 90))
_CHECKSUM_AT: Final = {6: 16, 17: 6, 58: 2}


def mended6(data: bytearray) -> bytes:
    """Put the checksum right, so that what is wrong is found further up."""
    if data[12:14] != b"\x86\xdd":
        return bytes(data)
    try:
        packet = ipv6.parse(memoryview(data)[14:])
    except WireError:
        return bytes(data)
    at, size = _CHECKSUM_AT.get(packet.proto), len(packet.payload)
    if at is not None and size >= at + 2 and not packet.is_fragment:
        start = 14 + packet.header_bytes + at
        src, dst, proto = packet.src, packet.dst, packet.proto
        del packet  # its views would keep the bytearray from being changed
        data[start : start + 2] = b"\0\0"
        body = bytes(data[start - at : start - at + size])
        check = checksum(body, pseudo_header_sum(src, dst, proto, size))
        data[start : start + 2] = check.to_bytes(2, "big")
    return bytes(data)


def spoiled6(frame: bytes, rng: Random) -> bytes:
    """Return a frame with some of it changed, cut off or added; most with a good checksum."""
    data = bytearray(frame)
    for _ in range(rng.randrange(4) if data else 0):
        at = rng.choice(HOT_BYTES6) if rng.random() < 0.6 else rng.randrange(len(data))
        if at < len(data):
            data[at] = rng.choice((0, 1, 255, data[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    if rng.random() < 0.15:
        at = rng.choice((22, 38))
        address = ipv6_bytes(rng.choice(ODD_ADDRESSES))
        data[at : at + 16] = address
        if at == 38:
            data[:6] = rng.choice((b"\x33\x33" + address[12:], HERE_MAC))
    kind = rng.random()
    if kind < 0.1 and data:
        del data[rng.randrange(len(data)) :]
    elif kind < 0.2:
        data += rng.randbytes(rng.randrange(40))
    elif kind < 0.3 and len(data) >= 54:  # the length follows
        del data[rng.randrange(54, len(data) + 1) :]
        data[18:20] = (len(data) - 54).to_bytes(2, "big")
    return mended6(data) if rng.random() < 0.8 else bytes(data)


def ipv6_bytes(address: int) -> bytes:
    """Return the 16 bytes of an address."""
    return (address & (1 << 128) - 1).to_bytes(16, "big")
