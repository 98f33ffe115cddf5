"""TCP of one host: listeners and their backlog, strangers, TIME-WAIT reused, who owns a 4-tuple."""

import errno

import pytest
from stack_bench import FAR, HERE, PEER, SUBNET_BROADCAST, frame_of
from tcp_bench import ANY, PEER_ISS, TcpBench, make

from pystack.core.addresses import UNSPECIFIED, parse_ip4
from pystack.tcp.events import Signal
from pystack.tcp.states import TcpState
from pystack.wire.frame import Frame
from pystack.wire.tcp import ACK, FIN, PSH, RST, SYN


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.parametrize(
    ("flags", "payload", "seq", "ack", "answer"),
    [
        (SYN, b"", PEER_ISS, 0, RST | ACK),
        (FIN, b"abc", PEER_ISS, 0, RST | ACK),
        (ACK, b"", PEER_ISS, 12345, RST),
        (SYN | ACK, b"", PEER_ISS, 12345, RST),
    ],
)
def test_a_stranger_gets_a_reset_with_the_right_numbers(
    flags: int, payload: bytes, seq: int, ack: int, answer: int, bench: TcpBench
) -> None:
    bench.segment(flags, seq=seq, ack=ack, payload=payload)
    (reset,) = bench.sent()
    assert reset.flags == answer
    if answer == RST:
        assert (reset.seq, reset.ack) == (12345, 0)
    else:
        length = len(payload) + 1
        assert (reset.seq, reset.ack) == (0, (PEER_ISS + length) & 0xFFFFFFFF)
    assert bench.counters["tcp_no_connection"] == 1


@pytest.mark.rfc("9293", "3.5.2")
def test_a_reset_is_never_answered(bench: TcpBench) -> None:
    bench.segment(RST, ack=1)
    bench.segment(RST | ACK, ack=1)
    assert bench.sent() == []
    assert bench.counters["tcp_stray"] == 2


@pytest.mark.rfc("9293", "3.10.7.2")
def test_a_listener_answers_an_ack_with_a_reset_and_drops_what_says_nothing(
    bench: TcpBench,
) -> None:
    bench.table.listen(ANY, 80)
    bench.segment(ACK, ack=77)
    (reset,) = bench.sent()
    assert (reset.flags, reset.seq) == (RST, 77)
    bench.segment(FIN)
    bench.segment(0)
    assert bench.sent() == []
    assert bench.counters["tcp_stray"] == 2


