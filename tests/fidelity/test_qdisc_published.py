"""The queues do to TCP what their papers say they do, in the papers' own scenarios.

Real connections of ours through one bottleneck; NewReno, as in the papers.
"""

import math
import statistics

import pytest
from flows import Flow, jain, run_flows
from qdisc_line import frame
from watched_queue import WatchedQueue

from pystack.core.rng import Random
from pystack.link.qdisc.red import Red, RedConfig

RATE_BPS = 10e6
# What is left of it for TCP's payload: 1448 of 1514 bytes.
GOODPUT_BPS = RATE_BPS * 1448 / 1514


def many(count: int) -> list[Flow]:
    """Return flows that begin one after the other: ARP has to pass the queue as well."""
    return [Flow("newreno", start_s=number * 0.3) for number in range(count)]


@pytest.mark.parametrize(("count", "settle_s"), [(5, 15.0), (50, 25.0)])
def test_pie_holds_its_target_with_few_flows_and_with_many(count: int, settle_s: float) -> None:
    # Pan and others, "PIE" (HPSR 2013): 5 and 50 flows, 10 Mbit/s, 100 ms, a reference delay of
    # 20 ms, which is held with both, while the link stays busy.
    queue = WatchedQueue("pie target 20ms limit 200")
    flows = many(count)
    rates = run_flows(
        *flows,
        seconds=settle_s + 25,
        settle_s=settle_s,
        rate=RATE_BPS,
        delay="50ms",
        qdisc=queue.itself,
    )
    delays_s = queue.delays_s(settle_s)
    assert statistics.fmean(delays_s) == pytest.approx(0.020, rel=0.15)
    assert statistics.median(delays_s) == pytest.approx(0.020, rel=0.15)
    assert sum(rates) > 0.95 * GOODPUT_BPS
    assert jain(rates) > 0.95


def test_a_long_queue_without_pie_is_always_full() -> None:
    # The other half of the same figures: drop-tail, 200 frames, 240 ms.
    queue = WatchedQueue("pfifo limit 200")
    run_flows(*many(5), seconds=35, settle_s=15, rate=RATE_BPS, delay="50ms", qdisc=queue.itself)
    assert statistics.median(queue.delays_s(15)) > 0.15


def test_one_reno_flow_uses_as_much_of_a_codel_link_as_its_sawtooth_lets() -> None:
    # RFC 8289 sets the target to f = 5 % of the round trip. Reno's window then goes from
    # (1 + f) / 2 of what the path holds to 1 + f, and the link is idle for a triangle of that.
    queue = WatchedQueue("codel limit 1000 target 5ms interval 100ms")
    (rate_bps,) = run_flows(
        Flow("newreno"), seconds=75, settle_s=25, rate=RATE_BPS, delay="50ms", qdisc=queue.itself
    )
    f = 0.05
    used = 1 - (1 - f) ** 2 / (4 * (1 + f))
    assert rate_bps / GOODPUT_BPS == pytest.approx(used, abs=0.03)
    delays_s = queue.delays_s(25)
    assert delays_s[len(delays_s) // 2] < 0.005


def test_codel_keeps_the_median_of_several_flows_below_its_target() -> None:
    # Nichols and Jacobson, "Controlling queue delay" (ACM Queue 2012): a standing queue goes, and
    # the short one that is left keeps the link busy.
    queue = WatchedQueue("codel limit 1000")
    rates = run_flows(
        *many(4), seconds=40, settle_s=15, rate=RATE_BPS, delay="50ms", qdisc=queue.itself
    )
    delays_s = queue.delays_s(15)
    assert delays_s[len(delays_s) // 2] < 0.005
    assert delays_s[len(delays_s) * 95 // 100] < 0.020
    assert sum(rates) > 0.88 * GOODPUT_BPS
    assert jain(rates) > 0.95


def test_dualpi2_gives_a_scalable_flow_its_share_and_next_to_no_delay() -> None:
    # RFC 9332 section 1: both kinds of traffic share one link without a scheduler of flows; L4S
    # waits less than a millisecond, classic traffic for the target. DCTCP of ours sends ECT(0), so
    # that is let into the L queue, and in bursts, so the step is 5 ms. How even the shares are
    # depends on the round trips, which the delay itself makes different: a factor of 3 at the most.
    queue = WatchedQueue("dualpi2 any_ect step_thresh 5ms")
    rates = run_flows(
        Flow("dctcp"),
        Flow("newreno", start_s=1),
        seconds=30,
        settle_s=10,
        rate="40mbit",
        delay="5ms",
        qdisc=queue.itself,
        server_congestion="dctcp",
    )
    assert sum(rates) > 0.95 * 4 * GOODPUT_BPS
    assert max(rates) < 3 * min(rates)
    assert statistics.fmean(queue.delays_s(10, ecn=True)) < 0.001
    assert statistics.fmean(queue.delays_s(10, ecn=False)) == pytest.approx(0.015, abs=0.005)


@pytest.mark.parametrize(("w_q", "arrivals"), [(0.001, 1000), (0.002, 500), (0.003, 333)])
def test_reds_average_takes_as_many_arrivals_as_the_paper_says(w_q: float, arrivals: int) -> None:
    # Floyd and Jacobson 1993, section 6.2: a queue that goes from nothing to one packet, and stays;
    # the average is at 0.63 after -1 / ln(1 - w_q) arrivals.
    queue = Red(
        Random(1),
        RedConfig(
            limit_bytes=10**6,
            min_bytes=500_000,
            max_bytes=900_000,
            avpkt_bytes=1000,
            w_q=w_q,
            probability=0.02,
        ),
    )
    queue.enqueue(frame(1000), 0.0)
    for _ in range(arrivals):
        queue.enqueue(frame(1000), 0.0)
        queue.dequeue(0.0)
    assert queue.avg / 1000 == pytest.approx(1 - 1 / math.e, abs=0.002)
