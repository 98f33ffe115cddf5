"""An interceptor's host among strangers who do what they should not."""

import math
from functools import partial
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intercepting import ISS, Gateway
from stack_bench import HERE_MAC, PEER_MAC

from pystack.core.addresses import BROADCAST_MAC, Prefix, parse_ip
from pystack.stack.icmp_core import Trouble
from pystack.stack.intercept import FORGOTTEN_AFTER_S
from pystack.stack.routes import Route
from pystack.tcp.config import TcpLimits
from pystack.tcp.seq import MASK
from pystack.tcp.states import TcpState
from pystack.wire import ethernet, icmp, icmpv6, ip, ipv4, ipv6, tcp, udp

MAX_HELD: Final = 50
both = pytest.mark.parametrize("version", ["IPv4", "IPv6"])


# who is held


@both
def test_a_flood_of_syns_is_held_up_to_a_limit_and_dropped_by_name(version: str) -> None:
    net = Gateway(version)
    net.host.tcp.limits = TcpLimits(max_held_syns=MAX_HELD)
    for number in range(MAX_HELD + 100):
        net.segment(tcp.SYN, port=1 + number)
    assert len(net.noting.syns) == MAX_HELD
    assert net.counters["tcp_held_syns_full"] == 100
    assert net.answers() == []
    net.noting.syns[7].refuse(0.0)
    net.segment(tcp.SYN, port=60000)
    assert len(net.noting.syns) == MAX_HELD + 1


@both
def test_one_that_has_waited_for_a_second_gives_way_to_another(version: str) -> None:
    net = Gateway(version)
    net.host.tcp.limits = TcpLimits(max_held_syns=2)
    over: list[tuple[int, float]] = []
    for number in range(2):
        net.segment(tcp.SYN, port=1 + number)
        net.noting.syns[number].on_over = partial(_note, over, number)
        net.run(0.5)
    net.run(0.9)
    net.segment(tcp.SYN, port=3)
    assert over == []
    assert len(net.noting.syns) == 2
    net.segment(tcp.SYN, port=1)  # again: now the other is the one that was silent for longest
    net.run(1.6)
    net.segment(tcp.SYN, port=4)
    assert over == [(1, 1.6)]
    assert len(net.noting.syns) == 3
    assert net.counters["tcp_held_syns_full"] == 2
    net.noting.syns[2].refuse(1.6)
    net.run(500.0)
    assert over == [(1, 1.6), (0, 0.9 + FORGOTTEN_AFTER_S)]


def _note(over: list[tuple[int, float]], number: int, now: float) -> None:
    over.append((number, now))


@both
def test_those_of_a_flood_that_are_accepted_count_until_they_are_established(version: str) -> None:
    net = Gateway(version)
    net.host.tcp.limits = TcpLimits(max_held_syns=MAX_HELD)
    for number in range(MAX_HELD + 1):
        net.segment(tcp.SYN, port=1 + number)
        net.accept_all()
    assert net.counters["tcp_held_syns_full"] == 1
    net.run(300.0)  # nobody answers the SYN-ACKs
    assert len(net.gone) == MAX_HELD
    assert len(net.host.tcp) == 0
    net.segment(tcp.SYN)
    assert len(net.noting.syns) == 1


@both
def test_one_whose_client_is_silent_is_forgotten(version: str) -> None:
    net = Gateway(version)
    over: list[float] = []
    net.segment(tcp.SYN)
    net.noting.syns[0].on_over = over.append
    net.run(10.0)
    net.segment(tcp.SYN)
    net.run(10.0 + FORGOTTEN_AFTER_S - 1)
    assert over == []
    net.run(500.0)
    assert over == [10.0 + FORGOTTEN_AFTER_S]
    assert net.noting.syns[0].is_over
    assert net.scheduler.next_at() == math.inf


@both
def test_deciding_about_one_that_is_over_does_nothing(version: str) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN)
    net.run(500.0)
    net.taken()
    (syn,) = net.noting.syns
    syn.refuse(net.scheduler.now)
    net.accept_all()
    assert net.gone == [500.0]
    assert net.taken() == []


# what comes meanwhile


@both
@pytest.mark.parametrize("seq", [ISS, ISS + 1])
def test_a_reset_of_the_very_number_ends_a_held_one(version: str, seq: int) -> None:
    net = Gateway(version)
    over: list[float] = []
    net.segment(tcp.SYN)
    net.noting.syns[0].on_over = over.append
    net.segment(tcp.RST, seq=seq)
    assert over == [0.0]
    assert net.counters["tcp_held_syn_reset"] == 1
    assert net.answers() == []


