"""How large the receive buffer is: it follows what the user reads in a round trip.

Dynamic right-sizing, as Linux's tcp_rcv_space_adjust: twice of what was read, so that a loss does
not stall the sender, and more while the rate still grows. It never gets smaller. How far it may
grow is `tcb.rcv_buf_max_bytes`, and not at all while the host is short of memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.seq import MASK
from pystack.tcp.timestamps import OLDER, TICKS_PER_S, clock

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_INITIAL_SEGMENTS: Final = 10  # RFC 6928: what a sender starts with
_CUSHION_SEGMENTS: Final = 16
_SMOOTHING: Final = 8


def begin(conn: Connection, now: float) -> None:
    """The handshake is over: the first round trip begins."""
    tcb = conn.tcb
    tcb.space_at = tcb.rcv_rtt_at = now
    tcb.space_bytes = max(1, min(tcb.rcv_wnd, _INITIAL_SEGMENTS * tcb.rcv_mss))
    tcb.rcv_rtt_seq = tcb.rcv_nxt + tcb.rcv_wnd


def user_has_read(conn: Connection, now: float) -> None:
    """Once a round trip, let the buffer grow to what the rate asks for (HOT)."""
    tcb = conn.tcb
    if tcb.rcv_rtt_s is not None and now - tcb.space_at < tcb.rcv_rtt_s:
        return
    _measure(conn, now)
    rtt_s = tcb.rcv_rtt_s
    if rtt_s is None or now - tcb.space_at < rtt_s:
        return
    has_read = conn.bytes_received - conn.receive_buffer.readable_bytes
    copied = has_read - tcb.space_read
    if copied > tcb.space_bytes and not conn.shared.memory.pressed:
        wanted = 2 * copied + _CUSHION_SEGMENTS * tcb.rcv_mss
        wanted += 2 * (wanted * (copied - tcb.space_bytes) // tcb.space_bytes)
        tcb.rcv_buf_bytes = max(tcb.rcv_buf_bytes, min(wanted, tcb.rcv_buf_max_bytes))
        tcb.space_bytes = copied
    tcb.space_read = has_read
    tcb.space_at = now


def _measure(conn: Connection, now: float) -> None:
    """Measure the round trip as a receiver can.

    By the echo in the last segment that made TS.Recent; without timestamps by the time in which a
    whole window arrives, of which the shortest counts.
    """
    tcb = conn.tcb
    if tcb.timestamps:
        if not tcb.rcv_tsecr:
            return
        ticks = clock(tcb, tcb.ts_recent_at) - tcb.rcv_tsecr & MASK
        tcb.rcv_tsecr = 0
        if ticks & OLDER:
            return
        sample_s = max(ticks, 1) / TICKS_PER_S
        if tcb.rcv_rtt_s is None:
            tcb.rcv_rtt_s = sample_s
        else:
            tcb.rcv_rtt_s += (sample_s - tcb.rcv_rtt_s) / _SMOOTHING
    elif tcb.rcv_nxt >= tcb.rcv_rtt_seq:
        sample_s = now - tcb.rcv_rtt_at
        if sample_s > 0 and (tcb.rcv_rtt_s is None or sample_s < tcb.rcv_rtt_s):
            tcb.rcv_rtt_s = sample_s
        tcb.rcv_rtt_seq = tcb.rcv_nxt + tcb.rcv_wnd
        tcb.rcv_rtt_at = now
