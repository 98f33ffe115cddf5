"""How much, and for how long, one WebSocket may ask of the server."""

from dataclasses import dataclass
from typing import Final

from pystack.apps.bounds import Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits(Bounds):
    """Bounds of one WebSocket. Times are in the world's seconds."""

    message_bytes: int = 16 << 20  # of one message, inflated; more is 1009
    ping_s: float = 30.0  # of silence, after which it is asked whether anybody is there
    pong_s: float = 20.0  # of silence after that, which is 1008
    send_s: float = 60.0  # for the peer to take what is sent at once, some 64 KiB; then a reset
    close_s: float = 5.0  # for the closing handshake, and for the peer to end TCP; then a reset
    close_bytes: int = 64 << 20  # what is read, and thrown away, meanwhile


DEFAULT_LIMITS: Final = WebSocketLimits()
