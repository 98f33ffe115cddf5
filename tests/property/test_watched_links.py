"""Each frame on a watched link, and each copy of one, has one passage, which ends.

Whatever the link does to it, and however it is changed meanwhile: the instants are in order, the
counters say the same as the passages, and who does not watch sees the same run.
"""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.observe.passage import ARRIVED, LOST, Passage
from pystack.wire import ethernet, ipv4, udp
from pystack.wire.frame import Frame

QDISCS = (
    None,
    "pfifo limit 3",
    "pfifo_head_drop limit 3",
    "bfifo limit 2000",
    "tbf rate 200kbit burst 3000 limit 5000",
    "red limit 20000 min 2000 max 6000 avpkt 500 burst 4 bandwidth 1mbit probability 0.5 ecn",
    "codel limit 5 target 1ms interval 5ms ecn",
    "fq_codel limit 6 target 1ms interval 5ms",
    "pie limit 5 target 1ms tupdate 1ms ecn",
    "dualpi2 limit 6",
    'prio qdiscs "pfifo limit 2" "pfifo limit 2" "pfifo limit 2"',
)
shares = st.sampled_from(["0%", "20%", "100%"])
words = st.fixed_dictionaries(
    {},
    optional={
        "delay": st.sampled_from(["0ms", "3ms", "10ms 5ms"]),
        "rate": st.sampled_from(["500kbit", "2mbit", "100mbit"]),
        "qdisc": st.sampled_from(QDISCS[1:]),
        "loss": st.sampled_from(["0%", "30%", "gemodel 20% 40%"]),
        "duplicate": shares,
        "corrupt": shares,
        "ecn": st.booleans(),
        "reorder_by_jitter": st.booleans(),
        "reorder": st.just("40%"),
        "slot": st.just("1ms 4ms"),
        "drop": st.sampled_from(["..x", "x......"]),
        "mtu": st.just(700),
    },
)
frames = st.lists(st.tuples(st.integers(0, 6), st.sampled_from([60, 600, 1300])), max_size=40)
events = st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["down", "up", "set"])), max_size=5)


def frame_of(number: int, size: int) -> Frame:
    text = number.to_bytes(2, "big") + bytes(size)
    packed = udp.pack(1, 2, 1000 + number % 5, 9, text)
    packet = ipv4.pack_header(1, 2, ipv4.UDP, len(packed), tos=2) + packed
    return Frame(ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, packet))


def sensible(chosen: dict[str, object]) -> dict[str, object]:
    """Give words what they need: one that would have no effect is refused."""
    if chosen.get("reorder_by_jitter"):
        chosen["delay"] = "10ms 5ms"
    if "reorder" in chosen:
        chosen["delay"] = "10ms"
        chosen.pop("reorder_by_jitter", None)
    if "qdisc" in chosen and "slot" not in chosen:
        chosen.setdefault("rate", "500kbit")
    if chosen.get("ecn"):
        chosen["loss"] = "30%"
    return chosen


class Run:
    """One run over a link, watched or not."""

    def __init__(self, config: PipeConfig, other: PipeConfig, *, watched: bool) -> None:
        self.scheduler = Scheduler()
        self.link = Link(self.scheduler, 3, "link", config)
        self.out: list[tuple[float, bytes]] = []
        self.passages: list[Passage] = []
        self.ended: Counter[int] = Counter()
        self.other = other
        self.link.b.attach(lambda frame, now: self.out.append((now, frame.data)))
        if watched:
            self.link.watch(self)

    def on_passage(self, passage: Passage) -> None:
        if passage.number:
            self.ended[passage.number] += 1
        else:
            self.passages.append(passage)
            passage.number = len(self.passages)

    def run(self, train: list[tuple[int, int]], changes: list[tuple[int, str]]) -> None:
        at = 0.0
        for number, (gap, size) in enumerate(train):
            at += gap * 0.0005
            frame = frame_of(number, size)
            self.scheduler.call_at(at, lambda now, frame=frame: self.link.a.send(frame, now))
        for when, what in changes:
            self.scheduler.call_at(when * 0.001, lambda now, what=what: self._change(what))
        self.scheduler.run_due(1e5)

    def _change(self, what: str) -> None:
        if what == "set":
            old = self.link.a_to_b.config
            self.link.a_to_b.configure(self.other)
            self.other = old
        else:
            (self.link.down if what == "down" else self.link.up)()


@settings(max_examples=300, deadline=None)
@given(words, words, frames, events)
def test_every_frame_has_one_passage_for_each_copy_and_every_passage_ends(
    first: dict[str, object],
    second: dict[str, object],
    train: list[tuple[int, int]],
    changes: list[tuple[int, str]],
) -> None:
    configs = [PipeConfig.parse(**sensible(chosen)) for chosen in (first, second)]
    plain, run = (Run(*configs, watched=watched) for watched in (False, True))
    plain.run(train, changes)
    run.run(train, changes)
    assert run.out == plain.out
    counters = run.link.a_to_b.counters
    assert counters == plain.link.a_to_b.counters
    passages = run.passages
    assert len([each for each in passages if each.copy_of is None]) == len(train)
    assert len([each for each in passages if each.copy_of]) == counters["duplicate"]
    assert run.ended == Counter(each.number for each in passages)
    arrived = [each for each in passages if each.end == ARRIVED]
    assert len(arrived) == len(run.out)
    assert sorted((each.ended_at, (each.arrived or each.frame).data) for each in arrived) == sorted(
        run.out
    )
    said = Counter(each.lost for each in passages if each.end == LOST)
    # Of a copy, what befell the two while they were one is told twice.
    said.update(
        change.what
        for each in passages
        for change in each.changes
        if each.copy_of is None or not any(change is old for old in each.copy_of.changes)
    )
    # Who waits while a link is set is drawn for again: what was counted of him stays counted.
    assert said.pop("reorder", 0) <= counters["reorder"]
    assert said == Counter({name: each for name, each in counters.items() if name != "reorder"})
    for each in passages:
        known = [
            at
            for at in (each.entered_at, each.begins_at, each.sent_at, each.arrives_at)
            if at is not None
        ]
        assert known == sorted(known)
        if each.end == ARRIVED:
            assert len(known) == 4
