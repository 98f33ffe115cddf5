"""The connection loop: keep-alive, pipelining, framing, refusals."""

import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
import trio
import trio.testing
from http_talk import EPOCH, answers, ask, exchange, get, hello, read_to_end
from hypothesis import given
from hypothesis import strategies as st

from pystack import __version__
from pystack.apps.http import HttpError, Limits, Request, Response, serve_connection
from pystack.core.counters import Counters

pytestmark = pytest.mark.trio


async def swallow(request: Request) -> Response:
    return Response.text((await request.body.read()).decode())


async def test_every_answer_has_date_server_and_length() -> None:
    answer = await ask(get("/x"))
    assert answer.status == 200
    assert answer.body == b"GET /x"
    assert answer.headers["date"] == EPOCH
    assert answer.headers["server"] == f"pystack/{__version__}"
    assert answer.headers["content-length"] == "6"


async def test_head_has_the_headers_of_get_and_no_body() -> None:
    answer = await ask(get("/x", method="HEAD"), method="HEAD")
    assert answer.headers["content-length"] == "7"
    assert answer.body == b""


async def test_three_requests_in_one_segment_are_answered_in_order() -> None:
    received = await exchange(get("/1") + get("/2", method="HEAD") + get("/3"))
    first, second, third = answers(received, "GET", "HEAD", "GET")
    assert (first.body, second.body, third.body) == (b"GET /1", b"", b"GET /3")


async def test_a_request_may_arrive_byte_by_byte() -> None:
    raw = get("/slow", "X: y")
    received = await exchange([raw[i : i + 1] for i in range(len(raw))])
    assert answers(received, "GET")[0].body == b"GET /slow"


async def test_requests_are_numbered_on_their_connection() -> None:
    async def number(request: Request) -> Response:
        return Response.text(str(request.number))

    received = await exchange(get() + get(), number)
    assert [a.body for a in answers(received, "GET", "GET")] == [b"1", b"2"]


async def test_a_connection_is_kept_until_the_client_says_close() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, hello))
        await client.send_all(get())
        assert b"connection: close" not in bytes(await client.receive_some()).lower()
        await client.send_all(get("/", "Connection: close"))
        assert b"connection: close" in (await read_to_end(client)).lower()


async def test_http_1_0_is_answered_and_closed() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, hello))
        await client.send_all(b"GET /old HTTP/1.0\r\n\r\n")
        (answer,) = answers(await read_to_end(client), "GET")
    assert answer.body == b"GET /old"
    assert answer.headers["connection"] == "close"


async def test_a_client_that_ends_its_side_still_gets_its_answer() -> None:
    assert (await ask(get("/half"))).body == b"GET /half"


async def test_blank_lines_before_a_request_are_skipped() -> None:
    received = await exchange([b"\r\n", b"\r\n" + get("/1") + b"\r\n\r\n" + get("/2")])
    assert [a.body for a in answers(received, "GET", "GET")] == [b"GET /1", b"GET /2"]


async def test_a_target_in_absolute_form_is_taken_apart() -> None:
    async def show(request: Request) -> Response:
        return Response.text(f"{request.path}|{request.query}")

    assert (await ask(get("http://test/a/b?c=d"), show)).body == b"/a/b|c=d"
    assert (await ask(get("http://test?q"), show)).body == b"/|q"
    assert (await ask(get("/p?a?b"), show)).body == b"/p|a?b"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # a TLS client
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET nothing HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 400),  # and then the end
        (get("/", "Content-Length: x"), 400),
        (get("/", "Content-Length: 1", "Content-Length: 2"), 400),
        (get("/", "Content-Length: 3", "Transfer-Encoding: chunked"), 400),
        (get("/", "Transfer-Encoding: chunked", version="1.0"), 400),
        (get("/" + "a" * 9000), 414),
        (get("/", "Expect: a-miracle", "Content-Length: 1"), 417),
        (get("/", "X: " + "a" * 17000), 431),
        (get("/", *(f"X{i}: {'a' * 100}" for i in range(200))), 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40000, 431),  # without an end
        (get("/", "Transfer-Encoding: gzip"), 501),
        (get("test:80", method="CONNECT"), 501),
        (get("/", version="2.0"), 505),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (get("/", version="0.9"), 505),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_closed(
    raw: bytes, status: int
) -> None:
    answer = await ask(raw)
    assert answer.status == status
    assert answer.headers["connection"] == "close"
    assert answer.body.startswith(str(status).encode())


async def test_an_empty_connection_is_closed_without_a_word() -> None:
    assert await exchange(b"") == b""


async def test_a_refusal_by_the_handler_keeps_the_connection() -> None:
    async def refuse(request: Request) -> Response:
        raise HttpError(404, "Not this.", [("X-Why", "because")])

    first, second = answers(await exchange(get() + get(), refuse), "GET", "GET")
    assert (first.status, first.headers["x-why"]) == (404, "because")
    assert first.body == b"404 Not Found\nNot this.\n"
    assert "connection" not in first.headers
    assert second.status == 404


