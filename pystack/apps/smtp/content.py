"""The text after DATA: where it ends, and what it was before dots were doubled (RFC 5321, 4.5.2).

Only CR LF ends a line. A CR or LF by itself spoils the message: servers that read on past one do
not agree about where it ends, and what one takes for text is a command to the next (CVE-2023-51764
and its kin). So such a message is read to its one true end, CR LF . CR LF, and refused as a whole.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

MAX_TEXT_LINE_BYTES: Final = 2000  # with CR LF; RFC 5321 (4.5.3.1.6) has 1000, many send more

_END: Final = b"\r\n.\r\n"
_STARTS: Final = tuple(_END[:count] for count in range(len(_END) - 1, 0, -1))
_CRLF: Final = b"\r\n"


class Flaw(Enum):
    """What is wrong with a text; the value is what the client is told."""

    BARE_NEWLINE = "CR or LF stands by itself: lines end with CR LF"
    NUL = "there is a NUL in it"
    LONG_LINE = f"a line has more than {MAX_TEXT_LINE_BYTES} bytes"
    TOO_BIG = "it is bigger than SIZE says"
    NO_ROOM = "there is no room for more messages just now"


class ContentReader:
    """Takes a message's bytes as they come, cut anywhere.

    What is kept is bounded by `max_bytes`; of a text with a flaw nothing is.
    """

    __slots__ = ("_carry", "_line_bytes", "_max_bytes", "_skip", "_text", "flaw")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._text = bytearray()
        self._carry = _CRLF  # begins, perhaps, the end; what was before the text is a line's end
        self._skip = len(_CRLF)  # so many bytes at the front are not the text's
        self._line_bytes = 0  # of the line that is not at its end
        self.flaw: Flaw | None = None  # the first; None: none so far

    def feed(self, chunk: bytes | bytearray) -> int | None:
        """Take what has come; return how many bytes of it are the message's, None: all, and more.

        After the end it may not be called again.
        """
        data = self._carry + chunk
        end = data.find(_END)
        if end >= 0:
            self._take(data[: end + len(_CRLF)])
            return end + len(_END) - len(self._carry)
        start = next((start for start in _STARTS if data.endswith(start)), b"")
        self._carry = start
        self._take(data[: len(data) - len(start)])
        return None

    def refuse(self, flaw: Flaw) -> None:
        """Keep nothing of it, but go on to its end."""
        self.flaw = flaw
        self._text = bytearray()

    def take_text(self) -> bytes:
        """Return the message, its lines ended by CR LF, and keep nothing of it."""
        text = bytes(self._text)
        self._text = bytearray()
        return text

    @property
    def size_bytes(self) -> int:
        """How much is kept so far."""
        return len(self._text)

    def _take(self, data: bytes) -> None:
        if self.flaw is None and (flaw := self._flaw_of(data)) is not None:
            self.refuse(flaw)
        if self.flaw is not None:
            return
        text = data.replace(b"\r\n.", _CRLF)
        if self._skip and data:
            text, self._skip = text[self._skip :], 0
        self._text += text
        if len(self._text) > self._max_bytes:
            self.refuse(Flaw.TOO_BIG)

    def _flaw_of(self, data: bytes) -> Flaw | None:
        """Return what is wrong with a part; a CR LF is always whole in one."""
        ends = data.count(_CRLF)
        if data.count(b"\r") != ends or data.count(b"\n") != ends:
            return Flaw.BARE_NEWLINE
        if b"\0" in data:
            return Flaw.NUL
        return Flaw.LONG_LINE if self._has_long_line(data) else None

    def _has_long_line(self, data: bytes) -> bool:
        begin = 0  # of a line, behind which nothing was looked at
        allowed = MAX_TEXT_LINE_BYTES - self._line_bytes
        while len(data) - begin > allowed:
            end = data.rfind(_CRLF, begin, begin + allowed)
            if end < 0:
                return True
            begin = end + len(_CRLF)
            allowed = MAX_TEXT_LINE_BYTES
        end = data.rfind(_CRLF, begin)
        if end >= 0:
            self._line_bytes = len(data) - end - len(_CRLF)
        elif begin:
            self._line_bytes = len(data) - begin
        else:
            self._line_bytes += len(data)
        return False
