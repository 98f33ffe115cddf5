"""Resets, challenges, and TIME-WAIT: RFC 9293 section 3.10.7, RFC 5961, RFC 1337."""

import errno

import pytest
from script import Script
from test_states import REACH, open_actively, open_passively

from pystack.tcp.states import TcpState

SYNCHRONIZED = [state for state in REACH if state not in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED)]
# What an exact reset leaves as `error`, by state. TIME-WAIT is not ended by it.
AFTER_RESET = {
    TcpState.SYN_RECEIVED: errno.ECONNREFUSED,
    TcpState.ESTABLISHED: errno.ECONNRESET,
    TcpState.FIN_WAIT_1: errno.ECONNRESET,
    TcpState.FIN_WAIT_2: errno.ECONNRESET,
    TcpState.CLOSE_WAIT: errno.EPIPE,  # as Linux's tcp_reset
    TcpState.CLOSING: None,
    TcpState.LAST_ACK: None,
}


def reach(tcp: Script, state: TcpState) -> int:
    """Bring the connection there; return RCV.NXT, relative."""
    REACH[state](tcp)
    tcp.drain()
    tcp.drops.clear()
    return tcp.conn.tcb.rcv_nxt - tcp.conn.tcb.irs


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize("state", AFTER_RESET)
def test_an_exact_reset_ends_the_connection(state: TcpState, tcp: Script) -> None:
    at = reach(tcp, state)
    tcp.inject(f"+0.1 < R {at}:{at}(0)")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == AFTER_RESET[state]


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_reset_in_the_window_is_challenged(state: TcpState, tcp: Script) -> None:
    at = reach(tcp, state)
    tcp.inject(f"+0.1 < R {at + 1}:{at + 1}(0)")
    assert tcp.sent, "no challenge ACK"
    tcp.drain()
    assert tcp.state is state
    assert tcp.drops == ["tcp_challenged_rst"]


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize("state", [TcpState.SYN_RECEIVED, *SYNCHRONIZED])
def test_a_reset_outside_of_the_window_is_ignored(state: TcpState, tcp: Script) -> None:
    at = reach(tcp, state) + 2_000_000
    tcp.inject(f"+0.1 < R {at}:{at}(0)")
    tcp.expect_nothing()
    assert tcp.state is state
    assert tcp.drops == ["tcp_out_of_window"]


@pytest.mark.rfc("5961", "3.2")
def test_a_reset_is_judged_by_its_own_number_not_by_what_its_text_covers(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+0 < P. 1:101(100) ack 1 win 1000")
    tcp.expect("+0.04 > . 1:1(0) ack 101")
    tcp.inject("+0.1 < R. 51:151(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 101")
    assert tcp.state is TcpState.ESTABLISHED


@pytest.mark.rfc("1337", "3")
def test_a_reset_does_not_cut_time_wait_short(tcp: Script) -> None:
    at = reach(tcp, TcpState.TIME_WAIT)
    tcp.inject(f"+0.1 < R {at}:{at}(0)")
    assert tcp.state is TcpState.TIME_WAIT
    assert tcp.drops == ["tcp_rst_in_time_wait"]


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("at", [0, 1, 500, 3_000_000])
@pytest.mark.parametrize("state", SYNCHRONIZED)
def test_a_syn_anywhere_is_challenged(state: TcpState, at: int, tcp: Script) -> None:
    reach(tcp, state)
    tcp.inject(f"+0.1 < S {at}:{at}(0) win 1000 <mss 1460>")
    assert len(tcp.sent) == 1
    segment = tcp.drain()[0]
    assert segment.flags == 0x10
    assert tcp.state is state


@pytest.mark.rfc("5961", "7")
def test_challenges_are_sent_twice_a_second_at_most(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+1 < R 500:500(0)")
    tcp.expect("+0 > . 1:1(0) ack 1")
    for _ in range(4):
        tcp.inject("+0.1 < R 500:500(0)")
    tcp.inject("+0.1 < R 500:500(0)")
    tcp.expect("+0 > . 1:1(0) ack 1")
    assert tcp.drops.count("tcp_challenge_limited") == 4


@pytest.mark.rfc("5961", "5.2")
@pytest.mark.parametrize(
    ("ack", "reason"),
    [(102, "tcp_ack_unsent"), (0, "tcp_ack_too_old"), (2**32 - 500, "tcp_ack_too_old")],
)
def test_an_ack_is_believed_only_within_what_was_sent(ack: int, reason: str, tcp: Script) -> None:
    open_actively(tcp)
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.inject(f"+0.1 < P. 1:11(10) ack {ack} win 1000")
    tcp.expect("+0 > . 101:101(0) ack 1")
    assert tcp.drops == [reason]
    assert tcp.read() == b""
    assert tcp.conn.tcb.snd_una == tcp.conn.tcb.iss + 1


@pytest.mark.rfc("5961", "5.2")
def test_an_old_ack_of_what_was_sent_may_bring_text(tcp: Script) -> None:
    open_actively(tcp)
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 101 win 1000")
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 1000")
    tcp.expect("+0.04 > . 101:101(0) ack 11")


@pytest.mark.rfc("5961", "5.2")
@pytest.mark.rfc("9293", "MAY-12")
def test_an_ack_older_than_the_largest_window_is_challenged_and_its_text_dropped(
    tcp: Script,
) -> None:
    open_actively(tcp)
    tcp.write(1000)
    tcp.expect("+0 > P. 1:1001(1000) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 1000")
    tcp.write(100)
    tcp.expect("+0 > P. 1001:1101(100) ack 1")
    tcp.inject("+0.1 < P. 1:11(10) ack 0 win 1000")  # 1001 - 1000 - 1
    tcp.expect("+0 > . 1101:1101(0) ack 1")
    assert "tcp_ack_too_old" in tcp.drops


@pytest.mark.rfc("9293", "3.10.7.3")
def test_syn_sent_is_refused_by_a_reset_that_acknowledges_its_syn(tcp: Script) -> None:
    reach(tcp, TcpState.SYN_SENT)
    tcp.inject("+0.1 < R. 0:0(0) ack 1 win 0")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ECONNREFUSED


@pytest.mark.rfc("9293", "3.10.7.3")
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("+0.1 < R 0:0(0)", "tcp_syn_sent_rst_without_ack"),
        ("+0.1 < R. 0:0(0) ack 2", "tcp_syn_sent_bad_ack"),
        ("+0.1 < . 0:0(0) ack 1", "tcp_syn_sent_no_syn"),
        ("+0.1 < - 0:0(0)", "tcp_syn_sent_no_syn"),
    ],
)
def test_syn_sent_ignores_the_rest(line: str, reason: str, tcp: Script) -> None:
    reach(tcp, TcpState.SYN_SENT)
    tcp.inject(line)
    assert tcp.state is TcpState.SYN_SENT
    assert tcp.drops == [reason]


