"""Slow start and congestion avoidance as RFC 5681 has them; bytes are counted (RFC 3465)."""

from pystack.tcp.congestion.base import AckSample, LossSample
from pystack.tcp.congestion.window import WindowControl


class NewReno(WindowControl):
    """Additive increase, multiplicative decrease."""

    __slots__ = ("_acked_bytes",)

    name = "newreno"

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self._acked_bytes = 0  # since the window last grew

    def on_loss(self, sample: LossSample) -> None:
        """Halve."""
        super().on_loss(sample)
        self._acked_bytes = 0

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Start again."""
        super().on_rto(now, flight_size_bytes)
        self._acked_bytes = 0

    def _avoid_congestion(self, sample: AckSample) -> None:
        """Grow by a segment for each window that is acknowledged (RFC 3465 section 2.1)."""
        smss, cwnd_bytes = self._smss, self.cwnd_bytes
        self._acked_bytes += sample.acked_bytes
        # Of a window of 7.5 segments 7 are sent: these are what a round trip acknowledges. Waiting
        # for the rest would cost up to a round trip of the ten between two losses at 1 %.
        window_bytes = cwnd_bytes - cwnd_bytes % smss or cwnd_bytes
        if self._acked_bytes >= window_bytes:
            self._acked_bytes -= window_bytes
            self.cwnd_bytes = cwnd_bytes + smss
