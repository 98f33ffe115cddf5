"""A look-up on its way: one question's exchange over a host's UDP port, and by TCP where it must.

All that happens, happens in the world's heap; the tasks that wait for the answer only wait. So two
of them can share one, and the last that is cancelled takes it away: port, connection and timer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.scheduler import Handle, no_upkeep
from pystack.dns.answers import Question, Status
from pystack.dns.exchange import Exchange, Send
from pystack.observe.observer import LookUp
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.names.zones import format_on
from pystack.stack.ports import ANY
from pystack.stack.zones import parse_on
from pystack.tcp.states import TcpState
from pystack.wire import dns

if TYPE_CHECKING:
    from pystack.dns.answers import Answer
    from pystack.runtime.bare_host import BareHost
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.stack.udp_socket import UdpSocket

_READ_BYTES: Final = 65_537  # the longest message, and then some
_MOST_MESSAGES: Final = 16  # on a connection with one query; then its server is no better than none


class HostTold:
    """Counts on a host, and shows its observers what was dropped."""

    def __init__(self, host: BareHost) -> None:
        self._host = host

    def count(self, name: str) -> None:
        """Count something by name."""
        self._host.counters.add(name)

    def drop(self, name: str, data: bytes, now: float) -> None:
        """Count a message that was thrown away, and show it."""
        self._host.stack.drop(name, now, data=data)


def tell_answer(
    host: BareHost,
    question: Question,
    answer: Answer,
    *,
    took_s: float | None = None,
    ttl_s: int | None = None,
) -> None:
    """Tell observers what is known of a question, if there are any.

    `took_s`: None: it was kept from before, and holds for `ttl_s` longer.
    """
    if not host.stack.observers:
        return
    is_found = answer.status is Status.FOUND
    found = tuple(record.address or record.text for record in answer.records)
    what = "cached" if took_s is None else "answered" if is_found else "failed"
    host.stack.notify(
        LookUp(
            host.now(),
            host.name,
            question.name,
            what,
            dns.kind_name(question.kind),
            answer.server,
            found,
            "" if is_found else answer.status.value,
            (answer.ttl_s or None) if ttl_s is None else ttl_s,
            took_s,
        )
    )


async def check_up(host: BareHost) -> None:
    """Raise OSError (ENETDOWN) where a host has no power, having let others run."""
    try:
        host.stack.check_up()
    except OSError:
        await trio.lowlevel.checkpoint()
        raise


class Lookup:
    """One exchange, from its first query to its answer."""

    def __init__(
        self, host: BareHost, exchange: Exchange, on_end: Callable[[Lookup, float], None]
    ) -> None:
        """`on_end` is told when the answer is there."""
        self.exchange = exchange
        self.askers = 0  # tasks that wait for it
        self._host = host
        self._on_end = on_end
        self._waiters: list[Waiter] = []
        self._socket: UdpSocket | None = None  # None: there is none yet, or no more
        self._stream: _Stream | None = None  # None: the query under way went by UDP
        self._timer: Handle | None = None  # None: it has ended
        self._looking = False
        self._closed = False
        self._began_at = 0.0

    def begin(self) -> None:
        """Send the first query. Raises OSError where there is no port for it."""
        self._socket = self._host.stack.udp.bind(ANY, 0)  # any port (RFC 5452 section 9.2)
        self._socket.receives_errors = True
        self._socket.on_readable = self._look_soon
        now = self._began_at = self._host.now()
        self._go_on(self.exchange.begin(now), now)

    async def wait(self) -> Answer:
        """Return the answer when it is there. A checkpoint, whatever has happened."""
        if self.exchange.answer is not None:
            # It was over at once, with no way to any server: who tries again lets others run.
            await trio.lowlevel.checkpoint()
        while self.exchange.answer is None:
            waiter = Waiter(self._host.driver)
            self._waiters.append(waiter)
            try:
                await waiter.wait()
            finally:
                self._waiters.remove(waiter)
        return self.exchange.answer

    def close(self) -> None:
        """Take all away that there is of it; nothing more is sent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._end_stream()

    def _go_on(self, send: Send | None, now: float) -> None:
        """Send what the exchange wants sent, and wait for what may come; or end."""
        while send is not None and not self._sent(send, now):
            if send.over_tcp:
                send = self.exchange.stream_failed(now)
            else:
                send = self.exchange.unreachable(send.server, now)
        if self.exchange.answer is not None:
            self.close()
            if self._host.stack.observers:
                question, answer = self.exchange.question, self.exchange.answer
                tell_answer(self._host, question, answer, took_s=now - self._began_at)
            self._on_end(self, now)
            for waiter in self._waiters:
                waiter.wake()
        elif self._timer is None or self._timer.when != self.exchange.deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._host.driver.scheduler.call_at(
                self.exchange.deadline, self._timed_out, no_upkeep
            )

    def _sent(self, send: Send, now: float) -> bool:
        """Send a query; False where that cannot be."""
        self._end_stream()
        address, port = send.server
        try:
            if send.over_tcp:
                self._stream = _Stream(self._host, send, now, self._look_soon)
            else:
                assert self._socket is not None
                self._socket.send_to(send.data, parse_on(self._host.stack, address), port, now)
        except OSError:
            return False
        if self._host.stack.observers:
            self._tell_query(address, now, over_tcp=send.over_tcp)
        return True

    def _tell_query(self, server: str, now: float, *, over_tcp: bool) -> None:
        """Tell observers of a query; a name server that is asked again is."""
        question, again = self.exchange.question, self.exchange.sent > 1
        detail = ", ".join(["again"] * again + ["over TCP"] * over_tcp)
        kind = dns.kind_name(question.kind)
        self._host.stack.notify(
            LookUp(now, self._host.name, question.name, "asked", kind, server, detail=detail)
        )

    def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.close(self._host.now())
            self._stream = None

    def _timed_out(self, now: float) -> None:
        self._timer = None
        self._go_on(self.exchange.timed_out(now), now)

    def _look_soon(self) -> None:
        """Look at what has come when the stack is done with it: an answer may lead to a query."""
        if self._socket is not None and self._socket.broken is not None:
            self._look(self._host.now())  # at once: of a network that has ended, time may stand
        elif not self._looking:
            self._looking = True
            scheduler = self._host.driver.scheduler
            scheduler.call_at(scheduler.now, self._look, no_upkeep)

    def _look(self, now: float) -> None:
        self._looking = False
        socket = self._socket
        while not self._closed and socket is not None and (found := socket.receive()) is not None:
            data, source, port = found
            self._take(data, (format_on(self._host.stack, source), port), now, over_tcp=False)
        while not self._closed and socket is not None:
            error = socket.take_queued_error()
            if error is None:
                break
            server = format_on(self._host.stack, error.dst[0]), error.dst[1]
            self._go_on(self.exchange.unreachable(server, now), now)
        if not self._closed and socket is not None and socket.broken is not None:
            self.exchange.give_up()  # the host has no power, or no network, any more
            self._go_on(None, now)
        stream = self._stream
        while stream is not None and stream is self._stream and not self._closed:
            message = stream.read(now)
            if message is None and not stream.has_ended:
                return
            if message is None or stream.messages > _MOST_MESSAGES:
                self._go_on(self.exchange.stream_failed(now), now)
                return
            self._take(message, stream.server, now, over_tcp=True)

    def _take(self, data: bytes, server: tuple[str, int], now: float, *, over_tcp: bool) -> None:
        send = self.exchange.arrived(data, server, now, over_tcp=over_tcp)
        is_taken = send is not None or self.exchange.answer is not None
        if self._stream is not None and over_tcp:
            self._stream.is_done = is_taken
        if is_taken:
            self._go_on(send, now)


