"""Slow start, congestion avoidance, CUBIC's curve: RFC 5681, 6928, 9438."""

import pytest
from script import Script

from pystack.core.errors import ConfigError
from pystack.tcp.congestion.base import AckSample, CongestionControl, LossSample
from pystack.tcp.congestion.cubic import Cubic
from pystack.tcp.congestion.fixed import Fixed
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.congestion.registry import congestion_control

MSS = 1460
CONTROLS = [NewReno, Cubic]


def sample(now: float, acked_bytes: int, *, rtt_s: float = 0.1, limited: bool = True) -> AckSample:
    return AckSample(now, acked_bytes, 100 * MSS, rtt_s, rtt_s, limited, False)


def one_window(control: CongestionControl, now: float, rtt_s: float = 0.1) -> None:
    """Acknowledge a whole window, a segment at a time, spread over one round trip."""
    segments = control.cwnd_bytes // MSS
    for number in range(segments):
        control.on_ack(sample(now + rtt_s * number / segments, MSS, rtt_s=rtt_s))


@pytest.mark.rfc("6928", "2")
@pytest.mark.parametrize("mss", [(536, 5360), (1460, 14600), (4000, 14600), (8960, 17920)])
@pytest.mark.parametrize("control", CONTROLS)
def test_the_initial_window(control: type[NewReno | Cubic], mss: tuple[int, int]) -> None:
    assert control(mss[0]).cwnd_bytes == mss[1]


@pytest.mark.rfc("6928", "2")
def test_ten_segments_go_out_before_the_first_ack(tcp: Script) -> None:
    tcp.established()
    tcp.write(30_000)
    assert [len(segment.payload) for segment in tcp.drain()] == [MSS] * 10


@pytest.mark.rfc("5681", "3.1")
def test_in_slow_start_each_ack_lets_two_segments_out(tcp: Script) -> None:
    tcp.established()
    tcp.write(30_000)
    tcp.drain()
    tcp.inject("+0.1 < . 1:1(0) ack 1461 win 65535")
    tcp.expect("+0 > . 14601:16061(1460) ack 1")
    tcp.expect("+0 > . 16061:17521(1460) ack 1")


@pytest.mark.parametrize("control", CONTROLS)
def test_in_slow_start_a_window_doubles_each_round_trip(control: type[NewReno | Cubic]) -> None:
    made = control(MSS)
    one_window(made, 0.0)
    assert made.cwnd_bytes == 20 * MSS


@pytest.mark.rfc("5681", "3.1")
def test_in_congestion_avoidance_a_window_grows_by_a_segment_each_round_trip() -> None:
    control = NewReno(MSS)
    control.on_loss(LossSample(0.0, 40 * MSS))
    assert control.cwnd_bytes == control.ssthresh_bytes == 20 * MSS
    for turn in range(1, 6):
        one_window(control, 0.1 * turn)
        assert control.cwnd_bytes == (20 + turn) * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize("control", CONTROLS)
def test_the_threshold_is_two_segments_at_least(control: type[NewReno | Cubic]) -> None:
    made = control(MSS)
    made.on_loss(LossSample(0.0, MSS))
    assert made.cwnd_bytes == 2 * MSS


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.parametrize(("control", "after"), [(NewReno, 20 * MSS), (Cubic, 28 * MSS)])
def test_a_timeout_starts_again_from_one_segment(
    control: type[NewReno | Cubic], after: int
) -> None:
    made = control(MSS)
    made.on_rto(0.0, 40 * MSS)
    assert (made.cwnd_bytes, made.ssthresh_bytes) == (MSS, after)
    made.on_ack(sample(0.1, 10 * MSS))  # one ACK for many, after a time-out
    assert made.cwnd_bytes == 2 * MSS


@pytest.mark.rfc("7661", "4")
@pytest.mark.parametrize("control", CONTROLS)
def test_a_window_that_was_not_used_does_not_grow(control: type[NewReno | Cubic]) -> None:
    made = control(MSS)
    before = made.cwnd_bytes
    made.on_ack(sample(0.0, 5 * MSS, limited=False))
    assert made.cwnd_bytes == before


