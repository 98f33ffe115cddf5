"""A router that advertises (RFC 4861 section 6.2): when, what, and that it stops."""

import itertools
import math

import pytest
from discovery_bench import HERE_LINK, PEER_LINK, DiscoveryBench
from stack_bench import HERE_MAC, PEER_MAC

from pystack.core.addresses import ALL_NODES6, ALL_ROUTERS6, UNSPECIFIED6, Ip
from pystack.core.errors import ConfigError
from pystack.stack.advertise import AdvertiseConfig, Advertiser
from pystack.wire import icmpv6, nd


@pytest.fixture
def bench() -> DiscoveryBench:
    bench = DiscoveryBench()
    bench.host.forwarding = True
    return bench


def begin(bench: DiscoveryBench, **words: object) -> Advertiser:
    config = AdvertiseConfig(**words)  # type: ignore[arg-type]
    advertiser = Advertiser(bench.host, bench.interface, config)
    bench.discovery.advertisers[bench.interface] = advertiser
    advertiser.start(bench.scheduler.now)
    return advertiser


def ask(bench: DiscoveryBench, at: float, src: Ip = PEER_LINK) -> None:
    mac = None if src == UNSPECIFIED6 else PEER_MAC
    message = nd.pack_router_solicitation(src, ALL_ROUTERS6, source_mac=mac)
    bench.hear(src, ALL_ROUTERS6, message, at=at)


def advertisements(bench: DiscoveryBench) -> list[tuple[float, nd.RouterAdvertisement]]:
    found = bench.said(icmpv6.ROUTER_ADVERTISEMENT)
    for each in found:
        assert (each.src, each.dst, each.packet.ttl) == (HERE_LINK, ALL_NODES6, 255)
    return [(each.at, nd.parse_router_advertisement(each.packet, each.message)) for each in found]


@pytest.mark.rfc("4861", "6.2.4")
def test_the_first_three_come_soon_and_then_as_configured(bench: DiscoveryBench) -> None:
    begin(bench, max_interval_s=600.0)
    bench.run(10_000.0)
    ats = [at for at, _ in advertisements(bench)]
    waits = [later - sooner for sooner, later in itertools.pairwise(ats)]
    assert ats[0] == 0.0
    assert waits[:2] == [16.0, 16.0]
    assert all(200.0 <= wait_s <= 600.0 for wait_s in waits[2:])
    assert len(set(waits[2:])) > 10


def test_what_is_said(bench: DiscoveryBench) -> None:
    begin(bench, mtu_bytes=1400, preference=1, max_interval_s=100.0)
    ((_, said), *_) = advertisements(bench)
    assert (said.lifetime_s, said.preference, said.hop_limit) == (300, 1, 64)
    assert (said.options.source_mac, said.options.mtu_bytes) == (HERE_MAC, 1400)
    (prefix,) = said.options.prefixes
    assert (str(prefix.prefix), prefix.on_link, prefix.autonomous) == ("fd00::/64", True, True)
    assert (prefix.valid_s, prefix.preferred_s) == (2_592_000, 604_800)


def test_what_is_said_can_be_chosen(bench: DiscoveryBench) -> None:
    begin(bench, prefixes=("2001:db8:7::/64",), lifetime_s=0)
    ((_, said), *_) = advertisements(bench)
    assert said.lifetime_s == 0
    assert [str(each.prefix) for each in said.options.prefixes] == ["2001:db8:7::/64"]


@pytest.mark.rfc("4861", "6.2.6")
@pytest.mark.parametrize("src", [PEER_LINK, UNSPECIFIED6])
def test_who_asks_is_answered_within_half_a_second(bench: DiscoveryBench, src: Ip) -> None:
    begin(bench)
    bench.run(100.0)
    bench.said()
    ask(bench, 100.0, src)
    bench.run(101.0)
    ((at, _),) = advertisements(bench)
    assert 100.0 <= at <= 100.5


@pytest.mark.rfc("4861", "6.2.6")
def test_many_who_ask_are_answered_together_and_not_more_often_than_every_three_seconds(
    bench: DiscoveryBench,
) -> None:
    begin(bench)
    bench.run(100.0)
    bench.said()
    for number in range(1000):
        ask(bench, 100.0 + number / 100, Ip(PEER_LINK + number))
    bench.run(115.0)
    ats = [at for at, _ in advertisements(bench)]
    assert len(ats) <= 5
    assert all(later - sooner >= 3.0 for sooner, later in itertools.pairwise(ats))


@pytest.mark.rfc("4861", "6.2.5")
def test_a_router_that_stops_says_so(bench: DiscoveryBench) -> None:
    advertiser = begin(bench, routes=("2001:db8:f::/48",), name_servers=("fd00::53",))
    bench.run(50.0)
    (_, before), *_ = advertisements(bench)
    assert [each.lifetime_s for each in before.options.rdnss] == [1800]
    advertiser.stop(50.0)
    ((at, said),) = advertisements(bench)
    assert (at, said.lifetime_s) == (50.0, 0)
    assert [each.lifetime_s for each in (*said.options.routes, *said.options.rdnss)] == [0, 0]
    assert ALL_ROUTERS6 not in bench.interface.groups
    bench.run(60.0)
    ask(bench, 60.0)
    bench.run(10_000.0)
    assert advertisements(bench) == []


def test_who_begins_again_says_the_new_and_is_in_the_group_once(bench: DiscoveryBench) -> None:
    advertiser = begin(bench)
    bench.run(5.0)
    advertiser.config = AdvertiseConfig(hop_limit=9)
    advertiser.start(5.0)
    bench.run(6.0)
    assert [(at, said.hop_limit) for at, said in advertisements(bench)] == [(0.0, 64), (5.0, 9)]
    advertiser.stop(6.0)
    assert ALL_ROUTERS6 not in bench.interface.groups


def test_a_host_does_not_answer_who_looks_for_routers() -> None:
    bench = DiscoveryBench()
    bench.host.groups.join(bench.interface, ALL_ROUTERS6, 0.0)
    ask(bench, 1.0)
    bench.run(10.0)
    assert bench.drops() == ["nd_router_not_here"]
    assert advertisements(bench) == []


def test_advertisements_do_not_keep_a_world_going(bench: DiscoveryBench) -> None:
    begin(bench)
    bench.run(100.0)
    live_until, until, kinds = bench.scheduler.outlook()
    assert live_until == -math.inf
    assert until > 100.0
    assert kinds == {"router advertisements"}


@pytest.mark.parametrize(
    "words",
    [
        {"max_interval_s": 3.0},
        {"max_interval_s": 1801.0},
        {"max_interval_s": 10.0, "min_interval_s": 9.0},
        {"min_interval_s": 1.0},
        {"lifetime_s": 65_536},
        {"lifetime_s": -1},
        {"preference": 2},
        {"mtu_bytes": 1279},
        {"prefixes": ("10.0.0.0/24",)},
        {"prefixes": ("fd00::1/64",)},
        {"routes": ("fd00::",)},
        {"name_servers": ("10.0.0.53",)},
        {"valid_s": 10, "preferred_s": 20},
        {"valid_s": 2**32},
    ],
)
def test_what_cannot_be_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        AdvertiseConfig(**words)  # type: ignore[arg-type]
