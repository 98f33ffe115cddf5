"""The retransmission timer: RFC 6298, with the numbers worked out by hand."""

import errno

import pytest
from script import START, Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER, Timer


@pytest.mark.rfc("6298", "2.1")
def test_until_the_first_measurement_the_timeout_is_one_second() -> None:
    assert RttEstimator().rto_s == 1.0


@pytest.mark.rfc("6298", "2.2")
def test_the_first_measurement() -> None:
    rtt = RttEstimator()
    rtt.sample(0.5)
    assert (rtt.srtt_s, rtt.rttvar_s, rtt.rto_s) == (0.5, 0.25, 1.5)


@pytest.mark.rfc("6298", "2.3")
@pytest.mark.rfc("9293", "MUST-18")
def test_the_later_measurements() -> None:
    rtt = RttEstimator()
    rtt.sample(0.5)
    rtt.sample(1.0)
    # RTTVAR = 3/4 * 0.25 + 1/4 * |0.5 - 1.0|, SRTT = 7/8 * 0.5 + 1/8 * 1.0
    assert (rtt.srtt_s, rtt.rttvar_s, rtt.rto_s) == (0.5625, 0.3125, 1.8125)
    assert rtt.min_rtt_s == 0.5


def test_the_variance_counts_for_200_ms_at_least() -> None:
    rtt = RttEstimator()
    for _ in range(100):
        rtt.sample(0.25)
    assert rtt.rto_s == pytest.approx(0.45)


@pytest.mark.rfc("6298", "2.5")
def test_a_minute_is_the_most() -> None:
    rtt = RttEstimator()
    rtt.sample(100.0)
    assert rtt.rto_s == 60.0


@pytest.mark.rfc("6298", "5.5")
@pytest.mark.rfc("9293", "MUST-22")
def test_a_syn_is_sent_at_intervals_that_double_and_given_up(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0) <mss 1460,wscale 5>")
    for span in (1, 2, 4, 8, 16, 32, 60):
        tcp.expect(f"+{span} > S 0:0(0) <mss 1460,wscale 5>")
    tcp.advance("+59.999")
    assert tcp.state is TcpState.SYN_SENT
    tcp.advance("+0.001")
    assert tcp.conn.error == errno.ETIMEDOUT
    assert tcp.now == START + 183


def test_a_syn_ack_is_sent_six_times_and_given_up(tcp: Script) -> None:
    tcp.listen("+0 < S 0:0(0) win 1000 <mss 1460>")
    tcp.expect("+0 > S. 0:0(0) ack 1")
    for span in (1, 2, 4, 8, 16):
        tcp.expect(f"+{span} > S. 0:0(0) ack 1")
    tcp.advance("+32")
    assert tcp.state is TcpState.CLOSED


@pytest.mark.rfc("6298", "5.4")
@pytest.mark.rfc("9293", "MUST-19")
def test_the_first_segment_is_sent_again_at_intervals_that_double(tcp: Script) -> None:
    tcp.established()  # RTT 0.1: RTO 0.1 + 0.2
    tcp.write(3000)
    tcp.expect("+0 > . 1:1461(1460) ack 1")
    tcp.expect("+0 > . 1461:2921(1460) ack 1")
    tcp.expect("+0 > P. 2921:3001(80) ack 1")
    for span in ("0.3", "0.6", "1.2", "2.4", "4.8", "9.6", "19.2", "38.4", "60", "60"):
        tcp.expect(f"+{span} > . 1:1461(1460) ack 1")


@pytest.mark.rfc("9293", "MUST-20")
@pytest.mark.rfc("9293", "SHLD-11")
def test_after_fifteen_times_the_connection_is_given_up(tcp: Script) -> None:
    tcp.established()
    tcp.write(100)
    tcp.drain()
    tcp.advance("+556.499")  # 0.3 + 0.6 + ... + 38.4, and 8 times 60
    assert len(tcp.drain()) == 15
    assert tcp.state is TcpState.ESTABLISHED
    tcp.advance("+0.001")
    assert tcp.conn.error == errno.ETIMEDOUT


def test_what_a_user_who_has_gone_left_is_given_up_after_eight_times(tcp: Script) -> None:
    tcp.established()
    tcp.write(100)
    tcp.release()
    tcp.drain()
    tcp.advance("+136.6")  # 0.3 + 0.6 + ... + 38.4, and 60
    assert len(tcp.drain()) == 8
    assert tcp.state is TcpState.CLOSED


@pytest.mark.rfc("9293", "MUST-21")
def test_the_number_of_times_is_the_users_choice() -> None:
    tcp = Script(TcpConfig(retries=2))
    tcp.established()
    tcp.write(100)
    tcp.drain()
    tcp.advance("+2.1")  # 0.3 + 0.6 + 1.2
    assert tcp.conn.error == errno.ETIMEDOUT


