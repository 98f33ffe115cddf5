"""FQ-CoDel: flows, turns, new before old, and who pays at the limit (RFC 8290)."""

import pytest
from queue_frames import Reports, frame

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.qdisc.fq_codel import FqCodel, fq_codel
from pystack.wire.ecn import ECT_0
from pystack.wire.frame import Frame


def port_of(item: Frame | None) -> int:
    assert item is not None
    return int.from_bytes(item.data[34:36], "big")


def ports(queue: FqCodel, count: int, now: float = 0.0) -> list[int]:
    return [port_of(queue.dequeue(now)) for _ in range(count)]


def queue_with(**words: object) -> FqCodel:
    return fq_codel(Random(1), **words)  # type: ignore[arg-type]


@pytest.mark.rfc("8290", "4.2")
def test_two_flows_take_turns_of_a_quantum() -> None:
    queue = queue_with()
    for port in (1, 2):
        for _ in range(3):
            queue.enqueue(frame(1514, port=port), 0.0)
    assert ports(queue, 6) == [1, 2, 1, 2, 1, 2]


@pytest.mark.rfc("8290", "4.2")
def test_a_turn_is_counted_in_bytes() -> None:
    queue = queue_with()
    for _ in range(2):
        queue.enqueue(frame(1514, port=1), 0.0)
    for _ in range(6):
        queue.enqueue(frame(757, port=2), 0.0)
    assert ports(queue, 8) == [1, 2, 2, 1, 2, 2, 2, 2]


@pytest.mark.rfc("8290", "4.2")
def test_a_new_flow_goes_before_the_old_ones() -> None:
    queue = queue_with()
    for port in (1, 2):
        for _ in range(5):
            queue.enqueue(frame(port=port), 0.0)
    assert ports(queue, 3) == [1, 2, 1]
    queue.enqueue(frame(100, port=3), 0.0)
    assert ports(queue, 3) == [3, 2, 1]


@pytest.mark.rfc("8290", "4.2")
def test_an_empty_new_flow_becomes_an_old_one_so_that_it_cannot_starve_them() -> None:
    queue = queue_with()
    for port in (1, 2):
        for _ in range(5):
            queue.enqueue(frame(port=port), 0.0)
    assert ports(queue, 2) == [1, 2]
    queue.enqueue(frame(1000, port=3), 0.0)
    # 1000 of its 1514 bytes are used up: it is empty, then comes again. Its turn is over.
    assert ports(queue, 2) == [3, 1]
    queue.enqueue(frame(1000, port=3), 0.0)
    assert ports(queue, 3) == [2, 3, 1]


def test_over_the_limit_the_longest_flow_loses_its_oldest_half() -> None:
    queue = queue_with(limit=10)
    reports = Reports(queue)
    bulk = [frame(port=1) for _ in range(8)]
    for item in bulk:
        queue.enqueue(item, 0.0)
    for port in (2, 3):
        queue.enqueue(frame(100, port=port), 0.0)
    assert reports == []
    queue.enqueue(frame(100, port=4), 5.0)
    assert reports == [("fq_codel_overlimit", item, 5.0) for item in bulk[:4]]
    assert (len(queue), queue.backlog_bytes) == (7, 4 * 1514 + 300)


def test_no_more_than_a_batch_is_dropped_at_once() -> None:
    queue = queue_with(limit=10, drop_batch=2)
    reports = Reports(queue)
    for _ in range(11):
        queue.enqueue(frame(port=1), 0.0)
    assert len(reports) == 2


def test_the_memory_limit_counts_bytes() -> None:
    queue = queue_with(memory_limit=5000)
    reports = Reports(queue)
    for _ in range(4):
        queue.enqueue(frame(1514, port=1), 0.0)
    assert set(reports.reasons) == {"fq_codel_overlimit"}
    assert queue.backlog_bytes <= 5000


def test_each_flow_has_a_codel_of_its_own() -> None:
    queue = queue_with(target="5ms", interval="100ms")
    reports = Reports(queue)
    for _ in range(300):
        queue.enqueue(frame(port=1), 0.0)
    for number in range(250):
        now = number / 1000
        queue.enqueue(frame(100, port=2), now)
        assert port_of(queue.dequeue(now)) in (1, 2)
        queue.dequeue(now)
    assert set(reports.reasons) == {"fq_codel_drop"}
    assert {port_of(item) for _, item, _ in reports} == {1}


def test_ecn_is_on_unless_switched_off() -> None:
    for words, reason in (({}, "fq_codel_mark"), ({"ecn": False}, "fq_codel_drop")):
        queue = queue_with(**words)
        reports = Reports(queue)
        for _ in range(300):
            queue.enqueue(frame(tos=ECT_0), 0.0)
        for number in range(200):
            queue.dequeue(number / 1000)
        assert set(reports.reasons) == {reason}


def test_what_is_drained_comes_in_the_order_of_arrival() -> None:
    queue = queue_with()
    frames = [frame(port=port) for port in (1, 2, 3, 1, 2, 1)]
    for number, item in enumerate(frames):
        queue.enqueue(item, float(number))
    assert queue.drain(9.0) == frames
    assert (len(queue), queue.backlog_bytes, queue.dequeue(9.0)) == (0, 0, None)
    queue.enqueue(frames[0], 10.0)
    assert queue.dequeue(10.0) is frames[0]


def test_a_quantum_below_that_of_linux_is_refused() -> None:
    with pytest.raises(ConfigError, match="quantum of 100 bytes"):
        queue_with(quantum=100)
