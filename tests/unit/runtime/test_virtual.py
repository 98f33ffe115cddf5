"""Virtual time: exact, in an order that the seed decides, and never stuck without saying why."""

import inspect
from collections import deque
from random import Random

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio._core import _run as trio_run

import pystack
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.driver.virtual import VirtualClock, VirtualDriver
from pystack.runtime.driver.waiting import describe_waits


def driver() -> VirtualDriver:
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, VirtualClock)
    return clock.driver


# time


def test_time_begins_at_zero_and_an_hour_is_exactly_an_hour() -> None:
    async def main() -> list[float]:
        times = [trio.current_time()]
        for _ in range(3):
            await trio.sleep(3600)
            times.append(trio.current_time())
        return times

    assert pystack.run(main) == [0.0, 3600.0, 7200.0, 10800.0]


def test_a_deadline_is_kept_exactly() -> None:
    async def main() -> tuple[bool, float]:
        await trio.sleep(0.1)
        with trio.move_on_after(5) as scope:
            await trio.sleep_forever()
        return scope.cancelled_caught, trio.current_time()

    assert pystack.run(main) == (True, 5.1)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=10))
def test_a_sleep_ends_at_its_deadline_to_the_last_bit(naps: list[float]) -> None:
    async def main() -> None:
        for nap in naps:
            deadline = trio.current_time() + nap
            await trio.sleep_until(deadline)
            assert trio.current_time() == deadline

    pystack.run(main)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=8), st.floats(0, 50))
def test_sleepers_and_events_happen_at_their_own_instants(naps: list[float], start: float) -> None:
    async def main() -> None:
        await trio.sleep(start)
        seen: list[tuple[str, float, float]] = []

        async def sleeper(deadline: float) -> None:
            await trio.sleep_until(deadline)
            seen.append(("sleeper", deadline, trio.current_time()))

        async with trio.open_nursery() as nursery:
            for nap in naps:
                when = trio.current_time() + nap
                nursery.start_soon(sleeper, when)
                driver().scheduler.call_at(
                    when, lambda now, when=when: seen.append(("event", when, now))
                )
            await trio.sleep(200)
        assert len(seen) == 2 * len(naps)
        assert all(wanted == got for _, wanted, got in seen)
        assert [got for _, _, got in seen] == sorted(got for _, _, got in seen)

    pystack.run(main)


def test_a_deadline_is_met_exactly_where_its_distance_was_rounded() -> None:
    async def main() -> None:
        rng = Random(1)
        await trio.sleep(0.1)
        for _ in range(2000):
            deadline = trio.current_time() * (2.5 + rng.random())
            await trio.sleep_until(deadline)
            assert trio.current_time() == deadline
            if deadline > 1e6:
                driver().scheduler.now = 0.1  # from the beginning; nothing else waits

    pystack.run(main)


def test_time_stands_still_while_a_task_runs() -> None:
    async def main() -> set[float]:
        times = set()
        driver().scheduler.call_at(0.5, lambda _now: None)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
            times.add(trio.current_time())
        return times

    assert pystack.run(main) == {0.0}


def test_time_stands_still_while_a_thread_works() -> None:
    async def alone() -> tuple[str, float]:
        found = await trio.to_thread.run_sync(lambda: sum(range(10**6)) and "worked")
        return found, trio.current_time()

    async def beside_a_sleeper() -> tuple[str, float]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 3600)
            found = await alone()
            nursery.cancel_scope.cancel()
        return found

    assert pystack.run(alone) == ("worked", 0.0)
    assert pystack.run(beside_a_sleeper) == ("worked", 0.0)


def test_time_stands_still_until_who_waits_for_quiet_has_gone_on() -> None:
    async def main() -> tuple[list[float], list[str]]:
        times: list[float] = []
        log: list[str] = []
        driver().scheduler.call_at(1.0, lambda _now: log.append("later"))

        async def observer() -> None:
            for _ in range(5):
                await trio.testing.wait_all_tasks_blocked()
                times.append(trio.current_time())
                await trio.lowlevel.checkpoint()
            log.append("quiet")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 2.0)
            nursery.start_soon(observer)
        return times, log

    for seed in range(10):
        assert pystack.run(main, seed=seed) == ([0.0] * 5, ["quiet", "later"])


