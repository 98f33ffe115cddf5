"""What the servers share: reading by length and by line, listening, ends that are no errors."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

import pystack

Handle = Callable[["Connection"], Awaitable[None]]
Serve = Callable[[pystack.Host], Awaitable[None]]

_AT_ONCE: Final = 65536


class Connection:
    """One client, from the server's side. What is read of one that is gone raises EOFError."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def _more(self) -> None:
        received = await self._stream.receive_some(_AT_ONCE)
        if not received:
            raise EOFError
        self._buffer += received

    async def exactly(self, count: int) -> bytes:
        """Read `count` bytes."""
        while len(self._buffer) < count:
            await self._more()
        result = bytes(self._buffer[:count])
        del self._buffer[:count]
        return result

    async def line(self, end: bytes = b"\r\n") -> bytes:
        """Read up to `end`, which is not returned."""
        while (at := self._buffer.find(end)) < 0:
            await self._more()
        result = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return result

    async def unpack(self, form: str) -> tuple[int, ...]:
        """Read what a `struct` describes."""
        return struct.unpack(form, await self.exactly(struct.calcsize(form)))

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._stream.send_all(data)


def listening(port: int, handle: Handle) -> Serve:
    """Return what serves at a port of a host, with `handle` for each client."""

    async def serve(host: pystack.Host) -> None:
        await host.start(trio.serve_tcp, partial(_serve_one, handle), port)

    return serve


async def _serve_one(handle: Handle, stream: trio.abc.Stream) -> None:
    try:
        async with stream:
            await handle(Connection(stream))
    except (EOFError, trio.BrokenResourceError):
        pass  # the client went, or its line is dead
