"""What the two ends agree on in the handshake: segment sizes and window scaling.

SACK and timestamps have their place here; nothing offers them yet, so a peer's offer is not taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.tcb import DEFAULT_SEND_MSS_BYTES, MAX_WINDOW_SHIFT
from pystack.wire.tcp_options import TcpOptions, pack

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

MIN_SEND_MSS_BYTES: Final = 48  # as Linux's tcp_min_snd_mss: smaller ones only make us work


def window_shift(buffer_bytes: int) -> int:
    """Return the smallest shift with which the window field can tell of the whole buffer."""
    shift = 0
    while buffer_bytes >> shift > 0xFFFF and shift < MAX_WINDOW_SHIFT:
        shift += 1
    return shift


def syn_options(conn: Connection) -> bytes:
    """Return the options of our SYN or SYN-ACK: scaling is answered only where it was offered."""
    tcb = conn.tcb
    return pack(TcpOptions(mss=tcb.mtu_mss, wscale=tcb.rcv_wind_shift))


def offer(conn: Connection) -> None:
    """Decide what our first SYN offers."""
    conn.tcb.rcv_wind_shift = window_shift(conn.config.receive_buffer_bytes)


def agree(conn: Connection, theirs: TcpOptions) -> None:
    """Take what the peer's SYN said, and settle what holds for this connection."""
    tcb = conn.tcb
    mss = DEFAULT_SEND_MSS_BYTES if theirs.mss is None else max(theirs.mss, MIN_SEND_MSS_BYTES)
    tcb.snd_mss = min(mss, tcb.mtu_mss)
    if theirs.wscale is None:
        tcb.snd_wind_shift = tcb.rcv_wind_shift = None
    else:
        # RFC 7323 section 2.3: a larger shift is taken for 14
        tcb.snd_wind_shift = min(theirs.wscale, MAX_WINDOW_SHIFT)
