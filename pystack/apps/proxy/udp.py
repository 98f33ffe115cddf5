"""A proxy of UDP while it is there.

    client == left -- link -- right == upstream

Each client has a session: a port of `left`, by which `right` knows whose a datagram is, and a
socket of the machine's that talks to the upstream. It ages: after a minute without a datagram it
is over. There are so many at most; when one more comes, the one that was silent for longest goes.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pystack.apps.proxy.asked import Ancillary, DatagramSocket
from pystack.apps.proxy.draws import Draws
from pystack.apps.proxy.endpoints import Endpoint, Place, SockAddress
from pystack.apps.proxy.toxics.spec import DOWNSTREAM, UPSTREAM
from pystack.apps.proxy.trouble import Trouble
from pystack.apps.proxy.ways import Way, Ways
from pystack.core.addresses import UNSPECIFIED
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.runtime.splice.poller import READ, Watch

if TYPE_CHECKING:
    from pystack.apps.proxy.lanes import Lane
    from pystack.apps.proxy.model import Proxy
    from pystack.apps.proxy.world import World
    from pystack.core.scheduler import Handle
    from pystack.stack.udp_socket import UdpSocket

IDLE_S: Final = 60.0
MOST_SESSIONS: Final = 4096
_BATCH: Final = 64  # datagrams of one socket, before others have their turn
_LARGEST: Final = 65535
_BUFFER_BYTES: Final = 1 << 20  # of the machine's sockets; the kernel gives what it allows
# Datagrams that wait until the upstream's name is known: of a session, and bytes of all of them
_MOST_HELD: Final = 16
MOST_HELD_BYTES: Final = 4 << 20


class _FarEnd:
    """The port of `right` to which all sessions of a lane send."""

    __slots__ = ("port", "sessions", "socket")

    def __init__(self, lane: Lane, port: int) -> None:
        self.port = port
        self.sessions: dict[int, _Session] = {}  # by their ports of `left`
        self.socket = lane.right.stack.udp.bind(UNSPECIFIED, port)
        self.socket.on_readable = self._arrived

    def _arrived(self) -> None:
        while (found := self.socket.receive()) is not None:
            payload, _, port = found
            session = self.sessions.get(port)
            if session is not None:
                session.arrived(payload)

    def close(self, now: float) -> None:
        self.socket.close()


class UdpProxy:
    """One of them."""

    def __init__(self, world: World, proxy: Proxy, sock: socket.socket) -> None:
        """`sock` is bound already, and is the proxy's from now on. Raises ConfigError."""
        self.world = world
        self.proxy = proxy
        self.trouble = Trouble(proxy)
        self.rng = component_rng(world.net.seed, f"proxy/{proxy.name}")
        self.sock = DatagramSocket(sock)
        self._ways: Ways[_FarEnd] = Ways(world, proxy, _FarEnd)
        # By their clients, the one that was silent for longest first
        self._sessions: dict[SockAddress, _Session] = {}
        self._timer: Handle | None = None  # for the first of them; None: there is none
        self._takes_new = True
        self.held_bytes = 0  # in all sessions
        _enlarge(sock)
        self._watch = world.poller.watch(sock, self._ready, READ)

    @property
    def unfinished(self) -> int:
        """Return 0: sessions have no end that could be waited for."""
        return 0

    def tally(self) -> None:
        """Do nothing: all is counted as it comes."""

    def stop_listening(self) -> None:
        """Take no new clients; those that there are go on."""
        self._takes_new = False

    def close(self, now: float) -> None:
        """End it, and all sessions."""
        self._watch.close()
        self.sock.sock.close()
        for session in list(self._sessions.values()):
            self.end(session, now)
        if self._timer is not None:
            self._timer.cancel()
        self._ways.close(now)

    def follow(self, now: float) -> None:
        """Follow the words of its link, and its toxics. Raises ConfigError."""
        self._ways.follow(now)

    # datagrams

    def _ready(self, events: int, now: float) -> None:
        traffic = self.proxy.counts.traffic[UPSTREAM]
        for _ in range(_BATCH):
            try:
                payload, client, answer = self.sock.receive(_LARGEST)
            except BlockingIOError:
                return
            except OSError:  # told of what was sent before: a client that has gone
                continue
            traffic.received_bytes += len(payload)
            session = self._session(client, now)
            if session is None:
                self.proxy.counts.dropped += 1
            else:
                session.answer = answer
                session.send(payload, now)

    def heard(self, session: _Session, now: float) -> None:
        """Note that a session goes on."""
        session.heard_at = now
        self._sessions[session.client] = self._sessions.pop(session.client)

    def _session(self, client: SockAddress, now: float) -> _Session | None:
        """Return the session of a client; None: there can be none."""
        session = self._sessions.get(client)
        if session is not None:
            self.heard(session, now)
            return session
        if not self._takes_new:
            return None
        counts = self.proxy.counts
        counts.connections += 1
        hits = Draws(self.proxy.toxics, self.rng).hits
        if len(self._sessions) >= MOST_SESSIONS or self.world.sessions >= self.world.most_sessions:
            if not self._sessions:  # other proxies have them all
                return None
            counts.dropped += 1
            self.end(next(iter(self._sessions.values())), now)
        try:
            way = self._ways.find(hits, now)
            session = _Session(self, way, client, now)
        except (ConfigError, OSError):
            return None
        self._sessions[client] = session
        way.users += 1
        self.world.sessions += 1
        counts.open += 1
        if self._timer is None:
            self._timer = self._call_at(now + IDLE_S, self._age)
        return session

    def _call_at(self, when: float, fn: Callable[[float], None]) -> Handle:
        return self.world.driver.scheduler.call_at(when, fn)

    def _age(self, now: float) -> None:
        """End those that were silent for long enough."""
        self._timer = None
        for session in list(self._sessions.values()):
            over_at = session.heard_at + IDLE_S
            if over_at > now:
                self._timer = self._call_at(over_at, self._age)
                return
            self.end(session, now)

    def end(self, session: _Session, now: float) -> None:
        """End a session."""
        del self._sessions[session.client]
        session.close()
        session.way.users -= 1
        self.world.sessions -= 1
        self.proxy.counts.open -= 1


