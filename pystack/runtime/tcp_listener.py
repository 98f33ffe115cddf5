"""A port that accepts connections, as Trio programs know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from pystack.runtime.driver.driver import Waiter
from pystack.runtime.names.zones import format_on
from pystack.runtime.streams import TcpStream
from pystack.tcp.listener import Listener

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pystack.core.addresses import Ip
    from pystack.runtime.bare_host import BareHost
    from pystack.stack.tcp_socket import TcpSocket

# Those that came together are accepted together: a round of Trio's loop for each would be a
# twentieth of what a connection with one request costs.
_ACCEPTED_IN_A_ROW: Final = 16


class TcpListener(trio.abc.Listener[TcpStream]):
    """A port that accepts connections."""

    def __init__(self, host: BareHost, listener: Listener[TcpSocket]) -> None:
        self._host = host
        self._listener = listener
        self._waiter = Waiter(host.driver)
        self._accepted_in_a_row = 0
        self._closed = False
        listener.on_ready = self._waiter.wake

    @property
    def address(self) -> tuple[str, int]:
        """Return the address (0.0.0.0 for all of the host's) and port that it listens on."""
        return format_on(self._host.stack, self._listener.local), self._listener.local_port

    async def accept(self) -> TcpStream:
        """Return the next connection that was opened from outside.

        If several are waiting already, it lets other tasks run only after every sixteenth.
        """
        if self._waiter.busy:
            raise trio.BusyResourceError("another task is accepting on this listener")
        self._check_open()
        if self._listener.ready:
            self._accepted_in_a_row += 1
            if self._accepted_in_a_row % _ACCEPTED_IN_A_ROW:
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                await trio.lowlevel.checkpoint()
            self._check_open()
        while not self._listener.ready:
            await self._waiter.wait()
            self._check_open()
        socket = self._listener.ready.popleft()
        socket.listener = None
        return TcpStream(self._host, socket)

    async def aclose(self) -> None:
        """Close the port. Connections that nobody has accepted are reset; others go on."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close, like `aclose`, from where nothing can be awaited."""
        if not self._closed:
            self._closed = True
            self._host.tcp.unlisten(self._listener, self._host.now())
            self._waiter.wake()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this listener was closed here")
        if self._listener.broken:
            raise trio.BrokenResourceError(f"{self._host.name} has no power, or no network")


def listen(host: BareHost, addresses: Iterable[Ip], port: int, backlog: int) -> list[TcpListener]:
    """Open one port on each address, or on none of them; 0: any that is free. Raises OSError."""
    listeners: list[TcpListener] = []
    try:
        for local in addresses:
            listener = TcpListener(host, host.tcp.listen(local, port, backlog))
            listeners.append(listener)
            port = listener.address[1]
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners
