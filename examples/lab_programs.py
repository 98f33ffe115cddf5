"""Programs for the labs beside this file: `pystack lab run --virtual examples/lab_outage.toml`.

They are ordinary Trio programs. The first argument is the host that they run on; the others come
from the file. One that takes `task_status` is a service: the lab does not wait for its end.
"""

from contextlib import suppress

import trio

import pystack


async def echo(host: pystack.Host, port: int, *, task_status: trio.TaskStatus[object]) -> None:
    """Send back what comes."""

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):  # a client that was ended, and has come back
            async for data in stream:
                await stream.send_all(data)

    await trio.serve_tcp(answer, port, task_status=task_status)


async def ask(host: pystack.Host, server: str, port: int, times: int) -> None:
    """Ask once in a second on one connection, and tell how long each answer took."""
    stream = await trio.open_tcp_stream(server, port)
    for number in range(1, times + 1):
        began = trio.current_time()
        await stream.send_all(b"ping")
        await stream.receive_some()
        took_ms = (trio.current_time() - began) * 1000
        print(f"{host.name}: answer {number} after {took_ms:.0f} ms", flush=True)
        await trio.sleep_until(began + 1)


async def sink(host: pystack.Host, port: int, *, task_status: trio.TaskStatus[object]) -> None:
    """Take what comes, and throw it away."""

    async def swallow(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            async for _data in stream:
                pass

    await trio.serve_tcp(swallow, port, task_status=task_status)


async def fill(host: pystack.Host, server: str, port: int, seconds: float) -> None:
    """Send as much as goes for some seconds, and tell how much that was."""
    sent = 0
    stream = await trio.open_tcp_stream(server, port)
    with trio.move_on_after(seconds):
        while True:
            await stream.send_all(bytes(16384))
            sent += 16384
    print(f"{host.name}: {sent * 8 / seconds / 1e6:.1f} Mbit/s", flush=True)
