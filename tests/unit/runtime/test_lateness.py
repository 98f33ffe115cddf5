"""How late the machine runs: measured, counted, told, and warned of once."""

import logging

import pytest
import trio
import trio.testing

import pystack
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.link import Link
from pystack.observe.observer import Event, FellBehind
from pystack.runtime.driver.lateness import Lateness, hides_s
from pystack.runtime.driver.realtime import RealtimeDriver


class Listener:
    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        self.events.append(event)


def link(name: str, **words: object) -> Link:
    config = PipeConfig.parse(**words)
    return Link(Scheduler(), 1, name, config, config)


def watched(*links: Link) -> tuple[Lateness, Listener]:
    lateness, listener = Lateness(), Listener()
    lateness.links.extend(links)
    lateness.observers.append(listener)
    return lateness, listener


def test_the_histogram_has_powers_of_two_and_the_worst_is_known() -> None:
    lateness = Lateness()
    for late_s, at in ((0.5e-6, 1.0), (3e-6, 2.0), (3.9e-6, 3.0), (0.25, 4.0), (1000.0, 5.0)):
        lateness.note(late_s, at)
    found = {bits: count for bits, count in enumerate(lateness.histogram) if count}
    assert found == {0: 1, 2: 2, 18: 1, 27: 1}
    assert (lateness.worst_s, lateness.worst_at) == (1000.0, 5.0)
    assert str(lateness).startswith("5 times something was due: half less than 0.004 ms late")
    assert str(Lateness()) == "0 times something was due, never late"


def test_a_link_hides_its_delay_and_one_that_takes_no_time_everything() -> None:
    assert hides_s(link("a", delay="20ms")) == 0.02
    assert hides_s(link("a", rate="1mbit")) == 0.001  # every machine is as late as that
    assert hides_s(link("a")) == float("inf")
    one_way = PipeConfig.parse(delay="5ms")
    assert hides_s(Link(Scheduler(), 1, "a", one_way, PipeConfig())) == 0.005


def test_only_links_count_whose_delay_does_not_hide_it() -> None:
    near, far, perfect = link("near", delay="2ms"), link("far", delay="1s"), link("perfect")
    lateness, listener = watched(near, far, perfect)
    lateness.note(0.0019, 10.0)
    assert (listener.events, lateness.behind_since) == ([], None)
    lateness.note(0.003, 10.1)
    assert [one.counters.get("late", 0) for one in (near, far, perfect)] == [1, 0, 0]
    assert listener.events == [FellBehind(10.1, "near", 0.003, 10.1 - 0.003, 0.002)]
    assert lateness.behind_since == 10.1 - 0.003
    lateness.note(0.0001, 10.2)
    assert lateness.behind_since is None


def test_the_event_comes_once_a_second_and_since_stays() -> None:
    lateness, listener = watched(link("a", delay="1ms"))
    for number in range(21):
        lateness.note(0.05, 10.0 + number * 0.1)
    assert [event.at for event in listener.events] == pytest.approx([10.0, 11.0, 12.0])
    assert lateness.behind_since == 10.0 - 0.05
    assert lateness.behind_s == pytest.approx(21 * 0.05)


def test_what_was_overdue_twice_over_is_counted_once() -> None:
    lateness, _ = watched(link("a", delay="1ms"))
    lateness.note(0.5, 10.0)
    lateness.note(0.5, 10.1)
    assert lateness.behind_s == pytest.approx(0.6)


def test_it_warns_once_and_not_for_a_hiccup(caplog: pytest.LogCaptureFixture) -> None:
    lateness, _ = watched(link("a-b", delay="1ms"))
    with caplog.at_level(logging.WARNING, "pystack"):
        for second in range(20):  # one each second
            lateness.note(0.05, 10.0 + second)
        assert not caplog.messages
        for turn in range(100):
            lateness.note(0.05, 40.0 + turn * 0.05)
    assert len(caplog.messages) == 1
    assert "events come 50 ms late, and the delay of a-b hides 1 ms" in caplog.messages[0]


def test_to_look_at_many_links_never_takes_all_of_the_time() -> None:
    links = [link(str(number), delay="1ms") for number in range(1000)]
    lateness, _ = watched(*links)
    for turn in range(10):
        lateness.note(0.05, 10.0 + turn * 0.001)
    assert links[0].counters["late"] == 1
    assert sum(lateness.histogram) == 10


def test_the_driver_measures_what_it_runs() -> None:
    clock = trio.testing.MockClock()

    async def main() -> None:
        driver = RealtimeDriver()
        ran: list[float] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(driver.run)
            await trio.testing.wait_all_tasks_blocked()
            now = driver.now()
            for after in (0.1, 0.2):
                driver.scheduler.call_at(now + after, ran.append)
            driver.scheduler.call_at(now + 0.05, ran.append).cancel()
            clock.jump(0.5)
            await trio.testing.wait_all_tasks_blocked()
            assert ran == [now + 0.1, now + 0.2]
            assert driver.lateness.worst_s == pytest.approx(0.4)
            assert sum(driver.lateness.histogram) == 1
            driver.scheduler.call_at(now + 0.6, ran.append)
            clock.jump(0.4)
            driver.batch_done(driver.now())
            assert sum(driver.lateness.histogram) == 2
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)


def test_a_network_watches_its_links_and_tells_its_observers() -> None:
    clock = trio.testing.MockClock()

    async def main() -> None:
        listener = Listener()
        async with pystack.Network(seed=1) as net:
            one, other = net.host("a"), net.host("b")
            joined = net.link(one, other, delay="10ms")
            net.observe(listener)
            assert net.lateness is not None
            net.at(0.1, lambda: None)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(0.5)
            await trio.testing.wait_all_tasks_blocked()
            assert joined.counters["late"] == 1
            told = [event for event in listener.events if isinstance(event, FellBehind)]
            assert [event.host for event in told] == ["a-b"]

    trio.run(main, clock=clock)


def test_in_virtual_time_nothing_is_late() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            assert net.lateness is None

    pystack.run(main)
