"""CUBIC's curve, stage by stage: RFC 9438."""

import pytest
from controls import MSS, grown, one_window, sample

from pystack.tcp.congestion.base import LossSample
from pystack.tcp.congestion.cubic import ALPHA, Cubic


def window(control: Cubic) -> float:
    return control.cwnd_bytes / MSS


@pytest.mark.rfc("9438", "4.6")
def test_cubic_gives_back_three_tenths() -> None:
    control = Cubic(MSS)
    control.on_loss(LossSample(0.0, 100 * MSS))
    assert control.cwnd_bytes == control.ssthresh_bytes == 70 * MSS


@pytest.mark.rfc("9438", "4.2")
def test_k_is_how_long_the_way_back_to_w_max_takes() -> None:
    control = Cubic(MSS)
    grown(control, 1000)
    control.on_loss(LossSample(0.0, 1000 * MSS))
    control.on_ack(sample(1.0, MSS))
    assert control.w_max == 1000 * MSS
    assert control.k == pytest.approx(9.0856, abs=1e-4)  # cbrt((1000 - 700) / 0.4)


@pytest.mark.rfc("9438", "4.4")
@pytest.mark.rfc("9438", "4.5")
@pytest.mark.rfc("9438", "4.2")
@pytest.mark.parametrize("rtt_s", [0.1, 0.05])
def test_the_window_follows_the_cubic_function_around_w_max(rtt_s: float) -> None:
    control = Cubic(MSS)
    grown(control, 1000)
    control.on_loss(LossSample(0.0, 1000 * MSS))
    for turn in range(1, round(15 / rtt_s)):
        one_window(control, rtt_s * turn, rtt_s)
        t = rtt_s * turn  # since the first of these ACKs, at the end of this round
        assert window(control) == pytest.approx(0.4 * (t - 9.0856) ** 3 + 1000, rel=0.015)


@pytest.mark.rfc("9438", "4.2")
def test_the_window_grows_by_half_of_it_a_round_trip_at_most() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_loss(LossSample(0.0, 100 * MSS))
    control.on_ack(sample(0.0, MSS))
    control.on_ack(sample(1000.0, MSS))  # the curve is far above
    assert window(control) == pytest.approx(70.5, abs=0.1)  # 1.5 * cwnd for a whole window


@pytest.mark.rfc("9438", "4.2")
def test_the_curve_below_the_window_makes_it_no_smaller() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_loss(LossSample(0.0, 100 * MSS))
    control.on_ack(sample(0.0, MSS, rtt_s=None))
    before = control.cwnd_bytes
    control.on_ack(sample(0.0, MSS, rtt_s=None))
    assert control.cwnd_bytes >= before


@pytest.mark.rfc("9438", "4.3")
def test_cubic_is_no_slower_than_reno_where_windows_are_small() -> None:
    control = Cubic(MSS)
    grown(control, 20)
    control.on_loss(LossSample(0.0, 20 * MSS))
    windows = []
    for turn in range(1, 31):
        one_window(control, 0.01 * turn, rtt_s=0.01)
        windows.append(window(control))
    # alpha segments a round trip up to cwnd_prior, which takes 6 / alpha of them; then one
    assert pytest.approx(9 / 17) == ALPHA
    assert windows[9] - 14 == pytest.approx(10 * ALPHA, rel=0.05)
    assert windows[-1] - windows[14] == pytest.approx(15, rel=0.05)


@pytest.mark.rfc("9438", "4.7")
def test_who_did_not_reach_w_max_again_leaves_room_for_others() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_loss(LossSample(0.0, 100 * MSS))
    assert control.w_max == 100 * MSS
    control.on_loss(LossSample(0.1, 70 * MSS))
    assert control.w_max == pytest.approx(70 * MSS * 0.85)
    assert control.cwnd_prior == 70 * MSS


@pytest.mark.rfc("9438", "4.8")
def test_after_a_timeout_the_curve_begins_where_slow_start_ends() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_rto(0.0, 100 * MSS)
    grown(control, 70)
    one_window(control, 1.0)
    assert control.k == 0.0
    assert control.w_max == 70 * MSS
    assert 70 < window(control) < 72
    for turn in range(1, 40):
        one_window(control, 1.0 + 0.1 * turn)
    assert window(control) == pytest.approx(0.4 * 4.0**3 + 70, rel=0.02)


@pytest.mark.rfc("9438", "4.8")
def test_the_stage_after_the_next_loss_is_an_ordinary_one() -> None:
    control = Cubic(MSS)
    control.on_rto(0.0, 100 * MSS)
    grown(control, 70)
    control.on_loss(LossSample(1.0, 70 * MSS))
    control.on_ack(sample(1.1, MSS))
    assert control.k == pytest.approx((21 / 0.4) ** (1 / 3), rel=1e-3)


@pytest.mark.rfc("9438", "4.9")
def test_a_mistake_leaves_the_curve_as_it_was() -> None:
    control = Cubic(MSS)
    grown(control, 1000)
    control.on_loss(LossSample(0.0, 1000 * MSS))
    for turn in range(1, 31):
        one_window(control, 0.1 * turn)
    names = ("cwnd_bytes", "ssthresh_bytes", "w_max", "k", "w_est", "cwnd_prior", "epoch_start_at")
    before = {name: getattr(control, name) for name in names}
    control.on_loss(LossSample(3.2, control.cwnd_bytes))
    one_window(control, 3.3)
    control.on_undo(3.4)
    assert {name: getattr(control, name) for name in names} == before
    one_window(control, 3.5)
    assert window(control) == pytest.approx(0.4 * (3.5 - 9.0856) ** 3 + 1000, rel=0.015)


@pytest.mark.rfc("9438", "4.9.2")
def test_a_window_that_has_outgrown_the_mistake_stays_on_its_new_curve() -> None:
    control = Cubic(MSS)
    control.on_loss(LossSample(0.0, 20 * MSS))
    for turn in range(1, 40):
        one_window(control, 0.1 * turn)
    before = control.cwnd_bytes, control.k, control.epoch_start_at
    assert control.cwnd_bytes > 10 * MSS
    control.on_undo(4.1)
    assert (control.cwnd_bytes, control.k, control.epoch_start_at) == before


@pytest.mark.rfc("9438", "5.8")
def test_time_in_which_the_window_was_not_used_does_not_count() -> None:
    busy, lazy = Cubic(MSS), Cubic(MSS)
    for control in (busy, lazy):
        grown(control, 1000)
        control.on_loss(LossSample(0.0, 1000 * MSS))
        for turn in range(1, 11):
            one_window(control, 0.1 * turn)
    for tenth in range(11, 111):
        lazy.on_ack(sample(0.1 * tenth, MSS, limited=False))
    lazy.on_idle(12.0, 0.9, 1.0)
    for turn in range(11, 21):
        one_window(busy, 0.1 * turn)
        one_window(lazy, 0.1 * turn + 10.9)
    assert lazy.cwnd_bytes == pytest.approx(busy.cwnd_bytes, rel=0.005)


@pytest.mark.rfc("5681", "4.1")
def test_after_a_restart_a_new_stage_begins() -> None:
    control = Cubic(MSS)
    grown(control, 100)
    control.on_loss(LossSample(0.0, 100 * MSS))
    one_window(control, 0.1)
    control.on_idle(20.0, 19.0, 1.0)
    assert (window(control), control.epoch_start_at) == (10, None)
    grown(control, 70, 20.1)
    control.on_ack(sample(21.0, MSS))
    assert control.epoch_start_at == 21.0
    assert control.w_max == 100 * MSS