async def test_a_failing_handler_is_answered_with_500(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(request: Request) -> Response:
        raise ZeroDivisionError("secret")

    answer = await ask(get(), fail)
    assert answer.status == 500
    assert b"secret" not in answer.body
    assert "ZeroDivisionError" in caplog.text


async def test_a_header_that_cannot_be_sent_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def split(request: Request) -> Response:
        return Response(headers=[("X", "a\r\nSet-Cookie: b")])

    answer = await ask(get(), split)
    assert answer.status == 500
    assert "set-cookie" not in answer.headers


async def test_a_body_with_its_length_is_read() -> None:
    raw = get("/", "Content-Length: 5", method="POST") + b"12345" + get("/next")
    first, second = answers(await exchange(raw, swallow), "POST", "GET")
    assert (first.body, second.body) == (b"12345", b"")


async def test_a_chunked_body_is_read_with_its_trailers() -> None:
    head = get("/", "Transfer-Encoding: chunked", method="PUT")
    raw = [head, b"3\r\nabc\r\n", b"4;x=y\r\ndef", b"g\r\n0\r\nTrail: er\r\n\r\n" + get("/next")]
    first, second = answers(await exchange(raw, swallow), "PUT", "GET")
    assert first.body == b"abcdefg"
    assert second.status == 200


@pytest.mark.parametrize("garbage", [b"xyz\r\n", b"3\r\nabcdef\r\n", b"-1\r\n"])
async def test_a_broken_chunk_is_a_400(garbage: bytes) -> None:
    head = get("/", "Transfer-Encoding: chunked", method="PUT")
    answer = await ask(head + garbage, swallow, method="PUT")
    assert (answer.status, answer.headers["connection"]) == (400, "close")


async def test_a_body_that_ends_early_is_a_400() -> None:
    answer = await ask(get("/", "Content-Length: 5", method="PUT") + b"123", swallow, method="PUT")
    assert answer.status == 400


async def test_a_client_that_waits_for_100_is_told_to_go_on_when_the_body_is_read() -> None:
    client, server = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, swallow))
        head = get("/", "Expect: 100-continue", "Content-Length: 2", method="PUT")
        await client.send_all(head)
        assert bytes(await client.receive_some()) == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send_all(b"ok")
        await client.send_eof()
        assert answers(await read_to_end(client), "PUT")[0].body == b"ok"


async def test_a_client_that_waits_for_100_is_refused_at_once_and_closed() -> None:
    head = get("/", "Expect: 100-continue", "Content-Length: 9", method="PUT")
    answer = await ask(head, swallow, method="PUT", limits=Limits(body_bytes=8))
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_an_http_1_0_client_is_never_sent_a_100() -> None:
    head = get("/", "Expect: 100-continue", "Content-Length: 2", method="PUT", version="1.0")
    assert (await ask(head + b"ok", swallow, method="PUT")).body == b"ok"


async def test_a_small_unread_body_is_drained_and_the_connection_kept() -> None:
    raw = [get("/1", "Content-Length: 5", method="POST"), b"12", b"345" + get("/2")]
    first, second = answers(await exchange(raw), "POST", "GET")
    assert "connection" not in first.headers
    assert second.body == b"GET /2"


async def test_a_big_unread_body_closes_the_connection_but_the_answer_is_seen() -> None:
    raw = [get("/1", "Content-Length: 10000000", method="POST"), b"x" * 100_000, b"y" * 100_000]
    (answer,) = answers(await exchange(raw), "POST")
    assert answer.headers["connection"] == "close"
    assert answer.body == b"POST /1"


async def test_a_body_of_unknown_length_goes_in_chunks() -> None:
    async def count(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for part in (b"a", b"", b"bc"):
                yield part

        return Response(body=parts())

    first, second = answers(await exchange(get() + get(), count), "GET", "GET")
    assert first.headers["transfer-encoding"] == "chunked"
    assert (first.body, second.body) == (b"abc", b"abc")
    old = await ask(b"GET / HTTP/1.0\r\n\r\n", count)
    assert "transfer-encoding" not in old.headers
    assert (old.body, old.headers["connection"]) == (b"abc", "close")


async def test_a_body_is_closed_even_if_it_was_not_sent() -> None:
    closed: list[str] = []

    class Source:
        def __init__(self, name: str) -> None:
            self.name = name

        def __iter__(self) -> Iterator[bytes]:
            yield b"ab"

        def close(self) -> None:
            closed.append(self.name)

    async def give(request: Request) -> Response:
        return Response(body=Source(request.path), content_length=2)

    await exchange(get("/1") + get("/2", method="HEAD"), give)
    assert closed == ["/1", "/2"]


@pytest.mark.parametrize("length", [2, 4])
async def test_an_answer_shorter_or_longer_than_its_length_is_cut_not_completed(
    length: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def lie(request: Request) -> Response:
        return Response(body=iter([b"abc"]), content_length=length)

    client, server = trio.testing.memory_stream_pair()
    with caplog.at_level(logging.CRITICAL):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(serve_connection, server, lie))
            await client.send_all(get() + get())
            received = await read_to_end(client)
    assert received.count(b"HTTP/1.1") <= 1


async def test_a_client_that_goes_away_while_it_is_answered_ends_the_call_quietly() -> None:
    client, server = trio.testing.memory_stream_pair()

    async def forever(request: Request) -> Response:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 1000

        return Response(body=parts())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, forever))
        await client.send_all(get())
        await client.receive_some()
        await client.aclose()


