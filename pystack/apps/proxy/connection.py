"""One connection through a proxy.

    client == splice == left -- link -- right == splice == upstream

Both splices work by themselves; it is over when both are. No task belongs to it: all of it is
callbacks of the poller, of the stack and of the world's scheduler.
"""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Final, Protocol

from pystack.apps.proxy.endpoints import Endpoint, Place
from pystack.apps.proxy.toxics.chain import Chain
from pystack.apps.proxy.toxics.registry import is_packet_toxic
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, STREAMS, UPSTREAM, Stream, ToxicSpec
from pystack.core.addresses import UNSPECIFIED
from pystack.core.errors import ConfigError
from pystack.runtime.splice.connecting import Pending, connect
from pystack.runtime.splice.splice import Splice, SpliceResult
from pystack.runtime.splice.stack_side import StackAcceptor
from pystack.tcp.states import OVER, TcpState

if TYPE_CHECKING:
    from random import Random

    from pystack.apps.proxy.draws import Draws
    from pystack.apps.proxy.lanes import Lane
    from pystack.apps.proxy.model import Proxy
    from pystack.apps.proxy.trouble import Trouble
    from pystack.apps.proxy.ways import Way
    from pystack.apps.proxy.world import World
    from pystack.core.scheduler import Handle
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.events import Signal

_BACKLOG: Final = 4096
# As long as Linux tries by itself, with its usual tcp_syn_retries
_CONNECT_TIMEOUT_S: Final = 130.0
# How often it is seen to that what has ended at one end ends at the other: the link may lose that
_NEWS_S: Final = 60.0

_HAVE_HEARD_THE_END: Final = frozenset(
    {
        TcpState.CLOSE_WAIT,
        TcpState.LAST_ACK,
        TcpState.CLOSING,
        TcpState.TIME_WAIT,
        TcpState.CLOSED,
    }
)

# A client that has gone is found by these where a toxic lets nothing be written to it any more:
# that it has closed cannot be told from the end of one direction. In seconds; then so many.
_KEEPALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}


class Owner(Protocol):
    """Whose it is."""

    world: World
    proxy: Proxy
    trouble: Trouble
    rng: Random

    def is_over(self, connection: Connection) -> None:
        """Nothing is left of it."""
        ...