def test_a_handshake_with_a_listener(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    socket = bench.accept_from(5000, listener)
    assert socket.connection.state is TcpState.ESTABLISHED
    assert socket.local_address == ("10.0.0.1", 80)
    assert socket.remote_address == ("10.0.0.2", 5000)
    assert [entry.flags for entry in socket.handshake] == ["SYN", "SYN ACK", "ACK"]


def test_closing_a_listener_resets_whom_nobody_accepted(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.accept_from(5000, listener)
    bench.segment(SYN, ports=(5001, 80))
    bench.sent()
    bench.table.unlisten(listener, 0.0)
    assert [segment.flags for segment in bench.sent()] == [RST | ACK, RST | ACK]
    assert len(bench.table) == 0
    bench.table.unlisten(listener, 0.0)
    bench.segment(SYN)
    assert [segment.flags for segment in bench.sent()] == [RST | ACK]


def test_a_half_open_connection_that_is_reset_leaves_its_place(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN)
    bench.segment(RST, seq=PEER_ISS + 1)
    assert not listener.half_open
    assert len(bench.table) == 0


def test_a_half_open_connection_ends_when_nobody_answers(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN)
    bench.run(62.9)  # 1 + 2 + 4 + 8 + 16 + 32
    assert len(listener.half_open) == 1
    bench.run(63.0)
    assert not listener.half_open
    assert len(bench.table) == 0


def test_one_address_or_all_and_no_port_twice(bench: TcpBench) -> None:
    bench.table.listen(HERE, 80)
    for local in (HERE, ANY):
        with pytest.raises(OSError, match="taken") as caught:
            bench.table.listen(local, 80)
        assert caught.value.errno == errno.EADDRINUSE
    bench.table.listen(parse_ip4("127.0.0.1"), 80)
    with pytest.raises(OSError, match=r"10\.0\.0\.2") as caught:
        bench.table.listen(PEER, 81)
    assert caught.value.errno == errno.EADDRNOTAVAIL
    assert 32768 <= bench.table.listen(ANY, 0).local_port <= 60999


@pytest.mark.rfc("9293", "MUST-46")
@pytest.mark.parametrize(
    ("remote", "port", "local", "number"),
    [
        (PEER, -1, UNSPECIFIED, errno.EINVAL),
        (PEER, 65536, UNSPECIFIED, errno.EINVAL),
        (FAR, 80, UNSPECIFIED, errno.ENETUNREACH),
        (SUBNET_BROADCAST, 80, UNSPECIFIED, errno.ENETUNREACH),
        (UNSPECIFIED, 80, UNSPECIFIED, errno.ENETUNREACH),
        (PEER, 80, FAR, errno.EADDRNOTAVAIL),
    ],
)
def test_a_connection_that_cannot_be_is_refused_at_once(
    remote: int, port: int, local: int, number: int, bench: TcpBench
) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011
        bench.table.connect(remote, port, 0.0, local=local)
    assert caught.value.errno == number
    assert len(bench.table) == 0


def test_the_same_four_numbers_twice_are_in_use(bench: TcpBench) -> None:
    bench.table.connect(PEER, 80, 0.0, local_port=4000)
    with pytest.raises(OSError) as caught:  # noqa: PT011
        bench.table.connect(PEER, 80, 0.0, local_port=4000)
    assert caught.value.errno == errno.EADDRNOTAVAIL  # as Linux's __inet_check_established


def to_time_wait(bench: TcpBench) -> tuple[int, int]:
    """Let port 80 close first; return RCV.NXT and SND.NXT of what is left."""
    listener = bench.table.listen(ANY, 80)
    socket = bench.accept_from(5000, listener)
    socket = listener.ready.popleft()
    tcb = socket.connection.tcb
    bench.table.close(socket, bench.scheduler.now)
    bench.segment(FIN | ACK, seq=PEER_ISS + 1, ack=tcb.snd_nxt)
    assert socket.connection.state is TcpState.TIME_WAIT
    bench.sent()
    return tcb.rcv_nxt, tcb.snd_nxt


@pytest.mark.rfc("1122", "4.2.2.13")
@pytest.mark.rfc("9293", "MAY-2")
def test_time_wait_gives_way_to_a_syn_that_is_newer(bench: TcpBench) -> None:
    rcv_nxt, snd_nxt = to_time_wait(bench)
    bench.segment(SYN, seq=rcv_nxt + 1)
    (answer,) = bench.sent()
    assert answer.flags == SYN | ACK
    assert (answer.seq - snd_nxt) % 2**32 == 65537
    assert bench.counters["tcp_time_wait_reused"] == 1
    assert [socket.connection.state for socket in bench.table] == [TcpState.SYN_RECEIVED]


@pytest.mark.rfc("1122", "4.2.2.13")
def test_time_wait_does_not_give_way_to_a_syn_that_is_older(bench: TcpBench) -> None:
    rcv_nxt, _ = to_time_wait(bench)
    bench.segment(SYN, seq=rcv_nxt - 1)
    (answer,) = bench.sent()
    assert answer.flags == ACK
    assert [socket.connection.state for socket in bench.table] == [TcpState.TIME_WAIT]


def test_what_gave_way_in_a_batch_does_not_take_its_successor_along(bench: TcpBench) -> None:
    rcv_nxt, snd_nxt = to_time_wait(bench)
    for flags, seq, ack in ((FIN | ACK, rcv_nxt - 1, snd_nxt), (SYN, rcv_nxt + 1, 0)):
        packet = make(flags, (5000, 80), seq, ack, 1000, b"", None, PEER)
        bench.port.sink(Frame(frame_of(packet)), 0.0)
    bench.scheduler.run_due(0.0)
    assert [socket.connection.state for socket in bench.table] == [TcpState.SYN_RECEIVED]


def test_closing_a_stream_that_was_reset_leaves_its_successor_alone(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    old = bench.accept_from(5000, listener)
    bench.segment(RST, seq=PEER_ISS + 1)
    new = bench.accept_from(5000, listener)
    bench.table.release(old, bench.scheduler.now)
    assert list(bench.table) == [new]


@pytest.mark.rfc("9293", "MUST-57")
def test_a_segment_for_many_is_dropped(bench: TcpBench) -> None:
    bench.table.listen(ANY, 80)
    broadcast = bytes.fromhex("ffffffffffff")
    bench.arrive(broadcast + _syn_frame(SUBNET_BROADCAST)[6:])
    assert bench.sent() == []
    assert bench.counters["tcp_to_many"] == 1
    bench.arrive(broadcast + _syn_frame(HERE)[6:])
    assert bench.sent() == []
    assert bench.counters["ip_unicast_to_many"] == 1


def _syn_frame(dst: int) -> bytes:
    return frame_of(make(SYN, (5000, 80), PEER_ISS, 0, 1000, b"", None, PEER, dst))


def test_the_owner_is_told_and_the_table_forgets(bench: TcpBench) -> None:
    told: list[Signal] = []
    socket = bench.table.connect(PEER, 80, 0.0, local_port=4000)
    socket.on_signal = told.append
    bench.table.pump(socket, 0.0)
    (syn,) = bench.sent()
    bench.segment(RST | ACK, ports=(80, 4000), ack=syn.seq + 1)
    assert told == [Signal.CLOSED]
    assert socket.connection.error == errno.ECONNREFUSED
    assert len(bench.table) == 0
    assert socket.timer is None


@pytest.mark.rfc("9293", "MUST-58")
@pytest.mark.rfc("9293", "MUST-59")
def test_acks_of_a_batch_are_sent_once(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    socket = bench.accept_from(5000, listener)
    tcb = socket.connection.tcb
    for at in range(0, 14600, 1460):
        packet = make(
            ACK | PSH, (5000, 80), PEER_ISS + 1 + at, tcb.snd_nxt, 1000, bytes(1460), None, PEER
        )
        bench.port.sink(Frame(frame_of(packet)), 0.0)
    bench.scheduler.run_due(0.0)
    (ack,) = bench.sent()
    assert ack.ack == (PEER_ISS + 14601) & 0xFFFFFFFF


def test_when_the_power_goes_nothing_is_left_and_nobody_hears(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.accept_from(5000, listener)
    bench.run(3.0)  # the announcements
    bench.sent()
    bench.host.close()
    assert bench.sent() == []
    assert len(bench.table) == 0
    assert len(bench.scheduler) == 0
