"""What open connections do when routers go, and when routers say something else of the link."""

from typing import Final

import pytest
from discovery_bench import (
    FAR6,
    HERE6,
    OTHER_ROUTER,
    OTHER_ROUTER_MAC,
    PEER6,
    ROUTER_MAC,
    DiscoveryBench,
    frame6,
    prefix_said,
)
from stack_bench import FAR, GATEWAY, PEER, PEER_MAC, Bench
from tcp_frames import segment_in

from pystack.core.addresses import Ip, Prefix
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.states import TcpState
from pystack.wire import ethernet, ipv6, tcp, tcp_options
from pystack.wire.frame import Frame
from pystack.wire.tcp import ACK, SYN, Segment
from pystack.wire.tcp_options import TcpOptions

ISS: Final = 2**32 - 100


@pytest.fixture
def bench() -> DiscoveryBench:
    return DiscoveryBench(accept_ra=True)


def arrive(bench: DiscoveryBench, src: Ip, segment: Segment, mac: bytes, at: float) -> None:
    text = tcp.pack_header(segment, src, HERE6) + bytes(segment.payload)
    bench.arrive(frame6(src, HERE6, text, proto=6, ttl=64, mac=mac), at=at)


def segments(bench: DiscoveryBench) -> list[Frame]:
    """Return the frames with TCP that were sent since the last time."""
    frames = [each for each in bench.taken() if each.data[12:14] == b"\x86\xdd"]
    return [each for each in frames if each.data[20] == ipv6.ipv6_ext.TCP]


def opened(bench: DiscoveryBench, remote: Ip, mac: bytes, at: float) -> TcpSocket:
    socket = bench.host.tcp.connect(remote, 80, at)
    bench.host.tcp.pump(socket, at)
    (syn,) = map(segment_in, segments(bench))
    packed = tcp_options.pack(TcpOptions(mss=1440))
    answer = Segment(80, syn.src_port, ISS, syn.seq + 1 & 0xFFFFFFFF, SYN | ACK, 65535, packed, b"")
    arrive(bench, remote, answer, mac, at)
    assert socket.connection.state is TcpState.ESTABLISHED
    bench.taken()
    return socket


def write(bench: DiscoveryBench, socket: TcpSocket, size: int, at: float) -> list[Frame]:
    bench.host.tcp.write(socket, memoryview(bytes(size)), at)
    bench.run(at)
    return segments(bench)


@pytest.mark.rfc("4861", "7.3.3")
def test_a_connection_goes_on_by_the_other_router_when_the_first_is_silent(
    bench: DiscoveryBench,
) -> None:
    bench.advertised(at=1.0, preference=1)
    bench.advertised(OTHER_ROUTER, mac=OTHER_ROUTER_MAC, at=1.0)
    socket = opened(bench, FAR6, ROUTER_MAC, 1.0)
    label = socket.way.flow_label
    (first,) = write(bench, socket, 100, 1.0)
    assert first.data[:6] == ROUTER_MAC
    bench.run(14.0)  # sent again; after five seconds the router is asked, three times
    bench.taken()
    bench.answered(OTHER_ROUTER, mac=OTHER_ROUTER_MAC, router=True, at=14.0)
    bench.run(28.0)
    again = segments(bench)
    assert again
    assert {frame.data[:6] for frame in again} == {bytes(OTHER_ROUTER_MAC)}
    assert socket.way.flow_label == label != 0


@pytest.mark.rfc("4861", "6.3.4")
def test_a_connection_goes_on_by_the_other_router_when_the_first_stops(
    bench: DiscoveryBench,
) -> None:
    bench.advertised(at=1.0, preference=1)
    bench.advertised(OTHER_ROUTER, mac=OTHER_ROUTER_MAC, at=1.0)
    socket = opened(bench, FAR6, ROUTER_MAC, 1.0)
    bench.advertised(lifetime_s=0, at=2.0)
    assert {frame.data[:6] for frame in write(bench, socket, 100, 2.0)} == {OTHER_ROUTER_MAC}
    bench.advertised(OTHER_ROUTER, mac=OTHER_ROUTER_MAC, lifetime_s=0, at=3.0)
    # Without any router, it goes on as before: somebody may still be there.
    assert bench.host.routes.lookup(FAR6) is None
    assert {frame.data[:6] for frame in write(bench, socket, 100, 3.0)} == {OTHER_ROUTER_MAC}