class Connection:
    """What a proxy does for one client."""

    __slots__ = (
        "_chains",
        "_draws",
        "_end_timer",
        "_ended",
        "_is_over",
        "_known",
        "_left",
        "_left_tcp",
        "_pending",
        "_places",
        "_proxy",
        "_right",
        "_right_tcp",
        "port",
        "way",
    )

    def __init__(
        self,
        proxy: Owner,
        way: Way[FarEnd],
        sock: socket.socket,
        draws: Draws,
        now: float,
    ) -> None:
        """`draws`: which toxics hit it.

        OSError: `left` cannot open any more connections; then `sock` is still the caller's.
        """
        self._proxy = proxy
        self.way = way
        self._draws = draws
        self._chains: dict[Stream, Chain] = {}  # where toxics hit its bytes, or have once
        self._pending: Pending | None = None  # to the upstream; None: not yet, or not any more
        self._places: list[Place] = []  # of the upstream, that were not tried yet
        self._right_tcp: TcpSocket | None = None  # None: it did not arrive yet
        self._right: Splice | None = None  # None: the upstream has not answered yet
        self._end_timer: Handle | None = None  # None: both ends go on, or none does
        # Of the end that is over: its connection, and whether it has heard the other's end
        self._ended: tuple[TcpSocket, bool] | None = None
        self._is_over = False
        # Bytes that were counted, from and to the client ("upstream"), from and to the upstream
        self._known: dict[Stream, tuple[int, int]] = dict.fromkeys(STREAMS, (0, 0))
        left = way.lane.left.stack
        tcp = left.tcp.connect(way.lane.right_address, way.far.port, now)
        self._left_tcp = tcp
        _keep_alive(sock)
        self.port = tcp.connection.local_port
        self._left: Splice | None = Splice(
            proxy.world.poller,
            sock,
            left,
            tcp,
            inward=self._chain(UPSTREAM),
            on_end=self._left_ended,
        )
        way.far.expected[self.port] = self
        left.tcp.pump(tcp, now)

    # toxics

    def toxics_changed(self, now: float) -> None:
        """Follow the toxics of its proxy."""
        self._draws.follow(self._proxy.proxy.toxics, self._proxy.rng)
        for stream, splice in ((UPSTREAM, self._left), (DOWNSTREAM, self._right)):
            if splice is None:
                continue
            known = self._chains.get(stream)
            if known is not None:
                known.update(self._on_bytes(stream), now)
            elif (chain := self._chain(stream)) is not None:
                splice.filter_with(chain, now)

    def _chain(self, stream: Stream) -> Chain | None:
        """Return a new chain of a direction; None: no toxic is on its bytes."""
        toxics = self._on_bytes(stream)
        if not toxics:
            return None
        chain = Chain(self._proxy.world.driver.scheduler, self._proxy.rng, toxics)
        self._chains[stream] = chain
        return chain

    def _on_bytes(self, stream: Stream) -> list[ToxicSpec]:
        return [
            toxic
            for toxic in self._proxy.proxy.toxics
            if toxic.stream == stream
            and not is_packet_toxic(toxic.type)
            and toxic.name in self._draws.hits
        ]

    # at the far end

    def arrived(self, tcp: TcpSocket, now: float) -> None:
        """Take its other end, at `right`, and connect to the upstream."""
        self._right_tcp = tcp
        tcp.on_signal = self._right_signalled
        try:
            endpoint = Endpoint.parse(self._proxy.proxy.upstream)
        except ConfigError as error:
            self._refused(OSError(str(error)), now)
            return
        self._proxy.world.names.look_up(endpoint, socket.SOCK_STREAM, self._found, now)

    def _right_signalled(self, signal: Signal) -> None:
        """Hear that the client has gone, while nobody else is told."""
        tcp = self._right_tcp
        if tcp is not None and tcp.connection.state is TcpState.CLOSED:
            self._forget_right(self._proxy.world.driver.now())

    def _found(self, found: list[Place] | OSError, now: float) -> None:
        if self._right_tcp is None:
            return
        if isinstance(found, OSError):
            self._refused(found, now)
            return
        self._places = list(found)
        self._try_next(OSError("it has no address"), now)

    def _try_next(self, error: OSError, now: float) -> None:
        """`error`: of the place before."""
        if not self._places:
            self._refused(error, now)
            return
        family, address = self._places.pop(0)
        self._pending = connect(
            self._proxy.world.poller,
            family,
            address,
            self._connected,
            timeout_s=_CONNECT_TIMEOUT_S,
        )

    def _connected(self, outcome: socket.socket | OSError, now: float) -> None:
        self._pending = None
        if isinstance(outcome, OSError):
            if outcome.errno in (errno.EMFILE, errno.ENFILE):
                self._places.clear()
            self._try_next(outcome, now)
            return
        self._proxy.trouble.over()
        tcp = self._right_tcp
        assert tcp is not None
        self._right = Splice(
            self._proxy.world.poller,
            outcome,
            self.way.lane.right.stack,
            tcp,
            inward=self._chain(DOWNSTREAM),
            on_end=self._right_ended,
        )

    def _refused(self, error: OSError, now: float) -> None:
        """Pass on that there is no upstream: the client gets a reset."""
        self._proxy.trouble.met(error)
        tcp = self._right_tcp
        assert tcp is not None
        tcp.on_signal = None
        right = self.way.lane.right.tcp
        right.abort(tcp, now)
        right.release(tcp, now)
        self._forget_right(now)

    # ends

    def close(self, now: float) -> None:
        """End it as programs that close do."""
        for splice in (self._left, self._right):
            if splice is not None:
                splice.close(now)
        self._forget_right(now)

    def reset(self, now: float) -> None:
        """End it with a reset at both ends."""
        for splice in (self._left, self._right):
            if splice is not None:
                splice.reset(now)
        self._forget_right(now)

    def tally(self) -> None:
        """Bring the counts of the proxy up to date."""
        for stream, splice in ((UPSTREAM, self._left), (DOWNSTREAM, self._right)):
            if splice is not None:
                self._count(stream, splice)

    def _count(self, stream: Stream, carried: Splice | SpliceResult) -> None:
        """Count what an end has carried since; `stream`: where what comes in there goes."""
        traffic = self._proxy.proxy.counts.traffic
        outward = DOWNSTREAM if stream == UPSTREAM else UPSTREAM
        inward_bytes, outward_bytes = self._known[stream]
        traffic[stream].received_bytes += carried.inward_bytes - inward_bytes
        traffic[outward].sent_bytes += carried.outward_bytes - outward_bytes
        self._known[stream] = carried.inward_bytes, carried.outward_bytes

    def _left_ended(self, result: SpliceResult) -> None:
        self._left = None
        self._count(UPSTREAM, result)
        self.way.far.expected.pop(self.port, None)
        self._splice_ended(self._left_tcp, result, self._right)

    def _right_ended(self, result: SpliceResult) -> None:
        tcp = self._right_tcp
        assert tcp is not None
        self._right = self._right_tcp = None
        self._count(DOWNSTREAM, result)
        self._splice_ended(tcp, result, self._left)

    def _splice_ended(self, tcp: TcpSocket, result: SpliceResult, other: Splice | None) -> None:
        """Reset the other end too where a toxic has reset one: at once, as Toxiproxy does."""
        self._ended = tcp, result.by == "both"
        self._one_ended()
        was_reset = tcp.connection.state is TcpState.CLOSED
        if result.by == "here" and was_reset and other is not None:
            other.reset(self._proxy.world.driver.now())

    def _forget_right(self, now: float) -> None:
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._right is None and self._right_tcp is not None:
            self.way.lane.right.tcp.release(self._right_tcp, now)
            self._ended = self._right_tcp, False
            self._right_tcp = None
        self._one_ended()

    def _one_ended(self) -> None:
        if self._is_over:
            return
        if self._left is None and self._right_tcp is None:
            self._is_over = True
            if self._end_timer is not None:
                self._end_timer.cancel()
            self._proxy.is_over(self)
        elif self._end_timer is None:
            scheduler = self._proxy.world.driver.scheduler
            self._end_timer = scheduler.call_at(scheduler.now + _NEWS_S, self._see_to_the_end)

    def _see_to_the_end(self, now: float) -> None:
        """Reset what is left, if nothing more can come to it over the link, not even an end."""
        self._end_timer = None
        assert self._ended is not None
        ended, has_heard_all = self._ended
        rest = self._left_tcp if self._right_tcp is None else self._right_tcp
        still_sends = ended.connection.state not in OVER
        if still_sends or (has_heard_all and rest.connection.state in _HAVE_HEARD_THE_END):
            self._one_ended()  # it goes on by itself, however slowly
        else:
            self.reset(now)


class FarEnd:
    """Where connections arrive that are on their way over a lane."""

    __slots__ = ("_acceptor", "_lane", "expected", "port")

    def __init__(self, lane: Lane, port: int) -> None:
        self._lane = lane
        self.port = port
        self.expected: dict[int, Connection] = {}  # by their ports of `left`
        right = lane.right.stack
        self._acceptor = StackAcceptor(right, UNSPECIFIED, port, self._arrived, backlog=_BACKLOG)

    def _arrived(self, tcp: TcpSocket, now: float) -> None:
        connection = self.expected.pop(tcp.connection.remote_port, None)
        if connection is None:  # its client has gone
            right = self._lane.right.tcp
            right.abort(tcp, now)
            right.release(tcp, now)
        else:
            connection.arrived(tcp, now)

    def close(self, now: float) -> None:
        self._acceptor.close(now)
        self.expected.clear()


def _keep_alive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, True)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):  # not everywhere
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
