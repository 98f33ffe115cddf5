"""CUBIC (RFC 9438), with HyStart++ (RFC 9406) for its first slow start.

The RFC's formulas are in segments; windows here are in bytes. `t`, the age of the current stage of
congestion avoidance, does not count time in which the window was not used (section 5.8).
"""

from typing import Final

from pystack.tcp.congestion.base import AckSample, LossSample, Opening
from pystack.tcp.congestion.hystart import HyStart
from pystack.tcp.congestion.window import WindowControl

C: Final = 0.4  # section 5; segments per second cubed
BETA: Final = 0.7  # section 4.6
ALPHA: Final = 3 * (1 - BETA) / (1 + BETA)  # section 4.3, until W_est has reached cwnd_prior


class Cubic(WindowControl):
    """The window follows a cubic function of the time since the last congestion event."""

    __slots__ = (
        "_cubic_before",
        "_cwnd",
        "_first_stage",
        "_hystart",
        "_last_ack_at",
        "cwnd_prior",
        "epoch_start_at",
        "k",
        "w_est",
        "w_max",
    )

    name = "cubic"
    beta = BETA
    beta_ecn = 0.85  # RFC 8511 section 3

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self._hystart: HyStart | None = HyStart()  # None: the first slow start is over
        self._cwnd = 0.0  # the window with its fraction of a byte, in congestion avoidance
        self.w_max = 0.0  # bytes
        self.w_est = 0.0  # bytes
        self.k = 0.0  # seconds
        self.cwnd_prior = 0  # when ssthresh was last set
        self.epoch_start_at: float | None = None  # None: congestion avoidance has not begun (again)
        self._last_ack_at = 0.0  # in congestion avoidance
        # No window is known at which something was lost, or a time-out has made it worthless:
        # the stage has K = 0, and as W_max the window with which it begins (sections 4.8, 4.10).
        self._first_stage = True
        # w_max, k, w_est, cwnd_prior, epoch_start_at, _first_stage; None: nothing to undo
        self._cubic_before: tuple[float, float, float, int, float | None, bool] | None = None

    def on_established(self, opening: Opening) -> None:
        """Begin; with a window that is past slow start, the first one of these is over."""
        super().on_established(opening)
        if self.cwnd_bytes >= self.ssthresh_bytes:
            self._hystart = None

    def on_loss(self, sample: LossSample) -> None:
        """Multiply by beta, section 4.6, with fast convergence (4.7)."""
        self._congestion_event()
        self._first_stage = False
        super().on_loss(sample)

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Section 4.8: as Reno, with beta of CUBIC."""
        self._congestion_event()
        self._first_stage = True
        super().on_rto(now, flight_size_bytes)

    def on_undo(self, now: float) -> None:
        """Go back to the curve as it was, section 4.9; unless the window is larger already."""
        outgrown = self._before is None or self.cwnd_bytes >= self._before[0]
        super().on_undo(now)
        if self._cubic_before is not None and not outgrown:
            (
                self.w_max,
                self.k,
                self.w_est,
                self.cwnd_prior,
                self.epoch_start_at,
                self._first_stage,
            ) = self._cubic_before
            self._cwnd = float(self.cwnd_bytes)
        self._cubic_before = None

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """Idle time is none in which the window would have grown (section 5.8)."""
        self._pass_over(now)
        cwnd_bytes = self.cwnd_bytes
        super().on_idle(now, idle_s, rto_s)
        if self.cwnd_bytes < cwnd_bytes:
            self.epoch_start_at = None  # slow start, and then a new stage

    def _slow_start(self, sample: AckSample) -> None:
        """Section 4.10."""
        hystart = self._hystart
        if hystart is None:
            super()._slow_start(sample)
            return
        self.cwnd_bytes += hystart.growth_bytes(sample)
        if hystart.over:
            self.ssthresh_bytes = self.cwnd_prior = self.cwnd_bytes
            self._hystart = None

    def _not_used_up(self, sample: AckSample) -> None:
        self._pass_over(sample.now)
        super()._not_used_up(sample)

    def _avoid_congestion(self, sample: AckSample) -> None:
        """Grow, sections 4.2 to 4.5."""
        now = self._last_ack_at = sample.now
        epoch_start_at = self.epoch_start_at
        if epoch_start_at is None:
            epoch_start_at = self.epoch_start_at = now
            self._begin_stage()
        smss, cwnd, w_max, k = self._smss, self._cwnd, self.w_max, self.k
        t = now - epoch_start_at
        alpha = ALPHA if self.w_est < self.cwnd_prior else 1.0
        self.w_est += alpha * smss * sample.acked_bytes / cwnd
        if C * smss * (t - k) ** 3 + w_max < self.w_est:  # section 4.3, the Reno-friendly region
            cwnd = max(cwnd, self.w_est)
        else:
            w_next = C * smss * (t + (sample.srtt_s or 0.0) - k) ** 3 + w_max
            target = min(max(w_next, cwnd), 1.5 * cwnd)
            cwnd += (target - cwnd) / cwnd * sample.acked_bytes
        self._cwnd = cwnd
        self.cwnd_bytes = int(cwnd)

    def _begin_stage(self) -> None:
        """Section 4.2: K, so that W_cubic(0) is the window as it is."""
        cwnd = self._cwnd = self.w_est = float(self.cwnd_bytes)
        if self._first_stage or cwnd >= self.w_max:
            self.w_max = cwnd
            self._first_stage = False
        self.k = ((self.w_max - cwnd) / self._smss / C) ** (1 / 3)

    def _congestion_event(self) -> None:
        """Section 4.7: whoever did not reach W_max again leaves room for others."""
        self._cubic_before = (
            self.w_max,
            self.k,
            self.w_est,
            self.cwnd_prior,
            self.epoch_start_at,
            self._first_stage,
        )
        cwnd = self.cwnd_bytes
        self.w_max = cwnd * (1 + BETA) / 2 if cwnd < self.w_max else float(cwnd)
        self.cwnd_prior = cwnd
        self.epoch_start_at = None
        self._hystart = None

    def _pass_over(self, now: float) -> None:
        """Time since the last ACK that made the window grow is not part of the stage."""
        if self.epoch_start_at is not None:
            self.epoch_start_at += now - self._last_ack_at
            self._last_ack_at = now
