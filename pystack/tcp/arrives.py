"""SEGMENT ARRIVES (RFC 9293 section 3.10.7.4): the checks in the RFC's order.

Here for all states from SYN-RECEIVED on. Each check returns True when the next one is to look at
the segment. What is not taken leaves its reason in `conn.drops`.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.tcp import (
    accurate_ecn,
    ack_policy,
    acks,
    ecn,
    handshake,
    output,
    sack,
    timers,
    timestamps,
    urgent,
)
from pystack.tcp.events import Signal
from pystack.tcp.seq import unwrap
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import Timer
from pystack.tcp.text import take_fin, take_text, trim
from pystack.tcp.timestamps import OLDER
from pystack.wire import tcp_options
from pystack.wire.ecn import CE
from pystack.wire.tcp import ACK, FIN, RST, SYN, URG, Segment
from pystack.wire.tcp_options import ALIGNED_TIMESTAMPS, TIMESTAMPS_LEAD

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb


_ALIGNED_BYTES: Final = ALIGNED_TIMESTAMPS.size


def take_options(tcb: Tcb, seg: Segment) -> None:
    """Fill in what options say, as far as the handshake agreed on it (HOT)."""
    data = seg.options
    if len(data) == _ALIGNED_BYTES:
        lead, tsval, tsecr = ALIGNED_TIMESTAMPS.unpack_from(data)
        if lead == TIMESTAMPS_LEAD:
            if tcb.timestamps:
                seg.tsval = tsval
                seg.tsecr = tsecr
            return
    options = tcp_options.parse(data)
    if tcb.timestamps and options.timestamps is not None:
        seg.tsval, seg.tsecr = options.timestamps
    if tcb.sack_permitted and options.sack_blocks:
        near = tcb.snd_una
        seg.sack_blocks = tuple(
            (unwrap(left, near), unwrap(right, near)) for left, right in options.sack_blocks
        )


def segment_arrived(conn: Connection, seg: Segment, now: float) -> None:
    """Take a segment of a synchronized state: the fast path, or the checks in the RFC's order."""
    if (
        conn.state is TcpState.ESTABLISHED
        and seg.flags & conn.tcb.fast_mask == ACK
        and _fast(conn, seg, now)
    ):
        return
    if conn.held_ack is not None:
        acks.take_held(conn, now)
    seg.in_one_piece()
    seq = seg.seq
    packets = -(-len(seg.payload) // seg.gso_bytes) if seg.gso_bytes else 1
    if (
        (not conn.tcb.timestamps or timestamps_ok(conn, seg, now))  # RFC 7323 section 5.3, R1
        and sequence_ok(conn, seg, now)  # first
        and rst_ok(conn, seg, now)  # second, with RFC 5961 section 3
        and syn_ok(conn, seg, now)  # fourth, with RFC 5961 section 4 (third, security: not for us)
        and ack_ok(conn, seg, now)  # fifth: acks.py
    ):
        if seg.tsval is not None:
            timestamps.note(conn.tcb, seg, seg.tsval, seq, now)  # RFC 7323 section 5.3, R3
        if conn.tcb.accurate is not None:
            accurate_ecn.arrived(conn, conn.tcb.accurate, seg, packets)
        if seg.flags & URG:
            urgent.pointer_arrived(conn, seg, seq)  # sixth
        take_text(conn, seg, now)  # seventh
        take_fin(conn, seg, now)  # eighth


def _fast(conn: Connection, seg: Segment, now: float) -> bool:
    """Take what established connections get nearly always: the next text in order, or an ACK.

    After Van Jacobson's header prediction: of all the checks, those that matter for these two.

    An ACK of new data is held until the batch is done: what follows it may say the same and more.
    """
    tcb = conn.tcb
    payload = seg.payload
    size = seg.text_bytes if seg.more else len(payload)
    held = conn.held_ack
    una = tcb.snd_una if held is None else held.ack
    if (
        seg.seq != tcb.rcv_nxt
        or not una <= seg.ack <= tcb.snd_nxt
        or seg.sack_blocks
        or (
            size
            and (
                size > tcb.rcv_adv - seg.seq
                or conn.released
                or conn.receive_buffer.ranges
                or tcb.rcv_fin_seq is not None
                or seg.ecn == CE
                or tcb.ece_now
            )
        )
    ):
        return False
    if tcb.timestamps:
        tsval = seg.tsval
        if tsval is None or tsval - tcb.ts_recent & OLDER:
            return False
        if seg.seq <= tcb.last_ack_sent:
            tcb.ts_recent = tsval
            tcb.ts_recent_at = now
            tcb.rcv_tsecr = seg.tsecr
    if (
        not size
        and (seg.ack > una or (held is not None and seg.wnd != held.wnd))
        and conn.rates is None
        and not conn.recovery.repairing
    ):
        conn.held_ack = seg
        return True
    if held is not None:
        acks.take_held(conn, now)
    if size and seg.ack == tcb.snd_una:
        acks.update_window(conn, seg)
    else:
        acks.take_ack(conn, seg, now)
    if size:
        conn.receive_buffer.append(payload)
        for text in seg.more:
            conn.receive_buffer.append(text)
        tcb.rcv_nxt += size
        conn.bytes_received += size
        ack_policy.text_arrived(conn, now, size)
        conn.signal(Signal.READABLE)
    return True


def timestamps_ok(conn: Connection, seg: Segment, now: float) -> bool:
    """Before all others: PAWS. What is refused is answered like one outside of the window."""
    if timestamps.acceptable(conn, seg, now):
        return True
    if seg.tsval is not None:
        _answer(conn, seg, now)
    return False


def sequence_ok(conn: Connection, seg: Segment, now: float) -> bool:
    """First: is any of it in the window? Then cut it to what is."""
    tcb = conn.tcb
    if seg.flags & (SYN | RST) == SYN:
        return True  # the fourth check looks at them all, wherever they stand (RFC 5961 section 4)
    seq, length = seg.seq, seg.seg_len
    right = tcb.rcv_adv
    if length == 0:
        # Linux too takes one that stands exactly at the right edge: a peer whose whole window was
        # lost sends its ACKs from there.
        acceptable = tcb.rcv_nxt <= seq <= right
    else:
        acceptable = tcb.rcv_nxt <= seq < right or tcb.rcv_nxt < seq + length <= right
        # A window of zero takes no text, but the ACK and RST with it (3.10.7.4); the same for text
        # that covers the whole window and more.
        if not acceptable and seq <= tcb.rcv_nxt and seq + length > right:
            acceptable = True
    if not acceptable:
        _refuse(conn, seg, now)
        return False
    if not seg.flags & RST:  # that is judged by the number it came with
        trim(conn, seg)
    return True


def rst_ok(conn: Connection, seg: Segment, now: float) -> bool:
    """Second: RST, believed only where it stands exactly at RCV.NXT (RFC 5961 section 3)."""
    if not seg.flags & RST:
        return True
    if seg.seq != conn.tcb.rcv_nxt:
        conn.drops.append("tcp_challenged_rst")
        ack_policy.challenge(conn, now)
        return False
    if conn.state is TcpState.TIME_WAIT:
        conn.drops.append("tcp_rst_in_time_wait")  # RFC 1337: it must not end the wait early
        return False
    if conn.state is TcpState.SYN_RECEIVED and not conn.fast_opened:
        conn.finish(errno.ECONNREFUSED)
    elif conn.state in (TcpState.CLOSING, TcpState.LAST_ACK):
        conn.finish(None)
    else:
        # As Linux's tcp_reset: a user who has read the peer's end of data just cannot send any
        # more.
        at_end = conn.state is TcpState.CLOSE_WAIT
        conn.finish(errno.EPIPE if at_end else errno.ECONNRESET)
    return False


def syn_ok(conn: Connection, seg: Segment, now: float) -> bool:
    """Fourth: a SYN has no place here; its sender is asked what it means (RFC 5961 section 4)."""
    if not seg.flags & SYN:
        return True
    tcb = conn.tcb
    if seg.seq == tcb.irs and not ecn.handshake_again(conn, seg):
        output.answer_with_reset(conn, seg)
        conn.finish(errno.ECONNRESET)
        return False
    if conn.state is TcpState.SYN_RECEIVED and seg.seq == tcb.irs:
        if seg.flags & ACK and tcb.iss < seg.ack <= tcb.snd_nxt:
            return True  # the SYN-ACK of a simultaneous open, whose SYN was taken already
        conn.drops.append("tcp_syn_again")
        tcb.syn_now = True  # our SYN-ACK was lost: as Linux, send it rather than a bare ACK
        return False
    conn.drops.append("tcp_challenged_syn")
    ack_policy.challenge(conn, now)
    return False


def ack_ok(conn: Connection, seg: Segment, now: float) -> bool:
    """Fifth: what does it acknowledge, and what does that change?"""
    tcb = conn.tcb
    if not seg.flags & ACK:
        conn.drops.append("tcp_no_ack")
        return False
    if conn.state is TcpState.SYN_RECEIVED:
        if not tcb.iss < seg.ack <= tcb.snd_nxt:
            conn.drops.append("tcp_syn_received_bad_ack")
            output.answer_with_reset(conn, seg)
            return False
        if handshake.waits_for_text(conn, seg):
            return False
        acks.take_syn_ack(conn, seg, now)
        if tcb.accurate is not None:
            accurate_ecn.handshake_acked(conn, tcb.accurate, seg)
        handshake.established(conn, now)
        if seg.flags & SYN:
            handshake.step_over_syn(conn, seg)
        if tcb.fin_seq is not None:
            conn.enter(TcpState.FIN_WAIT_1)
        if conn.fast_opened:  # there may be text of ours in flight already
            acks.take_ack(conn, seg, now)
    elif (
        conn.state is TcpState.LAST_ACK
        and seg.ack == tcb.snd_nxt
        and tcb.fin_seq is not None
        and seg.ack > tcb.fin_seq
        and not conn.shared.watchers
    ):
        acks.take_last(conn, seg, now)
        conn.finish(None)
        return False
    elif not acks.ack_acceptable(conn, seg, now):
        return False
    else:
        acks.take_ack(conn, seg, now)
    if tcb.fin_seq is not None and tcb.snd_una > tcb.fin_seq:
        _fin_acknowledged(conn, seg, now)
    return conn.state is not TcpState.CLOSED


def _fin_acknowledged(conn: Connection, seg: Segment, now: float) -> None:
    if conn.state is TcpState.FIN_WAIT_1:
        conn.enter(TcpState.FIN_WAIT_2)
        if conn.released and conn.config.fin_wait_2_s:
            conn.tcb.timers[Timer.TIME_WAIT] = now + conn.config.fin_wait_2_s
        elif conn.released:  # TCP_LINGER2 below 0: as Linux, as if there were no connection
            output.answer_with_reset(conn, seg)
            conn.finish(None)
    elif conn.state is TcpState.CLOSING:
        timers.enter_time_wait(conn, now)
    elif conn.state is TcpState.LAST_ACK:
        conn.finish(None)


def _refuse(conn: Connection, seg: Segment, now: float) -> None:
    """Answer a segment outside of the window with an ACK, unless it is a RST (first check)."""
    conn.drops.append("tcp_out_of_window")
    if seg.flags & RST:
        return
    if conn.state is TcpState.TIME_WAIT and seg.flags & FIN:
        timers.enter_time_wait(conn, now)  # a retransmitted FIN: the wait begins afresh
    _answer(conn, seg, now)


def _answer(conn: Connection, seg: Segment, now: float) -> None:
    """Send an ACK: at once to text that came in vain, to all else now and then."""
    tcb = conn.tcb
    length = seg.seg_len
    if length and not seg.flags & SYN:
        if seg.seq < tcb.rcv_nxt:
            if tcb.accurate is not None and seg.payload:
                accurate_ecn.text_came_again(conn, tcb.accurate)
            sack.came_twice(tcb, seg.seq, min(seg.seq + length, tcb.rcv_nxt))
            timestamps.note_again(tcb, seg, now)
            ack_policy.be_quick(conn)  # the peer may have missed our ACKs, and be in a time-out
        tcb.ack_now = True
    else:
        ack_policy.challenge(conn, now)
