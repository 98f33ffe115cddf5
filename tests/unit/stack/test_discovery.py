"""Neighbor discovery (RFC 4861): asked and answered, its states, and who is not believed."""

import pytest
from discovery_bench import (
    FAR6,
    HERE6,
    HERE_LINK,
    NET6,
    OTHER_ROUTER,
    PEER6,
    PEER_LINK,
    ROUTER,
    ROUTER_MAC,
    DiscoveryBench,
    zoned,
)
from stack_bench import HERE_MAC, OTHER_MAC, PEER_MAC

from pystack.core.addresses import (
    ALL_NODES6,
    UNSPECIFIED6,
    Ip,
    format_ip,
    multicast_mac,
    parse_ip6,
    solicited_node,
)
from pystack.stack.neighbors import TABLE_ENTRIES, Neighbor, NeighborState
from pystack.wire import icmpv6, nd

GROUP_MAC = multicast_mac(solicited_node(PEER6))


@pytest.fixture
def bench() -> DiscoveryBench:
    return DiscoveryBench()


def send(bench: DiscoveryBench, at: float, dst: Ip = PEER6, payload: bytes = b"data") -> None:
    bench.run(at)
    socket = bench.host.udp.bind(HERE6, 0)
    socket.send_to(payload, dst, 7, at)
    socket.close()


def entry(bench: DiscoveryBench, address: Ip = PEER6) -> Neighbor:
    found = bench.neighbors.find(address)
    assert found is not None
    return found


def known(bench: DiscoveryBench) -> tuple[str, bytes | None]:
    found = entry(bench)
    return found.state.value, found.mac


@pytest.mark.rfc("4861", "7.2.2")
def test_a_station_is_asked_for_by_its_group_and_what_waits_is_sent(bench: DiscoveryBench) -> None:
    send(bench, 1.0, payload=b"waiting")
    (asked,) = bench.said()
    assert (asked.at, asked.dst_mac) == (1.0, GROUP_MAC)
    assert (asked.src, asked.dst, asked.packet.ttl) == (HERE6, solicited_node(PEER6), 255)
    said = nd.parse_neighbor_solicitation(asked.packet, asked.message)
    assert (said.target, said.options.source_mac) == (PEER6, HERE_MAC)
    bench.answered(at=1.25)
    (frame,) = bench.taken()
    assert frame.data[:14] == PEER_MAC + HERE_MAC + b"\x86\xdd"
    assert frame.data.endswith(b"waiting")
    assert bench.neighbor_changes() == [(1.25, "INCOMPLETE", "REACHABLE")]


@pytest.mark.rfc("4861", "7.2.2")
def test_a_station_is_asked_for_three_times_then_given_up(bench: DiscoveryBench) -> None:
    send(bench, 10.0)
    bench.run(100.0)
    assert bench.solicitations() == [(at, "fd00::2", GROUP_MAC) for at in (10.0, 11.0, 12.0)]
    assert bench.neighbor_changes() == [(13.0, "INCOMPLETE", "FAILED")]
    assert bench.drops() == ["neighbor_unreachable"]


@pytest.mark.rfc("4861", "7.3.3")
def test_reachable_stale_delay_probe_and_answered(bench: DiscoveryBench) -> None:
    send(bench, 0.0)
    bench.answered(at=0.0)
    assert 15.0 <= entry(bench).use_until <= 45.0
    send(bench, 100.0)
    bench.taken()
    bench.run(104.9)
    assert bench.solicitations() == []
    bench.run(106.0)
    assert bench.solicitations() == [(at, "fd00::2", PEER_MAC) for at in (105.0, 106.0)]
    bench.answered(at=106.5)
    assert known(bench) == ("REACHABLE", PEER_MAC)


@pytest.mark.rfc("4861", "7.2.4")
@pytest.mark.parametrize(
    ("target", "src"), [(HERE6, PEER6), (HERE_LINK, PEER_LINK), (HERE6, PEER_LINK)]
)
def test_who_asks_is_answered_and_learned(bench: DiscoveryBench, target: Ip, src: Ip) -> None:
    bench.asked(target, src, at=3.0)
    (answer,) = bench.said()
    assert (answer.at, answer.dst_mac, answer.packet.ttl) == (3.0, PEER_MAC, 255)
    assert (answer.src, answer.dst) == (target, src)
    said = nd.parse_neighbor_advertisement(answer.packet, answer.message)
    assert (said.target, said.options.target_mac) == (target, HERE_MAC)
    assert (said.router, said.solicited, said.override) == (False, True, True)
    key = zoned(src) if src == PEER_LINK else src
    # It was STALE until the answer went there, which is a reason to find out (section 7.3.3).
    assert (entry(bench, key).state.value, entry(bench, key).mac) == ("DELAY", PEER_MAC)


def test_a_router_says_that_it_is_one(bench: DiscoveryBench) -> None:
    bench.host.forwarding = True
    bench.asked()
    (answer,) = bench.said()
    assert nd.parse_neighbor_advertisement(answer.packet, answer.message).router


