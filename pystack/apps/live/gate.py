"""Who may look, and who may change something.

A page of a stranger in the user's browser can send requests here, and can open WebSockets. So what
shows or changes something is for pages of this very host alone: Origin has to be what Host is. A
stranger's name may be made to lead here (DNS rebinding), and then both are the stranger's: so Host
has to be an address, or a name that is known to be ours.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Collection
from typing import Final

from pystack.apps.http.messages import HttpError, Request
from pystack.apps.tls_stream import TlsStream
from pystack.core.addresses import looks_like_address

TOKEN_BYTES: Final = 16
MOST_WRONG: Final = 5  # tokens, after which a viewer is sent away

_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*))(?::[0-9]{1,5})?")


def make_token() -> str:
    """Return a new token: 128 bits that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_right(token: object, ours: str) -> bool:
    """Tell whether it is our token, in the same time whatever it is."""
    given = token if isinstance(token, str) else ""
    return hmac.compare_digest(given.encode("utf-8", "replace"), ours.encode())


def check(request: Request, names: Collection[str]) -> None:
    """Refuse who comes by a name that is not ours, or from a page that is not. HttpError: 403.

    `names`: that are ours, besides all addresses and "localhost".
    """
    host = request.header("host") or ""
    match = _HOST.fullmatch(host)
    name = "" if match is None else (match[1] or match[2] or "").lower()
    if not (looks_like_address(name) or name == "localhost" or name in names):
        raise HttpError(
            403,
            "This page is for who comes by an address: a name could be made to lead here by "
            "somebody else.",
        )
    origin = request.header("origin")
    scheme = "https" if isinstance(request.stream, TlsStream) else "http"
    if origin is not None and origin.lower() != f"{scheme}://{host.lower()}":
        raise HttpError(403, "That is for this host's own pages.")
    if request.header("sec-fetch-site") in ("cross-site", "same-site"):
        raise HttpError(403, "That is for this host's own pages.")
