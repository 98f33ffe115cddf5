"""Forwarding: what a router sends on, what it changes, and what it tells the sender."""

import pytest
from topology_wires import Wire, arp_request, datagram, icmp_of, mac

from pystack.core.addresses import (
    BROADCAST_MAC,
    LOOPBACK,
    Prefix,
    format_ip4,
    parse_host_address,
    parse_ip4,
)
from pystack.core.scheduler import Scheduler
from pystack.link.port import LoopbackPort
from pystack.stack.routes import Route
from pystack.topology.router import Router
from pystack.topology.routing import DEFAULT
from pystack.wire import icmp, ipv4
from pystack.wire.checksum import checksum, pseudo_header_sum
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, Frame

NEAR, FAR = mac(0xA), mac(0xB)  # the router's own, on 10.0.0.0/24 and on 10.0.1.0/24


class Lab:
    """A router between two wires; station 1 (10.0.0.2) and station 2 (10.0.1.2) are known to it."""

    def __init__(self, far_mtu_bytes: int = 1500) -> None:
        self.scheduler = Scheduler()
        self.router = Router("r", self.scheduler, 1)
        self.near, self.far = Wire(), Wire(far_mtu_bytes)
        loopback = LoopbackPort(self.scheduler)
        self.router.add_interface("lo", loopback, LOOPBACK, Prefix.of(LOOPBACK, 8), mac(0))
        self.router.add_interface("eth0", self.near, *parse_host_address("10.0.0.1/24"), NEAR)
        self.router.add_interface("eth1", self.far, *parse_host_address("10.0.1.1/24"), FAR)
        self.near.arrive(arp_request(1, "10.0.0.2", "10.0.0.1"))
        self.far.arrive(arp_request(2, "10.0.1.2", "10.0.1.1"))
        self.near.take()
        self.far.take()

    def count(self, name: str) -> int:
        return self.router.counters[name]


def test_a_packet_goes_on_with_new_stations_and_one_hop_less() -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, ttl=9), 2.5)
    [(at, data)] = lab.far.sent
    assert (at, data[:6], data[6:12]) == (2.5, mac(2), FAR)
    before = datagram("10.0.0.2", "10.0.1.2", to=NEAR, ttl=8)
    assert data[14:] == before[14:]  # checksum included: as if it had been sent with TTL 8
    assert lab.count("ip_forwarded") == 1


@pytest.mark.parametrize("ident", [0, 0x45FE, 0x4600, 0xFFFF, 0x3712])
@pytest.mark.parametrize("ttl", [2, 255])
@pytest.mark.rfc("1624", "eqn 3")
def test_the_header_checksum_is_right_after_each_hop(ident: int, ttl: int) -> None:
    for way in ("at once", "the long way"):
        lab = Lab()
        data = datagram("10.0.0.2", "10.0.1.2", to=NEAR, ttl=ttl, ident=ident)
        if way == "the long way":  # a fragment is not for the fast path
            raw = bytearray(data)
            raw[20] |= 0x20
            raw[24:26] = b"\0\0"
            raw[24:26] = checksum(raw[14:34]).to_bytes(2, "big")
            data = bytes(raw)
        lab.near.arrive(data)
        [out] = lab.far.take()
        assert checksum(out[14:34]) == 0
        assert out[22] == ttl - 1


def test_the_links_padding_is_not_passed_on() -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=b"") + bytes(18))
    assert [len(data) for data in lab.far.take()] == [14 + 28]


def test_the_state_of_the_transport_checksum_goes_along() -> None:
    lab = Lab()
    seen: list[int] = []
    lab.far.send = lambda frame, now: seen.append(frame.checksum)  # type: ignore[method-assign]
    lab.near.arrive(Frame(datagram("10.0.0.2", "10.0.1.2", to=NEAR), CHECKSUM_GOOD))
    assert seen == [CHECKSUM_GOOD]


@pytest.mark.rfc("1812", "5.3.1")
@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_with_no_hop_left_is_answered_from_the_near_address(ttl: int) -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, ttl=ttl))
    assert lab.far.sent == []
    [error] = lab.near.packets()
    assert icmp_of(error) == (icmp.TIME_EXCEEDED, 0, 0, parse_ip4("10.0.0.1"))
    assert format_ip4(error.dst) == "10.0.0.2"
    assert lab.count("forward_ttl_exceeded") == 1


def test_no_hop_left_means_nothing_for_packets_to_the_router_itself() -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.1", to=NEAR, ttl=1))
    [error] = lab.near.packets()
    assert icmp_of(error)[:2] == (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE)


@pytest.mark.rfc("1812", "5.2.7.1")
def test_an_unknown_network_is_unreachable() -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "192.0.2.1", to=NEAR))
    [error] = lab.near.packets()
    assert icmp_of(error)[:2] == (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE)
    assert lab.count("forward_no_route") == 1


@pytest.mark.rfc("1812", "5.2.7.1")
def test_a_host_that_does_not_answer_arp_is_unreachable_after_3_s() -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.77", to=NEAR), 0.0)
    lab.scheduler.run_due(2.999)
    assert lab.near.packets() == []
    lab.scheduler.run_due(3.0)
    [error] = lab.near.packets()
    assert icmp_of(error)[:2] == (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE)