class _Stream:
    """A connection for one query (RFC 7766)."""

    def __init__(
        self, host: BareHost, send: Send, now: float, on_signal: Callable[[], None]
    ) -> None:
        """Raises OSError where there is no way there."""
        self.server = send.server
        self._stack = host.stack
        self._table = host.tcp
        self._framer = dns.Framer()
        address, port = send.server
        # The query is queued at once, and leaves with the handshake's last segment.
        self._socket: TcpSocket = self._table.connect(
            parse_on(host.stack, address), port, now, text=memoryview(dns.frame(send.data))
        )
        self._socket.on_signal = lambda _signal: on_signal()
        self.is_done = False  # the answer has come
        self.messages = 0  # so many have come
        self._table.pump(self._socket, now)

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more can come."""
        connection = self._socket.connection
        return connection.state is TcpState.CLOSED or connection.at_eof

    def read(self, now: float) -> bytes | None:
        """Return the next message, when all of it is there."""
        message = self._framer.next()
        if message is None:  # not before: what is held is bounded so
            self._framer.feed(self._table.read(self._socket, _READ_BYTES, now))
            message = self._framer.next()
        self.messages += message is not None
        return message

    def close(self, now: float) -> None:
        """End it: in order where the answer has come, else by a reset."""
        self._socket.on_signal = None
        if self._stack.closed or not self._stack.powered:
            return  # whoever ends the host ends its connections
        if self.is_done:
            self._table.release(self._socket, now)
        else:
            self._table.abort(self._socket, now)
