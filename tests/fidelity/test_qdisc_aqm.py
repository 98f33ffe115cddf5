"""RED, CoDel, PIE and DualPI2 do to traffic what their papers and RFCs say, in numbers."""

import math
import statistics
from collections import Counter

import pytest
from qdisc_line import Sent, frame, mixed, poisson, steady, transmit

from pystack.core.rng import Random
from pystack.link.qdisc.codel import codel
from pystack.link.qdisc.dualpi2 import dualpi2
from pystack.link.qdisc.pie import pie
from pystack.link.qdisc.red import Red, RedConfig
from pystack.wire.ecn import CE, ECT_0, ECT_1, codepoint
from pystack.wire.frame import Frame

RATE_BPS = 10e6


def late_sojourn_s(sent: list[Sent]) -> float:
    """Return the mean time in the queue in the second half of a run."""
    half = sent[-1].left_at / 2
    return statistics.fmean(item.sojourn_s for item in sent if item.arrived_at > half)


def late_share(drops: list[float], arrivals: list[tuple[float, Frame]]) -> float:
    """Return which part of the frames of the second half minute was dropped."""
    return sum(now > 30 for now in drops) / sum(now > 30 for now, _ in arrivals)


def too_much(arrivals: list[tuple[float, Frame]]) -> float:
    """Return which part of them the link could not carry."""
    load_bps = sum(len(item) for now, item in arrivals if now > 30) * 8 / 30
    return 1 - RATE_BPS / load_bps


def test_red_spreads_its_marks_evenly() -> None:
    # Section 7 of the paper, with the algorithm of its section 4: for p_b = 0.1 the gaps between
    # marks are uniform in 1..9. Chi-square, 8 degrees of freedom, 0.1 %: 26.1.
    queue = Red(
        Random(5),
        RedConfig(
            limit_bytes=10**6,
            min_bytes=10_000,
            max_bytes=20_000,
            avpkt_bytes=1000,
            w_q=1e-12,
            probability=0.2,
            ecn=True,
        ),
    )
    queue.report = lambda reason, item, now: None
    queue.enqueue(frame(1000), 0.0)
    queue.avg = 15_000.0
    gaps: Counter[int] = Counter()
    since = 0
    for _ in range(100_000):
        queue.enqueue(frame(1000, ecn=ECT_0), 0.0)
        queue.avg = 15_000.0
        since += 1
        if queue.count == 0:
            gaps[since] += 1
            since = 0
        if len(queue) > 500:
            for _ in range(400):
                queue.dequeue(0.0)
    assert set(gaps) <= set(range(1, 11))  # 10: where rounding leaves a chance of almost 1
    expected = sum(gaps.values()) / 9
    chi_square = sum((gaps[gap] - expected) ** 2 / expected for gap in range(1, 10))
    assert chi_square < 26.1


def test_red_holds_the_average_between_its_thresholds() -> None:
    # 5 % too much: the average settles where as much is dropped. With gaps of 1..1/p_b - 1 frames,
    # the share is 2 p_b, so p_b = 0.024, and the average (0.024 / 0.1) of the way from min to max.
    queue = Red(
        Random(5),
        RedConfig(
            limit_bytes=300_000,
            min_bytes=30_000,
            max_bytes=90_000,
            avpkt_bytes=1514,
            w_q=1 / 512,
            probability=0.1,
            bandwidth_bps=RATE_BPS,
        ),
    )
    averages: list[float] = []
    transmit(
        queue,
        steady(1.05 * RATE_BPS, 60.0, frame()),
        RATE_BPS,
        lambda now: averages.append(queue.avg) if 20 < now < 60 else None,
    )
    assert statistics.fmean(averages) == pytest.approx(30_000 + 0.24 * 60_000, rel=0.1)


