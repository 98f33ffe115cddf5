"""Addresses that a host makes itself: tried out, made of prefixes, given up (RFC 4862, 7217)."""

import itertools
import math

import pytest
from discovery_bench import DiscoveryBench, prefix_said, zoned
from hypothesis import given
from hypothesis import strategies as st
from stack_bench import HERE_MAC

from pystack.core.addresses import (
    ALL_NODES6,
    LINK_LOCAL6,
    UNSPECIFIED6,
    Ip,
    eui64,
    format_ip,
    link_local,
    parse_ip6,
    parse_prefix,
    solicited_node,
    without_zone,
)
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.stack.interface import AddressState
from pystack.stack.interface_ids import is_reserved, random_id, secret_of, stable_id
from pystack.stack.ip6_config import Ip6Config
from pystack.wire import icmpv6, mld, nd

DAY_S = 86_400.0
STABLE = stable_id(LINK_LOCAL6, "eth0", 0, secret_of(1, "here"))
SECOND = stable_id(LINK_LOCAL6, "eth0", 1, secret_of(1, "here"))
MADE = link_local(STABLE)
NEXT = link_local(SECOND)


@pytest.fixture
def bench() -> DiscoveryBench:
    return DiscoveryBench(())


# duplicate address detection


@pytest.mark.rfc("4862", "5.4.2")
def test_a_link_local_address_is_tried_out_for_a_second_after_a_random_delay(
    bench: DiscoveryBench,
) -> None:
    bench.discovery.start(10.0)
    assert bench.states() == [(format_ip(zoned(MADE)), "tentative")]
    assert zoned(MADE) not in bench.host.addresses
    bench.run(100.0)
    (probe,) = bench.said(icmpv6.NEIGHBOR_SOLICITATION)
    assert 10.0 <= probe.at <= 11.0
    assert (probe.src, probe.dst, probe.packet.ttl) == (UNSPECIFIED6, solicited_node(MADE), 255)
    said = nd.parse_neighbor_solicitation(probe.packet, probe.message)
    assert (said.target, said.options.source_mac) == (MADE, None)
    assert len(said.options.nonce) == 6  # RFC 7527
    assert bench.address_changes() == [
        (10.0, "", "tentative"),
        (pytest.approx(probe.at + 1.0), "tentative", "preferred"),
    ]
    assert bench.host.addresses[zoned(MADE)] is bench.interface


