"""RFC 9293 sections 3.8.3, 3.9.1.8 and 3.9.2.2: what goes wrong on the path, and who is told."""

import errno
import socket as os_socket

import pytest
import trio
from script import Script
from stack_bench import HERE, PEER, PEER_MAC, arp_frame, icmp_frame, ip_packet
from tcp_bench import TcpBench

import pystack
from pystack.core.errors import ConfigError
from pystack.core.tcp_events import TcpSoftError
from pystack.stack.neighbors import NeighborState
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState
from pystack.wire import arp, icmp, ipv4, tcp

IP_RECVERR = 11
SOL = os_socket.SOL_SOCKET  # Linux's number, which Python does not name
SOFT = [
    (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE, errno.ENETUNREACH),
    (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE, errno.EHOSTUNREACH),
    (icmp.DESTINATION_UNREACHABLE, 5, errno.EOPNOTSUPP),
    (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, errno.EHOSTUNREACH),
    (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED, errno.EHOSTUNREACH),
    (icmp.PARAMETER_PROBLEM, 0, errno.EPROTO),
]


def connecting(bench: TcpBench) -> tuple[TcpSocket, tcp.Segment]:
    socket = bench.table.connect(PEER, 80, bench.scheduler.now, local_port=4000)
    bench.table.pump(socket, bench.scheduler.now)
    (syn,) = bench.sent()
    return socket, syn


def sending(bench: TcpBench) -> tuple[TcpSocket, tcp.Segment]:
    socket, syn = connecting(bench)
    bench.segment(tcp.SYN | tcp.ACK, ports=(80, 4000), ack=syn.seq + 1, mss=1460)
    bench.sent()
    bench.table.write(socket, memoryview(bytes(100)), bench.scheduler.now)
    (segment,) = bench.sent()
    return socket, segment


@pytest.mark.rfc("9293", "MUST-47")
@pytest.mark.rfc("9293", "SHLD-25")
@pytest.mark.rfc("9293", "MUST-56")
@pytest.mark.parametrize(("kind", "code", "number"), SOFT)
def test_a_soft_error_is_told_and_ends_nothing(
    kind: int, code: int, number: int, bench: TcpBench
) -> None:
    socket, segment = sending(bench)
    told: list[TcpSoftError] = []
    socket.on_error = told.append
    bench.icmp_about(code, segment, kind=kind)
    assert socket.connection.state is TcpState.ESTABLISHED
    assert [(error.number, error.reason) for error in told] == [(number, "icmp")]
    assert socket.connection.info().soft_error == number
    (event,) = (event for event in bench.events if isinstance(event, TcpSoftError))
    assert (event.number, event.reason, event.remote) == (number, "icmp", ("10.0.0.2", 80))
    seq = socket.connection.tcb.rcv_nxt
    bench.segment(tcp.ACK, ports=(80, 4000), seq=seq, ack=segment.seq + 100)
    assert socket.connection.info().soft_error is None  # the path works


@pytest.mark.rfc("9293", "SHLD-20")
def test_a_user_who_wants_no_reports_gets_none(bench: TcpBench) -> None:
    socket, segment = sending(bench)
    told: list[TcpSoftError] = []
    socket.on_error = told.append
    socket.on_error = None
    bench.icmp_about(icmp.HOST_UNREACHABLE, segment)
    assert told == []
    assert bench.counters["tcp_soft_error"] == 1


@pytest.mark.rfc("9293", "MUST-56")
@pytest.mark.parametrize(("kind", "code", "number"), SOFT)
def test_an_open_bears_with_soft_errors_too_where_that_is_configured(
    kind: int, code: int, number: int, bench: TcpBench
) -> None:
    bench.table.config = TcpConfig(soft_errors_end_opening=False, syn_retries=1)
    socket, syn = connecting(bench)
    bench.icmp_about(code, syn, kind=kind)
    assert socket.connection.state is TcpState.SYN_SENT
    bench.run(3)
    assert socket.connection.error == number  # rather than a bare time-out


@pytest.mark.rfc("9293", "MUST-54")
@pytest.mark.parametrize("code", [icmp.PROTOCOL_UNREACHABLE, icmp.PORT_UNREACHABLE])
def test_a_hard_error_ends_an_open_however_it_is_configured(code: int, bench: TcpBench) -> None:
    bench.table.config = TcpConfig(soft_errors_end_opening=False)
    socket, syn = connecting(bench)
    bench.icmp_about(code, syn)
    assert socket.connection.error == errno.ECONNREFUSED


