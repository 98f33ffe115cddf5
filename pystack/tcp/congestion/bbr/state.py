"""The variables of BBR, and what follows from them at once (draft-ietf-ccwg-bbr-06, section 2).

Rates are in bits a second, volumes in bytes; infinity where a bound is not set. Functions of the
neighbouring modules change them, as the draft's pseudocode does.
"""

from collections import deque
from math import inf

from pystack.core.rng import Random
from pystack.tcp.congestion.base import ControlDefaults, initial_window_bytes
from pystack.tcp.congestion.bbr.parameters import (
    DEFAULT_CWND_GAIN,
    HEADROOM,
    MIN_PIPE_CWND_SEGMENTS,
    PACING_MARGIN,
    PROBE_RTT_CWND_GAIN,
    STARTUP_PACING_GAIN,
    AckPhase,
    Mode,
)


class MaxBwFilter:
    """The largest of this cycle of ProbeBW and of the one before it."""

    __slots__ = ("_current", "_last")

    def __init__(self) -> None:
        self._last = 0.0
        self._current = 0.0

    @property
    def largest(self) -> float:
        """Return BBR.max_bw."""
        return max(self._last, self._current)

    def take(self, value: float) -> None:
        """Take a sample of this cycle."""
        self._current = max(self._current, value)

    def advance(self) -> None:
        """Begin a new cycle, section 5.5.6; one without any sample, as in Linux, was none."""
        if self._current:
            self._last, self._current = self._current, 0.0


