"""One connection of an ASGI application, by hypercorn's protocol code, with bounds of our own.

hypercorn reads and sends without time-outs, lets what it can't parse be somebody else's traceback,
and waits for ever to hand a body to an application that has gone; here it doesn't.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, Final, NamedTuple

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, ConnectionState, Scope

from pystack.apps.asgi.gate import check, refuse
from pystack.apps.ending import cut, linger
from pystack.apps.http.http2_frames import DATA, HEADERS, FloodError, Frames
from pystack.apps.http.messages import HttpError
from pystack.apps.limits import DEFAULT_LIMITS as LIMITS
from pystack.apps.limits import Patience
from pystack.apps.troubles import OF_A_PEER, PeerError, own_fault
from pystack.apps.turns import current_turn
from pystack.core.counters import Counters

RECEIVE_BYTES: Final = 16 * 1024
# At once, of frames: hundreds may be in it, and wsproto may make a thousand times as much of it.
PIECE_BYTES: Final = 2 * 1024
BYTES_A_UNIT: Final = 8 * 1024
# Applications of one connection at once. HTTP/2 bounds its streams, but not those that a client
# has reset, whose applications still run (CVE-2023-44487).
MAX_RUNNING: Final = 100
FRAME_UNITS: Final = 2  # of HTTP/2, for what is neither headers nor a part of a body
DATA_UNITS: Final = 4
READ_UNITS: Final = 8  # what the protocol does with a read; the application has its own task

_UNITS: Final = {HEADERS: READ_UNITS, DATA: DATA_UNITS}
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ANSWERS: Final = (bytes((DATA,)), bytes((HEADERS,)))
_LAST: Final = frozenset({"http.disconnect", "websocket.disconnect"})
# What h11 says of the state that it is in, and not of what it shall send.
_STATE: Final = re.compile("state|pending proposal")
_log: Final = logging.getLogger("pystack.apps.asgi")


class Ends(NamedTuple):
    """Who talks to whom, and in which protocol."""

    client: tuple[str, int] | None
    server: tuple[str, int] | None
    is_tls: bool
    alpn: str | None = None


class AsgiConnection(TCPServer):
    """hypercorn's server of a connection, whose every wait has an end."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        state: ConnectionState,
        stream: trio.abc.HalfCloseableStream,
        ends: Ends,
        counters: Counters,
    ) -> None:
        super().__init__(app, config, context, state, stream)  # type: ignore[arg-type]
        self._stream = stream
        self._ends = ends
        self._counters = counters
        self._turn = current_turn()
        self._reading = trio.CancelScope()
        self._has_begun = False
        self._frames: Frames | None = None  # None: it is HTTP/1
        self._tasks = _Tasks(counters, self._give_up)
        self._patience = _patience()  # for the rest of a request's body
        self._may_read = True
        self._is_over = False  # the protocol has said so
        self._is_broken = False  # nothing more can be sent

    async def run(self) -> None:
        """Serve the connection to its end."""
        ends = self._ends
        try:
            async with self._tasks as tasks:
                self._task_group = tasks
                self.protocol = ProtocolWrapper(
                    self.app,
                    self.config,
                    self.context,
                    tasks,
                    ConnectionState(self.state),
                    ends.is_tls,
                    ends.client,
                    ends.server,
                    self.protocol_send,
                    ends.alpn or "http/1.1",
                )
                await self.protocol.initiate()
                await self.idle_task.restart(tasks, self._idle_timeout)
                with self._reading:
                    await self._read_data()
                self._may_read = False
                await self.idle_task.stop()
                if self._is_over and not self._is_broken:
                    await self._see_it_out()
                await self._tell_closed()
                await self._tasks.all_ended()
                self._tasks.cancel()  # pings that nobody would hear
        finally:
            if self._is_broken:
                await cut(self._stream)

    async def protocol_send(self, event: Event) -> None:
        """Do what the protocol wants done."""
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            self._is_over = True
            self._reading.cancel()
            await self._tell_closed()
        elif isinstance(event, Updated):
            if event.idle and self._may_read:
                await self.idle_task.restart(self._task_group, self._idle_timeout)
            else:
                self._patience = _patience()
                await self.idle_task.stop()

    def _give_up(self) -> None:
        """Cut it off: no answer can be made any more."""
        self._is_broken = True
        self._reading.cancel()

    async def _see_it_out(self) -> None:
        """End our side; a client that still sends sees what it was answered."""
        with suppress(*OF_A_PEER):
            await linger(self._stream, timeout_s=LIMITS.linger_s, max_bytes=LIMITS.linger_bytes)

    # reading

    async def _read_data(self) -> None:
        while True:
            self._turn.renew()
            began_at = trio.current_time()
            timeout_s = self._timeout_s(began_at)
            data = b""
            with trio.move_on_after(timeout_s) as scope, suppress(*OF_A_PEER):
                data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
            if scope.cancelled_caught:
                if self._awaits_body():
                    self._counters.add("asgi_slow_bodies")
                    self._is_broken = True
                return
            if self._awaits_body():
                self._patience.received(len(data), trio.current_time() - began_at)
            if not await self._take_in_turns(data):
                return

    async def _take_in_turns(self, data: bytes) -> bool:
        """Hand all of it to the protocol; False: there is no more to come."""
        is_cut_anyway = self._h11() is not None or self._frames is not None
        size = RECEIVE_BYTES if is_cut_anyway else PIECE_BYTES
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            if self._turn.spend(READ_UNITS + len(piece) // BYTES_A_UNIT):
                await self._turn.wait()
            if not await self._take(piece):
                return False
        if not data:
            await self._take(data)
        return bool(data)

    def _timeout_s(self, now: float) -> float:
        """Return for how long the client may say nothing: as long as it likes, if it is answered.

        hypercorn bounds the wait for a request too, but forgets it in some states: after a
        handshake that it has refused, or when HTTP/2 begins and there are no streams.
        """
        if self._awaits_body():
            return self._patience.left_s
        tasks = self._tasks
        idle_s = self.config.keep_alive_timeout
        return inf if tasks.running else max(tasks.quiet_since + idle_s - now, 0.0)

    def _awaits_body(self) -> bool:
        connection = self._h11()
        return connection is not None and connection.their_state is h11.SEND_BODY

    def _h11(self) -> h11.Connection | None:
        """Return the state of HTTP/1; None: it is a WebSocket, or HTTP/2."""
        protocol = self.protocol.protocol
        if not isinstance(protocol, H11Protocol):
            return None
        return protocol.connection if isinstance(protocol.connection, h11.Connection) else None

    async def _take(self, data: bytes) -> bool:
        """Hand it to the protocol; False: it can make nothing of that."""
        if not self._has_begun:
            self._has_begun = True
            self._choose_protocol(data)
        try:
            if self._frames is None or not data:
                await self.protocol.handle(RawData(data))
            else:
                await self._take_frames(self._frames, data)
        except FloodError as error:
            self._counters.add(error.counter)
            _log.debug("a flood: %s", error)
            self._is_broken = True
            return False
        except Exception as error:
            if own_fault(error) is not None:
                # Only what the peer has sent is looked at here; the application has its own task.
                self._counters.add("asgi_protocol_errors")
                _log.debug("what a client sent is not understood: %r", error)
                self._is_broken = True
            return False
        return True

    def _choose_protocol(self, first: bytes) -> None:
        """Speak HTTP/2 from the first byte, or never: its frames are to be looked at."""
        if self._ends.alpn == "h2" or first.startswith(_PREFACE):
            self._frames = Frames(LIMITS)
        elif isinstance(self.protocol.protocol, H11Protocol):
            setattr(self.protocol.protocol, "_check_protocol", _stay)  # noqa: B010

    async def _take_frames(self, frames: Frames, data: bytes) -> None:
        """Hand HTTP/2 on frame by frame: there may be a thousand in 16 KiB."""
        frames.add(data)
        while (frame := frames.next()) is not None:
            kind, raw = frame
            if self._turn.spend(_UNITS.get(kind, FRAME_UNITS)):
                await self._turn.wait()
            await self.protocol.handle(RawData(raw))

    # sending and ending

    async def _send(self, data: bytes) -> None:
        """Send it; ConnectionResetError, as ASGI has it, where the client takes nothing more."""
        async with self.send_lock:
            # By the type of the first frame; answers to PING and SETTINGS are no progress
            if self._frames is not None and data[3:4] in _ANSWERS:
                self._frames.made_progress()
            if not self._is_broken:
                timeout_s = LIMITS.sending_s(len(data))
                with trio.move_on_after(timeout_s) as scope, suppress(*OF_A_PEER):
                    self._is_broken = True
                    await self._stream.send_all(data)
                    self._is_broken = False
                if scope.cancelled_caught:
                    self._counters.add("asgi_deaf_clients")
        if self._is_broken:
            self._give_up()
            raise ConnectionResetError("the client has gone")

    async def _tell_closed(self) -> None:
        with suppress(*OF_A_PEER):
            await self.protocol.handle(Closed())

    async def _initiate_server_close(self) -> None:
        """End a connection that is idle."""
        await self._tell_closed()
        self._reading.cancel()


def _patience() -> Patience:
    return Patience(LIMITS.body_s, LIMITS.least_rate_bps)


class _Tasks(TaskGroup):
    """hypercorn's, whose applications need not read what is sent to them."""

    def __init__(self, counters: Counters, give_up: Callable[[], None]) -> None:
        super().__init__()
        self._counters = counters
        self._give_up = give_up
        self.is_over = False  # nothing goes any more
        self.running = 0  # applications
        self._one_ended = trio.lowlevel.ParkingLot()
        self.quiet_since = trio.current_time()  # that instant none has been running

    async def all_ended(self) -> None:
        """Wait until no application runs."""
        while self.running:
            await self._one_ended.park()

    def cancel(self) -> None:
        """End what hypercorn has started beside them."""
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()

    async def spawn_app(
        self,
        app: AppWrapper,
        config: Config,
        scope: Scope,
        send: Callable[[Any], Awaitable[None]],
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Run an application; return what hands messages to it."""
        put, take = trio.open_memory_channel[ASGIReceiveEvent](config.max_app_queue_size)

        async def put_if_taken(message: ASGIReceiveEvent) -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                if message["type"] not in _LAST:
                    await put.send(message)
                    return
                try:
                    put.send_nowait(message)
                except trio.WouldBlock:
                    put.close()  # it ends after what the application has not read

        while self.running >= MAX_RUNNING:
            await self._one_ended.park()
        self.running += 1
        self.spawn(self._run, app, scope, take, send)
        return put_if_taken

    async def _run(
        self,
        app: AppWrapper,
        scope: Scope,
        take: trio.MemoryReceiveChannel[ASGIReceiveEvent],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        try:
            with take:
                await self._answer(app, scope, take.receive, send)
            if not self.is_over:
                await self._finish(send)
        finally:
            self.running -= 1
            self._one_ended.unpark_all()
            self.quiet_since = trio.current_time()

    async def _answer(
        self,
        app: AppWrapper,
        scope: Scope,
        receive: Callable[[], Awaitable[ASGIReceiveEvent]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        sending = partial(self._send, send) if scope["type"] == "websocket" else send
        try:
            try:
                check(scope)
            except HttpError as error:
                self._counters.add("asgi_requests_refused")
                await refuse(error, scope, send)
                return
            try:
                await app(scope, receive, sending, trio.to_thread.run_sync, trio.from_thread.run)
            except SystemExit as error:  # one request is no reason to end the server
                raise RuntimeError(f"the application wants to exit: {error}") from error
        except Exception as error:
            fault = own_fault(error)
            if fault is not None:
                _log.error("the application failed", exc_info=fault)

    async def _finish(self, send: Callable[[Any], Awaitable[None]]) -> None:
        """Say that the application has ended."""
        try:
            await send(None)
        except Exception as error:
            if own_fault(error) is not None:
                # The client has brought hypercorn into a state in which it can't even say so.
                self._counters.add("asgi_protocol_errors")
                _log.debug("an answer cannot be ended: %r", error)
                self._give_up()

    async def _send(self, send: Callable[[Any], Awaitable[None]], message: ASGISendEvent) -> None:
        """Send; what hypercorn only finds wrong with a handshake now is no fault of who accepts."""
        try:
            await send(message)
        except (ValueError, h11.LocalProtocolError) as error:
            is_accept = message["type"] == "websocket.accept"
            if not (is_accept if isinstance(error, ValueError) else _STATE.search(str(error))):
                raise
            self._counters.add("asgi_protocol_errors")
            self.is_over = True
            self._give_up()
            raise PeerError(f"no handshake of a WebSocket: {error}") from None


async def _stay(_request: h11.Request) -> None:
    """Speak HTTP/1 on: who upgrades to h2c is answered, as RFC 9113 section 3.1 lets us."""
