"""Ends of worlds of asyncio that nobody meant: cancelled, interrupted, forgotten, in turn."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import trio

import pystack

STEPS = range(1, 48, 2)


@pytest.fixture
def loop() -> Iterator[pystack.EventLoop]:
    made = pystack.EventLoop()
    yield made
    made.close()


async def world() -> float:
    """Open a network, have a connection in it, and close it: 48 rounds of a loop."""

    async def serve() -> None:
        async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                writer.write((await reader.readline()).upper())
            finally:
                writer.close()

        await (await asyncio.start_server(shout, port=7)).serve_forever()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("b", 7)
        try:
            writer.write(b"hello\n")
            assert await reader.read() == b"HELLO\n"
        finally:
            writer.close()
        await writer.wait_closed()

    async with pystack.Network(seed=1) as net:
        net.link(net.host("a"), net.host("b"), delay="10ms")
        await net.hosts["b"].start_asyncio(serve, port=7)
        await net.hosts["a"].run_asyncio(ask)
        return net.now()


def act_in_round(loop: pystack.EventLoop, number: int, act: Callable[[], object]) -> None:
    """Have something done at the beginning of a round of the loop."""
    rounds, run_round = 0, loop._run_round

    def round_() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == number:
            act()
        run_round()

    loop._run_round = round_  # type: ignore[method-assign]


@pytest.mark.parametrize("step", STEPS)
def test_a_world_that_is_cancelled_at_any_step_is_closed(
    loop: pystack.EventLoop, step: int
) -> None:
    own, errors = os.kill, []
    loop.set_exception_handler(lambda _loop, context: errors.append(context))
    task = loop.create_task(world())
    act_in_round(loop, step, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    assert not asyncio.all_tasks(loop)
    assert os.kill is own
    assert errors == []


@pytest.mark.parametrize("step", STEPS)
def test_a_loop_that_was_interrupted_goes_on(loop: pystack.EventLoop, step: int) -> None:
    task = loop.create_task(world())
    act_in_round(loop, step, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == pytest.approx(0.06)


def test_a_time_out_around_a_network_is_told() -> None:
    async def main() -> None:
        async with asyncio.timeout(1):
            async with pystack.Network():
                await asyncio.sleep(3)

    with pytest.raises(TimeoutError):
        pystack.run_asyncio(main)


def test_ctrl_c_ends_a_program_with_a_network() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(0.5, os.kill, os.getpid(), signal.SIGINT)
        async with pystack.Network():
            await asyncio.sleep(100)

    with pytest.raises(KeyboardInterrupt):
        pystack.run_asyncio(main)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def _waits_in_trio() -> None:
    async with pystack.Network() as net:
        await net.host("a").run(trio.sleep_forever)


async def _has_a_program() -> None:
    async with pystack.Network() as net:
        await net.host("a").start_asyncio(asyncio.sleep, 1000)
        await asyncio.sleep(1000)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # pending tasks
@pytest.mark.parametrize("main", [_waits_in_trio, _has_a_program])
def test_a_loop_that_is_closed_too_early_ends_its_world_and_no_other(
    main: Callable[[], Coroutine[Any, Any, object]],
) -> None:
    own = os.kill  # lent to worlds
    loop = pystack.EventLoop()
    task = loop.create_task(main())
    loop.run_until_complete(asyncio.sleep(0.015))
    loop.close()
    assert os.kill is own

    async def another() -> None:
        nonlocal task
        async with pystack.Network() as net:
            a, b = net.host("a"), net.host("b")
            net.link(a, b)
            lent = os.kill
            del task
            gc.collect()
            assert os.kill is lent is not own
            assert await a.run_sync(socket.gethostname) == "a"

    pystack.run_asyncio(another)


def test_worlds_of_two_loops_take_turns_and_end_in_any_order() -> None:
    first, second = pystack.EventLoop(), pystack.EventLoop()
    tasks = first.create_task(world()), second.create_task(world())
    first.run_until_complete(asyncio.sleep(0.025))
    second.run_until_complete(asyncio.sleep(0.025))
    ends = first.run_until_complete(tasks[0]), second.run_until_complete(tasks[1])
    first.close()
    second.close()
    assert ends == pytest.approx((0.06, 0.06))


def test_a_run_in_a_run_is_refused_before_there_is_a_coroutine() -> None:
    async def main() -> None:
        pystack.run_asyncio(world)

    with pytest.raises(RuntimeError, match="while an event loop runs"):
        pystack.run_asyncio(main)


def test_what_an_executor_was_given_before_the_loop_ran_is_waited_for(
    loop: pystack.EventLoop,
) -> None:
    called = loop.run_in_executor(None, lambda: "done")
    loop.run_until_complete(asyncio.sleep(1))
    assert loop.run_until_complete(called) == "done"


def test_a_call_in_an_executor_is_given_up_at_once_when_it_is_cancelled() -> None:
    loop = pystack.EventLoop(real_time=True)
    begun, may_end = threading.Event(), threading.Event()

    def work() -> bool:
        begun.set()
        return may_end.wait(10)

    async def main() -> bool:
        called = asyncio.get_running_loop().run_in_executor(None, work)
        await asyncio.to_thread(begun.wait, 10)
        called.cancel()
        with pytest.raises(asyncio.CancelledError):
            await called
        return may_end.is_set()

    try:
        assert loop.run_until_complete(main()) is False
    finally:
        may_end.set()
        loop.close()


@pytest.mark.skipif(os.name != "posix", reason="descriptors of files are POSIX's")
def test_descriptors_that_cannot_be_waited_for_are_refused_as_by_epoll() -> None:
    async def main() -> list[int | None]:
        loop, numbers = asyncio.get_running_loop(), []
        closed, other = os.pipe()
        with tempfile.TemporaryFile() as file:
            os.close(closed)
            os.close(other)
            for fd in (closed, file.fileno(), 1 << 20):
                try:
                    loop.add_reader(fd, print)
                except OSError as error:
                    numbers.append(error.errno)
        for call in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(ValueError, match="-1"):
                call(-1)
        await asyncio.sleep(0)
        return numbers

    loop = pystack.EventLoop(real_time=True)
    try:
        found = loop.run_until_complete(main())
    finally:
        loop.close()
    assert found == [errno.EBADF, errno.EPERM, errno.EBADF]
