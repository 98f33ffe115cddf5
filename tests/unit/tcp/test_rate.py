"""Delivery rate estimation: draft-ietf-ccwg-bbr, section 4.1."""

import pytest
from script import Script

from pystack.tcp.config import TcpConfig
from pystack.tcp.congestion.base import AckSample, LostSegment, RateSample
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.rate import RateEstimator
from pystack.tcp.scoreboard import Scoreboard

MSS = 1000


class Rated(NewReno):
    """A control that keeps what it is told of rates."""

    __slots__ = ("lost", "samples")

    name = "rated"
    wants_rate = True

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self.samples: list[RateSample] = []
        self.lost: list[LostSegment] = []

    def on_ack(self, sample: AckSample) -> None:
        assert sample.rate is not None
        self.samples.append(sample.rate)
        super().on_ack(sample)

    def on_segment_lost(self, lost: LostSegment) -> None:
        self.lost.append(lost)


def opened(*, sack: bool = True) -> tuple[Script, Rated]:
    tcp = Script(TcpConfig(congestion="newreno", timestamps=False), mtu_mss=MSS)
    tcp.established(options="mss 1000,sackOK" if sack else "mss 1000", win=65535)
    control = Rated(MSS)
    tcp.conn.congestion = control
    tcp.conn.rates = RateEstimator(tcp.now)
    tcp.conn.recovery.measure(tcp.conn.rates)
    tcp.conn.tcb.no_delay = True
    return tcp, control


@pytest.mark.parametrize("sack", [True, False])
def test_the_rate_is_what_was_delivered_over_the_time_it_took(sack: bool) -> None:
    tcp, control = opened(sack=sack)
    tcp.write(100 * MSS)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 2001 win 65535")
    tcp.drain()
    tcp.inject("+0.02 < . 1:1(0) ack 10001 win 65535")
    tcp.drain()
    first, second = control.samples
    assert (first.newly_delivered_bytes, second.newly_delivered_bytes) == (2000, 8000)
    assert first.delivery_rate_bps == pytest.approx(2000 * 8 / 0.1)
    assert second.delivery_rate_bps == pytest.approx(10000 * 8 / 0.12)
    assert second.prior_delivered_bytes == 0
    assert second.tx_in_flight_bytes == 10 * MSS
    # What was sent at the first ACK: 2000 had been delivered then, and nothing else since but 8000
    tcp.inject("+0.08 < . 1:1(0) ack 14001 win 65535")
    tcp.drain()
    assert control.samples[-1].prior_delivered_bytes == 2000
    assert control.samples[-1].delivery_rate_bps == pytest.approx(12000 * 8 / 0.1)


def test_what_is_selectively_acknowledged_is_delivered_and_lost_segments_are_told() -> None:
    tcp, control = opened()
    tcp.write(100 * MSS)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 1 win 65535 <sack 1001:4001>")
    tcp.drain()
    (sample,) = control.samples
    assert sample.newly_delivered_bytes == 3000
    assert sample.newly_lost_bytes == 1000
    assert sample.lost_bytes == 1000
    assert sample.in_flight_bytes == 6000
    (lost,) = control.lost
    assert (lost.seq, lost.size_bytes) == (tcp.conn.tcb.iss + 1, 1000)
    assert (lost.tx_in_flight_bytes, lost.lost_bytes) == (1000, 1000)


def test_where_the_user_had_no_more_the_sample_says_so() -> None:
    tcp, control = opened()
    tcp.write(2 * MSS)
    tcp.drain()
    tcp.write(2 * MSS)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 2001 win 65535")
    tcp.inject("+0 < . 1:1(0) ack 4001 win 65535")
    assert [sample.app_limited for sample in control.samples] == [False, True]


def test_after_that_has_been_delivered_a_full_flight_is_the_path_s_rate_again() -> None:
    tcp, control = opened()
    tcp.write(2 * MSS)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 2001 win 65535")
    tcp.write(100 * MSS)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 12001 win 65535")
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 22001 win 65535")
    tcp.drain()
    assert not control.samples[-1].app_limited


def test_an_interval_shorter_than_any_round_trip_means_nothing() -> None:
    rates, board = RateEstimator(0.0), Scoreboard()
    record = board.sent(0, MSS, 0.0)
    rates.sent(record, MSS, 0.0)
    rates.delivered(record, 0.001)
    sample = rates.sample(0, 0.1, 0.001)
    assert sample.delivery_rate_bps is None
    assert sample.newly_delivered_bytes == MSS


def test_what_went_out_slower_than_it_arrived_limits_the_rate() -> None:
    rates, board = RateEstimator(0.0), Scoreboard()
    first, second = board.sent(0, MSS, 0.0), board.sent(MSS, 2 * MSS, 1.0)
    rates.sent(first, MSS, 0.0)
    rates.sent(second, 2 * MSS, 1.0)
    rates.delivered(first, 1.1)
    rates.sample(MSS, 0.1, 1.1)
    rates.delivered(second, 1.1)  # the ACKs came together
    assert rates.sample(0, 0.1, 1.1).delivery_rate_bps == pytest.approx(2 * MSS * 8 / 1.1)
