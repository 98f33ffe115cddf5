"""What a client sends, on its way to h11: in pieces that take no longer than they should.

h11 works on all that it has at once: 64 KiB of trailers take it 20 ms.
"""

from typing import Final, TypeAlias

import h11

from pystack.apps.http.messages import HttpError
from pystack.apps.limits import Limits

# What has more lines than a head may have comes in pieces of this size.
PIECE_BYTES: Final = 1024

# NEED_DATA and PAUSED are classes that stand for themselves.
Event: TypeAlias = h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]


class Feed:
    """The server's side of one HTTP connection, as h11 has it, and what it has not been given."""

    __slots__ = ("_at", "_body_bytes", "_limits", "_lines", "_unfed", "http")

    def __init__(self, limits: Limits) -> None:
        self.http = h11.Connection(h11.SERVER, limits.header_bytes)
        self._limits = limits
        self._unfed = b""
        self._at = 0  # so much of that was fed: to cut it off each time would copy the rest
        self._body_bytes = 0  # of a body that are to come, and need no look at their lines
        self._lines = 0  # since h11 has last made something of what it was given

    def expect_body(self, count: int) -> None:
        """Be told of a body of so many bytes (Content-Length), when its head was read."""
        pending = self._pending
        left = count - len(self.http.trailing_data[0])
        if len(pending) <= left:
            self._keep(b"")
            if pending:
                self.http.receive_data(pending)
            self._body_bytes = left - len(pending)

    def add(self, data: bytes) -> None:
        """Take what was received; nothing is the end of data."""
        if self._body_bytes and data:
            body = data[: self._body_bytes]
            self._body_bytes -= len(body)
            self.http.receive_data(body)
            if len(body) == len(data):
                return
            data = data[len(body) :]
        if data and (self._unfed or data.count(b"\n") > self._limits.header_lines):
            self._keep(self._pending + data)
        else:
            self._lines += data.count(b"\n")
            self.http.receive_data(data)

    @property
    def _pending(self) -> bytes:
        return self._unfed[self._at :]

    def _keep(self, data: bytes) -> None:
        self._unfed, self._at = data, 0

    def next_event(self) -> Event:
        """Return what h11 makes of it. HttpError for a head, or trailers, of too many lines."""
        event = self._checked(self.http.next_event())
        while event is h11.NEED_DATA and self._unfed:
            piece = self._unfed[self._at : self._at + PIECE_BYTES]
            self._at += len(piece)
            if self._at == len(self._unfed):
                self._keep(b"")
            self._lines += piece.count(b"\n")
            self.http.receive_data(piece)
            event = self._checked(self.http.next_event())
        return event

    def _checked(self, event: Event) -> Event:
        """Count the lines: of a head or trailers that are not whole yet, or of whole ones."""
        lines = 0
        if event is h11.NEED_DATA:
            lines = self._lines - 2  # not fields: that of the request, or those of the last chunk
        else:
            self._lines = 0
            if isinstance(event, h11.Request | h11.EndOfMessage):
                lines = len(event.headers)
        if lines > self._limits.header_lines:
            raise HttpError(431, f"The limit is {self._limits.header_lines} lines.")
        return event

    @property
    def rest(self) -> bytes:
        """Return what has come after the request that was read last."""
        return self.http.trailing_data[0] + self._pending

    def skip_blank_lines(self) -> bool:
        """Drop blank lines between pipelined requests; return whether more than that is there.

        RFC 9112 section 2.2 wants them skipped, and h11 refuses them.
        """
        rest, ended = self.http.trailing_data
        rest += self._pending
        if rest[:1] in (b"\r", b"\n"):
            self.http = h11.Connection(h11.SERVER, self._limits.header_bytes)
            rest = rest.lstrip(b"\r\n")
            self._keep(rest)
            if ended:  # of which nothing is unfed then
                self._keep(b"")
                if rest:
                    self.http.receive_data(rest)
                self.http.receive_data(b"")
        return bool(rest)
