"""What the timers of a connection do when they run out (RFC 9293 section 3.10.8, RFC 6298).

Keep-alive (RFC 9293 section 3.8.4, RFC 1122 section 4.2.3.6), which is off unless asked for, has
its probes here too: an ACK for a byte that was acknowledged long ago, which whoever has the
connection answers. One is sent only where nothing else is in flight, or waits to be.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.core.tcp_events import TcpRepair, TcpSoftError
from pystack.tcp import acks, ecn, path_mtu
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER, Timer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# Sums of instants differ from one another by less than this when they mean the same.
_EPSILON_S: Final = 1e-9
OVERRIDE_S: Final = 1.0  # RFC 9293 section 3.8.6.2.1: 0.1 to 1 s
_MAX_BACKOFF: Final = 10  # doublings; the longest time-out cuts long before


def expire(conn: Connection, now: float) -> None:
    """Run every timer whose time has come."""
    timers = conn.tcb.timers
    acks.take_held(conn, now)
    if timers[Timer.DELAYED_ACK] <= now:
        timers[Timer.DELAYED_ACK] = NEVER
        conn.tcb.ack_now = True
    if timers[Timer.PACING] <= now:
        timers[Timer.PACING] = NEVER
    if timers[Timer.LOSS] <= now and conn.state is TcpState.SYN_RECEIVED:
        # Text of a Fast Open: before the handshake is over, only the SYN-ACK is sent again, and a
        # probe would put that off (RFC 7413 section 4.2.2). Its ACK arms this timer anew.
        timers[Timer.LOSS] = NEVER
    if timers[Timer.LOSS] <= now:
        flags = conn.recovery.on_timer(now)
        acks.react(conn, flags, conn.tcb.flight_size_bytes, now)
    if timers[Timer.RETRANSMIT] <= now:
        _retransmit(conn, now)
    if timers[Timer.PERSIST] <= now:
        _persist(conn, now)
    if timers[Timer.KEEPALIVE] <= now:
        _keepalive(conn, now)
    if timers[Timer.CORK] <= now:
        timers[Timer.CORK] = NEVER
        conn.tcb.cork_over = True
        conn.tcb.unpushed = False  # nobody knows what the program waits for: as Linux
    if timers[Timer.TIME_WAIT] <= now:
        # The end of 2 MSL, or of the patience with a peer who does not close (FIN-WAIT-2).
        conn.finish(None)


def upkeep(conn: Connection) -> str:
    """Return "window probe" or "keep-alive" where that goes on, and is answered; else "".

    The first window probe is more than that: it finds a window update that was lost. So is one
    that follows one without an answer, for that may be what ends the connection, and all of them
    where a user timeout ends it, answered or not.
    """
    tcb = conn.tcb
    kind = ""
    bounded = conn.config.user_timeout_s is not None and not conn.released
    for number, at in enumerate(tcb.timers):
        if at == NEVER:
            continue
        if number == Timer.PERSIST and tcb.persist_backoff and tcb.retries <= 1 and not bounded:
            kind = "window probe"
        elif number == Timer.KEEPALIVE and _keepalive_answered(conn):
            kind = kind or "keep-alive"
        else:
            return ""
    return kind


def arm_persist(conn: Connection, now: float, *, closed: bool) -> None:
    """Start probing a window that lets nothing through, unless that goes on already.

    One that is not `closed`, but smaller than a segment, is used after a while as it is.
    """
    tcb = conn.tcb
    # In SYN-RECEIVED it is the SYN-ACK's time-out that goes on, and counts.
    if tcb.timers[Timer.PERSIST] == NEVER and conn.state is not TcpState.SYN_RECEIVED:
        backoff = min(tcb.persist_backoff, _MAX_BACKOFF)
        longest_s = conn.rtt.max_rto_s if closed else OVERRIDE_S
        tcb.timers[Timer.PERSIST] = now + min(conn.rtt.rto_s * 2**backoff, longest_s)


def enter_time_wait(conn: Connection, now: float) -> None:
    """Wait for 2 MSL, so that no old segment meets a new connection; or begin that wait afresh."""
    tcb = conn.tcb
    tcb.timers[:] = [NEVER] * len(tcb.timers)
    tcb.timers[Timer.TIME_WAIT] = now + 2 * conn.config.msl_s
    if conn.state is not TcpState.TIME_WAIT:
        conn.send_buffer.clear()
        conn.enter(TcpState.TIME_WAIT)


def _retransmit(conn: Connection, now: float) -> None:
    """RFC 6298 (5.4) to (5.7), and the thresholds R1 and R2 of RFC 9293 section 3.8.3."""
    tcb = conn.tcb
    tcb.timers[Timer.RETRANSMIT] = NEVER
    if not tcb.retries:
        tcb.stalled_at = now - conn.rtt.rto_s
    tcb.retries += 1
    if _in_vain(conn, now):
        _give_up(conn)
        return
    if tcb.retries >= conn.config.advise_retries:  # R1
        conn.events.append(TcpSoftError(number=errno.ETIMEDOUT, reason="retransmitting"))
    conn.rtt.back_off()
    if conn.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED):
        if conn.deferred and tcb.retries < conn.config.defer_accept_retries:
            tcb.timers[Timer.RETRANSMIT] = now + conn.rtt.rto_s  # the peer has our SYN-ACK
        else:
            tcb.syn_now = True
        return
    if tcb.retries == 1 and tcb.snd_wnd:
        # RFC 5681 section 3.1: for a segment that was sent again before, ssthresh stays. Nor is it
        # congestion where the peer has taken its window back.
        # What was lost before and not sent again is in FlightSize too, but was not in flight: no
        # more was than the window allowed.
        on_the_way = min(tcb.flight_size_bytes, conn.congestion.cwnd_bytes)
        conn.losses += 1
        conn.congestion.on_rto(now, on_the_way)
        ecn.window_reduced(tcb)
    if tcb.path is not None or tcb.retries >= conn.config.advise_retries:
        path_mtu.timed_out(conn, now)
    conn.recovery.on_rto(now)
    conn.prr = None
    if conn.shared.watchers:
        conn.events.append(TcpRepair(what="timeout", timer_s=conn.rtt.ran_out_s))
        acks.show(conn, None)
    tcb.rtt_seq = None
    tcb.timers[Timer.RETRANSMIT] = _not_after_user_timeout(conn, now + conn.rtt.rto_s)


def _persist(conn: Connection, now: float) -> None:
    """Probe the window, ever more rarely (RFC 9293 section 3.8.6.1)."""
    tcb = conn.tcb
    tcb.timers[Timer.PERSIST] = NEVER
    if not tcb.persist_backoff:
        tcb.stalled_at = now - conn.rtt.rto_s
    tcb.retries += 1
    if _in_vain(conn, now):
        _give_up(conn)
        return
    tcb.persist_backoff += 1
    tcb.probe_now = True
    arm_persist(conn, now, closed=not tcb.snd_wnd)
    tcb.timers[Timer.PERSIST] = _not_after_user_timeout(conn, tcb.timers[Timer.PERSIST])


def _give_up(conn: Connection) -> None:
    """End the connection, with what is known of the reason: as Linux, what ICMP has told."""
    conn.finish(conn.soft_error or errno.ETIMEDOUT)


def _in_vain(conn: Connection, now: float) -> bool:
    """Tell whether it was tried for long enough: in time, if the user said so, else in numbers."""
    patience_s = conn.config.user_timeout_s
    if patience_s is not None and not conn.released:
        return now >= conn.tcb.stalled_at + patience_s - _EPSILON_S
    return conn.tcb.retries > _retry_limit(conn)


def _not_after_user_timeout(conn: Connection, at: float) -> float:
    patience_s = conn.config.user_timeout_s
    return at if patience_s is None else min(at, conn.tcb.stalled_at + patience_s)


def _retry_limit(conn: Connection) -> int:
    config = conn.config
    if conn.state is TcpState.SYN_SENT:
        return config.syn_retries
    if conn.state is TcpState.SYN_RECEIVED:
        if conn.deferred:
            return max(config.syn_ack_retries, config.defer_accept_retries)
        return config.syn_ack_retries if conn.passive else config.syn_retries
    return config.orphan_retries if conn.released else config.retries


def arm_keepalive(conn: Connection, now: float) -> None:
    """Start or stop asking a silent peer, as the configuration says."""
    conn.tcb.keepalive_probes = 0
    conn.tcb.timers[Timer.KEEPALIVE] = (
        now + conn.config.keepalive_idle_s if conn.config.keepalive else NEVER
    )


def _keepalive_answered(conn: Connection) -> bool:
    """Tell whether no probe of ours is without an answer, but for one that was just sent."""
    tcb = conn.tcb
    if tcb.keepalive_probes <= 1:
        return True
    asked_at = tcb.timers[Timer.KEEPALIVE] - conn.config.keepalive_interval_s
    return tcb.heard_at >= asked_at - _EPSILON_S


def _keepalive(conn: Connection, now: float) -> None:
    """The peer may have been silent for long enough: ask, or give up."""
    tcb, config = conn.tcb, conn.config
    timers = tcb.timers
    timers[Timer.KEEPALIVE] = NEVER
    if conn.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED, TcpState.TIME_WAIT):
        return
    silent_s = now - tcb.heard_at
    if tcb.flight_size_bytes or conn.send_buffer.end > tcb.snd_nxt:
        # The other timers look after that.
        timers[Timer.KEEPALIVE] = now + config.keepalive_idle_s
        return
    if silent_s < config.keepalive_idle_s - _EPSILON_S:
        tcb.keepalive_probes = 0
        timers[Timer.KEEPALIVE] = tcb.heard_at + config.keepalive_idle_s
        return
    # As in Linux a user timeout, where there is one, takes the place of the number of probes.
    patience_s = config.user_timeout_s
    if tcb.keepalive_probes and (
        tcb.keepalive_probes >= config.keepalive_probes
        if patience_s is None
        else silent_s >= patience_s - _EPSILON_S
    ):
        conn.abort(now, errno.ETIMEDOUT)
        return
    tcb.keepalive_probes += 1
    tcb.probe_now = True
    timers[Timer.KEEPALIVE] = now + config.keepalive_interval_s
