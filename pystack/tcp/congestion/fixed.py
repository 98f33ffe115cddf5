"""A window that never moves: for tests, and to see what congestion control is for."""

from functools import partial
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

    def __init__(self, smss_bytes: int, segments: int = DEFAULT_SEGMENTS) -> None:
        self.cwnd_bytes = segments * smss_bytes

    @classmethod
    def configured(cls, setting: str) -> "partial[Fixed]":
        """Return what makes windows of that many segments: `fixed:20`."""
        if not setting.isdecimal() or not int(setting):
            raise ConfigError(f"fixed:{setting}: after the colon goes a number of segments")
        return partial(cls, segments=int(setting))

    def on_ack(self, sample: AckSample) -> None:
        """Whatever was acknowledged, the window stays."""

    def on_loss(self, sample: LossSample) -> None:
        """Whatever was lost, the window stays."""

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Whatever ran out, the window stays."""
