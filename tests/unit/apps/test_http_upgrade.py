"""A handler that takes its connection over, for another protocol."""

import pytest
import trio
from http_talk import exchange, get, hello

from pystack.apps.http import Request, Response

pytestmark = pytest.mark.trio


def upgraded(seen: list[bytes]) -> Response:
    async def capitals(stream: trio.abc.HalfCloseableStream, early: bytes) -> None:
        seen.append(early)
        await stream.send_all(early.upper())
        async for data in stream:
            await stream.send_all(data.upper())

    fields = [("Upgrade", "capitals"), ("Connection", "Upgrade")]
    return Response(101, headers=fields, takeover=capitals)


async def test_the_connection_goes_over_with_all_that_came_early() -> None:
    seen: list[bytes] = []

    async def handler(request: Request) -> Response:
        return upgraded(seen) if request.header("upgrade") == "capitals" else await hello(request)

    # Enough line ends that the feed keeps some of it from h11
    early = b"early\n" * 500
    request = get("/", "Upgrade: capitals", "Connection: Upgrade")
    received = await exchange([get("/plain") + request + early, b"late"], handler)
    plain, _, rest = received.partition(b"HTTP/1.1 101 ")
    assert plain.endswith(b"GET /plain")
    head, _, body = rest.partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[0] == b"Switching Protocols"
    names = {line.split(b":")[0] for line in head.split(b"\r\n")[1:]}
    assert names == {b"Date", b"Server", b"Upgrade", b"Connection"}
    assert body == early.upper() + b"LATE"
    assert seen == [early]


async def test_a_handler_that_does_not_take_it_over_answers_as_ever() -> None:
    request = get("/", "Upgrade: capitals", "Connection: Upgrade")
    received = await exchange(request + get("/next"))
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.endswith(b"GET /next")


async def test_a_mistake_of_who_took_it_over_ends_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(_stream: trio.abc.HalfCloseableStream, _early: bytes) -> None:
        raise RuntimeError("a mistake")

    async def handler(_request: Request) -> Response:
        return Response(101, headers=[("Upgrade", "x")], takeover=fail)

    received = await exchange(get("/", "Upgrade: x", "Connection: Upgrade"), handler)
    assert received.startswith(b"HTTP/1.1 101 ")
    assert "a mistake" in caplog.text


async def test_a_peer_that_goes_away_from_who_took_it_over_is_nothing_special(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def lose(_stream: trio.abc.HalfCloseableStream, _early: bytes) -> None:
        raise trio.BrokenResourceError("gone")

    async def handler(_request: Request) -> Response:
        return Response(101, headers=[("Upgrade", "x")], takeover=lose)

    received = await exchange(get("/", "Upgrade: x", "Connection: Upgrade"), handler)
    assert received.startswith(b"HTTP/1.1 101 ")
    assert not caplog.records
