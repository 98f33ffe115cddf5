"""A DNS server on a host: its sockets, and what leaves late. What it answers is `pystack.dns`'s.

It needs dnspython, so this is imported by those who have or want a server.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import format_ip
from pystack.core.counters import Counters
from pystack.dns.names import Names
from pystack.dns.server import DnsServer
from pystack.runtime.names.zones import owner_of
from pystack.wire import dns

if TYPE_CHECKING:
    from pystack.runtime.datagrams import UdpSocket
    from pystack.runtime.host import Host
    from pystack.runtime.streams import TcpStream
    from pystack.runtime.tcp_listener import TcpListener
    from pystack.topology.topology import Topology

IDLE_S: Final = 10.0  # RFC 7766 section 6.2.3 has "a few seconds"; a query has as long to be whole
SEND_S: Final = 10.0  # a client that reads nothing for so long is given up
MAX_QUERY_BYTES: Final = 4096  # a longer one ends its connection
MAX_LATE: Final = 1024  # answers that are yet to leave; by TCP, of a connection
MAX_LATE_BY_TCP: Final = 64
MAX_CONNECTIONS: Final = 256  # on a host of a network; `pystack.apps.roster` has its own

_RECEIVE_BYTES: Final = 16 * 1024
_GATHERED_BYTES: Final = 64 * 1024  # of answers that are sent at once

Address = tuple[str, int]


def names_of(topology: Topology) -> Names:
    """Return the names of all nodes, whatever their letters' case is (RFC 4343)."""
    in_dns: dict[str, str] = {}
    counted = 0

    def known_as(name: str) -> str | None:
        # Made anew when nodes have come or gone: a query takes no longer the more there are.
        nonlocal counted
        found = in_dns.get(name)
        if counted != len(topology.nodes) or (found is not None and found not in topology.nodes):
            counted = len(topology.nodes)
            in_dns.clear()
            for known in topology.nodes:
                with suppress(ValueError):  # a name that only a network can say
                    in_dns.setdefault(dns.canonical(known), known)
        return in_dns.get(name)

    def addresses_of(name: str) -> tuple[str, ...] | None:
        topology.settle()
        known, interface = known_as(name), ""
        if known is None:
            base, _, interface = name.rpartition(".")  # "client.eth1"
            known = known_as(base) if base else None
        if known is None:
            return None
        return (
            tuple(
                format_ip(address)
                for end in topology.nodes[known].ends
                if not interface or end.name == interface
                for address, _prefix in end.given
            )
            or None
        )

    def name_of(address: str) -> str | None:
        topology.settle()
        return topology.names_by_address().get(address)

    def all_names() -> Iterable[str]:
        known_as("")
        return [name for name in in_dns if addresses_of(name) is not None]

    return Names(addresses_of, name_of, all_names)


