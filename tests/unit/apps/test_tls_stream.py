"""TLS over streams in memory: Trio's conformance checks, and what is particular to TLS."""

import ssl
from collections.abc import Awaitable, Callable, Iterator
from functools import partial

import pytest
import trio
import trio.testing
import trustme
from h2.connection import H2Connection

from pystack.apps.http import Request, Response, http2, server
from pystack.apps.tls_stream import (
    EARLY_RECORD_BYTES,
    HANDSHAKE_BYTES,
    MAX_ANSWERS_BYTES,
    MAX_RECORDS,
    ClearTextError,
    TlsError,
    TlsStream,
    asked_name,
    tls_client,
)
from pystack.core.counters import Counters

pytestmark = pytest.mark.trio

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


class Pair:
    """Contexts of both ends, and streams between them."""

    def __init__(self, version: ssl.TLSVersion) -> None:
        authority = trustme.CA()
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.minimum_version = self.server.maximum_version = version
        authority.issue_cert("server.test").configure_cert(self.server)
        # Not the default one: that reads all authorities of this machine, for 20 ms.
        self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.client)
        self.counters = Counters()

    async def streams(self) -> tuple[TlsStream, TlsStream]:
        """Return server and client after the handshake."""
        inner_server, inner_client = trio.testing.memory_stream_pair()
        return await self.over(inner_server, inner_client)

    async def reversed_streams(self) -> tuple[TlsStream, TlsStream]:
        server, client = await self.streams()
        return client, server

    async def over(
        self, inner_server: trio.abc.HalfCloseableStream, inner_client: trio.abc.HalfCloseableStream
    ) -> tuple[TlsStream, TlsStream]:
        server = TlsStream(inner_server, self.server, server_side=True, counters=self.counters)
        clients: list[TlsStream] = []

        async def connect() -> None:
            clients.append(await tls_client(inner_client, self.client, "server.test"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.do_handshake)
            nursery.start_soon(connect)
        return server, clients[0]


@pytest.fixture(params=VERSIONS, ids=["1.2", "1.3"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    return Pair(request.param)


async def read_to_end(stream: trio.abc.ReceiveStream, max_bytes: int | None = None) -> bytes:
    parts = []
    while data := await stream.receive_some(max_bytes):
        assert max_bytes is None or len(data) <= max_bytes
        parts.append(bytes(data))
    return b"".join(parts)


async def test_it_is_a_stream_as_trio_wants_them(pair: Pair) -> None:
    await trio.testing.check_half_closeable_stream(pair.streams, None)
    await trio.testing.check_half_closeable_stream(pair.reversed_streams, None)


@pytest.mark.parametrize("max_bytes", [1, 1000, 16 * 1024, 100_000, None])
async def test_many_records_are_read_in_parts_of_any_size(
    pair: Pair, max_bytes: int | None
) -> None:
    server, client = await pair.streams()
    sent = bytes(range(251)) * (20 if max_bytes == 1 else 4000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, sent)
        received = b""
        while len(received) < len(sent):
            data = await client.receive_some(max_bytes)
            assert 1 <= len(data) <= (max_bytes or len(sent))
            received += data
    assert received == sent


async def test_what_was_not_read_when_our_end_was_sent_is_read_afterwards(pair: Pair) -> None:
    server, client = await pair.streams()
    await client.send_all(b"1" * 50_000)
    assert await server.receive_some(10) == b"1" * 10
    await server.send_eof()
    assert await client.receive_some() == b""
    await client.send_all(b"2" * 50_000)
    await client.send_eof()
    assert await read_to_end(server, 1000) == b"1" * 49_990 + b"2" * 50_000


async def test_an_end_without_close_notify_is_an_error_and_not_an_end(pair: Pair) -> None:
    server, client = await pair.streams()
    await client.send_all(b"half of it")
    await client.transport.send_eof()
    assert await server.receive_some() == b"half of it"
    for _ in range(2):
        with pytest.raises(trio.BrokenResourceError, match="without a close_notify"):
            await server.receive_some()
    assert pair.counters["tls_truncated"] == 1


async def test_garbage_after_the_handshake_gets_an_alert_and_is_an_error(pair: Pair) -> None:
    server, client = await pair.streams()
    await client.transport.send_all(b"\x17\x03\x03\x00\x20" + bytes(32))
    with pytest.raises(trio.BrokenResourceError, match=r"mac|record layer"):
        await server.receive_some()
    with pytest.raises(trio.BrokenResourceError):
        await server.send_all(b"answer")
    with pytest.raises(trio.BrokenResourceError, match="alert bad record mac"):
        await client.receive_some()
    assert pair.counters["tls_errors"] == 1


async def test_a_write_that_was_cancelled_ends_the_stream_and_no_peer_takes_it_for_whole(
    pair: Pair,
) -> None:
    inner_server, inner_client = trio.testing.memory_stream_pair()
    server, client = await pair.over(inner_server, inner_client)
    inner_server.send_stream.send_all_hook = trio.sleep_forever  # nothing is taken any more
    with trio.move_on_after(0):
        await server.send_all(b"never read")
    inner_server.send_stream.send_all_hook = None
    with pytest.raises(trio.BrokenResourceError, match="broken off"):
        await server.send_all(b"more")
    await server.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await read_to_end(client)


async def test_a_client_that_knows_nothing_of_the_authority_says_so_and_goes(pair: Pair) -> None:
    inner_server, inner_client = trio.testing.memory_stream_pair()
    server = TlsStream(inner_server, pair.server, server_side=True, counters=pair.counters)

    async def connect() -> None:
        with pytest.raises(TlsError, match="certificate verify failed: unable to get local issuer"):
            await tls_client(inner_client, ssl.create_default_context(), "server.test")

    async def serve() -> None:
        async def shake_and_read() -> None:
            await server.do_handshake()
            await server.receive_some()

        # In TLS 1.3 the client's word comes when the server's part of the handshake is done.
        with pytest.raises((TlsError, trio.BrokenResourceError), match="unknown ca"):
            await shake_and_read()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        nursery.start_soon(connect)


@pytest.mark.parametrize("size", [1, 2, 5, 100, 1000])
async def test_a_handshake_may_come_in_pieces_of_any_size(pair: Pair, size: int) -> None:
    inner_server, outside = trio.testing.memory_stream_pair()
    between, inner_client = trio.testing.memory_stream_pair()

    async def crumble(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
        while data := await source.receive_some():
            for start in range(0, len(data), size):
                await sink.send_all(data[start : start + size])
                await trio.testing.wait_all_tasks_blocked()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(crumble, between, outside)
        nursery.start_soon(crumble, outside, between)
        server, client = await pair.over(inner_server, inner_client)
        await client.send_all(b"hello")
        assert await server.receive_some(1) == b"h"
        nursery.cancel_scope.cancel()


async def test_text_in_place_of_a_handshake_is_given_back(pair: Pair) -> None:
    inner, client = trio.testing.memory_stream_pair()
    server = TlsStream(inner, pair.server, server_side=True)
    await client.send_all(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ClearTextError) as caught:
        await server.do_handshake()
    assert caught.value.received == b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"\x00" * 100, "no TLS handshake"),
        (b"\x16\x03\x01\x00\x04\xff\xff\xff\xff", "no TLS handshake"),
        (b"\x80\x2e\x01\x00\x02" + bytes(43), "no TLS handshake"),  # SSL 2.0
        (b"\x15\x03\x01\x00\x02\x02\x28", "no TLS handshake"),  # an alert
        (b"\x16\x03\x01\xff\xff" + bytes(65535), "no TLS handshake"),  # a record too long
        (b"\x16\x03\x01\x00\x01\x01" * 30_000, "no TLS handshake|too long"),
        (b"", "in the middle"),
        (b"\x16\x03", "in the middle"),
    ],
)
async def test_garbage_in_place_of_a_handshake_is_a_failure_in_words(
    pair: Pair, said: bytes, words: str
) -> None:
    inner, client = trio.testing.memory_stream_pair()
    server = TlsStream(inner, pair.server, server_side=True)
    await client.send_all(said)
    await client.send_eof()
    with pytest.raises(TlsError, match=words):
        await server.do_handshake()
    with pytest.raises(trio.BrokenResourceError):
        await server.send_all(b"anything")


async def test_a_handshake_without_end_is_refused_for_its_length(pair: Pair) -> None:
    inner, client = trio.testing.memory_stream_pair()
    server = TlsStream(inner, pair.server, server_side=True)
    # A ClientHello of 128 KiB less a byte is the longest that OpenSSL waits for.
    long_hello = b"\x01\x01\xff\xff\x03\x03" + bytes(2 * HANDSHAKE_BYTES)
    for start in range(0, len(long_hello), 16_000):
        piece = long_hello[start : start + 16_000]
        await client.send_all(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece)
    with pytest.raises(TlsError):
        await server.do_handshake()


async def test_a_client_gives_up_a_server_that_says_nothing(autojump_clock: object) -> None:
    _silent, inner_client = trio.testing.memory_stream_pair()
    began_at = trio.current_time()
    with pytest.raises(TlsError, match="within 7 s"):
        await tls_client(inner_client, ssl.create_default_context(), "server.test", timeout_s=7)
    assert trio.current_time() - began_at == pytest.approx(7)


def hello_for(name: str | None) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("name", ["server.test", "x", None])
async def test_the_name_asked_for_is_read_from_the_hello(name: str | None) -> None:
    hello = hello_for(name)
    assert asked_name(hello) == name
    payload = hello[5:]
    crumbs = b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in payload)
    assert asked_name(crumbs) == name
    for end in range(len(hello)):
        asked_name(hello[:end])


