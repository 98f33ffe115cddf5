"""TIME-WAIT records: RFC 9293 section 3.10.7.4, RFC 1337, RFC 6191, RFC 7323."""

import errno
import sys
from itertools import pairwise

import pytest
from stack_bench import PEER
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.core.addresses import LOOPBACK
from pystack.core.errors import ConfigError
from pystack.core.tcp_events import TcpStateChanged
from pystack.stack.time_wait import TimeWait
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.states import TcpState
from pystack.wire import tcp_options
from pystack.wire.tcp import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN
from pystack.wire.tcp_options import TcpOptions

STAMP = 5_000


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def stamped(tsval: int) -> TcpOptions:
    return TcpOptions(timestamps=(tsval, 0))


def to_time_wait(bench: TcpBench, port: int = 5000, *, stamps: bool = False) -> TimeWait:
    """Let the user of port 80 go away, and the peer after him; return what is left."""
    by_port = bench.table.listeners.by_port
    listener = by_port[80][0] if by_port else bench.table.listen(ANY, 80)
    options = TcpOptions(mss=1460, timestamps=(STAMP, 0)) if stamps else None
    bench.segment(SYN, ports=(port, 80), options=options)
    (answer,) = bench.sent()
    theirs = stamped(STAMP) if stamps else None
    bench.segment(ACK, ports=(port, 80), seq=PEER_ISS + 1, ack=answer.seq + 1, options=theirs)
    socket = listener.ready.popleft()
    bench.table.release(socket, bench.scheduler.now)
    tcb = socket.connection.tcb
    bench.segment(FIN | ACK, ports=(port, 80), seq=PEER_ISS + 1, ack=tcb.snd_nxt, options=theirs)
    assert socket.connection.state is TcpState.TIME_WAIT
    bench.sent()
    return bench.table.time_waits.records[socket.ends]


