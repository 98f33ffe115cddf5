"""Groups of IPv6: joined and left as those of IPv4, told to routers as MLDv2 has it (RFC 3810)."""

import math

import pytest
from discovery_bench import HERE_LINK, ROUTER, DiscoveryBench, mld_frame, zoned
from stack_bench import GROUP

from pystack.core.addresses import (
    ALL_MLD_ROUTERS,
    ALL_NODES6,
    ALL_ROUTERS6,
    UNSPECIFIED6,
    Ip,
    parse_ip6,
    solicited_node,
)
from pystack.wire import icmpv6, mld

MDNS = parse_ip6("ff02::fb")
SITE = parse_ip6("ff05::1:3")
OWN = {solicited_node(HERE_LINK)}  # of both addresses


@pytest.fixture
def bench() -> DiscoveryBench:
    return DiscoveryBench()


def query(
    bench: DiscoveryBench, group: Ip = UNSPECIFIED6, *, version: int = 2, within_s: float = 10.0
) -> None:
    dst = ALL_NODES6 if group == UNSPECIFIED6 else group
    message = mld.pack_query(ROUTER, dst, mld.MldQuery(within_s, group, version))
    bench.arrive(mld_frame(ROUTER, dst, message))


def reports(bench: DiscoveryBench) -> list[tuple[float, dict[Ip, int]]]:
    """Return what was reported in version 2: when, and the kind of each group's record."""
    found = []
    for each in bench.said(icmpv6.MLD_REPORT_2):
        assert (each.src, each.dst, each.packet.ttl) == (HERE_LINK, ALL_MLD_ROUTERS, 1)
        said = mld.parse(each.packet, each.message)
        assert isinstance(said, mld.MldReport2)
        found.append((each.at, {record.group: record.kind for record in said.records}))
    return found


@pytest.mark.rfc("3810", "6.1")
def test_a_join_is_reported_at_once_and_once_more_within_a_second(bench: DiscoveryBench) -> None:
    bench.host.groups.join(bench.interface, MDNS, 5.0)
    bench.run(100.0)
    (first, again) = reports(bench)
    assert first == (5.0, {MDNS: mld.CHANGE_TO_EXCLUDE})
    assert again[1] == first[1]
    assert 5.0 < again[0] <= 6.0


@pytest.mark.rfc("3810", "6.1")
def test_so_is_a_leave(bench: DiscoveryBench) -> None:
    groups = bench.host.groups
    groups.join(bench.interface, MDNS, 0.0)
    groups.join(bench.interface, MDNS, 0.0)
    groups.leave(bench.interface, MDNS, 0.0)
    bench.run(10.0)
    reports(bench)
    groups.leave(bench.interface, MDNS, 10.0)
    bench.run(100.0)
    (first, again) = reports(bench)
    assert first == (10.0, {MDNS: mld.CHANGE_TO_INCLUDE})
    assert again[1] == first[1]
    assert 10.0 < again[0] <= 11.0


def test_who_joins_again_does_not_leave_any_more(bench: DiscoveryBench) -> None:
    groups = bench.host.groups
    groups.join(bench.interface, MDNS, 0.0)
    bench.run(10.0)
    groups.leave(bench.interface, MDNS, 10.0)
    groups.join(bench.interface, MDNS, 10.0)
    bench.run(100.0)
    kinds = [kinds[MDNS] for at, kinds in reports(bench) if at >= 10.0]
    assert kinds == [mld.CHANGE_TO_INCLUDE, mld.CHANGE_TO_EXCLUDE, mld.CHANGE_TO_EXCLUDE]


@pytest.mark.rfc("3810", "6.2")
def test_a_general_query_is_answered_by_one_report_of_all_groups(bench: DiscoveryBench) -> None:
    for group in (MDNS, SITE):
        bench.host.groups.join(bench.interface, group, 0.0)
    bench.run(10.0)
    reports(bench)
    query(bench)
    query(bench)
    bench.run(30.0)
    ((at, said),) = reports(bench)
    assert 10.0 <= at <= 20.0
    assert said == dict.fromkeys((*OWN, MDNS, SITE), mld.MODE_IS_EXCLUDE)


@pytest.mark.rfc("3810", "6.2")
def test_a_query_about_a_group_is_answered_by_its_members(bench: DiscoveryBench) -> None:
    bench.host.groups.join(bench.interface, MDNS, 0.0)
    bench.run(10.0)
    reports(bench)
    query(bench, MDNS, within_s=1.0)
    bench.run(30.0)
    ((at, said),) = reports(bench)
    assert 10.0 <= at <= 11.0
    assert said == {MDNS: mld.MODE_IS_EXCLUDE}
    bench.host.groups.leave(bench.interface, MDNS, 30.0)
    bench.run(40.0)
    reports(bench)
    query(bench, MDNS)
    bench.run(60.0)
    assert reports(bench) == []


