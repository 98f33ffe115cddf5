"""ProbeBW: down, cruise, refill, up, and again (draft-ietf-ccwg-bbr-06, section 5.3.3)."""

from math import inf, sqrt

from pystack.tcp.congestion.base import RateSample
from pystack.tcp.congestion.bbr.parameters import (
    CRUISE_PACING_GAIN,
    DEFAULT_CWND_GAIN,
    DOWN_PACING_GAIN,
    LOSS_THRESH,
    MAX_PROBE_UP_ROUNDS,
    MAX_RENO_ROUNDS,
    PROBE_BW,
    PROBE_WAIT_S,
    UP_CWND_GAIN,
    UP_PACING_GAIN,
    AckPhase,
    Mode,
)
from pystack.tcp.congestion.bbr.state import BbrState


def start_down(bbr: BbrState, now: float) -> None:
    """Send slower than is delivered, so that the queue drains."""
    bbr.reset_congestion_signals()
    bbr.probe_up_acked_per_inc_bytes = inf
    _pick_probe_wait(bbr)
    bbr.cycle_at = now
    bbr.ack_phase = AckPhase.PROBE_STOPPING
    bbr.start_round()
    _enter(bbr, Mode.PROBE_BW_DOWN, DOWN_PACING_GAIN)


def start_cruise(bbr: BbrState) -> None:
    """Send as fast as is delivered."""
    _enter(bbr, Mode.PROBE_BW_CRUISE, CRUISE_PACING_GAIN)


def start_refill(bbr: BbrState) -> None:
    """Fill the pipe for a round trip, with what losses have said of the moment forgotten."""
    bbr.reset_shortterm_model()
    bbr.bw_probe_up_rounds = 0
    bbr.bw_probe_up_acked_bytes = 0
    bbr.prev_probe_precautionary = False
    bbr.ack_phase = AckPhase.REFILLING
    bbr.start_round()
    _enter(bbr, Mode.PROBE_BW_REFILL, CRUISE_PACING_GAIN)


def update_cycle_phase(bbr: BbrState, rs: RateSample, now: float) -> None:
    """UpdateProbeBWCyclePhase(), for each ACK."""
    if not bbr.full_bw_reached or _adapt_longterm_model(bbr, rs):
        return
    mode = bbr.mode
    if mode is Mode.PROBE_BW_DOWN:
        if not _probe_if_it_is_time(bbr, now) and _is_time_to_cruise(bbr):
            start_cruise(bbr)
    elif mode is Mode.PROBE_BW_CRUISE:
        _probe_if_it_is_time(bbr, now)
    elif mode is Mode.PROBE_BW_REFILL:
        if bbr.round_start:
            bbr.is_bw_probe_sample = True
            _start_up(bbr, rs)
    elif mode is Mode.PROBE_BW_UP and _is_time_to_go_down(bbr, rs):
        bbr.prev_probe_too_high = False
        start_down(bbr, now)


def is_inflight_too_high(bbr: BbrState, lost_bytes: int, tx_in_flight_bytes: float) -> bool:
    """Tell whether so much was lost of what was in flight that it was too much.

    More than LossThresh of it, that is, and more than chance explains. Of 160 segments at 1 % of
    random loss, 4 or more are lost in every tenth round trip, and the bound that this would set
    stays for long. The draft filters such noise in Startup alone, by six ranges at least; we allow
    one standard deviation everywhere.
    """
    if not bbr.sack:
        return lost_bytes > 0
    expected = tx_in_flight_bytes / bbr.smss_bytes * LOSS_THRESH
    return lost_bytes > (expected + sqrt(expected)) * bbr.smss_bytes


def _enter(
    bbr: BbrState, mode: Mode, pacing_gain: float, cwnd_gain: float = DEFAULT_CWND_GAIN
) -> None:
    bbr.mode = mode
    bbr.pacing_gain = pacing_gain
    bbr.cwnd_gain = cwnd_gain


def _start_up(bbr: BbrState, rs: RateSample) -> None:
    """Send faster than is delivered."""
    bbr.ack_phase = AckPhase.PROBE_STARTING
    bbr.start_round()
    bbr.reset_full_bw(rs.delivery_rate_bps or 0.0)
    _enter(bbr, Mode.PROBE_BW_UP, UP_PACING_GAIN, UP_CWND_GAIN)
    _raise_longterm_slope(bbr)


