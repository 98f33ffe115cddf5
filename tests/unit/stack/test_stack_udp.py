"""UDP of a host: who gets which datagram, what may be sent, and what is told to whom."""

import errno

import pytest
from stack_bench import (
    FAR,
    GATEWAY,
    GROUP,
    HERE,
    HERE_MAC,
    PEER,
    PEER_MAC,
    SUBNET_BROADCAST,
    Bench,
    frame_of,
    icmp_frame,
    ip_packet,
    udp_frame,
)

from pystack.core.addresses import (
    BROADCAST_MAC,
    LIMITED_BROADCAST,
    LOOPBACK,
    UNSPECIFIED,
    Ip4,
    Prefix,
)
from pystack.stack.ports import FIRST, LAST
from pystack.stack.udp_socket import MAX_ERRORS, ORIGIN_ICMP, UdpSocket
from pystack.wire import icmp, ipv4, udp


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.know_peer()
    return bench


def refused(number: int, bench: Bench, local: Ip4, port: int) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
        bench.host.udp.bind(local, port)
    assert caught.value.errno == number


def payloads(socket: UdpSocket) -> list[bytes]:
    found = []
    while (datagram := socket.receive()) is not None:
        found.append(datagram[0])
    return found


# binding


@pytest.mark.parametrize(
    ("first", "second"), [(HERE, HERE), (UNSPECIFIED, HERE), (HERE, UNSPECIFIED)]
)
def test_a_port_is_given_once(bench: Bench, first: Ip4, second: Ip4) -> None:
    socket = bench.host.udp.bind(first, 53)
    refused(errno.EADDRINUSE, bench, second, 53)
    socket.close()
    socket.close()
    bench.host.udp.bind(second, 53)


def test_a_port_may_be_given_once_for_each_address(bench: Bench) -> None:
    bench.host.udp.bind(HERE, 53)
    bench.host.udp.bind(LOOPBACK, 53)


def test_an_address_that_is_not_ours_cannot_be_bound(bench: Bench) -> None:
    refused(errno.EADDRNOTAVAIL, bench, PEER, 53)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be_is_refused(bench: Bench, port: int) -> None:
    refused(errno.EINVAL, bench, HERE, port)


def test_port_0_is_any_free_ephemeral_one(bench: Bench) -> None:
    ports = {bench.host.udp.bind(UNSPECIFIED, 0).local_port for _ in range(200)}
    assert len(ports) == 200
    assert all(FIRST <= port <= LAST for port in ports)


# receiving


def test_a_datagram_goes_to_the_most_specific_socket(bench: Bench) -> None:
    bound = bench.host.udp.bind(HERE, 7)
    connected = bench.host.udp.bind(LOOPBACK, 7)
    connected.local, connected.remote = HERE, (PEER, 5000)
    bench.arrive(udp_frame(b"partner"))
    bench.arrive(udp_frame(b"other port", src_port=5001))
    bench.arrive(udp_frame(b"other host", src=PEER + 1))
    assert payloads(connected) == [b"partner"]
    assert payloads(bound) == [b"other port", b"other host"]


