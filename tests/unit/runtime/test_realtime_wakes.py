"""Whoever plans something wakes the driver of real time, wherever it is that he plans it.

On a clock that moves only when nothing is left to do: what nobody is woken for never happens.
"""

import itertools
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing

import pystack
from pystack.runtime.driver.alarm import DeadlineAlarm
from pystack.runtime.driver.realtime import RealtimeDriver

_ROUNDS = 20  # of Trio's: more than enough for all that is due

Plan = Callable[[RealtimeDriver, Callable[[], None]], object]


# Every way in which something can be planned for now
WAYS: dict[str, Plan] = {
    "call_at": lambda driver, fn: driver.scheduler.call_at(driver.now(), lambda now: fn()),
    "post": lambda driver, fn: driver.scheduler.post(driver.now(), lambda none, now: fn(), None),
    "call_soon": lambda driver, fn: driver.scheduler.call_soon(lambda now: fn()),
    "call_next": lambda driver, fn: driver.scheduler.call_next(lambda now: fn()),
    "when_done": lambda driver, fn: driver.when_done(lambda now: fn()),
}


def in_a_task(driver: RealtimeDriver, plan: Callable[[], object]) -> None:
    plan()


def in_a_batch(driver: RealtimeDriver, plan: Callable[[], object]) -> None:
    now = driver.batch_begins()
    plan()
    driver.batch_done(now)


def in_a_batch_within_a_batch(driver: RealtimeDriver, plan: Callable[[], object]) -> None:
    in_a_batch(driver, lambda: (in_a_batch(driver, plan), plan()))


def in_a_batch_that_fails(driver: RealtimeDriver, plan: Callable[[], object]) -> None:
    def fail(now: float) -> None:
        raise ValueError

    now = driver.batch_begins()
    driver.scheduler.call_at(now, fail)
    plan()
    with suppress(ValueError):
        driver.batch_done(now)


def in_a_pause(driver: RealtimeDriver, plan: Callable[[], object]) -> None:
    driver.pause()
    plan()
    driver.resume()


class SeenAlarm(DeadlineAlarm):
    """Shows whether the driver sleeps, and how often it has begun to."""

    asleep = False
    sleeps = 0

    async def wait(self) -> None:
        self.asleep = True
        self.sleeps += 1
        try:
            await super().wait()
        finally:
            self.asleep = False


async def rest(alarm: SeenAlarm) -> None:
    """Let all happen that is due; then the driver has to sleep, and to sleep on."""
    for _ in range(_ROUNDS):
        await trio.lowlevel.checkpoint()
    sleeps = alarm.sleeps
    for _ in range(3):
        await trio.lowlevel.checkpoint()
    assert (alarm.asleep, alarm.sleeps) == (True, sleeps)


@pytest.mark.parametrize("known_s", [(), (5.0,), (0.0, 5.0)])
@pytest.mark.parametrize(
    "place",
    [in_a_task, in_a_batch, in_a_batch_within_a_batch, in_a_batch_that_fails, in_a_pause],
)
def test_what_is_planned_for_now_happens_now(
    place: Callable[[RealtimeDriver, Callable[[], object]], None], known_s: tuple[float, ...]
) -> None:
    """Two of a kind or of different ones, the second planned by the first."""

    async def main() -> None:
        alarm = SeenAlarm()
        driver = RealtimeDriver(make_alarm=lambda: alarm)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await rest(alarm)
            for first, second in itertools.product(WAYS, WAYS):
                done: list[str] = []

                def plan_second(second: str = second, done: list[str] = done) -> None:
                    WAYS[second](driver, lambda: done.append(second))

                # What is known already: something later, and what is cancelled before it comes
                known = [
                    driver.scheduler.call_at(driver.now() + ahead_s, lambda now: None)
                    for ahead_s in known_s
                ]
                for handle in known[:-1]:
                    handle.cancel()
                place(driver, lambda: WAYS[first](driver, plan_second))  # noqa: B023 - called here
                await rest(alarm)
                assert set(done) == {second}, f"{second} planned by {first}"
                for handle in known:
                    handle.cancel()
            assert trio.current_time() == start
            nursery.cancel_scope.cancel()

    clock = trio.testing.MockClock()
    start = clock.current_time()
    trio.run(main, clock=clock)


def test_a_program_hears_what_it_sends_to_all_however_long_the_link_is() -> None:
    async def main() -> bytes:
        async with pystack.Network(seed=1, subnet="10.0.0.0/24") as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b, delay="10s")
            async with await a.open_udp_socket(9) as mine:
                mine.allow_broadcast()
                await trio.testing.wait_all_tasks_blocked()
                await mine.send_to(b"to all", ("10.0.0.255", 9))
                with trio.fail_after(1):
                    data, _ = await mine.receive_from()
        return data

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock) == b"to all"