def test_a_sender_with_little_to_say_keeps_its_window(tcp: Script) -> None:
    tcp.established()
    for at in range(1, 2001, 100):
        tcp.write(100)
        tcp.drain()
        tcp.inject(f"+0.1 < . 1:1(0) ack {at + 100} win 65535")
    assert tcp.conn.congestion.cwnd_bytes == 10 * MSS


@pytest.mark.rfc("9438", "4.6")
def test_cubic_gives_back_three_tenths() -> None:
    control = Cubic(MSS)
    control.on_loss(LossSample(0.0, 100 * MSS))
    assert control.cwnd_bytes == 70 * MSS


def grown(control: Cubic, segments: int) -> None:
    while control.cwnd_bytes < segments * MSS:
        control.on_ack(sample(0.0, MSS))


@pytest.mark.rfc("9438", "4.2")
def test_cubic_follows_its_curve_around_the_last_maximum() -> None:
    control = Cubic(MSS)
    grown(control, 1000)
    control.on_loss(LossSample(0.0, 1000 * MSS))
    # K = cbrt(W_max * (1 - beta) / C) = cbrt(300 / 0.4)
    k = 9.0856
    for turn in range(1, 150):
        one_window(control, 0.1 * turn)
        elapsed_s = 0.1 * turn  # since the first of these ACKs, at its end
        curve = 0.4 * (elapsed_s - k) ** 3 + 1000
        assert control.cwnd_bytes / MSS == pytest.approx(curve, rel=0.015)
    assert control.k == pytest.approx(k, rel=1e-4)


@pytest.mark.rfc("9438", "4.3")
def test_cubic_is_no_slower_than_reno_where_windows_are_small() -> None:
    control = Cubic(MSS)
    control.on_loss(LossSample(0.0, 14 * MSS))  # from 10 to 9 segments; W_max is 10
    windows = []
    for turn in range(1, 21):
        one_window(control, 0.01 * turn, rtt_s=0.01)
        windows.append(control.cwnd_bytes / MSS)
    # alpha = 3 * (1 - 0.7) / (1 + 0.7) segments a round trip up to W_max, one after it
    assert windows[0] == pytest.approx(9.8 + 0.5, abs=0.3)
    assert windows[-1] - windows[9] == pytest.approx(10, rel=0.15)


@pytest.mark.rfc("9438", "4.7")
def test_cubic_that_did_not_reach_its_maximum_leaves_room_for_others() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_loss(LossSample(0.0, 100 * MSS))
    assert control.w_max == 100 * MSS
    control.on_loss(LossSample(0.1, 70 * MSS))
    assert control.w_max == pytest.approx(70 * MSS * 0.85)


@pytest.mark.rfc("9438", "4.8")
def test_cubic_after_a_timeout_begins_its_curve_where_slow_start_ends() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_rto(0.0, 100 * MSS)
    grown(control, 70)
    one_window(control, 1.0)
    assert control.k == 0.0
    assert control.cwnd_bytes < 72 * MSS


@pytest.mark.parametrize("control", CONTROLS)
def test_in_recovery_the_window_stands_still(control: type[NewReno | Cubic]) -> None:
    made = control(MSS)
    before = made.cwnd_bytes
    made.on_ack(AckSample(0.0, MSS, 10 * MSS, None, 0.1, True, True))
    assert made.cwnd_bytes == before


def test_a_fixed_window_stays() -> None:
    control = Fixed(MSS, segments=5)
    control.on_sent(MSS, 0.0)
    control.on_ack(sample(0.0, MSS))
    control.on_loss(LossSample(0.0, MSS))
    control.on_rto(0.0, MSS)
    assert control.cwnd_bytes == 5 * MSS


def test_the_controls_have_names() -> None:
    for name, control in (("newreno", NewReno), ("cubic", Cubic), ("fixed", Fixed)):
        assert congestion_control(name)(MSS).name == name
        assert isinstance(congestion_control(name)(MSS), control)


def test_a_name_that_nobody_has_is_a_config_error_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'cubic'"):
        congestion_control("cubik")
