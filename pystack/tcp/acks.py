"""Acknowledgements: the fifth check of RFC 9293 section 3.10.7.4, and what follows from an ACK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.tcp_events import TcpMeasured, TcpRepair
from pystack.tcp import ack_policy, ecn, fast_open, path_mtu, send_buffer, timestamps
from pystack.tcp.congestion.base import AckSample, LossSample
from pystack.tcp.recovery.base import (
    BAD_SACK,
    LOSS,
    RECOVERED,
    RESTART_TIMER,
    UNDO,
    LossRecovery,
)
from pystack.tcp.recovery.prr import Prr
from pystack.tcp.tcb import NEVER, Timer
from pystack.wire.tcp import FIN, SYN, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_REPAIRS: Final = ((UNDO, "undo"), (LOSS, "recovery"), (RECOVERED, "recovered"))


def ack_acceptable(conn: Connection, seg: Segment, now: float) -> bool:
    """Tell whether the number can be meant; else a challenge ACK is due (RFC 5961 section 5).

    Not before what was ever sent, either: in a young connection the largest window reaches there.
    """
    tcb = conn.tcb
    if tcb.can_be_meant(seg.ack):
        return True
    conn.drops.append("tcp_ack_unsent" if seg.ack > tcb.snd_nxt else "tcp_ack_too_old")
    ack_policy.challenge(conn, now)
    return False


def take_syn_ack(conn: Connection, seg: Segment, now: float) -> None:
    """Our SYN is acknowledged: the first measurement, and the first real window."""
    tcb = conn.tcb
    if not conn.fast_opened:
        tcb.snd_una = seg.ack
        fast_open.settle(conn, seg.ack)
    if tcb.rtt_seq is not None and not tcb.retries:
        conn.rtt.sample(now - tcb.rtt_at)
    elif (rtt_s := timestamps.round_trip_s(tcb, seg, now)) is not None:
        conn.rtt.sample(rtt_s)
    tcb.rtt_seq = None
    if not seg.flags & SYN:  # else it was taken, unscaled, with the SYN
        _set_window(conn, seg)


def take_ack(conn: Connection, seg: Segment, now: float) -> None:
    """Take an acceptable ACK: new, old, or one of the duplicates that tell of a loss."""
    tcb = conn.tcb
    probing = tcb.timers[Timer.PERSIST] != NEVER
    tcb.more_comes = False  # as in Linux, where each ACK lets go what MSG_MORE alone holds back
    window_changed = update_window(conn, seg)
    if not conn.released and (probing or not tcb.snd_wnd):
        # The peer answers: probing never gives up (RFC 9293 section 3.8.6.1). But where the user
        # has gone, nobody could end it, and memory would be held for whoever asks (RFC 6429).
        tcb.retries = 0
    if tcb.ecn:
        ecn.feedback(conn, seg, now)
    if seg.ack > tcb.snd_una:
        _new_data_acknowledged(conn, seg, now)
    elif tcb.snd_nxt > tcb.snd_una and (seg.sack_blocks or seg.ack == tcb.snd_una):
        duplicate = (
            # RFC 5681 section 2, the definition of a duplicate ACK
            seg.ack == tcb.snd_una
            and not seg.payload
            and not seg.flags & (SYN | FIN)
            and not window_changed
        )
        if duplicate or seg.sack_blocks:
            _nothing_new_acknowledged(conn, seg, now, duplicate=duplicate)


def take_last(conn: Connection, seg: Segment, now: float) -> None:
    """Take the ACK that ends the connection: nobody will send by what else it tells."""
    tcb = conn.tcb
    conn.bytes_acked += seg.ack - tcb.snd_una
    if tcb.waiting_at <= now:
        tcb.busy_s += now - tcb.waiting_at
    tcb.snd_una = seg.ack
    tcb.retries = 0
    conn.soft_error = None


def _was_busy(conn: Connection, now: float) -> None:
    """All that was in flight is acknowledged: count the time, where nothing waits to be sent."""
    tcb, buffer = conn.tcb, conn.send_buffer
    if buffer.start == buffer.end and tcb.waiting_at <= now:
        tcb.busy_s += now - tcb.waiting_at
        tcb.waiting_at = NEVER


def take_held(conn: Connection, now: float) -> None:
    """Work off the ACK that `arrives.py` holds: before anything else is looked at, or sent."""
    held = conn.held_ack
    if held is not None:
        conn.held_ack = None
        take_ack(conn, held, now)


def react(conn: Connection, flags: int, flight_size_bytes: int, now: float) -> None:
    """Do what loss recovery asks for; `flight_size_bytes`: FlightSize when it found that out."""
    tcb, congestion, recovery = conn.tcb, conn.congestion, conn.recovery
    if flags & BAD_SACK:
        conn.drops.append("tcp_bad_sack_block")
    if conn.rates is not None:
        for lost in conn.rates.take_lost():
            congestion.on_segment_lost(lost)
    if flags & UNDO:
        conn.undos += 1
        congestion.on_undo(now)
    if flags & LOSS and not path_mtu.is_lost_probe(tcb):
        # More than the window was in flight: limited transmit, which does not count (RFC 5681).
        flight_size_bytes = min(flight_size_bytes, congestion.cwnd_bytes)
        congestion.on_loss(LossSample(now, flight_size_bytes))
        ecn.window_reduced(tcb)
        if recovery.in_recovery and recovery.counts_delivered and not congestion.owns_recovery:
            pipe_bytes = recovery.pipe_bytes() + recovery.newly_lost_bytes
            conn.prr = Prr(
                pipe_bytes + recovery.delivered_bytes, congestion.ssthresh_bytes, tcb.snd_mss
            )
    if flags & RECOVERED:
        conn.prr = None
        congestion.on_recovery_exit(now)
    if flags & RESTART_TIMER:
        tcb.timers[Timer.RETRANSMIT] = now + conn.rtt.rto_s  # RFC 6298 (5.3)
    if conn.shared.watchers:
        for flag, what in _REPAIRS:
            if flags & flag:
                conn.events.append(TcpRepair(what=what))


def show(conn: Connection, rtt_s: float | None) -> None:
    """Tell watchers of a measurement (None: there was none), and of a window that has changed."""
    if rtt_s is not None:
        conn.events.append(TcpMeasured(name="rtt_s", value=rtt_s))
    cwnd_bytes = conn.congestion.cwnd_bytes
    if cwnd_bytes != conn.shown_cwnd_bytes:
        conn.shown_cwnd_bytes = cwnd_bytes
        conn.events.append(TcpMeasured(name="cwnd_bytes", value=cwnd_bytes))


def _nothing_new_acknowledged(
    conn: Connection, seg: Segment, now: float, *, duplicate: bool
) -> None:
    tcb, recovery = conn.tcb, conn.recovery
    flight_size_bytes = tcb.snd_nxt - tcb.snd_una
    flags = recovery.on_ack(seg, 0, now, duplicate=duplicate)
    react(conn, flags, flight_size_bytes, now)
    if conn.prr is not None:
        _reduce(conn.prr, recovery, safe=False)
    if conn.rates is not None:
        sample = AckSample(
            now,
            0,
            flight_size_bytes,
            None,
            conn.rtt.srtt_s,
            tcb.snd_una < tcb.cwnd_limited_seq,
            recovery.in_recovery,
            tcb.snd_una,
            tcb.snd_nxt,
            tcb.ecn and ecn.tells_of_marks(tcb, seg),
        )
        sample.rate = conn.rates.sample(recovery.pipe_bytes(), conn.rtt.min_rtt_s, now)
        conn.congestion.on_ack(sample)
    if conn.shared.watchers:
        show(conn, None)
    recovery.arm(now)


def _reduce(prr: Prr, recovery: LossRecovery, *, safe: bool) -> None:
    prr.on_ack(recovery.delivered_bytes, recovery.pipe_bytes(), safe=safe)


def update_window(conn: Connection, seg: Segment) -> bool:
    """Take the window unless the segment is older than the last that told one; True: it changed."""
    tcb = conn.tcb
    if seg.ack < tcb.snd_una or not (
        tcb.snd_wl1 < seg.seq or (tcb.snd_wl1 == seg.seq and tcb.snd_wl2 <= seg.ack)
    ):
        return False
    return _set_window(conn, seg)


def _set_window(conn: Connection, seg: Segment) -> bool:
    tcb = conn.tcb
    window = seg.wnd << (tcb.snd_wind_shift or 0)
    tcb.snd_wl1 = seg.seq
    tcb.snd_wl2 = seg.ack
    if window == tcb.snd_wnd:
        return False
    tcb.snd_wnd = window
    if window > tcb.max_snd_wnd:
        tcb.max_snd_wnd = window
    if window and tcb.timers[Timer.PERSIST] != NEVER:
        # Open again; should it be too small to use, output.py sets the timer anew.
        tcb.timers[Timer.PERSIST] = NEVER
        tcb.probe_now = False
        tcb.persist_backoff = 0
    return True


def _new_data_acknowledged(conn: Connection, seg: Segment, now: float) -> None:
    tcb, rtt, ack = conn.tcb, conn.rtt, seg.ack
    flight_size_bytes = tcb.flight_size_bytes
    acked_bytes = ack - tcb.snd_una
    tcb.snd_una = ack
    tcb.retries = 0
    conn.soft_error = None  # the path works
    conn.bytes_acked += acked_bytes
    buffer = conn.send_buffer
    buffer.acknowledge(min(ack, buffer.end))  # a FIN is not in the buffer
    if tcb.path is not None:
        path_mtu.acknowledged(conn, now)
    rtt_s = None
    if tcb.rtt_seq is not None and ack >= tcb.rtt_seq:
        rtt_s = now - tcb.rtt_at
        tcb.rtt_seq = None
        rtt.sample(rtt_s)
    elif tcb.timestamps and ack <= tcb.karn_seq:
        # What was sent again can't be timed, but the echo tells which copy it was. Where both are
        # possible, our own clock is the finer one.
        rtt_s = timestamps.round_trip_s(tcb, seg, now)
        if rtt_s is not None:
            rtt.sample(rtt_s, -(-flight_size_bytes // (2 * tcb.snd_mss)))
    recovery = conn.recovery
    in_recovery = recovery.in_recovery  # the ACK that ends it makes no window grow either
    flags = recovery.on_ack(seg, acked_bytes, now, duplicate=False)
    rates = conn.rates
    if flags != RESTART_TIMER or rates is not None:
        react(conn, flags, flight_size_bytes, now)
        in_recovery = in_recovery or recovery.in_recovery
    if conn.prr is not None:
        _reduce(conn.prr, recovery, safe=not recovery.newly_lost_bytes)
    ece = tcb.ecn and ecn.tells_of_marks(tcb, seg)  # nor does this (RFC 3168 section 6.1.2)
    rate = None if rates is None else rates.sample(recovery.pipe_bytes(), rtt.min_rtt_s, now)
    conn.congestion.on_ack(
        AckSample(
            now,
            acked_bytes,
            flight_size_bytes,
            rtt_s or recovery.newest_rtt_s or None,
            rtt.srtt_s,
            ack <= tcb.cwnd_limited_seq,
            in_recovery or (ece and not conn.congestion.wants_ecn),
            ack,
            tcb.snd_nxt,
            ece,
            rate,
        )
    )
    if ack == tcb.snd_nxt:
        tcb.timers[Timer.RETRANSMIT] = NEVER  # RFC 6298 (5.2)
        tcb.idle_at = now
        _was_busy(conn, now)
    elif flags & RESTART_TIMER:
        tcb.timers[Timer.RETRANSMIT] = now + rtt.rto_s  # (5.3)
    recovery.arm(now)
    if conn.shared.watchers:
        show(conn, rtt_s)
    if conn.write_blocked:
        send_buffer.wake_writer(conn)
