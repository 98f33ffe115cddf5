"""TCP as Trio programs know it: `TcpStream` over a host's connection.

Nothing is decided here: a call goes to the table, whose pump does the rest, or waits until the
connection signals that it is worth trying again.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, SupportsIndex

import trio

from pystack.core.addresses import Ip, format_mac
from pystack.core.errors import ConfigError
from pystack.core.ranges import DURATION, TTL, Range
from pystack.core.tcp_events import TcpSoftError
from pystack.runtime import receiving
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.names.zones import format_on
from pystack.runtime.watching import DEFAULT_BUFFER, Watch
from pystack.stack import tcp_socket
from pystack.tcp import live, send_buffer, urgent
from pystack.tcp.events import Signal
from pystack.tcp.info import HandshakeSegment, TcpInfo
from pystack.tcp.states import TcpState
from pystack.wire.ip_options import SourceRoute

if TYPE_CHECKING:
    from pystack.link.link import Link
    from pystack.link.pipe import Pipe
    from pystack.runtime.bare_host import BareHost
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.config import TcpConfig
    from pystack.tcp.congestion.registry import ControlLike
    from pystack.tcp.live import TcpSample

# What one `receive_some` returns at most unless told: several super-frames, for each call costs.
DEFAULT_RECEIVE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """The link on which a connection's frames travel."""

    interface: str
    local_mac: str
    remote_mac: str | None  # None: not resolved, or a link without such addresses
    mtu_bytes: int  # largest IP packet
    via: str | None  # the gateway's address; None: the peer is on this link


