"""The two queues of a listener: RFC 9293 section 3.9.1.2's backlog, as Linux has it."""

from statistics import median

import pytest
from tcp_bench import ANY, PEER_ISS, TcpBench, calls_of

from pystack.core.errors import ConfigError
from pystack.stack.tcp_ports import Binding
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.listener import MAX_BACKLOG, Listener
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def last_ack(bench: TcpBench, port: int, answer: Segment, payload: bytes = b"") -> None:
    flags = ACK | PSH if payload else ACK
    bench.segment(flags, ports=(port, 80), seq=PEER_ISS + 1, ack=answer.seq + 1, payload=payload)


def test_each_queue_has_one_place_more_than_the_backlog() -> None:
    listener: Listener[int] = Listener(0, 80, backlog=0)
    assert not listener.syn_queue_full
    listener.half_open[1] = None
    assert listener.syn_queue_full
    assert not listener.accept_queue_full
    listener.established(1)
    assert not listener.syn_queue_full
    assert listener.accept_queue_full


@pytest.mark.parametrize(("wanted", "given"), [(-1, 0), (5, 5), (65535, MAX_BACKLOG)])
def test_a_backlog_is_cut_to_what_the_host_allows(wanted: int, given: int) -> None:
    assert Listener[int](0, 80, backlog=wanted).backlog == given


def test_with_a_full_accept_queue_a_syn_is_ignored_and_comes_later(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=1)
    for port in (5000, 5001):
        bench.accept_from(port, listener)
    bench.segment(SYN, ports=(5002, 80))
    assert bench.sent() == []
    assert bench.counters["tcp_listen_overflow"] == 1
    assert len(bench.table) == 2
    listener.ready.popleft()
    bench.accept_from(5002, listener)
    assert [socket.connection.remote_port for socket in listener.ready] == [5001, 5002]


def test_with_a_full_accept_queue_the_last_ack_is_ignored_and_the_syn_ack_comes_again(
    bench: TcpBench,
) -> None:
    listener = bench.table.listen(ANY, 80, backlog=0)
    late = bench.half_open_from(5001)
    bench.accept_from(5000, listener)
    last_ack(bench, 5001, late, b"early bird")
    assert bench.sent() == []
    assert bench.counters["tcp_listen_overflow"] == 1
    (half_open,) = listener.half_open
    assert half_open.connection.state is TcpState.SYN_RECEIVED
    bench.run(1.0)
    (again,) = bench.sent()
    assert (again.flags, again.seq) == (SYN | ACK, late.seq)
    listener.ready.popleft()
    last_ack(bench, 5001, late, b"early bird")
    assert listener.ready[0] is half_open
    assert half_open.connection.read(100, 1.0) == b"early bird"


def test_the_last_acks_of_one_batch_see_each_other(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=0)
    answers = [bench.half_open_from(port) for port in (5000,)]
    listener.backlog = 1
    answers += [bench.half_open_from(port) for port in (5001, 5002)]
    listener.backlog = 0
    frames = []
    for port, answer in zip((5000, 5001, 5002), answers, strict=True):
        frames.append(bench.frame(ACK, ports=(port, 80), seq=PEER_ISS + 1, ack=answer.seq + 1))
    bench.arrive_together(*frames)
    assert len(listener.ready) == 1
    assert bench.counters["tcp_listen_overflow"] == 2


def test_a_reset_is_taken_whatever_the_queues_say(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=0)
    bench.half_open_from(5001)
    bench.accept_from(5000, listener)
    bench.segment(RST, ports=(5001, 80), seq=PEER_ISS + 1)
    assert not listener.half_open
    assert [socket.connection.remote_port for socket in listener.ready] == [5000]