def test_a_unicast_question_without_an_option_is_answered_to_whom_it_finds(
    bench: DiscoveryBench,
) -> None:
    bench.asked(dst=HERE6, mac=None, at=1.0)
    # Whoever asks is not known: it is asked for itself, and then answered.
    (asked,) = bench.said()
    assert asked.kind == icmpv6.NEIGHBOR_SOLICITATION
    bench.answered(at=1.5)
    (answer,) = bench.said()
    assert (answer.kind, answer.dst_mac) == (icmpv6.NEIGHBOR_ADVERTISEMENT, PEER_MAC)


@pytest.mark.rfc("4862", "5.4.3")
def test_an_address_of_ours_is_defended_against_who_tries_it_out(bench: DiscoveryBench) -> None:
    bench.asked(src=UNSPECIFIED6, nonce=b"sixbyt", at=2.0)
    (answer,) = bench.said()
    assert (answer.src, answer.dst) == (HERE6, ALL_NODES6)
    said = nd.parse_neighbor_advertisement(answer.packet, answer.message)
    assert (said.target, said.solicited, said.override) == (HERE6, False, True)
    assert bench.counters["nd_address_defended"] == 1
    assert bench.neighbors.entries(2.0) == []


@pytest.mark.rfc("4861", "7.2.5")
@pytest.mark.parametrize("state", ["REACHABLE", "STALE"])
@pytest.mark.parametrize("override", [True, False])
@pytest.mark.parametrize("solicited", [True, False])
@pytest.mark.parametrize("mac", [PEER_MAC, OTHER_MAC, None])
def test_an_advertisement_about_a_known_station(
    bench: DiscoveryBench, state: str, override: bool, solicited: bool, mac: bytes | None
) -> None:
    """All cases of the table in RFC 4861, appendix C, but for INCOMPLETE."""
    bench.neighbors.heard(PEER6, PEER_MAC, 0.0, create=True)
    if state == "REACHABLE":
        bench.answered()
    assert known(bench) == (state, PEER_MAC)
    bench.answered(mac=mac, override=override, solicited=solicited)  # type: ignore[arg-type]
    another = mac == OTHER_MAC
    if another and not override:
        expected = ("STALE", PEER_MAC)
    elif solicited:
        expected = ("REACHABLE", mac or PEER_MAC)
    elif another:
        expected = ("STALE", OTHER_MAC)
    else:
        expected = (state, PEER_MAC)
    assert known(bench) == expected


@pytest.mark.rfc("4861", "7.2.5")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({}, ("REACHABLE", PEER_MAC)),
        ({"override": False}, ("REACHABLE", PEER_MAC)),
        ({"solicited": False}, ("STALE", PEER_MAC)),
        ({"mac": None}, ("INCOMPLETE", None)),
    ],
)
def test_an_advertisement_about_a_station_that_is_looked_for(
    bench: DiscoveryBench, words: dict[str, object], expected: tuple[str, bytes | None]
) -> None:
    send(bench, 0.0)
    bench.answered(at=0.5, **words)  # type: ignore[arg-type]
    assert known(bench) == expected


@pytest.mark.rfc("4861", "7.2.5")
def test_of_a_station_that_nobody_asked_for_nothing_is_learned(bench: DiscoveryBench) -> None:
    bench.answered(PEER6)
    bench.answered(PEER6, dst=ALL_NODES6, solicited=False)
    assert bench.drops() == ["nd_not_asked"] * 2
    assert bench.neighbors.entries(0.0) == []


@pytest.mark.rfc("4861", "7.2.6")
def test_a_station_that_has_moved_tells_all(bench: DiscoveryBench) -> None:
    bench.neighbors.heard(PEER6, PEER_MAC, 0.0, create=True)
    bench.answered(dst=ALL_NODES6, mac=OTHER_MAC, solicited=False)
    assert known(bench) == ("STALE", OTHER_MAC)


@pytest.mark.rfc("4861", "7.2.6")
def test_who_announces_itself_does_so_twice(bench: DiscoveryBench) -> None:
    bench.host.announce(1.0)
    bench.run(10.0)
    found = [
        (each.at, format_ip(each.src), each.dst)
        for each in bench.said(icmpv6.NEIGHBOR_ADVERTISEMENT)
    ]
    assert found == [(at, text, ALL_NODES6) for at in (1.0, 3.0) for text in ("fe80::1", "fd00::1")]


# who is not believed


@pytest.mark.rfc("4861", "11.2")
@pytest.mark.parametrize("ttl", [0, 1, 64, 254])
def test_what_a_router_has_passed_on_is_refused(bench: DiscoveryBench, ttl: int) -> None:
    send(bench, 0.0)
    bench.said()
    bench.asked(ttl=ttl)
    bench.answered(ttl=ttl)
    bench.discovery.config = type(bench.discovery.config)(accept_ra=True)
    bench.advertised(ttl=ttl)
    assert bench.drops() == ["nd_bad_hop_limit"] * 3
    assert known(bench) == ("INCOMPLETE", None)
    assert bench.said() == []