class _Session:
    """One client."""

    __slots__ = (
        "_held",
        "_is_over",
        "_left",
        "_proxy",
        "_upstream",
        "_watch",
        "answer",
        "client",
        "heard_at",
        "way",
    )

    def __init__(self, proxy: UdpProxy, way: Way[_FarEnd], client: SockAddress, now: float) -> None:
        """OSError: `left` has no port free."""
        self._proxy = proxy
        self.way = way
        self.client = client
        self.answer: Ancillary = []  # from which address it is answered; none: the usual one
        self.heard_at = now
        self._is_over = False
        self._held: list[bytes] | None = []  # None: it is known where the upstream is
        self._upstream: socket.socket | None = None  # None: not known yet, or there is none
        self._watch: Watch | None = None
        self._left: UdpSocket = way.lane.left.stack.udp.bind(UNSPECIFIED, 0)
        self._left.on_readable = self._returned
        way.far.sessions[self._left.local_port] = self
        try:
            endpoint = Endpoint.parse(proxy.proxy.upstream)
        except ConfigError:
            self._found(OSError(errno.EINVAL, ""), now)
            return
        proxy.world.names.look_up(endpoint, socket.SOCK_DGRAM, self._found, now)

    def close(self) -> None:
        """Give back what it has."""
        self._is_over = True
        self._let_go()
        self.way.far.sessions.pop(self._left.local_port, None)
        self._left.close()
        if self._watch is not None:
            self._watch.close()
        if self._upstream is not None:
            self._upstream.close()

    # to the upstream

    def send(self, payload: bytes, now: float) -> None:
        """Put what the client has sent on the link."""
        lane = self.way.lane
        try:
            self._left.send_to(payload, lane.right_address, self.way.far.port, now)
        except OSError:
            self._proxy.proxy.counts.dropped += 1

    def arrived(self, payload: bytes) -> None:
        """Send on what has come over the link."""
        if self._held is not None:
            if len(self._held) < _MOST_HELD and self._proxy.held_bytes < MOST_HELD_BYTES:
                self._held.append(payload)
                self._proxy.held_bytes += len(payload)
            else:
                self._proxy.proxy.counts.dropped += 1
            return
        counts = self._proxy.proxy.counts
        if self._upstream is None:
            counts.dropped += 1
            return
        try:
            counts.traffic[UPSTREAM].sent_bytes += self._upstream.send(payload)
        except ConnectionRefusedError as error:  # told of one that was sent before
            self._proxy.trouble.met(error)
        except OSError:
            counts.dropped += 1

    def _found(self, found: list[Place] | OSError, now: float) -> None:
        if self._is_over or self._held is None:
            return
        held = self._let_go()
        error = found if isinstance(found, OSError) else OSError("it has no address")
        for family, address in [] if isinstance(found, OSError) else found:
            try:
                self._connect(family, address)
                break
            except OSError as failure:
                error = failure
        else:
            self._proxy.trouble.met(error)
            # The next datagram begins another one, and looks again. (This may be its beginning.)
            self._proxy.world.driver.scheduler.call_next(self._give_up)
            return
        for payload in held:
            self.arrived(payload)

    def _let_go(self) -> list[bytes]:
        """Hold no datagrams any more; return those that were held."""
        held, self._held = self._held or [], None
        self._proxy.held_bytes -= sum(map(len, held))
        return held

    def _give_up(self, now: float) -> None:
        if not self._is_over:
            self._proxy.end(self, now)

    def _connect(self, family: socket.AddressFamily, address: SockAddress) -> None:
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            _enlarge(sock)
            sock.connect(address)
            self._watch = self._proxy.world.poller.watch(sock, self._ready, READ)
        except BaseException:
            sock.close()
            raise
        self._upstream = sock

    # to the client

    def _ready(self, events: int, now: float) -> None:
        proxy, sock = self._proxy, self._upstream
        assert sock is not None
        counts = proxy.proxy.counts
        far, lane = self.way.far, self.way.lane
        for _ in range(_BATCH):
            try:
                payload = sock.recv(_LARGEST)
            except BlockingIOError:
                return
            except OSError as error:
                proxy.trouble.met(error)
                return
            proxy.trouble.over()
            counts.traffic[DOWNSTREAM].received_bytes += len(payload)
            proxy.heard(self, now)
            try:
                far.socket.send_to(payload, lane.left_address, self._left.local_port, now)
            except OSError:
                counts.dropped += 1

    def _returned(self) -> None:
        counts = self._proxy.proxy.counts
        while (found := self._left.receive()) is not None:
            payload = found[0]
            try:
                counts.traffic[DOWNSTREAM].sent_bytes += self._proxy.sock.send(
                    payload, self.client, self.answer
                )
            except OSError:
                counts.dropped += 1


def _enlarge(sock: socket.socket) -> None:
    """Have room for bursts while the others have their turn."""
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER_BYTES)
