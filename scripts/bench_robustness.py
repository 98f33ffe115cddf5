"""What a frame costs against the length of each list that a stranger can make long.

    .venv/bin/python scripts/bench_robustness.py [NAME...]

Each line: a list, its bound, the microseconds that one more hostile frame takes with the list
empty, half full, full, and after four times as many as it has places (the least of some rounds),
the largest of them by the first, and what is held when it is full (tracemalloc), in kB and in bytes
for each place. No observer looks on; frames are made before the clock starts.
"""

import gc
import struct
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

from pystack.core.addresses import (
    ALL_NODES6,
    LOOPBACK,
    UNSPECIFIED,
    ZERO_MAC,
    Ip,
    Ip4,
    Mac,
    Prefix,
    multicast_mac,
    parse_interface_address,
    parse_ip4,
    parse_ip6,
    solicited_node,
    with_zone,
)
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink, LoopbackPort
from pystack.stack import (
    autoconf,
    discovery,
    fragments,
    icmp_core,
    idents,
    neighbors,
    path_mtus,
    routes,
)
from pystack.stack.host import Host
from pystack.stack.ip6_config import Ip6Config
from pystack.stack.ports import ANY
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp import out_of_order
from pystack.tcp.config import TcpConfig
from pystack.tcp.listener import MAX_BACKLOG
from pystack.topology.switch import TABLE_ENTRIES, Switch
from pystack.wire import arp, ethernet, icmpv6, ip, ipv4, ipv6, nd, tcp, udp
from pystack.wire import icmp as icmp_wire
from pystack.wire.frame import Frame
from pystack.wire.ipv6_ext import FRAGMENT

HERE: Final = parse_ip4("10.0.0.1")
PEER: Final = parse_ip4("10.0.0.2")
GATEWAY: Final = parse_ip4("10.0.255.254")
BEHIND: Final = parse_ip4("10.128.0.2")
HERE6: Final = parse_ip6("fd00::1")
PEER6: Final = parse_ip6("fd00::2")
GATEWAY6: Final = parse_ip6("fe80::fe")
BEHIND6: Final = parse_ip6("2001:db8::2")
HERE_MAC: Final = Mac(bytes.fromhex("02000000000a"))
PEER_MAC: Final = Mac(bytes.fromhex("02000000000b"))
OTHER_MAC: Final = Mac(bytes.fromhex("02000000000c"))
WINDOW: Final = 100  # frames whose cost is one measurement
ROUNDS: Final = 9
GAP_S: Final = 1e-5  # of the world's time between two frames

Make = Callable[[], tuple[FrameSink, Scheduler, Callable[[int], Frame]]]


@dataclass(slots=True)
class Case:
    """One list: how many places it has, and how to get at it."""

    name: str
    bound: int
    make: Make


class Port:
    """Takes all that is sent, and keeps the last of it."""

    gso_max_bytes = 0
    fills_checksums = False
    mtu_bytes = 1500

    def __init__(self) -> None:
        self.sink: FrameSink = lambda _frame, _now: None
        self.last = Frame(b"")

    def attach(self, sink: FrameSink) -> None:
        self.sink = sink

    def send(self, frame: Frame, now: float) -> None:
        self.last = frame

    def close(self) -> None:
        pass