@pytest.mark.rfc("9293", "3.5.2")
def test_syn_sent_answers_a_wrong_ack_with_a_reset(tcp: Script) -> None:
    reach(tcp, TcpState.SYN_SENT)
    tcp.inject("+0.1 < S. 0:0(0) ack 77 win 1000")
    tcp.expect("+0 > R 77:77(0)")
    assert tcp.state is TcpState.SYN_SENT


@pytest.mark.rfc("9293", "3.10.7.4")
def test_syn_received_answers_a_wrong_ack_with_a_reset(tcp: Script) -> None:
    reach(tcp, TcpState.SYN_RECEIVED)
    tcp.inject("+0.1 < . 1:1(0) ack 77 win 1000")
    tcp.expect("+0 > R 77:77(0)")
    assert tcp.state is TcpState.SYN_RECEIVED


@pytest.mark.parametrize("text", ["0:0(0)", "0:10(10)"])
def test_syn_received_answers_the_syn_that_comes_again_with_its_syn_ack(
    text: str, tcp: Script
) -> None:
    reach(tcp, TcpState.SYN_RECEIVED)
    tcp.inject(f"+0.1 < S {text} win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1 <mss 1460>")
    assert tcp.drops == ["tcp_syn_again"]


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize("state", list(REACH))
def test_abort_sends_a_reset_where_the_peer_may_still_send(state: TcpState, tcp: Script) -> None:
    reach(tcp, state)
    tcp.abort()
    quiet = (TcpState.SYN_SENT, TcpState.CLOSING, TcpState.LAST_ACK, TcpState.TIME_WAIT)
    flags = [segment.flags for segment in tcp.drain()]
    assert flags == ([] if state in quiet else [0x14])
    assert tcp.state is TcpState.CLOSED


def test_a_segment_without_ack_is_dropped(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+0 < P 1:11(10)")
    assert tcp.drops == ["tcp_no_ack"]
    assert tcp.read() == b""


def test_what_comes_in_the_batch_that_ended_it_is_counted(tcp: Script) -> None:
    open_passively(tcp)
    tcp.batch("+0 < R 1:1(0)", "+0 < P. 1:11(10) ack 1 win 1000")
    assert tcp.drops == ["tcp_after_end"]


@pytest.mark.rfc("9293", "3.10.7.4")
def test_a_fin_that_comes_again_begins_time_wait_afresh(tcp: Script) -> None:
    reach(tcp, TcpState.TIME_WAIT)
    tcp.inject("+59 < F. 1:1(0) ack 2 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 2")
    tcp.advance("+59.999")
    assert tcp.state is TcpState.TIME_WAIT
    tcp.advance("+0.001")
    assert tcp.state is TcpState.CLOSED


@pytest.mark.rfc("9293", "MUST-58")
def test_the_syn_ack_that_comes_again_is_acknowledged_again(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+1 < S. 0:0(0) ack 1 win 1000 <mss 1460>")
    tcp.expect("+0 > . 1:1(0) ack 1")


def test_two_ends_that_disagree_do_not_answer_each_other_for_ever(tcp: Script) -> None:
    # Both stand where somebody injected text: each ACK is out of the other's window.
    open_actively(tcp)
    answers = 0
    for _ in range(100):
        tcp.inject("+0.001 < . 0:0(0) ack 1 win 1000")
        answers += len(tcp.drain())
    assert answers == 1
