"""A listener of AnyIO's kind on a host: AnyIO's own opens sockets past Trio.

`create_tcp_listener` stands in for `anyio.create_tcp_listener` where a program runs on a host; what
it accepts is an `anyio.abc.SocketStream` with all its extra attributes. It needs AnyIO, which
httpx, Starlette and others bring along.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, cast

import anyio
import anyio.abc
import trio

DEFAULT_BACKLOG: Final = 65536  # as AnyIO's; a host takes what it can
_ADDRESSES: Final = (
    anyio.abc.SocketAttribute.local_address,
    anyio.abc.SocketAttribute.remote_address,
)
_DEFAULT_RECEIVE_BYTES: Final = 65536  # as AnyIO's


async def create_tcp_listener(
    *, local_host: str | None = None, local_port: int = 0, backlog: int = DEFAULT_BACKLOG
) -> HostListener:
    """Listen on a port of the host that this runs on; port 0: any free one. Raises OSError.

    Without `local_host` it hears both versions of IP. Run on no host, it listens on the machine,
    like AnyIO's own.
    """
    found = await trio.socket.getaddrinfo(
        local_host or "::", local_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    family, *_, address = found[0]
    listening = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, bool(local_host))
        await listening.bind(address)
        listening.listen(backlog)
    except BaseException:
        listening.close()
        raise
    return HostListener(listening)


class HostListener(anyio.abc.SocketListener):
    """A TCP listener over a socket of Trio's."""

    def __init__(self, listening: trio.socket.SocketType) -> None:
        """Take a socket that listens already; it is closed with this."""
        self._listening = listening
        self._accepting = anyio.ResourceGuard("accepting connections from")

    async def accept(self) -> HostSocketStream:
        """Return the next connection. Raises anyio.ClosedResourceError."""
        with self._accepting:
            try:
                accepted, _ = await self._listening.accept()
            except (OSError, trio.ClosedResourceError) as error:
                raise _translated(error, self._listening) from error
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return HostSocketStream(trio.SocketStream(accepted))

    async def aclose(self) -> None:
        """Close the port; connections that were accepted go on."""
        self._listening.close()
        await trio.lowlevel.checkpoint()

    @property
    def _raw_socket(self) -> socket.socket:
        return _raw(self._listening)


class HostSocketStream(anyio.abc.SocketStream):
    """A TCP connection over a stream of Trio's, with the errors of AnyIO."""

    def __init__(self, stream: trio.SocketStream) -> None:
        """Take an open stream; it is closed with this."""
        self._stream = stream
        self._receiving = anyio.ResourceGuard("reading from")
        self._sending = anyio.ResourceGuard("writing to")

    async def receive(self, max_bytes: int = _DEFAULT_RECEIVE_BYTES) -> bytes:
        """Return what has arrived. Raises anyio.EndOfStream at the peer's end of data."""
        with self._receiving:
            try:
                data = await self._stream.receive_some(max_bytes)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _translated(error, self._stream.socket) from error
        if not data:
            raise anyio.EndOfStream
        return bytes(data)

    async def send(self, item: bytes) -> None:
        """Send all of `item`. Raises anyio.BrokenResourceError, anyio.ClosedResourceError."""
        with self._sending:
            try:
                await self._stream.send_all(item)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise _translated(error, self._stream.socket) from error

    async def send_eof(self) -> None:
        """Send no more; reading goes on."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Return what AnyIO's have; an IPv4 address as it is, whichever the listener's family."""
        found = dict(super().extra_attributes)
        for name in _ADDRESSES:
            if name in found:
                found[name] = partial(_bare, found[name])
        return found

    @property
    def _raw_socket(self) -> socket.socket:
        return _raw(self._stream.socket)


def _bare(address: Callable[[], tuple[Any, ...]]) -> tuple[Any, ...]:
    host, *rest = address()
    return (host.removeprefix("::ffff:") if "." in host else host, *rest)


def _translated(error: Exception, of: trio.socket.SocketType) -> Exception:
    closed = isinstance(error, trio.ClosedResourceError)
    if closed or of.fileno() == -1 or (isinstance(error, OSError) and error.errno == errno.EBADF):
        return anyio.ClosedResourceError()
    return anyio.BrokenResourceError()


def _raw(wrapped: trio.socket.SocketType) -> socket.socket:
    # AnyIO reads addresses off the socket inside Trio's; ours answers to that name too.
    return cast(socket.socket, getattr(wrapped, "_sock"))  # noqa: B009 - no type knows it
