"""The sender and the peer's window: zero windows, probes, silly windows, Nagle (RFC 9293)."""

import errno

import pytest
from script import Script
from test_states import open_actively

from pystack.tcp.config import TcpConfig
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER, Timer
from pystack.wire.tcp import PSH


@pytest.mark.rfc("9293", "MUST-36")
@pytest.mark.rfc("9293", "SHLD-29")
@pytest.mark.rfc("9293", "SHLD-30")
def test_a_zero_window_is_probed_ever_more_rarely(tcp: Script) -> None:
    tcp.established(win=0)  # RTO: 0.1 + 0.2
    tcp.write(10)
    for span in ("0.3", "0.6", "1.2", "2.4", "4.8", "9.6", "19.2", "38.4", "60", "60"):
        tcp.expect(f"+{span} > . 0:0(0) ack 1")
    tcp.inject("+1 < . 1:1(0) ack 1 win 1000")
    tcp.expect("+0 > P. 1:11(10) ack 1")


@pytest.mark.rfc("9293", "MUST-37")
def test_probing_goes_on_for_ever_while_the_peer_answers(tcp: Script) -> None:
    tcp.established(win=0)
    tcp.write(10)
    for _ in range(50):
        tcp.advance("+60")
        assert len(tcp.drain()) >= 1
        tcp.inject("+0 < . 1:1(0) ack 1 win 0")
    assert tcp.state is TcpState.ESTABLISHED


def test_probing_ends_when_nobody_answers(tcp: Script) -> None:
    tcp.established(win=0)
    tcp.write(10)
    tcp.advance("+556.499")  # 0.3 + 0.6 + ... + 38.4, and 8 times 60
    assert tcp.state is TcpState.ESTABLISHED
    assert len(tcp.drain()) == 15
    tcp.advance("+0.001")
    assert tcp.state is TcpState.CLOSED
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("6429", "3")
def test_a_zero_window_does_not_hold_what_a_user_who_has_gone_left_behind(tcp: Script) -> None:
    tcp.established(win=0)
    tcp.write(1000)
    tcp.release()
    while tcp.state is not TcpState.CLOSED:
        tcp.advance("+1")
        if tcp.drain():
            tcp.inject("+0 < . 1:1(0) ack 1 win 0")
        assert tcp.now < 1200
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("9293", "MUST-34")
@pytest.mark.rfc("9293", "MUST-35")
@pytest.mark.rfc("9293", "SHLD-17")
def test_a_window_taken_back_does_not_end_the_connection_while_the_peer_answers(
    tcp: Script,
) -> None:
    tcp.established()
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    ssthresh_bytes = tcp.conn.congestion.ssthresh_bytes
    for _ in range(40):
        tcp.inject("+0.01 < . 1:1(0) ack 1 win 0")
        tcp.advance("+60")
        assert tcp.drain()
    assert tcp.state is TcpState.ESTABLISHED
    assert tcp.conn.congestion.ssthresh_bytes == ssthresh_bytes  # it is not congestion
    tcp.inject("+0 < . 1:1(0) ack 101 win 1000")
    assert tcp.conn.next_timeout() == NEVER


@pytest.mark.rfc("9293", "3.8.6")
def test_the_window_is_used_up_and_not_exceeded(tcp: Script) -> None:
    tcp.established(win=3000)
    tcp.write(5000)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect("+0 > P. 1461:2921(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 2921 win 3000")
    tcp.expect("+0 > . 2921:4381(1460) ack 1")
    tcp.expect("+0 > P. 4381:5001(620) ack 1")


@pytest.mark.rfc("9293", "MUST-38")
def test_a_silly_window_is_waited_out_for_as_long_as_the_override(tcp: Script) -> None:
    tcp.established(win=1000)
    tcp.write(5000)
    tcp.expect("+0 > P. 1:1001(1000) ack 1")  # at least half of the largest window
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 400")
    tcp.expect("+0.3 > . 1001:1401(400) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 1401 win 500")
    tcp.expect("+0 > P. 1401:1901(500) ack 1")


