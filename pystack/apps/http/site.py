"""The site that `--serve http` serves: the page about the request, uploads, test data, files.

`/upload`, `/bytes/N`, `/connection`, `/connection.json`, `/live` and what is below `/ws/` are
always there. `/` is the page about the very request it answers, or the directory given as root.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pystack.apps.http import templates
from pystack.apps.http.conditions import check_page
from pystack.apps.http.files import FileSite
from pystack.apps.http.messages import BodySource, HttpError, Request, Response
from pystack.apps.http.page import page
from pystack.apps.http.ranges import Representation, answer
from pystack.apps.http.story import story_of
from pystack.apps.world import utc_now as world_utc_now
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.core.extras import need

if TYPE_CHECKING:
    from pystack.apps.live.endpoint import LiveSite
    from pystack.runtime.host import Host

MAX_BYTES: Final = 1 << 40  # 1 TiB, for /bytes/N

_READ: Final = ("GET", "HEAD", "OPTIONS")
_UPLOAD: Final = ("POST", "PUT", "OPTIONS")
_KNOWN: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"})
_COUNT: Final = re.compile(r"/bytes/([0-9]{1,13})")

# Byte i is i modulo 251: a prime, so that data that went astray by any power of two shows.
_PERIOD: Final = 251
# Whole periods, so that one chunk serves for all; and several super-frames of them, for each write
# ends with a segment that is not full.
_CHUNK_PERIODS: Final = 1044
_CHUNK_BYTES: Final = _CHUNK_PERIODS * _PERIOD  # 262,044
_PATTERN: Final = memoryview(bytes(range(_PERIOD)) * (_CHUNK_PERIODS + 1))
_COPIED_BYTES: Final = 16 * 1024  # what is so short is sent together with its head


class Site:
    """A handler: the built-in resources, and the files below `root` where one is given."""

    def __init__(
        self,
        root: Path | None = None,
        *,
        dotfiles: bool = False,
        utc_now: Callable[[], float] = world_utc_now,
    ) -> None:
        templates.load()
        self._files = None if root is None else FileSite(root, dotfiles=dotfiles)
        self._answer_web_socket, self._live = _web_sockets(utc_now)
        self.counters = Counters()  # of WebSockets that were ended; the host's, where there is one
        self._host: Host | None = None  # None: there is none to look at

    def use_host(self, host: Host) -> None:
        """Take the host that it is served on: to count with its counters, and to show it live."""
        self.counters = host.counters
        self._host = host

    async def __call__(self, request: Request) -> Response:
        """Route one request."""
        path, method = request.path, request.method
        if method not in _KNOWN:
            raise HttpError(501, "This server does not know that method.")
        is_upload = path == "/upload" or path.startswith("/upload/")
        allowed = _UPLOAD if is_upload else _READ
        if method == "OPTIONS":
            allow = ", ".join(sorted({*_UPLOAD, *_READ}) if path == "*" else allowed)
            return Response(204, headers=[("Allow", allow)])
        if method not in allowed:
            raise HttpError(405, f"Allowed: {', '.join(allowed)}.", [("Allow", ", ".join(allowed))])
        if is_upload:
            return await _upload(request)
        if path.startswith("/bytes/"):
            return _bytes(request)
        if path.startswith("/ws/"):
            return self._answer_web_socket(request, self.counters)
        if path == "/live" or path.startswith("/live/"):
            return await self._answer_live(request)
        if path == "/connection.json":
            check_page(request)
            return _fresh(Response.json(story_of(request).as_json()))
        if path == "/connection" or (path == "/" and self._files is None):
            check_page(request)
            return _fresh(Response.html(page(story_of(request))))
        if self._files is None:
            raise HttpError(
                404, "Try /, /live, /connection.json, /bytes/1000, /ws/, or POST to /upload."
            )
        return await self._files(request)

    async def _answer_live(self, request: Request) -> Response:
        if isinstance(self._live, str):
            raise HttpError(501, f"{self._live}.")
        host = self._host
        if host is None:
            raise HttpError(404, "There is no host here to look at.")
        return await self._live.answer(request, lambda it: it.feed_of(host), self.counters)


def _web_sockets(
    utc_now: Callable[[], float],
) -> tuple[Callable[[Request, Counters], Response], LiveSite | str]:
    """Return what answers below `/ws/` and `/live`; where it can't, the second is the reason."""
    # Now and not at the first request: after giving up root, libraries may not be readable.
    try:
        need("wsproto", "WebSocket")
    except ConfigError as error:
        return partial(_refuse, str(error)), str(error)
    from pystack.apps.live.endpoint import LiveSite
    from pystack.apps.websocket.endpoints import answer as answer_web_socket

    def answer_now(request: Request, counters: Counters) -> Response:
        return answer_web_socket(request, utc_now, counters)

    return answer_now, LiveSite()


def _refuse(why: str, _request: Request, _counters: Counters) -> Response:
    raise HttpError(501, f"{why}.")


async def _upload(request: Request) -> Response:
    """Count a body, hash it, throw it away."""
    if request.header("if-match") is not None:  # there is nothing yet that could match
        raise HttpError(412, "Nothing is stored here, so nothing matches.")
    digest, count = hashlib.sha256(), 0
    async for chunk in request.body:
        digest.update(chunk)
        count += len(chunk)
    return Response.json({"bytes": count, "sha256": digest.hexdigest()})


def _bytes(request: Request) -> Response:
    match = _COUNT.fullmatch(request.path)
    count = int(match[1]) if match else MAX_BYTES + 1
    if count > MAX_BYTES:
        raise HttpError(404, f"Ask for /bytes/N with N from 0 to {MAX_BYTES}.")
    thing = Representation(count, f'"bytes-{count}"', None, "application/octet-stream")
    return answer(request, thing, pattern)


def pattern(start: int, stop: int) -> BodySource:
    """Return bytes `start` to `stop` of the pattern, in constant memory."""
    if stop - start <= _COPIED_BYTES:
        return bytes(_pattern_part(start, stop))
    return _pattern_chunks(start, stop)


def _pattern_chunks(start: int, stop: int) -> Iterator[memoryview]:
    # Nothing is copied: a hundred streams of HTTP/2 may wait for their clients with a chunk each.
    whole = _pattern_part(start, start + _CHUNK_BYTES)
    while stop - start >= _CHUNK_BYTES:
        yield whole
        start += _CHUNK_BYTES
    if start < stop:
        yield _pattern_part(start, stop)


def _pattern_part(start: int, stop: int) -> memoryview:
    phase = start % _PERIOD
    return _PATTERN[phase : phase + min(stop - start, _CHUNK_BYTES)]


def _fresh(response: Response) -> Response:
    """Mark an answer as true for this request only, and as needing nothing from elsewhere."""
    response.headers = [
        ("Cache-Control", "no-store"),
        ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return response
