"""`Scheduler.post`: like `call_at`, with an argument and without a handle."""

import math

from pystack.core.scheduler import Scheduler


def test_posted_and_called_events_keep_the_order_of_asking() -> None:
    scheduler = Scheduler()
    log: list[str] = []

    def note(name: str, _now: float) -> None:
        log.append(name)

    scheduler.post(1.0, note, "a")
    scheduler.call_at(1.0, lambda _now: log.append("b"))
    scheduler.post(1.0, note, "c")
    scheduler.post(0.5, note, "first")
    scheduler.run_due(1.0)
    assert log == ["first", "a", "b", "c"]


def test_a_posted_event_gets_its_argument_and_its_instant() -> None:
    scheduler = Scheduler()
    seen: list[tuple[str, float]] = []
    scheduler.post(0.25, lambda text, now: seen.append((text, now)), "hello")
    assert scheduler.next_at() == 0.25
    assert len(scheduler) == 1
    scheduler.run_due(1.0)
    assert seen == [("hello", 0.25)]
    assert scheduler.next_at() == math.inf


def test_what_is_posted_into_the_past_runs_now() -> None:
    scheduler = Scheduler(10.0)
    seen: list[float] = []
    scheduler.post(3.0, lambda _nothing, now: seen.append(now), None)
    scheduler.run_due(10.0)
    assert seen == [10.0]


def test_the_driver_is_told_of_a_post_that_comes_before_all_others() -> None:
    scheduler = Scheduler()
    told: list[float] = []
    scheduler.on_earlier = told.append
    for when in (5.0, 7.0, 3.0):
        scheduler.post(when, lambda _nothing, _now: None, None)
    assert told == [5.0, 3.0]


def test_stop_is_asked_after_a_posted_event() -> None:
    scheduler = Scheduler()
    ran: list[int] = []
    for number in (1, 2, 3):
        scheduler.post(float(number), lambda which, _now: ran.append(which), number)
    scheduler.run_due(10.0, stop=lambda: len(ran) == 2)
    assert (ran, scheduler.now) == ([1, 2], 2.0)


def test_a_cancelled_event_moves_no_time_between_posted_ones() -> None:
    scheduler = Scheduler()
    scheduler.call_at(2.0, lambda _now: None).cancel()
    scheduler.post(1.0, lambda _nothing, _now: None, None)
    scheduler.run_due(math.inf)
    assert scheduler.now == 1.0
