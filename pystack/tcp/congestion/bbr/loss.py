"""What losses tell, and how it is taken back (draft-ietf-ccwg-bbr-06, 5.5.10.2 and 5.5.11)."""

from pystack.tcp.congestion.base import LostSegment
from pystack.tcp.congestion.bbr import phases, probe_bw
from pystack.tcp.congestion.bbr.parameters import BETA, LOSS_THRESH, Mode
from pystack.tcp.congestion.bbr.state import BbrState


def note_loss(bbr: BbrState) -> None:
    """The first loss of a round trip begins one that is looked at as a whole."""
    if not bbr.is_loss_in_round:
        bbr.loss_round_delivered_bytes = bbr.delivered_bytes
        if not bbr.in_recovery:  # else this is not where the episode began
            save_state(bbr)
    bbr.is_loss_in_round = True


def segment_lost(bbr: BbrState, lost: LostSegment) -> None:
    """HandleLostPacket()."""
    note_loss(bbr)
    if lost.seq != bbr.lost_range_end:
        bbr.loss_ranges_in_round += 1
    bbr.lost_range_end = lost.seq + lost.size_bytes
    if not bbr.is_bw_probe_sample:
        return
    if probe_bw.is_inflight_too_high(bbr, lost.lost_bytes, lost.tx_in_flight_bytes):
        inflight_too_high(bbr, _inflight_at_loss(lost), lost.now, app_limited=lost.app_limited)


def inflight_too_high(
    bbr: BbrState, tx_in_flight_bytes: float, now: float, *, app_limited: bool
) -> None:
    """HandleInflightTooHigh(): what was in flight then is the most that may be, from here on."""
    bbr.prev_probe_too_high = True
    bbr.is_bw_probe_sample = False  # react once per probe
    if not app_limited:
        bound = max(tx_in_flight_bytes, bbr.target_inflight_bytes * BETA)
        bbr.inflight_longterm_bytes = int(bound)
    if bbr.mode is Mode.PROBE_BW_UP:
        bbr.undo_mode = Mode.PROBE_BW_UP
        probe_bw.start_down(bbr, now)


def save_state(bbr: BbrState) -> None:
    """SaveStateUponLoss()."""
    bbr.save_cwnd()
    bbr.undo_mode = None
    bbr.undo_bw_shortterm_bps = bbr.bw_shortterm_bps
    bbr.undo_inflight_shortterm_bytes = bbr.inflight_shortterm_bytes
    bbr.undo_inflight_longterm_bytes = bbr.inflight_longterm_bytes


def undo(bbr: BbrState) -> None:
    """HandleSpuriousLossDetection()."""
    bbr.restore_cwnd()
    bbr.is_loss_in_round = False
    bbr.reset_full_bw()
    bbr.bw_shortterm_bps = max(bbr.bw_shortterm_bps, bbr.undo_bw_shortterm_bps)
    bbr.inflight_shortterm_bytes = max(
        bbr.inflight_shortterm_bytes, bbr.undo_inflight_shortterm_bytes
    )
    bbr.inflight_longterm_bytes = max(bbr.inflight_longterm_bytes, bbr.undo_inflight_longterm_bytes)
    undo_mode, bbr.undo_mode = bbr.undo_mode, None
    if undo_mode is Mode.STARTUP and bbr.mode is not Mode.STARTUP:
        bbr.full_bw_reached = False
        if bbr.mode is not Mode.PROBE_RTT:
            phases.enter_startup(bbr)
    elif undo_mode is Mode.PROBE_BW_UP and bbr.mode not in (Mode.PROBE_BW_UP, Mode.PROBE_RTT):
        probe_bw.start_refill(bbr)


def _inflight_at_loss(lost: LostSegment) -> float:
    """InflightAtLoss(): how much of a super-frame could go before losses were too many."""
    inflight_prev = lost.tx_in_flight_bytes - lost.size_bytes
    lost_prev = lost.lost_bytes - lost.size_bytes
    return inflight_prev + (LOSS_THRESH * inflight_prev - lost_prev) / (1 - LOSS_THRESH)
