"""BBR's filters, bounds and control parameters, by the draft's formulas."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_path import ISS, MSS, START

from pystack.tcp.congestion.base import AckSample, LossSample, LostSegment, Opening, RateSample
from pystack.tcp.congestion.bbr.control import Bbr
from pystack.tcp.congestion.bbr.parameters import Mode
from pystack.tcp.congestion.bbr.state import MaxBwFilter, WindowedMax
from pystack.tcp.congestion.registry import CONTROLS

RATE = RateSample(
    delivery_rate_bps=8e6,
    delivered_bytes=100 * MSS,
    prior_delivered_bytes=50 * MSS,
    newly_delivered_bytes=MSS,
    newly_lost_bytes=0,
    lost_bytes=0,
    in_flight_bytes=20 * MSS,
    tx_in_flight_bytes=20 * MSS,
    app_limited=False,
)


def opened(*, srtt_s: float | None = 0.1, syn_lost: bool = False) -> Bbr:
    control = Bbr(MSS)
    control.on_established(Opening(START, srtt_s, syn_lost=syn_lost, sack=True, seed=1))
    return control


def ack(control: Bbr, rate: RateSample, *, now: float = START + 1.0, limited: bool = True) -> None:
    control.on_ack(AckSample(now, MSS, 21 * MSS, 0.1, 0.1, limited, False, rate=rate))


def cruising(bw_bps: float = 8e6, **variables: float) -> Bbr:
    """Return a control that has been cruising for a while: 8 Mbit/s, 100 ms, BDP 100 kB."""
    control = opened()
    control.max_bw_filter.take(bw_bps)
    control.bw_bps = bw_bps
    control.full_bw_reached = True
    control.mode, control.pacing_gain = Mode.PROBE_BW_CRUISE, 1.0
    control.cycle_at = START + 1.0
    control.bw_probe_wait_s = 1000.0
    control.cwnd_bytes = 200_000
    control.next_round_delivered_bytes = 10**9
    control.loss_round_delivered_bytes = 10**9
    for name, value in variables.items():
        setattr(control, name, value)
    return control


def test_before_any_ack_it_paces_the_initial_window_over_a_round_trip() -> None:
    assert opened().pacing_bps == pytest.approx(2.77 * 14_600 * 8 / 0.1)
    assert opened(srtt_s=None).pacing_bps == pytest.approx(2.77 * 14_600 * 8 / 0.001)
    assert opened().cwnd_bytes == 10 * MSS
    assert opened(syn_lost=True).cwnd_bytes == MSS
    assert opened(syn_lost=True).pacing_bps == pytest.approx(2.77 * MSS * 8 / 0.1)


@pytest.mark.parametrize(
    ("pacing_bps", "quantum_bytes"),
    [(1e6, 2 * MSS), (100e6, 12_500), (10e9, 65_536)],  # a millisecond's worth, in bounds
)
def test_the_send_quantum(pacing_bps: float, quantum_bytes: int) -> None:
    control = cruising(bw_bps=pacing_bps / 0.99)
    ack(control, replace(RATE, delivery_rate_bps=pacing_bps / 0.99))
    assert control.pacing_bps == pytest.approx(pacing_bps)
    assert control.send_quantum_bytes == quantum_bytes


def test_cwnd_is_twice_the_bdp_and_what_is_acknowledged_at_once() -> None:
    control = cruising()
    for number in range(30):
        ack(control, RATE, now=START + 1.0 + 0.01168 * number)  # 8 Mbit/s in segments: 1 ms each
    assert control.cwnd_bytes == pytest.approx(2 * 100_000, abs=2 * MSS)
    burst = replace(RATE, newly_delivered_bytes=20 * MSS)
    ack(control, burst, now=START + 1.36)
    assert control.extra_acked_bytes == pytest.approx(20 * MSS, rel=0.2)
    assert control.cwnd_bytes == pytest.approx(200_000 + control.extra_acked_bytes, rel=0.01)


def test_at_startup_the_pacing_rate_never_falls() -> None:
    control = opened()
    before = control.pacing_bps
    ack(control, replace(RATE, delivery_rate_bps=1e5))
    assert control.pacing_bps == before


def test_samples_that_the_user_limited_count_only_if_they_are_larger() -> None:
    control = cruising()
    ack(control, replace(RATE, delivery_rate_bps=4e6, app_limited=True))
    assert control.max_bw_bps == 8e6
    ack(control, replace(RATE, delivery_rate_bps=9e6, app_limited=True))
    assert control.max_bw_bps == 9e6


def test_losses_while_cruising_lower_the_shortterm_bounds_by_three_tenths_at_most() -> None:
    control = cruising(cwnd_bytes=200_000)
    control.on_segment_lost(LostSegment(START + 1.0, ISS, MSS, 10**6, 10**5, MSS, False))
    assert control.is_loss_in_round
    control.loss_round_delivered_bytes = 0  # the round ends with the next ACK
    ack(control, replace(RATE, delivery_rate_bps=1e6))
    assert control.bw_shortterm_bps == pytest.approx(0.7 * 8e6)
    assert control.inflight_shortterm_bytes == pytest.approx(0.7 * 200_000)
    assert control.bw_bps == pytest.approx(0.7 * 8e6)
    assert control.cwnd_bytes <= 140_000


def test_or_to_what_was_delivered_if_that_is_more() -> None:
    control = cruising(cwnd_bytes=200_000)
    control.on_segment_lost(LostSegment(START + 1.0, ISS, MSS, 10**6, 10**5, MSS, False))
    control.loss_round_delivered_bytes = 0
    delivered = replace(RATE, delivery_rate_bps=7.8e6, delivered_bytes=50 * MSS + 190_000)
    ack(control, delivered)
    # so much sent, and 2 % of it lost, is what was delivered
    assert control.bw_shortterm_bps == pytest.approx(7.8e6 / 0.98)
    assert control.inflight_shortterm_bytes == pytest.approx(190_000 / 0.98)


@pytest.mark.parametrize("mode", [Mode.PROBE_BW_REFILL, Mode.PROBE_BW_UP])
def test_losses_while_probing_leave_the_shortterm_bounds_alone(mode: Mode) -> None:
    control = cruising()
    control.mode = mode
    control.on_segment_lost(LostSegment(START + 1.0, ISS, MSS, 10**6, 10**5, MSS, False))
    control.loss_round_delivered_bytes = 0
    ack(control, replace(RATE, delivery_rate_bps=1e6))
    assert control.bw_shortterm_bps == inf


def test_more_than_two_percent_and_chance_lost_while_probing_is_too_much() -> None:
    # Of 100 segments 2 are expected to be lost, give or take 1.4.
    for lost_segments, too_much in ((3, False), (4, True)):
        control = cruising()
        control.mode, control.is_bw_probe_sample = Mode.PROBE_BW_UP, True
        control.on_segment_lost(
            LostSegment(START + 1.0, ISS, MSS, 10**6, 100 * MSS, lost_segments * MSS, False)
        )
        assert control.prev_probe_too_high is too_much
        assert (control.mode is Mode.PROBE_BW_DOWN) is too_much
    # inflight_prev + (0.02 * inflight_prev - lost_prev) / 0.98, with 99 and 3 segments
    assert control.inflight_longterm_bytes == int((99 + (1.98 - 3) / 0.98) * MSS)


def test_the_longterm_bound_is_no_less_than_seven_tenths_of_the_target() -> None:
    control = cruising()
    control.mode, control.is_bw_probe_sample = Mode.PROBE_BW_UP, True
    control.on_segment_lost(LostSegment(START + 1.0, ISS, MSS, 10**6, 10 * MSS, 2 * MSS, False))
    assert control.inflight_longterm_bytes == pytest.approx(0.7 * 100_000)


def test_cruising_leaves_headroom_to_others() -> None:
    control = cruising(inflight_longterm_bytes=100_000.0)
    ack(control, RATE)
    assert control.cwnd_bytes == 85_000


def test_the_longterm_bound_grows_by_one_two_four_segments_a_round() -> None:
    control = cruising(inflight_longterm_bytes=100_000.0, cwnd_bytes=100_000)
    control.mode = Mode.PROBE_BW_REFILL
    control.next_round_delivered_bytes = 0
    ack(control, RATE)
    assert control.mode is Mode.PROBE_BW_UP
    grown = []
    for turn in range(4):
        before = control.inflight_longterm_bytes
        control.cwnd_bytes = int(before)
        acked = 0
        while acked < before:
            control.cwnd_bytes = int(control.inflight_longterm_bytes) + 1
            control.next_round_delivered_bytes = 0 if acked + 4 * MSS >= before else 10**9
            small = replace(RATE, newly_delivered_bytes=4 * MSS, tx_in_flight_bytes=0)
            ack(control, small, now=START + 1.1 + 0.1 * turn)
            acked += 4 * MSS
        grown.append((control.inflight_longterm_bytes - before) / MSS)
    assert grown == pytest.approx([1, 2, 4, 8], abs=1.1)


def test_a_small_bdp_probes_as_often_as_reno_would_lose() -> None:
    control = cruising(bw_bps=8 * 10 * MSS / 0.1)  # BDP: 10 segments
    for turn in range(9):
        control.next_round_delivered_bytes = 0
        ack(control, replace(RATE, delivery_rate_bps=1e5), now=START + 1.1 + 0.1 * turn)
    assert control.mode is Mode.PROBE_BW_CRUISE
    control.next_round_delivered_bytes = 0
    ack(control, replace(RATE, delivery_rate_bps=1e5), now=START + 2.1)
    assert control.mode is Mode.PROBE_BW_REFILL


def test_without_chance_it_waits_the_mean() -> None:
    control = cruising()
    control.rng = None
    control.mode, control.is_bw_probe_sample = Mode.PROBE_BW_UP, True
    control.on_loss(LossSample(START + 2.0, 100 * MSS, ecn=True))
    assert (control.bw_probe_wait_s, control.rounds_since_probe_up) == (2.5, 0)


def test_the_bandwidth_filter_remembers_two_cycles() -> None:
    kept = MaxBwFilter()
    kept.take(5.0)
    kept.advance()
    kept.take(3.0)
    assert kept.largest == 5.0
    kept.advance()
    assert kept.largest == 3.0
    kept.advance()  # a cycle without any sample is none
    assert kept.largest == 3.0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 100)), min_size=1, max_size=60))
def test_the_windowed_maximum_is_the_largest_of_the_last_rounds(
    steps: list[tuple[int, float]],
) -> None:
    kept, at_round, seen = WindowedMax(), 0, []
    for rounds_later, value in steps:
        at_round += rounds_later
        seen.append((at_round, value))
        expected = max(value for at, value in seen if at > at_round - 10)
        assert kept.update(value, at_round, 10) == expected


def test_bbr_is_found_by_name_and_wants_rates() -> None:
    made = CONTROLS.recall("bbr")(MSS)
    assert isinstance(made, Bbr)
    assert (made.name, made.wants_rate, made.owns_recovery) == ("bbr", True, True)
    assert not hasattr(made, "__dict__")


def test_without_rates_nothing_moves() -> None:
    control = opened()
    control.on_ack(AckSample(START, MSS, MSS, 0.1, 0.1, True, False))
    assert control.cwnd_bytes == 10 * MSS
    ack(control, replace(RATE, newly_delivered_bytes=0, prior_delivered_bytes=100 * MSS))
    assert (control.cwnd_bytes, control.round_count) == (10 * MSS, 0)
