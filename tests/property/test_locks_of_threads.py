"""Locks of threads in a world: what each call answers, and who gets one when."""

import threading
import time
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

import pystack
from pystack.core.schedules import Schedule

MAKERS = (threading.Lock, threading.RLock)
CALLS: dict[str, Callable[[threading.Lock], object]] = {
    "try": lambda lock: lock.acquire(False),
    "try, in words": lambda lock: lock.acquire(blocking=False),
    "no time": lambda lock: lock.acquire(timeout=0),
    "in vain": lambda lock: lock.acquire(False, 1.0),
    "below zero": lambda lock: lock.acquire(True, -3.0),
    "no number": lambda lock: lock.acquire(True, "x"),  # type: ignore[arg-type]
    "release": lambda lock: lock.release(),
    "leave": lambda lock: lock.__exit__(None, None, None),
    "shown": lambda lock: repr(lock).split()[0],
}
SECONDS = st.integers(0, 3)


def answers(maker: Callable[[], threading.Lock], calls: list[str]) -> list[object]:
    lock, seen = maker(), []
    for call in calls:
        try:
            seen.append(CALLS[call](lock))
        except Exception as error:
            seen.append((type(error), str(error)))
    return seen


def on_a_host(program: Callable[[], object], schedule: Schedule = "fifo") -> object:
    async def main() -> object:
        async with pystack.Network(seed=1, schedule=schedule) as net:
            return await net.host("a").run_sync(program)

    return pystack.run(main)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MAKERS), st.lists(st.sampled_from(sorted(CALLS)), max_size=12))
def test_calls_that_need_not_wait_answer_as_cpythons(
    maker: Callable[[], threading.Lock], calls: list[str]
) -> None:
    assert on_a_host(lambda: answers(maker, calls)) == answers(maker, calls)


def held(
    maker: Callable[[], threading.Lock], plans: list[tuple[int, int]]
) -> list[tuple[int, float, float]]:
    """Have threads come after so many seconds, and hold one lock for so many; tell who did when."""
    lock, seen = maker(), []

    def hold(number: int, after_s: int, for_s: int) -> None:
        time.sleep(after_s)
        with lock:
            began = time.monotonic()
            time.sleep(for_s)
            seen.append((number, began, time.monotonic()))

    threads = [
        threading.Thread(target=hold, args=(number, *plan)) for number, plan in enumerate(plans)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(MAKERS), st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=6))
def test_a_lock_is_had_by_one_thread_at_a_time_and_never_idle(
    maker: Callable[[], threading.Lock], plans: list[tuple[int, int]]
) -> None:
    for schedule in ("fifo", "random"):
        seen = on_a_host(lambda: held(maker, plans), schedule)  # type: ignore[arg-type]
        assert isinstance(seen, list)
        assert sorted(number for number, _, _ in seen) == list(range(len(plans)))
        free_at = 0.0
        waiting = dict(enumerate(plans))
        for number, began, ended in seen:
            arrived = [after_s for after_s, _ in waiting.values()]
            assert began == max(free_at, min(arrived))
            assert ended == began + waiting.pop(number)[1]
            free_at = ended


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6))
def test_who_waits_longest_for_a_lock_gets_it_first(seconds: list[int]) -> None:
    plans = [(0, each) for each in seconds]
    seen = on_a_host(lambda: held(threading.Lock, plans))
    assert isinstance(seen, list)
    assert [number for number, _, _ in seen] == list(range(len(plans)))
