"""A crash: programs end where they are, and nothing of them happens afterwards."""

import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio

import pystack

ran: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()


@contextlib.asynccontextmanager
async def entered(name: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        ran.append(f"left {name}")


async def numbers() -> AsyncIterator[int]:
    try:
        yield 1
        await trio.sleep_forever()
    finally:
        ran.append("the generator's finally")


async def waits() -> None:
    try:
        await trio.sleep_forever()
    finally:
        ran.append("finally")


async def waits_in_managers() -> None:
    async with entered("a"), contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(entered("b"))
        stack.callback(ran.append, "called back")
        with contextlib.suppress(BaseException), trio.fail_after(100):
            await trio.sleep_forever()
        ran.append("went on")


async def waits_in_a_generator() -> None:
    async for number in numbers():
        await trio.lowlevel.checkpoint()
        ran.append(f"number {number}")
    ran.append("the end")


async def waits_at_a_yield() -> None:
    async for _ in numbers():
        await trio.sleep_forever()


async def waits_shielded() -> None:
    with trio.CancelScope(shield=True):
        await waits()


async def waits_for_children() -> None:
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            nursery.start_soon(waits_shielded)
            nursery.start_soon(waits_in_managers)
            async with trio.open_nursery() as inner:
                inner.start_soon(waits)
    except BaseException:
        ran.append("caught")
        raise


async def waits_beside_children() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waits_for_children)
        await waits()


async def waits_stubbornly() -> None:
    while True:
        try:
            await trio.sleep(1)
        except BaseException:
            ran.append("swallowed")


async def sleeps_in_a_thread() -> None:
    try:
        await trio.to_thread.run_sync(lambda: None)
        await waits()
    finally:
        ran.append("finally")


PROGRAMS = pytest.mark.parametrize(
    "program",
    [
        waits,
        waits_in_managers,
        waits_in_a_generator,
        waits_at_a_yield,
        waits_shielded,
        waits_for_children,
        waits_beside_children,
        waits_stubbornly,
        sleeps_in_a_thread,
    ],
)


