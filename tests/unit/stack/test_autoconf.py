"""What routers tell a host (RFC 4861 section 6.3, 4191, 8106): believed, chosen among, given up."""

import itertools
import math

import pytest
from discovery_bench import (
    FAR6,
    HERE6,
    OTHER_ROUTER,
    OTHER_ROUTER_MAC,
    PEER6,
    ROUTER,
    DiscoveryBench,
    prefix_said,
    zoned,
)
from stack_bench import PEER_MAC

from pystack.core.addresses import (
    ALL_ROUTERS6,
    UNSPECIFIED6,
    V6,
    Ip,
    format_ip,
    parse_ip6,
    parse_prefix,
)
from pystack.core.errors import ConfigError
from pystack.stack.autoconf import Autoconfiguration
from pystack.wire import icmpv6, nd


@pytest.fixture
def bench() -> DiscoveryBench:
    return DiscoveryBench(accept_ra=True)


def link(bench: DiscoveryBench) -> Autoconfiguration:
    return bench.discovery.link(bench.interface)


def gateway(bench: DiscoveryBench, dst: Ip = FAR6) -> str | None:
    route = bench.host.routes.lookup(dst)
    return None if route is None or route.gateway is None else format_ip(route.gateway)


def other(bench: DiscoveryBench, **words: object) -> None:
    bench.advertised(OTHER_ROUTER, mac=OTHER_ROUTER_MAC, **words)  # type: ignore[arg-type]


