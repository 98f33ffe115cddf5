"""Programs of asyncio crash as Trio's do: nothing of them happens afterwards."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import pystack

ran: list[str] = []


@pytest.fixture(autouse=True)
def forget() -> None:
    ran.clear()


async def waits() -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        ran.append("finally")


async def waits_for_tasks() -> None:
    kept = asyncio.create_task(waits())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(waits())
            group.create_task(waits())
    except BaseException:
        ran.append("caught")
        raise
    finally:
        await kept


async def serves() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                writer.write(data)
                await writer.drain()
        finally:
            ran.append("closed")
            writer.close()

    server = await asyncio.start_server(echo, port=7)
    async with server:
        await server.serve_forever()


PROGRAMS = pytest.mark.parametrize("program", [waits, waits_for_tasks, serves])


@PROGRAMS
def test_nothing_runs_after_the_crash(program: Callable[[], Awaitable[Any]]) -> None:
    async def talk() -> None:
        stream = await trio.open_tcp_stream("a", 7)
        await stream.send_all(b"word")
        assert await stream.receive_some() == b"word"
        with trio.move_on_after(60):
            await stream.receive_some()
            ran.append("the peer heard something")

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host, peer = net.host("a"), net.host("b")
            net.link(host, peer, delay="1ms")
            net.after(2, lambda: host.power_off(crash=True))
            await host.start_asyncio(program)  # type: ignore[arg-type]
            if program is serves:
                peer.start_soon(talk)
            else:
                with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                    await host.run_asyncio(program)  # type: ignore[arg-type]
                assert net.now() == 2
            await trio.sleep_until(100)
            host.power_on()
            gc.collect()
            assert ran == []
            assert host.programs.running == []
            assert await host.run_asyncio(anew) == "anew"

    pystack.run(main)
    gc.collect()
    assert ran == []


async def anew() -> str:
    await asyncio.sleep(1)
    return "anew"


@PROGRAMS
def test_from_asyncio_as_well(program: Callable[[], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host, peer = net.host("a"), net.host("b")
            net.link(host, peer, delay="1ms")
            beside = asyncio.create_task(waits())
            net.after(2, lambda: host.power_off(crash=True))
            started = await host.start_asyncio(program)  # type: ignore[arg-type]
            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await host.run_asyncio(waits)
            assert net.now() == 2
            assert started not in host.programs.running
            host.power_on()
            await asyncio.sleep(100)
            gc.collect()
            assert ran == []
            assert await host.run_asyncio(anew) == "anew"
            assert not beside.done()
            beside.cancel()
            with pytest.raises(asyncio.CancelledError):
                await beside
            assert ran == ["finally"]

    pystack.run_asyncio(main)
    gc.collect()
    assert ran == ["finally"]


def test_a_program_may_crash_its_own_host() -> None:
    async def crashes(host: pystack.Host) -> None:
        asyncio.get_running_loop().call_soon(ran.append, "ready before")
        other = asyncio.create_task(waits())
        await asyncio.sleep(1)
        asyncio.get_running_loop().call_soon(ran.append, "never called")
        host.power_off(crash=True)
        try:
            await asyncio.sleep(1)
        finally:
            ran.append("finally")
        await other

    async def main() -> None:
        async with pystack.Network(seed=1) as net:
            host = net.host("a")
            with pytest.raises(trio.BrokenResourceError, match="a was powered off"):
                await host.run_asyncio(crashes, host)
            await trio.sleep(5)

    pystack.run(main)
    gc.collect()
    assert ran == ["ready before"]
