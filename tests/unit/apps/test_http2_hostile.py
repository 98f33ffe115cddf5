"""HTTP/2 from clients that mean no good: refused by the protocol's own codes, and counted."""

import gc
import sys
from collections.abc import Callable
from functools import partial
from random import Random

import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from hpack import Encoder
from http2_talk import PREFACE, Answer, Client, frame, talking

from pystack.apps.http import Request, Response
from pystack.apps.http.http2 import MAX_STREAMS, serve_connection
from pystack.apps.http.site import Site
from pystack.apps.limits import Limits
from pystack.core.counters import Counters

pytestmark = pytest.mark.trio

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def head(path: bytes = b"/", *more: tuple[bytes, bytes], method: bytes = b"GET") -> bytes:
    fields = [(b":method", method), (b":scheme", b"https"), (b":authority", b"test")]
    encoded: bytes = Encoder().encode([*fields, (b":path", path), *more])
    return encoded


def get(stream: int, path: bytes = b"/", *more: tuple[bytes, bytes], flags: int = 5) -> bytes:
    return frame(HEADERS, flags, stream, head(path, *more))


async def wait_for_ever(_request: Request) -> Response:
    await trio.sleep_forever()
    raise AssertionError


BEGINNING = PREFACE + frame(SETTINGS)