class World:
    """A host at 10.0.0.1/9 and fd00::1/16 with gateways that it knows, and a second link."""

    def __init__(self, *, forwarding: bool = False) -> None:
        self.scheduler = Scheduler(0.0)
        self.host = Host("here", self.scheduler, seed=1)
        self.host.forwarding = forwarding
        block = Prefix.of(LOOPBACK, 8)
        self.host.add_interface("lo", LoopbackPort(self.scheduler), LOOPBACK, block, ZERO_MAC)
        self.port, self.far = Port(), Port()
        self.host.add_interface("eth0", self.port, *parse_interface_address("10.0.0.1/9"), HERE_MAC)
        self.host.add_interface(
            "eth1", self.far, *parse_interface_address("10.128.0.1/9"), OTHER_MAC
        )
        self.host.set_gateway(GATEWAY)
        for port, mac, station in (
            (self.port, HERE_MAC, PEER),
            (self.port, HERE_MAC, GATEWAY),
            (self.far, OTHER_MAC, BEHIND),
        ):
            request = arp.pack(arp.REQUEST, PEER_MAC, station, HERE)
            if port is self.far:
                request = arp.pack(arp.REQUEST, PEER_MAC, station, parse_ip4("10.128.0.1"))
            port.sink(Frame(ethernet.pack(mac, PEER_MAC, ethernet.ARP, request)), 0.0)
        self._speak_ipv6()

    def _speak_ipv6(self) -> None:
        near, far = self.host.interfaces[1:]
        for interface, text in (
            (near, "fe80::1/64"),
            (near, "fd00::1/16"),
            (far, "fe80::2/64"),
            (far, "2001:db8::1/64"),
        ):
            self.host.add_address(interface, *parse_interface_address(text))
        self.host.set_gateway(with_zone(GATEWAY6, near.index))
        for port, mac, station, target in (
            (self.port, HERE_MAC, PEER6, HERE6),
            (self.port, HERE_MAC, GATEWAY6, HERE6),
            (self.far, OTHER_MAC, BEHIND6, parse_ip6("2001:db8::1")),
        ):
            port.sink(solicitation(station, target, PEER_MAC, mac), 0.0)


def ip_frame(payload: bytes, proto: int, src: int, dst: int = HERE, **fields: int) -> Frame:
    header = ipv4.pack_header(src, dst, proto, len(payload), **fields)  # type: ignore[arg-type]
    return Frame(ethernet.pack(HERE_MAC, PEER_MAC, ethernet.IPV4, header + payload))


def echo(src: int) -> Frame:
    return ip_frame(icmp_wire.pack(icmp_wire.ECHO, 0, 1, bytes(56)), ipv4.ICMP, src)


def far_away(number: int) -> int:
    """Return an address of 198.18.0.0/15 or behind it."""
    return parse_ip4("198.18.0.0") + number


def on_link(number: int) -> int:
    return parse_ip4("10.5.0.0") + number


def of_host(frame: Callable[[int], Frame], **words: bool) -> Make:
    def make() -> tuple[FrameSink, Scheduler, Callable[[int], Frame]]:
        world = World(**words)
        world.host.discovery.config = Ip6Config(accept_ra=True, accept_redirects=True)
        world.host.udp.bind(ANY, 7).receive_buffer_bytes = 1000
        world.host.tcp.listen(ANY, 80, 1024)
        return world.port.sink, world.scheduler, frame

    return make


def made_up_arp(number: int) -> Frame:
    request = arp.pack(arp.REQUEST, OTHER_MAC, Ip4(on_link(number)), HERE)
    return Frame(ethernet.pack(HERE_MAC, OTHER_MAC, ethernet.ARP, request))


def datagram(src: int, dst_port: int, dst: int = HERE) -> Frame:
    return ip_frame(udp.pack(src, dst, 5000, dst_port, b"x"), ipv4.UDP, src, dst)


def piece(place: int, ident: int = 7) -> Frame:
    """Return a fragment of 8 bytes; `place` in units of 8 bytes, none touches the next."""
    flags_offset = ipv4.MORE_FRAGMENTS | 2 * place + 1
    return ip_frame(bytes(8), ipv4.UDP, PEER, ident=ident, flags_offset=flags_offset)


def in_order(order: str, piece: Callable[[int, int], Frame] = piece) -> Callable[[int], Frame]:
    """Return the pieces of datagrams, 1,024 of each, in this order."""
    places = list(range(fragments.MAX_PIECES))
    if order == "backwards":
        places.reverse()
    elif order == "at random":
        Random(7).shuffle(places)

    def frame(number: int) -> Frame:
        datagrams, place = divmod(number, len(places))
        return piece(places[place], datagrams & 0xFFFF)

    return frame


def ip6_frame(body: bytes, proto: int, src: int, dst: int = HERE6, ttl: int = 64) -> Frame:
    header = ipv6.pack_header(src, dst, proto, len(body), ttl=ttl)
    return Frame(ethernet.pack(HERE_MAC, PEER_MAC, ethernet.IPV6, header + body))


