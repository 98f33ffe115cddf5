"""The end of slow start by delay: RFC 9406."""

from collections.abc import Sequence

import pytest
from controls import ISS, MSS, sample

from pystack.tcp.congestion.base import LossSample
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.hystart import HyStart


class Rounds:
    """A control in rounds of a whole window each, with the round trips that a test names."""

    def __init__(self) -> None:
        self.control = Cubic(MSS)
        self.una = self.nxt = ISS
        self.now = 100.0

    @property
    def hystart(self) -> HyStart:
        """Return what watches the slow start."""
        assert self.control._hystart is not None
        return self.control._hystart

    def round(self, rtts_s: Sequence[float] | float) -> float:
        """Send a window, have it acknowledged segment by segment; return the growth as a factor."""
        before = self.control.cwnd_bytes
        segments = before // MSS
        self.nxt = self.una + segments * MSS
        for number in range(segments):
            self.una += MSS
            rtt_s = rtts_s if isinstance(rtts_s, float) else rtts_s[number % len(rtts_s)]
            # What the ACKs of this round let out goes on top, and is acknowledged in the next.
            nxt = self.nxt + (self.control.cwnd_bytes - before) + (number + 1) * MSS
            self.control.on_ack(sample(self.now, MSS, rtt_s=rtt_s, snd_una=self.una, snd_nxt=nxt))
        self.now += 0.1
        return self.control.cwnd_bytes / before


@pytest.mark.rfc("9406", "4.2")
def test_while_the_round_trip_stays_the_same_slow_start_goes_on() -> None:
    rounds = Rounds()
    assert [rounds.round(0.05) for _ in range(6)] == [2.0] * 6
    assert not rounds.hystart.in_css


@pytest.mark.rfc("9438", "4.10")
@pytest.mark.rfc("9406", "4.2")
@pytest.mark.parametrize(
    ("base_s", "threshold_s"),
    [(0.016, 0.004), (0.064, 0.008), (0.128, 0.016), (0.4, 0.016)],  # an eighth, in bounds
)
def test_a_longer_round_trip_begins_conservative_slow_start(
    base_s: float, threshold_s: float
) -> None:
    for extra_s, expected in ((threshold_s - 0.0005, False), (threshold_s + 0.0005, True)):
        rounds = Rounds()
        rounds.round(base_s)
        rounds.round(base_s)
        rounds.round(base_s + extra_s)
        assert rounds.hystart.in_css is expected


@pytest.mark.rfc("9406", "4.2")
def test_the_shortest_of_eight_decides() -> None:
    rounds = Rounds()
    rounds.round(0.05)
    rounds.round(0.05)
    rounds.round([0.2] * 7 + [0.05])
    assert not rounds.hystart.in_css
    rounds.control.on_ack(sample(rounds.now, MSS, rtt_s=0.2, snd_una=rounds.una + 1))
    assert not rounds.hystart.in_css  # fewer than eight in this round


@pytest.mark.rfc("9406", "4.2")
def test_conservative_slow_start_grows_by_a_quarter_and_ends_after_five_rounds() -> None:
    rounds = Rounds()
    rounds.round(0.05)
    rounds.round(0.05)
    rounds.round(0.06)
    assert rounds.hystart.in_css
    for _ in range(4):
        assert rounds.round(0.06) == pytest.approx(1.25, abs=0.02)
    rounds.round(0.06)
    assert rounds.control.ssthresh_bytes <= rounds.control.cwnd_bytes
    assert rounds.control.k == 0.0  # RFC 9438 section 4.10
    assert rounds.round(0.06) < 1.1


@pytest.mark.rfc("9406", "4.2")
def test_if_the_delay_goes_back_it_was_jitter_and_slow_start_goes_on() -> None:
    rounds = Rounds()
    rounds.round(0.05)
    rounds.round(0.05)
    rounds.round(0.06)
    rounds.round(0.06)
    assert rounds.hystart.in_css
    rounds.round(0.055)
    assert not rounds.hystart.in_css
    assert rounds.round(0.055) == 2.0


@pytest.mark.rfc("9406", "4.2")
def test_a_loss_ends_it() -> None:
    rounds = Rounds()
    rounds.round(0.05)
    rounds.control.on_loss(LossSample(rounds.now, rounds.control.cwnd_bytes))
    assert rounds.control._hystart is None
    assert rounds.control.cwnd_bytes == rounds.control.ssthresh_bytes


@pytest.mark.rfc("9406", "4.3")
def test_only_the_first_slow_start_is_watched() -> None:
    rounds = Rounds()
    rounds.control.on_rto(rounds.now, 1000 * MSS)
    for rtt_s in (0.05, 0.05, 0.2, 0.2):
        assert rounds.round(rtt_s) == 2.0
