"""BBR's states on a path of samples: draft-ietf-ccwg-bbr-06, section 5.3. 50 Mbit/s, 40 ms."""

from itertools import pairwise
from random import Random

import pytest
from sample_path import MSS, START, SamplePath

from pystack.tcp.congestion.base import AckSample, LossSample
from pystack.tcp.congestion.bbr.control import Bbr
from pystack.tcp.congestion.bbr.parameters import Mode

RATE_BPS = 50e6
RTT_S = 0.04
BDP_BYTES = 250_000
CYCLE = ["ProbeBW_REFILL", "ProbeBW_UP", "ProbeBW_DOWN", "ProbeBW_CRUISE"]


def path(**conditions: object) -> tuple[Bbr, SamplePath]:
    control = Bbr(MSS)
    return control, SamplePath(control, rate_bps=RATE_BPS, rtt_s=RTT_S, **conditions)  # type: ignore[arg-type]


def run_until(sender: SamplePath, mode: Mode, at_most_s: float = 10.0) -> None:
    """Go on, millisecond by millisecond, until the control is in that state."""
    until = sender.now + at_most_s
    while sender.control.mode is not mode:  # type: ignore[attr-defined]
        assert sender.now < until, f"never came to {mode}: {sender.states}"
        sender.run(0.001)


def test_startup_doubles_the_rate_each_round_until_the_pipe_is_full() -> None:
    control, sender = path()
    rates = []
    for _ in range(5):
        sender.run(RTT_S)
        rates.append(control.bw_bps)
    growth = [later / earlier for earlier, later in pairwise(rates[1:])]
    assert all(1.6 <= factor <= 2.8 for factor in growth)
    run_until(sender, Mode.DRAIN)
    assert control.full_bw_reached
    # 10, 20, 40, ... segments to 171, and rounds in which nothing is gained but a queue
    assert 8 * RTT_S < sender.now - START < 15 * RTT_S


def test_drain_leaves_no_queue() -> None:
    sender = path()[1]
    run_until(sender, Mode.DRAIN)
    assert sender.in_flight_bytes > 1.5 * BDP_BYTES
    run_until(sender, Mode.PROBE_BW_CRUISE)
    assert sender.in_flight_bytes <= 1.05 * BDP_BYTES


def test_the_model_is_the_path() -> None:
    control, sender = path()
    sender.run(3.0)
    assert control.bw_bps == pytest.approx(RATE_BPS, rel=0.01)
    assert control.min_rtt_s == pytest.approx(RTT_S, rel=0.01)
    assert control.bdp_bytes == pytest.approx(BDP_BYTES, rel=0.02)


def test_in_probe_bw_the_four_states_follow_each_other() -> None:
    control, sender = path()
    run_until(sender, Mode.PROBE_BW_CRUISE)
    sender.states.clear()
    sender.run(4.5)  # ProbeRTT is five seconds away from the start
    assert sender.states[:5] == ["ProbeBW_CRUISE", *CYCLE]
    assert 2.0 <= control.bw_probe_wait_s <= 3.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_how_long_it_cruises_is_chance_from_the_seed(seed: int) -> None:
    waits = []
    for _ in range(2):
        control, sender = path(seed=seed)
        run_until(sender, Mode.PROBE_BW_CRUISE)
        waits.append(control.bw_probe_wait_s)
    assert waits[0] == waits[1]
    other, sender = path(seed=seed + 100)
    run_until(sender, Mode.PROBE_BW_CRUISE)
    assert other.bw_probe_wait_s != waits[0]


def test_probe_rtt_comes_after_five_seconds_and_halves_what_is_in_flight() -> None:
    control, sender = path()
    sender.run(1.0)
    sender.rtt_s += 0.001  # from here on no round trip is as short as the shortest
    run_until(sender, Mode.PROBE_RTT, 6.0)
    assert sender.now - START == pytest.approx(6.0, abs=0.1)
    before = control.prior_cwnd_bytes
    sender.run(0.1)
    assert control.cwnd_bytes == pytest.approx(BDP_BYTES / 2, rel=0.03)
    assert sender.in_flight_bytes <= control.cwnd_bytes
    entered_at = sender.now - 0.1
    run_until(sender, Mode.PROBE_BW_CRUISE)
    assert 0.2 < sender.now - entered_at < 0.32  # 200 ms from when enough has left
    assert control.cwnd_bytes == pytest.approx(before, rel=0.05)
    assert control.bw_bps == pytest.approx(RATE_BPS, rel=0.01)  # what was measured did not count


def test_where_the_queue_is_seen_to_be_empty_there_is_no_probe_rtt() -> None:
    control, sender = path()
    sender.run(12.0)
    assert "ProbeRTT" not in sender.states
    assert control.min_rtt_s == pytest.approx(RTT_S, rel=0.01)


def test_bandwidth_that_comes_is_found_within_two_cycles() -> None:
    control, sender = path()
    sender.run(2.0)
    sender.rate_bps = 2 * RATE_BPS
    sender.run(7.0)
    assert control.bw_bps == pytest.approx(2 * RATE_BPS, rel=0.05)


