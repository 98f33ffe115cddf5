"""Prague beside DualPI2 in a whole network: queueing delay, utilization, and who gets what.

`docs/tcp.md` has the figures; run as a script, this file prints them.
"""

from statistics import quantiles
from typing import NamedTuple

import pytest
from flows import Flow, run_flows
from watched_queue import WatchedQueue

from pystack.wire import ecn

FULL_FRAME = 1514 / 1448  # with its headers, by the text in it


class Seen(NamedTuple):
    """What a run came to, from `settle_s` on."""

    rates_bps: list[float]
    share: float  # of the line that was used
    l_ms: tuple[float, float]  # how long frames with ECT(1) or CE waited: median, 99 %
    c_ms: tuple[float, float]  # the same for all others
    marked: float  # the part of the frames with ECT(1) that was marked


def run(
    *flows: Flow,
    rate_bps: float,
    delay_s: float,
    qdisc: str = "dualpi2",
    seconds: float = 8.0,
    settle_s: float = 3.0,
) -> Seen:
    """Let flows share a line with such a queue."""
    queue = WatchedQueue(qdisc)
    rates = run_flows(
        *flows,
        seconds=seconds,
        settle_s=settle_s,
        rate=rate_bps,
        delay=delay_s,
        qdisc=queue.itself,
    )
    first = queue.sojourns_s[0][0]
    waits: tuple[list[float], list[float]] = ([], [])
    marks = 0
    for at, wait_s, frame in queue.sojourns_s:
        if at - first >= settle_s and len(frame.data) > 1000:
            codepoint = ecn.codepoint(frame)
            waits[codepoint & 1].append(wait_s * 1000)
            marks += codepoint == ecn.CE
    return Seen(
        rates,
        sum(rates) * FULL_FRAME / rate_bps,
        _middle_and_end(waits[1]),
        _middle_and_end(waits[0]),
        marks / max(len(waits[1]), 1),
    )


def _middle_and_end(waits_ms: list[float]) -> tuple[float, float]:
    if len(waits_ms) < 100:
        return (0.0, 0.0)
    cuts = quantiles(waits_ms, n=100)
    return cuts[49], cuts[98]


# Rates in bit/s, and delays one way in s
LINES = (
    (2e6, 0.01),
    (5e6, 0.01),
    (10e6, 0.0025),
    (10e6, 0.01),
    (10e6, 0.04),
    (40e6, 0.005),
    (40e6, 0.02),
)
SHARED = ((20e6, 0.005), (20e6, 0.02), (40e6, 0.01))
OTHER_QUEUES = ("codel ecn", "fq_codel", "codel", "pfifo limit 100")
NEAR_S = 0.0005  # an access link that adds little


@pytest.mark.parametrize(("rate_bps", "delay_s"), LINES[2:4])
def test_alone_prague_uses_the_line_and_waits_for_a_millisecond(
    rate_bps: float, delay_s: float
) -> None:
    seen = run(Flow("prague"), rate_bps=rate_bps, delay_s=delay_s, seconds=7, settle_s=4)
    assert seen.share > 0.95
    assert seen.l_ms[0] < 1.0
    assert seen.l_ms[1] < 2.6  # two full frames
    assert 0.05 < seen.marked < 0.3
    assert seen.c_ms == (0.0, 0.0)  # nothing of it is in the other queue


@pytest.mark.parametrize(
    ("rate_bps", "words", "least"),
    [(2e6, "", 0.78), (5e6, "", 0.88), (2e6, "min_qlen_step 2", 0.97)],
)
def test_a_line_on_which_a_frame_takes_longer_than_the_step_is_used_by_fractions_of_segments(
    rate_bps: float, words: str, least: float
) -> None:
    """Of whole segments alone 47 and 80 % were; the rest is what marks without a queue cost."""
    seen = run(Flow("prague"), rate_bps=rate_bps, delay_s=0.01, qdisc=f"dualpi2 {words}")
    assert seen.share > least