def test_without_cookies_a_full_syn_queue_ignores_syns(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits(syn_cookies=0)
    listener = bench.table.listen(ANY, 80, backlog=1)
    for port in (5000, 5001):
        bench.half_open_from(port)
    bench.segment(SYN, ports=(5002, 80))
    assert bench.sent() == []
    assert bench.counters["tcp_syn_queue_full"] == 1
    assert len(listener.half_open) == 2


def test_in_a_queue_that_fills_the_silent_ones_give_way_to_new_ones(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=16)
    for port in range(5000, 5009):
        bench.half_open_from(port)
    bench.run(3.5)  # SYN-ACKs at 0, 1, and 3 s: two more than the first
    bench.sent()
    for port in range(6000, 6004):
        bench.half_open_from(port)
    assert bench.counters["tcp_syn_queue_shed"] == 4
    assert len(listener.half_open) == 9
    assert [socket.connection.remote_port for socket in listener.half_open][:2] == [5004, 5005]
    assert bench.sent() == []  # and nobody is told


def test_in_a_calm_queue_nobody_gives_way(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=16)
    for port in range(5000, 5008):
        bench.half_open_from(port)
    bench.run(20.0)
    bench.know_peer()
    bench.half_open_from(6000)
    assert len(listener.half_open) == 9


@pytest.mark.parametrize("value", [-1, 3])
def test_syn_cookies_are_never_when_needed_or_always(value: int) -> None:
    with pytest.raises(ConfigError, match="syn_cookies"):
        TcpLimits(syn_cookies=value)


@pytest.mark.parametrize("fast", [False, True])
def test_what_a_syn_costs_does_not_depend_on_how_many_wait(fast: bool, bench: TcpBench) -> None:
    if fast:
        bench.table.config = TcpConfig(
            fast_open="server", fast_open_cookieless="server", fast_open_pending=2000
        )
    listener = bench.table.listen(ANY, 80, 4000)

    def syn(port: int) -> None:
        bench.segment(SYN, ports=(port, 80), payload=b"text" if fast else b"")

    costs = []
    for port in range(1024, 2024):
        costs.append(calls_of(lambda port=port: syn(port)))  # type: ignore[misc]
        listener.ready.clear()
    assert len(listener.fast_opened if fast else listener.half_open) == 1000
    assert median(costs[900:]) <= median(costs[:100])


@pytest.mark.parametrize("end", ["ack", "reset", "time-out", "abort"])
def test_who_had_text_before_the_last_ack_is_counted_until_it_came_or_never_will(
    end: str, bench: TcpBench
) -> None:
    bench.table.config = TcpConfig(fast_open="server", fast_open_cookieless="server")
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN, payload=b"text")
    (answer,) = bench.sent()
    assert len(listener.fast_opened) == 1
    socket = listener.ready.popleft()
    socket.listener = None
    if end == "time-out":
        bench.run(100.0)
    elif end == "abort":
        bench.table.abort(socket, 0.0)
    else:
        bench.segment(ACK if end == "ack" else RST, seq=PEER_ISS + 5, ack=answer.seq + 1)
    assert not listener.fast_opened


def test_who_had_text_first_is_counted_no_more_however_many_share_the_port_by_then(
    bench: TcpBench,
) -> None:
    bench.table.config = TcpConfig(fast_open="server", fast_open_cookieless="server")

    def listen() -> Listener[TcpSocket]:
        binding = bench.table.ports.bind(Binding(ANY, 80, reuse_port=True))
        return bench.table.listeners.listen(binding, 100)

    listeners = [listen(), listen()]
    answers = {}
    for port in range(5000, 5016):
        bench.segment(SYN, ports=(port, 80), payload=b"text")
        (answers[port],) = bench.sent()
    assert sum(len(listener.fast_opened) for listener in listeners) == 16
    listeners.append(listen())
    for port, answer in answers.items():
        bench.segment(ACK, ports=(port, 80), seq=PEER_ISS + 5, ack=answer.seq + 1)
    assert not any(listener.fast_opened for listener in listeners)


def test_who_has_sent_his_ack_and_may_still_send_text_does_not_give_way(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80, backlog=16)
    listener.configure(defer_accept_retries=5)
    answers = {port: bench.half_open_from(port) for port in range(5000, 5010)}
    for port in (5000, 5001):
        bench.segment(ACK, ports=(port, 80), seq=PEER_ISS + 1, ack=answers[port].seq + 1)
    assert bench.counters["tcp_accept_deferred"] == 2
    bench.run(3.5)  # two answers to nobody
    bench.sent()
    bench.know_peer()
    for port in range(6000, 6012):
        bench.half_open_from(port)
    assert bench.counters["tcp_syn_queue_shed"] == 8
    ports = {socket.connection.remote_port for socket in listener.half_open}
    assert ports == {5000, 5001, *range(6000, 6012)}
    last_ack(bench, 5000, answers[5000], b"at last")
    assert [socket.connection.remote_port for socket in listener.ready] == [5000]


URGENT = 0x20


@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        (SYN, SYN | ACK),
        (SYN | PSH, SYN | ACK),
        (SYN | URGENT, SYN | ACK),
        (SYN | FIN, 0),
        (SYN | FIN | PSH | URGENT, 0),
        (SYN | RST, 0),
        (SYN | ACK, RST),
        (FIN, 0),
        (FIN | ACK, RST),
        (FIN | PSH | URGENT, 0),
        (0, 0),
        (PSH | URGENT, 0),
        (RST, 0),
        (RST | ACK, 0),
        (ACK, RST),
        (0x1FF & ~RST, 0x004),
        (0x1FF, 0),
    ],
)
def test_a_listener_makes_of_odd_flags_what_linux_does(
    flags: int, answer: int, bench: TcpBench
) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(flags, ack=77, mss=1460)
    assert [segment.flags for segment in bench.sent()] == [answer] * bool(answer)
    assert len(listener.half_open) == (answer == SYN | ACK)