@pytest.mark.rfc("9293", "3.8.6.1")
def test_a_window_that_only_an_old_segment_tells_is_not_taken(tcp: Script) -> None:
    tcp.established(win=1000)
    tcp.inject("+0.1 < P. 1:11(10) ack 1 win 2000")
    tcp.expect("+0.04 > . 1:1(0) ack 11")
    tcp.inject("+0.1 < P. 1:15(14) ack 1 win 0")  # SND.WL1 is cut to where it counts
    tcp.expect("+0 > . 1:1(0) ack 15")
    tcp.inject("+0.1 < . 11:11(0) ack 1 win 700")
    tcp.drain()
    assert tcp.conn.tcb.snd_wnd == 0


def test_a_fin_waits_for_a_window_too_and_is_not_lost(tcp: Script) -> None:
    tcp.established(win=100)
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.close()
    tcp.inject("+0.1 < . 1:1(0) ack 101 win 0")
    tcp.expect("+0.3 > . 100:100(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 101 win 100")
    tcp.expect("+0 > F. 101:101(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 102 win 0")
    assert tcp.state is TcpState.FIN_WAIT_2
    assert tcp.conn.next_timeout() == NEVER


@pytest.mark.rfc("9293", "SHLD-7")
@pytest.mark.rfc("9293", "MAY-16")
def test_nagle_holds_a_short_segment_while_another_is_on_its_way(tcp: Script) -> None:
    tcp.established()
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1")
    tcp.write(10)
    tcp.write(10)
    tcp.expect_nothing("+0.09")
    tcp.inject("+0.01 < . 1:1(0) ack 11 win 65535")
    tcp.expect("+0 > P. 11:31(20) ack 1")


def test_nagle_as_minshall_has_it_does_not_wait_for_full_segments(tcp: Script) -> None:
    tcp.established()
    tcp.write(1460)
    tcp.expect("+0 > P. 1:1461(1460) ack 1")
    tcp.write(10)
    tcp.expect("+0 > P. 1461:1471(10) ack 1")
    tcp.write(10)
    tcp.expect_nothing()


@pytest.mark.rfc("9293", "MUST-17")
def test_no_delay_turns_nagle_off() -> None:
    tcp = Script(TcpConfig(no_delay=True))
    tcp.established()
    for at in range(1, 51, 10):
        tcp.write(10)
        tcp.expect(f"+0 > P. {at}:{at + 10}(10) ack 1")


def test_the_end_does_not_wait_for_nagle(tcp: Script) -> None:
    tcp.established()
    tcp.write(10)
    tcp.expect("+0 > P. 1:11(10) ack 1")
    tcp.write(10)
    tcp.close()
    tcp.expect("+0 > FP. 11:21(10) ack 1")
    assert tcp.state is TcpState.FIN_WAIT_1


@pytest.mark.rfc("9293", "MUST-61")
@pytest.mark.rfc("9293", "SHLD-28")
def test_push_is_on_the_last_segment_of_what_was_written(tcp: Script) -> None:
    tcp.established()
    tcp.write(2920)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect("+0 > P. 1461:2921(1460) ack 1")


def test_super_segments_are_whole_segments_but_for_the_last() -> None:
    tcp = Script(gso_max_bytes=5000)
    tcp.established()
    tcp.write(10_000)
    tcp.expect("+0 > P. 1:4381(4380) ack 1 gso 1460")
    tcp.expect("+0 > P. 4381:8761(4380) ack 1 gso 1460")
    tcp.expect("+0 > P. 8761:10001(1240) ack 1")
    tcp.nothing_left()


def test_a_super_segment_fits_both_windows_and_has_its_tail_only_at_the_end() -> None:
    tcp = Script(gso_max_bytes=65_000)
    tcp.established(win=4000)
    tcp.write(5000)
    tcp.expect("+0 > P. 1:2921(2920) ack 1 gso 1460")
    tcp.inject("+0.1 < . 1:1(0) ack 2921 win 65535")
    tcp.expect("+0 > P. 2921:5001(2080) ack 1 gso 1460")
    tcp.close()
    tcp.expect("+0 > F. 5001:5001(0) ack 1")
    tcp.nothing_left()


def test_what_was_a_super_segment_is_sent_again_piece_by_piece() -> None:
    tcp = Script(gso_max_bytes=65_000)
    tcp.established()
    tcp.write(4380)
    tcp.expect("+0 > P. 1:4381(4380) ack 1 gso 1460")
    tcp.expect("+0.3 > . 1:1461(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 65535")
    tcp.expect("+0 > . 1461:2921(1460) ack 1")
    tcp.expect("+0 > P. 2921:4381(1460) ack 1")


