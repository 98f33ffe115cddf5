"""DualPI2: two queues, one controller, the coupling and the step (RFC 9332)."""

import pytest
from queue_frames import Reports, frame

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.qdisc.dualpi2 import DualPi2, DualPi2Config, dualpi2
from pystack.wire.ecn import CE, ECT_0, ECT_1, NOT_ECT, codepoint


def queue_with(**words: object) -> DualPi2:
    return DualPi2(DualPi2Config(**words))  # type: ignore[arg-type]


def chosen(queue: DualPi2, ecn: int, prob: float, frames: int = 100) -> list[str]:
    """Return what is reported for frames that do not wait, with p' at `prob`."""
    reports = Reports(queue)
    for _ in range(frames):
        queue.base_prob = prob
        queue.enqueue(frame(tos=ecn), 0.0)
        queue.dequeue(0.0)
    return reports.reasons


@pytest.mark.rfc("9332", "2.3")
@pytest.mark.parametrize(
    ("ecn", "any_ect", "overtakes"),
    [
        (NOT_ECT, False, False),
        (ECT_0, False, False),
        (ECT_1, False, True),
        (CE, False, True),
        (ECT_0, True, True),
        (NOT_ECT, True, False),
    ],
)
def test_the_ecn_field_chooses_the_queue(ecn: int, any_ect: bool, overtakes: bool) -> None:
    queue = queue_with(any_ect=any_ect)
    queue.enqueue(frame(100), 0.0)
    second = frame(200, tos=ecn)
    queue.enqueue(second, 0.0)
    first_out = queue.dequeue(0.0)
    assert (first_out is second) == overtakes


@pytest.mark.rfc("9332", "A.1")
def test_the_controller_moves_with_the_delay_and_its_growth() -> None:
    queue = queue_with()
    queue.enqueue(frame(), 0.0)
    queue.run_timer(0.016)
    # the frame has waited for 16 ms: 1 ms above target, 16 ms more than at the last tick
    assert queue.base_prob == pytest.approx(0.16 * 0.001 + 3.2 * 0.016, rel=1e-9)
    queue.run_timer(0.032)
    assert queue.base_prob == pytest.approx(0.16 * 0.018 + 3.2 * 0.032, rel=1e-9)


@pytest.mark.rfc("9332", "A.1")
def test_classic_traffic_is_dropped_with_the_square() -> None:
    reasons = chosen(queue_with(), NOT_ECT, 0.25, frames=1600)
    assert set(reasons) == {"dualpi2_drop"}
    assert len(reasons) in (99, 100)  # 1600 x 0.0625


@pytest.mark.rfc("9332", "A.1")
def test_classic_traffic_that_understands_ecn_is_marked_with_the_square() -> None:
    reasons = chosen(queue_with(), ECT_0, 0.25, frames=1600)
    assert set(reasons) == {"dualpi2_mark"}
    assert len(reasons) in (99, 100)


@pytest.mark.rfc("9332", "A.1")
def test_l4s_traffic_is_marked_with_k_times_the_base_probability() -> None:
    for factor, marks in ((2, 800), (3, 1200)):
        reasons = chosen(queue_with(coupling_factor=factor), ECT_1, 0.25, frames=1600)
        assert set(reasons) == {"dualpi2_coupled_mark"}
        assert len(reasons) in (marks - 1, marks)


@pytest.mark.rfc("9332", "A.1")
def test_above_the_step_every_l4s_frame_is_marked() -> None:
    queue = queue_with()
    reports = Reports(queue)
    for _ in range(2):
        queue.enqueue(frame(tos=ECT_1), 0.0)
    assert codepoint(queue.dequeue(0.0009) or frame()) == ECT_1
    assert codepoint(queue.dequeue(0.0011) or frame()) == CE
    assert reports.reasons == ["dualpi2_step_mark"]


def test_the_step_may_spare_frames_that_found_a_short_queue() -> None:
    queue = queue_with(min_qlen_step=1)
    reports = Reports(queue)
    for _ in range(2):
        queue.enqueue(frame(tos=ECT_1), 0.0)
    assert codepoint(queue.dequeue(0.0011) or frame()) == ECT_1
    assert codepoint(queue.dequeue(0.0011) or frame()) == CE
    assert reports.reasons == ["dualpi2_step_mark"]


@pytest.mark.rfc("9332", "A.2")
def test_when_marks_do_not_help_ecn_traffic_is_dropped_too() -> None:
    for ecn, others in ((ECT_1, {"dualpi2_coupled_mark"}), (ECT_0, set())):
        reasons = chosen(queue_with(), ecn, 0.5, frames=400)
        assert set(reasons) - others == {"dualpi2_overload"}
        assert reasons.count("dualpi2_overload") in (99, 100)  # p_C = 0.25


def test_overflow_marks_until_the_queue_is_full() -> None:
    queue = queue_with(drop_on_overload=False, limit_packets=50)
    reports = Reports(queue)
    for number in range(400):
        queue.enqueue(frame(tos=ECT_1), number / 100)
        queue.enqueue(frame(tos=ECT_1), number / 100)
        queue.dequeue(number / 100)
    assert queue.coupled_prob == 1.0
    assert set(reports.reasons) >= {"dualpi2_full", "dualpi2_coupled_mark"}
    assert "dualpi2_overload" not in reports.reasons


@pytest.mark.rfc("9332", "4.2.2")
def test_the_l_queue_goes_first_but_leaves_a_tenth_to_the_other() -> None:
    queue = queue_with()
    for _ in range(200):
        queue.enqueue(frame(tos=ECT_1), 0.0)
        queue.enqueue(frame(tos=NOT_ECT), 0.0)
    kinds = [codepoint(queue.dequeue(0.0) or frame()) for _ in range(200)]
    assert kinds[0] == ECT_1
    assert kinds[100:].count(NOT_ECT) == 10


def test_the_limits_are_of_both_queues_together() -> None:
    for words in ({"limit_packets": 3}, {"memlimit_bytes": 3 * 1514}):
        queue = queue_with(**words)
        reports = Reports(queue)
        for ecn in (ECT_1, NOT_ECT, ECT_1, NOT_ECT):
            queue.enqueue(frame(tos=ecn), 0.0)
        assert reports.reasons == ["dualpi2_full"]


def test_an_idle_year_costs_nothing_and_is_forgotten() -> None:
    queue = queue_with()
    queue.enqueue(frame(), 0.0)
    queue.dequeue(1.0)
    assert queue.base_prob > 0
    queue.enqueue(frame(), 365 * 86400.0)
    assert queue.base_prob == 0.0


def test_round_trip_times_make_the_gains() -> None:
    queue = dualpi2(Random(1), typical_rtt="15ms", max_rtt="100ms")
    queue.enqueue(frame(), 0.0)
    queue.run_timer(0.015)
    # target and tupdate 15 ms, alpha 0.1 x 0.015 / 0.1^2 = 0.15, beta 0.3 / 0.1 = 3
    assert queue.base_prob == pytest.approx(3 * 0.015, rel=1e-9)


def test_what_contradicts_itself_is_refused() -> None:
    for words in ({"l4s_ect": True, "any_ect": True}, {"drop_on_overload": True, "overflow": True}):
        with pytest.raises(ConfigError, match="one of each"):
            dualpi2(Random(1), **words)