def test_its_group_is_reported_before_it_is_tried_out(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.run(5.0)
    report, probe = bench.said()[:2]
    assert (report.kind, report.src) == (icmpv6.MLD_REPORT_2, UNSPECIFIED6)  # RFC 3590
    said = mld.parse(report.packet, report.message)
    assert isinstance(said, mld.MldReport2)
    assert [record.group for record in said.records] == [solicited_node(MADE)]
    assert probe.kind == icmpv6.NEIGHBOR_SOLICITATION
    assert report.at <= probe.at


@pytest.mark.parametrize("transmits", [0, 1, 3])
def test_so_many_questions_are_asked_as_are_wanted(transmits: int) -> None:
    bench = DiscoveryBench((), dad_transmits=transmits)
    bench.discovery.start(0.0)
    bench.run(10.0)
    probes = bench.said(icmpv6.NEIGHBOR_SOLICITATION)
    assert len(probes) == transmits
    for one, other in itertools.pairwise(probes):
        assert other.at - one.at == pytest.approx(1.0)
    ready_at = bench.address_changes()[-1][0]
    assert ready_at == (pytest.approx(probes[-1].at + 1.0) if probes else 0.0)


@pytest.mark.rfc("4862", "5.4.3")
@pytest.mark.parametrize("how", ["probe", "advertisement"])
def test_an_address_that_another_has_is_given_up_and_the_next_is_tried(
    bench: DiscoveryBench, how: str
) -> None:
    bench.discovery.start(0.0)
    if how == "probe":
        bench.asked(MADE, UNSPECIFIED6, nonce=b"theirs", at=0.5)
    else:
        bench.answered(MADE, dst=ALL_NODES6, solicited=False, at=0.5)
    assert bench.drops() == ["nd_duplicate_address"]
    bench.run(10.0)
    assert bench.states() == [(format_ip(zoned(NEXT)), "preferred")]
    changes = [(old, new) for _, old, new in bench.address_changes()]
    assert changes == [
        ("", "tentative"),
        ("tentative", "dadfailed"),
        ("dadfailed", ""),
        ("", "tentative"),
        ("tentative", "preferred"),
    ]


@pytest.mark.rfc("4862", "5.4.5")
def test_the_address_of_a_mac_that_another_has_is_never_used() -> None:
    bench = DiscoveryBench((), addr_gen_mode="eui64")
    bench.discovery.start(0.0)
    made = link_local(eui64(HERE_MAC))
    bench.answered(made, dst=ALL_NODES6, solicited=False, at=0.5)
    bench.run(100.0)
    assert bench.states() == [(format_ip(zoned(made)), "dadfailed")]
    assert zoned(made) not in bench.host.addresses


@pytest.mark.rfc("7217", "6")
def test_after_three_others_no_more_are_tried(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    for at in range(1, 20):
        bench.run(float(at))
        for own in bench.interface.addresses:
            if own.state is AddressState.TENTATIVE:
                bench.answered(without_zone(own.address), dst=ALL_NODES6, solicited=False)
    assert bench.drops() == ["nd_duplicate_address"] * 4
    assert [state for _, state in bench.states()] == ["dadfailed"]


@pytest.mark.rfc("7527", "4.2")
def test_a_probe_that_comes_back_is_not_another_station(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.run(1.0)
    (probe,) = bench.said(icmpv6.NEIGHBOR_SOLICITATION)
    said = nd.parse_neighbor_solicitation(probe.packet, probe.message)
    bench.asked(MADE, UNSPECIFIED6, nonce=said.options.nonce)
    assert bench.drops() == ["nd_looped_back"]
    bench.run(10.0)
    assert bench.states() == [(format_ip(zoned(MADE)), "preferred")]


@pytest.mark.rfc("4862", "5.4")
def test_who_asks_for_an_address_that_is_tried_out_gets_no_answer(bench: DiscoveryBench) -> None:
    bench.discovery.start(0.0)
    bench.asked(MADE, parse_ip6("fe80::2"), at=0.5)
    assert bench.drops() == ["nd_tentative_target"]
    assert bench.said(icmpv6.NEIGHBOR_ADVERTISEMENT) == []
    bench.run(10.0)
    assert bench.states() == [(format_ip(zoned(MADE)), "preferred")]


def test_an_address_that_is_given_is_used_at_once_and_says_nothing() -> None:
    bench = DiscoveryBench()
    bench.run(100.0)
    assert bench.port.sent == []
    assert bench.states() == [("fe80::1%2", "preferred"), ("fd00::1", "preferred")]


# made of prefixes


def ready(**config: object) -> DiscoveryBench:
    """Return a host that believes routers, and has its link-local address."""
    bench = DiscoveryBench((), accept_ra=True, **config)
    bench.discovery.start(0.0)
    bench.run(5.0)
    bench.said()
    return bench


@pytest.mark.rfc("4862", "5.5.3")
def test_a_prefix_becomes_an_address_that_is_tried_out() -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said()], at=10.0)
    (own,) = bench.automatic()
    prefix = parse_prefix("2001:db8:1::/64")
    assert own.address == prefix.network | stable_id(prefix, "eth0", 0, secret_of(1, "here"))
    assert own.state is AddressState.TENTATIVE
    bench.run(12.0)
    assert own.state is AddressState.PREFERRED
    assert (own.valid_until, own.preferred_until) == (10.0 + 30 * DAY_S, 10.0 + 7 * DAY_S)


def test_an_address_of_a_mac() -> None:
    bench = ready(addr_gen_mode="eui64")
    bench.advertised(prefixes=[prefix_said()], at=10.0)
    (own,) = bench.automatic()
    assert format_ip(own.address) == "2001:db8:1::ff:fe00:a"


@pytest.mark.rfc("4862", "5.5.4")
def test_an_address_is_deprecated_and_then_goes() -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said(valid_s=300, preferred_s=100)], at=10.0)
    bench.run(109.9)
    assert [own.state for own in bench.automatic()] == [AddressState.PREFERRED]
    bench.run(110.0)
    assert [own.state for own in bench.automatic()] == [AddressState.DEPRECATED]
    (own,) = bench.automatic()
    assert own.address in bench.host.addresses
    bench.run(310.0)
    assert bench.automatic() == []
    assert own.address not in bench.host.addresses
    assert solicited_node(own.address) not in bench.interface.groups


