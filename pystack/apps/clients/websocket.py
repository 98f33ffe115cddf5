"""WebSocket (RFC 6455) line by line: a line in is a message, a message is a line out.

wsproto speaks it. When there are no more lines and the other side has heard them all, which its
answer to a ping tells, the closing handshake begins: many servers answer nothing that they read
together with it. What still comes before the other side has closed is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.utilities import ProtocolError

from pystack.apps.clients.connecting import close_both_ways, connect, start_tls
from pystack.apps.clients.job import Job
from pystack.apps.clients.trouble import ClientError, Status, receive, send
from pystack.apps.tls_stream import TlsStream
from pystack.runtime.streams import TcpStream

_GOOD_ENDS: Final = frozenset({1000, 1001, 1005})
_FEED_BYTES: Final = 1024
_GOODBYE_S: Final = 5.0  # what the other side gets for its half of the closing handshake


async def run(job: Job) -> None:
    """Open, talk until both ends have closed. Raises ClientError."""
    url = job.url
    stream: TcpStream | TlsStream = await connect(job, url.host, url.port)
    try:
        if url.is_tls:
            assert isinstance(stream, TcpStream)
            stream = await start_tls(job, stream, url.host, alpn=("http/1.1",))
        await _Talk(job, stream).run()
        job.tell("close")
        if isinstance(stream, TlsStream) and job.options.graceful:
            await close_both_ways(stream)
        with trio.move_on_after(_GOODBYE_S):
            await stream.aclose()
    finally:
        await trio.aclose_forcefully(stream)


class _Talk:
    """One conversation."""

    def __init__(self, job: Job, stream: TcpStream | TlsStream) -> None:
        self._job, self._stream = job, stream
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._head = bytearray()  # of the response, as far as it has come
        self._has_head = False
        self._is_open = False
        self._refused = 0  # with this status
        self._end: CloseConnection | None = None  # None: nobody has closed yet
        self._heard = trio.Event()  # the other side has had all lines
        self._trouble: Exception | None = None  # what ends it; None: nothing so far

    async def run(self) -> None:
        """Run to its end. Raises ClientError."""
        job = self._job
        await self._send_request()
        while not self._is_open:
            await self._receive()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._do, self._say_lines, nursery.cancel_scope)
            await self._do(self._hear, nursery.cancel_scope)
            nursery.cancel_scope.cancel()
        if self._trouble is not None:
            raise self._trouble
        assert self._end is not None
        code, reason = self._end.code, self._end.reason or ""
        job.talk.note(f"WebSocket closed: {int(code)} {reason}".rstrip())
        job.tell("done", f"{int(code)} {reason}".rstrip())
        if code not in _GOOD_ENDS:
            text = f"WebSocket closed by the server: {int(code)} {reason}".rstrip()
            raise ClientError(Status.RECEIVE_FAILED, text)

    async def _do(self, half: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Run one half of the talk; what goes wrong ends the other, and is no group of errors."""
        try:
            await half()
        except Exception as error:
            self._trouble = error
            scope.cancel()

    async def _hear(self) -> None:
        while self._end is None:
            await self._receive()

    async def _send_request(self) -> None:
        job, url = self._job, self._job.url
        extensions: list[Extension] = [PerMessageDeflate()] if job.options.compressed else []
        extra = [
            (name.strip().encode("latin-1"), value.strip().encode())
            for name, _, value in (line.partition(":") for line in job.options.headers)
        ]
        data = self._ws.send(
            Request(
                host=url.authority, target=url.target, extensions=extensions, extra_headers=extra
            )
        )
        job.transfer.method = "GET"
        job.transfer.mark("pretransfer", job.now())
        job.transfer.size_request = len(data)
        job.talk.sent(data.decode("latin-1").removesuffix("\r\n").split("\r\n"))
        job.tell("request", f"GET {url.target} HTTP/1.1")
        await send(self._stream, data)

    async def _say_lines(self) -> None:
        """Send what comes line by line, then begin to close."""
        source, size = self._job.source, 0
        while source is not None and (line := await source.line()) is not None:
            size += len(line)
            self._job.transfer.size_upload = size
            self._job.tell("message", f"sent, {len(line):,} bytes")
            await self._say(_message(line))
        await self._say(Ping())
        with trio.move_on_after(_GOODBYE_S):
            await self._heard.wait()
        if self._end is None:
            await self._say(CloseConnection(code=1000))
            await trio.sleep(_GOODBYE_S)
            raise ClientError(Status.TIMED_OUT, "the server does not close the WebSocket")

    async def _say(self, event: Event) -> None:
        if self._end is None:
            await send(self._stream, self._ws.send(event))

    async def _receive(self) -> None:
        data = await receive(self._stream)
        if not data and not self._has_head:
            raise ClientError(Status.NO_REPLY, "Empty reply from server")
        if not self._has_head:
            self._note_head(data)
        # Of what is compressed, a thousand times as much may come out at once.
        pieces = [data[at : at + _FEED_BYTES] for at in range(0, len(data), _FEED_BYTES)]
        try:
            for piece in pieces or [data]:
                if self._end is not None:  # what comes after Close is nothing
                    break
                self._feed(piece)
                for event in self._ws.events():
                    await self._take(event)
        except ProtocolError as error:
            raise ClientError(Status.WEIRD_REPLY, f"Weird server reply: {error}") from None
        if not data and self._end is None:
            self._end = CloseConnection(code=1006, reason="the connection ended")

    def _feed(self, data: bytes) -> None:
        """Hand it to wsproto. Raises ClientError, ProtocolError."""
        try:
            self._ws.receive_data(data or None)
        except (ValueError, IndexError) as error:  # extensions with parameters that are none
            raise ClientError(Status.WEIRD_REPLY, f"Weird server reply: {error}") from None

    def _note_head(self, data: bytes) -> None:
        """Show the response as soon as all of it is there."""
        if not self._head:
            self._job.transfer.mark("starttransfer", self._job.now())
            self._job.tell("first_byte")
        self._head += data
        head, end, _ = bytes(self._head).partition(b"\r\n\r\n")
        if end:
            self._has_head = True
            self._job.transfer.size_header = len(head) + len(end)
            self._job.talk.got([*head.decode("latin-1").split("\r\n"), ""])
            self._head.clear()

    async def _take(self, event: Event) -> None:
        job = self._job
        match event:
            case AcceptConnection():
                job.transfer.http_code, job.transfer.http_version = 101, "1.1"
                job.tell("open")
                self._is_open = True
            case RejectConnection():
                job.transfer.http_code = self._refused = event.status_code
                if not event.has_body:
                    raise self._refusal()
            case RejectData():
                if event.body_finished:
                    raise self._refusal()
            case Message():
                data = event.data.encode() if isinstance(event, TextMessage) else bytes(event.data)
                job.transfer.size_download += len(data)
                if event.message_finished:
                    job.tell("message", f"received, {len(data):,} bytes")
                await job.sink.write(data + (b"\n" if event.message_finished else b""))
            case Pong():
                self._heard.set()
            case Ping() if self._ws.state is ConnectionState.OPEN:
                await self._say(event.response())
            case CloseConnection():
                if self._ws.state is ConnectionState.REMOTE_CLOSING:
                    await self._say(event.response())
                self._end = event

    def _refusal(self) -> ClientError:
        text = f"Refused WebSockets upgrade: {self._refused}"
        return ClientError(Status.HTTP_ERROR, text)


def _message(line: bytes) -> TextMessage | BytesMessage:
    try:
        return TextMessage(data=line.decode())
    except UnicodeDecodeError:
        return BytesMessage(data=line)
