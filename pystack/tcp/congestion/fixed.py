"""A window that never moves: for tests, and to see what congestion control is for."""

from typing import Final

from pystack.core.errors import ConfigError
from pystack.tcp.congestion.base import (
    INITIAL_SSTHRESH_BYTES,
    AckSample,
    ControlDefaults,
    LossSample,
)

DEFAULT_SEGMENTS: Final = 64


class Fixed(ControlDefaults):
    """Always `segments` segments."""

    __slots__ = ("cwnd_bytes",)

    name = "fixed"
    ssthresh_bytes = INITIAL_SSTHRESH_BYTES

    def __init__(self, smss_bytes: int, segments: str | int = DEFAULT_SEGMENTS) -> None:
        """`segments`: from 1 on. Raises ConfigError."""
        number = str(segments)
        if not number.isdecimal() or not int(number):
            raise ConfigError(f"{segments!r} is not a number of segments")
        self.cwnd_bytes = int(number) * smss_bytes

    def on_ack(self, sample: AckSample) -> None:
        """Whatever was acknowledged, the window stays."""

    def on_loss(self, sample: LossSample) -> None:
        """Whatever was lost, the window stays."""

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Whatever ran out, the window stays."""