class TcpStream(trio.abc.HalfCloseableStream):
    """One end of a TCP connection."""

    __slots__ = (
        "_closed",
        "_each",
        "_host",
        "_reader",
        "_reset_on_close",
        "_sending",
        "_sent_eof",
        "_socket",
        "_watches",
        "_writer",
    )

    def __init__(self, host: BareHost, socket: TcpSocket) -> None:
        self._host = host
        self._socket = socket
        self._reader = Waiter(host.driver)
        self._writer = Waiter(host.driver)
        self._closed = False
        self._sent_eof = False
        self._sending = False
        self._reset_on_close = False
        # Takes what arrives; None: the task that reads does
        self._each: receiving.Each | None = None
        self._watches: dict[Watch, None] = {}  # in their order
        socket.on_signal = self._on_signal
        # As trio.SocketStream: a program that writes in whole messages does not want to wait.
        socket.connection.tcb.no_delay = True

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Queue all of `data`; returns when the last of it is in the send buffer.

        Raises BusyResourceError, ClosedResourceError, BrokenResourceError as `trio.abc.SendStream`.
        """
        await self._send(data, urgent=False)

    async def send_urgent(self, data: bytes | bytearray | memoryview) -> None:
        """Send as `send_all` does, and mark everything up to there as urgent (RFC 6093).

        It arrives in line with the rest; new programs have no use for it.
        """
        await self._send(data, urgent=True)

    @property
    def urgent_bytes(self) -> int:
        """Return how many bytes there are up to the end of what the peer marked as urgent."""
        return urgent.unread_bytes(self._socket.connection)

    async def _send(self, data: bytes | bytearray | memoryview, *, urgent: bool) -> None:
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check_may_send()
        view = memoryview(data).cast("B")
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            while True:
                self._check_may_send()
                try:
                    view = view[
                        self._host.tcp.write(self._socket, view, self._host.now(), urgent=urgent) :
                    ]
                except BrokenPipeError as error:
                    raise self._broken() from error
                if not view:
                    return
                if send_buffer.must_wait(self._socket.connection):
                    await self._writer.wait()
        finally:
            self._sending = False

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until there is room in the send buffer."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check_may_send()
        self._sending = True
        try:
            await trio.lowlevel.checkpoint()
            connection = self._socket.connection
            while connection.state is not TcpState.CLOSED and not send_buffer.room_bytes(
                connection
            ):
                connection.write_blocked = True
                await self._writer.wait()
                self._check_may_send()
        finally:
            self._sending = False

    async def receive_some(self, max_bytes: SupportsIndex | None = None) -> bytes:
        """Return what has arrived, at least one byte; empty at the peer's end of data.

        Raises BusyResourceError, ClosedResourceError, BrokenResourceError (reset, time-out).
        """
        limit = DEFAULT_RECEIVE_BYTES if max_bytes is None else operator.index(max_bytes)
        if limit < 1:
            raise ConfigError(f"max_bytes is {limit}: it must be 1 or more")
        if self._reader.busy:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._check_open()
        connection = self._socket.connection
        buffer = connection.receive_buffer
        if buffer.readable_bytes or connection.at_eof:
            await trio.lowlevel.checkpoint()
            self._check_open()
        while True:
            if buffer.readable_bytes:
                return self._host.tcp.read(self._socket, limit, self._host.now())
            if connection.error is not None:
                raise self._broken()
            if connection.at_eof:
                return b""
            await self._reader.wait()
            self._check_open()

    async def receive_each(
        self, take: Callable[[bytes], object], max_bytes: SupportsIndex | None = None
    ) -> None:
        """Call `take` with all that arrives, at once, and return at the peer's end of data.

        As a loop of `receive_some(max_bytes)`, at the same instants, but no task is woken for each
        segment. `take` cannot wait. Raises what it raises, and what `receive_some` does.
        """
        limit = DEFAULT_RECEIVE_BYTES if max_bytes is None else operator.index(max_bytes)
        await receiving.each(self, take, limit)

    async def send_eof(self) -> None:
        """Send no more: the peer sees the end of data after what is queued. Reading goes on."""
        if self._sending:
            raise trio.BusyResourceError("another task is sending on this stream")
        self._check_open()
        await trio.lowlevel.checkpoint()
        self._check_open()
        if not self._sent_eof:
            self._sent_eof = True
            if self._socket.connection.error is not None:
                raise self._broken()
            self._host.tcp.close(self._socket, self._host.now())

    async def aclose(self) -> None:
        """Close. Queued data is still sent; if received data is unread, the peer gets a reset.

        When cancelled it does the same, like `trio.SocketStream`: `trio.serve_listeners` closes
        that way after every handler. Use `abort` to avoid waiting for a peer that reads nothing.
        """
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close, like `aclose`, from where nothing can be awaited."""
        if self._closed:
            return
        self._closed = True
        if self._reset_on_close:
            self._host.tcp.abort(self._socket, self._host.now())
        self._host.tcp.release(self._socket, self._host.now())
        self._reader.wake()
        self._writer.wake()
        self._unwatch()

    def abort(self) -> None:
        """End the connection at once: the peer gets a reset, and queued data is discarded."""
        if not self._closed:
            self._host.tcp.abort(self._socket, self._host.now())
            self.close()

    def info(self) -> TcpInfo:
        """Return a snapshot of the connection's variables."""
        return self._socket.connection.info()

    def watch(
        self,
        every: str | float | None = None,
        link: Link | Pipe | None = None,
        *,
        buffer: int = DEFAULT_BUFFER,
        on_sample: Callable[[TcpSample], None] | None = None,
    ) -> Watch:
        """Return samples of the connection, as they come: `async for sample in stream.watch()`.

        `every`: how often, a time in seconds or with its unit; None: with each ACK of new data,
        loss and time-out. `link`: whose queue is in the samples too, a link of this host or one
        direction of any (`link.a_to_b`). It ends when the connection does, or this stream is
        closed. At most `buffer` samples wait to be read, else the oldest are left out and counted.
        `on_sample` is called with each instead; what it raises ends the run. Raises ConfigError,
        ClosedResourceError.
        """
        self._check_open()
        watch = Watch(self._host, self._socket, every, link, buffer, on_sample)
        if not watch.ended:
            self._watches[watch] = None
            watch.forget = partial(self._watches.pop, watch, None)
        return watch

    def steer(self, *, cwnd_bytes: int | None = None, pacing_bps: float | None = None) -> None:
        """Set the congestion window, the pacing rate in bit/s, or both, from now on.

        What is left out is the control's own, so `steer()` lets go. The control is told of
        everything meanwhile, and goes on with its own window then. A steered window holds in a
        repair (no PRR) and after a time-out. The peer's window and the data that there is bound
        both, as ever. ConfigError: a window below a segment or above 2**30 - 2**14 bytes, a rate
        that is not a number above 0. BrokenResourceError, ClosedResourceError: it is over.
        """
        self._check_lives()
        live.steer(self._socket.connection, cwnd_bytes, pacing_bps)
        self._host.tcp.mark(self._socket)

    def set_congestion(self, congestion: ControlLike) -> None:
        """Have another congestion control from now on, in all the ways of `open_tcp_stream`.

        It goes on with the window and the slow start threshold of the last one, as with
        TCP_CONGESTION in Linux, if it is one of ours (others are told them, and decide). ECN is not
        agreed on anew: `dctcp` without it is NewReno. ConfigError: no control, or it can't be
        made; all is as before then. BrokenResourceError, ClosedResourceError: it is over.
        """
        self._check_lives()
        self._socket.connection.configure(self._host.now(), congestion=congestion)
        self._host.tcp.mark(self._socket)

    @property
    def written_bytes(self) -> int:
        """Return how many bytes `send_all` has taken so far, including what is still queued."""
        connection = self._socket.connection
        return connection.send_buffer.end - connection.tcb.iss - 1

    @property
    def unacknowledged_bytes(self) -> int:
        """Return how many of them the peer has not acknowledged."""
        return len(self._socket.connection.send_buffer)

    @property
    def moved_bytes(self) -> int:
        """Return how many bytes have arrived: in order here, and acknowledged at the other end."""
        connection = self._socket.connection
        return connection.bytes_received + connection.bytes_acked

    @property
    def handshake(self) -> tuple[HandshakeSegment, ...]:
        """Return the segments of the three-way handshake as they were seen here."""
        return self._socket.handshake

    @property
    def local_address(self) -> tuple[str, int]:
        """Return (address, port) of this end."""
        socket = self._socket
        return format_on(self._host.stack, socket.local), socket.connection.local_port

    @property
    def remote_address(self) -> tuple[str, int]:
        """Return (address, port) of the other end."""
        socket = self._socket
        return format_on(self._host.stack, socket.remote), socket.connection.remote_port

    @property
    def link(self) -> LinkInfo:
        """Return what is known about the link that the connection's frames take."""
        way = self._socket.way
        interface, gateway = way.interface, way.route.gateway
        mac = None
        if interface.neighbors is not None:
            mac = interface.neighbors.peek(way.next_hop)
        return LinkInfo(
            interface.name,
            format_mac(interface.mac),
            None if mac is None else format_mac(mac),
            way.mtu_bytes,
            None if gateway is None else format_on(self._host.stack, gateway),
        )

    def set_no_delay(self, *, no_delay: bool = True) -> None:
        """Let short segments go at once (TCP_NODELAY), or wait for the ACK of the last one."""
        self._socket.connection.set_no_delay(no_delay=no_delay)
        self._host.tcp.pump(self._socket, self._host.now())

    def set_cork(self, *, corked: bool = True) -> None:
        """Hold short segments back for more, 200 ms at most (TCP_CORK); or let them go."""
        self._socket.connection.cork(corked=corked)
        self._host.tcp.pump(self._socket, self._host.now())

    def set_keepalive(
        self, *, idle_s: float | None = None, interval_s: float = 75.0, probes: int = 9
    ) -> None:
        """Ask a peer that is silent for `idle_s` whether it is still there; None: never.

        After `count` unanswered probes, one every `interval_s`, it is considered gone. ConfigError
        for invalid values.
        """
        changes: dict[str, object] = {"keepalive": idle_s is not None}
        if idle_s is not None:
            changes.update(
                keepalive_idle_s=idle_s, keepalive_interval_s=interval_s, keepalive_probes=probes
            )
        self._configure(**changes)

    def set_user_timeout(self, seconds: float | None) -> None:
        """Give up when the peer acknowledges nothing for this long; None: after all retries."""
        self._configure(user_timeout_s=seconds)

    def set_unsent_limit(self, size_bytes: int | None) -> None:
        """Let no more wait to be sent for the first time (TCP_NOTSENT_LOWAT); None: no limit."""
        self._configure(notsent_lowat_bytes=size_bytes)

    def set_linger(self, seconds: float | None) -> None:
        """With 0 `close` resets the connection (SO_LINGER); else it goes on in the background.

        None: SO_LINGER is off, as at first. ConfigError: less than 0, or no number.
        """
        if seconds is not None and not DURATION.allows(seconds):
            raise ConfigError(f"a stream lingers for 0 seconds or more, not {seconds!r}")
        self._reset_on_close = seconds == 0

    def set_diffserv(self, dscp: int) -> None:
        """Set the DSCP of everything sent from now on, 0 to 63 (RFC 2474); queues may look at it.

        ConfigError: out of range.
        """
        Range(0, 63).check("a Diffserv code point", dscp)
        tcp_socket.set_tos(self._socket, dscp << 2)

    def set_ttl(self, ttl: int) -> None:
        """Set the TTL of what is sent from now on. ConfigError: not 1 to 255."""
        TTL.check("a TTL", ttl)
        tcp_socket.set_ttl(self._socket, ttl)

    def report_soft_errors(self, report: Callable[[OSError], None] | None) -> None:
        """Have `report` called with trouble that ends nothing, at once; None: hear no more of it.

        That is what ICMP reports about the path, and repeated retransmission without an answer. The
        latest is also in `info().soft_error`.
        """
        if report is None:
            self._socket.on_error = None
            return
        name = self.remote_address[0]

        def tell(error: TcpSoftError) -> None:
            report(OSError(error.number, os.strerror(error.number), name))

        self._socket.on_error = tell

    def _on_signal(self, signal: Signal) -> None:
        if self._each is not None and signal is Signal.READABLE:
            self._host.driver.scheduler.call_soon(self._each.arrived)
        elif signal is not Signal.WRITABLE:
            self._reader.wake()
        if signal is not Signal.READABLE:
            self._writer.wake()
        if signal is Signal.CLOSED:
            self._unwatch()

    def _configure(self, **changes: object) -> None:
        self._socket.connection.configure(self._host.now(), **changes)
        self._host.tcp.pump(self._socket, self._host.now())

    def _unwatch(self) -> None:
        for watch in tuple(self._watches):
            watch.close()

    def _check_lives(self) -> None:
        self._check_open()
        if self._socket.connection.state is TcpState.CLOSED:
            raise self._broken()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this stream was closed here")

    def _check_may_send(self) -> None:
        self._check_open()
        if self._sent_eof:
            raise trio.ClosedResourceError("send_eof was called on this stream")
        if self._socket.connection.state is TcpState.CLOSED:
            raise self._broken()

    def _broken(self) -> trio.BrokenResourceError:
        number, failure = self._socket.connection.error, self._socket.connection.failure
        if failure is not None:
            error = trio.BrokenResourceError(f"{self.remote_address[0]}: {failure}")
            error.__cause__ = failure
            return error
        reason = "the connection is closed" if number is None else os.strerror(number)
        error = trio.BrokenResourceError(f"{self.remote_address[0]}: {reason}")
        if number is not None:
            error.__cause__ = OSError(number, os.strerror(number))
        return error

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        local, remote = self.local_address, self.remote_address
        state = self._socket.connection.state.value
        return f"<TcpStream {local[0]}:{local[1]} - {remote[0]}:{remote[1]} {state}>"