async def serve_dns(
    host: Host,
    server: DnsServer,
    port: int = dns.PORT,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer queries on a host, by UDP and TCP, for ever, and count there. OSError(EADDRINUSE).

    Raises trio.BrokenResourceError when its power has gone.
    """
    server.counters = host.counters
    gone: trio.BrokenResourceError | None = None  # None: not yet
    async with await host.open_udp_socket(port) as socket:
        listeners = await host.open_tcp_listeners(port)
        async with trio.open_nursery() as nursery:
            late = LateAnswers(socket.send_to_nowait)
            nursery.start_soon(late.run)
            guests = Guests(server)
            for listener in listeners:
                nursery.start_soon(_accept, listener, server, guests, nursery)
            task_status.started()
            try:
                await _answer_datagrams(socket, server, late)
            except trio.BrokenResourceError as error:
                gone = error
            nursery.cancel_scope.cancel()
    if gone is not None:
        raise gone


async def _answer_datagrams(socket: UdpSocket, server: DnsServer, late: LateAnswers) -> None:
    while True:
        try:
            data, client = await socket.receive_from()
            reply = server.answer(data)
            if reply is not None and reply.after_s:
                late.hold(reply.data, client, reply.after_s, server.counters)
            elif reply is not None:
                await socket.send_to(reply.data, client)
        except OSError:
            # A client has gone before its answer came; ICMP says so, and nobody else cares.
            server.counters.add("dns_unanswerable")


class LateAnswers:
    """Answers by UDP that are not to leave at once. None holds up another."""

    def __init__(self, send: Callable[[bytes, Address], None]) -> None:
        """`send` may raise OSError."""
        self._send = send
        # When, a number, what, to whom, and who counts it
        self._heap: list[tuple[float, int, bytes, Address, Counters]] = []
        self._numbers = count()
        self._changed = trio.Event()

    def hold(self, data: bytes, client: Address, after_s: float, counters: Counters) -> None:
        """Take an answer that is to leave so much later."""
        if len(self._heap) >= MAX_LATE:
            counters.add("dns_late_dropped")
            return
        due = trio.current_time() + after_s
        heappush(self._heap, (due, next(self._numbers), data, client, counters))
        self._changed.set()

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            while self._heap and self._heap[0][0] <= trio.current_time():
                _, _, data, client, counters = heappop(self._heap)
                try:
                    self._send(data, client)
                except OSError:
                    counters.add("dns_unanswerable")
            self._changed = trio.Event()
            with trio.move_on_at(self._heap[0][0] if self._heap else inf):
                await self._changed.wait()


async def _no_turn(_last_bytes: int) -> None:
    await trio.lowlevel.checkpoint()


async def converse(
    stream: trio.abc.HalfCloseableStream,
    server: DnsServer,
    before_answer: Callable[[int], Awaitable[None]] = _no_turn,
) -> None:
    """Answer the queries of a TCP connection until its peer ends it, or says nothing.

    Each answer leaves when it is there, so one that is late holds up no other (RFC 7766 6.2.1.1).
    `before_answer` is awaited before the work for each query, and told how long the answer to the
    one before was. The caller closes the stream.
    """
    conversation = _Conversation(stream, server, before_answer)
    async with trio.open_nursery() as nursery:
        await conversation.run(nursery)


class _Conversation:
    """One TCP connection."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        server: DnsServer,
        before_answer: Callable[[int], Awaitable[None]],
    ) -> None:
        self._stream = stream
        self._server = server
        self._before_answer = before_answer
        self._framer = dns.Framer()
        self._last_bytes = 0  # of the last answer
        self._sending = trio.Lock()
        self._late = trio.Semaphore(MAX_LATE_BY_TCP)

    async def run(self, nursery: trio.Nursery) -> None:
        """Read and answer; returns with late answers still to come in the nursery."""
        whole_at = trio.current_time()  # when the last query had come
        while True:
            data: bytes | bytearray = b""
            with trio.move_on_at(whole_at + IDLE_S):
                data = await self._stream.receive_some(_RECEIVE_BYTES)
            if not data:
                if self._framer.held_bytes:
                    self._server.counters.add("dns_truncated")
                return
            self._framer.feed(data)
            if await self._answer_held(nursery):
                whole_at = trio.current_time()
            if (self._framer.next_bytes or 0) > MAX_QUERY_BYTES:
                self._server.counters.add("dns_long_query")
                return

    async def _answer_held(self, nursery: trio.Nursery) -> bool:
        """Answer all queries that have come whole; False: there was none."""
        gathered = bytearray()
        any_came = False
        while (self._framer.next_bytes or 0) <= MAX_QUERY_BYTES:
            query = self._framer.next()
            if query is None:
                break
            any_came = True
            await self._before_answer(self._last_bytes)
            reply = self._server.answer(query, by_tcp=True)
            self._last_bytes = 0 if reply is None else len(reply.data)
            if reply is None:
                continue
            if reply.after_s:
                if not self._late.value and gathered:
                    await self._send(gathered)
                    gathered = bytearray()
                await self._late.acquire()
                due = trio.current_time() + reply.after_s
                nursery.start_soon(self._send_late, reply.data, due)
                continue
            gathered += dns.frame(reply.data)
            if len(gathered) >= _GATHERED_BYTES:
                await self._send(gathered)
                gathered = bytearray()
        if gathered:
            await self._send(gathered)
        return any_came

    async def _send_late(self, data: bytes, due: float) -> None:
        await trio.sleep_until(due)
        await self._send(dns.frame(data))
        self._late.release()

    async def _send(self, data: bytes | bytearray) -> None:
        try:
            with trio.fail_after(SEND_S):
                async with self._sending:
                    await self._stream.send_all(data)
        except trio.TooSlowError:
            self._server.counters.add("dns_deaf_client")
            await trio.aclose_forcefully(self._stream)
            raise trio.BrokenResourceError("the client reads no answers") from None


class Guests:
    """The open connections. Of too many the oldest goes, of the address that has most of them."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._scopes: dict[str, list[trio.CancelScope]] = {}  # by address
        self._count = 0
        self._turn = trio.Lock()

    async def take_turn(self, _last_bytes: int) -> None:
        """Let others run; of all connections one goes on in each round of Trio's loop."""
        async with self._turn:
            await trio.lowlevel.checkpoint()

    @contextmanager
    def entered(self, address: str) -> Iterator[None]:
        """Be one of them while the block is running, unless another takes the place."""
        if self._count >= MAX_CONNECTIONS:
            most = max(self._scopes, key=lambda each: len(self._scopes[each]))
            oldest = self._scopes[most][0]
            oldest.cancel()
            self._leave(most, oldest)
            self._server.counters.add("dns_connections_shed")
        with trio.CancelScope() as scope:
            self._scopes.setdefault(address, []).append(scope)
            self._count += 1
            try:
                yield
            finally:
                self._leave(address, scope)

    def _leave(self, address: str, scope: trio.CancelScope) -> None:
        """Take it out; twice is nothing."""
        theirs = self._scopes.get(address, [])
        if scope in theirs:
            theirs.remove(scope)
            self._count -= 1
            if not theirs:
                del self._scopes[address]


async def _accept(
    listener: TcpListener, server: DnsServer, guests: Guests, nursery: trio.Nursery
) -> None:
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # with the host's power
            nursery.start_soon(_converse, stream, server, guests)


async def _converse(stream: TcpStream, server: DnsServer, guests: Guests) -> None:
    try:
        with guests.entered(owner_of(stream.remote_address[0])):
            async with stream:
                await converse(stream, server, guests.take_turn)
    except* (trio.BrokenResourceError, trio.ClosedResourceError):
        server.counters.add("dns_unanswerable")