# waking


def test_time_stops_at_the_event_that_wakes_a_task() -> None:
    async def main() -> list[float]:
        waiter = Waiter(driver())
        scheduler = driver().scheduler
        for when in (1.0, 2.5):
            scheduler.call_at(when, lambda _now: waiter.wake())
        scheduler.call_at(7.0, lambda _now: None)
        times = []
        for _ in range(2):
            await waiter.wait()
            times.append(trio.current_time())
        return times

    assert pystack.run(main) == [1.0, 2.5]


def test_tasks_are_woken_one_after_the_other_in_the_order_of_the_events() -> None:
    async def main() -> list[str]:
        log: list[str] = []
        waiters = [Waiter(driver()) for _ in range(6)]

        async def task(number: int) -> None:
            await waiters[number].wait()
            log.append(f"{number} begins")
            await trio.lowlevel.checkpoint()  # another task could come in between: none does
            log.append(f"{number} ends")

        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(task, number)
            for number in (3, 1, 5, 0, 2, 4):
                driver().scheduler.call_at(1.0, lambda _now, n=number: waiters[n].wake())
        return log

    expected = [f"{number} {what}" for number in (3, 1, 5, 0, 2, 4) for what in ("begins", "ends")]
    for seed in range(5):
        assert pystack.run(main, seed=seed) == expected


def test_a_second_task_may_not_wait_for_the_same() -> None:
    async def main() -> None:
        waiter = Waiter(driver())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiter.wait)
            await trio.testing.wait_all_tasks_blocked()
            assert waiter.busy
            with pytest.raises(trio.BusyResourceError):
                await waiter.wait()
            waiter.wake()
        assert not waiter.busy

    pystack.run(main)


def test_a_cancelled_wait_leaves_the_place_free_even_when_it_was_woken_already() -> None:
    async def main() -> str:
        waiter = Waiter(driver())
        with trio.CancelScope() as scope:

            def wake_and_cancel(_now: float) -> None:
                waiter.wake()
                scope.cancel()

            driver().scheduler.call_at(1.0, wake_and_cancel)
            await waiter.wait()
        assert scope.cancelled_caught
        assert not waiter.busy
        driver().scheduler.call_at(2.0, lambda _now: waiter.wake())
        await waiter.wait()
        return "woken"

    assert pystack.run(main) == "woken"


# how a run ends


def test_what_the_program_returns_is_returned() -> None:
    async def main(a: int, b: int) -> int:
        return a + b

    assert pystack.run(main, 2, 3) == 5


def test_an_error_of_the_program_comes_out_as_itself() -> None:
    async def main() -> None:
        await trio.sleep(1)
        raise ConnectionRefusedError("no")

    with pytest.raises(ConnectionRefusedError, match="no"):
        pystack.run(main)


def test_the_cause_of_an_error_is_kept() -> None:
    async def main() -> None:
        raise RuntimeError("effect") from KeyError("cause")

    with pytest.raises(RuntimeError) as caught:
        pystack.run(main)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_deadlock_names_every_task_that_waits_and_where() -> None:
    async def waits_for_an_event() -> None:
        await trio.Event().wait()

    async def waits_for_a_packet() -> None:
        await Waiter(driver()).wait()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits_for_an_event, name="the first")
            nursery.start_soon(waits_for_a_packet)
            await trio.sleep(5)

    with pytest.raises(pystack.DeadlockError) as caught:
        pystack.run(main)
    text = str(caught.value)
    assert text.startswith("nothing can ever happen again; waiting for ever: ")
    assert "the first in " in text
    assert "waits_for_an_event (test_virtual.py:" in text
    assert "waits_for_a_packet" in text
    assert "sleep" not in text


def test_a_deadlock_names_a_task_that_waits_inside_its_nursery_or_network() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            net.link(host, net.host("b"))
            socket = await host.open_udp_socket(7)
            await socket.receive_from()

    with pytest.raises(pystack.DeadlockError, match="receive_from"):
        pystack.run(main)


