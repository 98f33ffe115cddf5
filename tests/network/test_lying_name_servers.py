"""Name servers that lie, and what a look-up costs then: time, memory, and those beside it."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from name_server import World, response, world

import pystack
from pystack.runtime.host import Host
from pystack.wire import dns

WWW = "www.example.test"

Talk = Callable[[pystack.TcpStream, dns.Message], Awaitable[None]]


def truncated(query: dns.Message) -> dns.Message:
    return response(query, truncated=True)


async def talk_by_tcp(
    host: Host, talk: Talk, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Take a query of each connection, and let `talk` do with it what it likes."""

    async def serve(stream: pystack.TcpStream) -> None:
        framer = dns.Framer()
        async with stream:
            with suppress(trio.BrokenResourceError):
                async for data in stream:
                    framer.feed(data)
                    query = framer.next()
                    if query is not None:
                        await talk(stream, dns.parse_message(query))

    listeners = await host.open_tcp_listeners(53)
    task_status.started()
    await trio.serve_listeners(serve, listeners)


@asynccontextmanager
async def liar(talk: Talk) -> AsyncIterator[World]:
    """Open a network whose server sends everybody to TCP, and lies there."""
    async with world(delay="1ms", timeout="1s") as w:
        await w.serve(truncated)
        await w.servers[0].start(partial(talk_by_tcp, w.servers[0], talk))
        yield w


async def tiny(stream: pystack.TcpStream, _: dns.Message) -> None:
    while True:
        await stream.send_all(b"\0\0" * 32768)


async def giant(stream: pystack.TcpStream, _: dns.Message) -> None:
    while True:
        await stream.send_all(b"\xff\xff" + bytes(65535))


@pytest.mark.parametrize("talk", [tiny, giant])
def test_a_stream_of_what_is_no_answer_is_left_soon(talk: Talk) -> None:
    async def main() -> None:
        async with liar(talk) as w:
            tracemalloc.start()
            began_at = trio.current_time()
            with pytest.raises(socket.gaierror, match="no answer from ns1"):
                await w.client.look_up(WWW)
            _, peak_bytes = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert trio.current_time() - began_at < 1  # not the two time-outs of a second each
            assert peak_bytes < 8 * 1024 * 1024
            dropped = w.client.counters["dns_answer_malformed"]
            dropped += w.client.counters["dns_answer_wrong_ident"]
            assert dropped == 2 * 16  # of a connection for each attempt
            assert w.client.counters["dns_stream_failed"] == 2
            assert not w.client.stack.udp.sockets

    pystack.run(main, seed=7)


def test_an_answer_by_tcp_that_is_not_whole_is_called_so() -> None:
    async def talk(stream: pystack.TcpStream, query: dns.Message) -> None:
        await stream.send_all(dns.frame(dns.pack_message(truncated(query))))

    async def main() -> None:
        async with liar(talk) as w:
            with pytest.raises(socket.gaierror, match=r"a truncated answer, says 10\.0\.0\.53"):
                await w.client.look_up(WWW)

    pystack.run(main, seed=7)
