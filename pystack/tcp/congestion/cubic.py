"""CUBIC (RFC 9438), without HyStart++. Windows in bytes; the RFC's formulas are in segments."""

from typing import Final

from pystack.tcp.congestion.base import AckSample, ControlDefaults, LossSample, initial_window_bytes
from pystack.tcp.congestion.newreno import INITIAL_SSTHRESH_BYTES

C: Final = 0.4  # section 4.6 and 5; segments per second cubed
BETA: Final = 0.7  # section 4.6
_ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)  # section 4.3, until W_est has reached w_max


class Cubic(ControlDefaults):
    """The window follows a cubic function of the time since the last congestion event."""

    __slots__ = (
        "_after_rto",
        "_cwnd",
        "_epoch_at",
        "_prior_cwnd",
        "_smss",
        "_ssthresh",
        "_target_base",
        "k",
        "w_est",
        "w_max",
    )

    name = "cubic"

    def __init__(self, smss_bytes: int) -> None:
        self._smss = smss_bytes
        self._cwnd = float(initial_window_bytes(smss_bytes))
        self._ssthresh = INITIAL_SSTHRESH_BYTES
        self._after_rto = False
        self.w_max = 0.0  # bytes
        self.w_est = 0.0  # bytes
        self.k = 0.0  # seconds
        self._prior_cwnd = 0.0
        self._epoch_at: float | None = None  # None: congestion avoidance has not begun (again)
        self._target_base = 0.0

    @property
    def cwnd_bytes(self) -> int:
        """Return the window."""
        return int(self._cwnd)

    @property
    def ssthresh_bytes(self) -> int:
        """Return where slow start ends."""
        return self._ssthresh

    def on_ack(self, sample: AckSample) -> None:
        """Grow, section 4.2 to 4.5; slow start (4.10) as RFC 5681 has it."""
        if sample.in_recovery:
            return
        if not sample.cwnd_limited:
            self._epoch_at = None  # section 5.8: time in which cwnd was not used does not count
            return
        if self._cwnd < self._ssthresh:
            limit = self._smss if self._after_rto else sample.acked_bytes
            self._cwnd += min(sample.acked_bytes, limit)
            if self._cwnd >= self._ssthresh:
                self._after_rto = False
            return
        self._avoid_congestion(sample)

    def on_loss(self, sample: LossSample) -> None:
        """Reduce by beta, section 4.6, with fast convergence (4.7)."""
        self._congestion_event(sample.flight_size_bytes)
        self._cwnd = float(self._ssthresh)

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Section 4.8: reduce ssthresh as in 4.6, and start from one segment."""
        self._congestion_event(flight_size_bytes)
        self.w_max = 0.0  # the next congestion avoidance has K = 0, and W_max where it begins
        self._cwnd = float(self._smss)
        self._after_rto = True

    def _congestion_event(self, flight_size_bytes: int) -> None:
        cwnd = self._cwnd
        self._prior_cwnd = cwnd
        self.w_max = cwnd * (1 + BETA) / 2 if cwnd < self.w_max else cwnd
        self._ssthresh = max(int(flight_size_bytes * BETA), 2 * self._smss)
        self._epoch_at = None

    def _avoid_congestion(self, sample: AckSample) -> None:
        smss, cwnd = self._smss, self._cwnd
        if self._epoch_at is None:
            self._epoch_at = sample.now
            self.w_est = cwnd
            self._target_base = max(self.w_max, cwnd)
            self.k = ((self._target_base - cwnd) / smss / C) ** (1 / 3)
        elapsed_s = sample.now - self._epoch_at
        rtt_s = sample.srtt_s or 0.0
        target = self._target_base + C * (elapsed_s + rtt_s - self.k) ** 3 * smss
        target = min(max(target, cwnd), 1.5 * cwnd)
        # section 4.3, the Reno-friendly region
        alpha = 1.0 if self.w_est >= self._prior_cwnd else _ALPHA
        self.w_est += alpha * smss * sample.acked_bytes / cwnd
        w_cubic = self._target_base + C * (elapsed_s - self.k) ** 3 * smss
        if w_cubic < self.w_est:
            self._cwnd = max(cwnd, self.w_est)
        else:
            self._cwnd += (target - cwnd) * sample.acked_bytes / cwnd
