"""How much, and for how long, one SMTP client may ask of the server."""

from dataclasses import dataclass
from typing import Final

from pystack.apps.bounds import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpLimits(Bounds):
    """Bounds of one connection, and of all. Times are in the world's seconds."""

    size_bytes: int = 10 * 1024 * 1024  # of a message, told as SIZE; more is 552
    recipients: int = 100  # of a message, RFC 5321 (4.5.3.1.8) has so many at least; more is 452
    errors: int = 10  # in a row without a message; with the next it is 421
    line_bytes: int = 2048  # of a command; RFC 5321 (4.5.3.1.4) has 512 at least; more is 500
    command_s: float = 300.0  # for the next command, RFC 5321 (4.5.3.2.7); then 421
    content_s: float = 180.0  # the longest silence inside a message, (4.5.3.2.5); then 421
    # What of a message's waiting is made good by what comes, as HTTP has it
    least_rate_bps: float = 1000.0
    refused_s: float = 5.0  # the same silence, once the message cannot be taken any more
    refused_bytes: int = 64 * 1024 * 1024  # so much of such a message is read to find its end
    send_s: float = 60.0  # for the client to take replies
    held_bytes: int = 64 * 1024 * 1024  # of all messages that are not kept yet; more is 452
    kept_bytes: int = 64 * 1024 * 1024  # of all in memory, with envelopes; the oldest make room
    kept_messages: int = 10_000  # there


DEFAULT_SMTP_LIMITS: Final = SmtpLimits()
