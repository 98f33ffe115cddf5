"""What the two ends agree on in the handshake: segment sizes, window scaling, timestamps, SACK.

Each of the last three is offered in our SYN, and answered in a SYN-ACK only where it was offered.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pystack.tcp import accurate_ecn, ecn, fast_open, path_mtu, timestamps
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import MAX_WINDOW_SHIFT
from pystack.wire.tcp_options import MAX_BYTES, TcpOptions, pack

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

MIN_TEXT_BYTES: Final = 8  # whatever the options take
MIN_SEND_MSS_BYTES: Final = 48  # as Linux's tcp_min_snd_mss: smaller ones only make us work


@lru_cache(maxsize=64)
def window_shift(buffer_bytes: int) -> int:
    """Return the smallest shift with which the window field can tell of the whole buffer."""
    shift = 0
    while buffer_bytes >> shift > 0xFFFF and shift < MAX_WINDOW_SHIFT:
        shift += 1
    return shift


def syn_options(conn: Connection, now: float) -> bytes:
    """Return the options of our SYN or SYN-ACK."""
    tcb = conn.tcb
    options = TcpOptions(
        mss=tcb.rcv_mss,
        wscale=tcb.rcv_wind_shift,
        sack_permitted=tcb.sack_permitted,
        timestamps=(timestamps.clock(tcb, now), tcb.ts_recent) if tcb.timestamps else None,
        fast_open=fast_open.option(conn),
    )
    packed = pack(options)
    accurate = tcb.accurate
    if (
        accurate is None
        or not accurate.agreed
        or conn.state is TcpState.SYN_SENT
        # Something on the way may throw it away for that (RFC 9768 section 3.2.3.2.2)
        or accurate.asked_again
        or tcb.retries
        or len(packed) + accurate_ecn.OPTION_BYTES > MAX_BYTES
    ):
        return packed
    return packed + accurate_ecn.syn_ack_option(accurate)


def offer(conn: Connection) -> None:
    """Decide what our first SYN offers; after `agree`, the same variables say what holds."""
    tcb, config = conn.tcb, conn.config
    tcb.rcv_mss = _own_limit(conn)
    tcb.rcv_wind_shift = window_shift(config.receive_limit_bytes) if config.window_scaling else None
    tcb.timestamps = config.timestamps
    tcb.sack_permitted = config.sack
    ecn.offer(conn)


def agree(conn: Connection, theirs: TcpOptions, now: float) -> None:
    """Take what the peer's SYN said, and settle what holds for this connection."""
    tcb = conn.tcb
    tcb.sack_permitted = tcb.sack_permitted and theirs.sack_permitted
    if theirs.timestamps is None:
        tcb.timestamps = False
    elif tcb.timestamps:
        tcb.ts_recent = theirs.timestamps[0]
        tcb.ts_recent_at = now
    mss = tcb.sizes.default_mss if theirs.mss is None else max(theirs.mss, MIN_SEND_MSS_BYTES)
    # The MSS option does not count options, so they come off the text (RFC 6691): RFC 9293 section
    # 3.7.1, Eff.snd.MSS.
    tcb.options_bytes = timestamps.OPTION_BYTES * tcb.timestamps + tcb.ip_option_bytes
    path_mss = None if tcb.path_mss is None else tcb.path_mss - tcb.options_bytes
    limit = max(min(mss, _own_limit(conn)) - tcb.options_bytes, MIN_TEXT_BYTES)
    path_mtu.begin(tcb, limit, path_mss, conn.config.mtu_probing, now)
    if theirs.wscale is None or tcb.rcv_wind_shift is None:
        tcb.snd_wind_shift = tcb.rcv_wind_shift = None
    else:
        # RFC 7323 section 2.3: a larger shift is taken for 14
        tcb.snd_wind_shift = min(theirs.wscale, MAX_WINDOW_SHIFT)


def _own_limit(conn: Connection) -> int:
    """Return the largest segment that our link and the user allow, options not counted."""
    wanted = conn.config.max_segment_bytes
    return conn.tcb.mtu_mss if wanted is None else min(wanted, conn.tcb.mtu_mss)
