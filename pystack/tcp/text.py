"""The text and the FIN of a segment: the seventh and eighth check of RFC 9293 section 3.10.7.4."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pystack.tcp import ack_policy, ecn, output, sack, timers
from pystack.tcp.events import Signal
from pystack.tcp.states import MAY_RECEIVE, TcpState
from pystack.wire.tcp import FIN, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection


def trim(conn: Connection, seg: Segment) -> None:
    """Cut off what lies before RCV.NXT, and what lies beyond the window or the peer's FIN."""
    tcb = conn.tcb
    before = tcb.rcv_nxt - seg.seq
    if before > 0:
        tcb.ack_now = True  # a part of it came twice: the peer should learn what is here
        sack.came_twice(tcb, seg.seq, tcb.rcv_nxt)
        if before > len(seg.payload):
            seg.flags &= ~FIN
        seg.payload = memoryview(seg.payload)[before:]
        seg.seq = tcb.rcv_nxt
    end, reason = tcb.rcv_adv, "tcp_beyond_window"
    if tcb.rcv_fin_seq is not None and tcb.rcv_fin_seq < end:
        end, reason = tcb.rcv_fin_seq, "tcp_beyond_fin"
    beyond = seg.seq + len(seg.payload) - end
    if beyond > 0 and (seg.payload or seg.flags & FIN):
        conn.drops.append(reason)
        seg.payload = memoryview(seg.payload)[: max(0, len(seg.payload) - beyond)]
        seg.flags &= ~FIN
        tcb.ack_now = True


def take_text(conn: Connection, seg: Segment, now: float) -> None:
    """Seventh: the text goes to the user, or waits behind a gap."""
    if conn.state not in MAY_RECEIVE:
        return
    if seg.flags & FIN and conn.tcb.rcv_fin_seq is None:
        _note_fin(conn, seg)  # first, for the text ends there
    payload = seg.payload
    if not payload:
        return
    if conn.is_deaf:
        # RFC 1122 section 4.2.2.13: nobody will read it, and the peer should know. The reset is as
        # if there were no connection, as Linux's: the peer finds it at the number that it expects.
        conn.drops.append("tcp_text_after_close")
        output.answer_with_reset(conn, seg)
        conn.finish(None if conn.released else errno.ECONNRESET)
        return
    tcb = conn.tcb
    if tcb.ecn:
        if ecn.to_be_told_first(conn, seg):
            conn.outbox.append(output.acknowledgement(conn, now))
        ecn.text_arrived(conn, seg)
    buffer = conn.receive_buffer
    if seg.seq > tcb.rcv_nxt:
        twice = buffer.out_of_order.overlap(seg.seq, seg.seq + len(payload))
        if twice is not None:
            sack.came_twice(tcb, *twice)
        if not buffer.insert(seg.seq, payload, tcb.rcv_buf_bytes):
            conn.drops.append("tcp_too_many_pieces")
        tcb.ack_now = True  # RFC 5681 section 4.2: at once, so that the peer counts duplicates
        return
    before = tcb.rcv_nxt
    had_gap = bool(buffer.ranges)
    buffer.append(payload)
    tcb.rcv_nxt += len(payload)
    if had_gap:
        twice = buffer.out_of_order.overlap(before, tcb.rcv_nxt)
        if twice is not None and tcb.dsack is None:
            sack.came_twice(tcb, *twice)
        tcb.rcv_nxt = buffer.take_contiguous(tcb.rcv_nxt)
        tcb.ack_now = True  # RFC 5681 section 4.2: at once when a gap is filled
    conn.bytes_received += tcb.rcv_nxt - before
    ack_policy.text_arrived(conn, now, len(payload))
    conn.signal(Signal.READABLE)


def take_fin(conn: Connection, seg: Segment, now: float) -> None:
    """Eighth: the peer has no more to say, once everything before its FIN is here."""
    tcb = conn.tcb
    if conn.state not in MAY_RECEIVE:
        return
    if tcb.rcv_fin_seq is None or tcb.rcv_nxt < tcb.rcv_fin_seq:
        return
    tcb.rcv_nxt += 1
    tcb.rcv_adv = max(tcb.rcv_adv, tcb.rcv_nxt)
    state = conn.state
    if state is TcpState.ESTABLISHED and seg.flags & FIN:
        ack_policy.fin_arrived(conn, now)
    else:
        tcb.ack_now = True
    if state is TcpState.ESTABLISHED:
        conn.enter(TcpState.CLOSE_WAIT)
    elif state is TcpState.FIN_WAIT_1:
        conn.enter(TcpState.CLOSING)
    elif state is TcpState.FIN_WAIT_2:
        timers.enter_time_wait(conn, now)
    conn.signal(Signal.READABLE)


def _note_fin(conn: Connection, seg: Segment) -> None:
    tcb = conn.tcb
    tcb.rcv_fin_seq = seg.seq + len(seg.payload)
    if seg.seq > tcb.rcv_nxt:
        tcb.ack_now = True  # it waits behind a gap (RFC 5681 section 4.2)
    else:
        ack_policy.answer_expected(tcb)
    if conn.receive_buffer.ranges:
        conn.receive_buffer.out_of_order.cut(tcb.rcv_fin_seq)
