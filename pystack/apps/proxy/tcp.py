"""A proxy of TCP while it listens: whom it accepts, and over which lane each goes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from pystack.apps.proxy.connection import Connection
from pystack.apps.proxy.draws import Draws
from pystack.apps.proxy.endpoints import Endpoint
from pystack.apps.proxy.toxics.registry import is_packet_toxic
from pystack.apps.proxy.words import read_directions
from pystack.core.addresses import UNSPECIFIED
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.runtime.splice.acceptor import Acceptor, Address
from pystack.runtime.splice.splice import RESET
from pystack.runtime.splice.stack_side import StackAcceptor

if TYPE_CHECKING:
    from pystack.apps.proxy.lanes import Lane
    from pystack.apps.proxy.model import Proxy
    from pystack.apps.proxy.toxics.spec import ToxicSpec
    from pystack.apps.proxy.world import World
    from pystack.stack.tcp_socket import TcpSocket

_BACKLOG: Final = 4096
_PORT: Final = 1  # of `right`, where the upstream's is not known


class _Way:
    """A lane that connections of a proxy go over, and who is on the way.

    `hits`: of the toxics on packets that hit some connections only, those that hit these.
    """

    __slots__ = ("_acceptor", "expected", "hits", "lane", "port")

    def __init__(self, lane: Lane, port: int, hits: frozenset[str]) -> None:
        self.lane = lane
        self.hits = hits
        self.port = port
        self.expected: dict[int, Connection] = {}  # by their ports of `left`
        right = lane.right.stack
        self._acceptor = StackAcceptor(right, UNSPECIFIED, port, self._arrived, backlog=_BACKLOG)

    def _arrived(self, tcp: TcpSocket, now: float) -> None:
        connection = self.expected.pop(tcp.connection.remote_port, None)
        if connection is None:  # its client has gone
            right = self.lane.right.tcp
            right.abort(tcp, now)
            right.release(tcp, now)
        else:
            connection.arrived(tcp, now)

    def close(self, now: float) -> None:
        """Take nobody any more."""
        self._acceptor.close(now)
        self.expected.clear()


class TcpProxy:
    """One of them."""

    def __init__(self, world: World, proxy: Proxy, sock: socket.socket) -> None:
        """`sock` listens already, and is the proxy's from now on. Raises ConfigError."""
        self.world = world
        self.proxy = proxy
        self.rng = component_rng(world.net.seed, f"proxy/{proxy.name}")
        self._words = read_directions(proxy.words)
        self._connections: dict[Connection, None] = {}
        self._ways: list[_Way] = []
        self._acceptor = Acceptor(world.poller, sock, self._accepted, world.counters)

    @property
    def open(self) -> int:
        """Return how many connections there are."""
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
        for way in self._ways:
            way.close(now)
            self.world.lanes.give_back(way.lane, now)
        self._ways.clear()

    def words_changed(self, now: float) -> None:
        """Follow the words of its link. Raises ConfigError."""
        self._words = read_directions(self.proxy.words)
        for way in self._ways:
            way.lane.shape(self._words, now)

    def toxics_changed(self, now: float) -> None:
        """Follow the proxy's toxics. Raises ConfigError."""
        if any(is_packet_toxic(toxic.type) for toxic in self.proxy.toxics):
            self._way(frozenset(), now)  # so that what cannot be is said now
        for way in self._ways:
            way.lane.poison(self._on_packets(way.hits), now)
        for connection in list(self._connections):
            connection.toxics_changed(now)

    # connections

    def _accepted(self, sock: socket.socket, address: Address, now: float) -> None:
        counts = self.proxy.counts
        counts.connections += 1
        draws = Draws()
        draws.follow(self.proxy.toxics, self.rng)
        try:
            way = self._way(self._partial() & draws.hits, now)
            connection = Connection(self, way.lane, way.port, sock, draws, now)
        except (ConfigError, OSError):
            counts.dropped += 1
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.close()
            return
        way.expected[connection.port] = connection
        self._connections[connection] = None
        counts.open += 1

    def _way(self, hits: frozenset[str], now: float) -> _Way:
        """Return the way of connections that these hit; make it for the first. ConfigError."""
        partial = self._partial()
        for way in self._ways:
            if way.hits & partial == hits:
                return way
        lane = self.world.lanes.take(self.proxy.name)
        try:
            lane.shape(self._words, now)
            lane.poison(self._on_packets(hits), now)
            way = _Way(lane, self._port(), hits)
        except (ConfigError, OSError):
            self.world.lanes.give_back(lane, now)
            raise
        self._ways.append(way)
        return way

    def _partial(self) -> frozenset[str]:
        """Return the toxics on packets that hit some connections only."""
        return frozenset(
            toxic.name
            for toxic in self.proxy.toxics
            if toxic.toxicity < 1 and is_packet_toxic(toxic.type)
        )

    def _on_packets(self, hits: frozenset[str]) -> list[ToxicSpec]:
        return [
            toxic
            for toxic in self.proxy.toxics
            if is_packet_toxic(toxic.type) and (toxic.toxicity >= 1 or toxic.name in hits)
        ]

    def _port(self) -> int:
        """Return the upstream's port, by which captures know what is spoken."""
        try:
            return Endpoint.parse(self.proxy.upstream).port or _PORT
        except ConfigError:
            return _PORT

    def left_is_over(self, connection: Connection) -> None:
        """Expect it at the far end no more."""
        for way in self._ways:
            if way.lane is connection.lane:
                way.expected.pop(connection.port, None)

    def is_over(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        if connection in self._connections:
            del self._connections[connection]
            self.proxy.counts.open -= 1
            self.world.on_over()