@pytest.mark.rfc("3810", "6")
def test_of_all_nodes_and_of_what_stays_here_nothing_is_said(bench: DiscoveryBench) -> None:
    for group in (ALL_NODES6, parse_ip6("ff01::1"), parse_ip6("ff00::1")):
        bench.host.groups.join(bench.interface, group, 0.0)
    bench.run(10.0)
    assert bench.said() == []


def test_more_groups_than_fit_are_reported_in_more_messages(bench: DiscoveryBench) -> None:
    for number in range(200):
        bench.host.groups.join(bench.interface, Ip(SITE + number), 0.0)
    bench.run(10.0)
    reports(bench)
    query(bench)
    bench.run(30.0)
    found = reports(bench)
    assert [len(said) for _, said in found] == [72, 72, 57]


@pytest.mark.rfc("3810", "8.2.1")
def test_to_a_router_of_version_1_it_is_version_1(bench: DiscoveryBench) -> None:
    query(bench, version=1)
    bench.host.groups.join(bench.interface, MDNS, 0.0)
    bench.run(20.0)
    found = bench.said(icmpv6.MLD_REPORT, icmpv6.MLD_DONE, icmpv6.MLD_REPORT_2)
    assert {each.kind for each in found} == {icmpv6.MLD_REPORT}
    assert {each.dst for each in found} == {MDNS, *OWN}
    bench.host.groups.leave(bench.interface, MDNS, 20.0)
    (done,) = bench.said()
    assert (done.kind, done.dst) == (icmpv6.MLD_DONE, ALL_ROUTERS6)
    bench.run(300.0)
    bench.host.groups.join(bench.interface, SITE, 300.0)
    assert reports(bench) == [(300.0, {SITE: mld.CHANGE_TO_EXCLUDE})]


@pytest.mark.rfc("2710", "4")
def test_in_version_1_another_members_report_is_enough(bench: DiscoveryBench) -> None:
    bench.host.groups.join(bench.interface, MDNS, 0.0)
    bench.run(10.0)
    query(bench, MDNS, version=1)
    bench.said()
    bench.arrive(mld_frame(ROUTER, MDNS, mld.pack_report1(ROUTER, MDNS, MDNS)))
    bench.run(100.0)
    assert bench.said() == []


def test_the_groups_of_addresses_are_heard_and_reported_by_announcing(
    bench: DiscoveryBench,
) -> None:
    assert set(bench.interface.groups) >= OWN
    bench.run(10.0)
    assert bench.said() == []
    bench.host.announce(10.0)
    bench.run(20.0)
    found = reports(bench)
    assert [set(said) for _, said in found] == [OWN, OWN]


@pytest.mark.parametrize("group", [HERE_LINK, UNSPECIFIED6])
def test_what_is_no_group_cannot_be_joined(bench: DiscoveryBench, group: Ip) -> None:
    with pytest.raises(OSError, match="not a multicast group"):
        bench.host.groups.join(bench.interface, group, 0.0)


def test_without_power_all_groups_are_left(bench: DiscoveryBench) -> None:
    bench.host.groups.join(bench.interface, MDNS, 0.0)
    bench.host.groups.join(bench.interface, GROUP, 0.0)
    query(bench)
    bench.host.power_off(0.0)
    assert bench.scheduler.next_at() == math.inf
    assert set(bench.interface.groups) == {0xE0000001, ALL_NODES6, *OWN}


@pytest.mark.parametrize("ttl", [0, 2, 64, 255])
def test_queries_from_far_away_are_refused(bench: DiscoveryBench, ttl: int) -> None:
    message = mld.pack_query(ROUTER, ALL_NODES6, mld.MldQuery(1.0, UNSPECIFIED6))
    bench.arrive(mld_frame(ROUTER, ALL_NODES6, message, ttl=ttl))
    bench.run(10.0)
    assert bench.drops() == ["mld_bad_hop_limit"]
    assert bench.said() == []


@pytest.mark.parametrize("group", [MDNS, SITE])
def test_without_an_interface_the_first_link_is_meant(bench: DiscoveryBench, group: Ip) -> None:
    assert bench.host.groups.find_interface(group, UNSPECIFIED6) is bench.interface
    bench.host.set_gateway(parse_ip6("fd00::ff"))
    assert bench.host.groups.find_interface(group, UNSPECIFIED6) is bench.interface
    route = bench.host.routes.lookup(group)
    assert route is not None
    assert route.gateway is None
    assert bench.host.groups.find_interface(group, zoned(HERE_LINK)) is bench.interface


def test_without_a_link_of_ipv6_there_is_no_interface_for_a_group() -> None:
    bench = DiscoveryBench(())
    with pytest.raises(OSError, match="no interface for the group ff02::fb"):
        bench.host.groups.find_interface(MDNS, UNSPECIFIED6)