@pytest.mark.rfc("6298", "3")
@pytest.mark.rfc("9293", "MUST-18")
def test_what_was_sent_twice_measures_nothing_and_the_back_off_stays(tcp: Script) -> None:
    tcp.established()
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.expect("+0.3 > P. 1:101(100) ack 1")
    tcp.inject("+0.5 < . 1:1(0) ack 101 win 65535")
    assert tcp.conn.rtt.srtt_s == pytest.approx(0.1)
    tcp.write(100)
    tcp.expect("+0 > P. 101:201(100) ack 1")
    tcp.expect_nothing("+0.55")  # the next one has the timeout that was backed off to, 0.6 s
    tcp.inject("+0 < . 1:1(0) ack 201 win 65535")
    # measured: SRTT = 7/8 * 0.1 + 1/8 * 0.55, RTTVAR = 3/4 * 0.05 + 1/4 * 0.45
    assert tcp.conn.rtt.srtt_s == pytest.approx(0.15625)
    assert tcp.conn.rtt.rto_s == pytest.approx(0.15625 + 4 * 0.15)


@pytest.mark.rfc("6298", "5")
def test_a_round_trip_that_grows_beyond_the_timeout_is_learned(tcp: Script) -> None:
    # Karn's example: with the back-off forgotten at each ACK, every segment would be sent twice and
    # more for ever, for none would measure anything.
    tcp.established()
    at, again = 1, []
    for _ in range(6):
        tcp.write(100)
        tcp.advance("+2")
        again.append(len(tcp.drain()) - 1)
        at += 100
        tcp.inject(f"+0 < . 1:1(0) ack {at} win 65535")
    assert again == [2, 1, 0, 0, 0, 0]


@pytest.mark.rfc("6298", "5.7")
def test_after_a_lost_syn_the_first_timeout_is_three_seconds(tcp: Script) -> None:
    tcp.connect()
    tcp.expect("+0 > S 0:0(0)")
    tcp.expect("+1 > S 0:0(0)")
    tcp.inject("+0.1 < S. 0:0(0) ack 1 win 1000 <mss 1460>")
    tcp.expect("+0 > . 1:1(0) ack 1")
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.expect("+3 > P. 1:101(100) ack 1")


@pytest.mark.rfc("6298", "5.2")
def test_the_timer_stops_when_all_is_acknowledged(tcp: Script) -> None:
    tcp.established()
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 101 win 65535")
    assert tcp.conn.tcb.timers == [NEVER] * Timer.COUNT


@pytest.mark.rfc("6298", "5.3")
def test_the_timer_starts_afresh_when_some_is_acknowledged(tcp: Script) -> None:
    tcp.established()
    tcp.write(2920)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 65535")
    tcp.expect("+0.3 > P. 1461:2921(1460) ack 1")


@pytest.mark.rfc("6298", "5.1")
def test_a_duplicate_ack_does_not_put_the_timer_off(tcp: Script) -> None:
    tcp.established()
    tcp.write(1460)
    tcp.drain()
    tcp.inject("+0.2 < . 1:1(0) ack 1 win 65535")
    tcp.expect("+0.1 > P. 1:1461(1460) ack 1")


def test_a_lost_fin_is_sent_again_with_what_is_before_it(tcp: Script) -> None:
    tcp.established()
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    tcp.close()
    tcp.expect("+0 > F. 101:101(0) ack 1")
    tcp.expect("+0.3 > FP. 1:101(100) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 101 win 1000")
    tcp.expect("+0.6 > F. 101:101(0) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 102 win 1000")
    assert tcp.state is TcpState.FIN_WAIT_2


def test_a_second_timeout_does_not_count_what_was_lost_before(tcp: Script) -> None:
    tcp.conn.config = TcpConfig(congestion="newreno", no_delay=True)
    tcp.established()
    tcp.write(10 * 1460)
    assert len(tcp.drain()) == 10
    tcp.advance("+1")  # all ten are lost: one goes again, the rest would wait for room
    assert tcp.conn.congestion.ssthresh_bytes == 5 * 1460
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 65535")  # the first is there now; two go again
    cwnd_bytes = tcp.conn.congestion.cwnd_bytes
    assert tcp.conn.tcb.flight_size_bytes == 9 * 1460 > cwnd_bytes
    tcp.drain()
    tcp.advance("+10")
    tcp.drain()
    # Half of what was on the way, two segments at least; not half of nine.
    assert tcp.conn.congestion.ssthresh_bytes == 2 * 1460
