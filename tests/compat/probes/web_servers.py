"""Servers and frameworks of the web, asked by httpx in the way that the probe runs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

import trio
from probe import OUTAGE_S, Probe, Way, fails
from servers import program
from servers.certificates import server_context

from pystack.apps import asgi

PATIENCE_S: Final = 3.0
App = Callable[..., Any]


async def ask_on_trio() -> None:
    import httpx

    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        for path in ("/", "/sync"):
            assert (await client.get(f"http://web{path}")).json() == {"hello": "world"}
        await trio.sleep(OUTAGE_S)
        with fails(httpx.ReadTimeout):
            await client.get("http://web/")


async def ask_on_asyncio() -> None:
    import httpx

    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        for path in ("/", "/sync"):
            assert (await client.get(f"http://web{path}")).json() == {"hello": "world"}
        await asyncio.sleep(OUTAGE_S)
        with fails(httpx.ReadTimeout):
            await client.get("http://web/")


def ask_blocking() -> None:
    import httpx

    with httpx.Client(timeout=PATIENCE_S) as client:
        assert client.get("http://web/").json() == {"hello": "world"}
        time.sleep(OUTAGE_S)
        with fails(httpx.ReadTimeout):
            client.get("http://web/")


async def plain_asgi(scope: dict[str, Any], receive: App, send: App) -> None:
    """An ASGI application without a framework."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"hello": "world"}'})


def make_starlette() -> App:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def root(request: Request) -> JSONResponse:
        return JSONResponse({"hello": "world"})

    def in_a_thread(request: Request) -> JSONResponse:
        return JSONResponse({"hello": "world"})

    return Starlette(routes=[Route("/", root), Route("/sync", in_a_thread)])


def make_fastapi() -> App:
    from fastapi import FastAPI

    app = FastAPI()

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/sync")
    def in_a_thread() -> dict[str, str]:
        return {"hello": "world"}

    return app


def make_litestar() -> App:
    from litestar import Litestar, get

    @get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    @get("/sync", sync_to_thread=True)
    def in_a_thread() -> dict[str, str]:
        return {"hello": "world"}

    return Litestar([root, in_a_thread])


def make_quart() -> App:
    from quart import Quart

    app = Quart(__name__)

    @app.get("/")
    async def root() -> dict[str, str]:
        return {"hello": "world"}

    @app.get("/sync")
    def in_a_thread() -> dict[str, str]:
        return {"hello": "world"}

    return app


def _django_urls() -> str:
    """Configure Django, once a process; return the module of its URLs."""
    import django
    from django.conf import settings
    from django.http import HttpRequest, JsonResponse
    from django.urls import path

    async def root(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"hello": "world"})

    def in_a_thread(request: HttpRequest) -> JsonResponse:
        return JsonResponse({"hello": "world"})

    urls = ModuleType("compat_urls")
    urls.urlpatterns = [path("", root), path("sync", in_a_thread)]  # type: ignore[attr-defined]
    sys.modules[urls.__name__] = urls
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ROOT_URLCONF=urls.__name__, ALLOWED_HOSTS=["*"])
        django.setup()
    return urls.__name__


def make_django() -> App:
    from django.core.asgi import get_asgi_application

    _django_urls()
    return get_asgi_application()


def by_uvicorn(make: Callable[[], App], **words: Any) -> program.Main:  # noqa: ANN401 (uvicorn's)
    async def main() -> None:
        import uvicorn

        config = uvicorn.Config(make(), host="0.0.0.0", port=80, log_config=None, **words)
        await uvicorn.Server(config).serve()

    return main


def by_hypercorn(make: Callable[[], App]) -> program.Main:
    async def main() -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = ["0.0.0.0:80"]
        await serve(make(), config, shutdown_trigger=asyncio.Event().wait)

    return main


def by_us(make: Callable[[], App]) -> Callable[..., Any]:
    async def main() -> None:
        await asgi.serve(make(), 80)

    return main