def test_two_on_a_narrow_and_near_line_both_get_on() -> None:
    """With windows down to a tenth of a segment one had a fifth of the other's rate, or less."""
    seen = run(Flow("prague"), Flow("prague"), rate_bps=1e6, delay_s=0.001, seconds=10, settle_s=4)
    assert min(seen.rates_bps) > 0.6 * max(seen.rates_bps)
    assert seen.share > 0.93
    assert seen.l_ms[1] < 40.0  # it was 88


def test_prague_and_cubic_share_the_line_and_only_cubic_waits() -> None:
    prague, cubic = Flow("prague", access_s=NEAR_S), Flow("cubic", access_s=NEAR_S)
    # A frame of the other queue may be on the line, and one's own: 2.4 ms (RFC 9332 section 2.5.1).
    qdisc = "dualpi2 step_thresh 2.5ms"
    seen = run(prague, cubic, rate_bps=10e6, delay_s=0.01, qdisc=qdisc, seconds=9, settle_s=3)
    assert seen.share > 0.97
    assert 0.5 < seen.rates_bps[0] / seen.rates_bps[1] < 2.0
    assert seen.l_ms[1] < 3.0
    assert 10.0 < seen.c_ms[0] < 22.0  # the target of 15 ms


def test_shorter_round_trips_get_no_more() -> None:
    near, far = Flow("prague", access_s=NEAR_S), Flow("prague", access_s=0.0095)
    seen = run(near, far, rate_bps=10e6, delay_s=0.002, seconds=8, settle_s=3)
    assert 0.4 < seen.rates_bps[0] / seen.rates_bps[1] < 1.5  # by round trips it would be 4.5


@pytest.mark.parametrize("qdisc", ["fq_codel", "pfifo limit 50"])
def test_on_a_queue_of_the_older_kind_prague_uses_the_line_too(qdisc: str) -> None:
    seen = run(Flow("prague"), rate_bps=10e6, delay_s=0.01, qdisc=qdisc, seconds=7, settle_s=3)
    assert seen.share > 0.9
    if qdisc == "fq_codel":  # of which it keeps to the target of 5 ms
        assert seen.l_ms[0] < 12.0


def _line(name: str, *flows: Flow, **words: float | str) -> None:
    seen = run(*flows, **words)  # type: ignore[arg-type]
    rates = " ".join(f"{rate / 1e6:.2f}" for rate in seen.rates_bps)
    print(
        f"{name}: {rates} Mbit/s, {seen.share:.0%} of the line; L {seen.l_ms[0]:.1f} and "
        f"{seen.l_ms[1]:.1f} ms, C {seen.c_ms[0]:.1f} and {seen.c_ms[1]:.1f} ms; "
        f"{seen.marked:.1%} marked",
        flush=True,
    )


def main() -> None:
    """Print the figures of docs/tcp.md."""
    for rate_bps, delay_s in LINES:
        name = f"prague, {rate_bps / 1e6:.0f} Mbit/s, {2000 * delay_s:.0f} ms"
        _line(name, Flow("prague"), rate_bps=rate_bps, delay_s=delay_s)
    for rate_bps, delay_s in SHARED:
        flows = Flow("prague", access_s=NEAR_S), Flow("cubic", access_s=NEAR_S)
        name = f"prague and cubic, {rate_bps / 1e6:.0f} Mbit/s, {2000 * delay_s:.0f} ms"
        _line(name, *flows, rate_bps=rate_bps, delay_s=delay_s, seconds=15, settle_s=5)
    for access_s in (0.0095, 0.0295):
        flows = Flow("prague", access_s=NEAR_S), Flow("prague", access_s=access_s)
        name = f"two, {2000 * (NEAR_S + 0.002):.0f} and {2000 * (access_s + 0.002):.0f} ms"
        _line(name, *flows, rate_bps=20e6, delay_s=0.002, seconds=15, settle_s=5)
    for qdisc in OTHER_QUEUES:
        _line(f"prague, {qdisc}", Flow("prague"), rate_bps=20e6, delay_s=0.01, qdisc=qdisc)


if __name__ == "__main__":
    main()