async def test_a_name_that_is_none_is_not_told(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    hello = hello_for("serverx.test")
    assert asked_name(hello.replace(b"serverx", b"ser\xf9erx")) is None
    assert asked_name(hello.replace(b"serverx", b"serve\0x")) is None
    inner, client = trio.testing.memory_stream_pair()
    server = TlsStream(inner, pair.server, server_side=True)
    await client.send_all(hello.replace(b"serverx", b"ser\xf9erx"))
    await client.send_eof()
    with pytest.raises(TlsError):
        await server.do_handshake()
    assert capsys.readouterr().err == ""


async def test_the_first_records_are_short(pair: Pair) -> None:
    server, client = await pair.streams()
    await server.send_all(bytes(100_000))
    lengths: list[int] = []
    received = b""
    while sum(lengths) < 100_000:
        received += await client.transport.receive_some()
        lengths = []
        left = received
        while len(left) >= 5:
            length = int.from_bytes(left[3:5], "big")
            lengths.append(length)
            left = left[5 + length :]
    # Tickets come before in TLS 1.3; a tag, and in 1.2 a nonce, go with each.
    assert max(lengths[:8]) <= EARLY_RECORD_BYTES + 32
    await server.send_all(bytes(50_000))
    last = await client.transport.receive_some()
    assert int.from_bytes(last[3:5], "big") > 16_000


@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("http", [server.serve_connection, http2.serve_connection])
async def test_a_service_that_is_stopped_says_close_notify_where_nothing_is_under_way(
    pair: Pair, http: Callable[..., Awaitable[None]], busy: bool
) -> None:
    started = trio.Event()

    async def wait(_request: Request) -> Response:
        started.set()
        await trio.sleep_forever()
        raise AssertionError

    at_server, client = await pair.streams()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(http, at_server, wait))
        if busy and http is server.serve_connection:
            await client.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await started.wait()
        elif busy:
            talk = H2Connection()
            talk.initiate_connection()
            names = (":method", ":scheme", ":authority", ":path")
            head = list(zip(names, ("GET", "https", "x", "/"), strict=True))
            talk.send_headers(1, head, end_stream=True)
            await client.send_all(talk.data_to_send())
            await started.wait()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    await at_server.transport.aclose()  # as the caller does
    if busy:
        with pytest.raises(trio.BrokenResourceError, match="without a close_notify"):
            await read_to_end(client)
    else:
        await read_to_end(client)


