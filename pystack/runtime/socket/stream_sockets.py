"""SOCK_STREAM on a pystack host: what a program sees of TCP through `trio.socket`."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.errors import error_of
from pystack.runtime.socket.socket_addresses import SocketAddress, destination
from pystack.runtime.socket.socket_calls import MSG_FASTOPEN, Received, check_flags, joined
from pystack.runtime.socket.socket_options import view_of
from pystack.runtime.socket.sockets import HostSocket
from pystack.runtime.socket.stream_ends import StreamEnd
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

_OPENING: Final = frozenset({TcpState.SYN_SENT, TcpState.SYN_RECEIVED})
_DEFAULT_BACKLOG: Final = 128  # as Trio's


class StreamSocket(HostSocket):
    """Unbound, bound, listening, connecting or connected, as its calls make it."""

    _end: StreamEnd

    @classmethod
    def make(
        cls, host: BareHost, proto: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> StreamSocket:
        """Return a new socket of a host."""
        return cls(StreamEnd(host, proto, family))

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        if self._closed:
            return "<StreamSocket closed>"
        end = self._end
        if end.socket is not None:
            remote = end.shown(end.socket.remote, end.socket.connection.remote_port)
            state = end.socket.connection.state.value
            return f"<StreamSocket {self._host.name} {self.getsockname()} - {remote} {state}>"
        state = "idle" if end.listener is None else "listening"
        return f"<StreamSocket {self._host.name} {self.getsockname()} {state}>"

    def listen(self, backlog: int = _DEFAULT_BACKLOG) -> None:
        """Let connections in. OSError: EADDRINUSE, EINVAL."""
        self._check_open()
        self._end.listen(backlog)

    # connections

    async def accept(self) -> tuple[StreamSocket, SocketAddress]:
        """Return the next connection and its other end. OSError (EINVAL) without `listen`."""
        end = await self._attempt(self._reader, self._end.accept)
        assert end.socket is not None
        return type(self)(end), end.shown(end.socket.remote, end.socket.connection.remote_port)

    async def connect(self, address: object) -> None:
        """Open a connection. Cancelled, the socket is closed, as Trio's are.

        Raises OSError: ConnectionRefusedError, TimeoutError, EHOSTUNREACH, EISCONN and the like.
        """
        await self._open(address, None)

    async def _open(self, address: object, text: memoryview | None) -> int:
        """Open a connection with that text to send; return how much of it was taken."""
        end = self._end
        try:
            remote, port = await self._resolve_open(address, local=False)
            opening = end.connect(destination(remote, end.name()[0]), port, text)
            taken = len(opening.connection.send_buffer)
            while opening.connection.state in _OPENING and not end.deferred:
                await self._writer.wait()
                if self._closed:
                    raise trio.ClosedResourceError("another task closed this socket")
        except trio.Cancelled:
            self.close()
            raise
        if opening.connection.established_at is None and not end.deferred:
            number = end.take_error() or errno.ECONNABORTED
            raise OSError(number, f"Error connecting to {address!r}: {os.strerror(number)}")
        return taken

    # data

    async def send(self, data: object, flags: int = 0, /) -> int:
        """Queue as much of `data` as there is room for, a byte at least; return how much."""
        check_flags(flags)
        view = view_of(data)
        return await self._attempt(self._writer, lambda: self._end.try_send(view, flags))

    async def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[tuple[int, int, object]] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one. OSError (EOPNOTSUPP) for ancillary data.

        With MSG_FASTOPEN it connects to the address, with the first of the data in the SYN.
        """
        if tuple(ancdata):
            raise error_of(errno.EOPNOTSUPP, "ancillary data")
        data = joined(buffers)
        if address is not None and flags & MSG_FASTOPEN:
            check_flags(flags & ~MSG_FASTOPEN)
            return await self._open(address, memoryview(bytes(data)))
        return await self.send(data, flags)

    async def _receive(self, size: int, flags: int) -> Received:
        woken = False

        def attempt() -> Received | None:
            nonlocal woken
            woken, before = True, woken
            return self._end.try_receive(size, flags, woken=before)

        return await self._attempt(self._reader, attempt)

    async def wait_writable(self) -> None:
        """Wait until there is room in the send buffer, or sending would raise."""
        await self._attempt(self._writer, self._end.try_writable)
