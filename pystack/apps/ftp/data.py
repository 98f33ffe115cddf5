"""Data connections: whom they come from and go to, and how they begin and end.

Passive, the client comes to a port that is opened for it: whoever else comes is cut off. Active, we
go to where the client says, which may be at its own address alone.
"""

from __future__ import annotations

import errno
from typing import Final, Protocol

import trio

from pystack.apps.ending import cut, linger
from pystack.apps.ftp import limits
from pystack.apps.ftp.replies import RefusedError
from pystack.apps.ftp.transfer import RECEIVE_BYTES
from pystack.apps.turns import BULK_BYTES_A_UNIT, current_turn
from pystack.runtime.host import Host
from pystack.runtime.streams import TcpStream
from pystack.runtime.tcp_listener import TcpListener

_PORT_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EINVAL})


class Channel(Protocol):
    """The way to a data connection that the client has asked for."""

    @property
    def is_over(self) -> bool:
        """Tell whether there will be none any more."""
        ...

    @property
    def connects_first(self) -> bool:
        """Tell whether the connection has to be there before the client is told of it."""
        ...

    async def open(self) -> TcpStream:
        """Return the connection, which is the caller's from now on. Raises RefusedError (425)."""
        ...

    def close(self) -> None:
        """Let go of what there is of it; after `open` this is nothing."""
        ...


class Passive:
    """A port that is open for one connection of one client."""

    connects_first: Final = False

    def __init__(self, host: Host, listener: TcpListener, client: str) -> None:
        """`client`: the address that may come."""
        self._counters = host.counters
        self._listener = listener
        self._client = client
        self._scope = trio.CancelScope()
        self._done = trio.Event()
        self._stream: TcpStream | None = None  # None: nobody has come, or it was taken

    @property
    def port(self) -> int:
        """Return the port that the client is to come to."""
        return self._listener.address[1]

    @property
    def is_over(self) -> bool:
        """Tell whether nobody has come, and nobody will."""
        return self._done.is_set() and self._stream is None

    async def run(self) -> None:
        """Let the client in; for `LISTEN_S`, or until `close`."""
        try:
            with self._scope:
                self._scope.deadline = trio.current_time() + limits.LISTEN_S
                while self._stream is None:
                    stream = await self._listener.accept()
                    if stream.remote_address[0] == self._client:
                        self._stream = stream
                    else:
                        self._counters.add("ftp_data_strangers")
                        stream.abort()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the host's power is off
        finally:
            self._listener.close()
            self._done.set()

    async def open(self) -> TcpStream:
        """Return the client's connection, as soon as it has come."""
        with trio.move_on_after(limits.CONNECT_S):
            await self._done.wait()
        stream, self._stream = self._stream, None
        self.close()
        if stream is None:
            raise RefusedError(425, "No data connection has come")
        return stream

    def close(self) -> None:
        """Close the port, and the connection unless it was taken."""
        self._scope.cancel()
        self._listener.close()
        if self._stream is not None:
            self._stream.abort()
            self._stream = None


class Active:
    """A port of the client's that we are to connect to."""

    is_over: Final = False
    connects_first: Final = True

    def __init__(self, host: Host, local: tuple[str, int], target: tuple[str, int]) -> None:
        """`local`: of the control connection."""
        self._host = host
        self._local = local
        self._target = target

    async def open(self) -> TcpStream:
        """Connect: from the port below that of the control connection, if it can be had."""
        try:
            with trio.fail_after(limits.CONNECT_S):
                try:
                    return await self._connect(self._local[1] - 1)
                except OSError as error:
                    if error.errno not in _PORT_TAKEN:
                        raise
                return await self._connect(0)
        except (OSError, trio.TooSlowError):
            raise RefusedError(425, "Cannot open a data connection") from None

    async def _connect(self, local_port: int) -> TcpStream:
        address, port = self._target
        return await self._host.open_tcp_stream(
            address, port, local_address=self._local[0], local_port=local_port
        )

    def close(self) -> None:
        """Nothing is there before `open`."""


async def open_passive(host: Host, local: str, client: str) -> Passive:
    """Open a port at the address that the control connection came to. Raises RefusedError."""
    try:
        (listener,) = await host.open_tcp_listeners(0, host=local, backlog=limits.BACKLOG)
    except OSError:
        raise RefusedError(425, "Cannot open a port") from None
    return Passive(host, listener, client)


async def let_go(stream: trio.abc.HalfCloseableStream) -> None:
    """End a connection whose last part is on its way, or cut it off if nobody takes that."""
    try:
        await linger(stream, timeout_s=limits.LINGER_S, max_bytes=limits.LINGER_BYTES)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # by a reset: it has gone
    finally:
        await stream.aclose()


async def discard(stream: trio.abc.HalfCloseableStream) -> None:
    """Read an upload that cannot be kept to its end; cut it off after a silence, or that much.

    Our side stays open as in any upload: some clients take its end for that of the transfer.
    """
    turn = current_turn()
    left = limits.DISCARDED_BYTES
    try:
        while left > 0:
            turn.renew()
            with trio.fail_after(limits.DATA_S):
                data = await stream.receive_some(RECEIVE_BYTES)
                if not data:
                    await stream.aclose()
                    return
            left -= len(data)
            turn.moved_bytes += len(data)
            if turn.spend(len(data) // BULK_BYTES_A_UNIT):
                await turn.wait()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        pass  # it has gone, or has forgotten this connection
    finally:
        await cut(stream)  # after its end this is nothing
