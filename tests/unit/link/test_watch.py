"""What those who watch a link are told of each frame, from its entry to its end."""

from collections.abc import Callable

import pytest
from pipe_bench import numbered, tcp_frame

from pystack.core.rng import Random
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.impair.base import Departures
from pystack.link.link import Link
from pystack.observe.passage import ARRIVED, LOST, UNDER_WAY, Change, Passage
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame


class Watched:
    """A link whose a_to_b is watched, and what came of it."""

    def __init__(self, *, mtu_bytes: int = 1500, **words: object) -> None:
        self.scheduler = Scheduler()
        config = PipeConfig.parse(**words)
        self.link = Link(self.scheduler, 7, "wan", config, mtu_bytes=mtu_bytes)
        self.link.ends = ("left", "right")
        self.passages: list[Passage] = []
        self.told: list[tuple[float, int, str]] = []  # when, which one, and what of it
        self.out: list[tuple[float, Frame]] = []
        self.link.b.attach(lambda frame, now: self.out.append((now, frame)))
        self.link.watch(self)

    def on_passage(self, passage: Passage) -> None:
        if not any(passage is known for known in self.passages):
            self.passages.append(passage)
            passage.number = len(self.passages)
        self.told.append((self.scheduler.now, passage.number, passage.end))

    def send(self, *frames: Frame, at: float = 0.0) -> None:
        self.scheduler.run_due(at)
        for frame in frames:
            self.link.a.send(frame, at)

    def run(self, until: float = 1e6) -> list[Passage]:
        self.scheduler.run_due(until)
        return self.passages


def times(passage: Passage) -> list[float | None]:
    return [
        None if at is None else round(at, 9)
        for at in (passage.entered_at, passage.begins_at, passage.sent_at, passage.arrives_at)
    ]


@pytest.mark.parametrize("qdisc", [None, "pfifo limit 10", "fq_codel"])
def test_a_frame_waits_is_sent_and_is_on_its_way(qdisc: str | None) -> None:
    bench = Watched(delay="20ms", rate="1mbit", **({"qdisc": qdisc} if qdisc else {}))
    bench.send(numbered(1, 125), numbered(2, 250), at=1.0)
    first, second = bench.run()
    assert times(first) == [1.0, 1.0, 1.001, 1.021]
    assert times(second) == [1.0, 1.001, 1.003, 1.023]
    assert (first.place, first.sender, first.receiver) == ("wan", "left", "right")
    assert second.queued_s == pytest.approx(0.001)
    assert second.serialization_s == pytest.approx(0.002)
    assert second.propagation_s == pytest.approx(0.02)
    assert bench.told == [
        (1.0, 1, UNDER_WAY),
        (1.0, 2, UNDER_WAY),
        (pytest.approx(1.021), 1, ARRIVED),
        (pytest.approx(1.023), 2, ARRIVED),
    ]


def test_without_a_rate_it_goes_at_once() -> None:
    bench = Watched(delay="20ms")
    bench.send(numbered(1), at=0.5)
    assert times(bench.run()[0]) == [0.5, 0.5, 0.5, 0.52]


def test_what_arrives_is_the_very_frame_that_was_put_on() -> None:
    bench = Watched(delay="20ms", rate="1mbit")
    frame = numbered(1)
    bench.send(frame, frame)
    first, second = bench.run()
    assert first.frame is frame
    assert [out is frame for _, out in bench.out] == [True, True]
    assert first.arrived is None
    assert second.number == 2


def test_a_full_queue_loses_the_last() -> None:
    bench = Watched(rate="1mbit", limit=1)
    bench.send(*(numbered(number, 125) for number in range(3)))
    lost = bench.run()[2]
    assert (lost.end, lost.lost, lost.ended_at) == (LOST, "pfifo_full", 0.0)
    assert times(lost) == [0.0, None, None, None]


def test_what_the_entrance_refuses_is_a_passage_too() -> None:
    bench = Watched(mtu_bytes=1000)
    bench.send(numbered(1, 1500))
    (refused,) = bench.run()
    assert refused.lost == "link_mtu"


def test_each_piece_of_a_super_frame_has_a_passage() -> None:
    bench = Watched(delay="1ms")
    bench.send(tcp_frame(payload=bytes(2500), gso_bytes=1000))
    assert [len(passage.frame.data) for passage in bench.run()] == [1054, 1054, 554]


def test_corrupt_says_which_bit_and_what_has_arrived() -> None:
    bench = Watched(corrupt="100%")
    frame = Frame(bytes(100))
    bench.send(frame)
    (passage,) = bench.run()
    arrived = bench.out[0][1]
    assert passage.arrived is arrived
    at = next(at for at, byte in enumerate(arrived.data) if byte)
    bit = arrived.data[at].bit_length() - 1
    assert passage.changes == [Change("corrupt", 0.0, f"bit {bit} of byte {at}")]


