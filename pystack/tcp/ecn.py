"""Explicit Congestion Notification: TCP's part (RFC 3168 section 6.1), and DCTCP's (RFC 8257).

Which kind of it is agreed on is decided here too (RFC 9768 section 3.1).

`tcb.ecn` says before the handshake what we offer or take, and what holds after it; `tcb.accurate`
is there where that is accurate ECN. Without it, the receiver's half turns marks into ECE; the
sender's half turns ECE into one reduction a window, and CWR. A control that `wants_ecn` gets each
ECE as it is, from a receiver that echoes each mark as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp import accurate_ecn
from pystack.tcp.accurate_ecn import AccurateEcn
from pystack.tcp.congestion.base import LossSample, MarkSample
from pystack.tcp.states import TcpState
from pystack.wire.ecn import CE, ECT_0, NOT_ECT
from pystack.wire.tcp import ACK, AE, CWR, ECE, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb

_SETUP: Final = ECE | CWR
_ACCURATE_SETUP: Final = AE | CWR | ECE
_ASKS: Final = 2  # SYNs, or SYN-ACKs, that go with accurate ECN; those after them without


def asks_accurate(conn: Connection) -> bool:
    """Tell whether an active open asks for accurate ECN, if nothing speaks against it."""
    return conn.config.ecn == "accurate" or conn.congestion.wants_accurate_ecn


def offer(conn: Connection) -> None:
    """Settle what our SYN asks for, and what our SYN-ACK may agree to (section 6.1.1)."""
    tcb, control, word = conn.tcb, conn.congestion, conn.config.ecn
    accurate = asks_accurate(conn)
    if conn.tcb.ecn_path is not None and conn.tcb.ecn_path.is_blocked:
        accurate = False
        conn.drops.append("tcp_accecn_not_asked")
    asks = accurate or word == "request" or control.wants_ecn
    if conn.passive:
        asks = asks or word in ("accept", "accept_accurate")
        accurate = accurate or word == "accept_accurate"
    tcb.ecn = asks
    tcb.accurate = AccurateEcn() if accurate else None


def agree(conn: Connection, seg: Segment) -> None:
    """Take what the peer's SYN or SYN-ACK asks for or agrees to, as far as we offer it.

    Both in the order of RFC 9768's table 2. A SYN-ACK with all the flags of our SYN comes from a
    peer that copies them.
    """
    tcb, flags = conn.tcb, seg.flags & _ACCURATE_SETUP
    accurate, path = tcb.accurate, conn.tcb.ecn_path
    if path is not None and seg.flags & ACK and not path.is_blocked:
        if tcb.retries < _ASKS or _is_accurate(flags, is_answer=True):
            path.got_through()
        else:
            path.went_without()
    if accurate is not None and _is_accurate(flags, is_answer=bool(seg.flags & ACK)):
        accurate_ecn.begin(conn, accurate, seg)
        return
    tcb.accurate = None
    tcb.ecn = tcb.ecn and _is_classic(conn, seg)


def _is_accurate(flags: int, *, is_answer: bool) -> bool:
    if is_answer:
        return flags not in (0, ECE, _ACCURATE_SETUP)
    return flags not in (0, _SETUP)  # what has no meaning yet asks for it too (section 3.1.3)


def _is_classic(conn: Connection, seg: Segment) -> bool:
    """Tell whether RFC 3168 is agreed on.

    As in Linux, a SYN that is itself marked ECT or CE comes from nobody who knows that RFC, unless
    the control here does not keep to it either (DCTCP).
    """
    flags = seg.flags
    if flags & ACK:
        # With AE it agrees to what we did not ask for.
        return flags & _ACCURATE_SETUP == ECE
    return flags & _SETUP == _SETUP and (seg.ecn == NOT_ECT or conn.congestion.wants_ecn)


def handshake_again(conn: Connection, seg: Segment) -> bool:
    """Look at a SYN or SYN-ACK that comes again (RFC 9768 section 3.1.5); False: to reset.

    The kind of ECN that was agreed on stays. A peer that asks now for one and now for the other
    would not know which, and is reset.
    """
    tcb, flags = conn.tcb, seg.flags & _ACCURATE_SETUP
    accurate = tcb.accurate
    is_answer = bool(seg.flags & ACK)
    if conn.state is TcpState.SYN_RECEIVED and not is_answer:
        other_kind = _ACCURATE_SETUP if accurate is None else _SETUP
        knows_both = conn.config.ecn in ("accurate", "accept_accurate")
        if knows_both and tcb.ecn and flags == other_kind:
            conn.drops.append("tcp_accecn_mixed_syns")
            return False
        if accurate is not None and accurate.agreed:
            accurate.syn_ecn = seg.ecn
            accurate.asked_again = True
            if not flags:
                accurate.stop(conn, "tcp_accecn_syn_without")
    elif is_answer and accurate is not None and accurate.agreed and not conn.passive:
        accurate_ecn.syn_ack_arrived(accurate, seg)
    return True


def syn_flags(conn: Connection) -> int:
    """Return what our SYN or SYN-ACK has beside these flags.

    A SYN that got no answer asks no more: something on the way may throw it away for that
    (section 6.1.1.1). For accurate ECN that is tried twice, and the same for its SYN-ACK (RFC 9768
    sections 3.1.4.1 and 3.2.3.2.2).
    """
    tcb = conn.tcb
    if not tcb.ecn:
        return 0
    accurate = tcb.accurate
    if accurate is not None:
        if conn.state is TcpState.SYN_SENT:
            return _ACCURATE_SETUP if tcb.retries < _ASKS else 0
        if tcb.retries < _ASKS:
            return accurate_ecn.syn_ack_flags(accurate)
        accurate.stop(conn, "tcp_accecn_syn_without")
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
    if tcb.accurate is not None:
        if tcb.accurate.agreed:
            accurate_ecn.tell(
                conn,
                tcb.accurate,
                segment,
                ect=_codepoint(conn, segment, again=again),
                again=again,
            )
        return
    if segment.payload and not again:
        segment.ecn = ECT_0
        if tcb.cwr_now:
            tcb.cwr_now = False
            segment.flags |= CWR
    elif conn.congestion.wants_ecn:
        segment.ecn = ECT_0


def _codepoint(conn: Connection, segment: Segment, *, again: bool) -> int:
    """Return what a segment goes with, where ECN is accurate.

    A control that `wants_ecn` has it on all but SYNs; but on bare ACKs only where an ACK of one is
    not taken for a duplicate, for it has no SACK blocks (RFC 9768 section 3.2.2.5.1).
    """
    control = conn.congestion
    if segment.payload and not again:
        return control.ect
    if control.wants_ecn and (segment.payload or conn.tcb.sack_permitted):
        return control.ect
    return NOT_ECT


def to_be_told_first(conn: Connection, seg: Segment) -> bool:
    """Tell whether an ACK of what is here already has to go before the segment is taken.

    RFC 8257 section 3.2: ECE is as the last mark was; what came before it is told as it was.
    """
    tcb = conn.tcb
    return (
        conn.congestion.wants_ecn
        and tcb.accurate is None
        and (seg.ecn == CE) is not tcb.ece_now
        and tcb.rcv_nxt > tcb.last_ack_sent
    )


def text_arrived(conn: Connection, seg: Segment) -> None:
    """Take the mark of a segment with text (section 6.1.3)."""
    tcb = conn.tcb
    if tcb.accurate is not None:
        return  # counted already, as all that came
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


def feedback(conn: Connection, seg: Segment, now: float) -> None:
    """Take what an acceptable ACK tells of marks, before what it acknowledges."""
    tcb = conn.tcb
    if tcb.accurate is None:
        if seg.flags & ECE:
            conn.ece_received += 1
            _reduce_once(conn, now)
        return
    marks = accurate_ecn.told(conn, tcb.accurate, seg)
    tcb.accurate.news = bool(marks.packets or marks.text_bytes)
    if not tcb.accurate.news:
        return
    conn.ece_received += 1
    if conn.congestion.wants_ecn:
        conn.congestion.on_marks(MarkSample(now, marks.packets, marks.text_bytes))
    else:
        _reduce_once(conn, now)


def tells_of_marks(tcb: Tcb, seg: Segment) -> bool:
    """Tell whether the ACK that `feedback` has just taken tells of marks."""
    return bool(seg.flags & ECE) if tcb.accurate is None else tcb.accurate.news


def _reduce_once(conn: Connection, now: float) -> None:
    """Make the window smaller for marks, once a window (6.1.2)."""
    tcb = conn.tcb
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
    tcb.cwr_now = tcb.ecn and tcb.accurate is None
