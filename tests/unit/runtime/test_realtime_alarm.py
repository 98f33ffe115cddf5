"""The driver of real time, on a clock that the test moves; and the alarms by themselves."""

import math
import os
from collections.abc import Callable

import pytest
import trio
import trio.testing

from pystack.runtime.driver.alarm import Alarm, DeadlineAlarm, TimerfdAlarm
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.driver.realtime import RealtimeDriver, best_alarm


def run_for(seconds: float, set_up: Callable[[RealtimeDriver], None]) -> float:
    """Run a driver for that long on a clock that jumps; return the time at the end."""

    async def main() -> float:
        driver = RealtimeDriver()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            set_up(driver)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()
        return driver.now()

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_events_happen_at_their_own_instants_in_order() -> None:
    seen: list[tuple[str, float, float]] = []

    def set_up(driver: RealtimeDriver) -> None:
        def see(name: str) -> Callable[[float], None]:
            return lambda when: seen.append((name, when, trio.current_time()))

        driver.scheduler.call_at(7.5, see("later"))
        driver.scheduler.call_at(2.25, see("sooner"))  # moves the alarm nearer

    assert run_for(10.0, set_up) == 10.0
    assert seen == [("sooner", 2.25, 2.25), ("later", 7.5, 7.5)]


def test_a_cancelled_event_wakes_nobody() -> None:
    seen: list[float] = []

    def set_up(driver: RealtimeDriver) -> None:
        driver.scheduler.call_at(1.0, seen.append).cancel()
        driver.scheduler.call_at(3.0, seen.append)

    run_for(5.0, set_up)
    assert seen == [3.0]


def test_what_an_event_asks_for_at_its_own_instant_happens_then() -> None:
    seen: list[float] = []

    def set_up(driver: RealtimeDriver) -> None:
        scheduler = driver.scheduler
        scheduler.call_at(
            1.0, lambda when: scheduler.call_soon(lambda _: seen.append(scheduler.now)) or None
        )
        scheduler.call_at(1.0, lambda when: scheduler.call_at(when, seen.append) and None)

    run_for(2.0, set_up)
    assert seen == [1.0, 1.0]


def test_an_event_wakes_a_task_that_waits() -> None:
    async def main() -> float:
        driver = RealtimeDriver()
        waiter = Waiter(driver)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            driver.scheduler.call_at(4.0, lambda _: waiter.wake())
            await waiter.wait()
            nursery.cancel_scope.cancel()
        return trio.current_time()

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) == 4.0


def test_on_the_machines_clock_no_event_is_early() -> None:
    early: list[float] = []

    async def main() -> None:
        driver = RealtimeDriver()
        done = Waiter(driver)

        def see(when: float) -> None:
            if trio.current_time() < when:
                early.append(when)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            start = driver.now()
            # Below, at, and above the lead of 150 us, and close together.
            for offset_us in (0, 10, 25, 60, 140, 150, 155, 400, 1000, 1010, 2500):
                driver.scheduler.call_at(start + offset_us / 1e6, see)
            driver.scheduler.call_at(start + 3e-3, lambda _: done.wake())
            await done.wait()
            nursery.cancel_scope.cancel()

    trio.run(main)
    assert early == []


def test_a_driver_that_ended_holds_no_descriptor() -> None:
    async def main() -> None:
        before = os.listdir("/proc/self/fd")
        driver = RealtimeDriver()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert driver.scheduler.on_earlier is None
        assert os.listdir("/proc/self/fd") == before

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc to look at the descriptors")
    trio.run(main)


def timerfd_alarm() -> Alarm:
    try:
        return TimerfdAlarm()
    except OSError as error:
        pytest.skip(f"no timer descriptors here: {error}")


@pytest.mark.parametrize("make_alarm", [timerfd_alarm, DeadlineAlarm])
def test_an_alarm_for_an_instant_that_is_over_goes_off_at_once(
    make_alarm: Callable[[], Alarm],
) -> None:
    async def main() -> None:
        alarm = make_alarm()
        for behind_s in (0.0, 1e-9, 1.0, 1e9):  # 1e9: before the machine's clock began
            alarm.set(trio.current_time() - behind_s)
            with trio.fail_after(30):
                await alarm.wait()
        alarm.close()

    trio.run(main)


@pytest.mark.parametrize("make_alarm", [timerfd_alarm, DeadlineAlarm])
@pytest.mark.parametrize("when_ahead_s", [math.inf, 1e12, 3600.0])
def test_an_alarm_that_was_moved_away_does_not_go_off(
    make_alarm: Callable[[], Alarm], when_ahead_s: float
) -> None:
    async def main() -> bool:
        alarm = make_alarm()
        alarm.set(trio.current_time() - 1)  # gone off, and not waited for
        alarm.set(trio.current_time() + when_ahead_s)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alarm.wait)
                await trio.testing.wait_all_tasks_blocked()
                still_waiting = len(nursery.child_tasks) == 1
                scope.cancel()
        alarm.close()
        return still_waiting

    assert trio.run(main)


@pytest.mark.parametrize("make_alarm", [timerfd_alarm, DeadlineAlarm])
def test_an_alarm_can_be_moved_nearer_while_a_task_waits(make_alarm: Callable[[], Alarm]) -> None:
    async def main() -> None:
        alarm = make_alarm()
        alarm.set(math.inf)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(alarm.wait)
                await trio.testing.wait_all_tasks_blocked()
                alarm.set(trio.current_time())
        alarm.close()

    trio.run(main)


def test_without_timer_descriptors_trios_sleep_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert isinstance(best_alarm(), DeadlineAlarm)
