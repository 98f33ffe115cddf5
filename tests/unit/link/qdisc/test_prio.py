"""prio: bands in order, the priomap by TOS, queues inside."""

import math

import pytest
from queue_frames import Reports, frame

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.link.qdisc.codel import Codel
from pystack.link.qdisc.fifo import Fifo
from pystack.link.qdisc.prio import Prio, priority
from pystack.link.qdisc.registry import prio
from pystack.wire.frame import Frame


@pytest.mark.parametrize(
    ("tos", "expected"),
    [
        (0x00, 0),
        (0x08, 2),  # maximize throughput: bulk
        (0x10, 6),  # minimize delay: interactive
        (0x18, 4),  # both: interactive bulk
        (0xB8, 4),  # expedited forwarding has these bits, too
        (0x02, 0),  # ECT(0) is no matter of priority
        (0x13, 6),
    ],
)
def test_the_tos_bits_make_the_priority(tos: int, expected: int) -> None:
    assert priority(frame(tos=tos)) == expected


def test_what_is_not_ip_is_best_effort() -> None:
    assert priority(Frame(bytes(60))) == 0


def test_the_first_band_goes_first() -> None:
    queue = prio(Random(1))
    frames = {tos: frame(tos=tos) for tos in (0x08, 0x00, 0x10)}
    for item in frames.values():
        queue.enqueue(item, 0.0)
    assert [queue.dequeue(0.0) for _ in range(4)] == [frames[0x10], frames[0], frames[8], None]


def test_the_priomap_says_which_band() -> None:
    queue = prio(Random(1), bands=2, priomap=(0,) * 6 + (1,) * 10)
    interactive, plain = frame(tos=0x10), frame()
    queue.enqueue(interactive, 0.0)
    queue.enqueue(plain, 0.0)
    assert queue.dequeue(0.0) is plain


def test_each_band_may_have_its_own_queue_and_all_report() -> None:
    queue = prio(Random(1), qdiscs=("pfifo limit 1", "codel limit 1"))
    assert [type(band) for band in queue.bands] == [Fifo, Codel, Fifo]
    reports = Reports(queue)
    for tos in (0x10, 0x10, 0, 0):
        queue.enqueue(frame(tos=tos), 0.0)
    assert reports.reasons == ["pfifo_full", "codel_full"]
    assert (len(queue), queue.backlog_bytes) == (2, 2 * 1514)


def test_a_throttled_band_lets_the_next_one_pass() -> None:
    queue = prio(Random(1), qdiscs=("tbf rate 8kbit burst 1514 limit 10kb",))
    assert queue.next_at(0.0) == math.inf
    slow = [frame(1000, tos=0x10) for _ in range(2)]
    plain = frame()
    for item in (*slow, plain):
        queue.enqueue(item, 0.0)
    assert queue.dequeue(0.0) is slow[0]
    assert queue.dequeue(0.0) is plain
    assert queue.dequeue(0.0) is None
    assert queue.next_at(0.0) == pytest.approx(0.486)
    assert queue.dequeue(queue.next_at(0.0)) is slow[1]


def test_what_cannot_be_is_refused() -> None:
    fifos = [Fifo(limit_packets=1) for _ in range(2)]
    with pytest.raises(ConfigError, match="names band 2"):
        Prio(fifos)
    with pytest.raises(ConfigError, match="16 bands"):
        Prio(fifos, [0, 1])
    with pytest.raises(ConfigError, match="1 bands: there can be 2 to 16"):
        Prio(fifos[:1], [0] * 16)
    with pytest.raises(ConfigError, match="4 qdiscs for 3 bands"):
        prio(Random(1), qdiscs=("pfifo",) * 4)
    with pytest.raises(ConfigError, match="100000000 bands: there can be 2 to 16"):
        prio(Random(1), bands=100_000_000)
