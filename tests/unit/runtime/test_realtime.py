"""The driver of real time. Order and completion only: how long anything takes is the machine's."""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

import pystack
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.driver.realtime import RealtimeDriver

pytestmark = pytest.mark.trio


async def with_driver(body: Callable[[RealtimeDriver], Awaitable[None]]) -> None:
    """Run a test beside a driver that sleeps already; a lost alarm fails it."""
    driver = RealtimeDriver()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            await body(driver)
            nursery.cancel_scope.cancel()


async def test_a_timer_fires_at_its_instant_and_wakes_a_task() -> None:
    async def body(driver: RealtimeDriver) -> None:
        waiter = Waiter(driver)
        fired: list[float] = []

        def fire(now: float) -> None:
            fired.append(now)
            waiter.wake()

        when = driver.now() + 0.01
        driver.scheduler.call_at(when, fire)
        await waiter.wait()
        assert fired == [when]
        assert driver.now() >= when

    await with_driver(body)


async def test_an_earlier_timer_moves_the_alarm() -> None:
    async def body(driver: RealtimeDriver) -> None:
        waiter = Waiter(driver)
        fired: list[str] = []
        now = driver.now()
        late = driver.scheduler.call_at(now + 3600, lambda _now: fired.append("late"))
        await trio.testing.wait_all_tasks_blocked()
        driver.scheduler.call_at(now + 0.02, lambda _now: fired.append("2"))
        driver.scheduler.call_at(now + 0.02, lambda _now: waiter.wake())
        driver.scheduler.call_at(now + 0.01, lambda _now: fired.append("1"))
        await waiter.wait()
        assert fired == ["1", "2"]
        late.cancel()

    await with_driver(body)


async def test_a_cancelled_timer_in_front_holds_nothing_up() -> None:
    async def body(driver: RealtimeDriver) -> None:
        waiter = Waiter(driver)
        now = driver.now()
        driver.scheduler.call_at(now + 0.01, lambda _now: None).cancel()
        driver.scheduler.call_at(now + 0.02, lambda _now: waiter.wake())
        await waiter.wait()

    await with_driver(body)


async def test_a_timer_set_by_a_timer_fires() -> None:
    async def body(driver: RealtimeDriver) -> None:
        waiter = Waiter(driver)
        count = 0

        def again(now: float) -> None:
            nonlocal count
            count += 1
            if count == 20:
                waiter.wake()
            else:
                driver.scheduler.call_at(now + 0.0005, again)

        driver.scheduler.call_at(driver.now(), again)
        await waiter.wait()
        assert count == 20

    await with_driver(body)


async def test_time_never_runs_behind_what_has_been_done() -> None:
    driver = RealtimeDriver()
    driver.scheduler.advance(driver.now() + 1000)
    assert driver.now() == driver.scheduler.now


async def test_a_batch_runs_what_is_due() -> None:
    driver = RealtimeDriver()
    ran: list[float] = []
    now = driver.now()
    driver.scheduler.call_soon(ran.append)
    driver.scheduler.call_at(now + 3600, ran.append)
    driver.batch_done(now)
    assert ran == [driver.scheduler.now]


class CountingAlarm:
    """Counts how often it is set, and never goes off."""

    def __init__(self) -> None:
        self.instants: list[float] = []

    def set(self, when: float) -> None:
        self.instants.append(when)

    async def wait(self) -> None:
        await trio.sleep_forever()

    def close(self) -> None:
        pass


async def test_what_a_batch_plans_sets_the_alarm_only_for_what_is_left_of_it() -> None:
    alarm = CountingAlarm()
    driver = RealtimeDriver(make_alarm=lambda: alarm, lead_s=0.0)
    ran: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await trio.testing.wait_all_tasks_blocked()
        alarm.instants.clear()
        now = driver.batch_begins()
        driver.scheduler.call_at(now, lambda at: ran.append("due"))
        driver.scheduler.call_at(now + 3600, lambda at: ran.append("later"))
        driver.batch_done(now)
        assert (ran, alarm.instants) == (["due"], [now + 3600])
        driver.scheduler.call_at(now + 1800, lambda at: ran.append("earlier"))
        assert alarm.instants == [now + 3600, now + 1800]  # no batch: it is told at once
        nursery.cancel_scope.cancel()


async def test_what_goes_out_of_the_world_waits_until_all_is_done_that_is_due() -> None:
    driver = RealtimeDriver()
    ran: list[str] = []

    def out(now: float) -> None:
        ran.append("out")
        driver.scheduler.call_at(now, lambda at: ran.append("what it asks for"))

    def first(now: float) -> None:
        driver.when_done(out)
        driver.scheduler.call_at(now, lambda at: ran.append("same instant"))

    now = driver.batch_begins()
    driver.scheduler.call_at(now - 0.001, first)
    driver.scheduler.call_at(now, lambda at: ran.append("due"))
    driver.batch_done(now)
    assert ran == ["due", "same instant", "out", "what it asks for"]


async def test_what_goes_out_is_no_new_turn_for_what_waits_for_one() -> None:
    driver = RealtimeDriver()
    turns: list[str] = []

    def go_on(now: float) -> None:
        turns[-1] += "x"
        driver.when_done(lambda now: None)
        driver.scheduler.call_next(go_on)

    driver.scheduler.call_next(go_on)
    for _ in range(3):
        turns.append("")
        driver.batch_done(driver.batch_begins())
    assert turns == ["x", "x", "x"]


async def test_what_goes_out_for_ever_leaves_turns_to_other_tasks() -> None:
    async def body(driver: RealtimeDriver) -> None:
        count = 0

        def again(now: float) -> None:
            nonlocal count
            count += 1
            if count < 1_000_000_000:
                driver.when_done(again)

        driver.when_done(again)
        seen = 0
        for _ in range(10):  # and it goes on itself
            while count == seen:
                await trio.lowlevel.checkpoint()
            seen = count
        count = 1_000_000_000

    await with_driver(body)


async def test_what_is_to_go_out_wakes_a_driver_that_sleeps() -> None:
    async def body(driver: RealtimeDriver) -> None:
        waiter = Waiter(driver)
        driver.when_done(lambda now: waiter.wake())
        await waiter.wait()

    await with_driver(body)


async def test_an_error_in_a_network_in_real_time_comes_out_as_itself() -> None:
    with pytest.raises(KeyError):
        async with pystack.Network(seed=1):
            raise KeyError("mine")


async def test_a_network_in_real_time_is_the_same_network() -> None:
    assert RealtimeDriver.is_virtual is False
    with trio.fail_after(30):
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="1ms")
            assert await a.ping("b", timeout_s=20) > 0
            (listener,) = await b.open_tcp_listeners(80)
            stream = await a.open_tcp_stream("b", 80)
            await stream.send_all(b"hello")
            server = await listener.accept()
            assert await server.receive_some() == b"hello"
            await stream.aclose()
            assert await server.receive_some() == b""
            await server.aclose()
