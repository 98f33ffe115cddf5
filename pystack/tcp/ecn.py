"""Explicit Congestion Notification: TCP's part (RFC 3168 section 6.1), and DCTCP's (RFC 8257).

`tcb.ecn` says before the handshake what we offer or take, and what holds after it. The receiver's
half turns marks into ECE; the sender's half turns ECE into one reduction a window, and CWR. A
control that `wants_ecn` gets each ECE as it is, from a receiver that echoes each mark as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.congestion.base import LossSample
from pystack.tcp.states import TcpState
from pystack.wire.ecn import CE, ECT_0, NOT_ECT
from pystack.wire.tcp import ACK, CWR, ECE, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb

_SETUP: Final = ECE | CWR


def offer(conn: Connection) -> bool:
    """Tell whether our SYN asks for it, or our SYN-ACK may agree to it (section 6.1.1)."""
    config = conn.config
    if conn.congestion.wants_ecn or config.ecn == "request":
        return True
    return conn.passive and config.ecn == "accept"


def agreed(conn: Connection, seg: Segment) -> bool:
    """Tell whether the peer's SYN or SYN-ACK asks for or agrees to what we offer.

    A SYN-ACK with both flags comes from a peer that copies ours. As Linux, we take no SYN that has
    ECT or CE for one that knows the rules, but where the control does not keep to them either.
    """
    tcb, flags = conn.tcb, seg.flags
    if flags & ACK:
        return tcb.ecn and flags & _SETUP == ECE
    return (
        tcb.ecn and flags & _SETUP == _SETUP and (seg.ecn == NOT_ECT or conn.congestion.wants_ecn)
    )


def syn_flags(conn: Connection) -> int:
    """Return what our SYN or SYN-ACK has beside these flags.

    A SYN that got no answer asks no more: something on the way may throw it away for that
    (section 6.1.1.1).
    """
    tcb = conn.tcb
    if not tcb.ecn:
        return 0
    if conn.state is not TcpState.SYN_SENT:
        return ECE
    if tcb.retries:
        tcb.ecn = False
        return 0
    return _SETUP


def mark(conn: Connection, segment: Segment, *, again: bool) -> None:
    """Put ECT(0) on text that is sent for the first time, with CWR where it is due (6.1.2, 6.1.5).

    DCTCP puts it on everything, for its switches drop what is not marked (RFC 8257 section 3.6).
    """
    tcb = conn.tcb
    if segment.payload and not again:
        segment.ecn = ECT_0
        if tcb.cwr_now:
            tcb.cwr_now = False
            segment.flags |= CWR
    elif conn.congestion.wants_ecn:
        segment.ecn = ECT_0


def to_be_told_first(conn: Connection, seg: Segment) -> bool:
    """Tell whether an ACK of what is here already has to go before the segment is taken.

    RFC 8257 section 3.2: ECE is as the last mark was; what came before it is told as it was.
    """
    tcb = conn.tcb
    return (
        conn.congestion.wants_ecn
        and (seg.ecn == CE) is not tcb.ece_now
        and tcb.rcv_nxt > tcb.last_ack_sent
    )


def text_arrived(conn: Connection, seg: Segment) -> None:
    """Take the mark of a segment with text (section 6.1.3)."""
    tcb = conn.tcb
    marked = seg.ecn == CE
    conn.ce_received += marked
    if seg.ecn != NOT_ECT:
        tcb.ecn_seen = True
    if conn.congestion.wants_ecn:
        tcb.ack_now = tcb.ack_now or marked is not tcb.ece_now
        tcb.ece_now = marked
        return
    if seg.flags & CWR:
        tcb.ece_now = False
        tcb.ack_now = True  # as Linux: the peer's window may be a single segment now
    if marked and not tcb.ece_now:
        tcb.ece_now = True
        tcb.ack_now = True
        tcb.quick_acks = max(tcb.quick_acks, min(2, conn.config.quick_acks))


def echo_arrived(conn: Connection, now: float) -> None:
    """Take the ECE of an acceptable ACK, before what it acknowledges: once a window (6.1.2)."""
    tcb = conn.tcb
    conn.ece_received += 1
    if tcb.snd_una < tcb.cwr_seq:
        return  # answered already, or something was lost since
    flight_size_bytes = tcb.flight_size_bytes
    if not flight_size_bytes:
        return
    window_reduced(tcb)
    if not conn.congestion.wants_ecn:
        conn.congestion.on_loss(LossSample(now, flight_size_bytes, ecn=True))


def window_reduced(tcb: Tcb) -> None:
    """The congestion window was made smaller, whatever the reason: the peer is to know (6.1.2)."""
    tcb.cwr_seq = tcb.snd_nxt
    tcb.cwr_now = tcb.ecn
