"""Ties: what leaves at an instant leaves before what comes at that instant finds it there.

A queue of one place, and a frame that comes in the very instant in which the one that waits begins
to go: there is room for it, whatever the size, the rate, the instant, and the order in which floats
were added up.
"""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.core.instants import snap
from pystack.core.rng import Random
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.link.qdisc.tbf import Bucket
from pystack.wire.frame import Frame

RATES = (64e3, 1e6, 3e6, 7e6, 10e6, 33.3e6, 1e8, 1e9, 2.5e9)
# Each with room for one frame of any of the sizes
ONE_PLACE = (
    "pfifo limit 1",
    "pfifo_head_drop limit 1",
    "codel limit 1",
    "pie limit 1",
    "dualpi2 limit 1 target 100s tupdate 100s",
    "fq_codel limit 1",
    'prio qdiscs "pfifo limit 1" "pfifo limit 1" "pfifo limit 1"',
)
sizes = st.integers(60, 1514)
starts = st.sampled_from([0.0, 0.1, 1 / 3, 7.7, 12345.678901234])


class Ends:
    """Links in a row; the first one's end, and what arrives at the last."""

    def __init__(self, *configs: PipeConfig, start: float = 0.0) -> None:
        self.scheduler = Scheduler(start)
        self.links = [
            Link(self.scheduler, 1, f"link {number}", config)
            for number, config in enumerate(configs)
        ]
        for near, far in zip(self.links, self.links[1:], strict=False):
            near.b.attach(far.a.send)
        self.times: list[float] = []
        self.links[-1].b.attach(lambda frame, now: self.times.append(now))

    def send_at(self, at: float, size: int, link: int = 0) -> None:
        port = self.links[link].a
        self.scheduler.call_at(at, lambda now: port.send(Frame(bytes(size)), now))

    def run(self) -> None:
        self.scheduler.run_due(1e9)


def fraction_s(size: int, rate: float) -> Fraction:
    return Fraction(size * 8) / Fraction(rate)


@settings(max_examples=200, deadline=None)
@given(st.lists(sizes, min_size=3, max_size=30), st.sampled_from(RATES), starts, st.booleans())
def test_each_frame_that_comes_when_the_one_before_begins_to_go_finds_room(
    train: list[int], rate: float, start: float, served: bool
) -> None:
    words = {"qdisc": "pfifo_head_drop limit 1"} if served else {"limit": 1}
    ends = Ends(PipeConfig.parse(rate=rate, **words), start=start)
    # The first two come together; each other one when its predecessor's predecessor is through
    ends.send_at(start, train[0])
    total = Fraction(0)
    for size, before in zip(train[1:], [0, *train], strict=False):
        total += fraction_s(before, rate)
        ends.send_at(start + float(total), size)
    ends.run()
    assert len(ends.times) == len(train), ends.links[0].counters
    through = float(sum((fraction_s(size, rate) for size in train), Fraction(0)))
    assert ends.times[-1] == pytest.approx(start + through, abs=1e-10)


@pytest.mark.parametrize("qdisc", ONE_PLACE)
@settings(max_examples=60, deadline=None)
@given(size=sizes, rate=st.sampled_from(RATES), start=starts)
def test_all_queues_give_before_they_take(qdisc: str, size: int, rate: float, start: float) -> None:
    ends = Ends(PipeConfig.parse(rate=rate, qdisc=qdisc), start=start)
    for number in (0, 0, 1, 2, 3):
        ends.send_at(start + number * (8 * size) / rate, size)
    ends.run()
    assert len(ends.times) == 5, ends.links[0].counters


@settings(max_examples=100, deadline=None)
@given(sizes, st.sampled_from(RATES), starts, st.sampled_from(["tbf", "bfifo"]))
def test_shapers_and_limits_in_bytes_too(size: int, rate: float, start: float, kind: str) -> None:
    shaper = f"tbf rate {rate}bit burst {size}b limit {size}b"
    words: dict[str, object] = {"qdisc": shaper}
    if kind == "bfifo":
        words = {"rate": rate, "qdisc": f"bfifo limit {size}b"}
    ends = Ends(PipeConfig.parse(**words), start=start)
    for number in (0, 0, 1, 2, 3):
        ends.send_at(start + number * (8 * size) / rate, size)
    ends.run()
    assert len(ends.times) == 5, ends.links[0].counters


@settings(max_examples=100, deadline=None)
@given(
    sizes,
    st.sampled_from(RATES),
    st.lists(st.integers(0, 50_000_000), min_size=1, max_size=4),
    starts,
)
def test_over_a_chain_of_links_what_is_one_instant_stays_one(
    size: int, rate: float, delays_ns: list[int], start: float
) -> None:
    """Frames of equal size one after the other, as a full line brings them, find the next free."""
    delays = [delay / 1e9 for delay in delays_ns]
    configs = [PipeConfig.parse(rate=rate, delay=delay, limit=20) for delay in delays]
    tight = PipeConfig.parse(rate=rate, limit=1)
    ends = Ends(*configs, tight, tight, start=start)
    for _ in range(20):
        ends.send_at(start, size)
    # And one that comes by a way of its own, as the first of them begins to go on the last link
    first = start + sum(delays) + (len(delays) + 1) * (8 * size / rate)
    ends.send_at(first + 18 * 8 * size / rate, size, link=len(delays) + 1)
    ends.run()
    assert len(ends.times) == 21, [link.counters for link in ends.links]


def test_a_slot_and_a_trace_give_first_too() -> None:
    for words in ({"slot": "10ms 10ms packets 1"}, {"trace": [10]}):
        ends = Ends(PipeConfig.parse(limit=1, **words))
        for number in range(20):
            ends.send_at(number * 0.01, 1500)
        ends.run()
        assert len(ends.times) == 20, words


def test_after_many_frames_without_a_pause_a_tie_is_still_one() -> None:
    ends = Ends(PipeConfig.parse(rate="1gbit", limit=1))
    size, count = 1511, 100_000
    for number in range(count):
        ends.send_at(100.0 + max(number - 1, 0) * size * 8 / 1e9, size)
    ends.run()
    assert len(ends.times) == count
    assert ends.times[-1] == pytest.approx(100 + count * size * 8 / 1e9, abs=1e-10)


@given(st.lists(st.integers(1, 9000), min_size=1, max_size=200), st.sampled_from(RATES))
def test_a_bucket_forgets_no_part_of_a_token(taken: list[int], rate: float) -> None:
    bucket = Bucket(rate, 9000)
    for size in taken:
        bucket.take(size, 0.0)
    exact = float(sum(taken) * 8 / Fraction(rate))
    assert bucket.full_at == pytest.approx(exact, rel=1e-14)


@given(st.integers(0, 2**50))
def test_the_grid_is_ten_picoseconds(steps: int) -> None:
    at = steps / 1e11
    assert snap(at) == at
    off = Random(steps).uniform(-0.4e-11, 0.4e-11)
    assert abs(snap(at + off) - at) <= 1e-11
    assert snap(float("inf")) == float("inf")


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=20), st.randoms())
def test_of_equal_instants_the_floats_are_equal_whatever_was_added_first(
    parts_ns: list[int], order: Random
) -> None:
    parts = [part / 1e9 for part in parts_ns]
    shuffled = list(parts)
    order.shuffle(shuffled)
    assert snap(sum(parts)) == snap(sum(shuffled)) == snap(sum(parts_ns) / 1e9)
