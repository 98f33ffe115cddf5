"""`TcpStream.receive_each`: text is taken in the event that brings it, while its task waits.

In virtual time a turn of Trio for each segment is what a receiver costs most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from pystack.runtime.streams import TcpStream


async def each(stream: TcpStream, take: Callable[[bytes], object], limit: int) -> None:
    """Call `take` with what arrives, at most `limit` bytes at a time, until the end of data."""
    if stream._each is not None:
        raise trio.BusyResourceError("another task is receiving from this stream")
    with trio.CancelScope() as scope:
        stream._each = taker = Each(stream, take, limit, scope)
        try:
            while data := await stream.receive_some(limit):
                take(data)
        finally:
            stream._each = None
    if taker.error is not None:
        raise taker.error


class Each:
    """Takes what arrives on a stream whose task waits."""

    __slots__ = ("_context", "_deadline", "_limit", "_scope", "_stream", "_take", "error")

    def __init__(
        self,
        stream: TcpStream,
        take: Callable[[bytes], object],
        limit: int,
        scope: trio.CancelScope,
    ) -> None:
        self._stream = stream
        self._take = take
        self._limit = limit
        self._scope = scope
        # Its variables say whose program it is; while it waits nobody else is in there.
        self._context = trio.lowlevel.current_task().context
        self._deadline = trio.current_effective_deadline()
        self.error: BaseException | None = None  # what `take` has raised; None: nothing

    def arrived(self, now: float) -> None:
        """Take it; for all else, wake the task."""
        stream = self._stream
        if not self._is_waited_for:
            return
        host, socket = stream._host, stream._socket
        # At its deadline a task that is woken is cancelled before it reads.
        if now >= self._deadline:
            stream._reader.wake()
            return
        try:
            while self._is_waited_for and (data := host.tcp.read(socket, self._limit, now)):
                self._context.run(self._take, data)
        except BaseException as error:
            self.error = error  # for the task to raise
            self._scope.cancel()
        if socket.connection.at_eof:
            stream._reader.wake()

    @property
    def _is_waited_for(self) -> bool:
        """Tell whether the task waits, and was not cancelled, nor the stream closed, by `take`."""
        stream = self._stream
        return stream._each is self and stream._reader.busy and not stream._closed
