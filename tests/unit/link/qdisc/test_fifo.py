"""pfifo, bfifo, pfifo_head_drop: limits in packets and bytes, at the tail and at the head."""

import math

import pytest
from queue_frames import Reports, frame

from pystack.link.qdisc.fifo import Fifo


def test_the_order_is_kept() -> None:
    fifo = Fifo(limit_packets=10)
    frames = [frame(100 + number) for number in range(5)]
    for item in frames:
        fifo.enqueue(item, 1.0)
    assert [fifo.dequeue(2.0) for _ in range(6)] == [*frames, None]


def test_it_is_ready_now_or_never() -> None:
    fifo = Fifo(limit_packets=1)
    assert fifo.next_at(5.0) == math.inf
    fifo.enqueue(frame(), 5.0)
    assert fifo.next_at(5.0) == 5.0


def test_tail_drop_in_packets_drops_what_arrives() -> None:
    fifo = Fifo(limit_packets=2)
    reports = Reports(fifo)
    frames = [frame(100 + number) for number in range(3)]
    for item in frames:
        fifo.enqueue(item, 1.5)
    assert reports == [("pfifo_full", frames[2], 1.5)]
    assert fifo.drain(2.0) == frames[:2]
    assert (len(fifo), fifo.backlog_bytes) == (0, 0)


def test_head_drop_in_packets_drops_the_oldest() -> None:
    fifo = Fifo(limit_packets=2, head_drop=True)
    reports = Reports(fifo)
    frames = [frame(100 + number) for number in range(3)]
    for item in frames:
        fifo.enqueue(item, 1.5)
    assert reports == [("pfifo_full_head", frames[0], 1.5)]
    assert fifo.drain(2.0) == frames[1:]


def test_tail_drop_in_bytes_lets_a_smaller_frame_in() -> None:
    fifo = Fifo(limit_bytes=1000)
    reports = Reports(fifo)
    for size in (600, 500, 400):
        fifo.enqueue(frame(size), 0.0)
    assert reports.reasons == ["bfifo_full"]
    assert [len(item) for item in fifo.drain(0.0)] == [600, 400]


def test_head_drop_in_bytes_drops_as_many_as_it_takes() -> None:
    fifo = Fifo(limit_bytes=1000, head_drop=True)
    reports = Reports(fifo)
    for size in (300, 300, 300, 700):
        fifo.enqueue(frame(size), 0.0)
    assert reports.reasons == ["bfifo_full_head", "bfifo_full_head"]
    assert [len(item) for item in fifo.drain(0.0)] == [300, 700]


@pytest.mark.parametrize("head_drop", [False, True])
def test_a_frame_above_the_limit_in_bytes_empties_no_queue(head_drop: bool) -> None:
    fifo = Fifo(limit_bytes=1000, head_drop=head_drop)
    reports = Reports(fifo)
    fifo.enqueue(frame(500), 0.0)
    fifo.enqueue(frame(1001), 0.0)
    assert reports.reasons == ["bfifo_full"]
    assert len(fifo) == 1