async def test_records_of_a_byte_are_read_a_few_at_a_time(pair: Pair) -> None:
    """Otherwise all others would wait for ten thousand of them, which take 50 ms."""
    server, client = await pair.streams()
    for _ in range(1000):
        await client.send_all(b"x")
    sizes: list[int] = []
    while sum(sizes) < 1000:
        sizes.append(len(await server.receive_some(65536)))
    assert max(sizes) <= MAX_RECORDS


async def test_answers_of_openssl_to_who_takes_nothing_are_bounded(pair: Pair) -> None:
    """New keys and alerts are written for as long as the peer asks; it is not heard then."""
    inner_server, inner_client = trio.testing.memory_stream_pair()
    server, client = await pair.over(inner_server, inner_client)
    takes = trio.Event()
    inner_server.send_stream.send_all_hook = takes.wait
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.send_all, b"an answer")
        await trio.testing.wait_all_tasks_blocked()
        server._outgoing.write(bytes(MAX_ANSWERS_BYTES))  # as if there had been thousands
        await client.send_all(b"more")
        received: list[bytes] = []

        async def hear() -> None:
            received.append(await server.receive_some())
            received.append(await server.receive_some())

        nursery.start_soon(hear)
        await trio.testing.wait_all_tasks_blocked()
        assert received == [b"more"]
        server._outgoing.write(b"and one")
        await client.send_all(b"and more")
        await trio.testing.wait_all_tasks_blocked()
        assert received == [b"more"]
        takes.set()
        await trio.testing.wait_all_tasks_blocked()
        assert received == [b"more", b"and more"]
