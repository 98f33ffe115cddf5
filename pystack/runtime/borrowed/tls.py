"""`ssl` of the standard library: `wrap_socket` of a socket of a host gives an SSLSocket over it."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.socket.plain_socket import PlainSocket
from pystack.runtime.socket.plain_tls import TlsOverPlain


def lend(_borrow: Borrow) -> None:
    """Lend what connects an SSLSocket with OpenSSL: by the kind of the socket, so for good."""
    _lend_for_good()


@cache
def _lend_for_good() -> None:
    context: Any = ssl.SSLContext
    original = context._wrap_socket

    def _wrap_socket(
        self: Any,  # noqa: ANN401 - it has more than is public
        sock: Any,  # noqa: ANN401 - of any kind
        server_side: bool,  # noqa: FBT001 - as CPython passes it
        server_hostname: str | None = None,
        *,
        owner: object = None,
        session: object = None,
    ) -> object:
        if isinstance(sock, PlainSocket):
            return TlsOverPlain(self, sock, server_side, server_hostname, owner, session)
        return original(self, sock, server_side, server_hostname, owner=owner, session=session)

    context._wrap_socket = _wrap_socket