@pytest.mark.rfc("9293", "3.9.1")
def test_the_send_buffer_takes_what_fits_and_says_when_there_is_room_again() -> None:
    tcp = Script(TcpConfig(send_buffer_bytes=4000))
    tcp.established(win=1000)
    assert tcp.write(5000) == 4000
    tcp.expect("+0 > P. 1:1001(1000) ack 1")
    tcp.signals.clear()
    tcp.inject("+0.1 < . 1:1(0) ack 501 win 0")
    assert not tcp.signals
    tcp.inject("+0.01 < . 1:1(0) ack 1001 win 0")
    assert [signal.value for signal in tcp.signals] == ["writable"]


def test_persist_and_retransmission_are_never_armed_together(tcp: Script) -> None:
    tcp.established(win=1000)
    tcp.write(2000)
    tcp.expect("+0 > P. 1:1001(1000) ack 1")
    timers = tcp.conn.tcb.timers
    assert timers[Timer.RETRANSMIT] == pytest.approx(tcp.now + 0.3)
    assert timers[Timer.PERSIST] == NEVER
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 0")
    assert timers[Timer.RETRANSMIT] == NEVER
    assert timers[Timer.PERSIST] == pytest.approx(tcp.now + 0.3)
    tcp.inject("+0.1 < . 1:1(0) ack 1001 win 1000")
    tcp.expect("+0 > P. 1001:2001(1000) ack 1")
    assert timers[Timer.PERSIST] == NEVER


def test_a_small_write_goes_out_in_the_window_of_the_syn(tcp: Script) -> None:
    open_actively(tcp)
    tcp.write(1000)
    tcp.expect("+0 > P. 1:1001(1000) ack 1")
    tcp.write(1)
    tcp.expect_nothing()


def test_text_is_pushed_at_its_end_and_whenever_half_a_window_was_not() -> None:
    tcp = Script(TcpConfig(congestion="fixed:20", timestamps=False, sack=False))
    tcp.established(win=8000)
    tcp.write(7300)
    pushed = [bool(segment.flags & PSH) for segment in tcp.drain()]
    assert pushed == [False, False, True, False, True]


@pytest.mark.rfc("9293", "3.8.6.2.1")
def test_a_window_that_stays_small_is_used_each_time_after_the_same_while() -> None:
    tcp = Script()
    tcp.established(win=2920)
    tcp.write(8000)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.drain()
    at = 2921
    tcp.inject("+0.1 < . 1:1(0) ack 2921 win 500")
    for _ in range(6):  # each time after one time-out
        tcp.expect_nothing("+0.299")
        tcp.advance("+0.001")
        (segment,) = tcp.drain()
        at += len(segment.payload)
        tcp.inject(f"+0.1 < . 1:1(0) ack {at} win 500")
    assert at == 2921 + 6 * 500


@pytest.mark.rfc("9293", "3.8.6.2.1")
def test_no_window_waits_longer_than_a_second_for_less_than_a_segment() -> None:
    tcp = Script()
    tcp.established(win=2920, rtt="0.9")  # RTO: 2.7 s
    tcp.write(8000)
    assert len(tcp.drain()) == 2
    tcp.inject("+0.9 < . 1:1(0) ack 2921 win 500")
    tcp.expect("+1 > . 2921:3421(500) ack 1")


@pytest.mark.rfc("5681", "3.1")
def test_a_window_of_less_than_a_segment_lets_one_go_where_nothing_is_on_the_way() -> None:
    tcp = Script()
    tcp.established()
    tcp.conn.congestion.cwnd_bytes = 548  # type: ignore[misc]
    tcp.write(3000)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect_nothing("+0.1")
    tcp.inject("+0 < . 1:1(0) ack 1461 win 65535")
    tcp.expect("+0 > . 1461:2921(1460) ack 1")


def test_half_of_the_largest_window_goes_unpushed_and_a_byte_more_does_not() -> None:
    tcp = Script()
    tcp.established(win=2920)
    tcp.write(8000)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect("+0 > P. 1461:2921(1460) ack 1")
    tcp = Script()
    tcp.established(win=2919)
    tcp.write(8000)
    tcp.expect("+0 > P. 1:1461(1460) ack 1")
