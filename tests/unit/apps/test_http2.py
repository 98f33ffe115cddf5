"""HTTP/2: what polite clients get, as far as it is not the same as in HTTP/1.1."""

import hashlib
from collections.abc import AsyncIterator, Iterator
from functools import partial

import pytest
import trio
import trio.testing
from http2_talk import GOAWAY, Client, frame, hello, talking
from hyperframe.frame import DataFrame

from pystack.apps.http import Handler, HttpError, Request, Response
from pystack.apps.http.http2 import serve_connection
from pystack.apps.http.messages import BodyError
from pystack.apps.http.site import Site
from pystack.apps.limits import Limits

pytestmark = pytest.mark.trio

PATTERN = bytes(range(251))


async def test_a_request_is_answered() -> None:
    async with talking() as client:
        answer = await client.ask("/a?b")
    assert (answer.status, answer.body) == (200, b"GET /a")
    assert answer.headers["content-length"] == "6"
    assert answer.headers["date"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert answer.headers["server"].startswith("pystack/")
    assert "connection" not in answer.headers


async def test_the_handler_sees_what_it_sees_in_http_1() -> None:
    seen: list[Request] = []

    async def look(request: Request) -> Response:
        seen.append(request)
        return Response()

    async with talking(look) as client:
        crumbs = (("cookie", "c=1"), ("cookie", "d=2"))
        await client.ask("/x?y=1", ("x-twice", "a"), ("x-twice", "b"), *crumbs)
        await client.ask("/z", method="PUT", body=b"")
    first, second = seen
    assert (first.method, first.path, first.query, first.version) == ("GET", "/x", "y=1", "2")
    assert first.header("Host") == "test"
    assert first.header("X-Twice") == "a, b"
    assert first.header("Cookie") == "c=1; d=2"
    assert (b":path", b"/x?y=1") in first.raw_headers
    assert (first.number, second.number) == (1, 2)
    assert (second.method, second.path) == ("PUT", "/z")


async def test_head_and_statuses_without_a_body_end_with_their_headers() -> None:
    async def answer(request: Request) -> Response:
        return Response(int(request.path[1:]), b"" if request.path == "/204" else b"body")

    async with talking(answer) as client:
        head = await client.ask("/200", method="HEAD")
        unchanged = await client.ask("/304")
        nothing = await client.ask("/204")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "4")
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert (nothing.status, nothing.body) == (204, b"")


async def test_ranges_and_conditions_are_the_sites() -> None:
    async with talking(Site()) as client:
        part = await client.ask("/bytes/1000", ("range", "bytes=10-19"))
        beyond = await client.ask("/bytes/1000", ("range", "bytes=1000-"))
    assert (part.status, part.body) == (206, (PATTERN * 4)[10:20])
    assert part.headers["content-range"] == "bytes 10-19/1000"
    assert beyond.status == 416


