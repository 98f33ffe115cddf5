"""A client of HTTP/2 in memory, for tests: h2 for what is polite, bytes for what is not."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import h2.events
import trio
import trio.testing
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings

from pystack.apps.http import Handler, Limits, Request, Response
from pystack.apps.http.http2 import serve_connection
from pystack.core.counters import Counters

GOAWAY = 7
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + payload


async def hello(request: Request) -> Response:
    return Response.text(f"{request.method} {request.path}")


@dataclass
class Answer:
    """What has come on one stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    informational: list[int] = field(default_factory=list)
    ended: bool = False
    reset: ErrorCodes | None = None  # None: it was not


class Client:
    """One connection to a server."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        self.answers: dict[int, Answer] = {}
        self.goaway: ErrorCodes | None = None  # None: the server has not said it
        self.closed = False
        self.takes_data = True
        self.order: list[int] = []  # of the streams that data came for

    async def begin(self, **settings: int) -> None:
        # They hold at once for what comes: the server sees them before any request.
        initial = {SettingCodes[name]: value for name, value in settings.items()}
        self.h2.local_settings = Settings(client=True, initial_values=initial)
        self.h2.max_inbound_frame_size = self.h2.local_settings.max_frame_size
        self.h2.decoder.max_allowed_table_size = self.h2.local_settings.header_table_size
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            await self.stream.send_all(data)

    def head(
        self, path: str = "/", *more: tuple[str, str], method: str = "GET"
    ) -> list[tuple[str, str]]:
        return [
            (":method", method),
            (":scheme", "https"),
            (":authority", "test"),
            (":path", path),
            *more,
        ]

    async def request(
        self,
        path: str = "/",
        *more: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
        ends: bool = True,
    ) -> int:
        number = self.h2.get_next_available_stream_id()
        head = self.head(path, *more, method=method)
        self.h2.send_headers(number, head, end_stream=body is None and ends)
        if body is not None:
            self.h2.send_data(number, body, end_stream=ends)
        self.answers[number] = Answer()
        await self.flush()
        return number

    async def receive(self) -> bool:
        """Take what comes next; False: the server has ended."""
        try:
            data = await self.stream.receive_some(1 << 18)
        except trio.BrokenResourceError:
            data = b""
        if not data:
            self.closed = True
            return False
        for event in self.h2.receive_data(bytes(data)):
            self.take(event)
        await self.flush()
        return True

    def take(self, event: h2.events.Event) -> None:
        answer = self.answers.get(getattr(event, "stream_id", None) or 0)
        match event:
            case h2.events.ResponseReceived() if answer:
                fields = dict(event.headers)
                answer.status = int(fields.pop(":status"))
                answer.headers = fields
            case h2.events.InformationalResponseReceived() if answer:
                answer.informational.append(int(dict(event.headers)[":status"]))
            case h2.events.DataReceived() if answer:
                answer.body += event.data
                self.order.append(event.stream_id)
                if self.takes_data:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded() if answer:
                answer.ended = True
            case h2.events.StreamReset() if answer:
                answer.reset = ErrorCodes(event.error_code)
            case h2.events.ConnectionTerminated():
                self.goaway = ErrorCodes(event.error_code)

    async def until(self, done: Callable[[], bool]) -> None:
        while not done():
            assert await self.receive(), (self.answers, self.goaway)

    async def answer(self, number: int) -> Answer:
        answer = self.answers[number]
        await self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    async def ask(self, path: str = "/", *more: tuple[str, str], **words: object) -> Answer:
        return await self.answer(await self.request(path, *more, **words))  # type: ignore[arg-type]

    async def read_to_end(self) -> None:
        while await self.receive():
            pass

    async def read_raw(self) -> None:
        """Read to the end without h2, which would mind what a client of ill will has said."""
        received = b""
        try:
            async for data in self.stream:
                received += data
        except trio.BrokenResourceError:
            pass
        while len(received) >= 9:
            length, kind = int.from_bytes(received[:3], "big"), received[3]
            if kind == GOAWAY:
                self.goaway = ErrorCodes(int.from_bytes(received[13:17], "big"))
            received = received[9 + length :]
        assert not received


@asynccontextmanager
async def talking(
    handler: Handler = hello,
    *,
    limits: Limits | None = None,
    counters: Counters | None = None,
    begins: bool = True,
    settings: dict[str, int] | None = None,
) -> AsyncIterator[Client]:
    """Give a client; afterwards, it goes, and the server has to end by itself."""
    inner, outer = trio.testing.memory_stream_pair()
    client = Client(outer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            partial(
                serve_connection,
                inner,
                handler,
                limits=limits or Limits(),
                utc_now=lambda: 0.0,
                counters=counters,
            )
        )
        if begins:
            await client.begin(**(settings or {}))
        yield client
        await outer.aclose()
