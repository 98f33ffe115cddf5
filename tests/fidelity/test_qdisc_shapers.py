"""tbf keeps its rate, and never sends more than its bucket allows."""

from itertools import pairwise

import pytest
from qdisc_line import frame, poisson, steady, transmit

from pystack.core.rng import Random
from pystack.link.qdisc.registry import parse_qdisc

LINK_BPS = 1e9


@pytest.mark.parametrize("size", [64, 700, 1514])
@pytest.mark.parametrize("rate_bps", [64e3, 10e6, 77.7e6])
def test_the_rate_of_a_full_shaper_is_right_within_a_thousandth(size: int, rate_bps: float) -> None:
    queue = parse_qdisc(f"tbf rate {rate_bps}bit burst 3028 limit 1mb")(Random(1))
    until_s = 5000 * size * 8 / rate_bps
    sent = transmit(queue, steady(2 * rate_bps, until_s, frame(size)), LINK_BPS)
    after_burst = [item for item in sent if item.left_at > 0.1 * until_s]
    # the rate of what left between the first and the last of them
    size_bits = sum(len(item.frame) for item in after_burst[1:]) * 8
    measured_bps = size_bits / (after_burst[-1].left_at - after_burst[0].left_at)
    assert measured_bps == pytest.approx(rate_bps, rel=0.001)


def test_no_window_holds_more_than_the_burst_and_the_rate_allow() -> None:
    rate_bps, burst_bytes = 8e6, 6000
    queue = parse_qdisc(f"tbf rate {rate_bps}bit burst {burst_bytes} limit 100kb")(Random(1))
    sent = transmit(queue, poisson(Random(2), 7e6, 3.0, frame(1000)), LINK_BPS)
    assert len(sent) > 2000
    for first in range(0, len(sent), 7):
        total_bytes = 0
        for item in sent[first : first + 60]:
            total_bytes += len(item.frame)
            allowed = burst_bytes + (item.left_at - sent[first].left_at) * rate_bps / 8
            assert total_bytes <= allowed + 1e-6


def test_the_peak_rate_holds_between_any_two_frames() -> None:
    queue = parse_qdisc("tbf rate 8mbit burst 60kb limit 100kb peakrate 16mbit mtu 1000")(Random(1))
    sent = transmit(queue, steady(100e6, 0.008, frame(1000)), LINK_BPS)
    gaps = [later.left_at - earlier.left_at for earlier, later in pairwise(sent)]
    assert min(gaps) == pytest.approx(0.0005, rel=1e-6)
    assert max(gaps) <= 0.001 + 1e-9
