"""Replies of an SMTP server (RFC 5321 section 4.2), with enhanced status codes (RFC 2034, 3463)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: a line, or several."""

    code: int  # 200 to 599
    enhanced: str  # such as "5.5.1"; "" where there is none: greeting, HELO, EHLO, 3xx
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """Return its last line, without the end."""
        return self.pack().decode("utf-8").splitlines()[-1]

    def pack(self) -> bytes:
        """Return the bytes that are sent."""
        status = f"{self.enhanced} " if self.enhanced else ""
        last = len(self.lines) - 1
        return "".join(
            f"{self.code}{' ' if index == last else '-'}{status}{line}\r\n"
            for index, line in enumerate(self.lines)
        ).encode("utf-8")


def reply(code: int, enhanced: str, *lines: str) -> Reply:
    """Make one."""
    return Reply(code, enhanced, lines)


START_DATA: Final = reply(354, "", "Go on, and end with a dot on a line of its own")
READY_FOR_TLS: Final = reply(220, "2.0.0", "Ready to start TLS")
BYE: Final = reply(221, "2.0.0", "Bye")
CLOSING: Final = reply(421, "4.3.2", "The service ends: closing")
TOO_SLOW: Final = reply(421, "4.4.2", "Waited too long: closing")
TOO_MANY_ERRORS: Final = reply(421, "4.7.0", "Too many errors: closing")
NO_COMMAND_HERE: Final = reply(421, "4.7.0", "This is SMTP, and that is not: closing")
LINE_TOO_LONG: Final = reply(500, "5.5.6", "That line is too long")
BAD_LINE: Final = reply(500, "5.5.2", "Lines end with CR LF, and hold no other CR, LF or NUL")
NO_ROOM: Final = reply(452, "4.3.1", "No room for more messages just now")
NOT_WRITTEN: Final = reply(451, "4.3.0", "The message could not be written")