@both
@pytest.mark.parametrize("seq", [ISS - 1, ISS + 2, ISS + 2**31])
def test_another_reset_ends_nothing(version: str, seq: int) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN)
    net.segment(tcp.RST, seq=seq)
    assert not net.noting.syns[0].is_over
    assert net.counters["tcp_stray"] == 1
    assert net.answers() == []


@both
@pytest.mark.parametrize("flags", [tcp.ACK, tcp.SYN | tcp.ACK, tcp.FIN | tcp.ACK, 0])
def test_what_is_no_syn_is_answered_with_a_reset_and_ends_nothing(version: str, flags: int) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN)
    net.segment(flags, ack=77)
    (answer,) = net.answers()
    assert answer.flags & tcp.RST
    assert not net.noting.syns[0].is_over
    net.accept_all()
    assert [segment.flags for segment in net.answers()] == [tcp.SYN | tcp.ACK]


@both
def test_a_syn_with_another_number_replaces_the_one_that_is_held(version: str) -> None:
    net = Gateway(version)
    over: list[float] = []
    net.segment(tcp.SYN)
    net.noting.syns[0].on_over = over.append
    net.segment(tcp.SYN, seq=ISS + 1000)
    first, second = net.noting.syns
    assert (over, first.is_over, second.is_over) == ([0.0], True, False)
    net.accept_all()
    (answer,) = net.answers()
    assert answer.ack == ISS + 1001 & MASK
    assert len(net.gone) == 1  # the first


@both
def test_a_client_that_resets_during_the_handshake_is_told_as_gone(version: str) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN)
    net.accept_all()
    net.segment(tcp.RST, seq=ISS + 1)
    assert (net.gone, net.established) == ([0.0], [])
    assert len(net.host.tcp) == 0


@both
def test_a_reset_right_behind_the_last_ack_is_told_to_the_new_owner(version: str) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN)
    net.accept_all()
    (answer,) = net.answers()
    net.segment(tcp.ACK, seq=ISS + 1, ack=answer.seq + 1)
    net.segment(tcp.RST, seq=ISS + 1)
    (socket,) = net.established
    assert net.gone == []
    assert socket.connection.state is TcpState.CLOSED


@both
@pytest.mark.parametrize(("flags", "to"), [(tcp.SYN | tcp.FIN, 80), (tcp.SYN, 0)])
def test_a_syn_that_can_be_no_clients_is_not_held(version: str, flags: int, to: int) -> None:
    net = Gateway(version)
    net.segment(flags, to=to)
    assert net.given == (0, 0, 0)


@both
def test_the_text_of_a_syn_is_not_kept_and_refused_as_by_a_closed_port(version: str) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN, text=bytes(1000))
    (syn,) = net.noting.syns
    assert (len(syn.segment.payload), syn.text_bytes) == (0, 1000)
    net.segment(tcp.SYN, text=bytes(1000), port=5001)
    net.noting.syns[0].refuse(0.0)
    net.noting.syns.pop(0)
    net.accept_all()
    refused, accepted = net.answers()
    assert refused.ack == ISS + 1001 & MASK
    assert accepted.ack == ISS + 1 & MASK  # it comes again


# TIME-WAIT


def in_time_wait(net: Gateway) -> int:
    """Let a connection end from the host's side; return its last number."""
    net.segment(tcp.SYN)
    net.accept_all()
    (answer,) = net.answers()
    net.segment(tcp.ACK, seq=ISS + 1, ack=answer.seq + 1)
    (socket,) = net.established
    net.host.tcp.release(socket, 0.0)
    net.segment(tcp.FIN | tcp.ACK, seq=ISS + 1, ack=answer.seq + 2)
    assert len(net.host.tcp.time_waits.records) == 1
    net.taken()
    net.established.clear()
    return answer.seq + 2


@both
def test_a_newer_connection_takes_the_place_of_one_in_time_wait(version: str) -> None:
    net = Gateway(version)
    last = in_time_wait(net)
    net.segment(tcp.SYN, seq=ISS + 5000)
    assert net.counters["tcp_time_wait_reused"] == 1
    net.accept_all()
    (answer,) = net.answers()
    assert answer.seq - last & MASK == 0x10001  # beyond all that the old one has used
    net.segment(tcp.ACK, seq=ISS + 5001, ack=answer.seq + 1)
    assert len(net.established) == 1


