"""Toxics one after the other, and changed while they run, in virtual time."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toxic_line import Line, joined, toxic

from pystack.apps.proxy.toxics.chain import READ_BYTES
from pystack.apps.proxy.toxics.registry import TOXICS
from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.apps.proxy.toxics.stage import STAGE_BYTES
from pystack.apps.proxy.toxics.stages import STAGES


def test_toxics_work_in_the_order_of_their_making() -> None:
    slicer, limit = toxic("slicer", average_size=4, delay=1000), toxic("limit_data", bytes=6)
    line = Line(slicer, limit)
    line.take("abcdefgh")
    assert line.run() == [(0, "abcd"), (0.001, "ef"), (0.001, "close")]
    line = Line(limit, slicer)
    line.take("abcdefgh")
    assert line.run() == [(0, "abcd"), (0.001, "ef"), (0.001, "close")]
    line = Line(toxic("latency", latency=100), toxic("slicer", average_size=1, delay=1000))
    line.take("ab")
    assert line.run() == [(0.1, "a"), (0.101, "b")]


def test_what_a_removed_toxic_has_held_goes_on_in_order() -> None:
    line = Line(toxic("latency", "one", latency=1000), toxic("latency", "two", latency=100))
    line.take("a")
    line.run(0.5)
    line.take("b")
    line.update(toxic("latency", "two", latency=100))
    line.take("c")
    line.finish()
    assert line.run() == [(0.6, "a"), (0.6, "b"), (0.6, "c"), (0.6, "end")]


def test_what_a_removed_toxic_has_held_waits_for_room() -> None:
    line = Line(toxic("latency", latency=1000))
    line.room_bytes = 2
    line.take("abcd")
    line.take("efgh")
    line.update()
    line.finish()
    assert line.run() == [(0, "ab")]
    line.make_room(3)
    assert line.run() == [(0, "cd"), (0, "e")]
    line.update(toxic("timeout", timeout=500))  # in front of the end, which has come already
    line.make_room(math.inf)
    assert line.run() == [(0, "fgh"), (0, "end")]


def test_another_order_of_the_toxics_overtakes_nothing() -> None:
    one, two = toxic("latency", "one", latency=1000), toxic("latency", "two", latency=100)
    line = Line(one, two)
    line.take("a")
    line.run(0.95)
    line.take("b")
    line.run(1.05)  # a is in the second, b in the first
    line.update(two, one)
    line.take("c")
    line.finish()
    assert line.run() == [(2.1, "a"), (2.15, "b"), (2.15, "c"), (2.15, "end")]


def test_another_type_of_the_same_name_is_another_toxic() -> None:
    line = Line(toxic("latency", "it", latency=1000))
    line.take("a")
    line.update(toxic("slow_close", "it", delay=500))
    line.finish()
    assert line.run() == [(0, "a"), (0.5, "end")]


def test_a_full_sink_stops_the_reading_and_room_lets_it_go_on() -> None:
    line = Line(toxic("slow_close", delay=0))
    line.room_bytes = 3
    line.take("abcdef")
    line.take("x" * STAGE_BYTES)
    assert line.chain.room_bytes == 0
    reads = line.reads_on
    line.make_room(2)
    assert (line.chain.room_bytes, line.reads_on) == (0, reads)
    line.make_room(math.inf)
    assert (line.chain.room_bytes, line.reads_on) == (STAGE_BYTES, reads + 1)
    assert joined(line.run()) == "abcdef" + "x" * STAGE_BYTES


def test_a_chain_without_toxics_reads_on_when_its_rest_is_sent() -> None:
    line = Line()
    line.room_bytes = 3
    line.take("abcdef")
    assert line.chain.room_bytes == 0
    reads = line.reads_on
    line.make_room(math.inf)
    assert (line.chain.room_bytes, line.reads_on) == (READ_BYTES, reads + 1)


@pytest.mark.parametrize("type_name", STAGES)
def test_a_connection_that_is_over_leaves_nothing_to_be_done(type_name: str) -> None:
    attributes = dict.fromkeys(TOXICS[type_name].defaults, 1000)
    line = Line(toxic(type_name, "", **attributes))
    line.take("x" * 2000)
    line.finish()
    line.told.clear()
    line.chain.over(line.scheduler.now)
    line.over = True
    assert len(line.scheduler) == 0
    line.chain.take(b"more", 0.0)
    line.chain.end(0.0)
    line.chain.room(0.0)
    line.update(toxic("timeout", timeout=5))
    assert (line.run(), len(line.scheduler)) == ([], 0)


def test_the_same_seed_draws_the_same_whatever_other_toxics_there_are() -> None:
    jittery = toxic("latency", latency=100, jitter=100)

    def instants(line: Line) -> list[float]:
        for _ in range(5):
            line.take("a")
        return [when for when, _ in line.run()]

    alone = instants(Line(jittery))
    assert instants(Line(toxic("slicer", average_size=1), jittery)) == alone
    assert instants(Line(jittery, seed=8)) != alone


HARMLESS = st.one_of(
    st.builds(
        lambda ms, j: toxic("latency", latency=ms, jitter=j), st.integers(0, 50), st.integers(0, 50)
    ),
    st.builds(lambda rate: toxic("bandwidth", rate=rate), st.integers(0, 3)),
    st.builds(lambda ms: toxic("slow_close", delay=ms), st.integers(0, 50)),
    st.builds(
        lambda size, more, us: toxic("slicer", average_size=size, size_variation=more, delay=us),
        st.integers(0, 20),
        st.integers(0, 20),
        st.integers(0, 3000),
    ),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.text("abcdef", min_size=1, max_size=40)),
        st.tuples(st.just("room"), st.integers(1, 60)),
        st.tuples(st.just("wait"), st.floats(0, 0.05)),
        st.tuples(st.just("update"), st.lists(st.tuples(st.integers(0, 3), HARMLESS), max_size=4)),
        st.tuples(st.just("end"), st.none()),
    ),
    max_size=30,
)


@given(STEPS, st.integers(0, 1000))
def test_whatever_changes_all_bytes_arrive_once_in_order_and_then_the_end(
    steps: list[tuple[str, object]], seed: int
) -> None:
    line = Line(seed=seed)
    line.room_bytes = 50
    sent, got, ended = "", "", False
    for step, value in steps:
        if step == "take" and not ended:
            assert isinstance(value, str)
            if text := value[: line.chain.room_bytes]:
                line.take(text)
                sent += text
        elif step == "room":
            assert isinstance(value, int)
            line.make_room(value)
        elif step == "wait":
            assert isinstance(value, float)
            got += joined(line.run(line.scheduler.now + value))
        elif step == "update":
            assert isinstance(value, list)
            named = {
                number: ToxicSpec(str(number), spec.type, attributes=spec.attributes)
                for number, spec in value
            }
            line.update(*named.values())
        elif step == "end" and not ended:
            ended = True
            line.finish()
    line.make_room(math.inf)
    line.update(*(spec for spec in line.chain.toxics if spec.attributes.get("rate") != 0))
    if not ended:
        line.finish()
    got += joined(line.run())
    assert got == sent + "end"
    assert (line.chain.held_bytes, len(line.scheduler)) == (0, 0)
