"""ASGI applications on a host: Starlette and FastAPI, with lifespan, streams and WebSockets."""

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import httpx
import pytest
import trio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from trio_websocket import open_websocket_url
from worlds import Certificates, Status, in_virtual_time, pair

from pystack.apps import asgi

PARTS = 10


class Story:
    """What an application lived through."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[dict[str, str]]:
        """Start up, and shut down later."""
        await trio.sleep(1)
        self.events.append("startup")
        yield {"greeting": "hello"}
        await trio.sleep(1)
        self.events.append("shutdown")


async def hello(request: Request) -> JSONResponse:
    """Answer with what the lifespan has left."""
    return JSONResponse({"greeting": request.state.greeting, "client": request.client.host})


async def tick(_request: Request) -> StreamingResponse:
    """Send one line a second."""

    async def lines() -> AsyncIterator[str]:
        for number in range(PARTS):
            yield f"{number}\n"
            await anyio.sleep(1)

    return StreamingResponse(lines(), media_type="text/plain")


async def fail(_request: Request) -> PlainTextResponse:
    """Have a mistake."""
    raise RuntimeError("a mistake of the application")


async def chat(socket: WebSocket) -> None:
    """Send everything back in capitals."""
    await socket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.send_text((await socket.receive_text()).upper())


def starlette_app(story: Story) -> Starlette:
    """Return an application with one of each kind of route."""
    return Starlette(
        routes=[
            Route("/", hello),
            Route("/tick", tick),
            Route("/fail", fail),
            WebSocketRoute("/chat", chat),
        ],
        lifespan=story.lifespan,
    )


def run(
    app: asgi.Application,
    program: Callable[[], Awaitable[None]],
    link: dict[str, str] | None = None,
    ssl_context: ssl.SSLContext | None = None,
) -> None:
    """Serve the application on one host, run a program on the other, and stop serving."""

    async def serve(scope: trio.CancelScope, *, task_status: Status) -> None:
        with scope:
            await asgi.serve(app, 80, ssl_context=ssl_context, task_status=task_status)
        stopped.set()

    async def main() -> None:
        scope = trio.CancelScope()
        async with pair(**(link or {})) as world:
            await world.server.start(serve, scope)
            await world.client.run(program)
            scope.cancel()
            await stopped.wait()

    stopped = trio.Event()
    in_virtual_time(main)


def test_starlette_with_its_lifespan_over_a_lossy_link() -> None:
    story = Story()

    async def program() -> None:
        assert story.events == ["startup"]
        async with httpx.AsyncClient(timeout=60) as client:
            for _ in range(5):
                reply = await client.get("http://server/")
                # Whichever version's SYN is not lost.
                assert reply.json()["greeting"] == "hello"
                assert reply.json()["client"] in ("10.0.0.1", "fd00::1")
                assert "date" not in reply.headers  # it would be the machine's
            assert (await client.get("http://server/nothing")).status_code == 404

    run(starlette_app(story), program)
    assert story.events == ["startup", "shutdown"]


def test_a_streaming_response_arrives_as_it_is_made() -> None:
    arrived: list[tuple[str, float]] = []

    async def program() -> None:
        async with (
            httpx.AsyncClient(timeout=60) as client,
            client.stream("GET", "http://server/tick") as reply,
        ):
            began = trio.current_time()
            arrived.extend(
                [
                    (line, round(trio.current_time() - began, 3))
                    async for line in reply.aiter_lines()
                ]
            )

    run(starlette_app(Story()), program, {"delay": "20ms"})
    assert arrived == [(str(number), float(number)) for number in range(PARTS)]


def test_a_websocket_route_over_a_lossy_link() -> None:
    async def program() -> None:
        async with open_websocket_url("ws://server/chat") as socket:
            for number in range(30):
                await socket.send_message(f"message {number}")
                assert await socket.get_message() == f"MESSAGE {number}"

    run(starlette_app(Story()), program)


def test_a_mistake_in_the_application_is_status_500_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def program() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            assert (await client.get("http://server/fail")).status_code == 500
            assert (await client.get("http://server/")).status_code == 200

    run(starlette_app(Story()), program)
    assert "a mistake of the application" in caplog.text


def test_fastapi_with_functions_that_are_async_and_such_that_run_in_threads() -> None:
    app = FastAPI()

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    @app.get("/threaded/{number}")
    def threaded(number: int) -> dict[str, int]:
        return {"number": number * 2}

    async def program() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            assert (await client.get("http://server/items/7")).json() == {"number": 7}
            assert (await client.get("http://server/items/x")).status_code == 422
            assert (await client.get("http://server/threaded/7")).json() == {"number": 14}

    run(app, program)


def test_https_with_a_context(certificates: Certificates) -> None:
    async def program() -> None:
        async with httpx.AsyncClient(verify=certificates.client, timeout=60) as client:
            assert (await client.get("https://server:80/")).json()["greeting"] == "hello"

    run(starlette_app(Story()), program, ssl_context=certificates.server)


def test_an_application_that_refuses_to_start_is_an_error_of_serve() -> None:
    @contextlib.asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        raise RuntimeError("no database")
        yield

    async def main() -> None:
        async with pair() as world:
            with pytest.raises(asgi.AsgiStartupError, match="no database"):
                await world.server.run(asgi.serve, Starlette(lifespan=lifespan), 80)

    in_virtual_time(main)


def test_a_port_that_is_taken_is_an_os_error_and_the_application_is_shut_down() -> None:
    story = Story()

    async def main() -> None:
        async with pair() as world:
            await world.server.open_tcp_listeners(80)
            with pytest.raises(OSError, match="taken"):
                await world.server.run(asgi.serve, starlette_app(story), 80)

    in_virtual_time(main)
    assert story.events == ["startup", "shutdown"]
