"""What the laboratory's server serves by HTTP: any path is a page of so many bytes.

It takes what is posted, too, and echoes what comes by WebSocket.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from pystack.apps.http.messages import HttpError, Request, Response
from pystack.core.counters import Counters

if TYPE_CHECKING:
    from pystack.apps.http.messages import Handler

PAGE_BYTES: Final = 10_000  # of a page, unless told: seven segments, fewer than an initial window
_BEGIN: Final = (
    '<!DOCTYPE html>\n<html lang="en">\n<title>A page of the laboratory</title>\n'
    "<h1>A page of the laboratory</h1>\n"
)
_LINE: Final = "<p>All lines are alike: what matters here is how they travel.\n"
_END: Final = "</html>\n"
_READ: Final = frozenset({"GET", "HEAD"})
_WRITE: Final = frozenset({"POST", "PUT", "PATCH"})


def site(size_bytes: int, *, counters: Counters, web_sockets: bool) -> Handler:
    """Return what answers requests: with pages of that size.

    `web_sockets`: each path is one that echoes; `counters` are told of those.
    """
    body = page(size_bytes)

    async def answer(request: Request) -> Response:
        if web_sockets:
            from pystack.apps.websocket.endpoints import echo
            from pystack.apps.websocket.handshake import web_socket

            return web_socket(request, echo, counters=counters)
        if request.method in _WRITE:
            digest, count = hashlib.sha256(), 0
            async for chunk in request.body:
                digest.update(chunk)
                count += len(chunk)
            return Response.json({"bytes": count, "sha256": digest.hexdigest()})
        if request.method not in _READ:
            raise HttpError(
                405, "This server answers GET and takes POST.", [("Allow", "GET, POST")]
            )
        return Response(200, body, "text/html; charset=utf-8")

    return answer


def page(size_bytes: int) -> bytes:
    """Return a page of exactly that size; of very few bytes it is cut."""
    room = max(size_bytes - len(_BEGIN) - len(_END), 0)
    filling = _LINE * (room // len(_LINE)) + "\n" * (room % len(_LINE))
    return f"{_BEGIN}{filling}{_END}".encode()[:size_bytes]
