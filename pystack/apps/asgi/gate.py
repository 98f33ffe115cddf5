"""What a request must be before an application sees it: what hypercorn leaves to others.

The rules, and the answers, are those of `pystack.apps.http`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final

from hypercorn.typing import Scope

from pystack.apps.http.exchange import check_method
from pystack.apps.http.limits import DEFAULT_LIMITS as LIMITS
from pystack.apps.http.messages import HttpError
from pystack.apps.http.target import is_authority

# wsproto, and so the application's `accept`, breaks at any other.
_WRONG_BITS: Final = re.compile(rb"_max_window_bits[ \t]*=(?![ \t]*[0-9]{1,2}[ \t]*(?:[;,]|$))")
_VERSIONS: Final = frozenset({"1.0", "1.1", "2", "3"})


def refusal(scope: Scope) -> HttpError | None:
    """Return why a request is refused for its head; None: it is not."""
    if scope["type"] == "lifespan":
        return None
    fields: dict[bytes, bytes] = {}
    head_bytes = 0
    headers = list(scope["headers"])
    for name, value in headers:
        head_bytes += len(name) + len(value) + 4
        fields[name] = fields[name] + b", " + value if name in fields else bytes(value)
    version = scope["http_version"]
    if len(scope["raw_path"]) + len(scope["query_string"]) > LIMITS.target_bytes:
        return HttpError(414, f"The limit is {LIMITS.target_bytes} bytes.")
    if len(headers) > LIMITS.header_lines or head_bytes > LIMITS.header_bytes:
        limits = f"{LIMITS.header_lines} lines and {LIMITS.header_bytes} bytes"
        return HttpError(431, f"The limits are {limits}.")
    if version not in _VERSIONS:
        return HttpError(505, "This server speaks HTTP/1.0, HTTP/1.1 and HTTP/2.")
    if scope["type"] == "http":
        try:
            check_method(scope["method"].encode("latin-1"))
        except HttpError as error:
            return error
    if b"transfer-encoding" in fields and version.startswith("1"):
        # RFC 9112 section 6.1: either is how requests are smuggled past a proxy.
        if b"content-length" in fields:
            return HttpError(400, "Content-Length and Transfer-Encoding exclude each other.")
        if version == "1.0":
            return HttpError(400, "HTTP/1.0 has no Transfer-Encoding.")
    if fields.get(b"expect", b"100-continue").lower() != b"100-continue":
        return HttpError(417, "The only expectation known here is 100-continue.")
    if _WRONG_BITS.search(fields.get(b"sec-websocket-extensions", b"")):
        return HttpError(400, "What Sec-WebSocket-Extensions offers is impossible.")
    if not is_authority(fields.get(b"host", b"").decode("latin-1")):
        return HttpError(400, "What Host says is no host.")
    return None


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
