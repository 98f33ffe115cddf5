"""Programs of asyncio whose connections are told of all that happens, and write it down."""

# ruff: noqa: ANN401, ASYNC110 - programs are of all kinds, and a transport is one of many types, CPython's own and ours

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import trustme

Log = list[object]
Program = Callable[[Log], Awaitable[object]]


class Told(asyncio.Protocol):
    """Writes down all that it is told; answers what `answer` says."""

    def __init__(self, log: Log, name: str, answer: Any = None) -> None:
        self.log, self.name, self.answer = log, name, answer
        self.transport: Any = None
        self.made: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.set_result(self)
        self.log.append((self.name, "made"))

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.answer is not None:
            self.answer(self, data)

    def eof_received(self) -> None:
        self.log.append((self.name, "eof", len(self.received), self.received[:20]))

    def pause_writing(self) -> None:
        self.log.append((self.name, "pause"))

    def resume_writing(self) -> None:
        self.log.append((self.name, "resume"))

    def connection_lost(self, error: Exception | None) -> None:
        self.log.append((self.name, "lost", type(error).__name__))
        self.over.set_result(None)


def shout(told: Told, data: bytes) -> None:
    told.transport.write(data.upper())


@cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    ca = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    ca.configure_trust(client)
    return server, client


async def pair(log: Log, answer: Any = None, **tls: Any) -> tuple[Any, Told, Told]:
    """Return a server with one connection, and both protocols."""
    loop = asyncio.get_running_loop()
    accepted: asyncio.Future[Told] = loop.create_future()

    def factory() -> Told:
        told = Told(log, "server", answer)
        accepted.set_result(told)
        return told

    server = await loop.create_server(factory, "127.0.0.1", 0, ssl=tls.get("server"))
    port = server.sockets[0].getsockname()[1]
    words = {"ssl": tls["client"], "server_hostname": "localhost"} if tls else {}
    _, client = await loop.create_connection(
        lambda: Told(log, "client"), "127.0.0.1", port, **words
    )
    return server, client, await (await accepted).made


async def end(server: Any, *protocols: Told) -> None:
    await asyncio.gather(*(told.over for told in protocols))
    server.close()
    await server.wait_closed()


async def talks_and_closes(log: Log) -> None:
    server, client, other = await pair(log, shout)
    client.transport.write(b"hello")
    while not client.received:
        await asyncio.sleep(0)
    client.transport.close()
    client.transport.close()
    await end(server, client, other)
    log.append(client.received)


async def sends_an_end_of_file(log: Log) -> None:
    server, client, other = await pair(log, shout)
    client.transport.writelines([b"a", b"b", b"c"])
    log.append(client.transport.can_write_eof())
    client.transport.write_eof()
    await end(server, client, other)
    log.append(client.received)


async def aborts(log: Log) -> None:
    server, client, other = await pair(log)
    client.transport.abort()
    await end(server, client, other)


async def closes_with_data_unread(log: Log) -> None:
    server, client, other = await pair(log)
    other.transport.pause_reading()
    client.transport.write(b"x" * 1000)
    await asyncio.sleep(0.05)
    other.transport.close()
    await end(server, client, other)


async def pauses_where_nobody_reads(log: Log) -> None:
    server, client, other = await pair(log)
    other.transport.pause_reading()
    client.transport.set_write_buffer_limits(high=1000)
    log.append(client.transport.get_write_buffer_limits())
    client.transport.write(b"x" * 12_000_000)
    log.append(client.transport.get_write_buffer_size() > 0)
    other.transport.resume_reading()
    while "resume" not in (entry[1] for entry in log if isinstance(entry, tuple)):
        await asyncio.sleep(0.01)
    client.transport.close()
    await end(server, client, other)
    log.append(len(other.received))


async def writes_after_the_end(log: Log) -> None:
    server, client, other = await pair(log)
    other.transport.abort()
    await client.over
    client.transport.write(b"late")
    log.append(client.transport.is_closing())
    await end(server, client, other)


async def is_refused(log: Log) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    for words in ({}, {"happy_eyeballs_delay": 0.25}):
        try:
            await asyncio.open_connection("127.0.0.1", port, **words)
        except OSError as error:
            log.append((type(error).__name__, error.errno, str(error).replace(str(port), "PORT")))


async def times_out(log: Log) -> None:
    server, client, other = await pair(log)
    reader = asyncio.StreamReader()
    try:
        async with asyncio.timeout(0.02):
            await reader.read()
    except TimeoutError as error:
        log.append(repr(error))
    other.transport.close()
    await end(server, client, other)


async def serves_streams(log: Log) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            log.append(await reader.readuntil(b"\n"))
            await reader.readexactly(10)
        except asyncio.IncompleteReadError as error:
            log.append(("incomplete", error.partial, error.expected))
        writer.write(b"bye")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"line\nrest")
        writer.write_eof()
        log.append(await reader.read())
        log.append(reader.at_eof())
        writer.close()
        await writer.wait_closed()
        log.append(server.is_serving())
    log.append(server.is_serving())


async def speaks_tls(log: Log) -> None:
    theirs, ours = contexts()
    server, client, other = await pair(log, shout, server=theirs, client=ours)
    client.transport.write(b"secret" * 10_000)
    while len(client.received) < 60_000:
        await asyncio.sleep(0.001)
    log.append(client.transport.get_extra_info("cipher")[1])
    log.append(client.transport.can_write_eof())
    client.transport.close()
    await end(server, client, other)


async def meets_an_unknown_authority(log: Log) -> None:
    theirs, _ = contexts()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=theirs)
    port = server.sockets[0].getsockname()[1]
    try:
        await asyncio.open_connection(
            "127.0.0.1", port, ssl=ssl.create_default_context(), server_hostname="localhost"
        )
    except ssl.SSLError as error:
        log.append((type(error).__name__, error.reason))
    server.close()


async def begins_tls_later(log: Log) -> None:
    theirs, ours = contexts()
    done, closed = asyncio.Event(), asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        log.append(await reader.readline())
        writer.write(b"go\n")
        await writer.drain()
        await writer.start_tls(theirs)
        log.append(await reader.readline())
        writer.write(b"secret too\n")
        await writer.drain()
        await done.wait()
        writer.close()
        await writer.wait_closed()
        closed.set()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"starttls\n")
    log.append(await reader.readline())
    await writer.start_tls(ours, server_hostname="localhost")
    writer.write(b"secret\n")
    log.append(await reader.readline())
    log.append(writer.get_extra_info("ssl_object") is not None)
    done.set()
    writer.close()
    await writer.wait_closed()
    await closed.wait()
    server.close()