@both
def test_an_old_syn_does_not_end_a_time_wait(version: str) -> None:
    net = Gateway(version)
    in_time_wait(net)
    net.segment(tcp.SYN, seq=ISS - 5000)
    assert net.given == (0, 0, 0)
    assert net.counters["tcp_challenged_syn"] == 1
    assert len(net.host.tcp.time_waits.records) == 1


# what is never intercepted

NEVER: Final = {
    "IPv4": [
        "255.255.255.255",
        "10.0.0.255",
        "224.0.0.251",
        "239.1.2.3",
        "127.0.0.1",
        "127.9.9.9",
        "0.0.0.0",
        "0.0.0.7",
        "240.0.0.1",
    ],
    "IPv6": ["ff02::1", "ff0e::1234", "::1", "::", "::ffff:192.0.2.80", "fe80::77"],
}


@pytest.mark.parametrize(
    ("version", "text"), [(version, text) for version in NEVER for text in NEVER[version]]
)
def test_what_no_one_station_elsewhere_has_is_not_asked_for(version: str, text: str) -> None:
    net = Gateway(version)
    net.each(dst=parse_ip(text))
    net.each(dst=parse_ip(text), mac=BROADCAST_MAC)
    assert net.given == (0, 0, 0)
    assert net.noting.asked == []


@both
def test_what_came_to_many_stations_is_not_intercepted(version: str) -> None:
    net = Gateway(version)
    net.each(mac=BROADCAST_MAC)
    assert net.given == (0, 0, 0)
    assert net.counters["ip_unicast_to_many"] == 3
    assert net.taken() == []


@pytest.mark.parametrize(
    ("version", "text", "reason"),
    [
        ("IPv4", "127.0.0.1", "ip_martian"),
        ("IPv4", "10.0.0.1", "ip_martian"),
        ("IPv4", "10.0.0.255", "ip_bad_source"),
        ("IPv4", "224.0.0.1", "ip_bad_source"),
        ("IPv4", "0.0.0.0", "ip_bad_source"),
        ("IPv6", "::1", "ip_martian"),
        ("IPv6", "fd00::1", "ip_martian"),
        ("IPv6", "ff02::1", "ip_bad_source"),
        ("IPv6", "::", "ip_bad_source"),
    ],
)
def test_a_forged_source_gets_nowhere(version: str, text: str, reason: str) -> None:
    net = Gateway(version)
    net.each(src=parse_ip(text))
    assert net.given == (0, 0, 0)
    assert net.counters[reason] == 3
    assert net.taken() == []


@both
def test_no_syn_is_held_that_no_route_leads_back_from(version: str) -> None:
    net = Gateway(version)
    net.segment(tcp.SYN, src=parse_ip("198.51.100.1" if version == "IPv4" else "2001:db8::1"))
    assert net.given == (0, 0, 0)
    assert net.counters["tcp_no_route"] == 1


def test_a_source_route_through_an_intercepted_address_is_not_followed() -> None:
    net = Gateway("IPv4")
    body = udp.pack(net.peer, net.far, 5000, 53, b"?")

    def with_route(pointer: int) -> bytes:
        option = bytes((1, 131, 7, pointer)) + parse_ip("10.0.0.9").to_bytes(4, "big")
        header = ipv4.pack_header(net.peer, net.far, ipv4.UDP, len(body), options=option)
        return ethernet.pack(HERE_MAC, PEER_MAC, ethernet.IPV4, header + body)

    net.arrive(with_route(4))
    assert net.given == (0, 0, 0)
    assert net.counters["ip_source_route"] == 1
    net.arrive(with_route(8))  # at its end
    assert net.given == (0, 1, 0)


@both
def test_a_timestamp_request_or_neighbor_discovery_is_not_answered_for_another(
    version: str,
) -> None:
    net = Gateway(version)
    if version == "IPv4":
        body, proto = icmp.pack(icmp.TIMESTAMP, 0, 1, bytes(12)), ipv4.ICMP
    else:
        kind, target = icmpv6.NEIGHBOR_SOLICITATION, net.host.interfaces[1].address
        body = icmpv6.pack(net.peer, net.far, kind, 0, 0, target.to_bytes(17, "big")[1:])
        proto = ipv6.ICMPV6
    net.arrive(net.packet(proto, body))
    assert net.taken() == []
    name = "icmp_not_intercepted" if version == "IPv4" else "icmp6_not_intercepted"
    assert net.counters[name] == 1