@pytest.mark.rfc("4862", "5.5.3")
@pytest.mark.parametrize(
    ("valid_s", "expected_s"),
    [
        (100_000, 100_000),  # more than two hours
        (50_000, 50_000),  # less than is left, but more than two hours
        (600, 7200),  # (2): two hours, no less
        (0, 7200),
    ],
)
def test_nobody_takes_an_address_away_in_less_than_two_hours(valid_s: int, expected_s: int) -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said(valid_s=86_400, preferred_s=86_400)], at=10.0)
    bench.run(20.0)
    bench.advertised(prefixes=[prefix_said(valid_s=valid_s, preferred_s=0)], at=20.0)
    (own,) = bench.automatic()
    assert own.valid_until == 20.0 + expected_s
    assert own.state is AddressState.DEPRECATED  # the preferred lifetime is taken as it is


@pytest.mark.rfc("4862", "5.5.3")
def test_what_is_left_below_two_hours_is_only_made_longer() -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said(valid_s=3600, preferred_s=600)], at=10.0)
    bench.advertised(prefixes=[prefix_said(valid_s=60, preferred_s=60)], at=10.0)
    (own,) = bench.automatic()
    assert own.valid_until == 3610.0
    bench.advertised(prefixes=[prefix_said(valid_s=3700, preferred_s=60)], at=11.0)
    assert own.valid_until == 3711.0


def test_a_lifetime_without_an_end() -> None:
    bench = ready()
    said = prefix_said(valid_s=nd.FOR_EVER, preferred_s=nd.FOR_EVER)
    bench.advertised(prefixes=[said], at=10.0, lifetime_s=0)
    (own,) = bench.automatic()
    assert (own.valid_until, own.preferred_until) == (math.inf, math.inf)
    bench.run(1e7)
    assert own.state is AddressState.PREFERRED


@pytest.mark.rfc("4862", "5.5.3")
@pytest.mark.parametrize(
    "said",
    [
        prefix_said("fe80::/64"),
        prefix_said(valid_s=10, preferred_s=20),
        prefix_said("2001:db8:1::/65"),
        prefix_said("2001:db8:1::/48"),
        prefix_said("::/0"),
        prefix_said("ff00::/8"),
        prefix_said("fe80::/16"),
        prefix_said("::1/128"),
        prefix_said("2001:db8:1::9/128"),
    ],
)
def test_prefixes_of_which_no_address_is_made(said: nd.PrefixInformation) -> None:
    bench = ready()
    bench.advertised(prefixes=[said], at=10.0)
    assert bench.automatic() == []
    assert bench.counters["nd_bad_prefix"] == 1


def test_prefixes_without_the_flag_make_no_address() -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said(autonomous=False)], at=10.0)
    assert bench.automatic() == []


@pytest.mark.rfc("6583", "4.2")
def test_addresses_are_bounded() -> None:
    bench = ready()
    for number in range(200):
        bench.advertised(prefixes=[prefix_said(f"2001:db8:{number + 1:x}::/64")], at=10.0)
    assert len(bench.automatic()) == 16
    assert bench.counters["nd_too_many_addresses"] == 184


def test_a_duplicate_of_a_prefix_is_tried_again_with_the_lifetimes_that_it_had() -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said(valid_s=5000, preferred_s=4000)], at=10.0)
    (own,) = bench.automatic()
    bench.answered(own.address, dst=ALL_NODES6, solicited=False)
    bench.run(20.0)
    (other,) = bench.automatic()
    assert other.address != own.address
    assert other.state is AddressState.PREFERRED
    assert (other.valid_until, other.preferred_until) == (5010.0, 4010.0)


