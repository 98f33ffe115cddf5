"""tbf: the burst at once, then the rate; the peak rate; tokens that come back."""

import math

import pytest
from queue_frames import Reports, frame

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.qdisc.tbf import Tbf, tbf


def shaper(**words: str) -> Tbf:
    return tbf(Random(1), **{"rate": "8mbit", "burst": "2000", "limit": "100kb", **words})


def departures(queue: Tbf, now: float) -> list[float]:
    """Take frames at the instants that the queue itself names."""
    instants = []
    while len(queue):
        now = queue.next_at(now)
        assert queue.dequeue(now) is not None
        instants.append(now)
    return instants


def test_the_burst_goes_at_once_and_the_rest_at_the_rate() -> None:
    queue = shaper()  # 1 byte a microsecond
    for _ in range(4):
        queue.enqueue(frame(1000), 10.0)
    assert departures(queue, 10.0) == pytest.approx([10.0, 10.0, 10.001, 10.002], abs=1e-12)


def test_before_there_are_tokens_there_is_no_frame() -> None:
    queue = shaper()
    for _ in range(3):
        queue.enqueue(frame(1000), 10.0)
    assert queue.dequeue(10.0) is not None
    assert queue.dequeue(10.0) is not None
    assert queue.dequeue(10.0009) is None
    assert len(queue) == 1
    assert queue.dequeue(queue.next_at(10.0009)) is not None


def test_tokens_come_back_up_to_the_burst() -> None:
    queue = shaper()
    for instant in (0.0, 100.0):
        for _ in range(3):
            queue.enqueue(frame(1000), instant)
        assert departures(queue, instant) == pytest.approx(
            [instant, instant, instant + 0.001], abs=1e-9
        )


def test_the_peak_rate_spreads_the_burst() -> None:
    queue = shaper(burst="4000", peakrate="16mbit", mtu="1000")
    for _ in range(10):
        queue.enqueue(frame(1000), 0.0)
    # 1000 bytes each 0.5 ms until the burst is used up, then each 1 ms
    gaps = [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0]
    assert departures(queue, 0.0) == pytest.approx([gap / 1000 for gap in gaps], abs=1e-12)


def test_a_small_frame_costs_the_mpu() -> None:
    queue = shaper(mpu="500")
    for _ in range(6):
        queue.enqueue(frame(64), 0.0)
    assert departures(queue, 0.0) == pytest.approx([0, 0, 0, 0, 0.0005, 0.001], abs=1e-12)


def test_what_never_fits_in_the_bucket_is_dropped_at_once() -> None:
    queue = shaper()
    reports = Reports(queue)
    queue.enqueue(frame(2001), 3.0)
    assert reports.reasons == ["tbf_too_big"]
    assert queue.next_at(3.0) == math.inf


def test_the_limit_counts_bytes() -> None:
    queue = shaper(limit="2500")
    reports = Reports(queue)
    for _ in range(3):
        queue.enqueue(frame(1000), 0.0)
    assert reports.reasons == ["tbf_full"]
    assert queue.backlog_bytes == 2000


def test_latency_makes_the_limit_of_what_leaves_in_that_time() -> None:
    assert tbf(Random(1), rate="8mbit", burst="2000", latency="50ms").limit_bytes == 52_000
    peak = tbf(
        Random(1), rate="8mbit", burst="90000", latency="50ms", peakrate="16mbit", mtu="1514"
    )
    assert peak.limit_bytes == 101_514


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ({"latency": "50ms"}, "either a limit or a latency"),
        ({"peakrate": "8mbit"}, "above the rate"),
        ({"burst": "0"}, "0 bytes"),
        ({"mpu": "3000"}, "larger than the bucket"),
    ],
)
def test_what_cannot_be_is_refused(words: dict[str, str], part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        shaper(**words)
