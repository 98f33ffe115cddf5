"""Time-outs, in Trio's jumping clock, and limits on what a client may send."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing
from http_talk import answers, ask, exchange, get, hello, read_to_end

from pystack.apps.http import Limits, Request, Response, serve_connection
from pystack.core.errors import ConfigError

pytestmark = pytest.mark.trio


async def swallow(request: Request) -> Response:
    total = 0
    async for chunk in request.body:
        total += len(chunk)
    return Response.text(str(total))


async def test_a_silent_connection_is_closed_without_a_word(
    autojump_clock: trio.testing.MockClock,
) -> None:
    received = await exchange(b"", limits=Limits(idle_s=7), eof=False)
    assert received == b""
    assert trio.current_time() == pytest.approx(7)


async def test_a_kept_connection_is_closed_without_a_word_after_the_idle_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    received = await exchange(get("/1"), limits=Limits(idle_s=7), eof=False)
    assert [a.status for a in answers(received, "GET")] == [200]
    assert trio.current_time() == pytest.approx(7)


async def test_a_head_that_is_not_finished_in_time_is_a_408(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()

    async def trickle() -> None:
        await client.send_all(b"GET / HTTP/1.1\r\n")
        for _ in range(4):
            await trio.sleep(1)
            await client.send_all(b"X: y\r\n")

    async with trio.open_nursery() as nursery:
        limits = Limits(header_s=3, idle_s=100)
        nursery.start_soon(partial(serve_connection, server, hello, limits=limits))
        nursery.start_soon(trickle)
        raw = await read_to_end(client)
        assert trio.current_time() == pytest.approx(3)
        await trio.sleep(2)
        await client.aclose()
    (answer,) = answers(raw, "GET")
    assert (answer.status, answer.headers["connection"]) == (408, "close")


async def test_a_pipelined_beginning_counts_as_begun(
    autojump_clock: trio.testing.MockClock,
) -> None:
    raw = get("/1") + b"GET /2 HT"
    received = await exchange(raw, limits=Limits(header_s=3, linger_s=1), eof=False)
    assert [a.status for a in answers(received, "GET", "GET")] == [200, 408]


async def test_a_body_that_stops_is_a_408(autojump_clock: trio.testing.MockClock) -> None:
    raw = get("/", "Content-Length: 5", method="PUT") + b"12"
    received = await exchange(raw, swallow, limits=Limits(body_s=4), eof=False)
    assert [a.status for a in answers(received, "PUT")] == [408]
    assert trio.current_time() == pytest.approx(4)


@pytest.mark.parametrize(("piece_bytes", "status"), [(25, 408), (50, 200)])
async def test_a_body_may_take_longer_than_the_time_out_if_it_keeps_to_the_least_rate(
    autojump_clock: trio.testing.MockClock, piece_bytes: int, status: int
) -> None:
    client, server = trio.testing.memory_stream_pair()
    limits = Limits(body_s=4, least_rate_bps=100)

    async def trickle() -> None:
        await client.send_all(get("/", f"Content-Length: {10 * piece_bytes}", method="PUT"))
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for _ in range(10):
                await trio.sleep(3)
                await client.send_all(bytes(piece_bytes))
            await client.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, swallow, limits=limits))
        nursery.start_soon(trickle)
        (answer,) = answers(await read_to_end(client), "PUT")
        assert answer.status == status
        # 25 bytes make good for 2 s: at 3 s there are 4 - 3 + 2 left
        assert status == 200 or trio.current_time() == pytest.approx(6)


async def test_a_byte_now_and_then_holds_no_connection(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()

    async def trickle() -> None:
        await client.send_all(get("/", "Content-Length: 100000000", method="POST"))
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while True:
                await trio.sleep(10)
                await client.send_all(b"a")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, swallow))
        nursery.start_soon(trickle)
        (answer,) = answers(await read_to_end(client), "POST")
        assert answer.status == 408
        assert trio.current_time() < 40
        await client.aclose()


async def test_a_handler_may_take_as_long_as_it_likes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def think(request: Request) -> Response:
        await request.body.read()
        await trio.sleep(80_000)
        return Response.text("42")

    limits = Limits(idle_s=1, header_s=1, body_s=1, send_s=1)
    raw = get("/", "Content-Length: 1", method="POST") + b"?"
    assert (await ask(raw, think, method="POST", limits=limits)).body == b"42"


async def test_a_body_that_takes_long_to_make_is_not_timed_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    class Slow:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> "Slow":
            return self

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            await trio.sleep(100)
            return b"x"

    async def slow(request: Request) -> Response:
        return Response(body=Slow())

    limits = Limits(idle_s=1, header_s=1, body_s=1, send_s=1)
    assert (await ask(get(), slow, limits=limits)).body == b"xxx"


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_reads_nothing_is_given_up(
    streamed: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async def much(request: Request) -> Response:
        parts: Iterator[bytes] = iter([b"x" * 70_000] * 100)
        return Response(body=parts if streamed else b"x" * 7_000_000)

    client, server = trio.testing.lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, much, limits=Limits(send_s=5)))
        await client.send_all(get())
        await trio.sleep(20)
        with pytest.raises(trio.ClosedResourceError):
            await server.send_all(b"x")  # the server has closed it


async def test_a_client_that_reads_slowly_gets_everything(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def much(request: Request) -> Response:
        return Response(body=iter([b"x" * 70_000] * 3), content_length=210_000)

    client, server = trio.testing.lockstep_stream_pair()
    received = b""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, much, limits=Limits(send_s=5)))
        await client.send_all(get("/", "Connection: close"))
        while part := await client.receive_some(32_768):
            received += part
            await trio.sleep(2)
    assert len(answers(received, "GET")[0].body) == 210_000


async def test_a_declared_body_over_the_limit_is_refused_before_it_is_read() -> None:
    raw = get("/", "Content-Length: 101", method="PUT")
    answer = await ask(raw, swallow, method="PUT", limits=Limits(body_bytes=100))
    assert (answer.status, answer.headers["connection"]) == (413, "close")
    raw = get("/", "Content-Length: 100", method="PUT") + b"x" * 100
    assert (await ask(raw, swallow, method="PUT", limits=Limits(body_bytes=100))).body == b"100"


async def test_a_chunked_body_is_refused_when_it_grows_over_the_limit() -> None:
    raw = get("/", "Transfer-Encoding: chunked", method="PUT") + b"65\r\n" + b"x" * 101
    answer = await ask(raw, swallow, method="PUT", limits=Limits(body_bytes=100))
    assert answer.status == 413


async def test_read_refuses_more_than_it_was_told_to_take() -> None:
    async def small(request: Request) -> Response:
        return Response(body=await request.body.read(max_bytes=3))

    raw = get("/", "Content-Length: 4", method="PUT") + b"1234"
    assert (await ask(raw, small, method="PUT")).status == 413


async def test_a_refused_client_that_goes_on_sending_sees_the_answer_and_the_end(
    autojump_clock: trio.testing.MockClock,
) -> None:
    client, server = trio.testing.memory_stream_pair()
    limits = Limits(body_bytes=10, linger_s=3, linger_bytes=1000)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, server, swallow, limits=limits))
        await client.send_all(get("/", "Content-Length: 5000", method="PUT"))
        raw = await read_to_end(client)  # the server's end comes before ours
        assert answers(raw, "PUT")[0].status == 413
        assert trio.current_time() == 0
        await client.send_all(b"x" * 400)
        await trio.sleep(1)
        await client.send_all(b"x" * 700)  # over the bound: now it is cut
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"x")


async def test_a_limit_must_be_positive() -> None:
    with pytest.raises(ConfigError, match="idle_s"):
        Limits(idle_s=0)
