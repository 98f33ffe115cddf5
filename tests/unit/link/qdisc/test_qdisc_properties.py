"""What holds for every queue, whatever comes: nothing is lost in silence, nothing comes twice."""

import ast
import inspect
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from queue_frames import frame

from pystack.core.counters import explanations
from pystack.core.rng import Random
from pystack.link.qdisc import registry
from pystack.link.qdisc.base import Qdisc, is_mark
from pystack.link.qdisc.registry import parse_qdisc
from pystack.wire.flow import flow_key
from pystack.wire.frame import Frame

EXPLAINED = {name for name, it in explanations().items() if it.section == "Queues"}

# Small limits and short times, so that a few dozen frames meet all of them.
QUEUES = {
    "pfifo limit 5": (5, math.inf),
    "pfifo limit 5 head_drop": (5, math.inf),
    "bfifo limit 4000": (math.inf, 4000),
    "bfifo limit 4000 head_drop": (math.inf, 4000),
    "tbf rate 1mbit burst 1600 limit 5000": (math.inf, 5000),
    "tbf rate 1mbit burst 3000 limit 5000 peakrate 2mbit mpu 100": (math.inf, 5000),
    "red limit 8000 min 1100 max 2500 burst 3 probability 0.5": (math.inf, 8000),
    "red limit 8000 min 1100 max 2500 burst 3 ecn": (math.inf, 8000),
    "codel limit 12 target 1ms interval 5ms": (12, math.inf),
    "codel limit 12 target 1ms interval 5ms ecn ce_threshold 2ms": (12, math.inf),
    "fq_codel limit 12 target 1ms interval 5ms flows 4 memory_limit 9000": (12, 9000),
    "fq_codel limit 12 target 1ms interval 5ms noecn flows 4 quantum 300": (12, math.inf),
    "pie limit 12 target 1ms tupdate 1ms alpha 32 beta 32": (12, math.inf),
    "pie limit 12 target 1ms tupdate 1ms alpha 32 beta 32 ecn bytemode": (12, math.inf),
    "dualpi2 limit 12 target 1ms tupdate 1ms alpha 20 beta 50": (12, 12 * 1514),
    "dualpi2 limit 12 target 1ms tupdate 1ms any_ect overflow memlimit 9000": (12, 9000),
    'prio qdiscs "pfifo limit 3" "codel limit 3 target 1ms interval 2ms" "bfifo limit 3000"': (
        math.inf,
        math.inf,
    ),
}

FRAMES = st.builds(
    frame,
    st.sampled_from([60, 300, 1000, 1514]),
    tos=st.sampled_from([0, 1, 2, 3, 0x10, 0x12, 0x08]),
    port=st.integers(1, 3),
)
# (seconds since the last step, a frame to put in, or None: take one out)
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0001, 0.001, 0.02, 3.0]), st.none() | FRAMES), max_size=80
)