def solicitation(src: int, target: Ip, mac: Mac, to: Mac = HERE_MAC) -> Frame:
    """Return the question of a station for one of our addresses."""
    group = solicited_node(target)
    body = nd.pack_neighbor_solicitation(src, group, target, source_mac=mac)
    header = ipv6.pack_header(src, group, ipv6.ICMPV6, len(body), ttl=nd.HOP_LIMIT)
    return Frame(ethernet.pack(to, mac, ethernet.IPV6, header + body))


def echo6(src: int) -> Frame:
    return ip6_frame(icmpv6.pack(src, HERE6, icmpv6.ECHO, 0, 1, bytes(56)), ipv6.ICMPV6, src)


def datagram6(src: int, dst_port: int, dst: int = HERE6) -> Frame:
    return ip6_frame(udp.pack(src, dst, 5000, dst_port, b"x"), ipv4.UDP, src, dst)


def far_away6(number: int) -> int:
    return parse_ip6("2001:db8:ffff::") + number


def on_link6(number: int) -> int:
    return parse_ip6("fd00:0:5::") + number


def piece6(place: int, ident: int = 7) -> Frame:
    """Return a fragment as `piece` does."""
    header = ipv6.pack_fragment_header(ipv4.UDP, ipv4.MORE_FRAGMENTS | 2 * place + 1, ident)
    return ip6_frame(header + bytes(8), FRAGMENT, PEER6)


def advertisement(number: int) -> Frame:
    """Return what one of ever new routers says, of ever new prefixes, routes and servers."""
    router, prefix = parse_ip6("fe80:0:0:1::") + number, parse_ip6("2001:db8:1::") + (number << 64)
    said = nd.RouterAdvertisement(
        lifetime_s=1800,
        options=nd.NdOptions(
            prefixes=[nd.PrefixInformation(Prefix.of(prefix, 64), True, True, 86400, 14400)],
            routes=[nd.RouteInformation(Prefix.of(prefix, 56), 0, 1800)],
            rdnss=[nd.Rdnss(600, (Ip(prefix + 1),))],
            dnssl=[nd.Dnssl(600, (f"d{number}.example",))],
        ),
    )
    body = nd.pack_router_advertisement(router, ALL_NODES6, said)
    header = ipv6.pack_header(router, ALL_NODES6, ipv6.ICMPV6, len(body), ttl=nd.HOP_LIMIT)
    mac = multicast_mac(ALL_NODES6)
    return Frame(ethernet.pack(mac, OTHER_MAC, ethernet.IPV6, header + body))


def redirect(number: int) -> Frame:
    """Return the gateway's word that there is a better one, for ever new destinations."""
    better = nd.Redirect(parse_ip6("fe80::fd"), Ip(far_away6(number)), nd.NdOptions())
    body = nd.pack_redirect(GATEWAY6, HERE6, better)
    return ip6_frame(body, ipv6.ICMPV6, GATEWAY6, ttl=nd.HOP_LIMIT)


def syn6(number: int) -> Frame:
    src = far_away6(number)
    segment = tcp.Segment(5000, 80, 7, 0, tcp.SYN, 1000, b"\x02\x04\x05\xa0")
    return ip6_frame(tcp.pack_header(segment, src, HERE6), ipv4.TCP, src)


def syn(number: int) -> Frame:
    src = far_away(number)
    segment = tcp.Segment(5000, 80, 7, 0, tcp.SYN, 1000, b"\x02\x04\x05\xb4")
    return ip_frame(tcp.pack_header(segment, src, HERE), ipv4.TCP, src)


def text_beyond_gaps() -> tuple[FrameSink, Scheduler, Callable[[int], Frame]]:
    """A connection whose peer sends every second byte."""
    world = World()
    listener = world.host.tcp.listen(UNSPECIFIED, 80)

    def segment(flags: int, seq: int, ack: int, payload: bytes = b"") -> Frame:
        made = tcp.Segment(5000, 80, seq, ack, flags, 60_000, b"", payload)
        body = tcp.pack_header(made, PEER, HERE) + payload
        return ip_frame(body, ipv4.TCP, PEER)

    world.port.sink(segment(tcp.SYN, 999, 0), 0.0)
    world.scheduler.run_due(0.0)
    answer = tcp.parse(ip.packet_of(world.port.last.data, checksum_good=True))
    world.port.sink(segment(tcp.ACK, 1000, answer.seq + 1), 0.0)
    world.scheduler.run_due(0.0)
    socket: TcpSocket = listener.ready[0]
    assert socket is not None

    def frame(number: int) -> Frame:
        return segment(tcp.ACK, 1001 + 2 * number, answer.seq + 1, b"x")

    return world.port.sink, world.scheduler, frame


