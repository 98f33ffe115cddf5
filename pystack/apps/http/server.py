"""HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112) over any Trio stream: one call serves one connection.

h11 keeps the protocol's state; this module moves its bytes, and adds what h11 leaves open: limits,
time-outs, 100-continue, unread bodies, and closing so that a refused client still sees why.

One cancel scope spans the connection, and its deadline moves with the phase. A scope for each read
and write would cost 9 us each; moving a deadline costs 2.
"""

import logging
from collections.abc import AsyncIterable, Callable
from enum import Enum
from math import inf
from typing import Final, cast

import h11
import trio

from pystack.apps.ending import cut, end_orderly, linger
from pystack.apps.http.exchange import (
    BODILESS,
    BYTES_A_UNIT,
    DRAIN_BYTES,
    FAILED,
    LATE,
    REQUEST_UNITS,
    WRITE_BYTES,
    Heads,
    check_expectation,
    check_framing,
    check_host,
    check_method,
    declared_length,
    read_fields,
    too_long,
)
from pystack.apps.http.feed import Feed
from pystack.apps.http.messages import (
    REASONS,
    Body,
    BodyError,
    Handler,
    HttpError,
    Part,
    Parts,
    Request,
    Response,
    Takeover,
    close_body,
)
from pystack.apps.http.target import split_target
from pystack.apps.limits import DEFAULT_LIMITS, SEND_BYTES, Limits, Patience
from pystack.apps.troubles import OF_A_PEER
from pystack.apps.turns import BULK_BYTES_A_UNIT, begin_turn
from pystack.apps.world import utc_now as world_utc_now
from pystack.core.counters import Counters

RECEIVE_BYTES: Final = 64 * 1024
JOIN_BYTES: Final = 64 * 1024  # a body up to this size goes out together with its head

GATHER_BYTES: Final = 4096
TLS_HANDSHAKE: Final = b"\x16\x03"  # how it begins, RFC 8446 section 5.1

_CLOSE: Final = (b"Connection", b"close")
_log: Final = logging.getLogger("pystack.apps.http")


async def serve_connection(
    stream: trio.abc.HalfCloseableStream,
    handler: Handler,
    *,
    limits: Limits = DEFAULT_LIMITS,
    utc_now: Callable[[], float] = world_utc_now,
    received: bytes = b"",
    counters: Counters | None = None,
) -> None:
    """Answer the requests that arrive on `stream` until either side has had enough; close it.

    `received`: what has been read from it already. `counters`: the host's.

    `utc_now` gives the seconds since 1970 for the Date header: those of the machine, and in virtual
    time those since the run began. A client that goes away ends the call quietly. When the call is
    cancelled, the stream is the caller's to close, unless nothing was under way.
    """
    await _Connection(stream, handler, limits, utc_now, received, counters).run()


class _Phase(Enum):
    IDLE = "waiting for a request"
    HEAD = "reading a request's head"
    BODY = "reading a request's body"
    WORK = "in the handler"
    SEND = "sending"


