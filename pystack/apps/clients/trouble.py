"""What goes wrong for a client, with curl's exit statuses (curl(1), EXIT CODES)."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

import trio

from pystack.core.errors import PystackError


class Status(IntEnum):
    """Those that there are here, by curl's numbers."""

    OK = 0
    UNSUPPORTED_PROTOCOL = 1
    USAGE = 2
    MALFORMED_URL = 3
    UNKNOWN_HOST = 6
    CANNOT_CONNECT = 7
    WEIRD_REPLY = 8
    FTP_DENIED = 9
    FTP_WEIRD_PASV = 13
    HTTP2_FRAMING = 16
    PARTIAL_FILE = 18
    HTTP_ERROR = 22  # with -f
    WRITE_ERROR = 23
    UPLOAD_REFUSED = 25
    READ_ERROR = 26
    TIMED_OUT = 28
    RANGE_REFUSED = 33
    TLS_FAILED = 35
    BAD_RESUME = 36
    TOO_MANY_REDIRECTS = 47
    NO_REPLY = 52
    SEND_FAILED = 55
    RECEIVE_FAILED = 56
    BAD_CERTIFICATE = 60
    BAD_ENCODING = 61
    TLS_REFUSED = 64  # asked for with --ssl-reqd, and not to be had
    LOGIN_DENIED = 67
    BAD_CA_FILE = 77
    NO_SUCH_FILE = 78
    HTTP2_ERROR = 92


# But for the tabulator
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


class ClientError(PystackError):
    """A transfer that failed. Its text is the sentence for the user."""

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(printable(text))
        self.status = status


def printable(text: str) -> str:
    """Return it with what a terminal would take for a command written as `\\x1b`.

    Much of what is told of a transfer are the words of a server.
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


PIECE_BYTES: Final = 1 << 16


async def send(stream: trio.abc.SendStream, data: bytes) -> None:
    """Send it all. Raises ClientError."""
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError as error:
        raise ClientError(Status.SEND_FAILED, f"Send failure: {why(error)}") from None


async def receive(stream: trio.abc.ReceiveStream, max_bytes: int = PIECE_BYTES) -> bytes:
    """Return what came; empty at its end. Raises ClientError."""
    try:
        return bytes(await stream.receive_some(max_bytes))
    except trio.BrokenResourceError as error:
        raise ClientError(Status.RECEIVE_FAILED, f"Recv failure: {why(error)}") from None


def why(error: trio.BrokenResourceError) -> str:
    """Return what a broken stream says of its end, as the system would."""
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return str(error) or "the connection broke"
