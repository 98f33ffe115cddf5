"""BBR as a congestion control: what TCP tells, and pacing, quantum and cwnd in return."""

from dataclasses import replace
from math import inf
from typing import Final

from pystack.core.rng import component_rng
from pystack.tcp.congestion.base import (
    INITIAL_SSTHRESH_BYTES,
    AckSample,
    LossSample,
    LostSegment,
    Opening,
    RateSample,
)
from pystack.tcp.congestion.bbr import loss, model, phases, probe_bw
from pystack.tcp.congestion.bbr.parameters import (
    CRUISE_PACING_GAIN,
    MAX_QUANTUM_BYTES,
    PROBE_BW,
    QUANTUM_S,
    STARTUP_PACING_GAIN,
    Mode,
)
from pystack.tcp.congestion.bbr.state import BbrState

_NOMINAL_RTT_S: Final = 0.001  # section 5.6.2, where none was measured


class Bbr(BbrState):
    """Paced at the bandwidth of the path, with twice its bandwidth-delay product in flight."""

    __slots__ = ()

    name = "bbr"
    wants_rate = True
    owns_recovery = True

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self._init_pacing_rate(None)

    @property
    def ssthresh_bytes(self) -> int:  # type: ignore[override] # nobody sets it
        """Return what keeps the pipe full, once that is known; until then there is none.

        BBR has no use for it: a control that takes its place has (Linux, `bbr_check_drain`), and
        would else be in slow start, in a pipe that is full.
        """
        if not self.full_bw_reached or self.max_bw_bps <= 0:
            return INITIAL_SSTHRESH_BYTES
        return min(int(self.inflight_bytes(self.max_bw_bps)), INITIAL_SSTHRESH_BYTES)

    def on_established(self, opening: Opening) -> None:
        """OnInit(), section 5.2.1; with the window that another control had, as in Linux."""
        self.rng = component_rng(opening.seed, "bbr")
        self.sack = opening.sack
        if opening.syn_lost:
            self.initial_cwnd_bytes = self.cwnd_bytes = self.smss_bytes
        if opening.cwnd_bytes is not None:
            self.cwnd_bytes = max(opening.cwnd_bytes, self.min_pipe_cwnd_bytes)
        if opening.srtt_s is not None:
            self.min_rtt_s = opening.srtt_s
        self.min_rtt_at = self.probe_rtt_min_at = self.extra_acked_interval_at = opening.now
        self._init_pacing_rate(opening.srtt_s)

    def on_segment_size(self, smss_bytes: int) -> None:
        """Reckon in such segments from now on."""
        self.smss_bytes = smss_bytes

    def on_ack(self, sample: AckSample) -> None:
        """UpdateOnACK(), section 5.2.3."""
        rs = sample.rate
        if rs is None or not rs.newly_delivered_bytes:
            return  # there is no P, and with it no round and no rate
        now = sample.now
        self.delivered_bytes = rs.delivered_bytes
        self.in_flight_bytes = rs.in_flight_bytes
        self.cwnd_limited = sample.cwnd_limited
        if self._limited_by_probe_rtt(rs):
            rs = replace(rs, app_limited=True)
        model.update_latest_delivery_signals(self, rs)
        model.update_congestion_signals(self, rs)
        model.update_ack_aggregation(self, rs, now)
        model.check_full_bw_reached(self, rs)
        phases.check_startup_done(self, rs)
        phases.check_drain_done(self, now)
        probe_bw.update_cycle_phase(self, rs, now)
        model.update_min_rtt(self, sample.rtt_s, now)
        phases.check_probe_rtt(self, rs, now)
        model.advance_latest_delivery_signals(self, rs)
        model.bound_bw(self)
        self.set_pacing_rate(self.pacing_gain)
        self._set_send_quantum()
        self._set_cwnd(rs.newly_delivered_bytes)

    def on_segment_lost(self, lost: LostSegment) -> None:
        """Section 5.2.4."""
        self.delivered_bytes = lost.delivered_bytes
        loss.segment_lost(self, lost)
        if not self.sack:
            self.congestion_in_round = True

    def on_loss(self, sample: LossSample) -> None:
        """OnEnterFastRecovery(); or a mark of ECN, which section 3.7 leaves to us: as losses."""
        if sample.ecn:
            loss.note_loss(self)
            self.congestion_in_round = True
            if self.is_bw_probe_sample:
                in_flight = sample.flight_size_bytes
                loss.inflight_too_high(self, in_flight, sample.now, app_limited=False)
            return
        if not self.is_loss_in_round and not self.in_recovery:
            loss.save_state(self)  # else the first lost segment has done it
        self.in_recovery = self.recovery_in_round = True

    def on_recovery_exit(self, now: float) -> None:
        """Have the last good cwnd again, within the model's bounds (section 5.6.4.4)."""
        self.in_recovery = False
        self.restore_cwnd()
        self._bound_cwnd()

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """OnEnterRTO(): one segment, since all that was in flight counts as lost."""
        loss.note_loss(self)
        loss.save_state(self)
        self.in_recovery = self.recovery_in_round = True
        self.cwnd_bytes = self.smss_bytes

    def on_undo(self, now: float) -> None:
        """Section 5.2.5."""
        self.in_recovery = False
        loss.undo(self)
        self._bound_cwnd()

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """HandleRestartFromIdle(), section 5.4: no slow start, but the bandwidth at once."""
        self.in_flight_bytes = 0
        self.idle_restart = True
        self.extra_acked_interval_at = now
        if self.mode in PROBE_BW:
            self.set_pacing_rate(CRUISE_PACING_GAIN)
        elif self.mode is Mode.PROBE_RTT:
            phases.check_probe_rtt_done(self, now)

    def _limited_by_probe_rtt(self, rs: RateSample) -> bool:
        """Tell whether what was measured was sent while ProbeRTT held us back."""
        since = self.app_limited_from_bytes
        return since is not None and since <= rs.prior_delivered_bytes <= self.app_limited_to_bytes

    def _init_pacing_rate(self, srtt_s: float | None) -> None:
        nominal_bps = self.cwnd_bytes * 8 / (srtt_s or _NOMINAL_RTT_S)
        self.pacing_bps = STARTUP_PACING_GAIN * nominal_bps
        self._set_send_quantum()

    def _set_send_quantum(self) -> None:
        """Section 5.6.3: a millisecond's worth."""
        quantum_bytes = min(int(self.pacing_bps / 8 * QUANTUM_S), MAX_QUANTUM_BYTES)
        self.send_quantum_bytes = max(quantum_bytes, 2 * self.smss_bytes)

    def _set_cwnd(self, newly_acked_bytes: int) -> None:
        """SetCwnd(), section 5.6.4.6."""
        max_inflight = self.max_inflight_bytes
        grown = self.cwnd_bytes + newly_acked_bytes
        if self.full_bw_reached:
            self.cwnd_bytes = int(min(grown, max_inflight))
        elif self.cwnd_bytes < max_inflight or self.delivered_bytes < self.initial_cwnd_bytes:
            self.cwnd_bytes = grown
        self.cwnd_bytes = max(self.cwnd_bytes, self.min_pipe_cwnd_bytes)
        if self.mode is Mode.PROBE_RTT:
            self.cwnd_bytes = min(self.cwnd_bytes, int(self.probe_rtt_cwnd_bytes))
        self._bound_cwnd()

    def _bound_cwnd(self) -> None:
        """BoundCwndForModel(), section 5.6.4.7."""
        cap = inf
        if self.mode in (Mode.PROBE_RTT, Mode.PROBE_BW_CRUISE):
            cap = self.inflight_with_headroom_bytes
        elif self.mode in PROBE_BW:
            cap = self.inflight_longterm_bytes
        cap = max(min(cap, self.inflight_shortterm_bytes), self.min_pipe_cwnd_bytes)
        if cap < self.cwnd_bytes:
            self.cwnd_bytes = int(cap)