@both
def test_an_unknown_protocol_is_told_of_by_the_station_that_was_asked(version: str) -> None:
    net = Gateway(version)
    net.arrive(net.packet(253, b"data"))
    (answer,) = (ip.packet_of(frame.data) for frame in net.taken())
    assert (answer.src, answer.dst) == (net.far, net.peer)


@both
def test_the_power_off_ends_all_that_is_held(version: str) -> None:
    net = Gateway(version)
    over: list[float] = []
    net.segment(tcp.SYN)
    net.noting.syns[0].on_over = over.append
    net.segment(tcp.SYN, port=5001)
    net.noting.syns.pop().accept(0.0, net.established.append, lambda: net.gone.append(0.0))
    net.host.power_off(0.0)
    assert (over, net.gone) == ([0.0], [0.0])
    net.run(0.0)
    assert net.scheduler.next_at() == math.inf


# a router that is an interceptor too


def test_a_router_passes_on_what_is_not_covered() -> None:
    net = Gateway("IPv4")
    net.host.forwarding = True
    other = parse_ip("198.51.100.1")
    net.noting.but = (other,)
    block, eth0 = Prefix.of(other, 24), net.interface
    net.host.routes.add(Route(block, eth0, net.peer, eth0.address))
    net.each(dst=other)
    assert net.given == (0, 0, 0)
    assert net.counters["ip_forwarded"] == 3
    net.each()
    assert net.given == (1, 1, 1)
    net.host.interceptor = None
    net.each()
    assert net.given == (1, 1, 1)
    assert net.counters["forward_no_route"] == 3


@given(st.lists(st.tuples(st.sampled_from("srakufdw"), st.integers(0, 3), st.integers(0, 2))))
def test_whatever_clients_and_interceptor_do_nothing_is_left(
    steps: list[tuple[str, int, int]],
) -> None:
    net = Gateway("IPv4")
    net.host.tcp.limits = TcpLimits(max_held_syns=2)
    held = net.host.tcp.listeners.held
    over: list[float] = []
    for what, port, seq in steps:
        match what:
            case "s":
                net.segment(tcp.SYN, port=1 + port, seq=ISS + 1000 * seq)
            case "r":
                net.segment(tcp.RST, port=1 + port, seq=ISS + 1000 * seq)
            case "a":
                net.segment(tcp.ACK, port=1 + port, seq=ISS + 1000 * seq, ack=1)
            case "w":
                net.run(net.scheduler.now + 20 * port)
        for syn in net.noting.syns:
            syn.on_over = over.append
        if what in "kufd" and net.noting.syns:
            syn, now = net.noting.syns.pop(port % len(net.noting.syns)), net.scheduler.now
            match what:
                case "k":
                    syn.accept(now, net.established.append, over.clear)
                case "u":
                    syn.unreachable(Trouble.NO_ROUTE, now)
                case "f":
                    syn.refuse(now)
                case "d":
                    syn.drop(now)
        assert len(held) <= 2
        assert len(held) == sum(not syn.is_over for syn in net.noting.syns)
    net.run(net.scheduler.now + 400)
    assert (len(held), len(net.host.tcp)) == (0, 0)
    assert all(syn.is_over for syn in net.noting.syns)
    assert net.scheduler.next_at() == math.inf


@given(
    st.sampled_from(["IPv4", "IPv6"]),
    st.sampled_from([ipv4.TCP, ipv4.UDP, ipv4.ICMP, ipv6.ICMPV6, 2, 0, 43, 44, 60]),
    st.binary(max_size=80),
)
def test_no_bytes_for_far_away_do_any_harm(version: str, proto: int, body: bytes) -> None:
    net = Gateway(version)
    net.arrive(net.packet(proto, body))
    for syn in net.noting.syns:
        syn.refuse(0.0)
    for datagram in net.noting.datagrams:
        net.host.udp.send_as(datagram.dst, 53, datagram.src, 53, datagram.payload, 0.0)
    for echo in net.noting.echoes:
        echo.reply(echo.payload, 0.0)
    assert len(net.host.tcp.listeners.held) == 0
