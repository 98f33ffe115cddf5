"""A message with its envelope, and the lines that a server adds to it (RFC 5321 section 4.4)."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import formatdate
from typing import Final

from pystack.apps.smtp.syntax import literal_of

_TEXT_BYTES: Final = 64  # of an object and a reference to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What was received."""

    sender: str  # "" is the null sender's
    recipients: tuple[str, ...]
    data: bytes  # as the client meant it, with lines that end with CR LF
    received_at_s: float  # since 1970; in virtual time since it began
    helo: str  # what the client calls itself
    address: str  # of the client; "" where the stream does not tell
    protocol: str  # "SMTP", "ESMTP", "ESMTPS", "UTF8SMTP", "UTF8SMTPS", RFC 3848 and 6531
    host_name: str  # of the server
    ident: str  # a number of the server's own

    @property
    def held_bytes(self) -> int:
        """Return about what it takes in memory: a hundred recipients weigh more than a line."""
        return len(self.data) + sum(map(_held_bytes, (self.sender, self.helo, *self.recipients)))

    def trace(self) -> bytes:
        """Return the fields that go before the message, lines ended by CR LF.

        Return-Path and Received as RFC 5321 has them, and for each recipient a Delivered-To
        (RFC 9228): nothing else in the file tells whom it was for.
        """
        client = f"{self.helo} ({literal_of(self.address)})" if self.address else self.helo
        date = formatdate(self.received_at_s).removesuffix("-0000") + "+0000"  # the place is known
        # With several, each of them would learn of those that the message does not name.
        whom = f"\r\n\tfor <{self.recipients[0]}>" if len(self.recipients) == 1 else ""
        return "".join(
            [
                f"Return-Path: <{self.sender}>\r\n",
                *(f"Delivered-To: {recipient}\r\n" for recipient in self.recipients),
                f"Received: from {client}\r\n\tby {self.host_name} with {self.protocol}",
                f" id {self.ident}{whom};\r\n\t{date}\r\n",
            ]
        ).encode("utf-8")


def protocol_name(*, is_extended: bool, is_tls: bool, is_utf8: bool) -> str:
    """Return what Received says after `with`."""
    if not is_extended:
        return "SMTPS" if is_tls else "SMTP"
    return f"{'UTF8SMTP' if is_utf8 else 'ESMTP'}{'S' if is_tls else ''}"


def _held_bytes(text: str) -> int:
    # One letter that is not ASCII may make all of them four bytes wide.
    return _TEXT_BYTES + len(text) * (1 if text.isascii() else 4)
