"""Startup, Drain and ProbeRTT (draft-ietf-ccwg-bbr-06, sections 5.3.1, 5.3.2 and 5.3.4)."""

from pystack.tcp.congestion.base import RateSample
from pystack.tcp.congestion.bbr import probe_bw
from pystack.tcp.congestion.bbr.parameters import (
    CRUISE_PACING_GAIN,
    DEFAULT_CWND_GAIN,
    DRAIN_PACING_GAIN,
    DRAIN_ROUNDS,
    PROBE_RTT_CWND_GAIN,
    PROBE_RTT_DURATION_S,
    STARTUP_FULL_LOSS_COUNT,
    STARTUP_PACING_GAIN,
    AckPhase,
    Mode,
)
from pystack.tcp.congestion.bbr.state import BbrState


def enter_startup(bbr: BbrState) -> None:
    """Double the rate with each round."""
    bbr.mode = Mode.STARTUP
    bbr.pacing_gain = STARTUP_PACING_GAIN
    bbr.cwnd_gain = DEFAULT_CWND_GAIN


def check_startup_done(bbr: BbrState, rs: RateSample) -> None:
    """Section 5.3.1: the bandwidth grows no more, or too much is lost."""
    if bbr.mode is Mode.STARTUP:
        if _is_startup_loss_high(bbr, rs):
            bbr.undo_mode = Mode.STARTUP
            bbr.full_bw_reached = True
            bbr.inflight_longterm_bytes = int(max(bbr.bdp_bytes, bbr.inflight_latest_bytes))
        if bbr.full_bw_reached:
            bbr.mode = Mode.DRAIN
            bbr.pacing_gain = DRAIN_PACING_GAIN
            bbr.cwnd_gain = DEFAULT_CWND_GAIN
            bbr.drain_start_round = bbr.round_count
    if bbr.loss_round_start:
        bbr.loss_ranges_in_round = 0
        bbr.congestion_in_round = False
        bbr.recovery_in_round = bbr.in_recovery


def check_drain_done(bbr: BbrState, now: float) -> None:
    """Section 5.3.2: the queue that Startup has made is gone, or was never there."""
    if bbr.mode is Mode.DRAIN and (
        bbr.in_flight_bytes <= bbr.inflight_bytes(bbr.bw_bps)
        or bbr.round_count > bbr.drain_start_round + DRAIN_ROUNDS
    ):
        probe_bw.start_down(bbr, now)


def check_probe_rtt(bbr: BbrState, rs: RateSample, now: float) -> None:
    """CheckProbeRTT(), section 5.3.4.3."""
    if bbr.mode is not Mode.PROBE_RTT and bbr.probe_rtt_expired and not bbr.idle_restart:
        bbr.mode = Mode.PROBE_RTT
        bbr.pacing_gain = CRUISE_PACING_GAIN
        bbr.cwnd_gain = PROBE_RTT_CWND_GAIN
        bbr.save_cwnd()
        bbr.probe_rtt_done_at = None
        bbr.ack_phase = AckPhase.PROBE_STOPPING
        bbr.start_round()
        bbr.app_limited_from_bytes = bbr.delivered_bytes
    if bbr.mode is Mode.PROBE_RTT:
        _handle_probe_rtt(bbr, now)
    if rs.delivered_bytes > rs.prior_delivered_bytes:
        bbr.idle_restart = False


def check_probe_rtt_done(bbr: BbrState, now: float) -> None:
    """CheckProbeRTTDone(); the next one is due in five seconds."""
    if bbr.probe_rtt_done_at is None or now <= bbr.probe_rtt_done_at:
        return
    bbr.probe_rtt_min_at = now
    bbr.restore_cwnd()
    bbr.reset_shortterm_model()  # section 5.3.4.4
    if bbr.full_bw_reached:
        probe_bw.start_down(bbr, now)
        probe_bw.start_cruise(bbr)  # in flight there is little enough already
    else:
        enter_startup(bbr)


def _is_startup_loss_high(bbr: BbrState, rs: RateSample) -> bool:
    """Section 5.3.1.3: a full round of fast recovery, six ranges, more than 2 %."""
    if bbr.congestion_in_round:
        return True
    return (
        bbr.loss_round_start
        and bbr.recovery_in_round
        and bbr.loss_ranges_in_round >= STARTUP_FULL_LOSS_COUNT
        and probe_bw.is_inflight_too_high(bbr, rs.lost_bytes, rs.tx_in_flight_bytes)
    )


def _handle_probe_rtt(bbr: BbrState, now: float) -> None:
    """Hold half a BDP in flight for 200 ms and a round."""
    # MarkConnectionAppLimited(): rates that are measured meanwhile say nothing of the path.
    bbr.app_limited_to_bytes = bbr.delivered_bytes + bbr.in_flight_bytes
    if bbr.probe_rtt_done_at is None:
        if bbr.in_flight_bytes <= bbr.probe_rtt_cwnd_bytes:
            bbr.probe_rtt_done_at = now + PROBE_RTT_DURATION_S
            bbr.probe_rtt_round_done = False
            bbr.start_round()
        return
    if bbr.round_start:
        bbr.probe_rtt_round_done = True
    if bbr.probe_rtt_round_done:
        check_probe_rtt_done(bbr, now)
