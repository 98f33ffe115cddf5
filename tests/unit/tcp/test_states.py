"""Every transition of RFC 9293 figure 5, and that no other is ever taken."""

import errno
from collections.abc import Callable
from typing import Final

import pytest
from script import Script

from pystack.tcp.events import Signal
from pystack.tcp.states import LEGAL, TcpState
from pystack.tcp.tcb import NEVER, Timer

S: Final = TcpState


def open_actively(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 1000 <mss 1460>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    assert tcp.state is S.ESTABLISHED


def open_passively(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    assert tcp.state is S.SYN_RECEIVED
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1000")
    assert tcp.state is S.ESTABLISHED


def open_simultaneously(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.inject("+0.01 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    assert tcp.state is S.SYN_RECEIVED
    tcp.inject("+0.01 < S. 0:0(0) ack 1 win 1000 <mss 1460>")
    tcp.expect_nothing()
    assert tcp.state is S.ESTABLISHED


def close_first(tcp: Script) -> None:
    open_actively(tcp)
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    assert tcp.state is S.FIN_WAIT_1
    tcp.inject("+0.1 < . 1:1(0) ack 2 win 1000")
    assert tcp.state is S.FIN_WAIT_2
    tcp.inject("+0.1 < F. 1:1(0) ack 2 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 2")
    assert tcp.state is S.TIME_WAIT
    tcp.advance("+59.999")
    assert tcp.state is S.TIME_WAIT
    tcp.advance("+0.001")
    assert tcp.state is S.CLOSED


def close_second(tcp: Script) -> None:
    open_passively(tcp)
    tcp.inject("+0.1 < F. 1:1(0) ack 1 win 1000")
    tcp.expect("+0.001 > . 1:1(0) ack 2")
    assert tcp.state is S.CLOSE_WAIT
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 2")
    assert tcp.state is S.LAST_ACK
    tcp.inject("+0.1 < . 2:2(0) ack 2 win 1000")
    assert tcp.state is S.CLOSED


def close_simultaneously(tcp: Script) -> None:
    open_actively(tcp)
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.01 < F. 1:1(0) ack 1 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 2")
    assert tcp.state is S.CLOSING
    tcp.inject("+0.01 < . 2:2(0) ack 2 win 1000")
    assert tcp.state is S.TIME_WAIT
    tcp.advance("+60")


def fin_and_its_ack_in_one_segment(tcp: Script) -> None:
    open_actively(tcp)
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < F. 1:1(0) ack 2 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 2")
    assert tcp.state is S.TIME_WAIT
    tcp.advance("+60")


def close_in_syn_sent(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.close()
    assert tcp.state is S.CLOSED


def close_in_syn_received(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    tcp.close()
    assert tcp.state is S.SYN_RECEIVED
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 1000")
    tcp.expect("+0 > F. 1:1(0) ack 1")
    assert tcp.state is S.FIN_WAIT_1
    tcp.abort()
    tcp.expect("+0 > R. 2:2(0) ack 1")


def reset_in_every_state(tcp: Script) -> None:
    for reach in REACH.values():
        script = Script()
        reach(script)
        script.drain()
        script.conn.finish(errno.ECONNRESET)
        script.pump()
        tcp.transitions += script.transitions


def _reach(last: str, *ways: Callable[[Script], None]) -> Callable[[Script], None]:
    def reach(tcp: Script) -> None:
        for way in ways:
            way(tcp)
        assert tcp.state.value == last

    return reach


def _syn_sent(tcp: Script) -> None:
    tcp.connect()


def _syn_received(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460>")


def _close(tcp: Script) -> None:
    tcp.drain()
    tcp.close()


def _line(text: str) -> Callable[[Script], None]:
    def inject(tcp: Script) -> None:
        tcp.drain()
        tcp.inject(text)

    return inject


_fin = _line("+0 < F. 1:1(0) ack 1 win 1000")
_fin_acked = _line("+0 < . 1:1(0) ack 2 win 1000")


def _its_ack_is_delayed(tcp: Script) -> None:
    tcp.advance("+0.04")


# How to get into each state that a segment may find.
REACH: Final = {
    S.SYN_SENT: _reach("SYN-SENT", _syn_sent),
    S.SYN_RECEIVED: _reach("SYN-RECEIVED", _syn_received),
    S.ESTABLISHED: _reach("ESTABLISHED", open_actively),
    S.FIN_WAIT_1: _reach("FIN-WAIT-1", open_actively, _close),
    S.FIN_WAIT_2: _reach("FIN-WAIT-2", open_actively, _close, _fin_acked),
    S.CLOSE_WAIT: _reach("CLOSE-WAIT", open_actively, _fin, _its_ack_is_delayed),
    S.CLOSING: _reach("CLOSING", open_actively, _close, _fin),
    S.LAST_ACK: _reach("LAST-ACK", open_actively, _fin, _close),
    S.TIME_WAIT: _reach(
        "TIME-WAIT",
        open_actively,
        _close,
        _fin_acked,
        _line("+0 < F. 1:1(0) ack 2 win 1000"),
    ),
}

SCENARIOS: Final = (
    open_actively,
    open_passively,
    open_simultaneously,
    close_first,
    close_second,
    close_simultaneously,
    fin_and_its_ack_in_one_segment,
    close_in_syn_sent,
    close_in_syn_received,
    reset_in_every_state,
)


@pytest.mark.rfc("9293", "3.3.2")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_way(scenario: Callable[[Script], None], tcp: Script) -> None:
    scenario(tcp)
    assert all(new in LEGAL[old] for old, new in tcp.transitions)


def test_all_legal_transitions_are_taken_and_no_others() -> None:
    taken: set[tuple[TcpState, TcpState]] = set()
    for scenario in SCENARIOS:
        script = Script()
        scenario(script)
        taken.update(script.transitions)
    legal = {(old, new) for old, after in LEGAL.items() for new in after}
    # A listener is an object of its own: its connections pass LISTEN when the SYN is there. A
    # segment that counts twice makes two steps at one instant, by way of the state between.
    never = {
        (S.CLOSED, S.LISTEN),
        (S.CLOSED, S.SYN_RECEIVED),
        (S.LISTEN, S.SYN_SENT),
        (S.LISTEN, S.CLOSED),
        (S.SYN_RECEIVED, S.FIN_WAIT_1),
        (S.SYN_RECEIVED, S.CLOSE_WAIT),
        (S.FIN_WAIT_1, S.TIME_WAIT),
    }
    assert taken == legal - never


@pytest.mark.parametrize("state", TcpState)
def test_every_state_can_end_except_the_end(state: TcpState) -> None:
    assert (S.CLOSED in LEGAL[state]) == (state is not S.CLOSED)


def test_an_arrow_that_the_diagram_does_not_have_is_refused(tcp: Script) -> None:
    open_actively(tcp)
    with pytest.raises(AssertionError, match="ESTABLISHED -> LISTEN"):
        tcp.conn.enter(S.LISTEN)


@pytest.mark.rfc("9293", "MUST-10")
def test_simultaneous_open_ends_with_a_bare_ack_too(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.inject("+0.01 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    tcp.inject("+0.01 < . 1:1(0) ack 1 win 1000")
    assert tcp.state is S.ESTABLISHED


@pytest.mark.rfc("7323", "2.2")
def test_simultaneous_open_takes_the_window_of_no_syn_for_scaled(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.inject("+0.01 < S 0:0(0) win 1000 <mss 1460,wscale 7>")
    tcp.expect("+0 > S. 0:0(0) ack 1 <mss 1460,wscale 5>")
    tcp.inject("+0.01 < S. 0:0(0) ack 1 win 1000 <mss 1460,wscale 7>")
    assert tcp.conn.tcb.snd_wnd == 1000


@pytest.mark.rfc("9293", "MUST-10")
def test_simultaneous_open_whose_two_segments_come_in_one_batch_is_not_reset(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.batch(
        "+0 < S 0:0(0) win 1000 <mss 1460>",
        "+0 < S. 0:0(0) ack 1 win 1000 <mss 1460>",
    )
    tcp.expect("+0 > . 1:1(0) ack 1")
    assert tcp.state is S.ESTABLISHED


@pytest.mark.rfc("6298", "3")
def test_simultaneous_open_measures_no_round_trip(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.inject("+0.1 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    tcp.inject("+0.001 < S. 0:0(0) ack 1 win 1000 <mss 1460>")
    assert tcp.conn.rtt.srtt_s is None  # which of the two SYNs was acknowledged?


@pytest.mark.rfc("9293", "3.6")
def test_half_close_here_goes_on_receiving(tcp: Script) -> None:
    open_actively(tcp)
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 2 win 1000")
    tcp.inject("+5 < P. 1:101(100) ack 2 win 1000")
    assert len(tcp.read()) == 100
    tcp.expect("+0.04 > . 2:2(0) ack 101")
    tcp.inject("+1 < F. 101:101(0) ack 2 win 1000")
    tcp.expect("+0 > . 2:2(0) ack 102")
    assert tcp.conn.at_eof


@pytest.mark.rfc("9293", "3.6")
def test_half_close_there_goes_on_sending(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+0.1 < F. 1:1(0) ack 1 win 1000")
    tcp.expect("+0.001 > . 1:1(0) ack 2")
    assert tcp.conn.at_eof
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 2")
    tcp.inject("+0.1 < . 2:2(0) ack 101 win 1000")
    tcp.close()
    tcp.expect("+0 > F. 101:101(0) ack 2")


def test_our_fin_takes_the_ack_of_theirs_along(tcp: Script) -> None:
    open_passively(tcp)
    tcp.inject("+0.1 < F. 1:1(0) ack 1 win 1000")
    tcp.advance("+0.0009")
    tcp.expect_nothing()
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 2")
    tcp.inject("+0.1 < . 2:2(0) ack 2 win 1000")
    assert tcp.state is S.CLOSED


def test_so_does_our_text_also_where_acks_are_quick(tcp: Script) -> None:
    open_passively(tcp)
    tcp.inject("+0.1 < FP. 1:101(100) ack 1 win 1000")
    tcp.write(50)
    tcp.expect("+0 > P. 1:51(50) ack 102")
    tcp.inject("+0.1 < . 102:102(0) ack 51 win 1000")
    tcp.expect_nothing()


def test_a_fin_that_completes_the_text_is_acknowledged_at_once(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+0.1 < F. 101:101(0) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.inject("+0 < P. 1:101(100) ack 1 win 1000")
    tcp.expect("+0 > . 1:1(0) ack 102")


@pytest.mark.parametrize("watched", [True, False])
def test_the_last_ack_ends_it_whoever_watches(watched: bool, tcp: Script) -> None:
    open_passively(tcp)
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.inject("+0.1 < F. 1:1(0) ack 101 win 1000")
    tcp.close()
    tcp.expect("+0 > F. 101:101(0) ack 2")
    if not watched:
        tcp.conn.shared.watchers = ()
    tcp.inject("+0.25 < . 2:2(0) ack 101 win 1000")
    assert tcp.state is S.LAST_ACK
    tcp.inject("+0 < . 2:2(0) ack 102 win 1000")
    assert tcp.state is S.CLOSED
    assert tcp.conn.error is None
    assert tcp.signals[-1] is Signal.CLOSED
    info = tcp.conn.info()
    assert info.bytes_acked == 101
    assert info.busy_s == pytest.approx(0.35)


def test_a_user_who_has_gone_waits_in_fin_wait_2_for_a_minute(tcp: Script) -> None:
    open_actively(tcp)
    tcp.release()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 2 win 1000")
    tcp.advance("+59.999")
    assert tcp.state is S.FIN_WAIT_2
    tcp.advance("+0.001")
    assert tcp.state is S.CLOSED


def test_a_user_who_reads_waits_in_fin_wait_2_for_ever(tcp: Script) -> None:
    open_actively(tcp)
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 2 win 1000")
    assert tcp.conn.next_timeout() == NEVER


@pytest.mark.rfc("1122", "4.2.2.13")
@pytest.mark.rfc("9293", "SHLD-3")
@pytest.mark.rfc("9293", "MAY-1")
def test_text_for_a_user_who_has_gone_is_answered_with_a_reset(tcp: Script) -> None:
    open_actively(tcp)
    tcp.release()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    tcp.inject("+0.1 < P. 1:11(10) ack 2 win 1000")
    tcp.expect("+0 > R 2:2(0)")
    assert tcp.state is S.CLOSED
    assert "tcp_text_after_close" in tcp.drops
    assert tcp.conn.segments_sent == 4  # SYN, ACK, FIN and the reset


@pytest.mark.rfc("2525", "2.17")
@pytest.mark.rfc("9293", "SHLD-3")
def test_leaving_with_data_unread_is_a_reset(tcp: Script) -> None:
    open_actively(tcp)
    tcp.inject("+0 < P. 1:11(10) ack 1 win 1000")
    tcp.release()
    tcp.expect("+0 > R. 1:1(0) ack 11")
    assert tcp.state is S.CLOSED


@pytest.mark.rfc("9293", "3.9.1.5")
def test_writing_after_close_is_a_broken_pipe(tcp: Script) -> None:
    open_actively(tcp)
    tcp.close()
    tcp.expect("+0 > F. 1:1(0) ack 1")
    with pytest.raises(BrokenPipeError):
        tcp.write(1)


def test_data_written_before_the_handshake_is_sent_after_it(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.write(10)
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 1000 <mss 1460>")
    tcp.expect("+0 > P. 1:11(10) ack 1")


def test_text_on_a_syn_ack_is_taken_as_far_as_our_syn_offered_room(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0) win 65535")
    tcp.inject("+0.1 < SP. 0:10(10) ack 1 win 1000 <mss 1460>")
    tcp.expect("+0 > . 1:1(0) ack 11")
    assert len(tcp.read()) == 10


def test_the_owner_hears_of_the_beginning_and_the_end(tcp: Script) -> None:
    close_second(tcp)
    assert tcp.signals == [Signal.ESTABLISHED, Signal.READABLE, Signal.CLOSED]
    assert tcp.conn.error is None
    assert tcp.conn.tcb.timers == [NEVER] * Timer.COUNT
