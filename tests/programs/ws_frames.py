"""A WebSocket client of raw frames in virtual time, which does what no library would."""

import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import trio
from worlds import in_virtual_time, pair

import pystack
from pystack.apps.http import Request, Response, serve_connection
from pystack.apps.limits import WebSocketLimits
from pystack.apps.websocket.connection import Talk
from pystack.apps.websocket.endpoints import echo
from pystack.apps.websocket.handshake import web_socket

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3, as is what is accepted
ACCEPTED = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASK = b"\x12\x34\x56\x78"
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


class Frame(NamedTuple):
    """A frame as the server sends it."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0


@dataclass
class Outcome:
    """What a talk came to."""

    head: bytes = b""
    frames: list[Frame] = field(default_factory=list)
    ended_at: float = 0.0  # after the handshake was sent
    is_reset: bool = False
    counters: dict[str, int] = field(default_factory=dict)  # of the server, of WebSockets

    @property
    def close(self) -> tuple[int, str] | None:
        """The code and reason of the server's Close; 1005 where it has none; None: no Close."""
        payload = next((each.payload for each in self.frames if each.opcode == CLOSE), None)
        if payload is None:
            return None
        return int.from_bytes(payload[:2], "big") or 1005, payload[2:].decode()

    @property
    def data(self) -> list[Frame]:
        """Everything but the server's Close."""
        return [each for each in self.frames if each.opcode != CLOSE]

    @property
    def messages(self) -> list[bytes]:
        """The messages, put together."""
        messages: list[bytes] = []
        begun = b""
        for each in self.frames:
            if each.opcode < CLOSE:
                begun += each.payload
                if each.fin:
                    messages.append(begun)
                    begun = b""
        assert not begun
        return messages


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    length: bytes | None = None,
) -> bytes:
    """Return a client's frame; `length`: the bytes of its length, in place of the right ones."""
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = bytes([126]) + size.to_bytes(2, "big")
        else:
            length = bytes([127]) + size.to_bytes(8, "big")
    head = bytes([fin << 7 | rsv << 4 | opcode])
    if mask is None:
        return head + length + payload
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    masked = (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")
    return head + bytes([length[0] | 0x80]) + length[1:] + mask + masked


def closing(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """Return a client's Close."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def handshake(path: str = "/ws/echo", *headers: str) -> bytes:
    """Return the request."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: server",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def parse(received: bytes) -> list[Frame]:
    """Take apart what a server has sent; it must be whole frames."""
    frames: list[Frame] = []
    while received:
        first, second = received[0], received[1]
        assert not second & 0x80, "a server masks nothing"
        size, begin = second, 2
        if second == 126:
            size, begin = int.from_bytes(received[2:4], "big"), 4
            assert size > 125
        elif second == 127:
            size, begin = int.from_bytes(received[2:10], "big"), 10
            assert size >= 1 << 16
        payload = received[begin : begin + size]
        assert len(payload) == size, "half a frame"
        frames.append(Frame(first & 15, payload, bool(first & 0x80), first >> 4 & 7))
        received = received[begin + size :]
    return frames


def deflated(payload: bytes, level: int = 6) -> bytes:
    """Return a message as permessage-deflate has it."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


Program = Callable[[trio.abc.HalfCloseableStream], Awaitable[None]]


def talk(
    *pieces: bytes | float,
    path: str = "/ws/echo",
    headers: Sequence[str] = (),
    limits: WebSocketLimits | None = None,
    handler: Talk = echo,
    reads: bool = True,
    ends: bool = False,
    together: bool = False,
) -> Outcome:
    """Send the pieces, or wait for so many seconds, and hear what comes until the server ends.

    With `limits` or a handler of its own it is not the site that answers. `ends`: our side ends
    after the pieces. `together`: all of them go out with the handshake, in one write.
    """
    outcome = Outcome()

    async def serve(stream: trio.abc.HalfCloseableStream) -> None:
        async def upgrade(request: Request) -> Response:
            return web_socket(request, handler, limits=limits or WebSocketLimits())

        await serve_connection(stream, upgrade)

    async def main() -> None:
        async with pair(delay="20ms") as (_net, client, server, _link), trio.open_nursery() as all_:
            if limits is None and handler is echo:
                await pystack.serve(server, "http")
            else:
                listeners = await server.open_tcp_listeners(80)
                all_.start_soon(partial(trio.serve_listeners, serve, listeners))
            stream = await client.open_tcp_stream("server", 80)
            request = handshake(path, *headers)
            await _converse(stream, request, pieces, outcome, reads, ends, together)
            await stream.aclose()
            counted = server.counters.items()
            outcome.counters = {k: v for k, v in counted if k.startswith("websocket_")}
            all_.cancel_scope.cancel()

    in_virtual_time(main)
    return outcome


async def _converse(
    stream: trio.abc.HalfCloseableStream,
    request: bytes,
    pieces: Sequence[bytes | float],
    outcome: Outcome,
    reads: bool,
    ends: bool,
    together: bool,
) -> None:
    received = b""
    began_at = trio.current_time()

    async def send() -> None:
        try:
            if together:
                await stream.send_all(request + b"".join(p for p in pieces if isinstance(p, bytes)))
            else:
                await stream.send_all(request)
                for piece in pieces:
                    if isinstance(piece, bytes):
                        await stream.send_all(piece)
                    else:
                        await trio.sleep(piece)
            if ends:
                await stream.send_eof()
        except trio.BrokenResourceError:
            outcome.is_reset = True

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        try:
            if not reads:
                await trio.sleep(1000)
            while data := bytes(await stream.receive_some()):
                received += data
        except trio.BrokenResourceError:
            outcome.is_reset = True
        outcome.ended_at = round(trio.current_time() - began_at, 3)
        nursery.cancel_scope.cancel()
    outcome.head, _, rest = received.partition(b"\r\n\r\n")
    if b" 101 " in outcome.head and reads:
        outcome.frames = parse(rest)


def ask(request: bytes) -> str:
    """Send a request, end our side, and return all that the server says."""
    received = bytearray()

    async def main() -> None:
        async with pair(delay="20ms") as (_net, client, server, _link):
            await pystack.serve(server, "http")
            stream = await client.open_tcp_stream("server", 80)
            await stream.send_all(request)
            await stream.send_eof()
            async for data in stream:
                received.extend(data)
            await stream.aclose()

    in_virtual_time(main)
    return received.decode("latin-1")
