"""DCTCP's estimate and what it does with it: RFC 8257."""

import pytest
from controls import ISS, MSS, sample

from pystack.tcp.congestion.base import LossSample
from pystack.tcp.congestion.dctcp import Dctcp


class Flow:
    """A control in congestion avoidance, in windows of which some segments are marked."""

    def __init__(self, segments: int = 20) -> None:
        self.control = Dctcp(MSS)
        self.control.on_loss(LossSample(0.0, 2 * segments * MSS))
        self.una = ISS
        self.now = 1.0

    def window(self, marked: int) -> None:
        """Have one window acknowledged; the last `marked` segments of it were."""
        segments = self.control.cwnd_bytes // MSS
        for number in range(segments):
            self.una += MSS
            ece = number >= segments - marked
            nxt = self.una + segments * MSS
            self.control.on_ack(sample(self.now, MSS, ece=ece, snd_una=self.una, snd_nxt=nxt))
        self.now += 0.001


@pytest.mark.rfc("8257", "3.3")
def test_without_marks_alpha_goes_to_nothing() -> None:
    flow = Flow()
    assert flow.control.alpha == 1.0
    flow.window(0)
    flow.window(0)
    assert flow.control.alpha == 15 / 16
    for _ in range(100):
        flow.window(0)
    assert flow.control.alpha < 0.01


@pytest.mark.rfc("8257", "3.3")
def test_alpha_is_a_moving_average_of_the_part_that_is_marked() -> None:
    control = Dctcp(MSS)
    control.on_loss(LossSample(0.0, 40 * MSS))
    control.on_ack(sample(1.0, MSS, snd_una=ISS, snd_nxt=ISS + 10 * MSS))
    for number in range(1, 10):
        ece = number >= 7
        control.on_ack(
            sample(1.0, MSS, ece=ece, snd_una=ISS + number * MSS, snd_nxt=ISS + 20 * MSS)
        )
    assert control.alpha == 1.0  # the window has not ended
    control.on_ack(sample(1.0, 2 * MSS, snd_una=ISS + 11 * MSS, snd_nxt=ISS + 21 * MSS))
    assert control.alpha == pytest.approx(15 / 16 + 1 / 16 * 3 / 12)


@pytest.mark.rfc("8257", "3.3")
def test_the_window_shrinks_by_half_of_alpha_once_per_window() -> None:
    flow = Flow(segments=100)
    flow.control.alpha = 0.2
    flow.control.on_ack(sample(1.0, MSS, ece=True, snd_una=ISS, snd_nxt=ISS + 100 * MSS))
    assert flow.control.cwnd_bytes == flow.control.ssthresh_bytes == 90 * MSS
    for number in range(1, 101):
        flow.control.on_ack(
            sample(1.0, MSS, ece=True, snd_una=ISS + number * MSS, snd_nxt=ISS + 190 * MSS)
        )
    assert flow.control.cwnd_bytes == 90 * MSS
    flow.control.on_ack(
        sample(1.0, MSS, ece=True, snd_una=ISS + 101 * MSS, snd_nxt=ISS + 190 * MSS)
    )
    assert flow.control.cwnd_bytes < 90 * MSS


@pytest.mark.rfc("8257", "3.3")
def test_with_all_marked_it_halves_down_to_two_segments() -> None:
    flow = Flow(segments=16)
    for _ in range(20):
        flow.window(marked=1000)
    assert flow.control.alpha == pytest.approx(1.0)
    assert flow.control.cwnd_bytes == 2 * MSS


@pytest.mark.rfc("8257", "3.4")
def test_a_few_marks_hold_the_window_where_it_is() -> None:
    flow = Flow(segments=40)
    for _ in range(200):
        flow.window(marked=0)
        flow.window(marked=0)
        flow.window(marked=2)
    # A segment a window against alpha / 2 of it every third one: alpha is about 2 in 3 * 40.
    assert 30 * MSS < flow.control.cwnd_bytes < 250 * MSS
    assert flow.control.alpha == pytest.approx(2 * MSS / 3 / flow.control.cwnd_bytes, rel=0.5)


@pytest.mark.rfc("8257", "3.5")
def test_a_loss_halves_whatever_alpha_is() -> None:
    flow = Flow(segments=40)
    flow.control.alpha = 0.01
    flow.control.on_loss(LossSample(1.0, 40 * MSS))
    assert flow.control.cwnd_bytes == 20 * MSS


def test_it_asks_for_ecn() -> None:
    assert Dctcp.wants_ecn