def test_a_program_may_clean_up_after_a_deadlock() -> None:
    cleaned: list[str] = []

    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            cleaned.append("up")

    with pytest.raises(pystack.DeadlockError):
        pystack.run(main)
    assert cleaned == ["up"]


# the order of equals


def order_of_equals(seed: int) -> list[int]:
    """Return the order in which twenty tasks that are ready at once run."""

    async def main() -> list[int]:
        log: list[int] = []

        async def task(number: int) -> None:
            await trio.sleep(1)
            log.append(number)

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(task, number)
        return log

    return pystack.run(main, seed=seed)


GUARD = (
    "trio's private switch for deterministic scheduling has changed. Read how trio's _core/_run.py "
    "orders a batch of tasks now (it was: sort by task._counter and _r.shuffle(batch) where "
    "_ALLOW_DETERMINISTIC_SCHEDULING is true) and make _seeded_trio in "
    "pystack/runtime/driver/virtual.py do the same, or say in pyproject.toml which versions of "
    "trio work"
)


def test_trio_still_has_its_switch_for_deterministic_scheduling() -> None:
    assert isinstance(getattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", None), bool), GUARD
    assert hasattr(getattr(trio_run, "_r", None), "shuffle"), GUARD
    source = inspect.getsource(trio_run.unrolled_run)
    assert "_ALLOW_DETERMINISTIC_SCHEDULING" in source, GUARD
    assert "_r.shuffle(batch)" in source, GUARD


def test_trio_still_asks_its_clock_when_no_task_can_run() -> None:
    source = inspect.getsource(trio_run.unrolled_run)
    for line in (
        "if runner.runq:",
        "timeout = runner.clock.deadline_to_sleep_time(deadline)",
        "if runner.waiting_for_idle:",
    ):
        assert line in source, "VirtualDriver.go_on rests on this turn of Trio's loop"

    async def main() -> None:
        runner = trio_run.GLOBAL_RUN_CONTEXT.runner
        assert isinstance(runner.runq, deque)
        assert not runner.waiting_for_idle
        assert runner.entry_queue.size() == 0

    pystack.run(main)


def test_a_function_from_outside_runs_before_time_moves_on() -> None:
    async def main() -> list[float]:
        times: list[float] = []
        token = trio.lowlevel.current_trio_token()
        driver().scheduler.call_at(1.0, lambda _now: None)
        token.run_sync_soon(lambda: times.append(trio.current_time()))
        await trio.sleep(2)
        return times

    assert pystack.run(main) == [0.0]


def test_an_event_that_wakes_a_task_by_trio_itself_stops_time_too() -> None:
    async def main() -> float:
        happened = trio.Event()
        driver().scheduler.call_at(1.0, lambda _now: happened.set())
        driver().scheduler.call_at(2.0, lambda _now: None)
        await happened.wait()
        return trio.current_time()

    assert pystack.run(main) == 1.0


def test_an_error_of_an_event_comes_out_of_the_run() -> None:
    async def main() -> None:
        def fail(_now: float) -> None:
            raise LookupError("an observer's mistake")

        driver().scheduler.call_at(1.0, fail)
        await trio.sleep(5)

    with pytest.raises(LookupError, match="an observer's mistake"):
        pystack.run(main)


def test_tasks_that_are_ready_at_once_run_in_an_order_that_the_seed_decides() -> None:
    orders = [order_of_equals(seed) for seed in range(4)]
    assert [order_of_equals(seed) for seed in range(4)] == orders, GUARD
    assert len({tuple(order) for order in orders}) == 4, GUARD
    assert all(sorted(order) == list(range(20)) for order in orders)


def test_trio_is_left_as_it_was_found() -> None:
    before = (trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r)
    order_of_equals(1)

    async def fails() -> None:
        raise ValueError("fails")

    with pytest.raises(ValueError, match="fails"):
        pystack.run(fails)
    assert (trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r) == before


def test_a_task_that_stands_for_others_is_told_of_by_what_these_wait_for() -> None:
    async def loop() -> None:
        describe_waits(trio.lowlevel.current_task(), lambda: ["one in f", "two in g"])
        await trio.sleep_forever()

    with pytest.raises(pystack.DeadlockError, match=r"waiting for ever: one in f; two in g$"):
        pystack.run(loop)