@PROGRAMS
def test_nothing_of_a_program_runs_after_the_crash(program: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            net.after(2.5, lambda: host.power_off(crash=True))
            net.after(2.6, host.power_on)
            host.start_soon(program)
            await trio.sleep(1)
            before = list(ran)
            with pytest.raises(trio.BrokenResourceError, match=r"a was powered off|cancelled"):
                await host.run(program)
            assert net.now() == 2.5
            await trio.sleep(5)
            gc.collect()
            assert ran == [*before, *before]
            assert host.programs.running == []
            assert await host.run(anew) == "anew"

    pystack.run(main)
    gc.collect()
    assert set(ran) <= {"number 1"}


async def anew() -> str:
    await trio.sleep(1)
    return "anew"


@pytest.mark.parametrize(
    "program", [waits, waits_in_managers, waits_in_a_generator, sleeps_in_a_thread]
)
def test_the_same_programs_clean_up_without_a_crash(
    program: Callable[[], Awaitable[None]],
) -> None:
    """So that the test above can fail; and no handler is lost to what runs after a crash."""

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            host.start_soon(program)
            await trio.sleep(1)
            host.power_off()
            await trio.sleep(5)

    pystack.run(main)
    assert set(ran) & {"finally", "left a", "the generator's finally"}


def test_the_peer_hears_nothing_and_is_reset_after_the_restart() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                async for data in stream:
                    await stream.send_all(data)
            finally:
                await stream.send_all(b"bye")

    async def main() -> None:
        async with pystack.Network(seed=1, ip="4") as net:
            client, server = net.host("client"), net.host("server")
            net.link(client, server, delay="10ms")
            await server.start(trio.serve_tcp, serve, 7)
            stream = await client.open_tcp_stream("server", 7)
            await stream.send_all(b"word")
            assert await stream.receive_some() == b"word"
            sent = net.link_between(client, server).b_to_a.counters["frames"]
            server.power_off(crash=True)
            with trio.move_on_after(10) as waited:
                await stream.receive_some()
            assert waited.cancelled_caught
            assert net.link_between(client, server).b_to_a.counters["frames"] == sent
            server.power_on()
            await server.start(trio.serve_tcp, serve, 7)
            await stream.send_all(b"again")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            stream = await client.open_tcp_stream("server", 7)
            await stream.send_all(b"anew")
            assert await stream.receive_some() == b"anew"

    pystack.run(main)


def test_a_host_may_crash_itself_and_goes_no_further_than_its_next_wait() -> None:
    async def crashes_itself(host: pystack.Host) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            await trio.sleep(1)
            try:
                host.power_off(crash=True)
                ran.append("still at this instant")
                await trio.sleep(1)
                ran.append("later")
            finally:
                ran.append("finally")

    async def in_a_child(host: pystack.Host) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(crashes_itself, host)
            await waits()

    async def main(program: Callable[[pystack.Host], Awaitable[None]]) -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await host.run(program, host)
            assert net.now() == 1
            await trio.sleep(5)

    pystack.run(main, crashes_itself)
    pystack.run(main, in_a_child)
    assert ran == ["still at this instant"] * 2


def test_a_program_of_one_host_in_that_of_another_ends_with_either() -> None:
    async def outer(inner_host: pystack.Host) -> str:
        try:
            await inner_host.run(waits)
        except trio.BrokenResourceError:
            await trio.sleep(1)
            return "the outer one goes on"
        return "never"

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            a, b = net.host("a"), net.host("b")
            net.after(1, lambda: b.power_off(crash=True))
            assert await a.run(outer, b) == "the outer one goes on"
            b.power_on()
            net.after(1, lambda: a.power_off(crash=True))
            with pytest.raises(trio.BrokenResourceError):
                await a.run(outer, b)
            assert b.programs.running == []
            assert await b.run(anew) == "anew"

    pystack.run(main)
    assert ran == []


def test_who_waits_for_a_program_to_start_is_told() -> None:
    async def never_starts(task_status: trio.TaskStatus[None]) -> None:
        await waits()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            net.after(1, lambda: host.power_off(crash=True))
            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await host.start(never_starts)

    pystack.run(main)
    assert ran == []


def test_a_deadline_of_a_program_that_crashed_does_not_keep_time_going() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            host.start_soon(waits_in_managers)
            await trio.sleep(1)
            host.power_off(crash=True)
            await trio.sleep_forever()

    with pytest.raises(pystack.DeadlockError):
        pystack.run(main)


def test_where_a_program_waits_is_told_as_ever() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            await host.run(waits)

    with pytest.raises(pystack.DeadlockError, match=r"in waits \(test_crashes\.py:\d+\)"):
        pystack.run(main)


def test_a_thousand_crashes_leave_nothing_behind() -> None:
    import weakref

    class Thing:
        pass

    alive: weakref.WeakSet[Thing] = weakref.WeakSet()

    async def holds() -> None:
        thing = Thing()
        alive.add(thing)
        async with entered("x"):
            await waits()

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            for _ in range(1000):
                host.start_soon(holds)
            await trio.sleep(1)
            assert len(alive) == 1000
            host.power_off(crash=True)
            await trio.sleep(1)
            assert len(alive) == 0

    pystack.run(main)
    assert ran == []


def test_in_real_time_too() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            host.start_soon(waits_for_children)
            await trio.sleep(0.01)
            host.power_off(crash=True)
            await trio.sleep(0.01)
            host.power_on()
            assert await host.run(trio.sleep, 0.01) is None

    trio.run(main)
    assert ran == []


def test_crash_is_true_or_false() -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            with pytest.raises(pystack.ConfigError, match="crash is 'yes'"):
                net.host("a").power_off(crash="yes")  # type: ignore[arg-type]

    pystack.run(main)
