"""A proxy of TCP while it listens."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from pystack.apps.proxy.connection import Connection, FarEnd
from pystack.apps.proxy.draws import Draws
from pystack.apps.proxy.trouble import Trouble
from pystack.apps.proxy.ways import Ways
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.runtime.splice.acceptor import Acceptor, Address
from pystack.runtime.splice.splice import reset_on_close

if TYPE_CHECKING:
    from pystack.apps.proxy.model import Proxy
    from pystack.apps.proxy.world import World


class TcpProxy:
    """One of them."""

    def __init__(self, world: World, proxy: Proxy, sock: socket.socket) -> None:
        """`sock` listens already, and is the proxy's from now on. Raises ConfigError."""
        self.world = world
        self.proxy = proxy
        self.trouble = Trouble(proxy)
        self.rng = component_rng(world.net.seed, f"proxy/{proxy.name}")
        self._ways: Ways[FarEnd] = Ways(world, proxy, FarEnd)
        self._connections: dict[Connection, None] = {}
        self._acceptor = Acceptor(world.poller, sock, self._accepted, world.counters)

    @property
    def unfinished(self) -> int:
        """Return how many connections would have to be cut to end it now."""
        return len(self._connections)

    def tally(self) -> None:
        """Bring the counts of the proxy up to date."""
        for connection in self._connections:
            connection.tally()

    def stop_listening(self) -> None:
        """Take nobody any more; who is there stays. A second time is nothing."""
        self._acceptor.close()

    def close(self, now: float) -> None:
        """End it, and all connections."""
        self.stop_listening()
        for connection in list(self._connections):
            connection.close(now)
        self._ways.close(now)

    def follow(self, now: float) -> None:
        """Follow the words of its link, and its toxics. Raises ConfigError."""
        self._ways.follow(now)
        for connection in list(self._connections):
            connection.toxics_changed(now)

    # connections

    def _accepted(self, sock: socket.socket, address: Address, now: float) -> None:
        counts = self.proxy.counts
        counts.connections += 1
        draws = Draws(self.proxy.toxics, self.rng)
        try:
            way = self._ways.find(draws.hits, now)
            connection = Connection(self, way, sock, draws, now)
        except (ConfigError, OSError):
            counts.dropped += 1
            reset_on_close(sock)
            sock.close()
            return
        way.users += 1
        self._connections[connection] = None
        counts.open += 1

    def is_over(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if connection in self._connections:
            del self._connections[connection]
            connection.way.users -= 1
            self.proxy.counts.open -= 1
            self.world.on_over()
