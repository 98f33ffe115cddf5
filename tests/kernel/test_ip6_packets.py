"""IPv6 packets beside Linux: fragments there and back, and what the oddest of them are answered."""

from typing import Final

import pytest
import trio
from netns import NetworkNamespace
from packets6 import Header, destination, fragment, hop_by_hop, options, packet6, routing
from stack_bench import HERE_MAC, OTHER_MAC, FakePort
from stack_bench6 import Bench6, frame6
from test_neighbor_discovery import LINK, MAC, World, in_world

from pystack.core.addresses import Ip, Prefix, pack_ip6, parse_ip6, parse_mac
from pystack.observe.observer import Event, FrameSeen
from pystack.stack.ports import ANY
from pystack.wire import ethernet, icmpv6, ipv6, udp
from pystack.wire.frame import Frame
from pystack.wire.ipv6_ext import DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ROUTING

pytestmark = pytest.mark.kernel

KERNEL: Final = parse_ip6("fd77::1")
OURS: Final = parse_ip6("fd77::2")
CLOSED: Final = 9  # a UDP port of both
PING: Final = range(0x4000, 0x5000)  # identifiers of our marks


@pytest.mark.parametrize("size", [1452, 1453, 4000, 60_000])
def test_a_ping_of_any_size_goes_there_and_back(netns: NetworkNamespace, size: int) -> None:
    async def test(world: World) -> None:
        said = await world.run(f"ping -6 -c 2 -i 0.2 -W 5 -s {size} fd77::2")
        assert " 0% packet loss" in said
        fragments = world.host.counters["ip_fragments_in"], world.host.counters["ip_fragments_out"]
        pieces = -(-(size + 8) // 1448) if size > 1452 else 0
        assert fragments == (2 * pieces, 2 * pieces)

    in_world(netns, test)


def test_datagrams_in_fragments_come_back_as_they_went(netns: NetworkNamespace) -> None:
    async def test(world: World) -> None:
        socket = world.host.udp.bind(ANY, 7)

        def echo() -> None:
            while (found := socket.receive()) is not None:
                payload, src, src_port = found[:3]
                socket.send_to(payload, Ip(src), src_port, world.now)

        socket.on_readable = echo
        said = await trio.to_thread.run_sync(lambda: netns.python("udp6_echoed", "fd77::2", 7))
        assert said.split() == ["1", "1452", "1453", "9000", "65000"]

    in_world(netns, test)


def option(kind: int, body: bytes = b"\1\2") -> bytes:
    return bytes((kind, len(body))) + body


def datagram(headers: list[Header]) -> bytes:
    data = udp.pack(OURS, KERNEL, 5000, CLOSED, b"sixteen bytes...")
    return packet6(headers, 17, data, src=OURS, dst=KERNEL)


def raw(number: int, body: bytes, headers: list[Header] | None = None) -> bytes:
    return packet6(headers or [], number, body, src=OURS, dst=KERNEL)


def jumbo() -> bytes:
    data = bytearray(datagram([hop_by_hop(option(0xC2, (70_000).to_bytes(4, "big")))]))
    data[4:6] = b"\0\0"
    return bytes(data)


WHOLE: Final = udp.pack(OURS, KERNEL, 5000, CLOSED, bytes(40))
# Each may be answered by a datagram's "port unreachable", or by what is wrong with it.
CASES: Final[dict[str, list[bytes]]] = {
    "plain": [datagram([])],
    "all headers": [datagram([hop_by_hop(), destination(), routing(0, 0), destination()])],
    "options to skip": [datagram([hop_by_hop(option(0x1E)), destination(option(0x3E))])],
    "destination option to drop": [datagram([destination(option(0x5E))])],
    "destination option to answer": [datagram([destination(option(0x9E))])],
    "destination option to answer to one": [datagram([destination(option(0xDE))])],
    "hop-by-hop option to drop": [datagram([hop_by_hop(option(0x5E))])],
    "hop-by-hop option to answer": [datagram([hop_by_hop(option(0x9E))])],
    "an option behind another": [datagram([destination(option(0x1E) + option(0x9E))])],
    "late hop-by-hop": [datagram([destination(), hop_by_hop()])],
    "two hop-by-hop": [datagram([hop_by_hop(), hop_by_hop()])],
    "routing type 0": [datagram([routing(0, 1)])],
    "routing type 5": [datagram([routing(5, 1)])],
    "routing type 5, done": [datagram([routing(5, 0)])],
    "padding of eight": [datagram([(DESTINATION_OPTIONS, b"\1" + b"\1\6" + bytes(12))])],
    "padding with text": [datagram([(DESTINATION_OPTIONS, b"\0\1\4abcd")])],
    "option beyond its header": [datagram([(DESTINATION_OPTIONS, b"\0\x1e\x09" + bytes(4))])],
    "eight options": [datagram([options(DESTINATION_OPTIONS, option(0x1E, b"") * 8)])],
    "nine options": [datagram([options(DESTINATION_OPTIONS, option(0x1E, b"") * 9)])],
    "header beyond the packet": [raw(DESTINATION_OPTIONS, b"\x11\7" + bytes(6))],
    "hop-by-hop beyond the packet": [raw(HOP_BY_HOP, b"\x11\7" + bytes(6))],
    "half a fragment header": [raw(FRAGMENT, b"\x11\0\0\0")],
    "atomic fragment": [datagram([fragment(0, more=False)])],
    "no next header": [raw(59, b"anything")],
    "unknown protocol": [raw(201, b"anything")],
    "unknown protocol behind headers": [raw(201, b"anything", [hop_by_hop(), destination()])],
    "two fragments": [
        raw(17, WHOLE[24:], [fragment(3, more=False, ident=2)]),
        raw(17, WHOLE[:24], [fragment(0, more=True, ident=2)]),
    ],
    "fragment of odd length": [raw(17, WHOLE[:17], [fragment(0, more=True, ident=3)])],
    "fragment beyond all datagrams": [raw(17, bytes(16), [fragment(8190, more=False, ident=4)])],
    "first fragment without a header": [raw(17, b"", [fragment(0, more=True, ident=5)])],
    "first fragment of half a TCP header": [raw(6, bytes(16), [fragment(0, more=True, ident=6)])],
    "overlapping fragments": [
        raw(17, WHOLE[:24], [fragment(0, more=True, ident=7)]),
        raw(17, bytes(16), [fragment(2, more=True, ident=7)]),
        raw(17, WHOLE[24:], [fragment(3, more=False, ident=7)]),
    ],
    "fragment twice": [
        raw(17, WHOLE[:24], [fragment(0, more=True, ident=8)]),
        raw(17, WHOLE[:24], [fragment(0, more=True, ident=8)]),
        raw(17, WHOLE[24:], [fragment(3, more=False, ident=8)]),
    ],
    "routing header behind a fragment header": [
        raw(
            ROUTING,
            bytes((17, 0, 5, 1)) + bytes(4) + WHOLE[:16],
            [fragment(0, more=True, ident=9)],
        ),
        raw(ROUTING, WHOLE[16:], [fragment(3, more=False, ident=9)]),
    ],
    "an error about nobody's packet": [
        raw(58, icmpv6.pack(OURS, KERNEL, 1, 4, 0, raw(17, bytes(8)))),
    ],
    "wrong checksum": [raw(17, WHOLE[:-1] + b"x")],
    "no checksum": [raw(17, WHOLE[:6] + b"\0\0" + WHOLE[8:])],
}
Answer = tuple[int, int, int]


def answers(packets: list[bytes]) -> list[Answer]:
    """Return the errors among packets: type, code and what follows them."""
    found: list[Answer] = []
    for data in packets:
        packet = ipv6.parse(memoryview(data))
        if packet.proto != ipv6.ICMPV6:
            continue
        message = icmpv6.parse(packet)
        if message.kind < icmpv6.FIRST_INFORMATIONAL:
            found.append((message.kind, message.code, message.rest))
    return found


def onward(
    dst: str,
    headers: list[Header] | None = None,
    *,
    src: int = OURS,
    ttl: int = 64,
    size: int = 16,
    number: int = 17,
) -> list[bytes]:
    """Return a packet that a router is to pass on."""
    return [packet6(headers or [], number, bytes(size), src=src, dst=parse_ip6(dst), ttl=ttl)]


# What a router answers; behind it are fd99::/64, over a link with an MTU of 1280, and nothing else.
ROUTED: Final[dict[str, list[bytes]]] = {
    "passed on": onward("fd99::9"),
    "passed on for the last time": onward("fd99::9", ttl=2),
    "too old": onward("fd99::9", ttl=1),
    "as old as can be": onward("fd99::9", ttl=0),
    "too old, in a fragment": onward("fd99::9", [fragment(9, more=False)], ttl=1),
    "too large": onward("fd99::9", size=1241),
    "just so": onward("fd99::9", size=1240),
    "a fragment too large": onward("fd99::9", [fragment(0, more=True)], size=1240),
    "to nowhere": onward("fd98::9"),
    "from one link to another": onward("fd99::9", src=LINK),
    "from nobody": onward("fd99::9", src=parse_ip6("::")),
    "from many": onward("fd99::9", src=parse_ip6("ff0e::1")),
    "from ::1": onward("fd99::9", src=parse_ip6("::1")),
    "to ::1": onward("::1"),
    "to a group elsewhere": onward("ff0e::1234"),
    "option for the destination": onward("fd99::9", [destination(option(0x9E))]),
    "option for all to skip": onward("fd99::9", [hop_by_hop(option(0x1E))]),
    "option for all to drop": onward("fd99::9", [hop_by_hop(option(0x5E))]),
    "option for all to answer": onward("fd99::9", [hop_by_hop(option(0x9E))]),
    "routing header for the destination": onward("fd99::9", [routing(0, 1)]),
    "late hop-by-hop for the destination": onward("fd99::9", [destination(), hop_by_hop()]),
    "an error, too old": onward("fd99::9", ttl=1, number=58),
    "unknown protocol": onward("fd99::9", number=201),
}


def ours_as_router(packets: list[bytes]) -> list[Answer]:
    """Return what our router answers."""
    bench = Bench6(address=KERNEL)
    port = FakePort(1280)
    block = Prefix.of(parse_ip6("fd99::1"), 64)
    bench.host.add_interface("eth1", port, parse_ip6("fd99::1"), block, OTHER_MAC)
    bench.host.forwarding = True
    bench.know(OURS, LINK)
    for packet in packets:
        bench.arrive(frame6(packet, dst=None if packet[24] == 0xFF else HERE_MAC))
    return answers([bytes(packet.raw) for packet in bench.taken6()])


def ours(packets: list[bytes]) -> list[Answer]:
    """Return what our host answers."""
    bench = Bench6(address=KERNEL)
    bench.know(OURS)
    for packet in packets:
        bench.arrive(frame6(packet))
    return answers([bytes(packet.raw) for packet in bench.taken6()])


def linux(
    netns: NetworkNamespace, cases: dict[str, list[bytes]], *prepare: str
) -> dict[str, list[Answer]]:
    """Return what the kernel answers to each."""
    found: dict[str, list[Answer]] = {}

    async def test(world: World) -> None:
        # Errors to one destination come once a second else.
        for command in ("sysctl -qw net.ipv6.icmp.ratelimit=0", *prepare):
            await world.run(command)
        (link,) = await world.ip6("-0 link show tap0")
        kernel_mac = parse_mac(link["address"])
        heard: list[bytes] = []

        class Ear:
            def on_event(self, event: Event) -> None:
                if isinstance(event, FrameSeen) and not event.sent:
                    data = bytes(event.frame.data)
                    if data[12:14] == b"\x86\xdd" and data[38:54] in (
                        pack_ip6(OURS),
                        pack_ip6(LINK),
                    ):
                        heard.append(data[ethernet.HEADER_BYTES :])

        world.host.observers.append(Ear())
        for number, (name, packets) in enumerate(cases.items()):
            heard.clear()
            mark = PING[number]
            echo = icmpv6.pack(OURS, KERNEL, icmpv6.ECHO, 0, mark << 16, b"mark")
            for packet in (*packets, raw(ipv6.ICMPV6, echo)):
                frame = ethernet.pack(kernel_mac, MAC, ethernet.IPV6, packet)
                world.interface.port.send(Frame(frame), world.now)
            reply = mark.to_bytes(2, "big")
            await world.here(
                lambda reply=reply: any(
                    data[40] == icmpv6.ECHO_REPLY and data[44:46] == reply for data in heard
                ),
                name,
            )
            found[name] = answers(heard)

    in_world(netns, test)
    return found


def test_what_is_odd_is_answered_as_linux_answers_it(netns: NetworkNamespace) -> None:
    theirs = linux(netns, CASES)
    assert theirs["plain"] == [(1, 4, 0)]  # else it would be no test
    assert sum(map(len, theirs.values())) > len(CASES) // 2
    assert {name: ours(packets) for name, packets in CASES.items()} == theirs


def test_a_router_answers_as_linux_does(netns: NetworkNamespace) -> None:
    theirs = linux(
        netns,
        ROUTED,
        "sysctl -qw net.ipv6.conf.all.forwarding=1",
        "ip link add far0 mtu 1280 type veth peer name far1",
        "ip link set far0 up",
        "ip link set far1 up",
        "ip -6 address add fd99::1/64 dev far0 nodad",
        "ip -6 neigh add fd99::9 lladdr 02:00:00:00:00:99 dev far0",
    )
    assert theirs["too large"] == [(icmpv6.PACKET_TOO_BIG, 0, 1280)]
    assert {name: ours_as_router(packets) for name, packets in ROUTED.items()} == theirs
