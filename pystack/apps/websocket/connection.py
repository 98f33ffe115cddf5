"""A WebSocket as a handler has it (RFC 6455): the server's end of one, over any Trio stream.

wsproto takes frames apart and makes them; this moves their bytes and decides when. What arrives is
handed on as it comes, in parts of messages, and never gathered: a message of any length takes the
memory of a part. One task receives; sending is for any task.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from enum import Enum
from math import inf
from typing import Final, NamedTuple, TypeAlias

import trio
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, Opcode, ParseFailed

from pystack.apps.ending import cut, linger
from pystack.apps.limits import WebSocketLimits
from pystack.apps.troubles import OF_A_PEER, own_fault
from pystack.apps.turns import current_turn
from pystack.apps.websocket.offers import Deflate
from pystack.apps.websocket.payloads import Payloads
from pystack.core.counters import Counters

RECEIVE_BYTES: Final = 64 * 1024
GATHER_BYTES: Final = 64 * 1024  # parts that came together are handed on together, up to this
GATHER_FRAMES: Final = 64  # and up to so many parts, or answers to pings
HOLD_BYTES: Final = 16 * 1024  # a part of a frame that is smaller waits for more of the frame
FEED_BYTES: Final = 16 * 1024  # at once to wsproto, which works on it for 0.1 ms
# Of what may become a thousand times as much, 0.25 MB
COMPRESSED_FEED_BYTES: Final = 256
BYTES_A_UNIT: Final = 8 * 1024  # of work, see `pystack.apps.turns`; a frame is one besides
DEFLATED_BYTES_A_UNIT: Final = 1024

SOON_S: Final = 1.0
BUSY_S: Final = 1.0  # a handler that has not listened for so long does not hear answers to pings
_GOODBYE_S: Final = 1.0  # for the last frame of a server that is told to end

_log: Final = logging.getLogger("pystack.apps.websocket")


class Part(NamedTuple):
    """Some of a message: text or bytes, whole or a fragment."""

    data: str | bytes
    is_last: bool = True


Talk: TypeAlias = Callable[["WebSocket"], Awaitable[None]]


class _Ending(Enum):
    NOT_YET = "it is open"
    GONE = "the peer ended TCP, or it broke"
    ASKED = "the peer has sent Close"
    REFUSED = "the peer broke a rule"
    SILENT = "the peer does not answer"
    DEAF = "the peer takes nothing"
    OURS = "our side ends it"


_COUNTED: Final = {
    _Ending.REFUSED: "websocket_refused",
    _Ending.SILENT: "websocket_silent",
    _Ending.DEAF: "websocket_deaf",
}


class WebSocket:
    """An open WebSocket."""

    __slots__ = (
        "_close",
        "_counters",
        "_ending",
        "_feed_bytes",
        "_frames",
        "_heard_at",
        "_is_frame_open",
        "_is_listening",
        "_is_torn",
        "_limits",
        "_listened_at",
        "_parts",
        "_payloads",
        "_pinged_at",
        "_pongs",
        "_proto",
        "_scope",
        "_sending",
        "_sending_since",
        "_stream",
        "_turn",
        "_unfed",
        "_unit_bytes",
    )

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        early: bytes,
        deflate: Deflate | None,
        limits: WebSocketLimits,
        counters: Counters | None = None,
    ) -> None:
        """`early`: what of the stream was read already; `counters`: are told why peers went."""
        self._stream = stream
        self._limits = limits
        self._counters = Counters() if counters is None else counters
        self._feed_bytes = FEED_BYTES if deflate is None else COMPRESSED_FEED_BYTES
        self._unit_bytes = BYTES_A_UNIT if deflate is None else DEFLATED_BYTES_A_UNIT
        self._payloads = Payloads(limits.message_bytes, deflate)
        self._proto = FrameProtocol(False, [self._payloads])
        self._frames: Iterator[Frame] = iter(())
        self._unfed = early
        self._parts: list[Part] = []  # received, not yet handed on
        self._is_frame_open = False  # of a data frame some has come and more is to come
        self._pongs: list[bytes] = []  # to be sent
        self._ending = _Ending.NOT_YET
        self._close: tuple[int, str] = (CloseReason.NORMAL_CLOSURE, "")  # what is sent at the end
        self._scope = trio.CancelScope()  # the handler's
        self._sending = trio.Lock()
        self._sending_since = inf  # inf: nothing is being sent
        self._is_torn = False  # a frame went out halfway
        self._is_listening = False  # it waits for the peer
        self._listened_at = self._heard_at = trio.current_time()
        self._pinged_at = inf  # inf: nothing is asked
        self._turn = current_turn()

    async def receive(self, until: float = inf) -> list[Part]:
        """Return the parts that have come, in their order; of a message that goes on also some.

        Nothing: the WebSocket has ended (`is_open`), or it is `until`, an instant of the world.
        Pings are answered and Close is seen in here.
        """
        size_bytes = 0
        while self._ending is _Ending.NOT_YET and size_bytes < GATHER_BYTES:
            if len(self._parts) >= GATHER_FRAMES:
                break
            if len(self._pongs) >= GATHER_FRAMES:
                await self.send()
            try:
                frame = next(self._frames, None)
            except ParseFailed as error:
                self._end(_Ending.REFUSED, error.code, self._payloads.problem or str(error))
                break
            if frame is not None:
                taken_bytes = self._take(frame)
                size_bytes += taken_bytes
                if self._turn.spend(1 + taken_bytes // self._unit_bytes):
                    await self._turn.wait()
            elif self._unfed:
                self._feed()
            elif self._has_parts() or not await self._read(until):
                break
        parts = self._parts
        self._parts = [parts.pop()] if self._holds_last() else []
        return parts

    async def send(self, *parts: Part) -> None:
        """Send all of them, at once; a checkpoint. After the end it does nothing.

        Parts of a message are sent one after the other, by one task, and are of one kind.
        """
        if self._ending is _Ending.GONE:
            await trio.lowlevel.checkpoint()
            return
        # To make a frame takes as long as to read one; that of a single one is reckoned with.
        more_frames = len(parts) + len(self._pongs) - 1
        if more_frames > 0 and self._turn.spend(more_frames):
            await self._turn.wait()
        try:
            self._sending.acquire_nowait()
        except trio.WouldBlock:
            await self._sending.acquire()
        try:
            await self._write(self._packed(parts))
        finally:
            self._sending.release()

    def close(self, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Have it end with this when the handler returns, which it should do now."""
        self._end(_Ending.OURS, code, reason)

    @property
    def is_open(self) -> bool:
        """Tell whether there may be more to receive."""
        return self._ending is _Ending.NOT_YET

    # receiving

    def _take(self, frame: Frame) -> int:
        """Take a frame, or a part of one; return the bytes that it adds to what is handed on."""
        opcode, payload, frame_finished, message_finished = frame
        if opcode is Opcode.PING:
            assert isinstance(payload, bytes)
            self._pongs.append(payload)
        elif opcode is Opcode.CLOSE:
            assert isinstance(payload, tuple)
            self._end(_Ending.ASKED, payload[0], "")
        elif opcode is not Opcode.PONG:
            assert not isinstance(payload, tuple)
            self._is_frame_open = not frame_finished
            self._add(Part(payload, frame_finished and message_finished))
            return len(payload)
        return 0

    def _add(self, part: Part) -> None:
        """Join it to what came with it of the same message: less frames go out than came in."""
        data, is_last = part
        if not data and not is_last:
            return
        before = self._parts[-1] if self._parts else None
        if before is not None and not before.is_last:
            # They are of one kind: a message is text, or it is bytes.
            data = before.data + data  # type: ignore[operator]
            self._parts.pop()
        self._parts.append(Part(data, is_last))

    def _has_parts(self) -> bool:
        return len(self._parts) > self._holds_last()

    def _holds_last(self) -> bool:
        """Whether the last part is a little of a frame: where segments end makes no fragments."""
        parts = self._parts
        return self._is_frame_open and bool(parts) and len(parts[-1].data) < HOLD_BYTES

    def _feed(self) -> None:
        size = self._feed_bytes
        if len(self._unfed) <= size:
            piece, self._unfed = self._unfed, b""
        else:
            piece, self._unfed = self._unfed[:size], self._unfed[size:]
        self._proto.receive_bytes(piece)
        self._frames = self._proto.received_frames()

    async def _read(self, until: float) -> bool:
        """Receive more; False: the peer has ended, or it is `until`."""
        if self._pongs:
            await self.send()
        self._turn.renew()
        self._is_listening = True
        try:
            if until == inf:
                data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
            else:
                with trio.CancelScope(deadline=until) as scope:
                    data = bytes(await self._stream.receive_some(RECEIVE_BYTES))
                if scope.cancelled_caught:
                    return False
        finally:
            self._is_listening = False
            self._listened_at = trio.current_time()
        self._heard_at = self._listened_at
        self._pinged_at = inf
        if not data:
            self._end(_Ending.GONE)
            return False
        self._unfed = data
        return True

    # sending

    def _packed(self, parts: tuple[Part, ...]) -> bytes:
        proto = self._proto
        frames = [proto.pong(payload) for payload in self._pongs]
        self._pongs.clear()
        frames.extend(proto.send_data(data, is_last) for data, is_last in parts)
        return bytes(frames[0]) if len(frames) == 1 else b"".join(frames)

    async def _write(self, data: bytes) -> None:
        """Send; with the lock. What fails halfway leaves half a frame, after which nothing goes."""
        if self._is_torn or not data:
            await trio.lowlevel.checkpoint()
            return
        self._sending_since = trio.current_time()
        self._is_torn = True
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end(_Ending.GONE)
            raise
        self._is_torn = False
        self._sending_since = inf

    # the whole of it

    async def run(self, talk: Talk) -> None:
        """Have a handler talk, then end as RFC 6455 section 7 wants. The caller closes the stream.

        Whatever befell is told to the peer by a close code, and to nobody else; a handler's own
        mistake goes into the log.
        """
        is_over = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                with self._scope:
                    await self._converse(talk)
                nursery.cancel_scope.cancel()
            is_over = True
        finally:
            if not is_over:
                await self._say_goodbye()
        self._end(_Ending.OURS)
        self._count()
        try:
            await self._finish()
        except OF_A_PEER as error:
            _log.debug("the peer went away: %r", error)

    async def _converse(self, talk: Talk) -> None:
        try:
            await talk(self)
        except Exception as error:
            fault = own_fault(error)
            if fault is None:
                self._end(_Ending.GONE)
                return
            _log.error("a handler of a WebSocket failed", exc_info=fault)
            self._end(_Ending.REFUSED, CloseReason.INTERNAL_ERROR, "the server's program failed")

    def _count(self) -> None:
        name = _COUNTED.get(self._ending)
        if name is not None:
            is_too_big = self._close[0] == CloseReason.MESSAGE_TOO_BIG
            self._counters.add("websocket_too_big" if is_too_big else name)

    def _end(self, how: _Ending, code: int = CloseReason.NORMAL_CLOSURE, reason: str = "") -> None:
        """Note how it ends; the first to say so is right, but for a peer that has gone."""
        if self._ending is _Ending.NOT_YET:
            self._ending = how
            self._close = code, reason
        elif how is _Ending.GONE:
            self._ending = how

    async def _watch(self) -> None:
        """Ask a silent peer whether it is there, and give one up that isn't, or takes nothing."""
        limits = self._limits
        while True:
            asked = self._pinged_at != inf
            quiet_at = self._pinged_at + limits.pong_s if asked else self._heard_at + limits.ping_s
            deaf_at = self._sending_since + limits.send_s
            # While something is being sent no question can be asked: soon, then.
            soonest_at = trio.current_time() + (SOON_S if deaf_at != inf else 0.0)
            await trio.sleep_until(min(deaf_at, max(quiet_at, soonest_at)))
            now = trio.current_time()
            if now >= self._sending_since + limits.send_s:
                self._give_up(_Ending.DEAF)
                return
            if self._sending_since != inf:
                continue
            is_busy = not self._is_listening and now - self._listened_at > BUSY_S
            if is_busy:  # then it is not the peer that is silent
                self._heard_at, self._pinged_at = now, inf
            elif now >= self._pinged_at + limits.pong_s:
                self._give_up(_Ending.SILENT, CloseReason.POLICY_VIOLATION, "no answer to a ping")
                return
            elif self._pinged_at == inf and now >= self._heard_at + limits.ping_s:
                self._pinged_at = now
                if not await self._ask(now):
                    self._give_up(_Ending.DEAF)
                    return

    async def _ask(self, now: float) -> bool:
        """Send a ping; False: not even that could be sent."""
        with trio.move_on_after(self._limits.send_s) as scope:
            try:
                async with self._sending:
                    await self._write(self._packed(()) + self._proto.ping(b"%d" % now))
            except OF_A_PEER as error:
                _log.debug("the peer went away: %r", error)
        return not scope.cancelled_caught

    def _give_up(self, how: _Ending, code: int = CloseReason.NORMAL_CLOSURE, why: str = "") -> None:
        self._end(how, code, why)
        self._scope.cancel()

    async def _finish(self) -> None:
        """Close: with the handshake of section 7.1.2, or without where the peer isn't up to it."""
        stream, limits = self._stream, self._limits
        if self._ending is _Ending.GONE:
            return
        is_over = False
        if not self._is_torn and self._ending is not _Ending.DEAF:
            with trio.move_on_after(limits.close_s):
                await self._write(self._packed(()) + self._proto.close(*self._close))
                is_over = self._ending is not _Ending.OURS or await self._sees_close()
        # The server ends TCP first, section 7.1.1.
        if is_over:
            await linger(stream, timeout_s=limits.close_s, max_bytes=limits.close_bytes)
        else:
            await cut(stream)

    async def _sees_close(self) -> bool:
        """Read on until the peer says Close too; False: it says something else, or too much."""
        left_bytes = self._limits.close_bytes
        while left_bytes > 0:
            if self._turn.spend(1):
                await self._turn.wait()
            try:
                frame = next(self._frames, None)
            except ParseFailed:
                return True  # it is a peer that sends all the same: there is Close for it to read
            if frame is not None:
                if frame.opcode is Opcode.CLOSE:
                    return True
            elif self._unfed:
                left_bytes -= len(self._unfed)
                self._feed()
            else:
                self._turn.renew()
                self._unfed = bytes(await self._stream.receive_some(RECEIVE_BYTES))
                if not self._unfed:
                    return True
        return False

    async def _say_goodbye(self) -> None:
        """Tell the peer, as far as that is possible at once, that the server ends."""
        self._end(_Ending.OURS, CloseReason.GOING_AWAY)
        if self._is_torn or self._ending is not _Ending.OURS:
            return
        with trio.move_on_after(_GOODBYE_S, shield=True):
            try:
                await self._write(self._packed(()) + self._proto.close(*self._close))
            except OF_A_PEER as error:
                _log.debug("the peer went away: %r", error)
