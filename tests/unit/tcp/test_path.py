"""What ICMP tells a connection: RFC 9293 section 3.9.2.2, RFC 1191, RFC 5927."""

import errno

import pytest
from stack_bench import PEER
from tcp_bench import PEER_ISS, TcpBench

from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.states import TcpState
from pystack.wire import icmp, tcp


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def connecting(bench: TcpBench) -> tuple[TcpSocket, tcp.Segment]:
    socket = bench.table.connect(PEER, 80, 0.0, local_port=4000)
    bench.table.pump(socket, 0.0)
    (syn,) = bench.sent()
    return socket, syn


def sending(bench: TcpBench, size: int) -> tuple[TcpSocket, list[tcp.Segment]]:
    socket, syn = connecting(bench)
    flags = tcp.SYN | tcp.ACK
    bench.segment(flags, ports=(80, 4000), ack=syn.seq + 1, mss=1460)
    bench.sent()
    bench.table.write(socket, memoryview(bytes(size)), bench.scheduler.now)
    return socket, bench.sent()


@pytest.mark.rfc("9293", "MUST-54")
@pytest.mark.parametrize(
    ("kind", "code", "number"),
    [
        (3, icmp.NET_UNREACHABLE, errno.ENETUNREACH),
        (3, icmp.HOST_UNREACHABLE, errno.EHOSTUNREACH),
        (3, icmp.PROTOCOL_UNREACHABLE, errno.ECONNREFUSED),
        (3, icmp.PORT_UNREACHABLE, errno.ECONNREFUSED),
        (3, 13, errno.EHOSTUNREACH),
        (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, errno.EHOSTUNREACH),
    ],
)
def test_an_error_ends_what_is_only_being_opened(
    kind: int, code: int, number: int, bench: TcpBench
) -> None:
    socket, syn = connecting(bench)
    bench.icmp_about(code, syn, kind=kind)
    assert socket.connection.state is TcpState.CLOSED
    assert socket.connection.error == number


@pytest.mark.rfc("9293", "MUST-56")
@pytest.mark.parametrize("code", [0, 1, 2, 3, 13])
def test_an_error_ends_no_connection_that_exists(code: int, bench: TcpBench) -> None:
    socket, (segment,) = sending(bench, 100)
    bench.icmp_about(code, segment)
    assert socket.connection.state is TcpState.ESTABLISHED
    assert bench.counters["tcp_soft_error"] == 1


@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize("offset", [-1, 1, 5000])
def test_an_error_about_nothing_that_is_on_its_way_is_not_believed(
    offset: int, bench: TcpBench
) -> None:
    socket, syn = connecting(bench)
    bench.icmp_about(icmp.PORT_UNREACHABLE, syn, seq=(syn.seq + offset) & 0xFFFFFFFF)
    assert socket.connection.state is TcpState.SYN_SENT
    assert bench.counters["tcp_error_unclaimed"] == 1


def test_an_error_about_no_connection_is_counted(bench: TcpBench) -> None:
    _, syn = connecting(bench)
    syn.dst_port = 81
    bench.icmp_about(icmp.PORT_UNREACHABLE, syn)
    assert bench.counters["tcp_error_unclaimed"] == 1


@pytest.mark.rfc("1191", "6.4")
@pytest.mark.rfc("9293", "MUST-54")
def test_fragmentation_needed_makes_segments_smaller_and_sends_them_again(
    bench: TcpBench,
) -> None:
    socket, segments = sending(bench, 4000)
    assert [len(segment.payload) for segment in segments] == [1460, 1460, 1080]
    cwnd_bytes = socket.connection.congestion.cwnd_bytes
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=1000)
    again = bench.sent()
    assert [len(segment.payload) for segment in again] == [960] * 4 + [160]
    assert again[0].seq == segments[0].seq
    assert socket.connection.congestion.cwnd_bytes == cwnd_bytes
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, again[0], rest=1000)
    assert bench.sent() == []


@pytest.mark.parametrize("mtu_bytes", [1, 68, 551])
def test_no_claim_makes_packets_smaller_than_552_bytes(mtu_bytes: int, bench: TcpBench) -> None:
    _, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=mtu_bytes)
    assert [len(segment.payload) for segment in bench.sent()] == [512, 512, 436]


def test_a_path_that_is_larger_changes_nothing(bench: TcpBench) -> None:
    _, segments = sending(bench, 1460)
    bench.icmp_about(icmp.FRAGMENTATION_NEEDED, segments[0], rest=9000)
    assert bench.sent() == []


def test_the_peers_numbers_are_those_of_the_bench(bench: TcpBench) -> None:
    socket, _ = sending(bench, 1)
    assert socket.connection.info().irs == PEER_ISS