def test_the_connection_is_gone_and_a_small_record_is_left(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    assert list(bench.table) == []
    assert len(bench.table) == 1
    assert not hasattr(record, "__dict__")
    assert sys.getsizeof(record) < 200


def test_a_connection_whose_user_is_still_there_stays_whole_until_he_goes(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    socket = bench.accept_from(5000, listener)
    listener.ready.clear()
    bench.table.close(socket, 0.0)
    bench.segment(FIN | ACK, seq=PEER_ISS + 1, ack=socket.connection.tcb.snd_nxt)
    assert list(bench.table) == [socket]
    bench.table.release(socket, 0.0)
    assert list(bench.table) == []
    assert len(bench.table) == 1
    assert socket.timer is None


@pytest.mark.rfc("9293", "3.10.7.4")
def test_it_ends_after_two_msl_and_observers_are_told(bench: TcpBench) -> None:
    to_time_wait(bench)
    bench.run(59.999)
    assert len(bench.table) == 1
    bench.run(60.0)
    assert len(bench.table) == 0
    assert len(bench.scheduler) == 0
    last = [event for event in bench.events if isinstance(event, TcpStateChanged)][-1]
    assert (last.at, last.old, last.new) == (60.0, "TIME-WAIT", "CLOSED")
    assert (last.local, last.remote) == (("10.0.0.1", 80), ("10.0.0.2", 5000))


def test_many_end_each_in_its_own_time_by_one_timer(bench: TcpBench) -> None:
    before = len(bench.scheduler)
    for number in range(10):
        bench.run(float(number))
        bench.know_peer()
        to_time_wait(bench, 5000 + number)
    assert len(bench.scheduler) - before <= 2  # and the neighbour's
    counts = []
    for second in range(60, 70):
        bench.run(float(second))
        counts.append(len(bench.table))
    assert counts == list(range(9, -1, -1))


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_that_comes_again_is_acknowledged_and_begins_the_wait_afresh(
    bench: TcpBench,
) -> None:
    record = to_time_wait(bench)
    other = to_time_wait(bench, 5001)
    bench.run(10.0)
    bench.know_peer()
    bench.segment(FIN | ACK, seq=PEER_ISS + 1, ack=record.snd_nxt)
    (answer,) = bench.sent()
    assert (answer.flags, answer.seq, answer.ack) == (
        ACK,
        record.snd_nxt & 0xFFFFFFFF,
        record.rcv_nxt & 0xFFFFFFFF,
    )
    bench.run(60.0)
    assert list(bench.table.time_waits.records.values()) == [record]
    assert other.until == 60.0
    bench.run(70.0)
    assert len(bench.table) == 0


@pytest.mark.rfc("1337", "3")
@pytest.mark.parametrize("off", [0, 1, -1, 5000])
def test_no_reset_ends_it(off: int, bench: TcpBench) -> None:
    record = to_time_wait(bench)
    bench.segment(RST, seq=record.rcv_nxt + off)
    assert bench.sent() == []
    assert len(bench.table) == 1
    assert bench.counters["tcp_rst_in_time_wait"] == 1


@pytest.mark.rfc("1337", "2")
def test_old_segments_are_answered_and_none_of_them_ends_it(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    for off, payload in ((-50, b"old"), (0, b"new"), (100_000, b"far")):
        bench.segment(ACK | PSH, seq=record.rcv_nxt + off, ack=record.snd_nxt, payload=payload)
        assert [answer.flags for answer in bench.sent()] == [ACK]
    assert bench.counters["tcp_after_end"] == 3
    assert len(bench.table) == 1


def test_a_bare_ack_of_the_end_is_not_answered(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    bench.segment(ACK, seq=record.rcv_nxt, ack=record.snd_nxt)
    assert bench.sent() == []
    assert bench.drops() == []


def test_two_that_disagree_do_not_answer_each_other_for_ever(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    for _ in range(100):
        bench.segment(ACK, seq=record.rcv_nxt - 7, ack=record.snd_nxt)
    assert len(bench.sent()) == 1
    assert bench.counters["tcp_challenge_limited"] == 99


@pytest.mark.rfc("5961", "4.2")
def test_a_syn_that_is_not_newer_is_challenged(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    bench.segment(SYN, seq=record.rcv_nxt - 1)
    (answer,) = bench.sent()
    assert answer.flags == ACK
    assert bench.counters["tcp_challenged_syn"] == 1


@pytest.mark.rfc("9293", "SHLD-4")
@pytest.mark.rfc("7323", "5.8")
@pytest.mark.rfc("6191", "2")
@pytest.mark.parametrize(
    ("had_stamps", "off", "tsval", "taken"),
    [
        # the first connection had timestamps
        (True, -9, STAMP + 1, True),  # ... and the clock has moved on: whatever the number
        (True, 9, STAMP, True),
        (True, -9, STAMP, False),
        (True, 9, None, True),
        (True, -9, None, False),
        (True, 9, STAMP - 1, False),
        # it had none
        (False, -9, 1, True),
        (False, 9, None, True),
        (False, -9, None, False),
    ],
)
def test_a_new_connection_takes_the_place_where_it_is_certainly_newer(
    had_stamps: bool, off: int, tsval: int | None, taken: bool, bench: TcpBench
) -> None:
    record = to_time_wait(bench, stamps=had_stamps)
    options = None if tsval is None else TcpOptions(mss=1460, timestamps=(tsval, 0))
    bench.segment(SYN, seq=record.rcv_nxt + off, options=options)
    (answer,) = bench.sent()
    assert answer.flags == (SYN | ACK if taken else ACK)
    assert bench.counters["tcp_time_wait_reused"] == taken
    if taken:
        assert answer.seq - record.snd_nxt & 0xFFFFFFFF == 0x10001
        assert [socket.connection.state for socket in bench.table] == [TcpState.SYN_RECEIVED]
        assert bench.table.time_waits.records == {}


@pytest.mark.rfc("6191", "2")
def test_timestamps_count_only_where_they_would_be_used(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    bench.table.config = TcpConfig(timestamps=False)
    bench.segment(SYN, seq=record.rcv_nxt - 9, options=stamped(1))
    assert [answer.flags for answer in bench.sent()] == [ACK]


def test_a_closed_port_takes_nobody_in(bench: TcpBench) -> None:
    record = to_time_wait(bench)
    bench.table.unlisten(bench.table.listeners.by_port[80][0], 0.0)
    bench.segment(SYN, seq=record.rcv_nxt + 9)
    assert [answer.flags for answer in bench.sent()] == [ACK]
    assert len(bench.table) == 1


@pytest.mark.rfc("7323", "5.3")
def test_what_is_older_by_its_timestamp_is_refused_and_answered_with_ours(bench: TcpBench) -> None:
    record = to_time_wait(bench, stamps=True)
    bench.segment(
        ACK, seq=record.rcv_nxt, ack=record.snd_nxt, options=stamped(STAMP - 1), payload=b"x"
    )
    (answer,) = bench.sent()
    assert bench.counters["tcp_paws"] == 1
    stamps = tcp_options.parse(answer.options).timestamps
    assert stamps is not None
    assert stamps[1] == STAMP


def test_their_number_is_bounded(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits(max_time_waits=1)
    to_time_wait(bench)
    listener = bench.table.listeners.by_port[80][0]
    socket = bench.accept_from(5001, listener)
    bench.table.release(listener.ready.popleft(), 0.0)
    bench.segment(FIN | ACK, ports=(5001, 80), seq=PEER_ISS + 1, ack=socket.connection.tcb.snd_nxt)
    assert len(bench.table) == 1
    assert bench.counters["tcp_time_wait_overflow"] == 1


@pytest.mark.parametrize(
    ("mode", "stamps", "later", "reused"),
    [
        (1, True, 1.5, True),
        (1, True, 1.0, False),  # the peer's clock may stand where it stood
        (1, False, 30.0, False),
        (0, True, 30.0, False),
        (2, True, 30.0, False),  # not on the loopback
    ],
)
def test_an_outgoing_connection_takes_its_place_only_with_timestamps(
    mode: int, stamps: bool, later: float, reused: bool, bench: TcpBench
) -> None:
    bench.table.limits = TcpLimits(time_wait_reuse=mode)
    record = to_time_wait(bench, stamps=stamps)
    bench.run(later)
    if not reused:
        with pytest.raises(OSError) as caught:  # noqa: PT011
            bench.table.connect(PEER, 5000, later, local_port=80)
        assert caught.value.errno == errno.EADDRNOTAVAIL
        return
    socket = bench.table.connect(PEER, 5000, later, local_port=80)
    assert socket.connection.tcb.iss - record.snd_nxt & 0xFFFFFFFF == 0x10001
    assert bench.counters["tcp_time_wait_recycled"] == 1
    assert len(bench.table) == 1


def test_on_the_loopback_ports_come_back_soon(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    ports = []
    for at in (0.0, 2.0):
        client = bench.table.connect(LOOPBACK, 80, at, local_port=40_000)
        bench.table.pump(client, at)
        bench.run(at)
        server = listener.ready.popleft()
        bench.table.release(client, at)
        bench.run(at)
        bench.table.release(server, at)
        bench.run(at)
        assert client.connection.state is TcpState.TIME_WAIT
        ports.append(client.connection.tcb.iss)
        bench.run(at + 1.5)
    assert all(later != earlier for earlier, later in pairwise(ports))
    assert bench.counters["tcp_time_wait_recycled"] == 1


@pytest.mark.parametrize(
    "settings", [{"time_wait_reuse": 3}, {"max_time_waits": -1}, {"time_wait_reuse": -1}]
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        TcpLimits(**settings)  # type: ignore[arg-type]


def test_when_the_power_goes_they_go_too(bench: TcpBench) -> None:
    to_time_wait(bench)
    bench.host.power_off(0.0)
    assert len(bench.table) == 0


@pytest.mark.rfc("9768", "3.2.2.2")
@pytest.mark.parametrize(("marks", "flags"), [(0, AE | ECE), (1, AE | CWR), (3, 0)])
def test_its_acks_tell_the_marks_that_came(bench: TcpBench, marks: int, flags: int) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN | AE | CWR | ECE, options=TcpOptions(mss=1460))
    (answer,) = bench.sent()
    bench.segment(ACK | CWR, seq=PEER_ISS + 1, ack=answer.seq + 1)
    socket = listener.ready.popleft()
    accurate = socket.connection.tcb.accurate
    assert accurate is not None
    accurate.r_cep += marks
    bench.table.release(socket, bench.scheduler.now)
    ack = socket.connection.tcb.snd_nxt
    bench.segment(FIN | ACK | AE | ECE, seq=PEER_ISS + 1, ack=ack)
    bench.sent()
    assert list(bench.table) == []
    bench.segment(FIN | ACK | AE | ECE, seq=PEER_ISS + 1, ack=ack)
    (again,) = bench.sent()
    assert again.flags == ACK | flags
