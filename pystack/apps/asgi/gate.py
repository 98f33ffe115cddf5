"""What a request must be before an application sees it: what hypercorn leaves to others.

The rules, and the answers, are those of `pystack.apps.http`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hypercorn.typing import Scope

from pystack.apps.http.exchange import (
    check_expectation,
    check_framing,
    check_host,
    check_method,
    read_fields,
)
from pystack.apps.http.messages import HttpError
from pystack.apps.limits import DEFAULT_LIMITS as LIMITS

# wsproto, and so the application's `accept`, breaks at any other.
_WRONG_BITS: Final = re.compile(rb"_max_window_bits[ \t]*=(?![ \t]*[0-9]{1,2}[ \t]*(?:[;,]|$))")
_VERSIONS: Final = frozenset({"1.0", "1.1", "2", "3"})


def check(scope: Scope) -> None:
    """Refuse a request for its head. Raises HttpError."""
    if scope["type"] == "lifespan":
        return
    target = scope["raw_path"] + b"?" + scope["query_string"]
    fields = read_fields(target.removesuffix(b"?"), scope["headers"], LIMITS)
    version = scope["http_version"]
    if version not in _VERSIONS:
        raise HttpError(505, "This server speaks HTTP/1.0, HTTP/1.1 and HTTP/2.")
    if scope["type"] == "http":
        check_method(scope["method"].encode())
    if version.startswith("1"):
        check_framing(fields, version)
    check_expectation(fields)
    if _WRONG_BITS.search(fields.get(b"sec-websocket-extensions", b"")):
        raise HttpError(400, "What Sec-WebSocket-Extensions offers is impossible.")
    check_host(fields.get(b"host", b""))


async def refuse(error: HttpError, scope: Scope, send: Callable[[Any], Awaitable[None]]) -> None:
    """Answer with it, and have the connection end: what follows may be no request."""
    body = error.response().body
    assert isinstance(body, bytes)
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
    ]
    if scope["type"] != "lifespan" and scope["http_version"] not in ("2", "3"):
        headers.append((b"connection", b"close"))
    kind = "websocket.http" if scope["type"] == "websocket" else "http"
    await send({"type": f"{kind}.response.start", "status": error.status, "headers": headers})
    await send({"type": f"{kind}.response.body", "body": body})