@pytest.mark.parametrize("src", [FAR6, parse_ip6("fd00:1::2")])
def test_who_is_not_on_the_link_is_no_neighbour(bench: DiscoveryBench, src: Ip) -> None:
    bench.asked(src=src)
    assert bench.drops() == ["nd_source_off_link"]
    assert bench.neighbors.find(src) is None


def test_who_claims_our_mac_address_is_not_believed(bench: DiscoveryBench) -> None:
    bench.asked(mac=HERE_MAC)
    send(bench, 0.0)
    bench.answered(mac=HERE_MAC, at=0.5)
    assert bench.drops() == ["nd_bad_link_address"] * 2
    assert known(bench) == ("INCOMPLETE", None)


@pytest.mark.rfc("4862", "5.4.4")
def test_who_claims_our_address_is_counted_and_we_keep_it(bench: DiscoveryBench) -> None:
    bench.answered(HERE6, dst=ALL_NODES6, solicited=False)
    assert "nd_address_conflict" in bench.drops() or "ip_martian" in bench.drops()
    assert bench.host.addresses[HERE6] is bench.interface


def test_a_target_that_nobody_here_has_is_counted(bench: DiscoveryBench) -> None:
    other = parse_ip6("fd00::ff:0:1")  # in the same solicited-node group
    bench.asked(other, dst=solicited_node(HERE6))
    assert bench.drops() == ["nd_for_others"]
    assert bench.said() == []


@pytest.mark.rfc("6583", "4")
def test_strangers_that_nobody_is_push_out_none_that_answers(bench: DiscoveryBench) -> None:
    """A scan of a /64 fills the table with stations that do not exist."""
    send(bench, 0.0)
    bench.answered(at=0.0)
    for number in range(3 * TABLE_ENTRIES):
        send(bench, 1.0, dst=Ip(NET6.network | 0x1000 + number))
    assert known(bench) == ("REACHABLE", PEER_MAC)
    assert len(bench.neighbors.entries(1.0)) == TABLE_ENTRIES
    assert bench.counters["neighbor_table_full"] > TABLE_ENTRIES


@pytest.mark.rfc("6583", "4")
def test_who_asks_under_many_addresses_pushes_out_none_that_answers(bench: DiscoveryBench) -> None:
    send(bench, 0.0)
    bench.answered(at=0.0)
    for number in range(2 * TABLE_ENTRIES):
        bench.asked(src=Ip(NET6.network | 0x1000 + number))
        bench.taken()
    assert known(bench) == ("REACHABLE", PEER_MAC)
    assert len(bench.neighbors.entries(0.0)) == TABLE_ENTRIES


# redirects


def redirect(
    bench: DiscoveryBench, src: Ip = ROUTER, target: Ip = OTHER_ROUTER, dst: Ip = FAR6
) -> None:
    said = nd.Redirect(target, dst, nd.NdOptions(target_mac=OTHER_MAC))
    message = nd.pack_redirect(src, HERE6, said)
    bench.hear(src, HERE6, message, mac=ROUTER_MAC)


def first_hop(bench: DiscoveryBench, dst: Ip = FAR6) -> Ip | None:
    route = bench.host.routes.lookup(dst)
    assert route is not None
    return route.gateway


@pytest.mark.rfc("4861", "8.3")
def test_redirects_are_refused_unless_they_are_wanted(bench: DiscoveryBench) -> None:
    bench.host.set_gateway(zoned(ROUTER))
    redirect(bench)
    assert bench.drops() == ["nd_redirect_refused"]
    assert first_hop(bench) == zoned(ROUTER)


@pytest.mark.rfc("4861", "8.3")
def test_a_redirect_of_the_first_hop_is_followed_while_that_answers() -> None:
    bench = DiscoveryBench(accept_redirects=True)
    bench.host.set_gateway(zoned(ROUTER))
    redirect(bench)
    assert bench.drops() == []
    assert first_hop(bench) == zoned(OTHER_ROUTER)
    assert entry(bench, zoned(OTHER_ROUTER)).mac == OTHER_MAC
    send(bench, 0.0, FAR6)
    bench.run(20.0)  # the new first hop is asked, and is silent
    assert entry(bench, zoned(OTHER_ROUTER)).state is NeighborState.FAILED
    assert first_hop(bench) == zoned(ROUTER)


@pytest.mark.rfc("4861", "8.1")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"src": OTHER_ROUTER}, "nd_redirect_not_from_router"),
        ({"dst": parse_ip6("fd00::9")}, "nd_redirect_not_from_router"),  # on the link
        ({"target": HERE_LINK}, "nd_redirect_target"),
    ],
)
def test_redirects_that_nobody_may_send(words: dict[str, Ip], reason: str) -> None:
    bench = DiscoveryBench(accept_redirects=True)
    bench.host.set_gateway(zoned(ROUTER))
    redirect(bench, **words)
    assert bench.drops() == [reason]


def test_redirects_are_bounded() -> None:
    bench = DiscoveryBench(accept_redirects=True)
    bench.host.set_gateway(zoned(ROUTER))
    for number in range(1000):
        redirect(bench, dst=Ip(FAR6 + number))
    assert len(bench.host.routes) < 300
