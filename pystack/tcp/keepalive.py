"""Keep-alive (RFC 9293 section 3.8.4, RFC 1122 section 4.2.3.6): is the silent peer still there?

Off unless asked for. A probe is an ACK for a byte that was acknowledged long ago, which whoever has
the connection answers. It is sent only where nothing else is in flight, or waits to be.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pystack.tcp.states import TcpState
from pystack.tcp.tcb import NEVER, Timer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection


def arm(conn: Connection, now: float) -> None:
    """Start, or stop, as the configuration says."""
    conn.tcb.keepalive_probes = 0
    conn.tcb.timers[Timer.KEEPALIVE] = (
        now + conn.config.keepalive_idle_s if conn.config.keepalive else NEVER
    )


def is_answered(conn: Connection) -> bool:
    """Tell whether no probe of ours is without an answer, but for one that was just sent."""
    tcb = conn.tcb
    if tcb.keepalive_probes <= 1:
        return True
    asked_at = tcb.timers[Timer.KEEPALIVE] - conn.config.keepalive_interval_s
    return tcb.heard_at >= asked_at - 1e-9


def expired(conn: Connection, now: float) -> None:
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
    if silent_s < config.keepalive_idle_s - 1e-9:
        tcb.keepalive_probes = 0
        timers[Timer.KEEPALIVE] = tcb.heard_at + config.keepalive_idle_s
        return
    # As in Linux a user timeout, where there is one, takes the place of the number of probes.
    patience_s = config.user_timeout_s
    if tcb.keepalive_probes and (
        tcb.keepalive_probes >= config.keepalive_probes
        if patience_s is None
        else silent_s >= patience_s - 1e-9
    ):
        conn.abort(now, errno.ETIMEDOUT)
        return
    tcb.keepalive_probes += 1
    tcb.probe_now = True
    timers[Timer.KEEPALIVE] = now + config.keepalive_interval_s
