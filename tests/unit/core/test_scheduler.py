"""The heap: order, cancelling, time, and the word to the driver."""

import math
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.scheduler import Handle, Scheduler


@pytest.fixture
def log() -> list[tuple[str, float]]:
    return []


def noting(log: list[tuple[str, float]], name: str) -> Callable[[float], None]:
    return lambda now: log.append((name, now))


def test_events_at_one_instant_run_in_the_order_of_asking(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    for name in "abcde":
        scheduler.call_at(1.0, noting(log, name))
    scheduler.call_at(0.5, noting(log, "first"))
    scheduler.run_due(1.0)
    assert log == [("first", 0.5), *((name, 1.0) for name in "abcde")]


def test_each_event_sees_its_own_instant_as_now() -> None:
    scheduler = Scheduler()
    seen: list[tuple[float, float]] = []
    for when in (0.25, 0.5, 2.0):
        scheduler.call_at(when, lambda now: seen.append((now, scheduler.now)))
    scheduler.run_due(1.0)
    assert seen == [(0.25, 0.25), (0.5, 0.5)]
    assert scheduler.now == 1.0
    assert scheduler.next_at() == 2.0


def test_an_event_in_the_past_runs_now_and_time_does_not_move_back(
    log: list[tuple[str, float]],
) -> None:
    scheduler = Scheduler(10.0)
    scheduler.call_at(3.0, noting(log, "late"))
    assert scheduler.next_at() == 10.0
    scheduler.run_due(10.0)
    assert log == [("late", 10.0)]
    assert scheduler.advance(4.0) == 10.0
    scheduler.run_due(5.0)
    assert scheduler.now == 10.0


def test_what_an_event_asks_for_at_its_own_instant_runs_in_the_same_call(
    log: list[tuple[str, float]],
) -> None:
    scheduler = Scheduler()

    def parent(now: float) -> None:
        scheduler.call_at(now, noting(log, "child"))

    scheduler.call_at(1.0, parent)
    scheduler.call_at(1.0, noting(log, "sibling"))
    scheduler.run_due(1.0)
    assert log == [("sibling", 1.0), ("child", 1.0)]


def test_a_cancelled_event_does_not_run_and_is_not_the_next(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    first = scheduler.call_at(1.0, noting(log, "cancelled"))
    scheduler.call_at(2.0, noting(log, "kept"))
    first.cancel()
    first.cancel()
    assert scheduler.next_at() == 2.0
    scheduler.run_due(3.0)
    assert log == [("kept", 2.0)]
    assert scheduler.next_at() == math.inf


def test_an_event_can_cancel_another_at_the_same_instant(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    handles: list[Handle] = []
    scheduler.call_at(1.0, lambda _now: handles[0].cancel())
    handles.append(scheduler.call_at(1.0, noting(log, "cancelled")))
    scheduler.run_due(1.0)
    assert log == []


def test_cancelling_what_has_run_does_nothing(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    handle = scheduler.call_at(1.0, noting(log, "done"))
    scheduler.run_due(1.0)
    handle.cancel()
    assert log == [("done", 1.0)]


def test_cancelled_events_do_not_pile_up_in_the_heap() -> None:
    scheduler = Scheduler()
    for number in range(100_000):
        scheduler.call_at(60.0 + number, lambda _now: None).cancel()
    assert len(scheduler._heap) <= 512


def test_rebuilding_the_heap_while_it_runs_keeps_order_and_events(
    log: list[tuple[str, float]],
) -> None:
    scheduler = Scheduler()
    for number in range(400):
        scheduler.call_at(2.0 + number % 7, noting(log, str(number)))

    def flood(now: float) -> None:
        for _ in range(2000):
            scheduler.call_at(now + 1.0, lambda _now: None).cancel()
        scheduler.call_at(1.5, noting(log, "-1"))  # after the rebuilding, in the same run

    scheduler.call_at(1.0, flood)
    scheduler.run_due(100.0)
    expected = sorted(range(400), key=lambda number: (number % 7, number))
    assert [int(name) for name, _ in log] == [-1, *expected]


def test_stop_ends_the_run_with_time_at_that_event(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    for when in (1.0, 2.0, 3.0):
        scheduler.call_at(when, noting(log, "event"))
    scheduler.run_due(10.0, stop=lambda: len(log) == 2)
    assert log == [("event", 1.0), ("event", 2.0)]
    assert scheduler.now == 2.0
    scheduler.run_due(10.0, stop=lambda: False)
    assert scheduler.now == 10.0


def test_a_run_to_infinity_leaves_time_at_the_last_event(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    scheduler.call_at(4.5, noting(log, "last"))
    scheduler.run_due(math.inf)
    assert scheduler.now == 4.5


def test_call_soon_runs_after_its_event_and_before_the_next(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()

    def event(now: float) -> None:
        scheduler.call_soon(noting(log, "soon"))
        log.append(("event", now))

    scheduler.call_at(1.0, event)
    scheduler.call_at(1.0, noting(log, "next"))
    scheduler.run_due(1.0)
    assert [name for name, _ in log] == ["event", "soon", "next"]


def test_call_soon_makes_now_the_next_instant_and_runs_before_the_heap(
    log: list[tuple[str, float]],
) -> None:
    scheduler = Scheduler(1.0)
    scheduler.call_at(1.0, noting(log, "heap"))
    scheduler.call_soon(lambda _now: scheduler.call_soon(noting(log, "soon of soon")))
    assert scheduler.next_at() == 1.0
    scheduler.run_due(1.0)
    assert log == [("soon of soon", 1.0), ("heap", 1.0)]


def test_stop_is_asked_after_what_was_to_run_soon(log: list[tuple[str, float]]) -> None:
    scheduler = Scheduler()
    scheduler.call_soon(noting(log, "soon"))
    scheduler.call_at(0.0, noting(log, "heap"))
    scheduler.run_due(1.0, stop=lambda: bool(log))
    assert log == [("soon", 0.0)]


def test_the_driver_is_told_only_of_what_comes_before_all_that_was_known() -> None:
    scheduler = Scheduler()
    told: list[float] = []
    scheduler.on_earlier = told.append
    for when in (5.0, 7.0, 5.0, 3.0, 4.0):
        scheduler.call_at(when, lambda _now: None)
    assert told == [5.0, 3.0]


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("call"), st.integers(0, 40)),
        st.tuples(st.just("cancel"), st.integers(0, 60)),
        st.tuples(st.just("run"), st.integers(0, 50)),
    ),
    max_size=60,
)


@given(_STEPS)
def test_it_runs_what_a_sorted_list_would_run(steps: list[tuple[str, int]]) -> None:
    scheduler = Scheduler()
    ran: list[tuple[int, float]] = []
    handles: list[Handle] = []
    waiting: list[tuple[float, int]] = []  # the model
    expected: list[tuple[int, float]] = []
    now = 0.0

    def note(number: int, at: float) -> None:
        ran.append((number, at))

    for what, value in steps:
        if what == "call":
            number = len(handles)
            handles.append(scheduler.call_at(float(value), partial(note, number)))
            waiting.append((max(float(value), now), number))
        elif what == "cancel":
            if value < len(handles):
                handles[value].cancel()
                waiting = [entry for entry in waiting if entry[1] != value]
        else:
            now = max(now, float(value))
            due = sorted(entry for entry in waiting if entry[0] <= now)
            expected += [(number, when) for when, number in due]
            waiting = [entry for entry in waiting if entry[0] > now]
            scheduler.run_due(now)
        assert ran == expected
        assert scheduler.now == now
        assert scheduler.next_at() == min((when for when, _ in waiting), default=math.inf)


def test_what_gives_way_runs_when_the_driver_comes_again() -> None:
    scheduler = Scheduler(1.0)
    alarms: list[float] = []
    done: list[float] = []
    scheduler.on_earlier = alarms.append

    def go_on(now: float) -> None:
        done.append(now)
        if len(done) < 3:
            scheduler.call_next(go_on)

    scheduler.call_next(go_on)
    assert (alarms, scheduler.next_at()) == ([1.0], 1.0)
    scheduler.run_due(5.0)  # once, however late it is
    assert done == [5.0]
    scheduler.run_due(6.0)
    scheduler.run_due(7.0)
    scheduler.run_due(8.0)
    assert done == [5.0, 6.0, 7.0]
