"""A window that never moves: for tests, and to see what congestion control is for."""

from pystack.tcp.congestion.base import AckSample, ControlDefaults, LossSample
from pystack.tcp.congestion.newreno import INITIAL_SSTHRESH_BYTES


class Fixed(ControlDefaults):
    """Always `segments` segments."""

    __slots__ = ("cwnd_bytes",)

    name = "fixed"
    ssthresh_bytes = INITIAL_SSTHRESH_BYTES

    def __init__(self, smss_bytes: int, segments: int = 64) -> None:
        self.cwnd_bytes = segments * smss_bytes

    def on_ack(self, sample: AckSample) -> None:
        """Whatever was acknowledged, the window stays."""

    def on_loss(self, sample: LossSample) -> None:
        """Whatever was lost, the window stays."""

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Whatever ran out, the window stays."""
