"""How much, and for how long, a client may ask of a server. FTP's are in `ftp/limits.py`."""

from dataclasses import dataclass, fields
from typing import Final

from pystack.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What limits have in common: each is greater than 0. Raises ConfigError when built wrong."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"limit {field.name} is {value}; it must be greater than 0")


SEND_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Bounds):
    """Bounds of one HTTP connection. Times are in the world's seconds."""

    header_bytes: int = 16 * 1024  # request line and headers together; more is 431
    header_lines: int = 100  # of the head, or of the trailers; more is 431
    target_bytes: int = 8 * 1024  # more is 414
    body_bytes: int = 1 << 40  # of a request, 1 TiB; more is 413
    idle_s: float = 60.0  # between requests; then the connection is closed without a word
    header_s: float = 15.0  # from the first byte of a request to the end of its headers; then 408
    body_s: float = 30.0  # the longest silence inside a request's body; then 408
    # What of a body's waiting is made good by what comes, so that a byte now and then is no way to
    # hold a connection for ever; then 408. The head has `header_s` for all of it.
    least_rate_bps: float = 1000.0
    send_s: float = 60.0  # for the client to take each `SEND_BYTES` of the answer; then a reset
    linger_s: float = 5.0  # how long a refused client is listened to, so that it sees the answer
    linger_bytes: int = 64 << 20

    def sending_s(self, count: int) -> float:
        """Return how long the client may take over so many bytes."""
        return self.send_s * max(1, -(-count // SEND_BYTES))


DEFAULT_LIMITS: Final = Limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpLimits(Bounds):
    """Bounds of one SMTP connection, and of all. Times are in the world's seconds."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits(Bounds):
    """Bounds of one WebSocket. Times are in the world's seconds."""

    message_bytes: int = 16 << 20  # of one message, inflated; more is 1009
    ping_s: float = 30.0  # of silence, after which it is asked whether anybody is there
    pong_s: float = 20.0  # of silence after that, which is 1008
    send_s: float = 60.0  # for the peer to take what is sent at once, some 64 KiB; then a reset
    close_s: float = 5.0  # for the closing handshake, and for the peer to end TCP; then a reset
    close_bytes: int = 64 << 20  # what is read, and thrown away, meanwhile


DEFAULT_WEBSOCKET_LIMITS: Final = WebSocketLimits()


class Patience:
    """How long the rest of something long is waited for: a byte now and then holds up nobody.

    A silence may be so long, and what comes makes good what was waited for, at a least rate.
    """

    __slots__ = ("_earns_s", "_most_s", "left_s")

    def __init__(self, most_s: float, least_rate_bps: float) -> None:
        self._most_s = self.left_s = most_s
        self._earns_s = 8 / least_rate_bps  # each byte

    def received(self, count: int, waited_s: float) -> None:
        """Take note of bytes, and of the time that they took to come."""
        self.left_s = min(self.left_s - waited_s + count * self._earns_s, self._most_s)
