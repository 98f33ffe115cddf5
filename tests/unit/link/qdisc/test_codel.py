"""CoDel: the control law and the state machine of RFC 8289 section 5, at literal instants.

Powers of two, so that instants are exact: target 1/128 s, interval 1/8 s.
"""

import math

import pytest
from queue_frames import Reports, frame

from pystack.core.rng import Random
from pystack.link.qdisc.codel import Codel, CodelControl, codel
from pystack.wire.ecn import CE, ECT_0, codepoint

TARGET_S = 1 / 128
INTERVAL_S = 1 / 8
STEP_S = 1 / 1024


def queue_of(count: int, *, ecn: bool = False, tos: int = 0, size: int = 1514) -> Codel:
    """Return a queue in which `count` frames have waited since 0."""
    queue = Codel(
        CodelControl(target_s=TARGET_S, interval_s=INTERVAL_S, ecn=ecn), limit_packets=2000
    )
    for _ in range(count):
        queue.enqueue(frame(size, tos=tos), 0.0)
    return queue


def take_each_step(queue: Codel, first: int, last: int) -> None:
    for number in range(first, last + 1):
        queue.dequeue(number * STEP_S)


@pytest.mark.rfc("8289", "3.3")
def test_the_control_law_divides_the_interval_by_the_root_of_the_count() -> None:
    control = CodelControl(interval_s=0.1)
    gaps = [round(control.law(0.0, count) * 1000, 3) for count in (1, 2, 3, 4, 5, 9, 16, 100)]
    assert gaps == [100.0, 70.711, 57.735, 50.0, 44.721, 33.333, 25.0, 10.0]


@pytest.mark.rfc("8289", "5.6")
def test_the_first_drop_comes_an_interval_after_the_delay_went_above_target() -> None:
    queue = queue_of(500)
    reports = Reports(queue)
    take_each_step(queue, 0, 135)
    assert reports == []
    # the frame at step 8 waited for 8/1024 s = target; 128 steps are an interval
    take_each_step(queue, 136, 136)
    assert reports.reasons == ["codel_drop"]


@pytest.mark.rfc("8289", "5.5")
def test_drops_follow_the_control_law() -> None:
    queue = queue_of(1500)
    reports = Reports(queue)
    take_each_step(queue, 0, 700)
    ideal = [136 / 1024, 136 / 1024 + 0.125]
    while len(ideal) < len(reports):
        ideal.append(ideal[-1] + INTERVAL_S / math.sqrt(len(ideal)))
    assert len(reports) == 9
    # each at the first frame that leaves after its instant
    assert reports.instants == [math.ceil(instant / STEP_S) * STEP_S for instant in ideal]


@pytest.mark.rfc("8289", "5.6")
def test_one_frame_below_target_ends_the_dropping() -> None:
    queue = queue_of(200)
    reports = Reports(queue)
    take_each_step(queue, 0, 136)
    assert queue.queue.dropping
    queue.drain(0.135)
    queue.enqueue(frame(), 0.2)
    queue.enqueue(frame(), 0.2)
    assert queue.dequeue(0.2) is not None
    assert not queue.queue.dropping
    assert len(reports) == 1


@pytest.mark.rfc("8289", "5.6")
def test_the_last_full_frame_is_never_dropped() -> None:
    queue = queue_of(2)
    reports = Reports(queue)
    # One frame stays behind the first: not more than maxpacket, so it's no standing queue.
    assert queue.dequeue(10.0) is not None
    assert queue.dequeue(20.0) is not None
    assert reports == []


@pytest.mark.rfc("8289", "5.5")
def test_who_comes_back_soon_goes_on_with_the_rate_that_was_needed() -> None:
    queue = queue_of(1500)
    take_each_step(queue, 0, 700)
    assert queue.queue.count == 9
    queue.drain(0.7)
    for _ in range(300):
        queue.enqueue(frame(), 0.7)
    take_each_step(queue, 725, 725 + 128)
    # 9 drops, 8 of them after the first: it goes on with 8, not with 1
    assert queue.queue.dropping
    assert queue.queue.count == 8


@pytest.mark.rfc("8289", "5.5")
def test_who_comes_back_late_starts_anew() -> None:
    queue = queue_of(1500)
    take_each_step(queue, 0, 700)
    queue.drain(0.7)
    for _ in range(300):
        queue.enqueue(frame(), 10.0)
    take_each_step(queue, 10 * 1024 + 8, 10 * 1024 + 8 + 128)
    assert queue.queue.dropping
    assert queue.queue.count == 1


def test_with_ecn_a_mark_takes_the_place_of_a_drop() -> None:
    queue = queue_of(700, ecn=True, tos=ECT_0)
    reports = Reports(queue)
    sent = [queue.dequeue(number * STEP_S) for number in range(500)]
    assert None not in sent
    assert set(reports.reasons) == {"codel_mark"}
    assert [item for _, item, _ in reports] == [
        item for item in sent if item is not None and codepoint(item) == CE
    ]
    assert reports.instants[:2] == [136 / 1024, 264 / 1024]


def test_ecn_drops_what_cannot_be_marked() -> None:
    queue = queue_of(500, ecn=True)
    reports = Reports(queue)
    take_each_step(queue, 0, 200)
    assert reports.reasons == ["codel_drop"]


def test_above_the_ce_threshold_each_capable_frame_is_marked() -> None:
    queue = codel(Random(1), ce_threshold="1ms")
    reports = Reports(queue)
    for tos in (ECT_0, ECT_0, 0, CE):
        queue.enqueue(frame(tos=tos), 0.0)
    for instant in (0.0009, 0.0011, 0.0011, 0.0011):
        assert queue.dequeue(instant) is not None
    assert reports.reasons == ["codel_ce_threshold_mark"]
    assert reports.instants == [0.0011]


def test_the_limit_drops_what_arrives() -> None:
    queue = codel(Random(1), limit=3)
    reports = Reports(queue)
    for _ in range(4):
        queue.enqueue(frame(), 1.0)
    assert reports.reasons == ["codel_full"]
    assert (len(queue), queue.backlog_bytes) == (3, 3 * 1514)


def test_the_defaults_are_those_of_the_man_page() -> None:
    queue = codel(Random(1))
    control = queue.queue.control
    assert (control.target_s, control.interval_s, queue.limit_packets) == (0.005, 0.1, 1000)
    assert not control.ecn