def test_packets_wait_for_arp_and_go_in_order() -> None:
    lab = Lab()
    for ident in (1, 2, 3):
        lab.near.arrive(datagram("10.0.0.2", "10.0.1.3", to=NEAR, ident=ident))
    assert lab.far.packets() == []
    reply = bytearray(arp_request(3, "10.0.1.3", "10.0.1.1"))
    lab.far.arrive(bytes(reply), 0.5)
    assert [packet.ident for packet in lab.far.packets()] == [1, 2, 3]


@pytest.mark.rfc("1191", "4")
def test_a_packet_that_must_not_be_cut_is_answered_with_the_mtu() -> None:
    lab = Lab(far_mtu_bytes=1000)
    big = bytes(1200)
    frame = datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=big, flags_offset=ipv4.DONT_FRAGMENT)
    lab.near.arrive(frame)
    assert lab.far.sent == []
    [error] = lab.near.packets()
    assert icmp_of(error)[:3] == (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, 1000)


def test_a_packet_that_may_be_cut_is_cut_and_whole_at_its_end() -> None:
    lab = Lab(far_mtu_bytes=620)
    payload = bytes(number & 0xFF for number in range(1200))
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=payload, ttl=5))
    pieces = lab.far.packets()
    assert [len(piece.raw) for piece in pieces] == [620, 620, 28]
    assert [piece.fragment_offset_bytes for piece in pieces] == [0, 600, 1200]
    assert [piece.more_fragments for piece in pieces] == [True, True, False]
    assert {(piece.ttl, piece.ident) for piece in pieces} == {(4, 7)}
    assert b"".join(bytes(piece.payload) for piece in pieces)[8:] == payload


def test_a_fragment_is_cut_again_and_keeps_its_place() -> None:
    lab = Lab(far_mtu_bytes=420)
    frame = datagram(
        "10.0.0.2",
        "10.0.1.2",
        to=NEAR,
        payload=bytes(792),
        flags_offset=100 | ipv4.MORE_FRAGMENTS,
    )
    lab.near.arrive(frame)
    pieces = lab.far.packets()
    assert [piece.fragment_offset_bytes for piece in pieces] == [800, 1200]
    assert [piece.more_fragments for piece in pieces] == [True, True]


@pytest.mark.parametrize(
    ("src", "dst", "reason"),
    [
        ("10.0.0.2", "10.0.1.255", "forward_broadcast"),  # RFC 2644
        ("10.0.0.2", "224.0.0.5", "ip_group_not_joined"),
        ("127.0.0.1", "10.0.1.2", "forward_bad_source"),
        ("0.0.0.0", "10.0.1.2", "forward_bad_source"),
        ("169.254.1.1", "10.0.1.2", "forward_bad_source"),
        ("10.0.1.1", "10.0.1.2", "forward_own_source"),
        ("10.0.0.2", "127.0.0.2", "forward_martian"),
        ("10.0.0.2", "0.0.0.5", "forward_martian"),
        ("10.0.0.2", "240.0.0.1", "forward_martian"),
        ("10.0.0.2", "169.254.7.7", "forward_martian"),
    ],
)
@pytest.mark.rfc("1812", "5.3.7")
def test_what_may_not_leave_its_link_is_dropped_without_an_answer(
    src: str, dst: str, reason: str
) -> None:
    lab = Lab()
    interface = lab.router.interfaces[2]
    lab.router.routes.add(Route(DEFAULT, interface, parse_ip4("10.0.1.2"), interface.address))
    lab.near.arrive(datagram(src, dst, to=NEAR))
    assert lab.far.sent == []
    assert lab.near.sent == []
    assert lab.count(reason) == 1


ROUTE = bytes((7, 11, 4)) + bytes(8) + b"\0"  # Record Route with two places
TIMES = bytes((68, 12, 5, 1)) + bytes(8)  # Timestamp with one place, stations too
LOOSE = bytes((131, 7, 8)) + bytes((10, 0, 0, 9)) + b"\0"  # a source route that is done


@pytest.mark.rfc("1812", "5.3.13.5")
@pytest.mark.rfc("1812", "5.3.13.6")
def test_a_router_writes_itself_and_the_time_into_what_asks_for_it() -> None:
    lab = Lab()
    options = ROUTE[:11] + TIMES + b"\0"
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, options=options), 2.5)
    [packet] = lab.far.packets()  # its checksum is right, or it would not be read
    here = bytes((10, 0, 1, 1))
    stamp = (2**31 + 2500).to_bytes(4, "big")
    assert bytes(packet.options) == (
        bytes((7, 11, 8)) + here + bytes(4) + bytes((68, 12, 13, 1)) + here + stamp + b"\0"
    )
    assert packet.ttl == 63


def test_what_is_full_goes_on_as_it_is() -> None:
    lab = Lab()
    options = bytes((7, 7, 8)) + bytes((10, 0, 0, 9)) + b"\0"
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, options=options))
    [packet] = lab.far.packets()
    assert bytes(packet.options) == options