def fast_openers() -> tuple[FrameSink, Scheduler, Callable[[int], Frame]]:
    """A listener that takes text in SYNs, from ever new peers that never send another ACK."""
    world = World()
    world.host.tcp.config = TcpConfig(
        fast_open="server", fast_open_cookieless="server", fast_open_pending=MAX_BACKLOG
    )
    listener = world.host.tcp.listen(UNSPECIFIED, 80, MAX_BACKLOG)

    def sink(frame: Frame, now: float) -> None:
        world.port.sink(frame, now)
        if listener.ready:
            listener.ready.popleft().listener = None

    def frame(number: int) -> Frame:
        src = far_away(number)
        segment = tcp.Segment(5000, 80, 7, 0, tcp.SYN, 1000, b"\x02\x04\x05\xb4", b"text")
        return ip_frame(tcp.pack_header(segment, src, HERE) + b"text", ipv4.TCP, src)

    return sink, world.scheduler, frame


def stations() -> tuple[FrameSink, Scheduler, Callable[[int], Frame]]:
    """A switch that hears ever new stations."""
    switch, ports = Switch("switch"), [Port(), Port()]
    for port in ports:
        switch.plug(port)

    def frame(number: int) -> Frame:
        src = b"\x02\x01" + number.to_bytes(4, "big")
        return Frame(ethernet.pack(HERE_MAC, src, ethernet.IPV4, bytes(46)))

    return ports[0].sink, Scheduler(0.0), frame


def paths() -> tuple[FrameSink, Scheduler, Callable[[int], Frame]]:
    """What is known of paths, by the call that claims end in once they are believed."""
    table = path_mtus.PathMtus()

    def sink(frame: Frame, now: float) -> None:
        table.learn(Ip4(int.from_bytes(frame.data, "big")), 1400, now)

    return sink, Scheduler(0.0), lambda number: Frame(struct.pack("!I", far_away(number)))


def made_up_nd(number: int) -> Frame:
    return solicitation(on_link6(number), HERE6, OTHER_MAC)


def looked_for6(number: int) -> Frame:
    return echo6(on_link6(number))


