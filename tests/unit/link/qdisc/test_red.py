"""RED: the average of the paper, its thresholds, and what is marked or dropped."""

import pytest
from queue_frames import Reports, frame

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.qdisc.red import Red, RedConfig, weight_for_burst
from pystack.wire.ecn import CE, ECT_0, codepoint


def red(**words: object) -> Red:
    config = {
        "limit_bytes": 100_000,
        "min_bytes": 10_000,
        "max_bytes": 30_000,
        "avpkt_bytes": 1000,
        "w_q": 0.5,
        "probability": 1.0,
        **words,
    }
    return Red(Random(3), RedConfig(**config))  # type: ignore[arg-type]


def test_each_arrival_moves_the_average_by_the_weight() -> None:
    queue = red(w_q=0.25)
    averages = []
    for _ in range(4):
        queue.enqueue(frame(1000), 0.0)
        averages.append(queue.avg)
    # the queue that an arrival finds: 0, 1000, 2000, 3000 bytes
    assert averages == [0.0, 250.0, 687.5, 1265.625]


def test_idle_time_counts_as_small_frames_that_found_nothing() -> None:
    queue = red(w_q=0.5, bandwidth_bps=8e6)  # a frame of avpkt takes 1 ms
    queue.enqueue(frame(1000), 0.0)
    queue.avg = 8192.0
    queue.dequeue(1.0)
    queue.enqueue(frame(1000), 1.003)
    assert queue.avg == pytest.approx(1024.0, rel=1e-9)  # 3 ms: halved three times


def test_below_min_nothing_is_dropped() -> None:
    queue = red()
    reports = Reports(queue)
    for _ in range(10):
        queue.enqueue(frame(1000), 0.0)
    assert queue.avg < 10_000
    assert reports == []


def test_between_min_and_max_chance_decides() -> None:
    queue = red(w_q=1e-9)
    reports = Reports(queue)
    queue.enqueue(frame(1000), 0.0)
    queue.avg = 20_000.0  # p_b = 0.5: the first time it is one of two, the second time for sure
    for _ in range(40):
        queue.enqueue(frame(1000), 0.0)
        queue.avg = 20_000.0
    assert set(reports.reasons) == {"red_early"}
    assert 20 <= len(reports) <= 40


def test_above_max_every_frame_is_dropped() -> None:
    queue = red(w_q=1e-9)
    reports = Reports(queue)
    queue.enqueue(frame(1000), 0.0)
    queue.avg = 30_000.5
    for _ in range(3):
        queue.enqueue(frame(1000, tos=ECT_0), 0.0)
    assert reports.reasons == ["red_forced"] * 3
    assert len(queue) == 1


def test_with_ecn_both_kinds_are_marks() -> None:
    queue = red(w_q=1e-9, ecn=True)
    reports = Reports(queue)
    queue.enqueue(frame(1000), 0.0)
    for average in (29_999.0, 29_999.0, 31_000.0):
        queue.avg = average
        queue.enqueue(frame(1000, tos=ECT_0), 0.0)
    assert reports.reasons[-2:] == ["red_mark", "red_forced_mark"]
    assert [codepoint(item) for item in queue.drain(0.0)][-2:] == [CE, CE]


def test_ecn_drops_what_cannot_be_marked_unless_told_not_to() -> None:
    for nodrop, reasons in ((False, ["red_forced"]), (True, [])):
        queue = red(w_q=1e-9, ecn=True, nodrop=nodrop)
        reports = Reports(queue)
        queue.enqueue(frame(1000), 0.0)
        queue.avg = 31_000.0
        queue.enqueue(frame(1000), 0.0)
        assert reports.reasons == reasons


def test_harddrop_drops_above_max_in_spite_of_ecn() -> None:
    queue = red(w_q=1e-9, ecn=True, harddrop=True)
    reports = Reports(queue)
    queue.enqueue(frame(1000), 0.0)
    queue.avg = 31_000.0
    queue.enqueue(frame(1000, tos=ECT_0), 0.0)
    assert reports.reasons == ["red_forced"]


def test_the_limit_is_of_the_real_queue() -> None:
    queue = red(w_q=1e-9, limit_bytes=30_000)
    reports = Reports(queue)
    for _ in range(31):
        queue.enqueue(frame(1000), 0.0)
    assert reports.reasons == ["red_full"]
    assert queue.backlog_bytes == 30_000


def test_the_weight_lets_a_burst_pass_below_min() -> None:
    # The paper's example (section 6.1): min of 5 packets, bursts of 50: w_q up to 0.0042. tc takes
    # a power of 1/2, and rounds down twice.
    w_q = weight_for_burst(50, 5000, 1000)
    assert w_q == 1 / 512
    averages = []
    for weight in (w_q, 0.0042, 4 * w_q):
        queue = red(w_q=weight, min_bytes=5000)
        for _ in range(51):
            queue.enqueue(frame(1000), 0.0)
        averages.append(round(queue.avg))
    assert averages == [2413, 5005, 8687]


@pytest.mark.parametrize(
    "words",
    [
        {"min_bytes": 0},
        {"min_bytes": 40_000},
        {"limit_bytes": 20_000},
        {"w_q": 0.0},
        {"nodrop": True},
    ],
)
def test_what_cannot_be_is_refused(words: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        red(**words)


def test_a_burst_that_no_weight_allows_is_refused() -> None:
    with pytest.raises(ConfigError, match="burst at least min / avpkt"):
        weight_for_burst(4, 5000, 1000)
