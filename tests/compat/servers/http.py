"""HTTP and HTTPS by the server that pystack has, with a handler for each site."""

from __future__ import annotations

import ssl
from contextlib import suppress
from functools import partial

import trio

import pystack
from pystack.apps.http import Handler, Request, Response, serve_connection
from pystack.apps.websocket.connection import Part, WebSocket
from pystack.apps.websocket.handshake import web_socket
from servers.certificates import certificate_files, server_context
from servers.connection import Serve


async def hello(request: Request) -> Response:
    """Answer whatever is asked."""
    return Response.text("hello")


def site(handler: Handler, *, tls: bool = False) -> Serve:
    """Return what serves a site at port 80, or 443 with a certificate of the host's name."""

    async def serve(host: pystack.Host) -> None:
        context = server_context(host.name) if tls else None
        await host.start(trio.serve_tcp, partial(_serve_one, handler, context), 443 if tls else 80)

    return serve


async def _serve_one(
    handler: Handler, context: ssl.SSLContext | None, stream: trio.SocketStream
) -> None:
    if context is None:
        await serve_connection(stream, handler)
        return
    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    with suppress(trio.BrokenResourceError):  # the client went, or its line is dead
        await serve_connection(secured, handler)  # type: ignore[arg-type]


async def _talk(socket: WebSocket) -> None:
    while parts := await socket.receive():
        for data, is_last in parts:
            await socket.send(Part(data, is_last))


async def _chat(request: Request) -> Response:
    return web_socket(request, _talk)


async def serve_http2(host: pystack.Host) -> None:
    """Serve what pystack serves itself, at port 443."""
    certificate, key = certificate_files(host.name)
    await pystack.serve(host, "https", cert=certificate, key=key)


CHAT = site(_chat)
WEB = site(hello)
SECURE_WEB = site(hello, tls=True)
