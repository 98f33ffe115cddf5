"""Splices: real sockets on the loopback, joined to connections of stack hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from splice_rig import rig


async def echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


async def upstream(
    nursery: trio.Nursery, handler: Callable[[trio.SocketStream], Awaitable[None]]
) -> tuple[str, int]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, handler, listeners)
    address: tuple[str, int] = listeners[0].socket.getsockname()
    return address


@pytest.mark.parametrize("tasks", [False, True])
def test_bytes_go_both_ways_and_each_direction_ends_by_itself(tasks: bool) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            address = await upstream(nursery, echo)
            async with rig(address, tasks=tasks) as place:
                with trio.fail_after(5):
                    client = await trio.open_tcp_stream(*place.address)
                    await client.send_all(b"hello")
                    assert await client.receive_some() == b"hello"
                    await client.send_all(bytes(1_000_000))
                    await client.send_eof()
                    size = 0
                    async for data in client:
                        size += len(data)
                    assert size == 1_000_000
                    await client.aclose()
                    ends = await place.ends(2)
                assert [(end.by, end.error) for end in ends] == [("both", None)] * 2
            nursery.cancel_scope.cancel()

    trio.run(main)
