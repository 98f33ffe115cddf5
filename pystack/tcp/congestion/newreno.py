"""Slow start and congestion avoidance (RFC 5681)."""

from typing import Final

from pystack.tcp.congestion.base import AckSample, ControlDefaults, LossSample, initial_window_bytes

# "arbitrarily high" (RFC 5681 section 3.1): the largest window that TCP can offer
INITIAL_SSTHRESH_BYTES: Final = 0xFFFF << 14


class NewReno(ControlDefaults):
    """The control of RFC 5681; the counting is by bytes, as RFC 3465 recommends."""

    __slots__ = ("_acked_bytes", "_after_rto", "_cwnd", "_smss", "_ssthresh")

    name = "newreno"

    def __init__(self, smss_bytes: int) -> None:
        self._smss = smss_bytes
        self._cwnd = initial_window_bytes(smss_bytes)
        self._ssthresh = INITIAL_SSTHRESH_BYTES
        self._acked_bytes = 0  # since the window last grew, in congestion avoidance
        self._after_rto = False

    @property
    def cwnd_bytes(self) -> int:
        """Return the window."""
        return self._cwnd

    @property
    def ssthresh_bytes(self) -> int:
        """Return where slow start ends."""
        return self._ssthresh

    def on_ack(self, sample: AckSample) -> None:
        """Grow: by what was acknowledged in slow start, by a segment per window after it."""
        if sample.in_recovery or not sample.cwnd_limited:
            return
        if self._cwnd < self._ssthresh:
            # RFC 3465 limits L to 2 segments; an ACK of a receiver that takes super-frames covers
            # 45, so like Linux we count all, except where a time-out has just shown congestion.
            limit = self._smss if self._after_rto else sample.acked_bytes
            self._cwnd += min(sample.acked_bytes, limit)
            if self._cwnd >= self._ssthresh:
                self._after_rto = False
            return
        self._acked_bytes += sample.acked_bytes
        while self._acked_bytes >= self._cwnd:
            self._acked_bytes -= self._cwnd
            self._cwnd += self._smss

    def on_loss(self, sample: LossSample) -> None:
        """Halve, (4). The inflation of section 3.2 is done by counting what left the pipe."""
        self._ssthresh = max(sample.flight_size_bytes // 2, 2 * self._smss)
        self._cwnd = self._ssthresh
        self._acked_bytes = 0

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Start again from the loss window, one segment."""
        self._ssthresh = max(flight_size_bytes // 2, 2 * self._smss)
        self._cwnd = self._smss
        self._acked_bytes = 0
        self._after_rto = True
