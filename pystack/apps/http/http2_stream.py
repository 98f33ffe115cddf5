"""One request of HTTP/2 and its answer, on a stream of their own (RFC 9113 section 8)."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterable, Iterable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Final

import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from pystack.apps.http.exchange import (
    BODILESS,
    BYTES_A_UNIT,
    DRAIN_BYTES,
    FAILED,
    LATE,
    check_expectation,
    check_host,
    check_method,
    declared_length,
    read_fields,
    too_long,
)
from pystack.apps.http.messages import (
    Body,
    BodyError,
    HttpError,
    Part,
    Request,
    Response,
    close_body,
)
from pystack.apps.http.target import split_target
from pystack.apps.limits import Patience
from pystack.apps.turns import begin_turn

if TYPE_CHECKING:
    from pystack.apps.http.http2 import Connection

CHUNK_BYTES: Final = 64 * 1024  # what came together is handed on together

# RFC 9113 section 8.2.2: they are about a connection, and this one is not the handler's.
_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_FIELD_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")
_FIELD_VALUE: Final = re.compile(
    rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
)
_log: Final = logging.getLogger("pystack.apps.http")


class _Phase(Enum):
    BODY = "reading a request's body"
    WORK = "in the handler"
    SEND = "sending"


class Exchange:
    """A request, what has come of its body, and what of its answer is still to be sent."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_connection",
        "_declared_bytes",
        "_end_pending",
        "_has_begun_answer",
        "_has_ended",
        "_headers",
        "_is_reset",
        "_must_go_on",
        "_news",
        "_ordinal",
        "_padding_bytes",
        "_patience",
        "_pending",
        "_phase",
        "_scope",
        "_sent",
        "_turn",
        "number",
    )

    def __init__(
        self,
        connection: Connection,
        number: int,
        headers: Iterable[tuple[bytes, bytes]],
        ordinal: int,
    ) -> None:
        """`number`: of the stream. `ordinal`: of the request on its connection, from 1."""
        self._connection = connection
        self.number = number
        self._headers = [(bytes(name), bytes(value)) for name, value in headers]
        self._ordinal = ordinal
        self._scope = trio.CancelScope()
        self._phase = _Phase.WORK
        # One buffer, for each frame of a byte would be an object of a hundred
        self._body = bytearray()  # not read by the handler yet
        self._padding_bytes = 0  # that came with it, and took a part of the window too
        self._has_ended = False  # the request
        self._is_reset = False
        self._news = trio.Event()  # of the body
        self._must_go_on = False  # the client waits for 100
        self._declared_bytes = 0
        self._body_bytes = 0  # read so far
        limits = connection.limits
        self._patience = Patience(limits.body_s, limits.least_rate_bps)
        self._pending = memoryview(b"")
        self._end_pending = False
        self._sent = trio.Event()
        self._has_begun_answer = False

    # told by the connection

    def take_data(self, data: bytes, size_bytes: int) -> None:
        """Take a part of the body; `size_bytes` of the window."""
        self._body += data
        self._padding_bytes += size_bytes - len(data)
        self._news.set()

    def take_end(self) -> None:
        """Take note that the request is whole."""
        self._has_ended = True
        self._news.set()

    def take_reset(self) -> None:
        """End, for the client does not want the answer any more."""
        self._is_reset = True
        self._pending, self._end_pending = memoryview(b""), False
        self._scope.cancel()

    @property
    def has_more(self) -> bool:
        """Tell whether there is something to be sent."""
        return bool(self._pending) or self._end_pending

    @property
    def may_send(self) -> bool:
        """Tell whether the client has room for something of it."""
        return not self._pending or self._window() > 0

    def take_frames(self, max_bytes: int) -> list[bytes | memoryview]:
        """Return what may be sent, so much at most, in frames. The last of all is left to h2.

        h2 takes 8 us and three copies for each, half of the time that TLS and TCP have together. As
        DATA that ends nothing changes no state, all that h2 needs to know is how much it was.
        """
        h2, pending = self._connection.h2, self._pending
        size = min(len(pending), self._window(), max_bytes)
        frames: list[bytes | memoryview] = []
        step, number = h2.max_outbound_frame_size, self.number.to_bytes(4, "big")
        last = pending[size:size]
        if self._end_pending and size == len(pending):
            start = max(0, size - 1) // step * step
            size, last = start, pending[start:]
        if size:
            for start in range(0, size, step):
                length = min(step, size - start)
                frames.append(length.to_bytes(3, "big") + b"\0\0" + number)
                frames.append(pending[start : start + length])
            h2.outbound_flow_control_window -= size
            h2.streams[self.number].outbound_flow_control_window -= size
        self._pending = pending[size + len(last) :]
        if not self._pending:
            if self._end_pending:
                self._end_pending = False
                h2.send_data(self.number, bytes(last), end_stream=True)
            self._sent.set()
        return frames

    def _window(self) -> int:
        return max(0, self._connection.h2.local_flow_control_window(self.number))

    # the task

    async def serve(self) -> None:
        """Answer. Whatever goes wrong concerns this stream alone."""
        self._turn = begin_turn(self._connection.stream)
        try:
            with self._scope:
                await self._serve()
            if self._scope.cancelled_caught and not self._is_reset:
                await self._time_out()
        except trio.Cancelled:
            self._connection.is_cut = True
            raise
        except ProtocolError as error:
            # The connection is ending, or this stream was ended by what came meanwhile.
            _log.debug("an answer could not be sent: %s", error)
        finally:
            self._pending, self._end_pending = memoryview(b""), False
            self._acknowledge(len(self._body))
            self._connection.leave(self)

    async def _serve(self) -> None:
        try:
            request = self._admit()
            response = await self._connection.handler(request)
            if response.takeover is not None:
                await close_body(response.body)
                raise HttpError(501, "In HTTP/2, no connection is handed over.")
        except HttpError as error:
            response = error.response()
        except Exception:
            _log.exception("the handler failed")
            response = FAILED.response()
        await self._respond(response)
        if not self._has_ended:
            await self._drain()

    def _admit(self) -> Request:
        """Make the request, or refuse it for its head alone."""
        limits = self._connection.limits
        pseudo = {name: value for name, value in self._headers if name[:1] == b":"}
        plain = [(name, value) for name, value in self._headers if name[:1] != b":"]
        target, method = pseudo.get(b":path", b""), pseudo.get(b":method", b"")
        fields = read_fields(target, plain, limits)
        if b":authority" in pseudo:
            fields[b"host"] = pseudo[b":authority"]
        check_method(method)
        self._declared_bytes = declared_length(fields, limits)
        self._must_go_on = check_expectation(fields) and not self._has_ended
        check_host(fields.get(b"host", b""))
        if self._declared_bytes and self._has_ended and not self._body:
            raise _too_short()
        if target[:1] != b"/" and (method, target) != (b"OPTIONS", b"*"):
            raise HttpError(400, "The target of a request begins with a slash.")
        if not _TARGET.fullmatch(target):
            raise HttpError(400, "The target has a character that no target has.")
        path, query = split_target(target.decode("ascii"))
        return Request(
            method.decode("latin-1"),
            target.decode("ascii"),
            path,
            query,
            "2",
            self._headers,
            fields,
            self._ordinal,
            trio.current_time(),
            self._connection.stream,
            Body(self),
            self._connection.utc_now(),
        )

    async def next_body_chunk(self) -> bytes | None:
        """Return the next part of the request's body, None at its end (`ChunkSource`)."""
        if self._must_go_on:
            self._must_go_on = False
            self._connection.h2.send_headers(self.number, [(b":status", b"100")])
            self._connection.kick()
        while not self._body and not self._has_ended:
            began_at = trio.current_time()
            self._enter(_Phase.BODY, self._patience.left_s)
            self._news = trio.Event()
            await self._news.wait()
            self._enter(_Phase.WORK, inf)
            self._patience.received(len(self._body), trio.current_time() - began_at)
            self._acknowledge(0)
        data = bytes(self._body[:CHUNK_BYTES])
        del self._body[:CHUNK_BYTES]
        self._acknowledge(len(data))
        self._body_bytes += len(data)
        if self._body_bytes > self._connection.limits.body_bytes:
            raise too_long(self._connection.limits)
        if self._turn.spend(max(1, len(data) // BYTES_A_UNIT)):
            await self._turn.wait()
        # h2 counts what ends with DATA, not what trailers end.
        if not data and self._body_bytes < self._declared_bytes:
            raise _too_short()
        return data or None

    def _acknowledge(self, read_bytes: int) -> None:
        """Let the client send as much again as was read, and the padding that came."""
        self._connection.acknowledge(self.number, read_bytes + self._padding_bytes)
        self._padding_bytes = 0

    # answering

    async def _respond(self, response: Response) -> None:
        """Send the answer, or as much as there is of it and a reset."""
        try:
            try:
                head = self._head(response)
            except (ValueError, UnicodeEncodeError):
                _log.exception("the handler gave a header that cannot be sent")
                await close_body(response.body)
                response = HttpError(500).response()
                head = self._head(response)
            await self._send_whole(head, response)
        except ProtocolError:
            raise
        except BodyError as error:
            _log.warning("an answer was cut short: %s", error)
            self._reset(ErrorCodes.INTERNAL_ERROR)
        except Exception:
            _log.exception("an answer could not be sent whole")
            self._reset(ErrorCodes.INTERNAL_ERROR)
        finally:
            await close_body(response.body)

    def _head(self, response: Response) -> list[tuple[bytes, bytes]]:
        head = [(b":status", b"%d" % response.status)]
        for name, value in self._connection.heads.fields(response):
            lower = name.lower()
            if not _FIELD_NAME.fullmatch(lower) or not _FIELD_VALUE.fullmatch(value):
                raise ValueError(f"no header: {name!r}: {value!r}")
            if lower not in _CONNECTION_FIELDS:
                head.append((lower, value))
        return head

    async def _send_whole(self, head: list[tuple[bytes, bytes]], response: Response) -> None:
        is_head = (b":method", b"HEAD") in self._headers
        body = response.body
        self._has_begun_answer = True
        if is_head or response.status in BODILESS or body == b"":
            self._connection.h2.send_headers(self.number, head, end_stream=True)
            self._connection.kick()
            return
        self._connection.h2.send_headers(self.number, head)
        if isinstance(body, bytes):
            await self._send(body, ends=True)
            return
        left = inf if response.content_length is None else response.content_length
        if isinstance(body, AsyncIterable):
            async for chunk in body:
                left -= len(chunk)
                await self._send_chunk(chunk, left)
        else:
            for chunk in body:
                left -= len(chunk)
                await self._send_chunk(chunk, left)
        if 0 < left < inf:
            raise BodyError(f"it is {left} bytes shorter than it was said to be")
        await self._send(b"", ends=True)

    async def _send_chunk(self, chunk: Part, left: float) -> None:
        if left < 0:
            raise BodyError(f"it is {-left} bytes longer than it was said to be")
        if chunk:
            await self._send(chunk, ends=False)

    async def _send(self, data: Part, *, ends: bool) -> None:
        """Return when the last of it is on its way; each 64 KiB of it in `Limits.send_s`."""
        self._enter(_Phase.SEND, self._connection.limits.sending_s(len(data)))
        self._pending, self._end_pending = memoryview(data), ends
        self._sent = trio.Event()
        self._connection.enqueue(self)
        await self._sent.wait()
        self._enter(_Phase.WORK, inf)

    async def _drain(self) -> None:
        """Let the rest of a body come, if it is little; else say that nobody wants it."""
        is_little = self._declared_bytes - self._body_bytes <= DRAIN_BYTES
        drained = 0
        try:
            while is_little and not self._must_go_on and drained <= DRAIN_BYTES:
                chunk = await self.next_body_chunk()
                if chunk is None:
                    return
                drained += len(chunk)
        except HttpError as error:
            _log.debug("%s", error)
        self._reset(ErrorCodes.NO_ERROR)

    async def _time_out(self) -> None:
        """The deadline of some phase has passed: tell the client where that helps."""
        _log.debug("time-out while %s", self._phase.value)
        if self._phase is _Phase.BODY and not self._has_begun_answer:
            self._scope = trio.CancelScope()
            with self._scope:
                await self._respond(LATE.response())
            self._reset(ErrorCodes.NO_ERROR)
        else:
            self._reset(ErrorCodes.CANCEL)

    def _reset(self, code: ErrorCodes) -> None:
        self._connection.h2.reset_stream(self.number, code)
        self._connection.kick()

    def _enter(self, phase: _Phase, timeout_s: float) -> None:
        self._phase = phase
        self._scope.deadline = inf if timeout_s == inf else trio.current_time() + timeout_s


def _too_short() -> HttpError:
    """Return the refusal of a request that is malformed, RFC 9113 section 8.1.1."""
    return HttpError(400, "The body is shorter than Content-Length says.")
