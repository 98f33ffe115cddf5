"""A splice: a TCP connection of the kernel's and one of a stack host, joined byte by byte.

*Inward* is from the kernel to the stack, *outward* the other way. Each direction ends by itself, a
FIN as a FIN; a reset or an error of one side is a reset for the other, and what the kernel's side
had sent before goes ahead of it. Urgent data stays that, in both directions.

Memory is bounded: what the stack has no room for is left in the kernel's buffer, whose window then
closes, and what the kernel does not take stays unread in the stack (but for one read,
`_READ_BYTES`), whose window closes as well. Of what the stack sends, `UNSENT_BYTES` at most wait
behind what is in flight.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal

from pystack.runtime.splice.poller import ERROR, HANGUP, READ, URGENT, WRITE, Poller
from pystack.runtime.splice.urgent import at_mark, unread_before
from pystack.tcp import send_buffer
from pystack.tcp.events import Signal
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle
    from pystack.runtime.splice.filters import Filter
    from pystack.stack.host import Host as StackHost
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.connection import Connection

# What one call reads: little at first, for memory is asked for before anything is known
_FIRST_READ_BYTES: Final = 16 << 10
_READ_BYTES: Final = 512 << 10
_LEAST_WINDOW_BYTES: Final = 1 << 20
_WINDOW_BYTES_PER_S: Final = 500_000_000
_POUR_AT_ONCE_BYTES: Final = 64 << 10
# struct linger: on, for no time
_RESET: Final = struct.pack("HH" if sys.platform == "win32" else "ii", 1, 0)

# A reset waits for what is to go ahead of it: how often it looks whether that still moves, and for
# how long it may stand still.
_LOOK_S: Final = 0.1
_STANDSTILL_S: Final = 60.0

By = Literal["both", "kernel", "stack", "here"]


@dataclass(frozen=True, slots=True)
class SpliceResult:
    """What became of a splice."""

    inward_bytes: int  # read from the kernel's socket
    outward_bytes: int  # written to it
    by: By  # who ended it: both sides, one of them by a reset or an error, or its owner here
    error: int | None  # errno of that; None: it was no error


class Splice:
    """Joins `sock` and `tcp`, a connection of `host`, until both directions have ended.

    `tcp` may still be in SYN-SENT: what comes from the kernel waits for the handshake. Both are the
    splice's own from now on. It is a `FilterSink`, too: that of its filter.
    """

    __slots__ = (
        "_at_eof",
        "_broken",
        "_chunk_bytes",
        "_ends_later",
        "_filter",
        "_held",
        "_held_urgent",
        "_host",
        "_hurries",
        "_inward_done",
        "_is_over",
        "_look",
        "_moved",
        "_on_end",
        "_outward_done",
        "_poller",
        "_sock",
        "_tcp",
        "_told",
        "_watch",
        "inward_bytes",
        "outward_bytes",
    )

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        host: StackHost,
        tcp: TcpSocket,
        *,
        inward: Filter | None = None,
        on_end: Callable[[SpliceResult], None] | None = None,
    ) -> None:
        """`inward`: what changes the bytes from the kernel to the stack; `on_end`: called once.

        Either side may have data, or an end, already.
        """
        self._poller = poller
        self._sock = sock
        self._host = host
        self._tcp = tcp
        self._filter = inward
        self._on_end = on_end
        self.inward_bytes = self.outward_bytes = 0
        self._chunk_bytes = _FIRST_READ_BYTES
        self._held: bytes | memoryview = b""  # outward, not taken by the kernel yet
        self._held_urgent = False  # `_held` is an urgent byte
        self._at_eof = False  # the kernel's side has sent its last
        self._broken: int | None = None  # errno of the kernel's side; a reset follows its data
        self._look: Handle | None = None  # None: no reset waits
        self._moved = 0, 0.0  # what was acknowledged when such a reset last saw that move, and when
        self._ends_later = False  # inward, which has ended, when the stack's connection is open
        self._inward_done = self._outward_done = self._is_over = False
        # The stack's side has moved, which is not looked at yet, but at once when it is much
        self._told = self._hurries = False
        sock.setblocking(False)
        with suppress(OSError):  # some systems refuse it to a connection that has ended
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            # Else the kernel takes an urgent byte out of what is read, and it would be lost.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, True)
        connection = tcp.connection
        connection.tcb.no_delay = True
        connection.config = poller.config_for(connection.config)
        tcp.on_signal = self._signalled
        self._watch = poller.watch(sock, self._ready, READ | URGENT, self._abandoned)
        if inward is not None:
            inward.begin(self, poller.driver.now())
        # What is there already is not looked at at once: the owner does not have the splice yet.
        if tcp.connection.receive_buffer.readable_bytes or tcp.connection.at_eof:
            self._signalled(Signal.READABLE)

    @property
    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._is_over

    # what its owner asks for, and its filter

    def filter_with(self, inward: Filter, now: float) -> None:
        """Put a filter into a splice that has none yet; what was read before is past it."""
        assert self._filter is None, "a splice has one filter"
        if self._is_over:
            inward.over(now)
            return
        self._filter = inward
        inward.begin(self, now)
        if not self._at_eof:
            self._want_read(wanted=inward.room_bytes > 0)

    def reset(self, now: float) -> None:
        """End both sides with a reset. When it is over that is nothing."""
        self._break("here", None, now)

    def close(self, now: float) -> None:
        """End both sides as programs that close do: what was written is sent, and then a FIN."""
        if not self._is_over:
            self._finish("here", None, now)

    @property
    def room_bytes(self) -> int:
        """Return how much the stack would take now."""
        return 0 if self._inward_done else send_buffer.room_bytes(self._tcp.connection)

    def put(self, data: bytes | memoryview, now: float) -> int:
        """Give bytes to the stack; return how many it had room for."""
        if self._is_over or self._inward_done:
            return len(data)
        return self._put(data, now)

    def end(self, now: float) -> None:
        """Send no more to the stack's peer: a FIN after what was put."""
        if self._is_over or self._inward_done:
            return
        connection = self._tcp.connection
        if connection.state is TcpState.SYN_SENT and (
            self._broken is None or connection.send_buffer
        ):
            self._ends_later = True  # CLOSE would give up the opening, and what was put with it
            return
        self._inward_done = True
        if self._broken is not None:
            self._reset_behind(now)
            return
        self._host.tcp.close(self._tcp, now)
        self._end_if_both(now)

    def read_on(self, now: float) -> None:
        """Read from the kernel again: its filter has room."""
        if not self._is_over and not self._at_eof:
            self._want_read(wanted=True)

    def _put(self, data: bytes | memoryview, now: float, *, is_urgent: bool = False) -> int:
        try:
            return self._host.tcp.write(self._tcp, memoryview(data), now, urgent=is_urgent)
        except BrokenPipeError:
            return len(data)  # it has just ended, and `_stack_moved` is to come

    # the kernel's side

    def _ready(self, events: int, now: float) -> None:
        wanted = self._watch.events
        if events & WRITE and wanted & WRITE:
            self._pour(now)
        if events & (READ | URGENT | ERROR | HANGUP) and wanted & READ:
            if not self._is_over:
                self._read(now, is_urgent=bool(events & URGENT) and self._filter is None)
        elif events & ERROR and not self._is_over:
            number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._kernel_broke(number, now)

    def _read(self, now: float, *, is_urgent: bool = False) -> None:
        """Read once; whether there is more the poller tells. `is_urgent`: something ahead is."""
        room = self._inward_room()
        if room:
            try:
                # What is read ends before an urgent byte, and begins with it at the next time.
                is_urgent = is_urgent and at_mark(self._sock)
                data = self._sock.recv(1 if is_urgent else min(room, self._chunk_bytes))
            except BlockingIOError:
                self._want_read(wanted=True)
                return
            except OSError as error:
                self._kernel_broke(error.errno or errno.EIO, now)
                if not self._is_over:
                    self._kernel_ended(now)
                return
            if not data:
                self._kernel_ended(now)
                return
            size = len(data)
            self.inward_bytes += size
            if size == self._chunk_bytes and size < _READ_BYTES:
                self._chunk_bytes = min(4 * size, _READ_BYTES)
            if self._filter is None:
                self._put(data, now, is_urgent=is_urgent)
            else:
                self._filter.take(data, now)
            if self._is_over:
                return
            room = self._inward_room()
        self._want_read(wanted=room > 0)

    def _inward_room(self) -> int:
        """Return how much may be read; at 0 somebody will tell when there is room again."""
        if self._filter is not None:
            return self._filter.room_bytes
        connection = self._tcp.connection
        # Below a quarter of its buffer it counts as full: else it would be filled in morsels.
        if send_buffer.writable(connection) and (room := send_buffer.room_bytes(connection)):
            return room
        connection.write_blocked = True
        return 0

    def _want_read(self, *, wanted: bool) -> None:
        events = self._watch.events
        self._watch.want(events | READ | URGENT if wanted else events & ~(READ | URGENT))

    def _kernel_ended(self, now: float) -> None:
        self._at_eof = True
        self._want_read(wanted=False)
        if self._filter is None:
            self.end(now)
        else:
            self._filter.end(now)

    # the stack's side

    def _signalled(self, signal: Signal) -> None:
        """Look at it later: when its pump is done, and all else that has come.

        So what comes in many segments is written to the kernel in one call, if it is not too much.
        """
        if self._told and signal is not Signal.READABLE:
            return
        if self._tcp.connection.receive_buffer.readable_bytes >= _POUR_AT_ONCE_BYTES:
            if not self._hurries:
                self._hurries = self._told = True
                scheduler = self._host.scheduler
                scheduler.post(scheduler.now, self._hurry, None)
        elif not self._told:
            self._told = True
            self._poller.driver.when_done(self._stack_moved)

    def _hurry(self, _nothing: None, now: float) -> None:
        self._hurries = False
        self._stack_moved(now)

    def _stack_moved(self, now: float) -> None:
        self._told = False
        if self._is_over:
            return
        if self._ends_later:
            self._ends_later = False
            self.end(now)
        if not self._held:
            self._pour(now)
        connection = self._tcp.connection
        if self._is_over:
            return
        if connection.state is TcpState.CLOSED:
            if connection.error is not None or self._broken is not None:
                self._break("stack", connection.error, now)
        elif self._broken is not None and self._inward_done:
            self._reset_behind(now)
        elif not self._inward_done and not connection.write_blocked:
            if self._filter is not None:
                self._filter.room(now)
            elif not self._at_eof and not self._watch.events & READ:
                self._read(now)

    def _pour(self, now: float) -> None:
        """Write to the kernel's socket what it takes of what has come."""
        if self._is_over or self._outward_done:
            return
        table, tcp, sock = self._host.tcp, self._tcp, self._sock
        while True:
            data = self._held
            if not data:
                size, self._held_urgent = _READ_BYTES, False
                if tcp.connection.tcb.rcv_up:
                    size, self._held_urgent = unread_before(tcp.connection, size)
                data = table.read(tcp, size, now)
            if not data:
                break
            if len(data) >= _POUR_AT_ONCE_BYTES:
                self._bound_window()
            try:
                size = sock.send(data, socket.MSG_OOB) if self._held_urgent else sock.send(data)
            except BlockingIOError:
                size = 0
            except OSError as error:
                self._kernel_broke(error.errno or errno.EIO, now)
                return
            self.outward_bytes += size
            if size < len(data):
                self._held = memoryview(data)[size:]
                self._watch.want(self._watch.events | WRITE)
                return
            self._held = b""
        self._watch.want(self._watch.events & ~WRITE)
        connection = tcp.connection
        if connection.at_eof and connection.error is None:
            self._outward_done = True
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError as error:
                self._kernel_broke(error.errno or errno.EIO, now)
                return
            self._end_if_both(now)

    def _bound_window(self) -> None:
        """Let the receive buffer grow to what the round trip needs at 4 Gbit/s, and no further.

        Where that takes no time it would grow to 8 MiB in a bulk transfer, and be full for as long
        as somebody does not read.
        """
        tcb, config = self._tcp.connection.tcb, self._tcp.connection.config
        needed_bytes = _LEAST_WINDOW_BYTES + int(_WINDOW_BYTES_PER_S * (tcb.rcv_rtt_s or 0.0))
        tcb.rcv_buf_max_bytes = min(config.receive_limit_bytes, needed_bytes)

    # ends

    def _end_if_both(self, now: float) -> None:
        if self._inward_done and self._outward_done:
            self._finish("both", None, now)

    def _kernel_broke(self, error: int, now: float) -> None:
        """Let a reset follow what was sent before; some of it may still have to be read."""
        if self._is_over or self._broken is not None:
            return
        self._broken = error
        self._outward_done = True
        self._held = b""
        self._watch.want(self._watch.events & ~WRITE)
        self._moved = self._tcp.connection.tcb.snd_una, now
        self._look = self._host.scheduler.call_at(now + _LOOK_S, self._look_again)
        if self._inward_done:
            self._reset_behind(now)

    def _reset_behind(self, now: float) -> None:
        """End both as soon as all has been sent that the kernel's side had sent."""
        connection = self._tcp.connection
        if _unsent_bytes(connection) <= 0 or connection.state is TcpState.CLOSED:
            self._break("kernel", self._broken, now)
        elif not connection.write_blocked:
            # Tell when nothing is left to be sent.
            connection.config = replace(connection.config, notsent_lowat_bytes=1)
            connection.write_blocked = True

    def _look_again(self, now: float) -> None:
        """End both where the reader has no room for the rest, which then would not be under way."""
        connection = self._tcp.connection
        tcb = connection.tcb
        is_open = connection.state is not TcpState.SYN_SENT
        is_stuck = is_open and (tcb.snd_wnd == 0 or tcb.snd_nxt == tcb.snd_una)
        if is_stuck and _unsent_bytes(connection) > 0:
            self._break("kernel", self._broken, now)
            return
        if tcb.snd_una != self._moved[0]:
            self._moved = tcb.snd_una, now
        elif now >= self._moved[1] + _STANDSTILL_S:
            self._break("kernel", self._broken, now)
            return
        self._look = self._host.scheduler.call_at(now + _LOOK_S, self._look_again)

    def _break(self, by: By, error: int | None, now: float) -> None:
        """End both with a reset."""
        if self._is_over:
            return
        if by == "stack" and self._broken is not None:
            by, error = "kernel", self._broken
        self._tcp.on_signal = None
        if self._tcp.connection.state is not TcpState.CLOSED:
            self._host.tcp.abort(self._tcp, now)
        reset_on_close(self._sock)
        self._finish(by, error, now)

    def _abandoned(self) -> None:
        """The world ends: what the stack has is gone already, or goes with it."""
        self.reset(self._host.scheduler.now)

    def _finish(self, by: By, error: int | None, now: float) -> None:
        self._is_over = True
        if self._look is not None:
            self._look.cancel()
        self._watch.close()
        self._sock.close()
        self._held = b""
        self._host.tcp.release(self._tcp, now)
        if self._filter is not None:
            self._filter.over(now)
        if self._on_end is not None:
            self._on_end(SpliceResult(self.inward_bytes, self.outward_bytes, by, error))


def reset_on_close(sock: socket.socket) -> None:
    """Have `close` send a reset (SO_LINGER)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _unsent_bytes(connection: Connection) -> int:
    return connection.send_buffer.end - max(connection.tcb.snd_nxt, connection.send_buffer.start)
