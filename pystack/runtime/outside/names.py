"""DNS on the gateway's address: messages go to whom the machine asks, and come back as they are.

Nothing is read of a message but what tells an answer from a failure, so every type of record, EDNS
and DNSSEC pass. A question by UDP goes to the first server from a port of its own (RFC 5452
section 9.2); to the next one where that refuses, is not there, or has not answered for a while, for
the program inside sees one server alone and would ask the same again. The first good answer counts.
A connection to port 53 is spliced with one to a server.
"""

from __future__ import annotations

import socket
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip
from pystack.runtime.outside.connections import Connections
from pystack.runtime.outside.ground import DATAGRAM_BYTES, SHORT_OF, Ground, open_socket
from pystack.runtime.outside.resolv_conf import ResolvConf, Server
from pystack.runtime.splice.connecting import Pending, connect
from pystack.runtime.splice.poller import READ, Watch
from pystack.runtime.splice.stack_side import StackAcceptor
from pystack.stack.ports import ANY
from pystack.wire.dns_framing import PORT

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.stack.udp_socket import UdpSocket

MAX_QUESTIONS: Final = 512  # that wait for their answers; the oldest is forgotten
PATIENCE_S: Final = 1.0  # with one server, before the next is asked too
CONNECT_S: Final = 5.0
# For how long a server goes first that answered when the one before it did not
_PREFERRED_S: Final = 60.0
_HEADER_BYTES: Final = 12
_IS_RESPONSE: Final = 0x80  # of byte 2
_KEPT_FLAGS: Final = 0x79  # opcode and RD, which an answer repeats
_RCODE: Final = 0x0F  # of byte 3
_AVAILABLE: Final = 0x80  # RA
_SERVFAIL: Final = 2
# With these glibc asks the next server, too: SERVFAIL, NOTIMP, REFUSED
_FAILURES: Final = frozenset({_SERVFAIL, 4, 5})

Key = tuple[Ip, Ip, int, bytes]  # who was asked, who asks, from which port, with which ID


class Names:
    """The relay of one host."""

    def __init__(
        self, ground: Ground, connections: Connections, conf: Callable[[], ResolvConf]
    ) -> None:
        """`conf`: whom to ask, as it is at that moment."""
        self._ground = ground
        self._connections = connections
        self._conf = conf
        self._questions: OrderedDict[Key, _Question] = OrderedDict()
        self._udp: UdpSocket | None = None  # None: it does not serve
        self._acceptor: StackAcceptor | None = None
        self._opening: dict[TcpSocket, Pending] = {}
        self._turn = 0  # of "options rotate"
        self._preferred: tuple[Server, float] | None = None  # until when; None: the first there is
        ground.spenders.append(self._spend)

    def __len__(self) -> int:
        """Return how many questions wait for an answer."""
        return len(self._questions)

    def serve(self) -> None:
        """Answer at port 53 of all addresses of the host. OSError: somebody does already."""
        host = self._ground.host
        self._udp = host.udp.bind(ANY, PORT)
        self._udp.on_readable = self._asked
        try:
            self._acceptor = StackAcceptor(host, ANY, PORT, self._accepted)
        except OSError:
            self._udp.close()
            raise

    def close(self, now: float) -> None:
        """Answer no more."""
        while self._spend():
            pass
        if self._udp is not None:
            self._udp.close()
        for tcp, pending in self._opening.items():
            pending.cancel()
            self._ground.give()
            self._ground.host.tcp.abort(tcp, now)
        if self._acceptor is not None:
            self._acceptor.close(now)
        self._opening.clear()

    def servers(self, now: float) -> list[Server]:
        """Return whom to ask, in this order."""
        conf = self._conf()
        servers = list(conf.servers)
        if conf.rotate:
            self._turn += 1
            at = self._turn % len(servers)
            servers = servers[at:] + servers[:at]
        elif self._preferred is not None and self._preferred[1] > now:
            server = self._preferred[0]
            if server in servers:
                servers.remove(server)
                servers.insert(0, server)
        return servers

    def prefer(self, server: Server, now: float) -> None:
        """Ask this one first for a while: those before it do not answer."""
        self._preferred = server, now + _PREFERRED_S

    def forget(self, key: Key) -> None:
        """A question has its answer, or gets none."""
        self._questions.pop(key, None)

    # by UDP

    def _asked(self) -> None:
        ground, udp = self._ground, self._udp
        assert udp is not None
        while (found := udp.receive()) is not None:
            message, src, src_port = found
            now = ground.scheduler.now
            if len(message) < _HEADER_BYTES or message[2] & _IS_RESPONSE:
                ground.counters.add("outside_dns_no_question")
                continue
            key = udp.arrived_at, src, src_port, message[:2]
            known = self._questions.get(key)
            if known is not None and known.message == message:
                known.asked_again(now)
                continue
            if known is not None:
                known.close()
            elif len(self._questions) >= MAX_QUESTIONS:
                self._spend()
            ground.counters.add("outside_dns_questions")
            self._questions[key] = question = _Question(self, ground, key, message, now)
            question.ask_next(now)

    def _spend(self) -> bool:
        if not self._questions:
            return False
        _, question = self._questions.popitem(last=False)
        question.close()
        self._ground.counters.add("outside_dns_forgotten")
        return True

    # by TCP

    def _accepted(self, tcp: TcpSocket, now: float) -> None:
        if self._ground.take():
            self._connect(tcp, self.servers(now))
        else:
            self._ground.host.tcp.abort(tcp, now)

    def _connect(self, tcp: TcpSocket, servers: Sequence[Server]) -> None:
        server, rest = servers[0], servers[1:]
        self._opening[tcp] = connect(
            self._ground.poller,
            server.family,
            _sockaddr(server),
            partial(self._connected, tcp, rest),
            timeout_s=CONNECT_S,
        )

    def _connected(
        self,
        tcp: TcpSocket,
        rest: Sequence[Server],
        outcome: socket.socket | OSError,
        now: float,
    ) -> None:
        del self._opening[tcp]
        if not isinstance(outcome, OSError):
            self._ground.counters.add("outside_dns_streams")
            self._connections.join(outcome, tcp)
        elif rest:
            self._connect(tcp, rest)
        else:
            self._ground.counters.add("outside_dns_unanswered")
            self._ground.give()
            self._ground.host.tcp.abort(tcp, now)


