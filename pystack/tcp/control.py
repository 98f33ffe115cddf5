"""Which congestion control a connection has: made when its handshake is over, exchanged later.

As with TCP_CONGESTION of a live socket in Linux, the next control goes on with the window and the
slow start threshold of the one before. ECN is agreed on by the handshake: a control that wants it
on a connection that has none does without (DCTCP is NewReno then, as in Linux).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp import live
from pystack.tcp.congestion.base import CongestionControl, Opening
from pystack.tcp.congestion.guarded import Guarded
from pystack.tcp.congestion.newreno import NewReno
from pystack.tcp.congestion.registry import BUILT_IN, CONTROLS, unopened_control
from pystack.tcp.rate import RateEstimator

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# Classes, mostly: what they are told and answer needs no looking after.
_TRUSTED: Final = frozenset(BUILT_IN.values())


def begin(conn: Connection, now: float, *, syn_lost: bool) -> None:
    """Make the control that the configuration names, and what it asks for.

    A SYN, or SYN-ACK, that was marked is answered as one that was lost (RFC 5562 section 3.2).
    """
    tcb = conn.tcb
    marked = tcb.accurate is not None and tcb.accurate.handshake_marked
    try:
        control = _made(conn)
    except Exception as error:  # one that could be made on trial, and now can't be
        guard = Guarded(NewReno(tcb.snd_mss), tcb.snd_mss, conn.report_control)
        guard.fail(error)
        control = guard
    control.on_established(
        Opening(
            now,
            conn.rtt.srtt_s,
            syn_lost or marked,
            tcb.sack_permitted,
            tcb.iss,
            accurate_ecn=tcb.accurate is not None,
        )
    )
    if control.wants_rate:
        _measure(conn, RateEstimator(now))
    live.take_over(conn, control)


def change(conn: Connection, now: float) -> None:
    """Make the control that the configuration names now, and let it go on where the last one was.

    Raises ConfigError where it can't be made; then all is as before.
    """
    held, tcb = live.control_of(conn), conn.tcb
    control = _made(conn)
    control.on_established(
        Opening(
            now,
            conn.rtt.srtt_s,
            syn_lost=False,
            sack=tcb.sack_permitted,
            seed=tcb.iss,
            cwnd_bytes=held.cwnd_bytes,
            ssthresh_bytes=held.ssthresh_bytes,
            accurate_ecn=tcb.accurate is not None,
        )
    )
    if not control.wants_rate:
        _measure(conn, None)
    elif conn.rates is None:
        _measure(conn, RateEstimator(now))
    live.take_over(conn, control)


def name(conn: Connection) -> None:
    """Have the one that the configuration names for what is asked before the handshake is over."""
    if conn.established_at is None:
        live.take_over(conn, unopened_control(conn.config.congestion, conn.tcb.snd_mss))


def _made(conn: Connection) -> CongestionControl:
    smss = conn.tcb.snd_mss
    control = CONTROLS.recall(conn.config.congestion)(smss)
    if type(control) in _TRUSTED:
        return control
    return Guarded(control, smss, conn.report_control, lambda: live.pace(conn))


def _measure(conn: Connection, rates: RateEstimator | None) -> None:
    if rates is not conn.rates:
        conn.rates = rates
        conn.recovery.measure(rates)