@pytest.mark.rfc("9293", "MUST-55")
def test_a_source_quench_is_discarded(bench: TcpBench) -> None:
    socket, segment = sending(bench)
    cwnd_bytes = socket.connection.congestion.cwnd_bytes
    quoted = ip_packet(tcp.pack_header(segment, HERE, PEER), ipv4.TCP, src=HERE, dst=PEER)
    bench.arrive(icmp_frame(icmp.pack(icmp.SOURCE_QUENCH, 0, 0, quoted)))
    assert bench.drops()[-1] == "icmp_source_quench"
    assert bench.sent() == []
    assert socket.connection.congestion.cwnd_bytes == cwnd_bytes
    assert socket.connection.soft_error is None


@pytest.mark.rfc("9293", "MUST-20")
@pytest.mark.rfc("9293", "SHLD-9")
@pytest.mark.rfc("9293", "SHLD-10")
def test_after_three_retransmissions_the_neighbour_is_asked_and_the_user_told(
    bench: TcpBench,
) -> None:
    bench.arrive(arp_frame(arp.REPLY, PEER_MAC, PEER, HERE, bench.interface.mac))
    socket, _ = sending(bench)
    told: list[TcpSoftError] = []
    socket.on_error = told.append
    neighbors = bench.interface.neighbors
    assert neighbors is not None
    start = bench.scheduler.now
    rto_s = socket.connection.rtt.rto_s
    bench.run(start + 6.9 * rto_s)  # retransmitted after 1 and 3 of them
    assert told == []
    bench.taken()
    bench.run(start + 7 * rto_s)
    assert [(error.number, error.reason) for error in told] == [(errno.ETIMEDOUT, "retransmitting")]
    (entry,) = neighbors.entries(bench.scheduler.now)
    assert entry.state is NeighborState.PROBE
    kinds = [frame.data[12:14].hex() for frame in bench.taken()]
    assert sorted(kinds) == ["0800", "0806"]  # the segment again, and a question by ARP
    assert bench.counters["tcp_retransmits_advised"] == 1
    assert socket.connection.state is TcpState.ESTABLISHED


@pytest.mark.rfc("9293", "MUST-22")
@pytest.mark.rfc("9293", "SHLD-9")
def test_a_syn_without_an_answer_is_reported_too(tcp: Script) -> None:
    tcp.connect()
    tcp.advance("+6.9")
    assert not tcp.errors
    tcp.advance("+0.1")
    assert tcp.errors == [errno.ETIMEDOUT]
    tcp.drain()


@pytest.mark.rfc("9293", "MUST-23")
def test_a_syn_is_tried_for_three_minutes(tcp: Script) -> None:
    tcp.connect()
    tcp.advance("+180")
    assert tcp.state is TcpState.SYN_SENT
    assert len(tcp.drain()) == 8
    tcp.advance("+10")
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("9293", "SHLD-10")
def test_r1_cannot_be_nothing() -> None:
    with pytest.raises(ConfigError, match="advise_retries"):
        TcpConfig(advise_retries=0)


@pytest.mark.rfc("9293", "MUST-47")
def test_a_program_hears_of_a_broken_path_and_goes_on() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="1ms")
            (listener,) = await server.open_tcp_listeners(80)
            stream = await client.open_tcp_stream("server", 80)
            told: list[OSError] = []
            stream.report_soft_errors(told.append)
            link.down()
            await stream.send_all(b"hello")
            await trio.sleep(3)
            assert {error.errno for error in told} == {errno.ETIMEDOUT}
            count = len(told)
            stream.report_soft_errors(None)
            link.up()
            accepted = await listener.accept()
            assert await accepted.receive_some() == b"hello"
            assert len(told) == count

    pystack.run(main)


@pytest.mark.rfc("9293", "MUST-47")
@pytest.mark.rfc("9293", "SHLD-20")
@pytest.mark.parametrize("wanted", [True, False])
def test_a_socket_raises_a_soft_error_once_where_its_user_asked_for_it(wanted: bool) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            client, server = net.host("client"), net.host("server")
            link = net.link(client, server, delay="1ms")
            await server.open_tcp_listeners(80)

            async def program() -> None:
                with trio.socket.socket() as stream:
                    await stream.connect(("server", 80))
                    if wanted:
                        stream.setsockopt(os_socket.IPPROTO_IP, IP_RECVERR, 1)
                    link.down()
                    await stream.send(b"hello")
                    await trio.sleep(
                        1.9
                    )  # after three retransmissions, of which Linux says nothing
                    assert stream.getsockopt(SOL, os_socket.SO_ERROR) == 0
                    await trio.sleep(30)  # until nobody answers to ARP
                    errors = [stream.getsockopt(SOL, os_socket.SO_ERROR) for _ in "12"]
                    assert errors == [errno.EHOSTUNREACH if wanted else 0, 0]
                    link.up()
                    await stream.send(b"again")

            await client.run(program)

    pystack.run(main)