def test_a_checksum_that_was_filled_in_is_no_damage() -> None:
    bench = Watched(corrupt="100%")
    bench.send(tcp_frame(payload=b"x" * 200, partial=True))
    (passage,) = bench.run()
    assert passage.frame.checksum == CHECKSUM_PARTIAL
    assert passage.changes[0].detail.startswith("bit ")


def test_a_duplicate_is_a_passage_of_its_own() -> None:
    bench = Watched(duplicate="100%", delay="1ms")
    bench.send(numbered(1))
    one, two = bench.run()
    assert [change.what for change in one.changes] == ["duplicate"]
    assert two.copy_of is one
    assert two.changes == []
    assert one.end == two.end == ARRIVED


def test_of_two_the_loss_takes_one() -> None:
    bench = Watched(duplicate="100%", loss="50%")
    bench.send(*map(numbered, range(20)))
    passages = bench.run()
    assert len(passages) == 40
    lost = [passage for passage in passages if passage.lost]
    assert len(lost) == bench.link.counters["loss"] > 0
    assert len(bench.out) == 40 - len(lost)


def test_reordered_ones_say_so() -> None:
    bench = Watched(delay="10ms", reorder="100%", gap=2)
    bench.send(numbered(1), numbered(2))
    late, early = bench.run()
    assert [change.what for change in early.changes] == ["reorder"]
    assert late.changes == []
    assert early.arrives_at == 0.0


def test_a_mark_is_a_change_and_the_frame_goes_on() -> None:
    bench = Watched(loss="100%", ecn=True)
    frame = tcp_frame(payload=b"x")
    capable = Frame(frame.data[:15] + b"\x02" + frame.data[16:])
    bench.send(capable)
    (passage,) = bench.run()
    assert [change.what for change in passage.changes] == ["loss_mark"]
    assert passage.arrived is not None
    assert passage.arrived.data[15] == 3
    assert passage.end == ARRIVED


def test_a_cut_link_loses_what_waits_and_what_is_on_its_way() -> None:
    bench = Watched(delay="20ms", rate="1mbit")
    bench.send(numbered(1, 125), numbered(2, 125), numbered(3, 125))
    bench.scheduler.run_due(0.0015)
    bench.link.down()
    bench.send(numbered(4), at=0.002)
    one, two, three, four = bench.run()
    assert [passage.lost for passage in bench.passages] == ["link_down"] * 4
    assert [passage.ended_at for passage in (one, two, three, four)] == [
        pytest.approx(0.021),
        pytest.approx(0.022),
        0.0015,
        0.002,
    ]
    assert three.begins_at is None
    assert bench.out == []


def test_a_black_hole_has_a_name() -> None:
    bench = Watched()
    bench.link.black_hole(lambda packet: True)
    bench.send(numbered(1))
    assert bench.run()[0].lost == "black_hole"


def test_who_waits_while_the_rate_is_changed_has_the_new_times() -> None:
    bench = Watched(rate="1mbit", delay="1ms")
    bench.send(numbered(1, 125), numbered(2, 125))
    bench.link.set(rate="2mbit")
    first, second = bench.run()
    assert times(first) == [0.0, 0.0, 0.001, 0.002]
    assert times(second) == [0.0, 0.001, 0.0015, 0.0025]
    assert second.end == ARRIVED


class Mangling:
    """Holds every second frame back, and hands on the first with other bytes, twice."""

    name = "mangling"

    def __init__(self, rng: Random) -> None:
        self.count = 0

    def apply(self, frame: Frame, now: float) -> Departures:
        self.count += 1
        if self.count % 2 == 0:
            return ((now + 0.25, frame),)
        other = Frame(b"\xff" + frame.data[1:])
        return ((now, other), (now, other))


def test_an_impairment_of_somebody_elses_is_seen_through() -> None:
    bench = Watched(impairments=[Mangling])
    bench.send(numbered(1), numbered(2))
    one, two, copy = sorted(bench.run(), key=lambda passage: passage.copy_of is not None)
    assert copy.copy_of is one
    assert one.changes[0] == Change("mangling", 0.0, "byte 0")
    assert two.changes == [Change("mangling", 0.0, "held for 0.25 s")]
    assert two.arrives_at == 0.25


def test_who_watches_no_more_is_told_no_more_and_another_is() -> None:
    bench = Watched(delay="1ms")
    bench.send(numbered(1))
    bench.link.unwatch(bench)
    bench.send(numbered(2))
    bench.run(1.0)
    assert [number for _, number, _ in bench.told] == [1]
    assert [type(frame) for _, frame in bench.out] == [Frame, Frame]
    bench.link.watch(bench)
    bench.send(numbered(3), at=2.0)
    bench.run()
    assert [end for *_, end in bench.told] == [UNDER_WAY, UNDER_WAY, ARRIVED]


