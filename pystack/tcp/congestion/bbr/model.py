"""What ACKs tell of the path: section 5.5 of draft-ietf-ccwg-bbr-06, without losses."""

from math import inf
from typing import Final

from pystack.tcp.congestion.base import RateSample
from pystack.tcp.congestion.bbr.parameters import (
    BETA,
    EXTRA_ACKED_FILTER_ROUNDS,
    FULL_BW_GROWTH,
    FULL_BW_ROUNDS,
    LOSS_THRESH,
    MIN_RTT_FILTER_S,
    PROBE_RTT_INTERVAL_S,
    PROBING,
)
from pystack.tcp.congestion.bbr.state import BbrState

# Sums of instants differ from one another by less than this when they mean the same.
_EPSILON_S: Final = 1e-9


def update_latest_delivery_signals(bbr: BbrState, rs: RateSample) -> None:
    """Section 5.5.10.3: the maxima of one round trip, and whether it ends here."""
    bbr.loss_round_start = False
    bbr.bw_latest_bps = max(bbr.bw_latest_bps, rs.delivery_rate_bps or 0.0)
    bbr.inflight_latest_bytes = max(bbr.inflight_latest_bytes, _delivered_bytes(rs))
    if rs.prior_delivered_bytes >= bbr.loss_round_delivered_bytes:
        bbr.loss_round_delivered_bytes = bbr.delivered_bytes
        bbr.loss_round_start = True


def advance_latest_delivery_signals(bbr: BbrState, rs: RateSample) -> None:
    """The next round trip's maxima begin with this ACK."""
    if bbr.loss_round_start:
        bbr.bw_latest_bps = rs.delivery_rate_bps or 0.0
        bbr.inflight_latest_bytes = _delivered_bytes(rs)


def update_congestion_signals(bbr: BbrState, rs: RateSample) -> None:
    """Take the bandwidth; once per round trip, take the losses to heart."""
    _update_round(bbr, rs)
    rate_bps = rs.delivery_rate_bps
    if rate_bps and (rate_bps >= bbr.max_bw_bps or not rs.app_limited):
        bbr.max_bw_filter.take(rate_bps)  # UpdateMaxBw(), section 5.5.5
    if bbr.loss_round_start:
        _adapt_lower_bounds(bbr)
        bbr.is_loss_in_round = False


def update_ack_aggregation(bbr: BbrState, rs: RateSample, now: float) -> None:
    """Section 5.5.9: how much more is acknowledged at once than the bandwidth explains."""
    expected = bbr.bw_bps / 8 * (now - bbr.extra_acked_interval_at)
    if bbr.extra_acked_delivered_bytes <= expected:
        bbr.extra_acked_delivered_bytes = 0
        bbr.extra_acked_interval_at = now
        expected = 0.0
    bbr.extra_acked_delivered_bytes += rs.newly_delivered_bytes
    extra = min(bbr.extra_acked_delivered_bytes - expected, bbr.cwnd_bytes)
    rounds = EXTRA_ACKED_FILTER_ROUNDS if bbr.full_bw_reached else 1
    bbr.extra_acked_bytes = bbr.extra_acked_filter.update(extra, bbr.round_count, rounds)


def check_full_bw_reached(bbr: BbrState, rs: RateSample) -> None:
    """Section 5.3.1.2: three rounds in which sending faster brought nothing."""
    if bbr.full_bw_now or not bbr.round_start or rs.app_limited:
        return
    rate_bps = rs.delivery_rate_bps
    if rate_bps is None:
        return
    if rate_bps >= bbr.full_bw_bps * FULL_BW_GROWTH:
        bbr.reset_full_bw(rate_bps)
        return
    bbr.full_bw_count += 1
    if bbr.full_bw_count >= FULL_BW_ROUNDS:
        bbr.full_bw_now = bbr.full_bw_reached = True


def update_min_rtt(bbr: BbrState, rtt_s: float | None, now: float) -> None:
    """Section 5.3.4.3: the shortest round trip of ten seconds, and of five for ProbeRTT."""
    bbr.probe_rtt_expired = now > bbr.probe_rtt_min_at + PROBE_RTT_INTERVAL_S
    if rtt_s is not None:
        if rtt_s < bbr.probe_rtt_min_delay_s or bbr.probe_rtt_expired:
            bbr.probe_rtt_min_delay_s = rtt_s
            bbr.probe_rtt_min_at = now
        elif rtt_s <= bbr.probe_rtt_min_delay_s + _EPSILON_S:
            # As short as ever: the queue is seen to be empty, and need not be drained to see it.
            bbr.probe_rtt_min_at = now
    expired = now > bbr.min_rtt_at + MIN_RTT_FILTER_S
    if bbr.probe_rtt_min_delay_s < bbr.min_rtt_s or expired:
        bbr.min_rtt_s = bbr.probe_rtt_min_delay_s
        bbr.min_rtt_at = bbr.probe_rtt_min_at


def bound_bw(bbr: BbrState) -> None:
    """BoundBWForModel()."""
    bbr.bw_bps = min(bbr.max_bw_bps, bbr.bw_shortterm_bps)


def _delivered_bytes(rs: RateSample) -> int:
    return rs.delivered_bytes - rs.prior_delivered_bytes


def _update_round(bbr: BbrState, rs: RateSample) -> None:
    """Section 5.5.1: a round ends with what was sent after it began."""
    bbr.round_start = rs.prior_delivered_bytes >= bbr.next_round_delivered_bytes
    if bbr.round_start:
        bbr.start_round()
        bbr.round_count += 1
        bbr.rounds_since_probe_up += 1


def _adapt_lower_bounds(bbr: BbrState) -> None:
    """AdaptLowerBoundsFromCongestion(): down to what was delivered, by 30 % a round at most."""
    if bbr.mode in PROBING or not bbr.is_loss_in_round:
        return
    if bbr.bw_shortterm_bps == inf:
        bbr.bw_shortterm_bps = bbr.max_bw_bps
    if bbr.inflight_shortterm_bytes == inf:
        bbr.inflight_shortterm_bytes = bbr.cwnd_bytes
    # The draft goes down to what was delivered: at any rate of loss a little less in each round, at
    # 1 % nearly by half until the next probe, though losses of LossThresh are what it means to
    # bear. So we go down to what, sent with that much lost, is delivered as it was.
    borne = 1 / (1 - LOSS_THRESH)
    bbr.bw_shortterm_bps = max(borne * bbr.bw_latest_bps, BETA * bbr.bw_shortterm_bps)
    bbr.inflight_shortterm_bytes = max(
        borne * bbr.inflight_latest_bytes, BETA * bbr.inflight_shortterm_bytes
    )
