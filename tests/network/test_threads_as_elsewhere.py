"""What programs do in threads besides waiting: pools, signals, names; and that worlds end whole."""

import gc
import os
import signal
import socket
import threading
import time
import weakref
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import TypeVar

import pytest
import trio

import pystack
from pystack.runtime.borrowed.clock import BlockedWorldError

T = TypeVar("T")


def on_a_host(program: Callable[[], T]) -> T:
    async def main() -> T:
        async with pystack.Network(seed=1) as net:
            return await net.host("a").run_sync(program)

    return pystack.run(main)


# Worlds end whole


async def of_threads(host: pystack.Host) -> None:
    def program() -> None:
        with socket.create_server(("", 7)), ThreadPoolExecutor() as pool:
            pool.submit(time.sleep, 1.0).result()

    await host.run_sync(program)


async def of_asyncio(host: pystack.Host) -> None:
    import asyncio

    async def program() -> None:
        await asyncio.to_thread(time.sleep, 1.0)
        server = await asyncio.start_server(print, port=7)
        server.close()

    await host.run_asyncio(program)


async def of_trio(host: pystack.Host) -> None:
    async def program() -> None:
        for listener in await trio.open_tcp_listeners(7):
            await listener.aclose()

    await host.run(program)


@pytest.mark.parametrize("use", [of_threads, of_asyncio, of_trio])
def test_nothing_of_a_world_is_in_memory_once_it_is_over(
    use: Callable[[pystack.Host], Awaitable[None]],
) -> None:
    worlds: list[weakref.ref[object]] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            worlds.append(weakref.ref(net.driver))
            await use(net.host("a"))

    pystack.run(main)
    gc.collect()
    assert worlds[0]() is None


# What is not made for Trio


def test_a_thread_pool_of_multiprocessing_works_in_the_worlds_time() -> None:
    def doubled(number: int) -> int:
        time.sleep(1.0)
        return 2 * number

    def program() -> tuple[list[int], float]:
        with ThreadPool(5) as pool:
            return pool.map(doubled, range(10), chunksize=1), time.monotonic()

    assert on_a_host(program) == ([2 * number for number in range(10)], 2.0)


def test_threads_and_pools_are_numbered_by_their_host() -> None:
    def program() -> list[str]:
        with ThreadPoolExecutor(1) as pool:
            of_pool = pool.submit(lambda: threading.current_thread().name).result()
        return [threading.Thread(target=print).name, threading.Timer(1.0, print).name, of_pool]

    names = ["Thread-1 (print)", "Thread-2", "ThreadPoolExecutor-0_0"]
    assert on_a_host(program) == on_a_host(program) == names


def test_from_a_thread_trio_can_be_called() -> None:
    def program() -> tuple[float, float]:
        trio.from_thread.run(trio.sleep, 2.0)
        return trio.from_thread.run_sync(trio.current_time), time.monotonic()

    assert on_a_host(program) == (2.0, 2.0)


# Signals


@pytest.mark.parametrize("send", [signal.raise_signal, lambda number: os.kill(os.getpid(), number)])
def test_a_thread_sends_its_program_a_signal(send: Callable[[int], None]) -> None:
    def handled() -> list[tuple[int, float]]:
        got: list[tuple[int, float]] = []
        signal.signal(signal.SIGTERM, lambda number, _frame: got.append((number, time.monotonic())))
        time.sleep(1.0)
        send(signal.SIGTERM)
        return got

    def by_default() -> None:
        send(signal.SIGINT)
        time.sleep(1.0)

    assert on_a_host(handled) == [(signal.SIGTERM, 1.0)]
    with pytest.raises(trio.BrokenResourceError, match="was ended by SIGINT"):
        on_a_host(by_default)


def test_the_systems_timers_are_not_for_programs() -> None:
    def program() -> None:
        assert signal.alarm(0) == 0
        with pytest.raises(BlockedWorldError, match=r"signal\.setitimer .* use threading\.Timer"):
            signal.setitimer(signal.ITIMER_REAL, 1.0)
        signal.alarm(1)

    with pytest.raises(BlockedWorldError, match=r"signal\.alarm in a: run_sync would send"):
        on_a_host(program)
    assert signal.alarm(0) == 0


# A clock that cannot be


@pytest.mark.parametrize(
    ("shown", "error"),
    [(1e300, OSError), (float("nan"), OSError), (-5.0, OSError), ("x", TypeError)],
)
def test_a_clock_that_is_not_set_goes_on_as_it_was(shown: float, error: type[Exception]) -> None:
    def program() -> float:
        with pytest.raises(error):
            time.clock_settime(time.CLOCK_REALTIME, shown)
        time.sleep(1.0)
        return time.time()

    assert on_a_host(program) == 1767225601.0


# Power


@pytest.mark.parametrize("crash", [False, True])
def test_a_thread_cuts_the_power_of_its_own_host(crash: bool) -> None:
    done: list[str] = []

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")

            def program() -> None:
                try:
                    host.power_off(crash=crash)
                    done.append("its last words")
                    time.sleep(1.0)
                    done.append("never")
                finally:
                    done.append("clean-up")

            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await host.run_sync(program)
            host.power_on()

    pystack.run(main)
    assert done == ["its last words", "clean-up"][: 1 if crash else 2]
    # It has ended, though the network closed at the same instant: what it had borrowed is back.
    assert type(type(threading.Lock()).acquire).__name__ == "method_descriptor"


# The test itself, in Trio's thread and on no host


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock])
@pytest.mark.parametrize("timeout", [-1, 3600.0])
def test_who_is_on_no_host_does_not_wait_for_ever_for_a_thread_that_waits_for_it(
    kind: Callable[[], threading.Lock], timeout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYSTACK_BUSY_AFTER", "0.1")
    lock = kind()

    def hold() -> None:
        with lock:
            time.sleep(5.0)

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            host.start_soon(host.run_sync, hold)
            await trio.sleep(1.0)
            with pytest.raises(
                BlockedWorldError, match="waiting for a lock would stop the world, which"
            ):
                lock.acquire(timeout=timeout)
            assert not lock.acquire(timeout=0.01)
            await trio.sleep(5.0)
            assert lock.acquire()

    pystack.run(main)


def test_who_is_on_no_host_waits_for_a_thread_of_the_machine() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            host.start_soon(host.run_sync, time.sleep, 3600.0)
            await trio.sleep(1.0)
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(pow, 2, 3).result() == 8

    pystack.run(main)