class WindowedMax:
    """The largest value of the last rounds; each round, of which there are few, holds one place."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[tuple[int, float]] = deque()  # (round, value), values falling

    def update(self, value: float, at_round: int, rounds: int) -> float:
        """Take a value; return the largest of the `rounds` that end with this one."""
        kept = self._kept
        while kept and kept[-1][1] <= value:
            kept.pop()
        # A smaller value of the same round will never be the largest.
        if not kept or kept[-1][0] != at_round:
            kept.append((at_round, value))
        while kept[0][0] <= at_round - rounds:
            kept.popleft()
        return kept[0][1]


class BbrState(ControlDefaults):
    """BBR.* and, without a prefix, the variables of the connection that BBR owns (C.*)."""

    __slots__ = (
        "ack_phase",
        "app_limited_from_bytes",
        "app_limited_to_bytes",
        "bw_bps",
        "bw_latest_bps",
        "bw_probe_up_acked_bytes",
        "bw_probe_up_rounds",
        "bw_probe_wait_s",
        "bw_shortterm_bps",
        "congestion_in_round",
        "cwnd_bytes",
        "cwnd_gain",
        "cwnd_limited",
        "cycle_at",
        "delivered_bytes",
        "drain_start_round",
        "extra_acked_bytes",
        "extra_acked_delivered_bytes",
        "extra_acked_filter",
        "extra_acked_interval_at",
        "full_bw_bps",
        "full_bw_count",
        "full_bw_now",
        "full_bw_reached",
        "idle_restart",
        "in_flight_bytes",
        "in_recovery",
        "inflight_latest_bytes",
        "inflight_longterm_bytes",
        "inflight_shortterm_bytes",
        "initial_cwnd_bytes",
        "is_bw_probe_sample",
        "is_loss_in_round",
        "loss_ranges_in_round",
        "loss_round_delivered_bytes",
        "loss_round_start",
        "lost_range_end",
        "max_bw_filter",
        "min_rtt_at",
        "min_rtt_s",
        "mode",
        "next_round_delivered_bytes",
        "pacing_bps",
        "pacing_gain",
        "prev_probe_precautionary",
        "prev_probe_too_high",
        "prior_cwnd_bytes",
        "probe_rtt_done_at",
        "probe_rtt_expired",
        "probe_rtt_min_at",
        "probe_rtt_min_delay_s",
        "probe_rtt_round_done",
        "probe_up_acked_per_inc_bytes",
        "recovery_in_round",
        "rng",
        "round_count",
        "round_start",
        "rounds_since_probe_up",
        "sack",
        "send_quantum_bytes",
        "smss_bytes",
        "undo_bw_shortterm_bps",
        "undo_inflight_longterm_bytes",
        "undo_inflight_shortterm_bytes",
        "undo_mode",
    )

    def __init__(self, smss_bytes: int) -> None:
        self.smss_bytes = smss_bytes
        self.rng: Random | None = None  # None: chance always takes the middle
        self.sack = False  # C.has_selective_acks
        # control parameters, section 5.6
        self.initial_cwnd_bytes = initial_window_bytes(smss_bytes)
        self.cwnd_bytes = self.initial_cwnd_bytes
        self.prior_cwnd_bytes = 0
        self.pacing_bps: float = 0.0
        self.send_quantum_bytes: int = 2 * smss_bytes
        self.mode = Mode.STARTUP
        self.pacing_gain = STARTUP_PACING_GAIN
        self.cwnd_gain = DEFAULT_CWND_GAIN
        # what the last ACK told
        self.delivered_bytes = 0
        self.in_flight_bytes = 0
        self.cwnd_limited = False
        self.in_recovery = False
        # At some time of this loss round: the ACK that ends the round may end recovery just before.
        self.recovery_in_round = False
        self.idle_restart = False
        # rounds, section 5.5.1
        self.next_round_delivered_bytes = 0
        self.round_start = False
        self.round_count = 0
        self._init_model()
        self._init_losses()
        self._init_cycle()

    def _init_model(self) -> None:
        # bandwidth
        self.max_bw_filter = MaxBwFilter()
        self.bw_bps = 0.0
        self.bw_shortterm_bps = inf
        self.bw_latest_bps = 0.0
        self.full_bw_bps = 0.0
        self.full_bw_count = 0
        self.full_bw_now = False
        self.full_bw_reached = False
        self.drain_start_round = 0
        # Samples of what was sent between these two values of C.delivered say nothing of the path:
        # ProbeRTT held the sender back (MarkConnectionAppLimited). None: it never did.
        self.app_limited_from_bytes: int | None = None
        self.app_limited_to_bytes = 0
        # round trip times
        self.min_rtt_s = inf
        self.min_rtt_at = 0.0
        self.probe_rtt_min_delay_s = inf
        self.probe_rtt_min_at = 0.0
        self.probe_rtt_expired = False
        self.probe_rtt_done_at: float | None = None  # None: in flight there is still too much
        self.probe_rtt_round_done = False
        # aggregation, section 5.5.9
        self.extra_acked_filter = WindowedMax()
        self.extra_acked_bytes = 0.0
        self.extra_acked_interval_at = 0.0
        self.extra_acked_delivered_bytes = 0

    def _init_losses(self) -> None:
        self.inflight_longterm_bytes = inf
        self.inflight_shortterm_bytes = inf
        self.inflight_latest_bytes = 0
        self.is_loss_in_round = False
        self.congestion_in_round = False  # a mark of ECN, or, without SACK, any loss
        self.loss_round_start = False
        self.loss_round_delivered_bytes = 0
        self.loss_ranges_in_round = 0
        self.lost_range_end: int | None = None  # None: no loss yet

    def _init_cycle(self) -> None:
        # ProbeBW, section 2.14
        self.ack_phase = AckPhase.INIT
        self.cycle_at = 0.0
        self.bw_probe_wait_s = 0.0
        self.rounds_since_probe_up = 0
        self.is_bw_probe_sample = False
        self.bw_probe_up_acked_bytes = 0
        self.probe_up_acked_per_inc_bytes = inf
        self.bw_probe_up_rounds = 0
        self.prev_probe_too_high = False
        self.prev_probe_precautionary = False
        # undo, section 2.15
        self.undo_mode: Mode | None = None  # None: no loss has changed the state
        self.undo_bw_shortterm_bps = inf
        self.undo_inflight_shortterm_bytes = inf
        self.undo_inflight_longterm_bytes = inf

    @property
    def max_bw_bps(self) -> float:
        """Return BBR.max_bw."""
        return self.max_bw_filter.largest

    @property
    def min_pipe_cwnd_bytes(self) -> int:
        """Return BBR.MinPipeCwnd."""
        return MIN_PIPE_CWND_SEGMENTS * self.smss_bytes

    @property
    def bdp_bytes(self) -> float:
        """Return BBR.bdp; without any measurement, what may be sent at first."""
        return self.bdp_multiple_bytes(1.0, self.bw_bps)

    @property
    def target_inflight_bytes(self) -> float:
        """Return TargetInflight(): BDP, unless congestion has cut cwnd below it."""
        return min(self.bdp_bytes, self.cwnd_bytes)

    @property
    def inflight_with_headroom_bytes(self) -> float:
        """Return InflightWithHeadroom(): the long-term bound, less what others may need."""
        longterm = self.inflight_longterm_bytes
        if longterm == inf:
            return inf
        return max(longterm - max(self.smss_bytes, HEADROOM * longterm), self.min_pipe_cwnd_bytes)

    @property
    def probe_rtt_cwnd_bytes(self) -> float:
        """Return ProbeRTTCwnd(), section 5.6.4.5."""
        half = self.bdp_multiple_bytes(PROBE_RTT_CWND_GAIN, self.bw_bps)
        return max(half, self.min_pipe_cwnd_bytes)

    @property
    def max_inflight_bytes(self) -> float:
        """Return BBR.max_inflight, section 5.6.4.2."""
        cap = self.bdp_multiple_bytes(self.cwnd_gain, self.bw_bps) + self.extra_acked_bytes
        return self._quantized_bytes(cap)

    def bdp_multiple_bytes(self, gain: float, bw_bps: float) -> float:
        """Return BDPMultiple(gain), for a bandwidth."""
        if self.min_rtt_s == inf:
            return self.initial_cwnd_bytes
        return gain * bw_bps * self.min_rtt_s / 8

    def inflight_bytes(self, bw_bps: float) -> float:
        """Return Inflight(bw, 1.0): what keeps the pipe full, and no queue."""
        return self._quantized_bytes(self.bdp_multiple_bytes(1.0, bw_bps))

    def _quantized_bytes(self, inflight_cap: float) -> float:
        offload_budget = 3 * self.send_quantum_bytes  # section 5.5.8.1
        cap = max(inflight_cap, offload_budget, self.min_pipe_cwnd_bytes)
        return cap + 2 * self.smss_bytes if self.mode is Mode.PROBE_BW_UP else cap

    def start_round(self) -> None:
        """A round ends when something that is sent from here on is acknowledged."""
        self.next_round_delivered_bytes = self.delivered_bytes

    def reset_full_bw(self, full_bw_bps: float = 0.0) -> None:
        """Begin to look anew for a bandwidth that no longer grows, section 5.3.1.2."""
        self.full_bw_bps = full_bw_bps
        self.full_bw_count = 0
        self.full_bw_now = False

    def reset_shortterm_model(self) -> None:
        """Forget what losses have said of the moment."""
        self.bw_shortterm_bps = inf
        self.inflight_shortterm_bytes = inf

    def reset_congestion_signals(self) -> None:
        """Forget what this round trip has told so far."""
        self.is_loss_in_round = False
        self.bw_latest_bps = 0.0
        self.inflight_latest_bytes = 0

    def save_cwnd(self) -> None:
        """Remember the last cwnd that neither a loss nor ProbeRTT has changed."""
        if self.in_recovery or self.mode is Mode.PROBE_RTT:
            self.prior_cwnd_bytes = max(self.prior_cwnd_bytes, self.cwnd_bytes)
        else:
            self.prior_cwnd_bytes = self.cwnd_bytes

    def restore_cwnd(self) -> None:
        """Have that one again."""
        self.cwnd_bytes = max(self.cwnd_bytes, self.prior_cwnd_bytes)

    def set_pacing_rate(self, pacing_gain: float) -> None:
        """SetPacingRateWithGain(): until the pipe is full, the rate does not fall."""
        rate_bps = pacing_gain * self.bw_bps * (1 - PACING_MARGIN)
        # Startup may end, by a mark of ECN, before any rate was measured: 0 would be for ever.
        if rate_bps > self.pacing_bps or (self.full_bw_reached and rate_bps > 0):
            self.pacing_bps = rate_bps