@pytest.mark.rfc("4861", "6.3.7")
def test_routers_are_looked_for_with_ever_longer_waits(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.run(600.0)
    found = bench.said(icmpv6.ROUTER_SOLICITATION)
    assert all((each.dst, each.packet.ttl) == (ALL_ROUTERS6, 255) for each in found)
    ats = [each.at for each in found]
    assert 0.0 <= ats[0] <= 1.0
    waits = [later - sooner for sooner, later in itertools.pairwise(ats)]
    for wait_s, expected_s in zip(waits, (4, 8, 16, 32, 64, 128, 256), strict=False):
        assert 0.9 * expected_s <= wait_s <= 1.1 * expected_s  # RFC 7559
    assert len(waits) >= 6
    bench.run(200_000.0)
    waits = [later - sooner for sooner, later in _pairs(bench)]
    assert max(waits) <= 3960.0


def _pairs(bench: DiscoveryBench) -> list[tuple[float, float]]:
    ats = [each.at for each in bench.said(icmpv6.ROUTER_SOLICITATION)]
    return list(itertools.pairwise(ats))


def test_who_begins_twice_looks_for_routers_once(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.discovery.start(0.0)
    bench.run(3.0)
    assert len(bench.said(icmpv6.ROUTER_SOLICITATION)) == 1


@pytest.mark.rfc("4861", "6.3.7")
def test_a_router_that_answers_is_looked_for_no_more(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.run(3.0)
    bench.said()
    bench.advertised(at=3.0)
    bench.run(1000.0)
    assert bench.said(icmpv6.ROUTER_SOLICITATION) == []


def test_without_an_address_yet_routers_are_asked_by_nobody() -> None:
    bench = DiscoveryBench((), accept_ra=True, dad_transmits=3)
    bench.discovery.start(0.0)
    bench.run(2.0)
    (asked,) = bench.said(icmpv6.ROUTER_SOLICITATION)
    assert asked.src == UNSPECIFIED6
    assert nd.parse_router_solicitation(asked.packet, asked.message).source_mac is None


def test_looking_for_routers_does_not_keep_a_world_going(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.run(60.0)
    live_until, until, kinds = bench.scheduler.outlook()
    assert live_until == -math.inf
    assert until > 60.0
    assert kinds == {"looking for routers"}


def test_who_asks_for_no_routers_believes_none() -> None:
    bench = DiscoveryBench()
    bench.advertised(prefixes=[prefix_said()])
    assert bench.drops() == ["nd_routers_not_asked"]
    assert gateway(bench) is None


def test_a_router_believes_no_router(bench: DiscoveryBench) -> None:
    bench.host.forwarding = True
    bench.advertised()
    assert bench.drops() == ["nd_routers_not_asked"]


@pytest.mark.rfc("4861", "6.1.2")
@pytest.mark.parametrize("src", [HERE6, FAR6, parse_ip6("fd00::2")])
def test_what_is_not_link_local_is_no_router(bench: DiscoveryBench, src: Ip) -> None:
    bench.advertised(src)
    assert bench.drops() in (["nd_not_link_local"], ["ip_martian"])
    assert gateway(bench) is None


@pytest.mark.rfc("4861", "6.3.4")
def test_a_router_is_used_as_long_as_it_says(bench: DiscoveryBench) -> None:
    bench.advertised(lifetime_s=100, at=10.0)
    assert gateway(bench) == "fe80::f1%2"
    assert bench.routes()[-1] == "default via fe80::f1%2 dev eth0 src fd00::1"
    entry = bench.neighbors.find(zoned(ROUTER))
    assert entry is not None
    assert (entry.state.value, entry.is_router) == ("STALE", True)
    bench.run(109.9)
    assert gateway(bench) is not None
    bench.run(110.0)
    assert gateway(bench) is None


@pytest.mark.rfc("4861", "6.3.4")
def test_a_router_that_stops_is_used_no_more(bench: DiscoveryBench) -> None:
    bench.advertised(at=10.0)
    bench.advertised(lifetime_s=0, at=20.0)
    assert gateway(bench) is None


@pytest.mark.rfc("4861", "7.2.5")
def test_a_router_that_becomes_a_host_is_used_no_more(bench: DiscoveryBench) -> None:
    bench.advertised(at=10.0)
    bench.answered(ROUTER, router=True, at=11.0)
    assert gateway(bench) is not None
    bench.answered(ROUTER, router=False, at=12.0)
    assert gateway(bench) is None


@pytest.mark.rfc("4191", "3.2")
def test_the_preferred_router_is_used_and_of_equals_the_first(bench: DiscoveryBench) -> None:
    bench.advertised(at=1.0)
    other(bench, at=2.0)
    assert gateway(bench) == "fe80::f1%2"
    other(bench, preference=1, at=3.0)
    assert gateway(bench) == "fe80::f2%2"
    assert link(bench).routers == (zoned(OTHER_ROUTER), zoned(ROUTER))
    other(bench, preference=-1, at=4.0)
    assert gateway(bench) == "fe80::f1%2"
    bench.advertised(lifetime_s=0, at=5.0)
    assert gateway(bench) == "fe80::f2%2"


@pytest.mark.rfc("4861", "6.3.6")
def test_a_router_that_does_not_answer_is_left_for_another(bench: DiscoveryBench) -> None:
    bench.advertised(at=1.0, preference=1)
    other(bench, at=1.0)
    socket = bench.host.udp.bind(HERE6, 0)
    socket.send_to(b"data", FAR6, 7, 1.0)
    bench.run(20.0)  # it was STALE; asked after five seconds, and three times
    assert bench.neighbor_changes()[-1][1:] == ("PROBE", "FAILED")
    assert gateway(bench) == "fe80::f2%2"
    bench.advertised(at=30.0, preference=1)
    bench.answered(ROUTER, router=True, at=30.0)
    assert gateway(bench) == "fe80::f1%2"


def test_a_router_is_heard_before_the_host_has_an_address() -> None:
    bench = DiscoveryBench((), accept_ra=True)
    bench.discovery.start(0.0)
    bench.advertised(at=0.1)
    assert gateway(bench) == "fe80::f1%2"
    bench.run(10.0)
    (link_route,) = [line for line in bench.routes() if line.startswith("fe80::/64")]
    assert link_route.endswith(format_ip(bench.interface.addresses[1].address))


def test_a_gateway_that_was_given_by_hand_is_not_outdone(bench: DiscoveryBench) -> None:
    bench.host.set_gateway(parse_ip6("fd00::ff"))
    bench.advertised(preference=1)
    assert gateway(bench) == "fd00::ff"
    bench.advertised(lifetime_s=0)
    assert gateway(bench) == "fd00::ff"


@pytest.mark.rfc("4861", "6.3.4")
def test_a_prefix_is_on_the_link_as_long_as_it_is_said_to(bench: DiscoveryBench) -> None:
    said = prefix_said(autonomous=False, valid_s=50, preferred_s=50)
    dst = parse_ip6("2001:db8:1::7")
    bench.advertised(prefixes=[said], at=10.0)
    route = bench.host.routes.lookup(dst)
    assert route is not None
    assert route.gateway is None
    bench.run(60.0)
    assert gateway(bench, dst) == "fe80::f1%2"  # by the router now
    bench.advertised(prefixes=[said], at=70.0)
    gone = prefix_said(autonomous=False, valid_s=0, preferred_s=0)
    bench.advertised(prefixes=[gone], at=71.0)
    assert gateway(bench, dst) == "fe80::f1%2"


@pytest.mark.rfc("4191", "2.3")
def test_routes_beside_the_default_one(bench: DiscoveryBench) -> None:
    far = parse_prefix("2001:db8:f::/48")
    bench.advertised(at=1.0)
    other(bench, lifetime_s=0, routes=[nd.RouteInformation(far, 0, 100)], at=1.0)
    assert gateway(bench) == "fe80::f1%2"
    assert gateway(bench, parse_ip6("2001:db8:f::1")) == "fe80::f2%2"
    bench.run(101.0)
    assert gateway(bench, parse_ip6("2001:db8:f::1")) == "fe80::f1%2"


@pytest.mark.parametrize("text", ["fe80::/64", "ff00::/8", "::1/128", "2001:db8::9/128"])
def test_routes_that_no_router_may_tell(bench: DiscoveryBench, text: str) -> None:
    before = bench.routes()
    bench.advertised(lifetime_s=0, routes=[nd.RouteInformation(parse_prefix(text), 1, 100)])
    assert bench.routes() == before
    assert bench.counters["nd_bad_prefix"] == 1


@pytest.mark.rfc("8200", "5")
def test_a_link_that_is_too_narrow_for_ipv6_has_none() -> None:
    bench = DiscoveryBench((), mtu_bytes=1279, accept_ra=True)
    with pytest.raises(ConfigError, match="IPv6 needs 1280"):
        bench.host.add_address(bench.interface, HERE6, parse_prefix("fd00::/64"))
    bench.discovery.start(0.0)
    bench.advertised(prefixes=[prefix_said()], at=1.0)
    bench.run(10.0)
    assert bench.drops() == ["nd_without_link"]
    assert bench.states() == []
    assert bench.said() == []


@pytest.mark.rfc("4861", "6.3.4")
def test_parameters_of_the_link(bench: DiscoveryBench) -> None:
    bench.advertised(hop_limit=32, reachable_ms=60_000, retrans_ms=250, mtu_bytes=1400)
    assert bench.interface.hop_limit6 == 32
    assert bench.interface.mtu6_bytes == 1400
    assert (bench.neighbors.timing6.reachable_s, bench.neighbors.timing6.retrans_s) == (60.0, 0.25)
    bench.advertised()  # nothing is said of them: they stay
    assert bench.interface.hop_limit6 == 32
    assert bench.interface.mtu6_bytes == 1400
    socket = bench.host.udp.bind(HERE6, 0)
    socket.send_to(b"data", parse_ip6("fd00::2"), 7, 0.0)
    bench.run(10.0)
    assert [at for at, _, _ in bench.solicitations()] == [0.0, 0.25, 0.5]


@pytest.mark.rfc("4861", "4.2")
def test_packets_have_the_hop_limit_that_the_router_says(bench: DiscoveryBench) -> None:
    bench.neighbors.heard(PEER6, PEER_MAC, 0.0, create=True)
    socket = bench.host.udp.bind(HERE6, 0)

    def hop_limit(ttl: int | None = None) -> int:
        socket.send_to(b"data", PEER6, 7, 0.0, ttl=ttl)
        (frame,) = bench.taken()
        return frame.data[14 + 7]

    assert hop_limit() == 64
    bench.advertised(hop_limit=32)
    assert hop_limit() == 32
    assert hop_limit(200) == 200
    bench.hear(PEER6, HERE6, icmpv6.pack(PEER6, HERE6, icmpv6.ECHO, 0, 1, b"ping"))
    (reply,) = bench.said(icmpv6.ECHO_REPLY)
    assert reply.packet.ttl == 32


@pytest.mark.rfc("4861", "6.3.4")
@pytest.mark.parametrize("mtu_bytes", [1, 1279, 1501, 0xFFFFFFFF])
def test_an_mtu_that_cannot_be_is_not_taken(bench: DiscoveryBench, mtu_bytes: int) -> None:
    bench.advertised(mtu_bytes=mtu_bytes)
    assert bench.interface.mtu6_bytes == 1500
    assert bench.counters["nd_bad_mtu"] == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [({"retrans_ms": 1}, (30.0, 0.25)), ({"reachable_ms": 0xFFFFFFFF}, (3600.0, 1.0))],
)
def test_times_that_would_hurt_are_bounded(
    bench: DiscoveryBench, words: dict[str, int], expected: tuple[float, float]
) -> None:
    bench.advertised(**words)  # type: ignore[arg-type]
    timing = bench.neighbors.timing6
    assert (timing.reachable_s, timing.retrans_s) == expected


@pytest.mark.rfc("8106", "5")
def test_name_servers_and_domains_are_known_as_long_as_is_said(bench: DiscoveryBench) -> None:
    servers = parse_ip6("fd00::53"), parse_ip6("fe80::53")
    bench.advertised(
        rdnss=[nd.Rdnss(100, servers)], dnssl=[nd.Dnssl(200, ("lab.example", "example"))], at=1.0
    )
    assert bench.discovery.name_servers() == (servers[0], zoned(servers[1]))
    assert bench.discovery.search_domains() == ("lab.example", "example")
    bench.advertised(rdnss=[nd.Rdnss(0, servers[:1])], at=2.0)
    assert bench.discovery.name_servers() == (zoned(servers[1]),)
    bench.run(101.0)
    assert bench.discovery.name_servers() == ()
    bench.run(201.0)
    assert bench.discovery.search_domains() == ()


@pytest.mark.rfc("6583", "4.2")
def test_whoever_says_he_is_many_routers_fills_no_memory(bench: DiscoveryBench) -> None:
    bench.advertised(at=0.0, preference=1)
    for number in range(500):
        address = Ip(V6 | 0xFE80 << 112 | 0x1000 + number)
        bench.advertised(
            address,
            prefixes=[prefix_said(f"2001:db8:{number + 1:x}::/64", autonomous=False)],
            rdnss=[nd.Rdnss(100, (Ip(FAR6 + number),))],
            dnssl=[nd.Dnssl(100, (f"n{number}.example",))],
        )
    assert gateway(bench) == "fe80::f1%2"
    assert len(bench.host.routes) <= 70
    assert len(bench.discovery.name_servers()) == 16
    assert len(bench.discovery.search_domains()) == 16
    assert bench.counters["nd_too_many_routes"] > 0


@pytest.mark.rfc("6583", "4.2")
def test_made_up_routers_do_not_keep_out_one_that_comes_later(bench: DiscoveryBench) -> None:
    for number in range(500):
        fake = Ip(V6 | 0xFE80 << 112 | 0x1000 + number)
        prefixes = [prefix_said(f"2001:db8:{number + 1:x}::/64", autonomous=False)]
        bench.advertised(fake, lifetime_s=65_535, prefixes=prefixes, at=1.0)
    bench.advertised(prefixes=[prefix_said("2001:db8:ffff::/64", autonomous=False)], at=2.0)
    assert zoned(ROUTER) in link(bench).routers
    assert bench.host.routes.find(parse_prefix("2001:db8:ffff::/64")) is not None


@pytest.mark.rfc("6583", "4.2")
def test_a_router_that_has_answered_stays_whoever_makes_up_others(bench: DiscoveryBench) -> None:
    bench.advertised(prefixes=[prefix_said("2001:db8:ffff::/64", autonomous=False)], at=1.0)
    socket = bench.host.udp.bind(HERE6, 0)
    socket.send_to(b"data", FAR6, 7, 1.0)
    bench.run(6.0)
    bench.answered(ROUTER, router=True, at=6.0)
    for number in range(500):
        fake = Ip(V6 | 0xFE80 << 112 | 0x1000 + number)
        bench.advertised(fake, preference=number % 3 - 1, at=7.0)
    assert zoned(ROUTER) in link(bench).routers
    assert bench.host.routes.find(parse_prefix("2001:db8:ffff::/64")) is not None


def test_a_router_that_has_never_answered_has_a_part_of_the_table(bench: DiscoveryBench) -> None:
    said = [prefix_said(f"2001:db8:{number:x}::/64", autonomous=False) for number in range(1, 41)]
    before = len(bench.host.routes)
    bench.advertised(prefixes=said, at=1.0)
    assert len(bench.host.routes) == before + 16
    bench.answered(ROUTER, router=True, at=2.0)
    bench.advertised(prefixes=said, at=3.0)
    assert len(bench.host.routes) == before + 41


def test_no_link_has_all_addresses(bench: DiscoveryBench) -> None:
    bench.advertised(at=1.0)
    bench.advertised(OTHER_ROUTER, prefixes=[prefix_said("::/0", autonomous=False)], lifetime_s=0)
    assert gateway(bench) == "fe80::f1%2"
    assert bench.counters["nd_bad_prefix"] == 1


@pytest.mark.parametrize("hop_limit", [1, 31])
def test_a_hop_limit_with_which_nothing_gets_far_is_not_taken(
    bench: DiscoveryBench, hop_limit: int
) -> None:
    bench.advertised(hop_limit=hop_limit)
    assert bench.interface.hop_limit6 == 64
    assert bench.counters["nd_low_hop_limit"] == 1


def test_ends_of_lifetimes_do_not_keep_a_world_going(bench: DiscoveryBench) -> None:
    bench.advertised(prefixes=[prefix_said()])
    bench.run(10.0)
    live_until, _, kinds = bench.scheduler.outlook()
    assert live_until == -math.inf
    assert kinds == {"lifetimes of IPv6 addresses and routers"}