@pytest.mark.parametrize("first", ["GET", "HEAD", "OPTIONS"])
@pytest.mark.parametrize(
    ("second", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"5\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000, 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y", 408),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1", 408),
    ],
)
async def test_a_request_is_answered_the_same_whatever_came_before(
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
    first: str,
    second: bytes,
    status: int,
) -> None:
    async def read(request: Request) -> Response:
        return Response.text(str(len(await request.body.read())))

    raw = await exchange((get(method=first), second), read, eof=False)
    ok, refused = answers(raw, first, "GET")
    assert (ok.status, refused.status) == (200, status)
    assert refused.body != b""
    assert caplog.records == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("a", 200),
        ("", 200),  # RFC 9110 section 7.2
        ("a.example:80", 200),
        ("a:", 200),
        ("10.77.0.2:8080", 200),
        ("[::1]:80", 200),
        ("a_b%20c", 200),
        ("a b", 400),
        ("a/b", 400),
        ("user@a", 400),
        ("http://a/", 400),
        ("a:port", 400),
        ("a:65536", 400),
        ("[::1", 400),
        ("[::1]:8080", 200),
        ("[fe80::1%eth0]", 200),  # as httpx says it
        ("[fe80::1%25eth0]:80", 200),
        ("[fe80::1%]", 400),
        ("[v7.a:b]", 200),
        ("[::ffff:10.0.0.1]", 200),
        ("[1::2::3]", 400),
        ("[::g]", 400),
        ("[10.0.0.1]", 400),
        ("[]", 400),
        ("::1", 400),
        ("a%2", 400),
        ("a, b", 400),
        ("b\xe9", 400),
    ],
)
async def test_a_host_that_is_none_is_a_400(host: str, status: int) -> None:
    for version in ("1.0", "1.1"):
        raw = f"GET / HTTP/{version}\r\nHost: {host}\r\n\r\n".encode("latin-1")
        assert (await ask(raw)).status == status


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://a/x", 200), ("http://a", 200), ("http:///x", 400), ("http://u@a/x", 400)],
)
async def test_a_target_with_a_host_that_is_none_is_a_400(target: str, status: int) -> None:
    assert (await ask(get(target))).status == status


async def test_a_head_of_many_lines_is_a_431() -> None:
    assert (await ask(get("/", *["a: b"] * 98))).status == 200
    assert (await ask(get("/", *["a: b"] * 1000))).status == 431


async def test_trailers_of_many_lines_are_a_431() -> None:
    async def read(request: Request) -> Response:
        return Response.text(str(len(await request.body.read())))

    head = get("/", "Transfer-Encoding: chunked", method="PUT")
    for lines, status in ((50, 200), (5000, 431)):
        raw = head + b"1\r\na\r\n0\r\n" + b"a: b\r\n" * lines + b"\r\n"
        assert (await ask(raw, read, method="PUT")).status == status


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=300), st.integers(1, 5000))
async def test_a_chunked_body_arrives_whole_however_it_is_cut(
    chunks: list[bytes], piece_bytes: int
) -> None:
    async def read(request: Request) -> Response:
        return Response(body=await request.body.read())

    raw = get("/", "Transfer-Encoding: chunked", method="PUT")
    raw += b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    raw += get("/next")
    pieces = [raw[at : at + piece_bytes] for at in range(0, len(raw), piece_bytes)]
    first, second = answers(
        await exchange([*pieces[:50], b"".join(pieces[50:])], read), "PUT", "GET"
    )
    assert (first.body, second.status) == (b"".join(chunks), 200)


async def test_tls_that_comes_to_a_clear_port_is_told_so_and_counted() -> None:
    counters = Counters()
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(b"\x16\x03\x01\x00\xfa\x01\x00\x00\xf6\x03\x03" + bytes(200))
    await client.send_eof()
    await serve_connection(server, hello, counters=counters)
    (answer,) = answers(await read_to_end(client), "GET")
    assert answer.status == 400
    assert answer.body.endswith(b"That is TLS, and this port takes HTTP in clear.\n")
    assert counters == {"http_tls_to_clear_port": 1}
