"""Proxies on the machine's loopback, with an upstream: what their tests run on."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import trio

from pystack.apps.proxy.model import Proxy, ProxySpec
from pystack.apps.proxy.proxies import Proxies

Handler = Callable[[trio.SocketStream], Awaitable[None]]
SECONDS = 60  # until a test that hangs has failed


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes, and the end."""
    try:
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()
    except trio.BrokenResourceError:
        pass  # reset: by its client, or by a proxy that is disabled or deleted


class Rig:
    """Proxies, and an upstream."""

    def __init__(self, proxies: Proxies, upstream: str) -> None:
        self.proxies = proxies
        self.upstream = upstream
        self.clients: list[trio.SocketStream] = []

    async def proxy(self, name: str = "p", **words: object) -> Proxy:
        """Make a proxy to the upstream."""
        return await self.proxies.create(
            ProxySpec(**{"name": name, "upstream": self.upstream, **words})  # type: ignore[arg-type]
        )

    async def dial(self, proxy: Proxy) -> trio.SocketStream:
        """Connect to a proxy."""
        host, port = proxy.listen.rsplit(":", 1)
        client = await trio.open_tcp_stream(host, int(port))
        self.clients.append(client)
        return client


@asynccontextmanager
async def proxied(handler: Handler = echo) -> AsyncIterator[Rig]:
    """Run both."""
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handler, listeners)
        port = listeners[0].socket.getsockname()[1]
        async with Proxies(seed=1) as proxies:
            rig = Rig(proxies, f"127.0.0.1:{port}")
            try:
                yield rig
            finally:
                for client in rig.clients:
                    client.socket.close()
        nursery.cancel_scope.cancel()


async def ended_by(stream: trio.SocketStream) -> type[BaseException] | bytes:
    """Return what a client sees at the end: b"" or the class of the error."""
    try:
        return await stream.receive_some()
    except trio.BrokenResourceError as error:
        return type(error.__cause__ or error)


async def ask(stream: trio.SocketStream, data: bytes = b"hello") -> bytes:
    """Send, and receive as much."""
    await stream.send_all(data)
    found = b""
    while len(found) < len(data) and (more := await stream.receive_some()):
        found += more
    return found


async def until(predicate: Callable[[], object]) -> None:
    """Let others go on until it is so."""
    while not predicate():  # noqa: ASYNC110 - what it is about happens in no task
        await trio.sleep(0.001)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """Return a port at which nobody listens."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def in_trio(main: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run a test in real time, and not for ever."""

    async def bounded() -> None:
        with trio.fail_after(SECONDS):
            await main()

    trio.run(bounded)
