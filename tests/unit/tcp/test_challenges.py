"""Challenge ACKs of a whole host: RFC 5961 section 7, and what CVE-2016-5696 taught."""

import pytest
from tcp_bench import ANY, PEER_ISS, TcpBench

from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.stack.tcp_socket import TcpSocket
from pystack.tcp.config import TcpLimits
from pystack.tcp.shared import ChallengeLimit
from pystack.tcp.states import TcpState
from pystack.wire.tcp import ACK, RST, SYN


@pytest.fixture
def bench() -> TcpBench:
    return TcpBench()


def connections(bench: TcpBench, count: int) -> list[TcpSocket]:
    listener = bench.table.listen(ANY, 80, backlog=count)
    return [bench.accept_from(5000 + number, listener) for number in range(count)]


@pytest.mark.rfc("5961", "7")
def test_all_connections_together_are_limited_too(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits(challenge_acks_per_s=10)
    for socket in connections(bench, 30):
        port = socket.connection.remote_port
        bench.segment(RST, ports=(port, 80), seq=PEER_ISS + 100)
    answers = bench.sent()
    assert 5 <= len(answers) < 15
    assert all(answer.flags == ACK for answer in answers)
    assert bench.counters["tcp_challenged_rst"] == 30
    assert bench.counters["tcp_challenge_acks"] == len(answers)
    assert bench.counters["tcp_challenge_limited_host"] == 30 - len(answers)
    assert bench.counters["tcp_challenge_limited"] == 0


@pytest.mark.parametrize(
    ("flags", "seq", "off", "reason"),
    [
        (RST, 100, 0, "tcp_challenged_rst"),
        (SYN, 100, 0, "tcp_challenged_syn"),
        (SYN | ACK, 1, 0, "tcp_challenged_syn"),
        (ACK, 1, 5000, "tcp_ack_unsent"),
        (ACK, 1, -70_000, "tcp_ack_too_old"),
    ],
)
@pytest.mark.rfc("5961", "3.2")
@pytest.mark.rfc("5961", "4.2")
@pytest.mark.rfc("5961", "5.2")
def test_every_kind_of_blind_guess_is_challenged_by_the_same_ack(
    flags: int, seq: int, off: int, reason: str, bench: TcpBench
) -> None:
    (socket,) = connections(bench, 1)
    tcb = socket.connection.tcb
    bench.segment(flags, seq=PEER_ISS + seq, ack=tcb.snd_nxt + off if flags & ACK else 0)
    (answer,) = bench.sent()
    assert (answer.flags, answer.seq, answer.ack, answer.seg_len) == (
        ACK,
        tcb.snd_nxt & 0xFFFFFFFF,
        tcb.rcv_nxt & 0xFFFFFFFF,
        0,
    )
    assert bench.counters[reason] == 1
    assert bench.counters["tcp_challenge_acks"] == 1
    assert socket.connection.state is TcpState.ESTABLISHED


@pytest.mark.rfc("5961", "3.2")
def test_the_true_peer_answers_the_challenge_and_is_believed(bench: TcpBench) -> None:
    (socket,) = connections(bench, 1)
    bench.segment(RST, seq=PEER_ISS + 100)
    (challenge,) = bench.sent()
    bench.segment(RST, seq=challenge.ack)
    assert socket.connection.state is TcpState.CLOSED


def test_how_many_are_sent_in_a_second_cannot_be_known() -> None:
    limit = ChallengeLimit(component_rng(1, "challenges"), 100)
    counts = [sum(limit.take(second + at / 1000) for at in range(200)) for second in range(200)]
    assert min(counts) >= 50
    assert max(counts) < 150
    assert len(set(counts)) > 60


def test_a_limit_of_none_sends_none(bench: TcpBench) -> None:
    bench.table.limits = TcpLimits(challenge_acks_per_s=0)
    connections(bench, 1)
    bench.segment(RST, seq=PEER_ISS + 100)
    assert bench.sent() == []
    assert bench.counters["tcp_challenge_limited_host"] == 1


def test_a_limit_is_no_negative_number() -> None:
    with pytest.raises(ConfigError, match="challenge_acks_per_s"):
        TcpLimits(challenge_acks_per_s=-1)
