"""PIE: the controller of RFC 8033 section 4.2, its table, its safeguards, its lazy timer."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queue_frames import Reports, frame

from pystack.core.rng import Random
from pystack.link.qdisc.pie import MAX_BURST_S, Pie, PieConfig, pie
from pystack.wire.ecn import CE, ECT_0, codepoint


def ready(**words: object) -> Pie:
    """Return a queue whose timer began at 0, past its burst allowance, with 10 frames in it."""
    queue = Pie(Random(1), PieConfig(**words))  # type: ignore[arg-type]
    for _ in range(10):
        queue.enqueue(frame(1000, tos=ECT_0), 0.0)
    queue.burst_allowance_s = 0.0
    return queue


@pytest.mark.rfc("8033", "4.2")
@pytest.mark.parametrize(
    ("prob", "divisor"),
    [
        (0.0000005, 2048),
        (0.000005, 512),
        (0.00005, 128),
        (0.0005, 32),
        (0.005, 8),
        (0.05, 2),
        (0.5, 1),
    ],
)
def test_small_probabilities_move_in_small_steps(prob: float, divisor: int) -> None:
    queue = ready()
    queue.drop_prob, queue.qdelay_s, queue.qdelay_old_s = prob, 0.025, 0.021
    queue.run_timer(0.015)
    # alpha 0.125 x 10 ms above target, beta 1.25 x 4 ms more than the last time
    assert queue.drop_prob == pytest.approx(prob + (0.00125 + 0.005) / divisor, rel=1e-12)
    assert queue.qdelay_old_s == 0.025


@pytest.mark.rfc("8033", "5.5")
def test_from_ten_percent_on_a_step_is_two_percent_at_most() -> None:
    for prob, result in ((0.2, 0.22), (0.0999, 0.0999 + 0.25 / 2)):
        queue = ready()
        queue.drop_prob, queue.qdelay_s, queue.qdelay_old_s = prob, 0.215, 0.035
        queue.run_timer(0.015)
        assert queue.drop_prob == pytest.approx(result, abs=1e-12)


@pytest.mark.rfc("8033", "4.2")
def test_without_a_queue_the_probability_decays() -> None:
    queue = ready()
    queue.drop_prob = 0.5
    queue.run_timer(0.015)
    assert queue.drop_prob == pytest.approx((0.5 - 0.125 * 0.015) * 0.98, rel=1e-12)


@pytest.mark.rfc("8033", "4.4")
def test_a_burst_is_let_through_for_150_ms() -> None:
    queue = pie(Random(1))
    queue.enqueue(frame(), 0.0)
    queue.drop_prob, queue.qdelay_s = 1.0, 0.1
    queue.run_timer(0.075)
    assert queue.burst_allowance_s == pytest.approx(MAX_BURST_S - 0.075)
    queue.run_timer(0.16)
    assert queue.burst_allowance_s == 0.0


@pytest.mark.rfc("8033", "4.4")
def test_the_allowance_comes_back_when_the_congestion_has_gone() -> None:
    queue = ready()
    queue.run_timer(0.015)
    assert queue.burst_allowance_s == MAX_BURST_S


@pytest.mark.rfc("8033", "4.1")
def test_no_drop_while_the_delay_is_below_half_the_target_and_the_probability_low() -> None:
    for old_delay_s, prob, drops in ((0.007, 0.19, 0), (0.007, 0.99, 1), (0.008, 0.99, 1)):
        queue = ready()
        reports = Reports(queue)
        queue.drop_prob, queue.qdelay_old_s = prob, old_delay_s
        for _ in range(2):
            queue.enqueue(frame(1000), 0.001)
        assert bool(reports) == bool(drops)


@pytest.mark.rfc("8033", "4.1")
def test_no_drop_while_two_frames_or_fewer_wait() -> None:
    queue = pie(Random(1))
    reports = Reports(queue)
    for _ in range(3):
        queue.enqueue(frame(), 0.0)
    queue.burst_allowance_s = 0.0
    queue.drop_prob, queue.qdelay_old_s = 1.0, 0.1
    queue.dequeue(0.001)
    queue.enqueue(frame(), 0.001)
    assert reports == []
    queue.enqueue(frame(), 0.001)
    assert reports.reasons == ["pie_early"]


@pytest.mark.rfc("8033", "5.4")
def test_no_drop_before_the_probabilities_add_up_to_085() -> None:
    queue = ready(limit_packets=100_000)
    reports = Reports(queue)
    queue.drop_prob, queue.qdelay_old_s = 0.01, 0.02
    gaps = []
    for number in range(20_000):
        queue.enqueue(frame(100), 0.001)
        gaps.extend([number] * (len(reports) - len(gaps)))
    between = [later - earlier for earlier, later in pairwise(gaps)]
    assert min(between) >= 85
    assert max(between) <= 850


@pytest.mark.rfc("8033", "5.1")
def test_ecn_marks_up_to_ten_percent_and_drops_above() -> None:
    for prob, reason in ((0.1, "pie_mark"), (0.11, "pie_early")):
        queue = ready(ecn=True)
        reports = Reports(queue)
        queue.drop_prob, queue.qdelay_old_s = prob, 0.02
        for _ in range(100):
            queue.enqueue(frame(1000, tos=ECT_0), 0.001)
        assert set(reports.reasons) == {reason}
        assert (CE in {codepoint(item) for item in queue.drain(0.001)}) == (reason == "pie_mark")


def test_bytemode_spares_small_frames() -> None:
    queue = ready(bytemode=True)
    reports = Reports(queue)
    queue.drop_prob, queue.qdelay_old_s = 1.0, 0.02
    for _ in range(8):
        queue.enqueue(frame(100), 0.001)
    assert reports == []  # 8 x 0.1 is not 0.85 yet
    queue.enqueue(frame(1000), 0.001)
    assert reports.reasons == ["pie_early"]


def test_the_limit_drops_what_arrives() -> None:
    queue = pie(Random(1), limit=2)
    reports = Reports(queue)
    for _ in range(3):
        queue.enqueue(frame(), 0.0)
    assert reports.reasons == ["pie_full"]


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.0001, 0.05)), max_size=60),
    st.floats(0.01, 20.0),
)
def test_the_lazy_timer_is_as_good_as_one_that_runs(
    events: list[tuple[bool, float]], pause_s: float
) -> None:
    lazy, driven = (pie(Random(5), limit=20) for _ in range(2))
    now, tick, start = 0.0, 1, math.inf  # the timer starts with the first frame
    for is_arrival, gap in [*events, (True, pause_s), (False, 0.001)]:
        now += gap
        while start + tick * 0.015 <= now:
            driven.run_timer(start + tick * 0.015)
            tick += 1
        for queue in (lazy, driven):
            if is_arrival:
                queue.enqueue(frame(1000), now)
            else:
                queue.dequeue(now)
        if is_arrival:
            start = min(start, now)
        state = [
            (it.drop_prob, it.qdelay_s, it.qdelay_old_s, it.burst_allowance_s, len(it))
            for it in (lazy, driven)
        ]
        assert state[0] == state[1]


def test_an_idle_year_costs_nothing() -> None:
    queue = pie(Random(1))
    queue.enqueue(frame(), 0.0)
    queue.dequeue(0.001)
    queue.enqueue(frame(), 365 * 86400.0)
    assert queue.burst_allowance_s == MAX_BURST_S