def test_bandwidth_that_goes_is_forgotten_within_two_cycles() -> None:
    control, sender = path(queue_bytes=BDP_BYTES)
    sender.run(2.0)
    sender.rate_bps = RATE_BPS / 2
    sender.run(9.0)
    assert control.bw_bps == pytest.approx(RATE_BPS / 2, rel=0.05)
    assert sender.run(2.0) > 0.8 * RATE_BPS / 2


def test_too_many_losses_end_startup() -> None:
    control, sender = path(queue_bytes=20_000)
    run_until(sender, Mode.DRAIN)
    assert control.full_bw_reached
    assert control.inflight_longterm_bytes < 1.5 * BDP_BYTES


def test_a_few_losses_do_not_end_startup() -> None:
    control, sender = path(loses=lambda number: number in (30, 60, 61, 62, 63, 64, 65, 66))
    run_until(sender, Mode.DRAIN)
    assert control.inflight_longterm_bytes == float("inf")


def test_without_sack_any_loss_ends_startup() -> None:
    sender = path(loses=lambda number: number == 30, sack=False)[1]
    run_until(sender, Mode.DRAIN)
    assert sender.now - START < 4.5 * RTT_S


def test_a_probe_that_overflows_a_queue_sets_the_longterm_bound() -> None:
    control, sender = path(queue_bytes=60_000)
    sender.run(12.0)
    assert BDP_BYTES < control.inflight_longterm_bytes < BDP_BYTES + 70_000
    lost_before = sender.lost_bytes
    assert sender.run(3.0) > 0.9 * RATE_BPS
    assert sender.lost_bytes - lost_before < 0.01 * 3.0 * RATE_BPS / 8


def test_a_probe_after_one_that_went_too_high_is_a_careful_one() -> None:
    control, sender = path(queue_bytes=60_000)
    while not control.prev_probe_too_high:
        sender.run(0.01)
    run_until(sender, Mode.PROBE_BW_UP)
    run_until(sender, Mode.PROBE_BW_DOWN)
    assert control.prev_probe_precautionary


def test_one_percent_of_random_loss_is_borne() -> None:
    rng = Random(7)
    control, sender = path(loses=lambda _number: rng.random() < 0.01)
    sender.run(2.0)
    assert sender.run(20.0) > 0.93 * RATE_BPS
    assert control.max_bw_bps > 0.9 * RATE_BPS


def test_after_idle_time_it_paces_at_the_bandwidth_and_needs_no_probe_rtt() -> None:
    control, sender = path()
    sender.run(2.0)
    sender.drain(10.0)
    assert control.pacing_bps == pytest.approx(0.99 * control.bw_bps)
    sender.states.clear()
    assert sender.run(0.5) > 0.85 * RATE_BPS
    assert "ProbeRTT" not in sender.states
    assert "Startup" not in sender.states


def test_an_exit_from_startup_by_mistake_is_undone() -> None:
    control, sender = path(queue_bytes=20_000)
    undone = []

    def undo_at_once(sample: AckSample) -> None:
        if control.mode is Mode.DRAIN and not undone:
            control.on_undo(sample.now)
            undone.append(control.mode)

    sender.on_ack = undo_at_once
    while not undone:
        sender.run(0.001)
    assert undone == [Mode.STARTUP]
    assert not control.full_bw_reached
    assert control.inflight_longterm_bytes == float("inf")


def test_a_probe_that_ended_by_mistake_is_taken_up_again() -> None:
    control, sender = path(queue_bytes=60_000)
    while not control.prev_probe_too_high:
        sender.run(0.01)
    assert control.mode is Mode.PROBE_BW_DOWN
    bound = control.inflight_longterm_bytes
    control.on_undo(sender.now)
    assert control.mode is Mode.PROBE_BW_REFILL
    assert control.inflight_longterm_bytes >= bound


def test_after_a_timeout_one_segment_goes_and_then_what_went_before() -> None:
    control, sender = path()
    sender.run(2.0)
    before = control.cwnd_bytes
    control.on_rto(sender.now, sender.in_flight_bytes)
    assert control.cwnd_bytes == MSS
    control.on_recovery_exit(sender.now)
    assert control.cwnd_bytes == pytest.approx(before, rel=0.01)


def test_a_mark_of_ecn_is_congestion() -> None:
    control, sender = path()
    sender.run(3 * RTT_S)
    control.on_loss(LossSample(sender.now, sender.in_flight_bytes, ecn=True))
    sender.run(RTT_S)
    assert "Drain" in sender.states  # in Startup
    run_until(sender, Mode.PROBE_BW_CRUISE)
    while sender.now < START + 3.0:
        control.on_loss(LossSample(sender.now, sender.in_flight_bytes, ecn=True))
        sender.run(RTT_S)
    assert control.bw_bps < 0.9 * RATE_BPS  # the marks go on, the rate goes down