CASES: Final = (
    Case("neighbours, made up in ARP", neighbors.TABLE_ENTRIES, of_host(made_up_arp)),
    Case("neighbours, looked for", neighbors.TABLE_ENTRIES, of_host(lambda n: echo(on_link(n)))),
    Case("waiting for a neighbour", neighbors.QUEUE_PACKETS, of_host(lambda _: echo(on_link(0)))),
    Case("pieces of a datagram", fragments.MAX_PIECES, of_host(in_order("forwards"))),
    Case("pieces, backwards", fragments.MAX_PIECES, of_host(in_order("backwards"))),
    Case("pieces, at random", fragments.MAX_PIECES, of_host(in_order("at random"))),
    Case(
        "datagrams in pieces",
        fragments.MAX_BYTES // fragments.DATAGRAM_COST_BYTES,
        of_host(lambda n: piece(0, n & 0xFFFF)),
    ),
    Case("destinations (routes)", routes.CACHE_LIMIT, of_host(lambda n: echo(far_away(n)))),
    Case("identifications", idents.COUNTERS, of_host(lambda n: echo(far_away(n)))),
    Case(
        "pairs (a router's)",
        routes.CACHE_LIMIT,
        of_host(lambda n: datagram(far_away(n), 9, BEHIND), forwarding=True),
    ),
    Case("senders of datagrams", routes.CACHE_LIMIT, of_host(lambda n: datagram(far_away(n), 7))),
    Case("ICMP errors", int(icmp_core.ERRORS_BURST), of_host(lambda n: datagram(far_away(n), 9))),
    Case("neighbours, made up in ND", neighbors.TABLE_ENTRIES, of_host(made_up_nd)),
    Case("neighbours of IPv6, looked for", neighbors.TABLE_ENTRIES, of_host(looked_for6)),
    Case("pieces of IPv6", fragments.MAX_PIECES, of_host(in_order("forwards", piece6))),
    Case("pieces of IPv6, backwards", fragments.MAX_PIECES, of_host(in_order("backwards", piece6))),
    Case("pieces of IPv6, at random", fragments.MAX_PIECES, of_host(in_order("at random", piece6))),
    Case(
        "datagrams of IPv6 in pieces",
        fragments.MAX_BYTES // fragments.DATAGRAM_COST_BYTES,
        of_host(lambda n: piece6(0, n)),
    ),
    Case("destinations of IPv6", routes.CACHE_LIMIT, of_host(lambda n: echo6(far_away6(n)))),
    Case(
        "pairs of IPv6 (a router's)",
        routes.CACHE_LIMIT,
        of_host(lambda n: datagram6(far_away6(n), 9, BEHIND6), forwarding=True),
    ),
    Case(
        "senders of datagrams of IPv6",
        routes.CACHE_LIMIT,
        of_host(lambda n: datagram6(far_away6(n), 7)),
    ),
    Case(
        "ICMPv6 errors",
        int(icmp_core.ERRORS_BURST),
        of_host(lambda n: datagram6(far_away6(n), 9)),
    ),
    Case("routers and prefixes", autoconf.ROUTES, of_host(advertisement)),
    Case("redirects", discovery.REDIRECTS, of_host(redirect)),
    Case("SYN queue of IPv6", 1024, of_host(syn6)),
    Case("path MTUs", path_mtus.MAX_PATHS, paths),
    Case("SYN queue, then cookies", 1024, of_host(syn)),
    Case("text in SYNs, before an ACK", 2048, fast_openers),
    Case("ranges beyond a gap", out_of_order.MAX_RANGES, text_beyond_gaps),
    Case("stations of a switch", TABLE_ENTRIES, stations),
)


def measured(case: Case, measure: Callable[[Callable[[], None]], float]) -> Iterator[float]:
    """Give what `measure` says of the work that a frame is, at each of the four lengths."""
    sink, scheduler, frame = case.make()
    window = min(WINDOW, case.bound // 2)
    number = 0

    def deliver(frames: list[Frame]) -> None:
        nonlocal number
        for one in frames:
            number += 1
            now = GAP_S * number
            sink(one, now)
            scheduler.run_due(now)

    for start in (0, case.bound // 2, case.bound - window, 4 * case.bound):
        while number < start:
            deliver([frame(number)])
        made = [frame(number + count) for count in range(window)]
        yield measure(partial(deliver, made)) / window


def seconds(call: Callable[[], None]) -> float:
    """Return how long a call takes."""
    gc.collect()
    gc.disable()
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    gc.enable()
    return took


def held_bytes(case: Case) -> int:
    """Return what the frames of a full list have left behind."""
    sink, scheduler, frame = case.make()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    now = 0.0
    for number in range(case.bound):
        now += GAP_S
        sink(frame(number), now)
        scheduler.run_due(now)
    gc.collect()
    held = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return held


def main() -> None:
    """Measure each and print."""
    wanted = sys.argv[1:]
    print(
        f"{'list':<31}{'bound':>7}{'empty':>8}{'half':>7}{'full':>7}{'x4':>7}{'ratio':>7}"
        f"{'kB':>8}{'each':>7}"
    )
    for case in CASES:
        if wanted and not any(word in case.name for word in wanted):
            continue
        rounds = [list(measured(case, seconds)) for _ in range(ROUNDS)]
        best = [1e6 * min(column) for column in zip(*rounds, strict=True)]
        held = held_bytes(case)
        numbers = "".join(f"{cost:>7.1f}" for cost in best)
        print(
            f"{case.name:<31}{case.bound:>7,} {numbers}{max(best) / best[0]:>7.1f}"
            f"{held / 1000:>8,.0f}{held / case.bound:>7,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