def test_a_connected_socket_takes_its_partners_datagrams_only(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    socket.remote = (PEER, 5000)
    bench.arrive(udp_frame(b"stranger", src_port=5001))
    assert payloads(socket) == []
    assert bench.drops() == ["udp_no_port"]


def test_a_socket_bound_to_one_address_gets_nothing_for_another(bench: Bench) -> None:
    bench.host.udp.bind(LOOPBACK, 7)
    bench.arrive(udp_frame(b""))
    assert bench.drops() == ["udp_no_port"]


def test_broadcast_and_multicast_reach_every_socket_that_matches(bench: Bench) -> None:
    everywhere = bench.host.udp.bind(LOOPBACK, 7)
    bound = bench.host.udp.bind(SUBNET_BROADCAST, 7)
    partner = bench.host.udp.bind(GROUP, 7)
    everywhere.local = UNSPECIFIED
    partner.local, partner.remote = UNSPECIFIED, (PEER, 5000)
    bench.arrive(udp_frame(b"all", dst=SUBNET_BROADCAST, dst_mac=BROADCAST_MAC))
    assert [payloads(socket) for socket in (everywhere, bound, partner)] == [[b"all"]] * 3
    bench.join(GROUP)
    bench.arrive(udp_frame(b"group", dst=GROUP, dst_mac=bytes.fromhex("01005e0000fb")))
    assert [payloads(socket) for socket in (everywhere, bound, partner)] == [
        [b"group"],
        [],
        [b"group"],
    ]


def test_no_checksum_is_accepted_and_a_wrong_one_is_counted(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    data = udp.pack(PEER, HERE, 5000, 7, b"data")
    bench.arrive(frame_of(ip_packet(data[:6] + b"\0\0" + data[8:])))
    bench.arrive(frame_of(ip_packet(data[:6] + b"\x12\x34" + data[8:])))
    assert payloads(socket) == [b"data"]
    assert bench.drops() == ["udp_bad_checksum"]


def test_an_empty_datagram_is_a_datagram(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    bench.arrive(udp_frame(b""))
    assert socket.readable
    assert socket.receive() == (b"", PEER, 5000)
    assert not socket.readable


def test_the_receive_buffer_is_bounded_and_says_what_it_loses(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    socket.receive_buffer_bytes = 5000  # two of 1000 bytes take 2304 each
    for number in range(5):
        bench.arrive(udp_frame(bytes([number]) * 1000))
    assert bench.drops() == ["udp_receive_buffer_full"] * 3
    assert [payload[0] for payload in payloads(socket)] == [0, 1]
    bench.arrive(udp_frame(b"room again" * 200))
    assert payloads(socket) == [b"room again" * 200]


def test_a_flood_of_empty_datagrams_fills_the_buffer_too(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    socket.receive_buffer_bytes = 83_200
    for _ in range(300):
        bench.arrive(udp_frame(b""))
    assert len(payloads(socket)) == 100


def test_a_datagram_larger_than_the_receive_buffer_has_it_for_itself(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    socket.receive_buffer_bytes = 1000
    for _ in range(2):
        bench.arrive(udp_frame(bytes(1400)))
    assert bench.drops() == ["udp_receive_buffer_full"]
    assert payloads(socket) == [bytes(1400)]


def test_the_owner_is_told_when_there_is_something(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 7)
    told: list[bool] = []
    socket.on_readable = lambda: told.append(socket.readable)
    bench.arrive(udp_frame(b"1"))
    socket.fail(OSError(errno.ECONNREFUSED, "refused"))
    assert told == [True, True]


# sending


def sent_by(bench: Bench, socket: UdpSocket, dst: Ip4, payload: bytes = b"data") -> bytes:
    """Return the one frame that sending makes, after checking its datagram."""
    socket.send_to(payload, dst, 7, bench.scheduler.now)
    (frame,) = bench.taken()
    packet = ipv4.parse(memoryview(frame.data)[14:])
    datagram = udp.parse(packet)
    assert (packet.dst, datagram.dst_port, datagram.payload) == (dst, 7, payload)
    assert datagram.src_port == socket.local_port
    return frame.data


def source_of(frame: bytes) -> int:
    return int.from_bytes(frame[26:30], "big")


@pytest.mark.parametrize("local", [HERE, UNSPECIFIED])
def test_a_datagram_leaves_under_the_address_of_its_socket_or_link(
    bench: Bench, local: Ip4
) -> None:
    frame = sent_by(bench, bench.host.udp.bind(local, 9), PEER)
    assert source_of(frame) == HERE
    assert frame[:12] == PEER_MAC + HERE_MAC


@pytest.mark.parametrize("local", [SUBNET_BROADCAST, GROUP, LIMITED_BROADCAST])
@pytest.mark.rfc("1122", "3.2.1.3")
def test_no_datagram_leaves_under_an_address_of_many(bench: Bench, local: Ip4) -> None:
    assert source_of(sent_by(bench, bench.host.udp.bind(local, 9), PEER)) == HERE


def cannot_send(
    number: int, bench: Bench, dst: Ip4, *, payload: bytes = b"", port: int = 7, local: Ip4 = HERE
) -> None:
    socket = bench.host.udp.bind(local, 9)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is what is asserted
        socket.send_to(payload, dst, port, 0.0)
    assert caught.value.errno == number
    assert bench.taken() == []


def test_what_cannot_be_sent_is_an_error_with_its_number(bench: Bench) -> None:
    cannot_send(errno.ENETUNREACH, bench, FAR)


def test_the_largest_datagram_is_sent_and_a_larger_one_is_not(bench: Bench) -> None:
    bench.host.udp.bind(UNSPECIFIED, 8).send_to(bytes(65507), PEER, 7, 0.0)
    assert len(bench.taken()) == 45
    cannot_send(errno.EMSGSIZE, bench, PEER, payload=bytes(65508))


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_cannot_be_sent_to_is_refused(bench: Bench, port: int) -> None:
    cannot_send(errno.EINVAL, bench, PEER, port=port)


@pytest.mark.rfc("1122", "3.2.1.3")
def test_the_loopback_address_never_leaves_the_host(bench: Bench) -> None:
    cannot_send(errno.EINVAL, bench, PEER, local=LOOPBACK)


def test_nobody_is_not_somebody_to_send_to(bench: Bench) -> None:
    bench.host.set_gateway(GATEWAY)
    cannot_send(errno.ENETUNREACH, bench, UNSPECIFIED)


@pytest.mark.parametrize("dst", [SUBNET_BROADCAST, LIMITED_BROADCAST])
def test_broadcast_needs_permission(bench: Bench, dst: Ip4) -> None:
    bench.host.set_gateway(PEER)
    cannot_send(errno.EACCES, bench, dst)
    socket = bench.host.udp.bind(UNSPECIFIED, 9000)
    socket.allow_broadcast = True
    assert sent_by(bench, socket, dst)[:6] == BROADCAST_MAC


def test_multicast_goes_to_the_groups_own_mac_even_where_there_is_a_gateway(bench: Bench) -> None:
    bench.host.set_gateway(PEER)
    frame = sent_by(bench, bench.host.udp.bind(UNSPECIFIED, 9), GROUP)
    assert frame[:6] == bytes.fromhex("01005e0000fb")


def test_the_ttl_is_that_of_the_socket(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.ttl = 3
    assert sent_by(bench, socket, PEER)[22] == 3


# errors


def port_unreachable(src_port: int, dst_port: int, *, dst: int = PEER) -> bytes:
    quoted = ip_packet(udp.pack(HERE, dst, src_port, dst_port, b""), src=HERE, dst=dst)
    return icmp_frame(icmp.pack(icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, 0, quoted))


def test_a_refused_datagram_is_told_to_a_connected_socket_once(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.remote = (PEER, 7)
    bench.arrive(port_unreachable(9, 7))
    assert isinstance(socket.error, ConnectionRefusedError)
    assert socket.readable


@pytest.mark.parametrize(("src_port", "dst_port", "dst"), [(9, 8, PEER), (8, 7, PEER), (9, 7, FAR)])
def test_an_error_about_another_datagram_is_nobodys(
    bench: Bench, src_port: int, dst_port: int, dst: int
) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.remote = (PEER, 7)
    bench.arrive(port_unreachable(src_port, dst_port, dst=dst))
    assert socket.error is None
    assert bench.counters["udp_error_unclaimed"] == 1


def lose_a_neighbour(bench: Bench, socket: UdpSocket) -> None:
    socket.send_to(b"data", Ip4(PEER + 1), 7, 0.0)
    bench.run(3.0)
    assert bench.counters["neighbor_unreachable"] == 1


def test_an_unconnected_socket_hears_of_no_error_without_asking(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    bench.arrive(port_unreachable(9, 7))
    lose_a_neighbour(bench, socket)
    assert not socket.readable
    assert bench.counters["udp_error_not_heard"] == 2


def test_a_closed_port_of_the_host_itself_is_no_error_of_an_unconnected_socket() -> None:
    bench = Bench()
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.send_to(b"data", LOOPBACK, 7, 0.0)
    bench.run(1.0)
    assert not socket.readable
    connected = bench.host.udp.bind(UNSPECIFIED, 10)
    connected.connect(LOOPBACK, 7, LOOPBACK)
    connected.send_to(b"data", LOOPBACK, 7, 1.0)
    bench.run(2.0)
    assert isinstance(connected.error, ConnectionRefusedError)


def test_a_connected_socket_hears_of_hard_errors_only(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.connect(Ip4(PEER + 1), 7, HERE)
    lose_a_neighbour(bench, socket)
    assert not socket.readable
    bench.arrive(port_unreachable(9, 7, dst=PEER + 1))
    assert isinstance(socket.error, ConnectionRefusedError)


def test_who_asks_hears_of_all_errors_and_reads_them_from_a_queue(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.receives_errors = True
    bench.arrive(port_unreachable(9, 7))
    lose_a_neighbour(bench, socket)
    assert socket.error is not None
    assert socket.error.errno == errno.EHOSTUNREACH
    first, second = socket.take_queued_error(), socket.take_queued_error()
    assert first is not None
    assert second is not None
    assert (first.number, first.origin) == (errno.ECONNREFUSED, ORIGIN_ICMP)
    assert (first.kind, first.code, first.offender, first.dst) == (3, 3, PEER, (PEER, 7))
    assert (second.number, second.kind, second.code) == (errno.EHOSTUNREACH, 3, 1)
    assert (second.offender, second.dst, second.payload) == (HERE, (PEER + 1, 7), b"data")
    assert socket.take_queued_error() is None
    assert not socket.readable  # the pending error went with the queue


def test_a_queue_of_errors_that_nobody_reads_stays_short(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    socket.receives_errors = True
    for _ in range(MAX_ERRORS + 3):
        bench.arrive(port_unreachable(9, 7))
    assert len(socket.errors) == MAX_ERRORS
    assert bench.counters["udp_error_queue_full"] == 3


def test_a_change_of_routes_is_heard_of_at_once(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 9)
    bench.host.set_gateway(PEER)
    assert source_of(sent_by(bench, socket, FAR)) == HERE
    bench.host.routes.remove(Prefix.of(0, 0))
    with pytest.raises(OSError, match="unreachable"):
        socket.send_to(b"data", FAR, 7, 0.0)


def test_an_address_that_becomes_ours_is_no_source_any_more(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    bench.arrive(udp_frame(b"one"))
    bench.host.add_address(bench.interface, PEER, Prefix.of(HERE, 24))
    bench.arrive(udp_frame(b"two"))
    assert payloads(socket) == [b"one"]
    assert bench.drops() == ["ip_martian"]


def test_many_partners_are_served_and_not_all_remembered(bench: Bench) -> None:
    socket = bench.host.udp.bind(UNSPECIFIED, 7)
    for port in range(1000, 2000):
        socket.send_to(b"data", PEER, port, 0.0)
    ports = [int.from_bytes(frame.data[36:38], "big") for frame in bench.taken()]
    assert ports == list(range(1000, 2000))
    assert len(socket.ways) <= 256
