"""The timestamps option (RFC 7323 sections 3 to 5): the clock, PAWS, and round trips from echoes.

TSval and TSecr are 32 bits on the wire and stay so here; a difference modulo 2**32 tells which one
is older. The fast path in `arrives.py` has the two tests that decide nearly always written out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.seq import MASK
from pystack.wire.tcp import ACK, FIN, RST, SYN, Segment
from pystack.wire.tcp_options import ALIGNED_TIMESTAMPS, TIMESTAMPS_LEAD

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb

OLDER: Final = 1 << 31  # the bit of (a - b) modulo 2**32 that is set where a is older than b
OPTION_BYTES: Final = 12  # with its two NOPs
TICKS_PER_S: Final = 1000  # section 4.1: 1 ms to 1 s for each tick; as Linux
UNSCALED_WINDOW_BYTES: Final = 0xFFFF
# Section 5.5: after that time without a word the peer's clock may have turned over.
MAX_IDLE_S: Final = 24 * 24 * 3600.0


def clock(tcb: Tcb, now: float) -> int:
    """Return TSval for a segment that goes out now (section 5.4)."""
    return int(now * TICKS_PER_S + 0.5) + tcb.ts_offset & MASK  # `clock_at`, in place (HOT)


def clock_at(now: float, offset: int) -> int:
    """Return TSval of a connection whose clock is so much ahead of the world's."""
    # Rounded: an instant like 0.29 is a little less in binary, and not to fall into the tick before
    return int(now * TICKS_PER_S + 0.5) + offset & MASK


def option(tcb: Tcb, now: float) -> bytes:
    """Return the option for a segment that goes out now."""
    tsval = int(now * TICKS_PER_S + 0.5) + tcb.ts_offset & MASK
    return ALIGNED_TIMESTAMPS.pack(TIMESTAMPS_LEAD, tsval, tcb.ts_recent)


def older(tsval: int, other: int) -> bool:
    """Tell whether a timestamp was taken before another one of the same clock."""
    return bool((tsval - other) & OLDER)


def acceptable(conn: Connection, seg: Segment, now: float) -> bool:
    """PAWS, section 5.3 R1: tell whether the segment can be of this turn of the numbers.

    A reset always is (section 5.2), and after a long silence nothing is known (section 5.5). A SYN
    may lack a timestamp: its sender has begun anew, and is to be asked about it.
    """
    tcb = conn.tcb
    tsval = seg.tsval
    if tsval is None:
        if not conn.config.timestamps_required or seg.flags & (RST | SYN):
            return True
        conn.drops.append("tcp_no_timestamp")
        return False
    if not older(tsval, tcb.ts_recent) or seg.flags & RST or expired(tcb, now):
        return True
    if _overtaken(conn, seg, tsval):
        return True
    conn.drops.append("tcp_paws")
    return False


def expired(tcb: Tcb, now: float) -> bool:
    """Tell whether TS.Recent is too old to be compared with (section 5.5)."""
    return now - tcb.ts_recent_at > MAX_IDLE_S


def note(tcb: Tcb, seg: Segment, tsval: int, seq: int, now: float) -> None:
    """Take an acceptable segment's TSval for TS.Recent, where section 4.3 (2) says so.

    `seq` is where the segment began before it was trimmed.
    """
    if seq <= tcb.last_ack_sent and (not older(tsval, tcb.ts_recent) or expired(tcb, now)):
        tcb.ts_recent = tsval
        tcb.ts_recent_at = now
        tcb.rcv_tsecr = seg.tsecr if seg.payload else 0


def note_again(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take the TSval of text that came again, which the answer is to echo.

    With the one of the first copy, a sender whose ACK was lost takes the time-out for a round trip,
    and its next time-out is longer than that. Section 4.3 (2) has it so, section 5.3 (R2) has it
    dropped before; Linux takes the last segment's alone. A sender goes back by a window at most,
    and acknowledges what can be: nobody else is to set the peer's clock (CVE-2005-0356).
    """
    if (
        seg.tsval is not None
        and tcb.rcv_nxt - seg.seq <= max(tcb.rcv_buf_bytes, UNSCALED_WINDOW_BYTES)
        and seg.flags & ACK
        and tcb.can_be_meant(seg.ack)
    ):
        note(tcb, seg, seg.tsval, seg.seq, now)


def round_trip_s(tcb: Tcb, seg: Segment, now: float) -> float | None:
    """Return the round trip that an echo tells of, for an ACK of new data (section 4.1).

    None: the peer echoes nothing (0, as Linux has it), what we never sent, or what was sent before
    all that was in flight.
    """
    if seg.tsval is None or not seg.tsecr:
        return None
    ticks = clock(tcb, now) - seg.tsecr & MASK
    if ticks & OLDER or ticks > (now - tcb.flight_at) * TICKS_PER_S + 1:
        return None
    return max(ticks, 1) / TICKS_PER_S  # less than a tick is not nothing


def _overtaken(conn: Connection, seg: Segment, tsval: int) -> bool:
    """Tell of a bare ACK that another segment has overtaken: nothing in it could do harm.

    Answered as R1 says, it would be a duplicate ACK to a peer who lost nothing. As in Linux.
    """
    tcb = conn.tcb
    return (
        seg.flags & (SYN | FIN | ACK) == ACK
        and not seg.payload
        and seg.seq == tcb.rcv_nxt
        and seg.ack == tcb.snd_una
        and seg.wnd << (tcb.snd_wind_shift or 0) == tcb.snd_wnd
        and tcb.ts_recent - tsval & MASK <= conn.rtt.rto_s * TICKS_PER_S
    )