class Ledger:
    """Books on all that goes into a queue and out of it."""

    def __init__(self, queue: Qdisc) -> None:
        self.queue = queue
        self.inside: dict[int, Frame] = {}  # by number
        self.dropped: list[str] = []
        self.sent: list[int] = []
        queue.report = self.report
        self._in = 0

    def put(self, item: Frame, now: float) -> None:
        # A number in the payload: a marked frame is another object, but the same frame.
        number = self._in = self._in + 1
        data = bytearray(item.data)
        data[40:44] = number.to_bytes(4, "big")
        numbered = Frame(bytes(data))
        self.inside[number] = numbered
        self.queue.enqueue(numbered, now)

    def take(self, now: float) -> None:
        item = self.queue.dequeue(now)
        if item is not None:
            self.leave(item)

    def leave(self, item: Frame) -> None:
        number = int.from_bytes(item.data[40:44], "big")
        before = self.inside.pop(number)  # KeyError: it comes twice, or was reported as dropped
        assert flow_key(before) == flow_key(item)
        assert before.data[26:] == item.data[26:]
        self.sent.append(number)

    def report(self, reason: str, item: Frame, now: float) -> None:
        assert reason in EXPLAINED
        number = int.from_bytes(item.data[40:44], "big")
        assert number in self.inside
        if not is_mark(reason):
            del self.inside[number]
            self.dropped.append(reason)

    def check(self, most_packets: float, most_bytes: float) -> None:
        assert len(self.queue) == len(self.inside) <= most_packets
        size = sum(len(item) for item in self.inside.values())
        assert self.queue.backlog_bytes == size <= most_bytes


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("text", QUEUES)
@given(steps=STEPS)
def test_every_frame_leaves_once_or_is_reported_and_the_books_are_right(
    text: str, steps: list[tuple[float, Frame | None]]
) -> None:
    queue = parse_qdisc(text)(Random(9))
    ledger = Ledger(queue)
    now = 0.0
    for gap, item in steps:
        now += gap
        if item is None:
            ledger.take(now)
        else:
            ledger.put(item, now)
        ledger.check(*QUEUES[text])
        assert (queue.next_at(now) == math.inf) == (len(queue) == 0)
    while len(queue):
        now = queue.next_at(now)
        before = len(queue)
        ledger.take(now)
        assert len(queue) < before  # at `next_at` there is progress: a pipe does not spin
    assert ledger.inside == {}


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("text", QUEUES)
@given(steps=STEPS)
def test_the_order_within_a_flow_is_kept(
    text: str, steps: list[tuple[float, Frame | None]]
) -> None:
    queue = parse_qdisc(text)(Random(9))
    ledger = Ledger(queue)
    now = 0.0
    flows: dict[int, bytes] = {}
    for gap, item in steps:
        now += gap
        if item is None:
            ledger.take(now)
        else:
            ledger.put(item, now)
            # Priority and the kind of congestion control choose the queue: they are of the flow.
            flows[len(flows) + 1] = flow_key(item) + item.data[15:16]
    for item in queue.drain(now):
        ledger.leave(item)
    for flow in set(flows.values()):
        numbers = [number for number in ledger.sent if flows[number] == flow]
        assert numbers == sorted(numbers)


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("text", QUEUES)
@given(steps=STEPS)
def test_drain_empties_it_without_a_report_and_it_goes_on(
    text: str, steps: list[tuple[float, Frame | None]]
) -> None:
    queue = parse_qdisc(text)(Random(9))
    ledger = Ledger(queue)
    now = 0.0
    for gap, item in steps:
        now += gap
        if item is None:
            ledger.take(now)
        else:
            ledger.put(item, now)
    dropped = list(ledger.dropped)
    for item in queue.drain(now):
        ledger.leave(item)
    assert ledger.dropped == dropped
    assert ledger.inside == {}
    ledger.check(0, 0)
    assert queue.dequeue(now) is None
    ledger.put(frame(60), now + 100)
    ledger.take(max(now + 100, queue.next_at(now + 100)))
    assert len(ledger.sent) + len(ledger.dropped) == ledger._in


@pytest.mark.parametrize("text", QUEUES)
def test_the_same_seed_gives_the_same_run(text: str) -> None:
    runs = []
    for _ in range(2):
        queue = parse_qdisc(text)(Random(4))
        source = Random(11)
        out: list[object] = []
        queue.report = lambda reason, item, now, out=out: out.append((reason, now))
        for number in range(2000):
            now = number / 2000
            queue.enqueue(frame(source.choice([60, 1514]), tos=source.choice([0, 1, 2])), now)
            if source.random() < 0.9:
                item = queue.dequeue(now)
                out.append(item and item.data)
        runs.append(out)
    assert runs[0] == runs[1]


def test_no_reason_is_explained_that_no_queue_gives() -> None:
    folder = Path(inspect.getfile(registry)).parent
    texts = Counter[str]()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts[node.value] += 1
    # fifo.py and codel.py put a prefix in front of these
    for prefix, endings in (
        ("pfifo", ("_full", "_full_head")),
        ("bfifo", ("_full", "_full_head")),
        ("codel", ("_drop", "_mark", "_ce_threshold_mark")),
        ("fq_codel", ("_drop", "_mark", "_ce_threshold_mark")),
    ):
        for ending in endings:
            assert texts[ending]
            texts[prefix + ending] += 1
    assert [reason for reason in EXPLAINED if not texts[reason]] == []
