"""Programs of asyncio that call all the rest of an event loop, and write down what comes of it."""

# ruff: noqa: ANN401 - programs are of all kinds, and a transport is one of many types, CPython's own and ours

from __future__ import annotations

import asyncio
import contextvars
import socket
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any

from asyncio_streams import Log, end, pair


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, log: Log, name: str) -> None:
        self.log, self.name = log, name
        self.got: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.made.set_result(self)
        self.log.append((self.name, "made"))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.put_nowait(data)
        self.transport.sendto(data.upper(), addr) if self.name == "server" else None

    def error_received(self, error: Exception) -> None:
        self.log.append((self.name, type(error).__name__))
        self.got.put_nowait(b"error")

    def connection_lost(self, error: Exception | None) -> None:
        self.log.append((self.name, "lost", error))


async def sends_datagrams(log: Log) -> None:
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(
        lambda: Datagrams(log, "server"), local_addr=("127.0.0.1", 0)
    )
    port = server.get_extra_info("sockname")[1]
    client, told = await loop.create_datagram_endpoint(
        lambda: Datagrams(log, "client"), remote_addr=("127.0.0.1", port)
    )
    client.sendto(b"hello")
    log.append(await told.got.get())
    client.sendto(b"")
    try:
        client.sendto(b"x", ("127.0.0.1", 1))
    except ValueError as error:
        log.append(str(error).replace(str(port), "PORT"))
    server.close()
    await asyncio.sleep(0.01)
    client.sendto(b"nobody hears")
    await told.got.get()
    client.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def uses_sockets(log: Log) -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        client = socket.socket()
        client.setblocking(False)
        with client:
            accepting = asyncio.create_task(loop.sock_accept(listening))
            await loop.sock_connect(client, listening.getsockname())
            accepted, _ = await accepting
            with accepted:
                await loop.sock_sendall(client, b"x" * 1000)
                got = bytearray(300)
                log.append(await loop.sock_recv_into(accepted, got))
                log.append(len(await loop.sock_recv(accepted, 10_000)))
                loop.add_reader(client, log.append, "readable")
                await loop.sock_sendall(accepted, b"y")
                await asyncio.sleep(0.01)
                log[:] = list(dict.fromkeys(log))  # level-triggered: any number of times
                log.append(loop.remove_reader(client))
                log.append(loop.remove_reader(client))
                with tempfile.TemporaryFile() as file:
                    file.write(b"z" * 100_000)
                    sending = asyncio.create_task(loop.sock_sendfile(client, file, 10))
                    size = 0
                    while size < 99_990:
                        size += len(await loop.sock_recv(accepted, 65536))
                    log.append(await sending)
    blocking = socket.socket()
    loop.set_debug(True)
    try:
        await loop.sock_recv(blocking, 1)
    except ValueError as error:
        log.append(str(error))
    finally:
        loop.set_debug(False)
        blocking.close()


async def sends_a_file(log: Log) -> None:
    server, client, other = await pair(log)
    loop = asyncio.get_running_loop()
    with tempfile.TemporaryFile() as file:
        file.write(b"z" * 300_000)
        log.append(await loop.sendfile(client.transport, file, 100))
    client.transport.close()
    await end(server, client, other)
    log.append(len(other.received))


class Buffered(asyncio.BufferedProtocol):
    def __init__(self, over: asyncio.Future[bytes]) -> None:
        self.buffer, self.got, self.over = bytearray(100), b"", over

    def get_buffer(self, _hint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        self.got += self.buffer[:count]

    def connection_lost(self, _error: Exception | None) -> None:
        self.over.set_result(self.got)


async def buffers_itself(log: Log) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[bytes] = loop.create_future()
    server = await loop.create_server(lambda: Buffered(over), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes(range(250)))
    writer.close()
    log.append(await over)
    server.close()


async def orders_callbacks(log: Log) -> None:
    loop = asyncio.get_running_loop()

    async def task(name: str) -> None:
        log.append(name)
        await asyncio.sleep(0)
        log.append(f"{name} again")

    loop.call_soon(log.append, "soon")
    loop.call_later(0, log.append, "later 0")
    loop.call_later(0.01, log.append, "later")
    loop.call_at(loop.time() + 0.005, log.append, "sooner")
    loop.call_soon_threadsafe(log.append, "threadsafe")
    cancelled = loop.call_soon(log.append, "cancelled")
    cancelled.cancel()
    async with asyncio.TaskGroup() as group:
        group.create_task(task("one"))
        group.create_task(task("two"))
    await asyncio.sleep(0.02)
    future = loop.create_future()
    future.add_done_callback(lambda _: log.append("done"))
    future.set_result(1)
    log.append("set")
    await future


async def handles_exceptions(log: Log) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _, context: log.append((context["message"][:20], repr(context.get("exception"))))
    )

    def fails() -> None:
        raise KeyError("callback")

    async def never_awaited() -> None:
        raise KeyError("task")

    loop.call_soon(fails)
    task = asyncio.create_task(never_awaited())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    await asyncio.sleep(0)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(never_awaited())
            await asyncio.sleep(1)
    except ExceptionGroup as errors:
        log.append(repr(errors))
    loop.set_exception_handler(None)


async def refuses_nonsense(log: Log) -> None:
    loop = asyncio.get_running_loop()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: loop.create_connection(asyncio.Protocol, "127.0.0.1", 1, sock=socket.socket()),
        lambda: loop.create_connection(asyncio.Protocol),
        lambda: loop.create_connection(asyncio.Protocol, "127.0.0.1", 1, server_hostname="x"),
        lambda: loop.create_server(asyncio.Protocol),
        lambda: loop.create_datagram_endpoint(asyncio.DatagramProtocol),
        lambda: loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=True),  # type: ignore[arg-type]
        lambda: loop.getaddrinfo("127.0.0.1", "no such service"),
        lambda: loop.getnameinfo(("not an address", 1)),
    ]
    for call in calls:
        try:
            await call()
        except (ValueError, TypeError, OSError) as error:
            log.append((type(error).__name__, "" if isinstance(error, OSError) else str(error)))


async def binds_twice(log: Log) -> None:
    loop = asyncio.get_running_loop()
    first = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = first.sockets[0].getsockname()[1]
    try:
        await loop.create_server(asyncio.Protocol, "127.0.0.1", port)
    except OSError as error:
        log.append(error.errno)
    first.close()
    shared = [
        await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, reuse_port=True)
        for _ in range(1)
    ]
    port = shared[0].sockets[0].getsockname()[1]
    shared.append(await loop.create_server(asyncio.Protocol, "127.0.0.1", port, reuse_port=True))
    log.append(len(shared))
    for server in shared:
        server.close()


async def keeps_context(log: Log) -> None:
    var: contextvars.ContextVar[str] = contextvars.ContextVar("var")
    var.set("outer")

    async def inner() -> None:
        log.append(var.get())
        var.set("inner")

    await asyncio.create_task(inner())
    log.append(var.get())
    context = contextvars.copy_context()
    await asyncio.create_task(inner(), context=context)
    log.append(context[var])
    async for value in generates(log):
        log.append(value)
        break
    log.append(await asyncio.to_thread(var.get))


async def generates(log: Log) -> Any:
    try:
        yield "first"
        yield "second"
    finally:
        log.append("generator closed")
