"""HTTP/2 (RFC 9113) over any Trio stream: one call serves one connection.

h2 keeps the protocol's state. `http2_frames` says what a flood is, `http2_stream` answers one
request; this module reads, sends in turns what the streams have, and ends the connection.

All is sent by one task, which goes round the streams: what is on the wire does not depend on the
order in which Trio runs tasks.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Final

import h2.events as events
import trio
from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import DenialOfServiceError, ProtocolError
from h2.settings import SettingCodes, Settings

from pystack.apps.ending import cut, end_orderly, linger
from pystack.apps.http.exchange import REQUEST_UNITS, WRITE_BYTES, Heads
from pystack.apps.http.http2_frames import DATA, HEADERS, MAX_FRAME_BYTES, FloodError, Frames
from pystack.apps.http.http2_stream import Exchange
from pystack.apps.http.messages import Handler
from pystack.apps.limits import DEFAULT_LIMITS, Limits
from pystack.apps.turns import BULK_BYTES_A_UNIT, begin_turn
from pystack.apps.world import utc_now as world_utc_now
from pystack.core.counters import Counters

if TYPE_CHECKING:
    from hyperframe.frame import Frame

MAX_STREAMS: Final = 100  # at once, those included that were reset and whose handlers still run
STREAM_WINDOW_BYTES: Final = 512 * 1024  # of a request's body, not read by its handler yet
CONNECTION_WINDOW_BYTES: Final = 1 << 20  # of all together
RECEIVE_BYTES: Final = 64 * 1024
MAX_CONTROL_BYTES: Final = 64 * 1024  # not taken by the client; then nothing is read from it
TABLE_BYTES: Final = 4096  # for compressing our headers, whatever more the client offers
ENTRY_BYTES: Final = 32  # what HPACK counts for each field, RFC 7541 section 4.1
MAX_EARLY_RESETS: Final = 100  # by the client, and more than half of its requests
GOODBYE_S: Final = 1.0
FRAME_UNITS: Final = 2  # of work, see `pystack.apps.turns`
DATA_UNITS: Final = 4

_log: Final = logging.getLogger("pystack.apps.http")


async def serve_connection(
    stream: trio.abc.HalfCloseableStream,
    handler: Handler,
    *,
    limits: Limits = DEFAULT_LIMITS,
    utc_now: Callable[[], float] = world_utc_now,
    counters: Counters | None = None,
) -> None:
    """Answer the requests that arrive on `stream` until either side has had enough; close it.

    As `pystack.apps.http.server.serve_connection`. Cancelled, it still says GOAWAY.
    """
    known = Counters() if counters is None else counters
    await Connection(stream, handler, limits, utc_now, known).run()


class Connection:
    """One connection, and the requests that are under way on it."""

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        handler: Handler,
        limits: Limits,
        utc_now: Callable[[], float],
        counters: Counters,
    ) -> None:
        self.stream: Final = stream
        self.handler: Final = handler
        self.limits: Final = limits
        self.utc_now: Final = utc_now
        self.heads: Final = Heads(utc_now)
        self.h2: Final = _make_h2(limits)
        self._counters = counters
        self._frames = Frames(limits)
        self._exchanges: dict[int, Exchange] = {}
        self._left = trio.Event()  # one of them has
        self._queue: deque[Exchange] = deque()  # those that have something to send
        self._control = bytearray()  # for the client, before what they have
        self._work = trio.Event()  # for the sender
        self._is_sent = trio.Event()  # all of `_control`
        self._is_writing = False
        self.is_cut = False  # an answer was under way when all of it was cancelled
        self._broken = False  # the peer has gone, or was cut
        self._reading = trio.CancelScope()
        # With what is to come in one piece; None: with nothing
        self._busy_since: float | None = trio.current_time()
        self._idle_since = trio.current_time()
        self._requests = 0
        self._early_resets = 0
        self._turn = begin_turn(stream)

    async def run(self) -> None:
        """Serve until the end."""
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - 65535)
        may_be_sending = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, nursery.cancel_scope)
                may_be_sending = await self._read(nursery)
                await self._finish_sending()
                nursery.cancel_scope.cancel()
        except BaseException:
            await self._say_goodbye()
            raise
        if self._broken:
            await cut(self.stream)
            return
        try:
            limits = self.limits
            if may_be_sending:
                await linger(self.stream, timeout_s=limits.linger_s, max_bytes=limits.linger_bytes)
            with trio.move_on_after(limits.send_s):
                await self.stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _log.debug("the client went away: %r", error)
            await cut(self.stream)

    # reading

    async def _read(self, nursery: trio.Nursery) -> bool:
        """Take what comes; True: it has ended while the client may be sending."""
        try:
            with self._reading:
                await self._take_frames(nursery)
            if not self._reading.cancelled_caught:
                return False
            _log.debug("time-out")
            late = self._frames.is_in_block or bool(self._exchanges)
            self._end(ErrorCodes.ENHANCE_YOUR_CALM if late else ErrorCodes.NO_ERROR)
        except FloodError as error:
            _log.debug("a flood: %s", error)
            self._counters.add(error.counter)
            self._end(ErrorCodes.ENHANCE_YOUR_CALM)
        except ProtocolError as error:
            _log.debug("the client broke the protocol: %s", error)
            is_bomb = isinstance(error, DenialOfServiceError)
            self._counters.add("http2_header_blocks_refused" if is_bomb else "http2_errors")
            if self.h2.state_machine.state is not ConnectionState.CLOSED:
                self._end(error.error_code)
            self.kick()  # h2 may have said so itself
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _log.debug("the client went away: %r", error)
            self._broken = True
        return True

    async def _take_frames(self, nursery: trio.Nursery) -> None:
        """Return when the client has ended its side."""
        frames, turn = self._frames, self._turn
        while True:
            self._set_deadline()
            data = await self.stream.receive_some(RECEIVE_BYTES)
            if not data:
                return
            turn.renew()
            frames.add(bytes(data))
            while (frame := frames.next()) is not None:
                kind, raw = frame
                units = {HEADERS: REQUEST_UNITS, DATA: DATA_UNITS}.get(kind, FRAME_UNITS)
                if turn.spend(units):
                    await turn.wait()
                if frames.is_farewell(raw):
                    # h2 would send nothing more; but what it has asked for, the client still wants.
                    if not self._exchanges:
                        return
                    continue
                for event in self.h2.receive_data(raw):
                    if isinstance(event, events.RequestReceived):
                        await self._start(event, nursery)
                    elif isinstance(event, events.ConnectionTerminated):
                        return
                    else:
                        self._take(event)
            self.kick()
            if self._queue:
                self._work.set()  # perhaps there is room for what they have now
            while len(self._control) > MAX_CONTROL_BYTES:
                await self._is_sent.wait()

    async def _start(self, event: events.RequestReceived, nursery: trio.Nursery) -> None:
        while len(self._exchanges) >= MAX_STREAMS:
            await self._left.wait()
        assert event.stream_id is not None
        assert event.headers is not None
        self._reading.deadline = inf
        self._requests += 1
        exchange = Exchange(self, event.stream_id, event.headers, self._requests)
        if event.stream_ended is not None:  # it is known before the handler is asked
            exchange.take_end()
        self._exchanges[event.stream_id] = exchange
        nursery.start_soon(exchange.serve)
        # A round of Trio's loop for each, so that handlers begin in the order of their requests.
        await trio.lowlevel.checkpoint()

    def _take(self, event: events.Event) -> None:
        # None: it has gone, or the event is of the whole connection
        exchange = self._exchanges.get(getattr(event, "stream_id", 0))
        match event:
            case events.DataReceived():
                size = event.flow_controlled_length or 0
                if exchange is None:
                    self.acknowledge(event.stream_id or 0, size)
                else:
                    exchange.take_data(bytes(event.data or b""), size)
            case events.StreamEnded() if exchange is not None:
                exchange.take_end()
            case events.StreamReset() if exchange is not None:
                exchange.take_reset()
                self._count_reset()
            case events.RemoteSettingsChanged():
                # Our own headers would fill whatever table a client offers.
                if self.h2.encoder.header_table_size > TABLE_BYTES:
                    self.h2.encoder.header_table_size = TABLE_BYTES
            case _:
                pass

    def _count_reset(self) -> None:
        """Count a request that was taken back before it was answered (CVE-2023-44487)."""
        self._early_resets += 1
        if self._early_resets > max(MAX_EARLY_RESETS, self._requests // 2):
            raise FloodError("http2_rapid_resets", "requests that are taken back at once")

    def _set_deadline(self) -> None:
        """Say how long what comes next is waited for."""
        if self._frames.is_in_block:
            if self._busy_since is None:
                self._busy_since = trio.current_time()
            self._reading.deadline = self._busy_since + self.limits.header_s
            return
        self._busy_since = None
        self._reading.deadline = inf if self._exchanges else self._idle_since + self.limits.idle_s

    # what the streams need

    def leave(self, exchange: Exchange) -> None:
        """Forget a request that is done with."""
        del self._exchanges[exchange.number]
        with suppress(ValueError):
            self._queue.remove(exchange)
        self._left.set()
        self._left = trio.Event()
        if not self._exchanges:
            self._idle_since = trio.current_time()
            self._set_deadline()

    def acknowledge(self, number: int, size_bytes: int) -> None:
        """Let the client send so much more."""
        if size_bytes:
            with suppress(ProtocolError):  # the stream, or all of it, has ended meanwhile
                self.h2.acknowledge_received_data(size_bytes, number)
            self.kick()

    def enqueue(self, exchange: Exchange) -> None:
        """Have sent what it has, in its turn."""
        if exchange not in self._queue:
            self._queue.append(exchange)
        self._work.set()

    def kick(self) -> None:
        """Have sent what h2 has for the client."""
        self._control += self.h2.data_to_send()
        if self._control:
            self._work.set()

    # sending

    async def _send(self, scope: trio.CancelScope) -> None:
        turn = begin_turn(self.stream)
        try:
            while True:
                turn.renew()
                self._control += self.h2.data_to_send()
                exchange = self._next_to_send()
                if exchange is not None:
                    self._take_part(exchange)
                    if turn.spend(len(self._control) // BULK_BYTES_A_UNIT):
                        await turn.wait()
                if not self._control:
                    await self._work.wait()
                    self._work = trio.Event()
                    continue
                data, self._control = self._control, bytearray()
                await self._write(data)
                if not self._control:
                    self._is_sent.set()
                    self._is_sent = trio.Event()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            _log.debug("the client went away: %r", error)
            self._broken = True
            scope.cancel()

    def _take_part(self, exchange: Exchange) -> None:
        """Put some of what a stream has behind what goes before it."""
        try:
            frames = exchange.take_frames(WRITE_BYTES)
        except ProtocolError:  # the stream, or all of it, has ended meanwhile
            exchange.take_reset()
            return
        self._control += b"".join(frames)
        self._control += self.h2.data_to_send()
        self._frames.made_progress()

    async def _write(self, data: bytearray) -> None:
        self._is_writing = True
        with trio.fail_after(self.limits.sending_s(len(data))):
            await self.stream.send_all(data)
        self._is_writing = False

    def _next_to_send(self) -> Exchange | None:
        """Return the next that may send, and put it, or those that may not, behind the others."""
        queue = self._queue
        for _ in range(len(queue)):
            exchange = queue.popleft()
            if not exchange.has_more:
                continue
            queue.append(exchange)
            with suppress(ProtocolError):
                if exchange.may_send:
                    return exchange
        return None

    # the end

    def _end(self, code: ErrorCodes) -> None:
        with suppress(ProtocolError):
            self.h2.close_connection(code)
        self.kick()

    async def _finish_sending(self) -> None:
        """Get out what is said last, if the client takes it."""
        if self._broken:
            return
        with trio.move_on_after(GOODBYE_S):
            while self._control or self._is_writing:
                self._work.set()
                await self._is_sent.wait()

    async def _say_goodbye(self) -> None:
        """Say GOAWAY while being cancelled; what was under way is cut."""
        if self._broken or self._is_writing:
            return
        with (
            trio.move_on_after(GOODBYE_S, shield=True),
            suppress(trio.BrokenResourceError, trio.ClosedResourceError, ProtocolError),
        ):
            self.h2.close_connection()
            await self.stream.send_all(bytes(self._control) + self.h2.data_to_send())
        if not self.is_cut:
            await end_orderly(self.stream)


class _H2(H2Connection):
    """h2, which remembers fewer of the streams that have ended: it would be 65,536."""

    MAX_CLOSED_STREAMS = 1000

    def _receive_frame(self, frame: Frame) -> list[events.Event]:
        # h2 has the whole body written in hexadecimal for a log that nobody keeps: a third of what
        # a frame of 16 KiB costs.
        frame.serialize_body = bytes  # type: ignore[method-assign]
        return super()._receive_frame(frame)


def _make_h2(limits: Limits) -> H2Connection:
    connection = _H2(H2Configuration(client_side=False, header_encoding=None))
    head_bytes = limits.header_bytes + ENTRY_BYTES * limits.header_lines
    connection.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW_BYTES,
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_BYTES,
            SettingCodes.MAX_HEADER_LIST_SIZE: head_bytes,
        },
    )
    connection.decoder.max_header_list_size = head_bytes
    return connection