async def connect(
    host: BareHost,
    remote: Ip,
    port: int,
    *,
    local: Ip,
    local_port: int,
    config: TcpConfig | None = None,
    source_route: SourceRoute | None = None,
    text: memoryview | None = None,
) -> TcpStream:
    """Open a connection; cancelled, nothing of it is left. `text`: the first that it is to send.

    Raises OSError: ConnectionRefusedError, TimeoutError, EHOSTUNREACH, ENETUNREACH and the like.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    table = host.tcp
    now = host.now()
    socket = table.connect(
        remote,
        port,
        now,
        local=local,
        local_port=local_port,
        config=config,
        source_route=source_route,
        text=text,
    )
    queued_bytes = len(socket.connection.send_buffer)
    waiter = Waiter(host.driver)
    socket.on_signal = lambda _signal: waiter.wake()
    table.pump(socket, now)
    connection = socket.connection
    try:
        while connection.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED):
            await waiter.wait()
    except BaseException:
        table.release(socket, host.now())
        raise
    if connection.established_at is None:
        number = connection.error or 0
        address = f"{format_on(host.stack, remote)} port {port}"
        raise OSError(number, f"{os.strerror(number)}: {address}")
    stream = TcpStream(host, socket)
    if text is not None and len(text) > queued_bytes:
        await stream.send_all(text[queued_bytes:])
    return stream
