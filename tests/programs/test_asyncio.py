"""Programs of asyncio on hosts: started from Trio, from asyncio, in virtual and in real time."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import sniffio
import trio

import pystack
from pystack.runtime.aio import hub
from pystack.runtime.blocking.busy import BusyLoopError

PORT = 7


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def serve() -> None:
    server = await asyncio.start_server(shout, port=PORT)
    await server.serve_forever()


async def ask(text: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("server", PORT)
    writer.write(text + b"\n")
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer


def two_hosts(net: pystack.Network) -> tuple[pystack.Host, pystack.Host]:
    client, server = net.host("client"), net.host("server")
    net.link(client, server, delay="10ms")
    return client, server


async def shouted() -> tuple[bytes, float]:
    """What both kinds of program do alike: Trio's and asyncio's."""
    async with pystack.Network(seed=1) as net:
        client, server = two_hosts(net)
        await server.start_asyncio(serve)
        return await client.run_asyncio(ask, b"hello"), net.driver.now()


def test_a_program_of_asyncio_is_run_from_trio() -> None:
    assert pystack.run(shouted) == (b"HELLO\n", 0.06)


def test_a_program_of_asyncio_is_run_from_asyncio() -> None:
    assert pystack.run_asyncio(shouted) == (b"HELLO\n", 0.06)


def test_a_program_of_asyncio_is_run_in_real_time() -> None:
    assert trio.run(shouted)[0] == b"HELLO\n"
    with asyncio.Runner(loop_factory=lambda: pystack.EventLoop(real_time=True)) as runner:
        assert runner.run(shouted())[0] == b"HELLO\n"


def test_a_runner_of_asyncio_takes_the_event_loop() -> None:
    with asyncio.Runner(loop_factory=pystack.EventLoop) as runner:
        assert runner.run(shouted()) == (b"HELLO\n", 0.06)
        assert runner.run(shouted()) == (b"HELLO\n", 0.12)  # the world goes on


def test_libraries_believe_that_they_are_on_asyncio_there_and_on_trio_elsewhere() -> None:
    async def library() -> str:
        await asyncio.sleep(1)
        return sniffio.current_async_library()

    async def main() -> tuple[str, str, str]:
        async with pystack.Network() as net:
            host = net.host("a")
            before = sniffio.current_async_library()
            return before, await host.run_asyncio(library), sniffio.current_async_library()

    assert pystack.run(main) == ("trio", "asyncio", "trio")
    assert pystack.run_asyncio(main) == ("asyncio", "asyncio", "asyncio")


def test_a_deadlock_names_each_task_and_where_it_waits() -> None:
    async def wait() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(_for_ever(), name="worker")

    async def _for_ever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        async with pystack.Network() as net:
            await net.host("a").run_asyncio(wait)

    for run in (pystack.run, pystack.run_asyncio):
        with pytest.raises(pystack.DeadlockError) as caught:
            run(main)
        text = str(caught.value)
        assert re.search(
            r"_for_ever \(worker\) in \S+ \(test_asyncio.py:\d+\), in Event.wait", text
        )
        assert re.search(r"wait in \S+ \(test_asyncio.py:\d+\), in TaskGroup", text)


def test_what_is_cancelled_from_trio_cleans_up_before_the_cancellation_goes_on() -> None:
    log: list[object] = []

    async def program() -> None:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await asyncio.sleep(3)
            log.append(asyncio.get_running_loop().time())
            raise

    async def main() -> None:
        async with pystack.Network() as net:
            with trio.move_on_after(10) as scope:
                await net.host("a").run_asyncio(program)
            log.append((scope.cancelled_caught, trio.current_time()))

    pystack.run(main)
    assert log == [13.0, (True, 13.0)]


def test_a_program_that_ignores_its_cancellation_is_given_up_and_named() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        async with pystack.Network() as net:
            with trio.move_on_after(1):
                await net.host("a").run_asyncio(stubborn)

    with pytest.raises(pystack.PystackError, match=r"cancelled goes on.*stubborn in "):
        pystack.run(main)


def test_a_program_ends_with_the_power_of_its_host() -> None:
    async def main() -> tuple[str, float]:
        async with pystack.Network() as net:
            host = net.host("a")
            net.at("5s", host.power_off)
            with pytest.raises(trio.BrokenResourceError) as caught:
                await host.run_asyncio(asyncio.sleep, 100)
            return str(caught.value), net.driver.now()

    assert pystack.run(main) == ("a was powered off", 5.0)
    assert pystack.run_asyncio(main) == ("a was powered off", 5.0)


def test_an_error_in_a_program_that_was_started_ends_the_network() -> None:
    async def fail() -> None:
        await asyncio.sleep(2)
        raise ZeroDivisionError

    async def main() -> None:
        async with pystack.Network() as net:
            await net.host("a").start_asyncio(fail)
            await net.host("b").run(trio.sleep, 100)

    for run in (pystack.run, pystack.run_asyncio):
        with pytest.raises(ExceptionGroup) as caught:
            run(main)
        assert caught.group_contains(ZeroDivisionError)


def test_trio_is_called_from_asyncio_and_cancelled_from_there() -> None:
    async def main() -> tuple[float, float]:
        async with pystack.Network() as net:
            client, server = two_hosts(net)
            rtt = await client.ping("server")
            server.power_off()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await client.ping("server", timeout_s=100)
            return rtt, asyncio.get_running_loop().time()

    assert pystack.run_asyncio(main) == (0.04, 1.04)


def test_a_server_is_listening_when_it_has_started() -> None:
    async def slow() -> None:
        await asyncio.sleep(5)
        await serve()

    async def main() -> bytes:
        async with pystack.Network() as net:
            client, server = two_hosts(net)
            await server.start_asyncio(slow, port=PORT)
            return await client.run_asyncio(ask, b"x")

    assert pystack.run(main) == b"X\n"
    assert pystack.run_asyncio(main) == b"X\n"


def test_the_order_of_ready_tasks_is_drawn_from_the_seed_on_request() -> None:
    async def main() -> list[int]:
        order: list[int] = []

        async def step(number: int) -> None:
            await asyncio.sleep(0)
            order.append(number)

        await asyncio.gather(*map(step, range(8)))
        return order

    assert pystack.run_asyncio(main) == list(range(8))
    drawn = [pystack.run_asyncio(main, schedule="random", seed=seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sorted(drawn[0]) == list(range(8)) != drawn[0]
    with pytest.raises(pystack.ConfigError, match="schedule is"):
        pystack.EventLoop(schedule="lifo")


# signals


def test_handlers_of_a_program_are_its_own_and_are_told_by_its_host() -> None:
    before = signal.getsignal(signal.SIGTERM)
    log: list[object] = []

    async def program() -> str:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        signal.signal(signal.SIGTERM, lambda number, _: log.append((number, loop.time())))
        loop.add_signal_handler(signal.SIGINT, stop.set)
        log.append(signal.getsignal(signal.SIGINT) is not before)
        await stop.wait()
        assert loop.remove_signal_handler(signal.SIGINT)
        assert not loop.remove_signal_handler(signal.SIGINT)
        return f"stopped at {loop.time():g}"

    async def main() -> str:
        async with pystack.Network() as net:
            host, other = net.host("a"), net.host("b")
            net.at("1s", lambda: host.send_signal(signal.SIGTERM))
            net.at("2s", lambda: other.send_signal(signal.SIGINT))
            net.at("3s", lambda: host.send_signal(signal.SIGINT))
            return await host.run_asyncio(program)

    for run in (pystack.run, pystack.run_asyncio):
        log.clear()
        assert run(main) == "stopped at 3"
        assert log == [True, (signal.SIGTERM, 1.0)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_nobody_handles_ends_the_program() -> None:
    async def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        await asyncio.sleep(100)

    async def main() -> tuple[str, float]:
        async with pystack.Network() as net:
            host = net.host("a")
            await net.host("b").start_asyncio(deaf)
            net.at("1s", lambda: host.send_signal(signal.SIGCHLD))
            net.at("2s", lambda: host.send_signal(signal.SIGTERM))
            with pytest.raises(trio.BrokenResourceError) as caught:
                await host.run_asyncio(asyncio.sleep, 100)
            net.hosts["b"].send_signal(signal.SIGTERM)
            return str(caught.value), net.driver.now()

    assert pystack.run(main) == ("a: sleep was ended by SIGTERM", 2.0)
    assert pystack.run_asyncio(main) == ("a: sleep was ended by SIGTERM", 2.0)


def test_a_program_that_signals_itself_reaches_itself_alone() -> None:
    async def program() -> list[int]:
        got: list[int] = []
        signal.signal(signal.SIGUSR1, lambda number, _: got.append(number))
        os.kill(os.getpid(), signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.sleep(0)
        return got

    async def main() -> list[int]:
        async with pystack.Network() as net:
            return await net.host("a").run_asyncio(program)

    assert pystack.run(main) == [signal.SIGUSR1] * 2


def test_the_loop_s_clock_is_the_host_s() -> None:
    async def program() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(10)
        return loop.time(), time.monotonic()

    async def main() -> tuple[float, float, float]:
        async with pystack.Network() as net:
            fast = net.host("fast", clock_drift=0.25)
            return *(await fast.run_asyncio(program)), net.driver.now()

    assert pystack.run(main) == (10.0, 10.0, 8.0)


def test_a_program_that_looks_again_and_again_lets_time_pass_and_is_named_where_it_never_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def polls(done: Callable[[], object]) -> float:
        while not done():  # noqa: ASYNC110 - what is tested
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    async def main(done: Callable[[], object]) -> float:
        async with pystack.Network() as net:
            client, server = two_hosts(net)
            await server.start_asyncio(serve)
            asking = await client.start_asyncio(ask, b"x")
            return await server.run_asyncio(
                polls, done or (lambda: asking not in client.programs.running)
            )

    assert 0.06 <= pystack.run(main, None) < 0.08
    monkeypatch.setattr(hub, "_MOST_TURNS", 100)
    with pytest.raises(pystack.PystackError, match=r"again and again.*server: .*polls in "):
        pystack.run(main, bool)


def test_what_hosts_have_not_is_refused_in_one_sentence() -> None:
    async def program() -> list[str]:
        loop = asyncio.get_running_loop()
        refused = []
        with open(os.devnull, "rb") as file:  # noqa: ASYNC230 - it is there
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: asyncio.create_subprocess_exec("true"),
                lambda: asyncio.create_subprocess_shell("true"),
                lambda: asyncio.open_unix_connection("/tmp/x"),
                lambda: asyncio.start_unix_server(shout, "/tmp/x"),
                lambda: loop.connect_read_pipe(asyncio.Protocol, file),
                lambda: loop.connect_write_pipe(asyncio.BaseProtocol, file),
                lambda: asyncio.sleep(0, loop.add_reader(file, print)),
            ]
            for call in calls:
                with pytest.raises(pystack.SealedError) as caught:
                    await call()
                refused.append(str(caught.value))
        return refused

    async def main() -> list[str]:
        async with pystack.Network() as net:
            return await net.host("a").run_asyncio(program)

    for text in pystack.run(main):
        assert re.search("see net.namespace|TCP over 127.0.0.1|wait for sockets of hosts", text)


def test_in_real_time_a_descriptor_of_the_machine_is_waited_for() -> None:
    async def program() -> bytes:
        loop = asyncio.get_running_loop()
        end, other = os.pipe()
        got: asyncio.Future[bytes] = loop.create_future()
        loop.add_reader(end, lambda: got.set_result(os.read(end, 10)))
        os.write(other, b"hello")
        try:
            return await got
        finally:
            assert loop.remove_reader(end)
            assert not loop.remove_reader(end)
            os.close(end)
            os.close(other)

    async def main() -> bytes:
        async with pystack.Network() as net:
            return await net.host("a").run_asyncio(program)

    assert trio.run(main) == b"hello"


def test_a_function_in_a_thread_waits_in_the_world_s_time() -> None:
    async def program() -> tuple[str, float]:
        with ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(pool, time.sleep, 5)
        await asyncio.to_thread(time.sleep, 2)
        return await asyncio.to_thread(str, 7), loop.time()

    async def main() -> tuple[str, float]:
        async with pystack.Network() as net:
            return await net.host("a").run_asyncio(program)

    assert pystack.run(main) == ("7", 7.0)
    assert pystack.run_asyncio(main) == ("7", 7.0)


def test_a_function_in_a_thread_that_is_on_no_host_takes_none_of_the_world_s_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(time.sleep, 0.01)
        with ThreadPoolExecutor(1) as pool:
            assert await loop.run_in_executor(pool, str, 7) == "7"
        return loop.time()

    assert pystack.run_asyncio(main) == 0.0


def test_a_stock_event_loop_runs_in_a_thread_of_the_world() -> None:
    def blocking() -> bytes:
        return asyncio.run(ask(b"from a thread"))

    async def main() -> bytes:
        async with pystack.Network(seed=1) as net:
            client, server = two_hosts(net)
            await server.start_asyncio(serve)
            return await client.run_sync(blocking)

    assert pystack.run(main) == b"FROM A THREAD\n"
    assert pystack.run_asyncio(main) == b"FROM A THREAD\n"


def test_asyncgens_and_tasks_that_are_left_are_ended_as_by_asyncio_run() -> None:
    log: list[str] = []

    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            log.append("generator")

    async def left() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            log.append("task")

    async def program() -> None:
        left_task.append(asyncio.create_task(left()))
        generator.append(generate())
        await anext(generator[0])

    left_task: list[asyncio.Task[None]] = []
    generator: list[AsyncIterator[int]] = []

    async def main() -> float:
        async with pystack.Network() as net:
            await net.host("a").run_asyncio(program)
            return net.driver.now()

    assert pystack.run(main) == 0.0
    assert log == ["task", "generator"]


def test_what_comes_of_nothing_but_the_end_of_the_network_is_not_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gc.collect()  # what tests before this one were meant to leave
    caplog.clear()
    for run in (pystack.run, pystack.run_asyncio):
        run(shouted)
        gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize("run", [pystack.run, pystack.run_asyncio])
def test_a_program_that_never_waits_is_found_and_named(
    run: Callable[[Callable[[], Awaitable[None]]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def spins() -> None:
        while True:
            pass

    async def main() -> None:
        async with pystack.Network() as net:
            await net.host("a").run_asyncio(spins)

    monkeypatch.setenv("PYSTACK_BUSY_AFTER", "0.5")
    with pytest.raises(BusyLoopError, match=r"a program .*has not waited once.*spins \("):
        run(main)
