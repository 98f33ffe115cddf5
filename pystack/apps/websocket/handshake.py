"""The opening handshake, the server's side of it (RFC 6455 section 4.2)."""

import re
from base64 import b64encode
from hashlib import sha1
from typing import Final

import trio

from pystack.apps.http.messages import HttpError, Request, Response
from pystack.apps.limits import DEFAULT_WEBSOCKET_LIMITS, WebSocketLimits
from pystack.apps.websocket.connection import Talk, WebSocket
from pystack.apps.websocket.offers import OfferError, agree
from pystack.core.counters import Counters

VERSION: Final = "13"

_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(r"[A-Za-z0-9+/]{22}==")  # of 16 bytes
_UPGRADE: Final = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
_VERSION: Final = ("Sec-WebSocket-Version", VERSION)


def web_socket(
    request: Request,
    talk: Talk,
    *,
    limits: WebSocketLimits = DEFAULT_WEBSOCKET_LIMITS,
    counters: Counters | None = None,
) -> Response:
    """Return the answer that makes a WebSocket of the request's connection, for `talk` to use.

    Whatever the page is that it comes from (Origin), it is let in: this server keeps no secrets,
    and knows nobody by a cookie. No subprotocol is ever chosen.

    Raises HttpError for a request that is no such handshake.
    """
    _check(request)
    headers = [*_UPGRADE, ("Sec-WebSocket-Accept", accept_token(_key_of(request)))]
    try:
        deflate = agree(request.header("sec-websocket-extensions") or "")
    except OfferError as error:
        raise HttpError(400, str(error)) from None
    if deflate is not None:
        headers.append(("Sec-WebSocket-Extensions", str(deflate)))

    async def take_over(stream: trio.abc.HalfCloseableStream, early: bytes) -> None:
        await WebSocket(stream, early, deflate, limits, counters).run(talk)

    return Response(101, headers=headers, takeover=take_over)


def accept_token(key: str) -> str:
    """Return what proves that a key was read."""
    return b64encode(sha1((key + _GUID).encode("ascii")).digest()).decode("ascii")


def _check(request: Request) -> None:
    if not request.version.startswith("1"):
        raise HttpError(501, "WebSocket is spoken over HTTP/1.1 here.")
    if request.method != "GET":
        raise HttpError(405, "A WebSocket begins with GET.", [("Allow", "GET, OPTIONS")])
    if "websocket" not in _tokens(request, "upgrade"):
        raise HttpError(426, "This is a WebSocket; with a browser try /ws/.", [*_UPGRADE, _VERSION])
    if "upgrade" not in _tokens(request, "connection"):
        raise HttpError(400, "Upgrade is not named in Connection.")
    if request.version != "1.1":
        raise HttpError(400, "A WebSocket needs HTTP/1.1.")
    if request.header("sec-websocket-version") != VERSION:
        raise HttpError(426, "The version spoken here is 13.", [*_UPGRADE, _VERSION])
    has_length = request.header("content-length") not in (None, "0")
    if has_length or request.header("transfer-encoding") is not None:
        raise HttpError(400, "A handshake has no body.")


def _key_of(request: Request) -> str:
    key = request.header("sec-websocket-key") or ""
    if not _KEY.fullmatch(key):
        raise HttpError(400, "Sec-WebSocket-Key is to be 16 bytes in base64.")
    return key


def _tokens(request: Request, name: str) -> set[str]:
    return {token.strip().lower() for token in (request.header(name) or "").split(",")}
