"""Opens and accepts connections of a stack host by callbacks, as the kernel's are here."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from pystack.core.addresses import Ip
from pystack.tcp.events import Signal
from pystack.tcp.listener import DEFAULT_BACKLOG

if TYPE_CHECKING:
    from pystack.stack.host import Host as StackHost
    from pystack.stack.tcp_socket import TcpSocket


class StackPending:
    """A connection that a stack host is opening."""

    __slots__ = ("_host", "_on_done", "tcp")

    def __init__(
        self,
        host: StackHost,
        tcp: TcpSocket,
        on_done: Callable[[TcpSocket | OSError, float], None],
    ) -> None:
        self._host = host
        self._on_done: Callable[[TcpSocket | OSError, float], None] | None = on_done
        self.tcp = tcp
        tcp.on_signal = self._signalled

    def cancel(self, now: float) -> None:
        """Give up, and tell nothing. When it is over that is nothing."""
        if self._on_done is not None:
            self._on_done = None
            self._host.tcp.release(self.tcp, now)

    def _signalled(self, signal: Signal) -> None:
        self.tcp.on_signal = None
        self._host.scheduler.call_soon(self._told)

    def _told(self, now: float) -> None:
        on_done, self._on_done = self._on_done, None
        if on_done is None:
            return
        connection = self.tcp.connection
        if connection.established_at is not None:
            on_done(self.tcp, now)
        else:
            number = connection.error or 0
            self._host.tcp.release(self.tcp, now)
            on_done(OSError(number, os.strerror(number)), now)


def connect_stack(
    host: StackHost,
    remote: Ip,
    port: int,
    on_done: Callable[[TcpSocket | OSError, float], None],
    now: float,
) -> StackPending:
    """Open a connection from a stack host; `on_done` is called once, later.

    It is told a connection for a `Splice`, or the OSError of the stack: ECONNREFUSED, ETIMEDOUT,
    EHOSTUNREACH. What can't be tried is raised at once, as `TcpTable.connect` does.
    """
    tcp = host.tcp.connect(remote, port, now)
    pending = StackPending(host, tcp, on_done)
    host.tcp.pump(tcp, now)
    return pending


class StackAcceptor:
    """Listens on a stack host, and gives each connection to `on_accepted(tcp, now)`."""

    __slots__ = ("_host", "_on_accepted", "_told", "listener")

    def __init__(
        self,
        host: StackHost,
        local: Ip,
        port: int,
        on_accepted: Callable[[TcpSocket, float], None],
        *,
        backlog: int = DEFAULT_BACKLOG,
    ) -> None:
        """`port` 0: any free one, which is then `listener.local_port`. OSError: as `listen`."""
        self._host = host
        self._on_accepted = on_accepted
        self._told = False
        self.listener = host.tcp.listen(local, port, backlog)
        self.listener.on_ready = self._ready

    def _ready(self) -> None:
        if not self._told:
            self._told = True
            self._host.scheduler.call_soon(self._accept)

    def _accept(self, now: float) -> None:
        self._told = False
        ready = self.listener.ready
        while ready:
            tcp = ready.popleft()
            tcp.listener = None
            self._on_accepted(tcp, now)

    def close(self, now: float) -> None:
        """Listen no more; whoever was not accepted yet gets a reset. A second time is nothing."""
        self._host.tcp.unlisten(self.listener, now)
