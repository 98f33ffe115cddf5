"""How much, and for how long, one HTTP connection may ask of the server."""

from dataclasses import dataclass
from typing import Final

from pystack.apps.bounds import Bounds

SEND_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits(Bounds):
    """Bounds of one connection. Times are in the world's seconds."""

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