async def aiohttp_server() -> None:
    from aiohttp import web

    async def root(request: web.Request) -> web.Response:
        return web.json_response({"hello": "world"})

    app = web.Application()
    app.add_routes([web.get("/", root), web.get("/sync", root)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, port=80).start()
    await web.TCPSite(runner, port=443, ssl_context=server_context("web")).start()
    await asyncio.Event().wait()


async def websockets_server() -> None:
    from websockets.asyncio.server import ServerConnection, serve

    async def talk(ws: ServerConnection) -> None:
        async for message in ws:
            await ws.send(message)

    async with serve(talk, port=80) as server:
        await server.serve_forever()


async def ask_websockets() -> None:
    from websockets.asyncio.client import connect

    async with connect("ws://web/", ping_interval=None, close_timeout=PATIENCE_S) as ws:
        await ws.send("hello")
        assert await ws.recv() == "hello"
        await asyncio.sleep(OUTAGE_S)
        with fails(TimeoutError):
            await asyncio.wait_for(ws.recv(), PATIENCE_S)


def http_server() -> None:
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = b'{"hello": "world"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("", 80), Handler) as server:
        server.serve_forever()


def wsgiref_server() -> None:
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    def app(environ: dict[str, Any], start_response: App) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        return [b'{"hello": "world"}']

    with make_server("", 80, app, handler_class=Quiet) as server:
        server.serve_forever()


def ask_wsgiref() -> None:
    import httpx

    with httpx.Client(timeout=PATIENCE_S) as client:
        assert client.get("http://web/").json() == {"hello": "world"}
        time.sleep(OUTAGE_S)
        with fails(httpx.ConnectTimeout):  # it keeps no connections
            client.get("http://web/")


def _plain() -> App:
    return plain_asgi


def _asyncio(library: str, name: str, main: program.Main, *needs: str) -> Probe:
    hosts = {"web": program.on_asyncio(main)}
    peer = "itself, asked by httpx"
    return Probe(library, name, Way.ASYNCIO, ask_on_asyncio, hosts, peer, needs=("httpx", *needs))


def _trio(library: str, name: str, make: Callable[[], App], *needs: str) -> Probe:
    hosts = {"web": program.on_trio(by_us(make))}
    peer = "itself on `pystack.apps.asgi`, asked by httpx"
    needed = ("httpx", "hypercorn", *needs)
    return Probe(library, name, Way.TRIO, ask_on_trio, hosts, peer, needs=needed)


PROBES: Final = (
    _asyncio("uvicorn", "uvicorn", by_uvicorn(_plain)),
    _asyncio("hypercorn", "hypercorn", by_hypercorn(_plain)),
    _trio("hypercorn", "hypercorn", _plain),
    _asyncio("Starlette on uvicorn", "starlette", by_uvicorn(make_starlette), "uvicorn"),
    _trio("Starlette", "starlette", make_starlette),
    _asyncio("FastAPI on uvicorn", "fastapi", by_uvicorn(make_fastapi), "uvicorn"),
    _trio("FastAPI", "fastapi", make_fastapi),
    _asyncio("Litestar on uvicorn", "litestar", by_uvicorn(make_litestar), "uvicorn"),
    _trio("Litestar", "litestar", make_litestar),
    _asyncio("Django on uvicorn", "django", by_uvicorn(make_django, lifespan="off"), "uvicorn"),
    _asyncio("Quart on hypercorn", "quart", by_hypercorn(make_quart), "hypercorn"),
    _asyncio("aiohttp (server)", "aiohttp", aiohttp_server),
    Probe(
        "websockets (server)",
        "websockets",
        Way.ASYNCIO,
        ask_websockets,
        {"web": program.on_asyncio(websockets_server)},
        "itself, asked by its client",
    ),
    Probe(
        "http.server",
        "",
        Way.BLOCKING,
        ask_blocking,
        {"web": program.blocking(http_server)},
        "itself, asked by httpx",
        needs=("httpx",),
    ),
    Probe(
        "wsgiref",
        "",
        Way.BLOCKING,
        ask_wsgiref,
        {"web": program.blocking(wsgiref_server)},
        "itself, asked by httpx",
        needs=("httpx",),
    ),
)