@pytest.mark.rfc("791", "3.1")
def test_a_record_that_cannot_be_filled_in_ends_here_and_is_told() -> None:
    lab = Lab()
    options = bytes((1, 7, 6, 4, 0, 0, 0, 0))  # room for three bytes of an address
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, options=options))
    assert lab.far.sent == []
    [error] = lab.near.packets()
    assert icmp_of(error) == (icmp.PARAMETER_PROBLEM, 0, 23 << 24, parse_ip4("10.0.0.1"))
    assert lab.count("ip_bad_option") == 1


@pytest.mark.rfc("791", "3.2")
def test_a_packet_with_options_is_cut_and_each_piece_has_those_that_it_should() -> None:
    lab = Lab(far_mtu_bytes=620)
    payload = bytes(number & 0xFF for number in range(1200))
    options = LOOSE[:7] + ROUTE[:11] + bytes(2)
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=payload, options=options))
    first, *others = lab.far.packets()
    assert bytes(first.options) == LOOSE[:7] + bytes((7, 11, 8, 10, 0, 1, 1)) + bytes(6)
    assert {bytes(piece.options) for piece in others} == {LOOSE}
    assert all(len(piece.raw) <= 620 for piece in (first, *others))
    assert b"".join(bytes(piece.payload) for piece in (first, *others))[8:] == payload


@pytest.mark.rfc("1812", "5.3.4")
def test_what_was_broadcast_on_the_link_is_not_forwarded() -> None:
    lab = Lab()
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=BROADCAST_MAC))
    assert lab.far.sent == []
    assert lab.count("forward_link_broadcast") == 1


def test_the_longest_prefix_wins_also_when_it_comes_later() -> None:
    lab = Lab()
    routes, far = lab.router.routes, lab.router.interfaces[2]
    lab.far.arrive(arp_request(3, "10.0.1.3", "10.0.1.1"))
    lab.far.take()
    wide, narrow = parse_host_address("10.9.1.1/16")[1], parse_host_address("10.9.7.1/24")[1]
    routes.add(Route(wide, far, parse_ip4("10.0.1.2"), far.address))
    lab.near.arrive(datagram("10.0.0.2", "10.9.7.5", to=NEAR))
    routes.add(Route(narrow, far, parse_ip4("10.0.1.3"), far.address))
    lab.near.arrive(datagram("10.0.0.2", "10.9.7.5", to=NEAR))
    lab.near.arrive(datagram("10.0.0.2", "10.9.8.5", to=NEAR))
    assert [data[:6] for data in lab.far.take()] == [mac(2), mac(3), mac(2)]


def test_a_host_does_not_forward() -> None:
    lab = Lab()
    lab.router.forwarding = False
    lab.near.arrive(datagram("10.0.0.2", "10.0.1.2", to=NEAR))
    assert lab.far.sent == []
    assert lab.count("ip_for_others") == 1


def test_a_damaged_header_is_dropped_by_name() -> None:
    lab = Lab()
    data = bytearray(datagram("10.0.0.2", "10.0.1.2", to=NEAR))
    data[24] ^= 0x40
    lab.near.arrive(bytes(data))
    assert lab.far.sent == []
    assert lab.count("ip_bad_checksum") == 1


def test_a_checksum_that_is_to_be_filled_in_is_before_a_packet_is_cut() -> None:
    lab = Lab(far_mtu_bytes=620)
    data = datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=bytes(range(200)) * 5)
    partial = bytearray(data)
    source, target = parse_ip4("10.0.0.2"), parse_ip4("10.0.1.2")
    total = pseudo_header_sum(source, target, ipv4.UDP, 1008)
    partial[40:42] = (total % 0xFFFF).to_bytes(2, "big")
    lab.near.arrive(Frame(bytes(partial), CHECKSUM_PARTIAL))
    whole = b"".join(bytes(piece.payload) for piece in lab.far.packets())
    assert whole == data[34:]


@pytest.mark.parametrize(("uso_max_bytes", "arrive"), [(65507, [3000]), (0, [1400, 1400, 200])])
def test_a_super_frame_goes_whole_where_port_and_link_can_take_it(
    uso_max_bytes: int, arrive: list[int]
) -> None:
    lab = Lab(far_mtu_bytes=1428)
    lab.far.gso_max_bytes = 60_000
    lab.far.uso_max_bytes = uso_max_bytes
    payload = bytes(3000)
    frame = Frame(datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=payload), CHECKSUM_GOOD, 1400)
    lab.near.arrive(frame)
    assert [len(packet.payload) - 8 for packet in lab.far.packets()] == arrive


def test_a_super_frame_is_cut_for_a_port_that_cannot_take_it() -> None:
    lab = Lab()
    payload = bytes(3000)
    frame = Frame(datagram("10.0.0.2", "10.0.1.2", to=NEAR, payload=payload), CHECKSUM_GOOD, 1400)
    lab.near.arrive(frame)
    assert [len(piece.payload) - 8 for piece in lab.far.packets()] == [1400, 1400, 200]
