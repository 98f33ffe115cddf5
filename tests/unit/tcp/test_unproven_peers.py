"""What strangers can make us send: RFC 4987, RFC 5358's lesson, RFC 9293 section 3.10.7.1."""

import pytest
from stack_bench import FAR, GATEWAY
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpLimits
from pystack.tcp.listener import Listener
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK, FIN, PSH, RST, SYN, URG
from pystack.wire.tcp_options import TcpOptions

LINUX = TcpOptions(mss=1460, wscale=7, sack_permitted=True, timestamps=(1, 0))
SYN_BYTES = 60  # IP and TCP, with the options of LINUX


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def sent_bytes(bench: TcpBench) -> int:
    """Return how many bytes of IP went out since the last time."""
    frames = [frame.data for frame in bench.taken()]
    return sum(int.from_bytes(data[16:18], "big") for data in frames if data[12:14] == b"\x08\x00")


@pytest.mark.rfc("4987", "3.4")
def test_a_syn_with_a_false_address_is_answered_a_few_times_and_shortly(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    bench.segment(SYN, options=LINUX)
    assert sent_bytes(bench) == SYN_BYTES
    answers = [60]
    for second in range(1, 120):
        bench.run(float(second))
        bench.know_peer()
        answers.append(sent_bytes(bench))
    bench.run(120.0)
    assert not listener.half_open
    assert sum(answers) <= (1 + bench.table.config.syn_ack_retries) * SYN_BYTES


def test_a_cookie_is_answered_once_and_never_again(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits(syn_cookies=2)
    bench.table.listen(ANY, 80)
    bench.segment(SYN, options=LINUX)
    assert sent_bytes(bench) <= SYN_BYTES
    for second in range(1, 30):
        bench.run(float(second))
        bench.know_peer()
        assert sent_bytes(bench) == 0


def test_a_syn_that_comes_again_and_again_gets_no_more_than_it_brings(bench: TcpBench) -> None:
    bench.table.listen(ANY, 80)
    bench.segment(SYN, options=LINUX)
    sent_bytes(bench)
    for _ in range(50):
        bench.segment(SYN, options=LINUX)
        assert sent_bytes(bench) <= SYN_BYTES


@pytest.mark.parametrize("flags", [SYN, ACK, FIN | ACK, SYN | ACK, PSH | ACK, FIN, URG, 0, RST])
@pytest.mark.parametrize("listening", [False, True])
@pytest.mark.parametrize("size", [0, 1000])
def test_no_answer_to_a_stranger_is_larger_than_what_it_answers(
    flags: int, listening: bool, size: int, bench: TcpBench
) -> None:
    if listening:
        bench.table.listen(ANY, 80)
    bench.segment(flags, payload=bytes(size), mss=1460)
    assert sent_bytes(bench) <= 44 + size


@pytest.mark.rfc("9293", "3.10.7.4")
def test_nothing_that_users_write_goes_out_before_the_address_is_proven(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = bench.half_open_from(5000)
    (half_open,) = listener.half_open
    assert half_open.connection.state is TcpState.SYN_RECEIVED
    bench.table.write(half_open, memoryview(bytes(5000)), 0.0)
    assert bench.sent() == []
    bench.segment(ACK, seq=PEER_ISS + 1, ack=answer.seq + 1)
    assert sum(len(segment.payload) for segment in bench.sent()) == 5000


def test_no_text_is_taken_or_acknowledged_before_either(bench: TcpBench) -> None:
    listener = bench.table.listen(ANY, 80)
    answer = bench.half_open_from(5000)
    bench.segment(ACK | PSH, seq=PEER_ISS + 1, ack=answer.seq + 2, payload=b"a guess")
    (reset,) = bench.sent()
    assert reset.flags == RST
    (half_open,) = listener.half_open
    assert half_open.connection.receive_buffer.readable_bytes == 0


def test_a_flood_from_everywhere_leaves_the_work_of_an_answer_and_nothing_else(
    bench: TcpBench,
) -> None:
    bench.host.set_gateway(GATEWAY)
    bench.know_peer(GATEWAY)
    listener: Listener[TcpSocket] = bench.table.listen(ANY, 80, backlog=16)
    timers = len(bench.scheduler)
    for number in range(1000):
        bench.segment(SYN, src=FAR + number, options=LINUX)
    assert len(listener.half_open) == 17
    assert len(bench.table) == 17
    assert len(bench.scheduler) - timers <= 17 + 4
    assert sent_bytes(bench) <= 1000 * SYN_BYTES
