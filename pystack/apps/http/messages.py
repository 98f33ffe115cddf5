"""What an HTTP handler is given, a `Request`, and what it gives back, a `Response`.

A handler may raise `HttpError` instead of returning; any other exception is answered with 500.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol, TypeAlias

import trio

from pystack.core.errors import PystackError

# A view is lent: it holds until the next part is asked for.
Part: TypeAlias = bytes | memoryview
Parts: TypeAlias = Iterable[Part] | AsyncIterable[Part]
BodySource: TypeAlias = bytes | Parts
Handler: TypeAlias = Callable[["Request"], Awaitable["Response"]]
# Goes on with a connection in another protocol: with the stream, and what of it was read already.
Takeover: TypeAlias = Callable[[trio.abc.HalfCloseableStream, bytes], Awaitable[None]]

REASONS: Final[dict[int, bytes]] = {
    status.value: status.phrase.encode("ascii") for status in HTTPStatus
}


class ChunkSource(Protocol):
    """Where the chunks of a request's body come from: the connection."""

    async def next_body_chunk(self) -> bytes | None:
        """Return the next part of the body, None after the last."""
        ...


class Body:
    """The body of a request, read as it arrives: `async for chunk in request.body`.

    A client that waits for `100 Continue` is told to go on by the first read. What the handler
    leaves unread is thrown away by the server.
    """

    __slots__ = ("source",)

    def __init__(self, source: ChunkSource) -> None:
        self.source = source

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        chunk = await self.source.next_body_chunk()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def read(self, max_bytes: int = 1 << 20) -> bytes:
        """Return the whole body; a longer one than `max_bytes` is refused with 413."""
        parts: list[bytes] = []
        total = 0
        async for chunk in self:
            total += len(chunk)
            if total > max_bytes:
                raise HttpError(413, f"This resource takes bodies of at most {max_bytes} bytes.")
            parts.append(chunk)
        return b"".join(parts)


@dataclass(slots=True, eq=False)
class Request:
    """One HTTP request, as it was received."""

    method: str
    target: str  # as on the wire
    path: str  # of the target, without the query, still percent-encoded; "*" for `OPTIONS *`
    query: str  # without the question mark
    version: str  # "1.0", "1.1", "2"
    raw_headers: list[tuple[bytes, bytes]]  # names as they were written
    fields: dict[bytes, bytes]  # names in lower case, repeated ones joined (RFC 9110 5.3)
    number: int  # 1 for the first request on its connection
    received_at: float  # when its head was complete; the world's time
    stream: trio.abc.Stream  # the connection; for looking at, not for reading or writing
    body: Body
    utc_s: float = 0.0  # the date when its head was complete: the world's, seconds since 1970

    def header(self, name: str) -> str | None:
        """Return the value of a header, in any case of letters; None where it was not sent."""
        value = self.fields.get(name.lower().encode("ascii"))
        return None if value is None else value.decode("latin-1")


@dataclass(slots=True, eq=False)
class Response:
    """An answer. The server adds Date, Server, the length or chunking, and Connection.

    The body is bytes, or an iterable or asynchronous iterable of parts that is sent as it comes;
    an iterable with a known `content_length` is sent with that length, otherwise in chunks.
    """

    status: int = 200
    body: BodySource = b""
    content_type: str | None = None  # None: no such header
    headers: Sequence[tuple[str, str]] = ()
    content_length: int | None = None  # None: that of `body` where it is bytes, else unknown
    # With status 101 and its `Upgrade`: whom the connection belongs to after this answer, for good.
    # The server closes it when that returns. HTTP/1.1 only; None: it stays the server's.
    takeover: Takeover | None = None

    @classmethod
    def text(cls, text: str, status: int = 200) -> "Response":
        """Answer with plain text."""
        return cls(status, text.encode(), "text/plain; charset=utf-8")

    @classmethod
    def html(cls, text: str, status: int = 200) -> "Response":
        """Answer with a page."""
        return cls(status, text.encode(), "text/html; charset=utf-8")

    @classmethod
    def json(cls, value: object, status: int = 200) -> "Response":
        """Answer with a value as JSON, indented, so that it reads well in a terminal."""
        text = json.dumps(value, indent=2) + "\n"
        return cls(status, text.encode(), "application/json")


class BodyError(PystackError):
    """A body that cannot be sent to its end; raised while it is being read.

    The connection, in HTTP/2 the stream, is reset, so that the client does not take what it has got
    for the whole.
    """


class HttpError(PystackError):
    """A refusal: an HTTP status, one sentence for the reader, and headers that belong to it."""

    def __init__(
        self, status: int, detail: str = "", headers: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers

    def response(self) -> Response:
        """Return the answer that says so."""
        phrase = REASONS.get(self.status, b"").decode("ascii")
        text = f"{self.status} {phrase}\n" + (f"{self.detail}\n" if self.detail else "")
        answer = Response.text(text, self.status)
        answer.headers = self.headers
        return answer


async def close_body(body: BodySource) -> None:
    """Let go of what a body holds: an open file, a suspended generator."""
    if isinstance(body, bytes):
        return
    if isinstance(body, AsyncGenerator):
        with trio.CancelScope(shield=True):
            await body.aclose()
        return
    close = getattr(body, "close", None)
    if close is not None:
        close()
