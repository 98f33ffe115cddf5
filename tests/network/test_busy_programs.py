"""Programs that never wait are found, named and stopped; what a thread keeps for itself is not."""

import re
import selectors
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
import trio

import pystack
from pystack.runtime.blocking import turns
from pystack.runtime.blocking.busy import PATIENCE, BusyLoopError


def until_later() -> None:
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        pass


def for_ever() -> None:
    while True:
        pass


async def until_later_in_a_task() -> None:
    until_later()


async def for_ever_in_a_task() -> None:
    for_ever()


def run(how: str, program: Callable[[], object]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            await getattr(net.host("a"), how)(program)

    pystack.run(main)


@pytest.mark.parametrize(
    ("how", "program"),
    [
        ("run_sync", until_later),
        ("run", until_later_in_a_task),
        ("run_asyncio", until_later_in_a_task),
    ],
)
def test_who_looks_at_the_clock_until_time_has_passed_is_named_with_his_place(
    how: str, program: Callable[[], object]
) -> None:
    with pytest.raises(
        BusyLoopError,
        match=r"on a has read its clock 1,000,000 times at 0 s, in until_later \(test_busy_pro",
    ):
        run(how, program)


@pytest.mark.parametrize(
    ("how", "program"),
    [
        ("run_sync", for_ever),
        ("run", for_ever_in_a_task),
        ("run_asyncio", for_ever_in_a_task),
    ],
)
def test_who_works_for_ever_is_stopped_after_a_while_of_the_machines(
    how: str, program: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATIENCE, "0.3")
    with pytest.raises(
        BusyLoopError, match=r" a.* has not waited once in 0\.3 s .* in for_ever \("
    ):
        run(how, program)


def test_who_reads_the_clock_often_but_waits_between_is_not_busy() -> None:
    def program() -> float:
        for _ in range(12):
            for _ in range(100_000):
                time.monotonic()
            time.sleep(1.0)
        return time.monotonic()

    run("run_sync", program)


def test_who_polls_without_waiting_lets_time_go_on_as_on_a_machine() -> None:
    def by_select() -> float:
        with selectors.DefaultSelector() as selector:
            end = time.monotonic() + 0.1
            while time.monotonic() < end:
                assert selector.select(0) == []
        return time.monotonic()

    def by_sleep() -> float:
        due = threading.Event()
        threading.Timer(0.1, due.set).start()
        while not due.is_set():
            time.sleep(0)
        return time.monotonic()

    async def main(program: Callable[[], float]) -> float:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run_sync(program)

    for program in (by_select, by_sleep):
        assert pystack.run(main, program) == pytest.approx(0.1, abs=1e-4)


def test_who_swallows_his_end_is_given_up_and_named() -> None:
    stop = threading.Event()

    def program() -> None:
        while not stop.is_set():
            with suppress(BaseException):
                time.sleep(10.0)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with trio.move_on_after(5.0):
                await net.host("a").run_sync(program)

    with pytest.raises(turns.AbandonedThreadError, match=re.escape("the thread a: ")) as caught:
        pystack.run(main)
    assert "in test_who_swallows" in str(caught.value)


def test_trio_run_in_a_thread_runs_in_its_world() -> None:
    async def trios() -> float:
        await trio.sleep(3.0)
        return trio.current_time()

    seen: list[float] = []
    run("run_sync", lambda: seen.append(trio.run(trios)))
    assert seen == [3.0]
    with pytest.raises(pystack.ConfigError, match="which has a clock of its own"):
        run("run_sync", lambda: trio.run(trios, clock=trio.testing.MockClock()))