class _Question:
    """A message that waits for its answer, and the sockets by which servers were asked."""

    __slots__ = (
        "_failure",
        "_ground",
        "_key",
        "_names",
        "_servers",
        "_timer",
        "_tried",
        "_waiting",
        "message",
    )

    def __init__(self, names: Names, ground: Ground, key: Key, message: bytes, now: float) -> None:
        self._names = names
        self._ground = ground
        self._key = key
        self.message = message
        self._servers = deque(names.servers(now))  # who was not asked yet
        self._tried = 0
        self._waiting: dict[socket.socket, Watch] = {}
        self._failure: bytes | None = None  # what a server said that could not answer it
        self._timer: Handle | None = None

    def ask_next(self, now: float) -> None:
        """Ask the next server; where there is none any more, wait for those that were asked."""
        if self._timer is not None:
            self._timer.cancel()
        while self._servers:
            server = self._servers.popleft()
            self._tried += 1
            if self._ask(server):
                wait_s = PATIENCE_S if self._servers else self._last_wait_s()
                self._timer = self._ground.scheduler.call_at(now + wait_s, self._late)
                return
        if self._waiting:
            self._timer = self._ground.scheduler.call_at(now + self._last_wait_s(), self._late)
        else:
            self._end(self._failure or _failed(self.message), now)

    def asked_again(self, now: float) -> None:
        """The program has lost patience: ask somebody else too, or the same once more."""
        self._ground.counters.add("outside_dns_again")
        if self._servers:
            self.ask_next(now)
            return
        for sock in list(self._waiting):
            try:
                sock.send(self.message)
            except OSError:
                self._ground.counters.add("outside_dns_not_sent")

    def close(self) -> None:
        """Forget it, without an answer."""
        if self._timer is not None:
            self._timer.cancel()
        for sock in list(self._waiting):
            self._drop(sock)

    def _last_wait_s(self) -> float:
        return 2 * self._names._conf().timeout_s

    def _ask(self, server: Server) -> bool:
        """Ask one; False: it cannot be asked."""
        ground = self._ground
        if not ground.take():
            return False
        sock: socket.socket | None = None
        try:
            sock = open_socket(server.family, socket.SOCK_DGRAM)
            sock.connect(_sockaddr(server))
            sock.send(self.message)
            watch = ground.poller.watch(
                sock, partial(self._ready, sock, server, self._tried - 1), READ
            )
        except OSError as error:
            ground.counters.add(
                "outside_no_descriptor" if error.errno in SHORT_OF else "outside_dns_not_sent"
            )
            if sock is not None:
                sock.close()
            ground.give()
            return False
        self._waiting[sock] = watch
        return True

    def _ready(
        self, sock: socket.socket, server: Server, rank: int, _events: int, now: float
    ) -> None:
        try:
            answer = sock.recv(DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError:  # refused: nobody is at the port
            self._drop(sock)
            self._ground.counters.add("outside_dns_refused")
            self.ask_next(now)
            return
        if (
            len(answer) < _HEADER_BYTES
            or answer[:2] != self.message[:2]
            or not answer[2] & _IS_RESPONSE
        ):
            self._ground.counters.add("outside_dns_stray")
            return
        if answer[3] & _RCODE in _FAILURES:
            self._failure = answer
            self._drop(sock)
            self.ask_next(now)
            return
        if rank:
            self._names.prefer(server, now)
        self._end(answer, now)

    def _late(self, now: float) -> None:
        """A server has not answered for a while."""
        self._timer = None
        if self._servers:
            self.ask_next(now)
            return
        self._ground.counters.add("outside_dns_unanswered")
        self._names.forget(self._key)
        self.close()

    def _end(self, answer: bytes, now: float) -> None:
        asked, src, src_port, _ = self._key
        self._names.forget(self._key)
        self.close()
        self._ground.counters.add("outside_dns_answers")
        self._ground.host.udp.send_as(asked, PORT, src, src_port, answer, now)

    def _drop(self, sock: socket.socket) -> None:
        self._waiting.pop(sock).close()
        sock.close()
        self._ground.give()


def _failed(message: bytes) -> bytes:
    """Return the answer of a server that has nobody to ask."""
    flags = bytes((message[2] & _KEPT_FLAGS | _IS_RESPONSE, _AVAILABLE | _SERVFAIL))
    return message[:2] + flags + message[4:]


def _sockaddr(server: Server) -> tuple[str, int] | tuple[str, int, int, int]:
    if server.family == socket.AF_INET:
        return server.address, server.port
    address, _, zone = server.address.partition("%")
    scope = 0
    if zone:
        try:
            scope = int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
        except OSError:
            scope = 0  # the interface has gone: the kernel says then that there is no way
    return address, server.port, 0, scope