def test_codel_drops_ever_faster_by_the_root_of_the_count() -> None:
    # Traffic that does not listen, so that the dropping never ends. Each drop comes with the first
    # frame after its instant: up to 1.2 ms late.
    queue = codel(Random(1), limit=100_000)
    drops: list[float] = []
    queue.report = lambda reason, item, now: drops.append(now)
    transmit(queue, steady(1.5 * RATE_BPS, 10.0, frame()), RATE_BPS)
    for number in (10, 50, 200, 500):
        law_s = 0.1 * sum(1 / math.sqrt(count) for count in range(1, number))
        assert drops[number - 1] - drops[0] == pytest.approx(law_s, abs=0.0025)


def test_codel_lets_bursts_pass_that_go_away_within_an_interval() -> None:
    queue = codel(Random(1))
    drops: list[str] = []
    queue.report = lambda reason, item, now: drops.append(reason)
    # 60 frames at once are 73 ms of queue; twice a second.
    bursts = [(number / 2, frame()) for number in range(20) for _ in range(60)]
    sent = transmit(queue, bursts, RATE_BPS)
    assert drops == []
    assert max(item.sojourn_s for item in sent) == pytest.approx(0.0715, abs=0.001)


@pytest.mark.parametrize("overload", [1.1, 1.25])
def test_pie_holds_its_target_under_overload(overload: float) -> None:
    # The integral part leaves no error: the delay settles at the target, and what is too much is
    # dropped, not more: the link stays busy.
    queue = pie(Random(3))
    drops: list[float] = []
    queue.report = lambda reason, item, now: drops.append(now)
    arrivals = list(steady(overload * RATE_BPS, 60.0, frame()))
    sent = transmit(queue, arrivals, RATE_BPS)
    assert late_sojourn_s(sent) == pytest.approx(0.015, rel=0.1)
    assert late_share(drops, arrivals) == pytest.approx(too_much(arrivals), abs=0.005)


def test_pie_does_nothing_while_the_link_keeps_up() -> None:
    queue = pie(Random(3))
    drops: list[str] = []
    queue.report = lambda reason, item, now: drops.append(reason)
    transmit(queue, poisson(Random(4), 0.8 * RATE_BPS, 30.0, frame()), RATE_BPS)
    assert drops == []


@pytest.mark.parametrize("overload", [1.05, 1.2])
def test_dualpi2_holds_its_target_for_classic_traffic(overload: float) -> None:
    queue = dualpi2(Random(1))
    drops: list[float] = []
    queue.report = lambda reason, item, now: drops.append(now)
    arrivals = list(steady(overload * RATE_BPS, 60.0, frame()))
    sent = transmit(queue, arrivals, RATE_BPS)
    assert late_sojourn_s(sent) == pytest.approx(0.015, rel=0.1)
    assert late_share(drops, arrivals) == pytest.approx(too_much(arrivals), abs=0.005)


def test_dualpi2_marks_l4s_traffic_with_twice_the_root_of_the_classic_drops() -> None:
    # RFC 9332 section 2.1: p_C = (p_CL / k)**2 with k = 2. A quarter of the load is L4S, so it
    # does not build a queue of its own.
    queue = dualpi2(Random(1))
    reports: Counter[str] = Counter()

    def report(reason: str, item: object, now: float) -> None:
        reports[reason] += now > 30

    queue.report = report
    arrivals = mixed(
        poisson(Random(4), 0.80 * RATE_BPS, 90.0, frame()),
        poisson(Random(5), 0.25 * RATE_BPS, 90.0, frame(500, ecn=ECT_1)),
    )
    sent = transmit(queue, arrivals, RATE_BPS)
    l4s = [item for item in sent if item.arrived_at > 30 and codepoint(item.frame) & ECT_1]
    classic_in = sum(1 for now, item in arrivals if now > 30 and not codepoint(item))
    p_c = reports["dualpi2_drop"] / classic_in
    p_cl = reports["dualpi2_coupled_mark"] / len(l4s)
    assert p_c > 0.03
    assert p_cl == pytest.approx(2 * math.sqrt(p_c), rel=0.05)
    assert sum(codepoint(item.frame) == CE for item in l4s) == sum(
        count for reason, count in reports.items() if reason.endswith("_mark")
    )
    # and it does not wait for the classic traffic: about a frame or two
    assert statistics.median(item.sojourn_s for item in l4s) < 0.0015