def test_without_power_nothing_is_left_but_what_was_given() -> None:
    bench = ready()
    bench.advertised(prefixes=[prefix_said()], at=10.0)
    bench.run(20.0)
    bench.host.add_address(bench.interface, parse_ip6("fd00::1"), parse_prefix("fd00::/64"))
    bench.host.power_off(20.0)
    assert [text for text, _ in bench.states()] == [format_ip(zoned(MADE)), "fd00::1"]
    assert bench.scheduler.next_at() == math.inf
    assert bench.discovery.link(bench.interface).routers == ()


def test_the_same_world_has_the_same_addresses_and_another_has_others() -> None:
    prefix = parse_prefix("2001:db8::/64")
    secret = secret_of(1, "here")
    assert stable_id(prefix, "eth0", 0, secret) == stable_id(prefix, "eth0", 0, secret)
    others = [
        stable_id(prefix, "eth0", 0, secret_of(2, "here")),
        stable_id(prefix, "eth0", 0, secret_of(1, "there")),
        stable_id(prefix, "eth1", 0, secret),
        stable_id(prefix, "eth0", 1, secret),
        stable_id(parse_prefix("2001:db8:1::/64"), "eth0", 0, secret),
    ]
    assert len({stable_id(prefix, "eth0", 0, secret), *others}) == 6


@pytest.mark.rfc("5453", "3")
@given(st.integers(0, 2**32))
def test_no_identifier_is_a_reserved_one(seed: int) -> None:
    rng = component_rng(seed, "x")
    assert not is_reserved(random_id(rng))
    for reserved in (0, 0xFDFFFFFFFFFFFF80, 2**64 - 2**57 - 1, 0x02005EFFFE005212):
        assert is_reserved(reserved)


# temporary addresses


def temporary(bench: DiscoveryBench) -> list[Ip]:
    return [own.address for own in bench.automatic() if own.is_temporary]


@pytest.mark.rfc("8981", "3.4")
def test_a_temporary_address_stands_beside_the_stable_one_and_is_preferred() -> None:
    bench = ready(use_tempaddr=True)
    bench.advertised(prefixes=[prefix_said()], at=10.0)
    bench.run(15.0)
    (address,) = temporary(bench)
    assert len(bench.automatic()) == 2
    route = bench.host.routes.lookup(parse_ip6("2001:db8:9::1"))
    assert route is not None
    assert bench.host.source_towards(parse_ip6("2001:db8:9::1"), route) == address
    own = bench.interface.find(address)
    assert own is not None
    assert own.valid_until == 10.0 + 2 * DAY_S
    assert 10.0 + 0.6 * DAY_S <= own.preferred_until <= 10.0 + DAY_S


@pytest.mark.rfc("8981", "3.5")
def test_temporary_addresses_follow_each_other_without_a_gap() -> None:
    bench = ready(use_tempaddr=True)
    for at in range(10, int(10 * DAY_S), 40_000):
        bench.run(float(at))
        bench.advertised(prefixes=[prefix_said()], at=float(at))
        bench.run(at + 3.0)
        states = [own.state for own in bench.automatic() if own.is_temporary]
        assert AddressState.PREFERRED in states
        assert len(states) <= 4  # valid for two days, renewed after one at most
        bench.taken()
    assert len({new for _, _, new in bench.address_changes()}) == 4


@pytest.mark.rfc("8981", "3.4")
def test_a_temporary_address_lives_no_longer_than_its_prefix() -> None:
    bench = ready(use_tempaddr=True)
    bench.advertised(prefixes=[prefix_said(valid_s=9000, preferred_s=600)], at=10.0)
    own = bench.interface.find(temporary(bench)[0])
    assert own is not None
    assert (own.valid_until, own.preferred_until) == (9010.0, 610.0)
    bench.run(9010.0)
    assert bench.automatic() == []


@pytest.mark.parametrize(
    "words",
    [
        {"dad_transmits": -1},
        {"addr_gen_mode": "mac"},
        {"temp_preferred_s": 10.0},
        {"temp_preferred_s": 200_000.0},
    ],
)
def test_what_cannot_be_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Ip6Config(**words)  # type: ignore[arg-type]