@pytest.mark.rfc("4861", "6.3.4")
def test_what_a_router_says_of_the_link_holds_for_open_connections_too(
    bench: DiscoveryBench,
) -> None:
    bench.neighbors.heard(PEER6, PEER_MAC, 0.0, create=True)
    socket = opened(bench, PEER6, PEER_MAC, 1.0)
    sent = write(bench, socket, 1440, 1.0)
    assert [len(frame.data) - ethernet.HEADER_BYTES for frame in sent] == [1500]
    bench.advertised(mtu_bytes=1300, hop_limit=32, at=1.1)
    sent = write(bench, socket, 1440, 1.1)
    assert max(len(frame.data) for frame in sent) == ethernet.HEADER_BYTES + 1300
    assert {frame.data[14 + 7] for frame in sent} == {32}
    # What was in flight goes again, in pieces that fit.
    start = min(segment_in(frame).seq for frame in sent)
    assert start == socket.connection.tcb.snd_una & 0xFFFFFFFF
    bench.run(700.0)
    assert max(len(frame.data) for frame in segments(bench)) <= ethernet.HEADER_BYTES + 1300


def test_a_link_that_is_said_to_take_more_makes_no_segment_larger(bench: DiscoveryBench) -> None:
    bench.neighbors.heard(PEER6, PEER_MAC, 0.0, create=True)
    bench.advertised(mtu_bytes=1300, at=0.5)
    socket = opened(bench, PEER6, PEER_MAC, 1.0)
    bench.advertised(mtu_bytes=1500, at=1.1)
    sent = write(bench, socket, 3000, 1.1)
    assert max(len(frame.data) for frame in sent) == ethernet.HEADER_BYTES + 1300


@pytest.mark.rfc("4862", "5.5.4")
def test_a_connection_outlives_the_prefix_of_its_address_in_silence(bench: DiscoveryBench) -> None:
    bench.advertised(prefixes=[prefix_said(valid_s=100, preferred_s=50)], at=1.0)
    bench.run(10.0)
    (own,) = bench.automatic()
    socket = bench.host.tcp.connect(FAR6, 80, 10.0)
    assert socket.local == own.address
    bench.run(102.0)
    assert bench.automatic() == []
    bench.run(400.0)
    assert socket.connection.state in (TcpState.SYN_SENT, TcpState.CLOSED)


def test_routers_that_outdo_each_other_move_a_connection_with_each_word(
    bench: DiscoveryBench,
) -> None:
    bench.advertised(at=1.0)
    socket = opened(bench, FAR6, ROUTER_MAC, 1.0)
    for preference, mac in ((1, OTHER_ROUTER_MAC), (-1, ROUTER_MAC)) * 20:
        bench.advertised(OTHER_ROUTER, mac=OTHER_ROUTER_MAC, preference=preference, at=2.0)
        (frame,) = write(bench, socket, 10, 2.0)
        assert frame.data[:6] == mac
        ack = Segment(80, socket.connection.local_port, ISS + 1, 0, ACK, 65535, b"", b"")
        ack.ack = socket.connection.tcb.snd_nxt & 0xFFFFFFFF
        arrive(bench, FAR6, ack, mac, 2.0)


def test_all_connections_between_two_addresses_follow_the_routes() -> None:
    bench = Bench()
    bench.host.set_gateway(GATEWAY)
    tcp_layer = bench.host.tcp
    sockets = [tcp_layer.connect(FAR, port, 0.0) for port in (80, 81)]
    assert sockets[0].way is sockets[1].way  # of IPv4 they have all in common
    assert sockets[0].way.next_hop == GATEWAY
    bench.host.routes.remove(Prefix.of(0, 0))
    bench.host.set_gateway(PEER)
    for socket in sockets:
        tcp_layer.pump(socket, 0.0)
        assert socket.way.next_hop == PEER
