"""Fast retransmit and fast recovery, limited transmit: RFC 5681, 6582, 3042."""

import pytest
from script import Script

MSS = 1460


def full_flight(tcp: Script) -> None:
    """Send ten segments, 1 to 14601, with more behind them."""
    tcp.established()
    tcp.write(60_000)
    assert len(tcp.drain()) == 10


def duplicate(tcp: Script, ack: int = 1) -> None:
    tcp.inject(f"+0 < . 1:1(0) ack {ack} win 65535")


def to_fast_retransmit(tcp: Script) -> None:
    full_flight(tcp)
    duplicate(tcp)
    tcp.drain()
    duplicate(tcp)
    tcp.drain()
    duplicate(tcp)
    tcp.expect("+0 > . 1:1461(1460) ack 1")


@pytest.mark.rfc("3042", "2")
def test_the_first_two_duplicates_let_a_new_segment_out_each(tcp: Script) -> None:
    full_flight(tcp)
    duplicate(tcp)
    tcp.expect("+0 > . 14601:16061(1460) ack 1")
    duplicate(tcp)
    tcp.expect("+0 > . 16061:17521(1460) ack 1")


@pytest.mark.rfc("5681", "3.2")
def test_the_third_duplicate_sends_the_first_segment_again(tcp: Script) -> None:
    to_fast_retransmit(tcp)
    tcp.expect_nothing()
    # Half of FlightSize, without what limited transmit has added to it
    assert tcp.conn.congestion.ssthresh_bytes == 5 * MSS
    assert tcp.conn.congestion.cwnd_bytes == 5 * MSS


@pytest.mark.rfc("5681", "3.2")
def test_each_further_duplicate_is_a_segment_that_has_left(tcp: Script) -> None:
    to_fast_retransmit(tcp)  # 12 segments on the way, 3 of them known gone; room for 5
    for _ in range(4):
        duplicate(tcp)
        tcp.expect_nothing()
    for at in range(17521, 17521 + 4 * MSS, MSS):
        duplicate(tcp)
        tcp.expect(f"+0 > . {at}:{at + MSS}(1460) ack 1")


@pytest.mark.rfc("6582", "3.2")
def test_a_full_ack_ends_recovery(tcp: Script) -> None:
    to_fast_retransmit(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 17521 win 65535")
    assert len(tcp.drain()) == 5
    assert tcp.conn.congestion.cwnd_bytes == 5 * MSS
    assert not tcp.conn.recovery.in_recovery


@pytest.mark.rfc("5681", "4.3")
@pytest.mark.rfc("6582", "3.2")
def test_a_partial_ack_names_the_next_hole(tcp: Script) -> None:
    to_fast_retransmit(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 2921 win 65535")
    tcp.expect("+0 > . 2921:4381(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 5841 win 65535")
    tcp.expect("+0 > . 5841:7301(1460) ack 1")
    tcp.drain()
    assert tcp.conn.recovery.in_recovery
    tcp.inject("+0.1 < . 1:1(0) ack 17521 win 65535")
    tcp.drain()
    assert not tcp.conn.recovery.in_recovery
    assert tcp.conn.congestion.ssthresh_bytes == 5 * MSS  # one loss, one reduction


@pytest.mark.rfc("6582", "3.2")
def test_only_the_first_partial_ack_starts_the_timer_afresh(tcp: Script) -> None:
    to_fast_retransmit(tcp)
    tcp.inject("+0.1 < . 1:1(0) ack 2921 win 65535")  # the timer: 0.3 s from here
    tcp.drain()
    tcp.inject("+0.2 < . 1:1(0) ack 4381 win 65535")
    tcp.drain()
    tcp.expect("+0.1 > . 4381:5841(1460) ack 1")
    assert not tcp.conn.recovery.in_recovery


@pytest.mark.rfc("6582", "4")
def test_after_a_timeout_duplicates_of_what_was_sent_before_it_start_nothing(tcp: Script) -> None:
    full_flight(tcp)
    tcp.expect("+0.3 > . 1:1461(1460) ack 1")
    assert tcp.conn.congestion.cwnd_bytes == MSS
    for _ in range(6):
        duplicate(tcp)
        tcp.expect_nothing()


@pytest.mark.rfc("5681", "3.1")
def test_after_a_timeout_all_is_sent_again_in_slow_start(tcp: Script) -> None:
    full_flight(tcp)
    tcp.expect("+0.3 > . 1:1461(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 65535")
    tcp.expect("+0 > . 1461:2921(1460) ack 1")
    tcp.expect("+0 > . 2921:4381(1460) ack 1")
    tcp.inject("+0.1 < . 1:1(0) ack 14601 win 65535")  # the rest had arrived
    assert [segment.seq - tcp.conn.tcb.iss for segment in tcp.drain()] == [14601, 16061, 17521]


@pytest.mark.rfc("5681", "2")
@pytest.mark.parametrize(
    "line",
    [
        "+0 < P. {at}:{end}(10) ack 1 win 65535",  # it has text
        "+0 < . 1:1(0) ack 1 win {win}",  # it changes the window
    ],
)
def test_what_is_no_duplicate_does_not_count(line: str, tcp: Script) -> None:
    full_flight(tcp)
    for number in range(5):
        at = 1 + 10 * number
        tcp.inject(line.format(at=at, end=at + 10, win=65534 - number))
    assert not tcp.conn.recovery.in_recovery
    assert tcp.conn.retransmits == 0


def test_with_nothing_on_the_way_there_are_no_duplicates(tcp: Script) -> None:
    tcp.established()
    for _ in range(5):
        duplicate(tcp)
    tcp.write(100)
    tcp.expect("+0 > P. 1:101(100) ack 1")
    assert not tcp.conn.recovery.in_recovery


@pytest.mark.rfc("5681", "7")
def test_more_duplicates_than_segments_gain_nothing(tcp: Script) -> None:
    to_fast_retransmit(tcp)
    sent = 0
    for _ in range(1000):
        duplicate(tcp)
        sent += len(tcp.drain())
    # Each claims that one has left, and each new one may be claimed: one for one, no more.
    assert sent <= 1000
    assert tcp.conn.recovery.pipe_bytes() >= 0


def test_a_lost_retransmission_is_found_by_the_timer(tcp: Script) -> None:
    to_fast_retransmit(tcp)
    tcp.expect("+0.3 > . 1:1461(1460) ack 1")
    assert tcp.conn.congestion.cwnd_bytes == MSS
