"""Blocking programs crash too: their threads end where they wait, with no clean-up."""

import contextlib
import gc
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
from threads_left import no_thread_is_left

import pystack

ran: list[str] = []


@contextlib.contextmanager
def entered() -> Iterator[None]:
    try:
        yield
    finally:
        ran.append("left")


def sleeps() -> None:
    try:
        with entered(), contextlib.suppress(BaseException):
            time.sleep(3600)
        ran.append("went on")
    except BaseException:
        ran.append("caught")
        raise
    finally:
        ran.append("finally")


def starts_threads() -> None:
    thread = threading.Thread(target=sleeps)
    thread.start()
    items: queue.Queue[int] = queue.Queue()
    try:
        items.get()
    finally:
        ran.append("finally")


def waits_for_a_lock() -> None:
    lock = threading.Lock()
    with lock:
        try:
            lock.acquire(timeout=50)
        finally:
            ran.append("finally")


def waits_for_a_pool() -> None:
    with ThreadPoolExecutor() as pool:
        pool.submit(sleeps).result()


@pytest.mark.parametrize("program", [sleeps, starts_threads, waits_for_a_lock, waits_for_a_pool])
def test_nothing_runs_after_the_crash(program: Callable[[], None]) -> None:
    ran.clear()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host, other = net.host("a"), net.host("b")
            net.after(2, lambda: host.power_off(crash=True))
            other.start_soon(other.run_sync, time.sleep, 20)
            host.start_soon(host.run_sync, program)
            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await host.run_sync(program)
            assert net.now() == 2
            host.power_on()
            await trio.sleep(100)
            gc.collect()
            assert ran == []
            assert await host.run_sync(lambda: (time.sleep(1), "anew")[1]) == "anew"

    with no_thread_is_left():
        pystack.run(main)
        gc.collect()
        assert ran == []


def test_handlers_are_back_afterwards() -> None:
    ran.clear()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            for crash in (True, False):
                host.start_soon(host.run_sync, sleeps)
                await trio.sleep(1)
                host.power_off(crash=crash)
                host.power_on()
                await trio.sleep(1)
                assert (ran == []) == crash

    pystack.run(main)
    assert "left" in ran
    assert "finally" in ran
