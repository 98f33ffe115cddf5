"""A raw HTTP client in memory, for tests: bytes out, and what came back taken apart by h11."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import h11
import trio
import trio.testing

from pystack.apps.http import Handler, Limits, Request, Response, serve_connection

EPOCH = "Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


async def hello(request: Request) -> Response:
    return Response.text(f"{request.method} {request.path}")


def get(target: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def read_to_end(stream: trio.abc.ReceiveStream) -> bytes:
    received = b""
    async for part in stream:
        received += part
    return received


async def exchange(
    raw: bytes | Sequence[bytes],
    handler: Handler = hello,
    *,
    limits: Limits | None = None,
    eof: bool = True,
) -> bytes:
    """Send, end our side, and return all that the server says until it ends its own."""
    limits = limits or Limits()
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        serve = partial(serve_connection, server, handler, limits=limits, utc_now=lambda: 0.0)
        nursery.start_soon(serve)
        for part in (raw,) if isinstance(raw, bytes) else raw:
            await client.send_all(part)
            await trio.testing.wait_all_tasks_blocked()
        if eof:
            await client.send_eof()
        received = await read_to_end(client)
        await client.aclose()
    return received


def answers(received: bytes, *methods: str) -> list[Answer]:
    """Take apart what was received in answer to requests with these methods."""
    peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    peer.receive_data(received)
    peer.receive_data(b"")
    result: list[Answer] = []
    for index, method in enumerate(methods):
        if index:
            peer.start_next_cycle()
        peer.send(h11.Request(method=method, target="/", headers=[("Host", "test")]))
        peer.send(h11.EndOfMessage())
        body = b""
        while not isinstance(event := peer.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                fields = {n.decode(): v.decode("latin-1") for n, v in event.headers}
                result.append(Answer(event.status_code, fields, b""))
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
        result[-1].body = body
    assert peer.trailing_data[0] == b"", "more was sent than the answers"
    return result


async def ask(
    raw: bytes, handler: Handler = hello, *, method: str = "GET", limits: Limits | None = None
) -> Answer:
    """Return the one answer to one request."""
    (answer,) = answers(await exchange(raw, handler, limits=limits), method)
    return answer