def _probe_if_it_is_time(bbr: BbrState, now: float) -> bool:
    """IsTimeToProbeBW(): by the clock, or as often as Reno would lose something."""
    reno_rounds = min(bbr.target_inflight_bytes / bbr.smss_bytes, MAX_RENO_ROUNDS)
    if now > bbr.cycle_at + bbr.bw_probe_wait_s or bbr.rounds_since_probe_up >= reno_rounds:
        start_refill(bbr)
        return True
    return False


def _pick_probe_wait(bbr: BbrState) -> None:
    """PickProbeWait(): by chance, so that flows do not probe in step."""
    rng = bbr.rng
    bbr.rounds_since_probe_up = rng.randrange(2) if rng is not None else 0
    bbr.bw_probe_wait_s = PROBE_WAIT_S + (rng.random() if rng is not None else 0.5)


def _is_time_to_cruise(bbr: BbrState) -> bool:
    return bbr.in_flight_bytes <= min(
        bbr.inflight_with_headroom_bytes, bbr.inflight_bytes(bbr.max_bw_bps)
    )


def _is_time_to_go_down(bbr: BbrState, rs: RateSample) -> bool:
    longterm = bbr.inflight_longterm_bytes
    # Before this ACK; and no further segment would fit.
    prior_in_flight_bytes = rs.in_flight_bytes + rs.newly_delivered_bytes + rs.newly_lost_bytes
    if bbr.prev_probe_too_high and prior_in_flight_bytes > longterm - bbr.smss_bytes:
        bbr.prev_probe_precautionary = True  # section 5.3.3.6: as far as the last time is enough
        return True
    if bbr.cwnd_limited and bbr.cwnd_bytes >= longterm:
        # It is the bound, and not the path, that keeps the bandwidth where it is.
        bbr.reset_full_bw(rs.delivery_rate_bps or 0.0)
        return False
    return bbr.full_bw_now


def _adapt_longterm_model(bbr: BbrState, rs: RateSample) -> bool:
    """AdaptLongTermModel(); True where it has changed the state."""
    in_probe_bw = bbr.mode in PROBE_BW
    if bbr.ack_phase is AckPhase.PROBE_STARTING and bbr.round_start:
        bbr.ack_phase = AckPhase.PROBE_FEEDBACK
    if bbr.ack_phase is AckPhase.PROBE_STOPPING and bbr.round_start:
        bbr.is_bw_probe_sample = False
        bbr.ack_phase = AckPhase.INIT
        if in_probe_bw and not rs.app_limited:
            bbr.max_bw_filter.advance()
        if in_probe_bw and bbr.prev_probe_precautionary and not bbr.prev_probe_too_high:
            start_refill(bbr)  # the cautious probe went well: probe on
            return True
    if bbr.inflight_longterm_bytes != inf and not is_inflight_too_high(
        bbr, rs.lost_bytes, rs.tx_in_flight_bytes
    ):
        bbr.inflight_longterm_bytes = max(bbr.inflight_longterm_bytes, rs.tx_in_flight_bytes)
        if bbr.mode is Mode.PROBE_BW_UP:
            _probe_longterm_upward(bbr, rs)
    return False


def _raise_longterm_slope(bbr: BbrState) -> None:
    """RaiseInflightLongtermSlope(): 1, 2, 4, 8, ... segments in a round trip."""
    growth_this_round = 1 << bbr.bw_probe_up_rounds
    bbr.bw_probe_up_rounds = min(bbr.bw_probe_up_rounds + 1, MAX_PROBE_UP_ROUNDS)
    bbr.probe_up_acked_per_inc_bytes = max(bbr.cwnd_bytes // growth_this_round, bbr.smss_bytes)


def _probe_longterm_upward(bbr: BbrState, rs: RateSample) -> None:
    """ProbeInflightLongtermUpward()."""
    if not bbr.cwnd_limited or bbr.cwnd_bytes < bbr.inflight_longterm_bytes:
        return
    bbr.bw_probe_up_acked_bytes += rs.newly_delivered_bytes
    per_increment = int(bbr.probe_up_acked_per_inc_bytes)
    increments, bbr.bw_probe_up_acked_bytes = divmod(bbr.bw_probe_up_acked_bytes, per_increment)
    bbr.inflight_longterm_bytes += increments * bbr.smss_bytes
    if bbr.round_start:
        _raise_longterm_slope(bbr)