@pytest.mark.parametrize("window", [1000, 65535, 1 << 20])
async def test_a_long_answer_keeps_to_the_clients_windows(window: int) -> None:
    count = 100_000 if window == 1000 else 3_000_000
    async with talking(Site(), settings={"INITIAL_WINDOW_SIZE": window}) as client:
        answer = await client.ask(f"/bytes/{count}")  # h2 raises where more comes
    assert answer.body == (PATTERN * (count // 251 + 1))[:count]
    assert int(answer.headers["content-length"]) == count


async def test_long_frames_are_sent_to_who_wants_them() -> None:
    settings = {"INITIAL_WINDOW_SIZE": 1 << 20, "MAX_FRAME_SIZE": 1 << 16}

    async def answer(_request: Request) -> Response:
        return Response(200, bytes(60_000))

    async with talking(answer, settings=settings) as client:
        assert len((await client.ask("/")).body) == 60_000
    assert len(client.order) == 1


async def test_an_upload_of_any_length_arrives() -> None:
    data = PATTERN * 12_000  # several windows
    async with talking(Site()) as client:
        number = await client.request("/upload", method="POST", ends=False)
        left = memoryview(data)
        while left:
            size = min(client.h2.local_flow_control_window(number) - 4, 16_000, len(left))
            if size <= 0:
                await client.receive()
                continue
            client.h2.send_data(number, bytes(left[:size]), pad_length=3)
            left = left[size:]
            await client.flush()
        client.h2.end_stream(number)
        await client.flush()
        answer = await client.answer(number)
    assert hashlib.sha256(data).hexdigest().encode() in answer.body


async def test_trailers_end_a_request() -> None:
    async with talking(Site()) as client:
        number = await client.request("/upload", method="POST", body=b"abc", ends=False)
        client.h2.send_headers(number, [("x-sum", "1")], end_stream=True)
        await client.flush()
        answer = await client.answer(number)
    assert b'"bytes": 3' in answer.body


async def test_streams_share_the_connection() -> None:
    paths = ["/bytes/2000000", "/bytes/2000000", "/bytes/2000000", "/bytes/10"]
    async with talking(Site(), settings={"INITIAL_WINDOW_SIZE": 0}) as client:
        client.h2.increment_flow_control_window(1 << 24)
        numbers = [await client.request(path) for path in paths]
        await client.until(lambda: all(client.answers[number].status for number in numbers))
        client.h2.update_settings({4: 1 << 23})  # all may go at once
        await client.flush()
        lengths = [len((await client.answer(number)).body) for number in numbers]
    assert lengths == [2_000_000] * 3 + [10]
    last = {number: index for index, number in enumerate(client.order)}
    assert max(client.order.index(number) for number in numbers) < min(
        last[number] for number in numbers[:3]
    )


async def test_a_stream_without_window_does_not_hold_up_the_others() -> None:
    async with talking(Site(), settings={"INITIAL_WINDOW_SIZE": 0}) as client:
        stuck = await client.request("/bytes/1000")
        other = await client.request("/bytes/1000")
        client.h2.increment_flow_control_window(1000, other)
        await client.flush()
        assert len((await client.answer(other)).body) == 1000
        assert client.answers[stuck].status == 200
        assert not client.answers[stuck].ended


async def test_a_window_that_goes_below_nothing_comes_back() -> None:
    async with talking(Site(), settings={"INITIAL_WINDOW_SIZE": 1000}) as client:
        client.takes_data = False
        number = await client.request("/bytes/3000")
        await client.until(lambda: len(client.answers[number].body) == 1000)
        client.h2.update_settings({4: 500})  # now it is -500
        await client.flush()
        client.h2.increment_flow_control_window(2600, number)
        await client.flush()
        assert len((await client.answer(number)).body) == 3000


async def test_nothing_of_a_body_that_comes_is_packed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packed: list[int] = []
    pack_again = DataFrame._body_repr  # of which h2 makes a line of its log for each frame

    def noted(frame: DataFrame) -> str:
        packed.append(len(frame.serialize_body()))
        return pack_again(frame)

    monkeypatch.setattr(DataFrame, "_body_repr", noted)

    async def take(request: Request) -> Response:
        return Response.text(str(len(await request.body.read())))

    async with talking(take) as client:
        packed.clear()
        answer = await client.ask("/", method="PUT", body=PATTERN * 40)
    assert answer.body == b"10040"
    assert 0 in packed


async def test_the_client_is_told_to_go_on_when_its_body_is_wanted() -> None:
    expects = ("expect", "100-continue")
    async with talking(Site()) as client:
        number = await client.request("/upload", expects, method="POST", ends=False)
        await client.until(lambda: bool(client.answers[number].informational))
        client.h2.send_data(number, b"abc", end_stream=True)
        await client.flush()
        answer = await client.answer(number)
        refused = await client.ask("/", expects, method="POST", ends=False)
        unknown = await client.ask("/", ("expect", "more"), method="POST", body=b"")
    assert answer.informational == [100]
    assert answer.status == 200
    assert (refused.status, refused.informational) == (405, [])
    assert unknown.status == 417


async def test_a_body_that_nobody_reads_does_not_end_the_connection() -> None:
    async with talking() as client:
        small = await client.ask("/", method="POST", body=b"x" * 1000)
        endless = await client.request(
            "/", ("content-length", "100000000"), method="POST", body=b"x", ends=False
        )
        answer = await client.answer(endless)
        await client.until(lambda: answer.reset is not None)
        again = await client.ask("/")
    assert small.reset is None
    assert (answer.status, answer.ended, answer.reset) == (200, True, 0)
    assert again.status == 200


async def test_bodies_of_parts_are_sent_as_they_come() -> None:
    def parts() -> Iterator[bytes]:
        yield from (b"a", b"", b"b" * 300_000)

    async def slow_parts() -> AsyncIterator[bytes]:
        for part in parts():
            await trio.lowlevel.checkpoint()
            yield part

    async def answer(request: Request) -> Response:
        return Response(body=parts() if request.path == "/sync" else slow_parts())

    async with talking(answer, settings={"INITIAL_WINDOW_SIZE": 1 << 20}) as client:
        for path in ("/sync", "/async"):
            told = await client.ask(path)
            assert told.body == b"a" + b"b" * 300_000
            assert "content-length" not in told.headers


async def take_over(_stream: trio.abc.HalfCloseableStream, _early: bytes) -> None:
    raise AssertionError


async def broken_promise(request: Request) -> Response:
    def failing(error: Exception) -> Iterator[bytes]:
        yield b"x"
        raise error

    match request.path:
        case "/short":
            return Response(body=iter([b"x"]), content_length=2)
        case "/long":
            return Response(body=iter([b"xxx"]), content_length=2)
        case "/late":
            return Response(body=failing(ZeroDivisionError()))
        case "/file":
            return Response(body=failing(BodyError("it shrank")))
        case "/header":
            return Response(headers=[("X", "a\r\nb: c")])
        case "/name":
            return Response(headers=[("a b", "c")])
        case "/takeover":
            return Response(101, takeover=take_over)
        case _:
            raise ZeroDivisionError


@pytest.mark.parametrize(
    ("path", "status", "reset", "words"),
    [
        ("/short", 200, 2, "1 bytes shorter than it was said"),
        ("/long", 200, 2, "1 bytes longer than it was said"),
        ("/late", 200, 2, "could not be sent whole"),
        ("/file", 200, 2, "it shrank"),
        ("/header", 500, None, "a header that cannot be sent"),
        ("/name", 500, None, "a header that cannot be sent"),
        ("/takeover", 501, None, ""),
        ("/raise", 500, None, "the handler failed"),
    ],
)
async def test_a_handler_that_breaks_its_word_costs_its_own_stream(
    caplog: pytest.LogCaptureFixture, path: str, status: int, reset: int | None, words: str
) -> None:
    async with talking(broken_promise) as client:
        answer = await client.ask(path)
        assert (answer.status, answer.reset) == (status, reset)
        assert (await client.ask("/header")).status == 500
    assert words in caplog.text


async def test_what_a_handler_says_of_the_connection_is_left_out() -> None:
    async def close(_request: Request) -> Response:
        raise HttpError(400, "", [("Connection", "close"), ("X", "y")])

    async with talking(close) as client:
        answer = await client.ask()
    assert "connection" not in answer.headers
    assert answer.headers["x"] == "y"


async def test_a_request_that_is_taken_back_ends_its_handler() -> None:
    ended = trio.Event()

    async def wait(_request: Request) -> Response:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()
        raise AssertionError

    async with talking(wait) as client:
        number = await client.request()
        client.h2.reset_stream(number, 8)
        await client.flush()
        await ended.wait()
        assert not client.closed


async def test_who_says_goodbye_still_gets_what_it_has_asked_for() -> None:
    async with talking(Site(), settings={"INITIAL_WINDOW_SIZE": 0}) as client:
        number = await client.request("/bytes/200000")
        await client.stream.send_all(frame(GOAWAY, 0, 0, bytes(8)))
        await client.until(lambda: client.answers[number].status)
        client.h2.increment_flow_control_window(1 << 20)
        client.h2.update_settings({4: 1 << 20})  # only now its body may go
        await client.flush()
        assert len((await client.answer(number)).body) == 200_000


async def test_what_is_no_preface_is_seen_before_all_of_it_could_have_come() -> None:
    async with talking(hello, begins=False) as client:
        await client.stream.send_all(b"GET / HTTP/1.1\r\n\r\n")  # and then it waits
        await client.read_raw()
    assert client.goaway is not None
    assert client.goaway.name == "PROTOCOL_ERROR"


async def test_a_server_that_is_stopped_says_goaway() -> None:
    inner, outer = trio.testing.memory_stream_pair()
    client = Client(outer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(serve_connection, inner, hello, utc_now=lambda: 0.0))
        await client.begin()
        await client.ask()
        nursery.cancel_scope.cancel()
    await inner.aclose()
    await client.read_to_end()
    assert client.goaway == 0


async def test_a_connection_that_is_idle_gets_goaway_and_the_end(autojump_clock: object) -> None:
    async with talking(limits=Limits(idle_s=60)) as client:
        await trio.sleep(10)
        await client.ask()
        began_at = trio.current_time()
        await client.read_to_end()
    assert client.goaway == 0
    assert trio.current_time() - began_at == pytest.approx(60, abs=5.1)


async def test_pings_do_not_keep_an_idle_connection(autojump_clock: object) -> None:
    async with talking(limits=Limits(idle_s=60)) as client:
        await client.ask()

        async def ping() -> None:
            while not client.closed:
                await trio.sleep(7)
                client.h2.ping(b"12345678")
                await client.flush()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ping)
            await client.until(lambda: client.goaway is not None)
            nursery.cancel_scope.cancel()
    assert client.goaway == 0


def slow(seconds: float) -> Handler:
    async def handler(_request: Request) -> Response:
        await trio.sleep(seconds)
        return Response.text("late")

    return handler


async def test_a_handler_may_take_its_time(autojump_clock: object) -> None:
    async with talking(slow(1000)) as client:
        assert (await client.ask()).body == b"late"
