"""How much, and for how long, one WebSocket may ask of the server."""

from dataclasses import dataclass, fields
from typing import Final

from pystack.core.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSocketLimits:
    """Bounds of one WebSocket. Times are in the world's seconds."""

    message_bytes: int = 16 << 20  # of one message, inflated; more is 1009
    ping_s: float = 30.0  # of silence, after which it is asked whether anybody is there
    pong_s: float = 20.0  # of silence after that, which is 1008
    send_s: float = (
        60.0  # for the peer to take what is sent at once, 64 KiB and a bit; then a reset
    )
    close_s: float = 5.0  # for the closing handshake, and for the peer to end TCP; then a reset
    close_bytes: int = 64 << 20  # what is read, and thrown away, meanwhile

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"limit {field.name} is {value}; it must be greater than 0")


DEFAULT_LIMITS: Final = WebSocketLimits()