CONNECTION_ERRORS = {
    "no_preface": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PROTOCOL_ERROR"),
    "garbage": (PREFACE + b"\xff" * 100, "FRAME_SIZE_ERROR"),
    "no_settings": (PREFACE + get(1), None),
    "frame_too_long": (BEGINNING + b"\x01\x00\x00\x00\x00\x00\x00\x00\x01", "FRAME_SIZE_ERROR"),
    "settings_of_odd_length": (BEGINNING + frame(SETTINGS, 0, 0, b"12345"), "FRAME_SIZE_ERROR"),
    "settings_on_a_stream": (BEGINNING + frame(SETTINGS, 0, 1), "PROTOCOL_ERROR"),
    "ping_of_odd_length": (BEGINNING + frame(PING, 0, 0, b"1234567"), "FRAME_SIZE_ERROR"),
    "ping_on_a_stream": (BEGINNING + frame(PING, 0, 1, b"12345678"), "PROTOCOL_ERROR"),
    "data_on_no_stream": (BEGINNING + frame(DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
    "data_on_an_idle_stream": (BEGINNING + frame(DATA, 0, 1, b"x"), "PROTOCOL_ERROR"),
    "even_stream": (BEGINNING + get(2), "PROTOCOL_ERROR"),
    "stream_going_back": (BEGINNING + get(5) + get(3), "PROTOCOL_ERROR|STREAM_CLOSED"),
    "push": (BEGINNING + frame(PUSH, END_HEADERS, 1, bytes(4)), "PROTOCOL_ERROR"),
    "naked_continuation": (BEGINNING + frame(CONTINUATION, 4, 1, head()), "PROTOCOL_ERROR"),
    "headers_in_headers": (
        BEGINNING + frame(HEADERS, 0, 1, head()) + frame(PING, 0, 0, bytes(8)),
        "PROTOCOL_ERROR",
    ),
    "bad_compression": (
        BEGINNING + frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff"),
        "COMPRESSION_ERROR|PROTOCOL_ERROR",
    ),
    "window_of_nothing": (BEGINNING + frame(WINDOW, 0, 0, bytes(4)), "PROTOCOL_ERROR"),
    "window_too_large": (
        BEGINNING + frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"),
        "FLOW_CONTROL_ERROR",
    ),
    "settings_window_too_large": (
        BEGINNING + frame(SETTINGS, 0, 0, b"\x00\x04\xff\xff\xff\xff"),
        "FLOW_CONTROL_ERROR",
    ),
    "frame_size_too_small": (
        BEGINNING + frame(SETTINGS, 0, 0, b"\x00\x05\x00\x00\x00\x10"),
        "PROTOCOL_ERROR",
    ),
    "upper_case": (BEGINNING + get(1, b"/", (b"X-Y", b"z")), "PROTOCOL_ERROR"),
    "connection_header": (BEGINNING + get(1, b"/", (b"connection", b"close")), "PROTOCOL_ERROR"),
    "no_path": (
        BEGINNING + frame(HEADERS, 5, 1, Encoder().encode([(b":method", b"GET")])),
        "PROTOCOL_ERROR",
    ),
    "pseudo_after_plain": (BEGINNING + get(1, b"/", (b":path", b"/x")), "PROTOCOL_ERROR"),
    "too_long_a_body": (
        BEGINNING
        + frame(HEADERS, 4, 1, head(b"/", (b"content-length", b"1")))
        + frame(DATA, END_STREAM, 1, b"xx"),
        "PROTOCOL_ERROR",
    ),
    "padding_longer_than_the_frame": (
        BEGINNING + get(1, flags=4) + frame(DATA, 8, 1, b"\xff1"),
        "PROTOCOL_ERROR",
    ),
    "priority_of_itself": (
        BEGINNING + frame(PRIORITY, 0, 1, b"\x00\x00\x00\x01\x10"),
        "PROTOCOL_ERROR",
    ),
    "more_than_the_window": (
        BEGINNING + get(1, flags=4) + frame(DATA, 0, 1, bytes(16_384)) * 33,
        "FLOW_CONTROL_ERROR",
    ),
}


@pytest.mark.parametrize("name", CONNECTION_ERRORS)
@pytest.mark.parametrize("step", [None, 1])
async def test_who_breaks_the_protocol_gets_goaway_with_the_right_code(
    name: str, step: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    said, codes = CONNECTION_ERRORS[name]
    if step == 1:
        said = said[:3000]  # byte by byte
    counters = Counters()
    async with talking(wait_for_ever, counters=counters, begins=False) as client:
        for start in range(0, len(said), step or len(said)):
            await client.stream.send_all(said[start : start + (step or len(said))])
        if step == 1 and len(CONNECTION_ERRORS[name][0]) > 3000:
            return
        await client.stream.send_eof()
        await client.read_raw()
    assert "Traceback" not in caplog.text
    if codes is not None:
        assert client.goaway is not None
        assert client.goaway.name in codes.split("|")
        assert counters["http2_errors"] == 1


async def test_data_after_the_end_of_a_request_costs_its_stream() -> None:
    async with talking(wait_for_ever) as client:
        number = await client.request()
        await client.stream.send_all(frame(DATA, 0, number, b"x"))
        answer = await client.answer(number)
        assert answer.reset is ErrorCodes.STREAM_CLOSED
        assert not client.closed


FLOODS = {
    "ping": frame(PING, 0, 0, bytes(8)),
    "settings": frame(SETTINGS),
    "settings_of_a_frame": frame(SETTINGS, 0, 0, b"\0\4\0\1\0\0" * 2700),
    "priority": frame(PRIORITY, 0, 3, b"\x00\x00\x00\x01\x10"),
    "unknown": frame(77, 0, 0, b"?"),
    "window": frame(WINDOW, 0, 0, b"\x00\x00\x00\x01"),
    "reset": frame(RST_STREAM, 0, 1, bytes(4)),
    "empty_data": frame(DATA, 0, 1),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_frames_that_are_of_no_use_ends_the_connection(name: str) -> None:
    counters = Counters()
    async with talking(wait_for_ever, counters=counters, begins=False) as client:
        count = 1 if name == "settings_of_a_frame" else 2000
        await client.stream.send_all(BEGINNING + get(1, flags=4) + FLOODS[name] * count)
        await client.read_raw()
    assert client.goaway is ErrorCodes.ENHANCE_YOUR_CALM
    assert counters == {"http2_floods": 1}


async def test_a_block_of_headers_without_end_is_refused() -> None:
    for pieces in (frame(CONTINUATION, 0, 1, bytes(1000)) * 100, frame(CONTINUATION, 0, 1) * 100):
        counters = Counters()
        async with talking(counters=counters, begins=False) as client:
            await client.stream.send_all(BEGINNING + frame(HEADERS, 0, 1, head()) + pieces)
            await client.read_raw()
        assert client.goaway is ErrorCodes.ENHANCE_YOUR_CALM
        assert counters == {"http2_header_blocks_refused": 1}


async def test_a_bomb_of_headers_is_refused() -> None:
    # 4000 bytes once, and then 8000 times by a single byte: 32 MB
    bomb = head(b"/", (b"x", b"y" * 4000)) + b"\xbe" * 8000
    counters = Counters()
    async with talking(counters=counters, begins=False) as client:
        await client.stream.send_all(BEGINNING + frame(HEADERS, 5, 1, bomb))
        await client.read_raw()
    assert client.goaway is ErrorCodes.ENHANCE_YOUR_CALM
    assert counters == {"http2_header_blocks_refused": 1}


async def test_a_head_has_as_many_lines_as_in_http_1() -> None:
    async with talking() as client:
        assert (await client.ask("/", *[("x", "y")] * 100)).status == 200
        assert (await client.ask("/", *[("x", "y")] * 101)).status == 431


async def test_heads_over_the_limits_are_answered() -> None:
    async with talking(limits=Limits(header_bytes=3000, target_bytes=1000)) as client:
        assert (await client.ask("/", ("x", "y" * 3000))).status == 431
        assert (await client.ask("/" + "x" * 1000)).status == 414
        assert (await client.ask("/a b")).status == 400
        assert (await client.ask("relative")).status == 400
        assert (
            await client.ask(
                "/", ("content-length", str(1 << 41)), method="POST", body=b"", ends=False
            )
        ).status == 413
        assert (await client.ask()).status == 200


async def test_requests_that_are_taken_back_at_once_end_the_connection() -> None:
    started = 0

    async def count(_request: Request) -> Response:
        nonlocal started
        started += 1
        await trio.sleep_forever()
        raise AssertionError

    counters = Counters()
    async with talking(count, counters=counters, begins=False) as client:
        resets = b"".join(
            get(number) + frame(RST_STREAM, 0, number, b"\0\0\0\x08")
            for number in range(1, 4001, 2)
        )
        await client.stream.send_all(BEGINNING + resets)
        await client.read_raw()
    assert client.goaway is ErrorCodes.ENHANCE_YOUR_CALM
    assert counters == {"http2_rapid_resets": 1}
    assert started < 250


@pytest.mark.parametrize(
    "offence",
    [
        lambda number: frame(DATA, 0, number, b"after the end"),
        lambda number: frame(WINDOW, 0, number, b"\x7f\xff\xff\xff"),
        lambda number: get(number),
    ],
    ids=["data", "window", "headers"],
)
async def test_making_the_server_reset_is_no_way_round(offence: Callable[[int], bytes]) -> None:
    """CVE-2025-8671: the client offends against a stream, and it is the server that resets it."""
    started = 0

    async def count(_request: Request) -> Response:
        nonlocal started
        started += 1
        await trio.sleep_forever()
        raise AssertionError

    async with talking(count, begins=False) as client:
        said = b"".join(get(number) + offence(number) for number in range(1, 4001, 2))
        await client.stream.send_all(BEGINNING + said)
        await client.read_raw()
    assert client.goaway is not None
    assert started < 250


async def test_handlers_that_still_run_are_bounded_too() -> None:
    """A handler that is slow to end counts, though its stream has been reset."""
    running = most = 0

    async def stubborn(_request: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.testing.wait_all_tasks_blocked()
            running -= 1
        raise AssertionError

    async with talking(stubborn, begins=False) as client:
        resets = b"".join(
            get(number) + frame(RST_STREAM, 0, number, b"\0\0\0\x08")
            for number in range(1, 1000, 2)
        )
        await client.stream.send_all(BEGINNING + resets)
        await client.read_raw()
    assert 0 < most <= MAX_STREAMS


async def test_more_streams_than_announced_are_refused() -> None:
    counters = Counters()
    async with talking(wait_for_ever, counters=counters, begins=False) as client:
        numbers = range(1, 2 * MAX_STREAMS + 2, 2)
        await client.stream.send_all(BEGINNING + b"".join(map(get, numbers)))
        await client.read_raw()
    assert client.goaway is ErrorCodes.PROTOCOL_ERROR


async def test_a_client_that_gives_no_window_is_reset_in_time(autojump_clock: object) -> None:
    async with talking(
        Site(), limits=Limits(send_s=20), settings={"INITIAL_WINDOW_SIZE": 0}
    ) as client:
        answer = await client.ask("/bytes/1000")
        assert answer.reset is ErrorCodes.CANCEL
        assert trio.current_time() == pytest.approx(20, abs=1)
        assert (await client.ask("/bytes/0")).status == 200


async def test_a_client_that_takes_a_byte_at_a_time_is_reset_in_time(
    autojump_clock: object,
) -> None:
    limits = Limits(send_s=20)
    async with talking(Site(), limits=limits, settings={"INITIAL_WINDOW_SIZE": 1}) as client:
        client.takes_data = False
        number = await client.request("/bytes/100000")

        async def dribble() -> None:
            while True:
                await trio.sleep(0.5)
                client.h2.increment_flow_control_window(1, number)
                await client.flush()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            answer = await client.answer(number)
            nursery.cancel_scope.cancel()
    assert answer.reset is ErrorCodes.CANCEL
    assert trio.current_time() <= 41
    assert len(answer.body) < 100


async def test_a_client_that_reads_nothing_is_cut_in_time(autojump_clock: object) -> None:
    client_end, inner = trio.testing.memory_stream_pair()
    client = Client(client_end)
    async with trio.open_nursery() as nursery:
        await client.begin(INITIAL_WINDOW_SIZE=1 << 20)
        inner.send_stream.send_all_hook = trio.sleep_forever
        nursery.start_soon(partial(serve_connection, inner, Site(), limits=Limits(send_s=20)))
        await client.request("/bytes/1000")
    assert trio.current_time() == pytest.approx(20, abs=1)


async def test_a_flood_of_pings_from_who_reads_nothing_stops_at_a_bound(
    autojump_clock: object,
) -> None:
    client_end, inner = trio.testing.memory_stream_pair()
    async with trio.open_nursery() as nursery:
        inner.send_stream.send_all_hook = trio.sleep_forever
        await client_end.send_all(BEGINNING)
        requests = (get(n, b"/") + frame(PING, 0, 0, bytes(8)) * 900 for n in range(1, 199, 2))
        await client_end.send_all(b"".join(requests))
        nursery.start_soon(
            partial(serve_connection, inner, wait_for_ever, limits=Limits(send_s=20))
        )
    assert trio.current_time() <= 21


@pytest.mark.parametrize(
    ("said", "after_s"),
    [
        (b"", 15.0),
        (PREFACE[:10], 15.0),
        (BEGINNING, 60.0),
        (BEGINNING + frame(HEADERS, 0, 1, head()), 15.0),
        (BEGINNING + get(1)[:-1], 60.0),
    ],
)
async def test_who_begins_and_does_not_go_on_is_ended_in_time(
    autojump_clock: object, said: bytes, after_s: float
) -> None:
    async with talking(begins=False) as client:
        await client.stream.send_all(said)
        await client.read_raw()
        assert trio.current_time() == pytest.approx(after_s, abs=0.1)


async def test_headers_that_come_by_drops_do_not_get_more_time(autojump_clock: object) -> None:
    async with talking(wait_for_ever, begins=False) as client:
        await client.stream.send_all(BEGINNING + get(1) + frame(HEADERS, 0, 3, head()))

        async def dribble() -> None:
            for _ in range(10):
                await trio.sleep(4)
                await client.stream.send_all(frame(CONTINUATION, 0, 3))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            await client.read_raw()
            nursery.cancel_scope.cancel()
    assert trio.current_time() == pytest.approx(15, abs=0.1)
    assert client.goaway is ErrorCodes.ENHANCE_YOUR_CALM


async def test_a_body_that_does_not_come_is_answered_with_408(autojump_clock: object) -> None:
    async with talking(Site()) as client:
        number = await client.request("/upload", method="POST", body=b"x", ends=False)
        answer = await client.answer(number)
        assert answer.status == 408
        assert trio.current_time() == pytest.approx(30, abs=1)
        await client.until(lambda: answer.reset is not None)
        assert (await client.ask("/bytes/1")).status == 200


async def test_a_body_by_drops_is_refused_in_the_end(autojump_clock: object) -> None:
    async with talking(Site()) as client:
        number = await client.request("/upload", method="POST", body=b"x", ends=False)

        async def dribble() -> None:
            while True:
                await trio.sleep(5)
                client.h2.send_data(number, b"x")
                await client.flush()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            answer = await client.answer(number)
            nursery.cancel_scope.cancel()
    assert answer.status == 408
    assert trio.current_time() < 32


async def test_a_table_that_the_client_offers_is_not_filled() -> None:
    settings = {"HEADER_TABLE_SIZE": 2**32 - 1}
    async with talking(settings=settings) as client:
        assert (await client.ask()).status == 200
        assert (await client.ask()).status == 200


@pytest.mark.parametrize("seed", range(20))
async def test_frames_at_random_never_raise(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = Random(seed)
    said = BEGINNING
    for _ in range(200):
        kind, stream = rng.randrange(11), rng.choice([0, 1, 1, 3, 3, 5, 7, 2**31 - 1])
        payload = head() if kind == HEADERS else rng.randbytes(rng.choice([0, 4, 5, 6, 8, 20]))
        said += frame(kind, rng.randrange(256), stream, payload)
    async with talking(Site(), begins=False) as client:
        await client.stream.send_all(said)
        await client.stream.send_eof()
        await client.stream.receive_some(1)
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("padded", [False, True])
async def test_a_body_by_drops_takes_no_more_memory_than_its_bytes(padded: bool) -> None:
    drop = frame(DATA, 0x8 if padded else 0, 1, b"\1x\0" if padded else b"x")
    async with talking(wait_for_ever) as client:
        await client.stream.send_all(get(1, flags=END_HEADERS))
        await client.stream.send_all(frame(PING, 0, 0, b"before--"))
        await said(client, b"before--")
        gc.collect()
        blocks = sys.getallocatedblocks()
        for _ in range(300):
            await client.stream.send_all(drop * 100)
        await client.stream.send_all(frame(PING, 0, 0, b"after---"))
        await said(client, b"after---")
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 5000


async def said(client: Client, words: bytes) -> None:
    received = b""
    while words not in received:
        received += await client.stream.receive_some()


SHORT = (b"content-length", b"5")
MALFORMED = {
    "two_words_of_method": (head(method=b"GET /x HTTP/1.1"), END_STREAM, b"", 400),
    "no_method": (head(method=b""), END_STREAM, b"", 400),
    "method_of_odd_bytes": (head(method=b"G\xffT"), END_STREAM, b"", 400),
    "absolute_target": (head(b"http://elsewhere/"), END_STREAM, b"", 400),
    "star_without_options": (head(b"*"), END_STREAM, b"", 400),
    "no_body_for_its_length": (head(b"/", SHORT), END_STREAM, b"", 400),
    "trailers_before_the_length": (
        head(b"/", SHORT),
        0,
        frame(DATA, 0, 1, b"abc") + frame(HEADERS, 5, 1, Encoder().encode([(b"x", b"y")])),
        400,
    ),
    "a_length_of_22_digits": (
        head(b"/", (b"content-length", b"1" + b"0" * 20 + b"5")),
        END_STREAM,
        b"",
        413,
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_reaches_no_handler_as_if_it_were_whole(name: str) -> None:
    block, flags, more, status = MALFORMED[name]
    seen: list[bytes] = []

    async def read(request: Request) -> Response:
        seen.append(await request.body.read())
        return Response()

    async with talking(read) as client:
        # h2 is to know of the stream that the answer comes on
        client.h2.send_headers(1, client.head(), end_stream=True)
        client.h2.data_to_send()
        client.answers[1] = Answer()
        await client.stream.send_all(frame(HEADERS, END_HEADERS | flags, 1, block) + more)
        answer = await client.answer(1)
    assert (answer.status, seen) == (status, [])
