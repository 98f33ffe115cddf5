"""RFC 9293 sections 3.5 and 3.9.1.1: opening, and the addresses that may take part in it."""

import errno

import pytest
from script import Script
from stack_bench import FAR, GATEWAY, GROUP, HERE, PEER
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.core.addresses import LIMITED_BROADCAST, UNSPECIFIED, Ip4, Prefix, parse_ip4
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK, FIN, RST, SYN

SECOND = parse_ip4("10.0.0.77")


@pytest.mark.rfc("9293", "MUST-11")
def test_a_reset_in_syn_received_sends_a_passive_open_back_to_listen(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN)
    bench.sent()
    bench.segment(RST, seq=PEER_ISS + 1)
    assert len(bench.table) == 0
    assert not listener.ready  # and nobody was told
    bench.accept_from(5001, listener)


@pytest.mark.rfc("9293", "MUST-11")
def test_a_reset_in_syn_received_refuses_an_active_open(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.inject("+0.1 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    assert tcp.state is TcpState.SYN_RECEIVED
    tcp.inject("+0.1 < R. 1:1(0) ack 1")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ECONNREFUSED


@pytest.mark.rfc("9293", "MUST-41")
def test_listening_leaves_connections_of_the_port_alone(bench: TcpBench) -> None:
    first = bench.table.listen(HERE, 80)
    old = bench.accept_from(5000, first)
    first.ready.popleft()
    bench.table.unlisten(first, bench.scheduler.now)
    second = bench.table.listen(ANY, 80)
    assert old.connection.state is TcpState.ESTABLISHED
    bench.table.write(old, memoryview(b"still here"), bench.scheduler.now)
    assert [bytes(segment.payload) for segment in bench.sent()] == [b"still here"]
    bench.accept_from(5001, second)
    bench.table.unlisten(second, bench.scheduler.now)
    assert [segment.flags for segment in bench.sent()] == [RST | ACK]
    assert old.connection.state is TcpState.ESTABLISHED


@pytest.mark.rfc("9293", "MUST-42")
def test_a_port_is_listened_on_while_connections_of_it_are_being_opened(bench: TcpBench) -> None:
    opening = bench.table.connect(PEER, 9, 0.0, local_port=80)
    bench.table.pump(opening, 0.0)
    bench.sent()
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN, ports=(4999, 80))  # one in SYN-RECEIVED
    bench.sent()
    assert bench.table.listen(ANY, 81).local_port == 81
    accepted = bench.accept_from(5000, listener)
    assert opening.connection.state is TcpState.SYN_SENT
    assert accepted.connection.state is TcpState.ESTABLISHED


@pytest.mark.rfc("9293", "MUST-43")
@pytest.mark.rfc("9293", "MUST-45")
def test_an_open_may_name_its_address_and_keeps_it(bench: TcpBench) -> None:
    bench.host.add_address(bench.interface, SECOND, Prefix.of(SECOND, 24))
    socket = bench.table.connect(PEER, 80, 0.0, local=SECOND, local_port=4000)
    bench.table.pump(socket, 0.0)
    (syn,) = bench.taken_ip()
    bench.segment(
        SYN | ACK, ports=(80, 4000), ack=syn.data.seq + 1 & 0xFFFFFFFF, mss=1460, dst=SECOND
    )
    bench.table.write(socket, memoryview(bytes(10)), bench.scheduler.now)
    sent = [syn, *bench.taken_ip()]
    assert len(sent) == 3
    assert {packet.src for packet in sent} == {SECOND.to_bytes(4, "big")}


@pytest.mark.rfc("9293", "MUST-44")
def test_without_a_local_address_the_route_decides(bench: TcpBench) -> None:
    bench.host.set_gateway(GATEWAY)
    for remote in (PEER, FAR):
        assert bench.table.connect(remote, 80, 0.0).local == HERE
    assert bench.table.connect(HERE, 80, 0.0).local == HERE
    loopback = parse_ip4("127.0.0.1")
    assert bench.table.connect(loopback, 80, 0.0).local == loopback


@pytest.mark.rfc("9293", "MUST-45")
@pytest.mark.parametrize("reached", [HERE, SECOND])
def test_a_passive_connection_answers_from_the_address_it_was_reached_at(
    reached: Ip4, bench: TcpBench
) -> None:
    bench.host.add_address(bench.interface, SECOND, Prefix.of(SECOND, 24))
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN, dst=reached)
    (answer,) = bench.taken_ip()
    bench.segment(ACK, seq=PEER_ISS + 1, ack=answer.data.seq + 1 & 0xFFFFFFFF, dst=reached)
    bench.table.write(listener.ready.popleft(), memoryview(b"x"), bench.scheduler.now)
    (text,) = bench.taken_ip()
    assert answer.src == text.src == reached.to_bytes(4, "big")


@pytest.mark.rfc("9293", "MUST-46")
@pytest.mark.parametrize("remote", [GROUP, LIMITED_BROADCAST, UNSPECIFIED])
def test_no_connection_is_opened_to_many_or_nobody(remote: Ip4, bench: TcpBench) -> None:
    bench.host.set_gateway(GATEWAY)
    with pytest.raises(OSError, match=r"\d") as caught:
        bench.table.connect(remote, 80, 0.0)
    assert caught.value.errno == errno.ENETUNREACH
    assert bench.sent() == []


@pytest.mark.rfc("9293", "MUST-63")
@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (GROUP, "ip_bad_source"),
        (LIMITED_BROADCAST, "ip_bad_source"),
        (parse_ip4("10.0.0.255"), "ip_bad_source"),
        (UNSPECIFIED, "ip_bad_source"),
        (parse_ip4("240.0.0.1"), "ip_bad_source"),
        (parse_ip4("127.0.0.1"), "ip_martian"),
        (HERE, "ip_martian"),
    ],
)
@pytest.mark.parametrize("flags", [SYN, ACK, FIN | ACK, RST])
def test_a_segment_from_an_address_that_cannot_be_is_ignored(
    source: Ip4, reason: str, flags: int, bench: TcpBench
) -> None:
    bench.table.listen(ANY, 80)
    bench.segment(flags, src=source)
    assert bench.drops() == [reason]
    assert bench.sent() == []
    assert len(bench.table) == 0


@pytest.mark.rfc("9293", "MUST-57")
@pytest.mark.parametrize("flags", [SYN, ACK, FIN | ACK, RST])
@pytest.mark.parametrize("target", [GROUP, LIMITED_BROADCAST, parse_ip4("10.0.0.255")])
def test_a_segment_to_many_is_discarded_without_a_word(
    target: Ip4, flags: int, bench: TcpBench
) -> None:
    bench.table.listen(ANY, 80)
    bench.join(GROUP)
    bench.segment(flags, ack=1, dst=target)
    assert bench.drops() == ["tcp_to_many"]
    assert bench.sent() == []
