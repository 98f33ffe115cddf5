"""What a request and its answer have in common in HTTP/1.1 and HTTP/2 (RFC 9110).

Limits of the head, and what the server puts before a handler's own headers.
"""

import re
from collections.abc import Callable, Iterable
from email.utils import formatdate
from typing import Final

from pystack import __version__
from pystack.apps.http.messages import HttpError, Response
from pystack.apps.http.target import is_authority
from pystack.apps.limits import SEND_BYTES, Limits

# At once: each write ends with a segment that is not full, and whose frame costs as much as one of
# 64 KiB. In pieces of 64 KiB a download takes twice the processor time.
WRITE_BYTES: Final = 4 * SEND_BYTES
REQUEST_UNITS: Final = 28  # of work, see `pystack.apps.turns`: its head, the answer's, the sending
BYTES_A_UNIT: Final = 8 * 1024  # of a body, which somebody has to make something of

BODILESS: Final = frozenset({101, 204, 304})
DRAIN_BYTES: Final = 64 * 1024  # a body up to this size is waited for, though nobody reads it
LATE: Final = HttpError(408, "The request took too long to arrive.")
FAILED: Final = HttpError(500, "The server's program failed; its log says why.")
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_SERVER: Final = (b"Server", f"pystack/{__version__}".encode("ascii"))


def read_fields(
    target: bytes, headers: Iterable[tuple[bytes, bytes]], limits: Limits
) -> dict[bytes, bytes]:
    """Return the headers by their names, which are in lower case. HttpError: 414, 431."""
    fields: dict[bytes, bytes] = {}
    head_bytes, lines = len(target), 0
    for name, value in headers:
        head_bytes += len(name) + len(value) + 4
        lines += 1
        comma = b"; " if name == b"cookie" else b", "  # RFC 9113 section 8.2.3
        fields[name] = fields[name] + comma + value if name in fields else bytes(value)
    if len(target) > limits.target_bytes:
        raise HttpError(414, f"The limit is {limits.target_bytes} bytes.")
    if head_bytes > limits.header_bytes:
        raise HttpError(431, f"The limit is {limits.header_bytes} bytes.")
    if lines > limits.header_lines:
        raise HttpError(431, f"The limit is {limits.header_lines} lines.")
    return fields


def check_method(method: bytes) -> None:
    """Refuse what is no method, or asks for more than an answer. HttpError: 400, 501."""
    if not _TOKEN.fullmatch(method):  # h2 lets pass what h11 does not
        raise HttpError(400, "That is not a method.")
    if method == b"CONNECT":
        raise HttpError(501, "This server is not a proxy.")


def check_framing(fields: dict[bytes, bytes], version: str) -> None:
    """Refuse how requests are smuggled past a proxy (RFC 9112 section 6.1). HttpError: 400."""
    if b"transfer-encoding" not in fields:
        return
    if b"content-length" in fields:
        raise HttpError(400, "Content-Length and Transfer-Encoding exclude each other.")
    if version == "1.0":
        raise HttpError(400, "HTTP/1.0 has no Transfer-Encoding.")


def declared_length(fields: dict[bytes, bytes], limits: Limits) -> int:
    """Return the length that a body is said to have, 0 for none. HttpError: 400, 413."""
    text = fields.get(b"content-length", b"0")
    if not text.isdigit():
        raise HttpError(400, "Content-Length is a number.")
    length = int(text[:20])
    if len(text) > 20 or length > limits.body_bytes:
        raise too_long(limits)
    return length


def too_long(limits: Limits) -> HttpError:
    """Return the refusal of a body."""
    return HttpError(413, f"The limit is {limits.body_bytes} bytes.")


def check_expectation(fields: dict[bytes, bytes]) -> bool:
    """Tell whether the client waits to be told to go on with its body. HttpError: 417."""
    expected = fields.get(b"expect")
    if expected is not None and expected.lower() != b"100-continue":
        raise HttpError(417, "The only expectation known here is 100-continue.")
    return expected is not None


def check_host(host: bytes) -> None:
    """Refuse what is no host. HttpError: 400."""
    if not is_authority(host.decode("latin-1")):
        raise HttpError(400, "What Host says is not a host.")


class Heads:
    """Makes the heads of the answers of one connection."""

    __slots__ = ("_date", "_date_s", "_utc_now")

    def __init__(self, utc_now: Callable[[], float]) -> None:
        """`utc_now` gives the seconds since 1970, for Date."""
        self._utc_now = utc_now
        self._date_s = -1
        self._date = b""

    def fields(self, response: Response) -> list[tuple[bytes, bytes]]:
        """Return all that is told of an answer. UnicodeEncodeError for what cannot be sent."""
        now_s = int(self._utc_now())
        if now_s != self._date_s:
            self._date_s = now_s
            self._date = formatdate(now_s, usegmt=True).encode("ascii")
        headers = [(b"Date", self._date), _SERVER]
        if response.content_type is not None:
            headers.append((b"Content-Type", response.content_type.encode("latin-1")))
        length = response.content_length
        if length is None and isinstance(response.body, bytes):
            length = len(response.body)
        if length is not None and response.status not in BODILESS:
            headers.append((b"Content-Length", b"%d" % length))
        headers.extend((n.encode("latin-1"), v.encode("latin-1")) for n, v in response.headers)
        return headers