def test_what_is_under_way_when_watching_begins_arrives_untold() -> None:
    bench = Watched(rate="1mbit", delay="1ms")
    bench.link.unwatch(bench)
    bench.send(numbered(1, 125), numbered(2, 125))
    bench.link.watch(bench)
    bench.send(numbered(3, 125))
    bench.run()
    assert len(bench.out) == 3
    assert [passage.frame.data[3] for passage in bench.passages] == [3]


class Says:
    """A watcher that notes its name at each telling, and does something the first time."""

    def __init__(self, name: str, told: list[str], act: Callable[[], object] | None = None) -> None:
        self.name, self.told, self.act = name, told, act

    def on_passage(self, passage: Passage) -> None:
        self.told.append(f"{self.name} {passage.end}".strip())
        act, self.act = self.act, None
        if act is not None:
            act()


def test_who_comes_or_goes_while_others_are_told_does_so_from_the_next_time_on() -> None:
    bench = Watched(delay="1ms")
    bench.link.unwatch(bench)
    told: list[str] = []
    second, third = Says("second", told), Says("third", told)

    def change() -> None:
        bench.link.unwatch(second)
        bench.link.watch(third)

    bench.link.watch(Says("first", told, change))
    bench.link.watch(second)
    bench.send(numbered(1))
    assert told == ["first", "second"]
    bench.run()
    assert told[2:] == ["first arrived", "third arrived"]


def test_the_last_who_goes_when_told_of_a_frame_lets_it_arrive_as_it_was() -> None:
    bench = Watched(delay="1ms")
    bench.link.unwatch(bench)
    told: list[str] = []
    only = Says("only", told, lambda: bench.link.unwatch(only))
    bench.link.watch(only)
    frame = numbered(1)
    bench.send(frame)
    bench.run()
    assert told == ["only"]
    assert [out is frame for _, out in bench.out] == [True]


def test_who_cuts_the_link_when_told_of_a_frame_loses_it_there_and_then() -> None:
    bench = Watched(rate="1mbit", delay="1ms")
    bench.link.watch(Says("cutter", [], bench.link.down))
    bench.send(numbered(1, 125), at=1.0)
    (passage,) = bench.run()
    assert (passage.lost, passage.ended_at, passage.begins_at) == ("link_down", 1.0, None)


def test_what_a_watcher_raises_comes_out_of_send_and_the_next_frame_is_told() -> None:
    bench = Watched(delay="1ms")
    told: list[str] = []

    def fail() -> None:
        raise RuntimeError("no more room")

    bench.link.watch(Says("failing", told, fail))
    with pytest.raises(RuntimeError, match="no more room"):
        bench.send(numbered(1))
    bench.send(numbered(2))
    bench.run()
    assert [end for _, _, end in bench.told] == [UNDER_WAY, UNDER_WAY, ARRIVED]
    assert told == ["failing", "failing", "failing arrived"]
    assert [frame.data[3] for _, frame in bench.out] == [2]


def test_one_direction_may_be_watched_without_the_other() -> None:
    bench = Watched(delay="1ms")
    bench.link.a.attach(lambda frame, now: bench.out.append((now, frame)))
    bench.link.unwatch(bench)
    there: list[str] = []
    back: list[str] = []
    both: list[str] = []
    watchers = [Says("x", told) for told in (there, back, both)]
    for watcher, direction in zip(watchers, ("a_to_b", "b_to_a", None), strict=True):
        bench.link.watch(watcher, direction)
    bench.send(numbered(1))
    bench.run(1.0)
    assert [len(there), len(back), len(both)] == [2, 0, 2]
    bench.link.unwatch(watchers[0])
    bench.link.unwatch(watchers[2])
    bench.link.b.send(numbered(2), 1.0)
    bench.link.a.send(numbered(3), 1.0)
    bench.run()
    assert [len(there), len(back), len(both)] == [2, 2, 2]
    assert len(bench.out) == 3


def test_reorder_is_told_only_of_those_that_were_while_the_link_says_so() -> None:
    bench = Watched(delay="10ms", reorder="100%")
    bench.send(numbered(1))
    bench.link.set(a_to_b={"reorder": None})
    bench.send(numbered(2))
    bench.link.set(a_to_b={"reorder": "100%"})
    bench.send(numbered(3))
    assert [[change.what for change in each.changes] for each in bench.run()] == [
        ["reorder"],
        [],
        ["reorder"],
    ]