class _Connection:
    __slots__ = (
        "_body_bytes",
        "_broken",
        "_counters",
        "_declared_bytes",
        "_feed",
        "_handler",
        "_head_only",
        "_heads",
        "_limits",
        "_must_close",
        "_number",
        "_patience",
        "_phase",
        "_scope",
        "_stream",
        "_turn",
        "_utc_now",
    )

    def __init__(
        self,
        stream: trio.abc.HalfCloseableStream,
        handler: Handler,
        limits: Limits,
        utc_now: Callable[[], float],
        received: bytes,
        counters: Counters | None,
    ) -> None:
        self._counters = Counters() if counters is None else counters
        self._stream = stream
        self._handler = handler
        self._limits = limits
        self._utc_now = utc_now
        self._feed = Feed(limits)
        if received:
            self._feed.add(received)
        self._scope = trio.CancelScope()
        self._phase = _Phase.IDLE
        self._turn = begin_turn(stream)
        self._number = 0
        self._begin_request()
        self._must_close = False
        self._broken = False  # the peer has gone
        self._heads = Heads(utc_now)

    async def run(self) -> None:
        try:
            with self._scope:
                while await self._serve_one():
                    pass
            if self._scope.cancelled_caught:
                await self._time_out()
            elif self._peer_may_be_sending():
                await self._linger()
            with trio.move_on_after(self._limits.send_s):
                await self._stream.aclose()
        except trio.Cancelled:
            if self._phase is _Phase.IDLE:
                await end_orderly(self._stream)
            raise
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            _log.debug("the client went away: %r", error)
            await cut(self._stream)

    def _begin_request(self) -> None:
        """Forget the request before: nothing of it may concern the next."""
        self._body_bytes = 0  # read so far
        self._declared_bytes = 0  # Content-Length; 0 for none
        self._head_only = False
        self._patience = Patience(self._limits.body_s, self._limits.least_rate_bps)

    async def _serve_one(self) -> bool:
        """Answer one request; False: the connection is done."""
        request: Request | None = None
        self._begin_request()
        try:
            event = await self._read_head()
            if event is None:
                return False
            self._enter(_Phase.WORK, inf)
            if self._turn.spend(REQUEST_UNITS):
                await self._turn.wait()
            request = self._admit(event)
            response = await self._handler(request)
        except HttpError as error:
            self._must_close |= request is None
            response = error.response()
        except h11.RemoteProtocolError as error:
            self._must_close = True
            response = HttpError(error.error_status_hint, f"{error}.").response()
        except Exception:
            if self._broken:
                raise
            _log.exception("the handler failed")
            self._must_close = True
            response = FAILED.response()
        if response.takeover is not None:
            await self._hand_over(response, response.takeover)
            return False
        if not await self._respond(response):
            return False
        return await self._ready_for_next()

    # reading

    async def _read_head(self) -> h11.Request | None:
        """Return the head of the next request; None: there will be none."""
        begun = self._feed.skip_blank_lines()
        event = self._feed.next_event()
        if event is h11.NEED_DATA:
            if begun:
                self._enter(_Phase.HEAD, self._limits.header_s)
            else:
                self._enter(_Phase.IDLE, self._limits.idle_s)
        while event is h11.NEED_DATA:
            data = await self._receive()
            if self._phase is _Phase.IDLE and data:
                data = data.lstrip(b"\r\n")  # RFC 9112 section 2.2
                if not data:
                    continue
                if self._number == 0 and data.startswith(TLS_HANDSHAKE):
                    self._counters.add("http_tls_to_clear_port")
                    raise HttpError(400, "That is TLS, and this port takes HTTP in clear.")
            self._feed.add(data)
            event = self._feed.next_event()
            if event is h11.NEED_DATA and self._phase is _Phase.IDLE:
                self._enter(_Phase.HEAD, self._limits.header_s)
        return event if isinstance(event, h11.Request) else None

    def _admit(self, event: h11.Request) -> Request:
        """Make the request, or refuse it for its head alone."""
        self._number += 1
        self._head_only = event.method == b"HEAD"
        fields = read_fields(event.target, event.headers, self._limits)
        if event.http_version[:2] != b"1.":
            raise HttpError(505, "This server speaks HTTP/1.0 and HTTP/1.1.")
        check_method(event.method)
        if b"content-length" in fields or b"transfer-encoding" in fields:
            self._admit_body(fields, event.http_version.decode("ascii"))
        else:
            self._feed.http.next_event()  # the end of the message: h11 wants it to be fetched
        check_host(fields.get(b"host", b""))
        target = event.target.decode("ascii")
        path, query = split_target(target)
        return Request(
            event.method.decode("ascii"),
            target,
            path,
            query,
            event.http_version.decode("ascii"),
            event.headers.raw_items(),
            fields,
            self._number,
            trio.current_time(),
            self._stream,
            Body(self),
            self._utc_now(),
        )

    def _admit_body(self, fields: dict[bytes, bytes], version: str) -> None:
        check_framing(fields, version)
        if b"transfer-encoding" not in fields:
            self._declared_bytes = declared_length(fields, self._limits)
            self._feed.expect_body(self._declared_bytes)
        check_expectation(fields)

    async def next_body_chunk(self) -> bytes | None:
        """Return the next part of the request's body, None at its end (`ChunkSource`)."""
        http = self._feed.http
        if http.their_state is not h11.SEND_BODY:
            return None
        if http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=REASONS[100])
            await self._send(http.send(go_on))
            self._enter(_Phase.WORK, inf)
        parts: list[bytes] = []
        size_bytes = received_bytes = 0
        try:
            # Small chunks that came together are handed on together.
            while size_bytes < GATHER_BYTES:
                if self._turn.spend(1):
                    if parts:
                        break
                    await self._turn.wait()
                event = self._feed.next_event()
                while event is h11.NEED_DATA and not parts:
                    received = await self._receive_body()
                    received_bytes = len(received)
                    self._feed.add(received)
                    event = self._feed.next_event()
                if not isinstance(event, h11.Data):
                    break
                parts.append(event.data)
                size_bytes += len(event.data)
                if size_bytes == received_bytes:
                    break  # that was all: to ask h11 for more takes as long as a segment
        except HttpError:
            self._must_close = True
            raise
        except h11.RemoteProtocolError as error:
            self._must_close = True
            raise HttpError(error.error_status_hint, f"{error}.") from error
        self._body_bytes += size_bytes
        if self._body_bytes > self._limits.body_bytes:
            self._must_close = True
            raise too_long(self._limits)
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts) or None

    async def _receive_body(self) -> bytes:
        """Return more of a body from a client that keeps to the least rate."""
        began_at = trio.current_time()
        self._enter(_Phase.BODY, self._patience.left_s)
        data = await self._receive()
        self._enter(_Phase.WORK, inf)
        self._patience.received(len(data), trio.current_time() - began_at)
        # What is done with the bytes is work too: to hash 64 KiB takes as long as 30 chunks do.
        self._turn.spend(len(data) // BYTES_A_UNIT)
        return data

    async def _receive(self) -> bytes:
        self._turn.renew()
        try:
            return bytes(await self._stream.receive_some(RECEIVE_BYTES))
        except trio.BrokenResourceError:
            self._broken = True
            raise

    # answering

    async def _respond(self, response: Response) -> bool:
        """Send the answer; False: it could not be sent whole, and the connection is cut."""
        if self._feed.http.their_state is h11.SEND_BODY and not self._worth_draining():
            self._must_close = True
        try:
            try:
                head = self._head(response)
            except (h11.LocalProtocolError, UnicodeEncodeError):
                _log.exception("the handler gave a header that cannot be sent")
                await close_body(response.body)
                response = HttpError(500).response()
                head = self._head(response)
            await self._send_whole(self._feed.http.send(head), response)
        except BodyError as error:
            _log.warning("an answer was cut short: %s", error)
            await cut(self._stream)
            return False
        except Exception:
            if self._broken:
                raise
            # The handler broke its word about the length, or its body failed halfway, or a file
            # shrank. The client must not take what it has for the whole: a reset.
            _log.exception("an answer could not be sent whole")
            await cut(self._stream)
            return False
        finally:
            await close_body(response.body)
        return True

    async def _hand_over(self, response: Response, takeover: Takeover) -> None:
        """Announce the new protocol, and hand the connection to whoever speaks it."""
        early = self._feed.rest
        await self._send(self._feed.http.send(self._head(response)))
        self._enter(_Phase.WORK, inf)
        try:
            await takeover(self._stream, early)
        except OF_A_PEER as error:
            raise trio.BrokenResourceError from error
        except Exception:
            _log.exception("who took the connection over failed")
            raise trio.BrokenResourceError from None

    async def _send_whole(self, head: bytes, response: Response) -> None:
        http, body = self._feed.http, response.body
        if self._head_only or response.status in BODILESS:
            await self._send(head + http.send(h11.EndOfMessage()))
        elif not isinstance(body, bytes):
            await self._send_stream(head, body)
        else:
            data = http.send(h11.Data(body)) if body else b""
            end = http.send(h11.EndOfMessage())
            if len(data) > JOIN_BYTES:
                await self._send(head)
                head = b""
            await self._send(head + data + end)

    def _head(self, response: Response) -> h11.Response | h11.InformationalResponse:
        headers = self._heads.fields(response)
        if self._must_close:
            headers.append(_CLOSE)
        reason = REASONS.get(response.status, b"")
        kind = h11.Response if response.status >= 200 else h11.InformationalResponse
        return kind(status_code=response.status, headers=headers, reason=reason)

    async def _send_stream(self, head: bytes, body: Parts) -> None:
        pending: bytes | None = head  # goes out with the first chunk
        if isinstance(body, AsyncIterable):
            async for chunk in body:
                pending = await self._send_chunk(pending, chunk)
                self._enter(_Phase.WORK, inf)
        else:
            for chunk in body:
                pending = await self._send_chunk(pending, chunk)
        end = self._feed.http.send(h11.EndOfMessage())
        if pending is not None or end:
            await self._send((pending or b"") + end)

    async def _send_chunk(self, pending: bytes | None, chunk: Part) -> bytes | None:
        """Send a part of the body, after the head where that is pending; return what is pending."""
        if not chunk:
            return pending
        parts = self._feed.http.send_with_data_passthrough(h11.Data(cast("bytes", chunk))) or []
        if pending is not None:
            parts.insert(0, pending)
        # One part is the caller's own object: a big body with a length is never copied here.
        await self._send(parts[0] if len(parts) == 1 else b"".join(parts))
        return None

    async def _send(self, data: bytes) -> None:
        try:
            if len(data) <= SEND_BYTES:
                self._enter(_Phase.SEND, self._limits.send_s)
                await self._stream.send_all(data)
                return
            view = memoryview(data)
            for start in range(0, len(data), WRITE_BYTES):
                piece = view[start : start + WRITE_BYTES]
                if self._turn.spend(len(piece) // BULK_BYTES_A_UNIT):
                    self._enter(_Phase.WORK, inf)
                    await self._turn.wait()
                self._enter(_Phase.SEND, self._limits.sending_s(len(piece)))
                await self._stream.send_all(piece)
        except trio.BrokenResourceError:
            self._broken = True
            raise

    # what comes after an answer

    def _worth_draining(self) -> bool:
        """Whether what is left of the request's body is little, and will come."""
        if self._must_close or self._feed.http.they_are_waiting_for_100_continue:
            return False
        return self._declared_bytes - self._body_bytes <= DRAIN_BYTES

    async def _ready_for_next(self) -> bool:
        http = self._feed.http
        drained = 0
        while http.our_state is h11.DONE and http.their_state is h11.SEND_BODY:
            try:
                drained += len(await self.next_body_chunk() or b"")
            except HttpError:
                return False
            if drained > DRAIN_BYTES:
                return False
        if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        http.start_next_cycle()
        return True

    def _peer_may_be_sending(self) -> bool:
        """Whether bytes may arrive that nobody will read: a close would turn them into a reset."""
        return not self._feed.http.trailing_data[1] and (
            self._must_close or self._feed.http.their_state in (h11.SEND_BODY, h11.ERROR)
        )

    async def _time_out(self) -> None:
        """The deadline of some phase has passed: tell the client where that helps, then close."""
        _log.debug("time-out while %s", self._phase.value)
        if self._phase is _Phase.IDLE:
            return
        may_answer = self._feed.http.our_state in (h11.IDLE, h11.SEND_RESPONSE)
        if self._phase is _Phase.SEND or not may_answer:
            await cut(self._stream)
            return
        self._must_close = True
        self._scope = trio.CancelScope()
        with self._scope:
            await self._respond(LATE.response())
        if self._scope.cancelled_caught:
            await cut(self._stream)
        else:
            await self._linger()

    async def _linger(self) -> None:
        limits = self._limits
        await linger(self._stream, timeout_s=limits.linger_s, max_bytes=limits.linger_bytes)

    def _enter(self, phase: _Phase, timeout_s: float) -> None:
        self._phase = phase
        self._scope.deadline = inf if timeout_s == inf else trio.current_time() + timeout_s
