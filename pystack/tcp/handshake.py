"""Opening a connection: RFC 9293 section 3.10.1, 3.10.7.2 (LISTEN) and 3.10.7.3 (SYN-SENT).

What a connection in SYN-RECEIVED does with a segment is part of `arrives.py`, as it is in the RFC.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.tcp import (
    acks,
    control,
    ecn,
    fast_open,
    negotiation,
    output,
    receive_buffer,
    text,
    timers,
)
from pystack.tcp.events import Signal
from pystack.tcp.output import answer_with_reset
from pystack.tcp.recovery.registry import loss_recovery
from pystack.tcp.seq import unwrap
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import Timer
from pystack.wire import tcp_options
from pystack.wire.tcp import ACK, RST, SYN, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_AGAIN_S: Final = 0.002  # a SYN after an answer to another one; as Linux's TCP_TIMEOUT_MIN
# How long the ACK of a SYN-ACK waits for text, where somebody wants that; as Linux's TCP_DELACK_MAX
_DEFERRED_ACK_S: Final = 0.2


def open_active(conn: Connection, now: float) -> None:
    """3.10.1: send a SYN."""
    negotiation.offer(conn)
    conn.tcb.syn_now = True
    conn.enter(TcpState.SYN_SENT)


def open_passive(conn: Connection, syn: Segment, now: float) -> None:
    """3.10.7.2, third: answer a SYN. Its text, if any, comes again: we acknowledge the SYN only."""
    conn.passive = True
    conn.state = TcpState.LISTEN  # that of the listener it comes from
    conn.segments_received += 1
    negotiation.offer(conn)
    _take_syn(conn, syn, now)
    conn.tcb.syn_now = True
    conn.enter(TcpState.SYN_RECEIVED)


def open_fast(conn: Connection, syn: Segment, now: float) -> None:
    """Answer a SYN with a cookie of ours: the user has its text, and may answer, before the ACK.

    Until that comes, the state is SYN-RECEIVED, and only the SYN-ACK is sent again (RFC 7413
    section 4.2.2). For the sender's variables, the SYN-ACK is as good as acknowledged.
    """
    open_passive(conn, syn, now)
    conn.fast_opened = True
    tcb = conn.tcb
    tcb.snd_una = tcb.snd_nxt = tcb.iss + 1
    text_bytes = min(len(syn.payload), tcb.rcv_buf_bytes, 0xFFFF)
    conn.syn_data_taken = text_bytes > 0
    if text_bytes:
        conn.receive_buffer.append(memoryview(syn.payload)[:text_bytes])
        tcb.rcv_nxt += text_bytes
        tcb.rcv_adv = max(tcb.rcv_adv, tcb.rcv_nxt)
        conn.bytes_received += text_bytes
    _begin(conn, now, syn_lost=False)
    conn.signal(Signal.ESTABLISHED)
    conn.signal(Signal.READABLE)


def segment_arrived(conn: Connection, seg: Segment, now: float) -> None:
    """3.10.7.3: a segment for a connection in SYN-SENT, the checks in the RFC's order."""
    tcb = conn.tcb
    if seg.flags & ACK and not tcb.iss < seg.ack <= tcb.snd_nxt:  # first
        conn.drops.append("tcp_syn_sent_bad_ack")
        if not tcb.retries and not tcb.syn_now:
            # Once, as Linux: of an old connection, which our reset ends (RFC 9293 section 3.5.1)
            tcb.timers[Timer.RETRANSMIT] = min(tcb.timers[Timer.RETRANSMIT], now + _AGAIN_S)
        if not seg.flags & RST:
            answer_with_reset(conn, seg)
        return
    if seg.flags & RST:  # second
        if seg.flags & ACK:
            conn.finish(errno.ECONNREFUSED)
        else:
            conn.drops.append("tcp_syn_sent_rst_without_ack")
        return
    if not seg.flags & SYN:  # fifth (third, security: not for us)
        conn.drops.append("tcp_syn_sent_no_syn")
        return
    _take_syn(conn, seg, now)  # fourth
    if not seg.flags & ACK:
        # Simultaneous open: our SYN, now with an ACK, goes out again.
        tcb.syn_now = True
        conn.enter(TcpState.SYN_RECEIVED)
        if conn.mute:  # as Linux: only here, not where a listener answers
            tcb.fin_seq = conn.send_buffer.end
        return
    acks.take_syn_ack(conn, seg, now)
    established(conn, now)
    if tcb.accurate is not None:
        # Bare, before any text, for its flags say what became of the SYN-ACK (RFC 9768 3.2.2.1).
        conn.outbox.append(output.acknowledgement(conn, now))
    elif conn.config.defer_accept_retries or tcb.ping_pong:  # text is to take it along
        tcb.timers[Timer.DELAYED_ACK] = now + _DEFERRED_ACK_S
    else:
        tcb.ack_now = True
    step_over_syn(conn, seg)
    text.take_text(conn, seg, now)
    text.take_fin(conn, seg, now)


def waits_for_text(conn: Connection, seg: Segment) -> bool:
    """Tell whether an ACK that would end the handshake is ignored: its listener wants text with it.

    As in Linux, our SYN-ACK is not sent again meanwhile. When its last copies are due, a bare ACK
    will do: a peer who has nothing to say first is not kept out (TCP_DEFER_ACCEPT).
    """
    if (
        conn.config.defer_accept_retries <= conn.tcb.retries
        or not conn.passive
        or conn.fast_opened
        or seg.seg_len
        or conn.receive_buffer.ranges
    ):
        return False
    conn.deferred = True
    conn.drops.append("tcp_accept_deferred")
    return True


def established(conn: Connection, now: float) -> None:
    """Enter ESTABLISHED: the handshake is over, its results hold from here on."""
    tcb = conn.tcb
    tcb.timers[Timer.RETRANSMIT] = float("inf")
    if tcb.syn_now:  # asked for earlier in this batch: an ACK does it now
        tcb.syn_now = False
        tcb.ack_now = True
    syn_lost = tcb.retries > 0
    if syn_lost:
        conn.rtt.syn_was_lost()
    tcb.retries = 0
    if not conn.fast_opened:
        _begin(conn, now, syn_lost=syn_lost)
    elif tcb.snd_nxt > tcb.snd_una:
        tcb.timers[Timer.RETRANSMIT] = now + conn.rtt.rto_s
    if conn.config.keepalive:
        timers.arm_keepalive(conn, now)
    conn.established_at = now
    conn.enter(TcpState.ESTABLISHED)
    conn.signal(Signal.ESTABLISHED)
    if len(conn.send_buffer):
        conn.signal(Signal.WRITABLE)


def _begin(conn: Connection, now: float, *, syn_lost: bool) -> None:
    """Choose what serves the connection, with what the handshake has agreed on."""
    conn.recovery = loss_recovery(conn.config.recovery, conn.tcb, conn.rtt)
    control.begin(conn, now, syn_lost=syn_lost)
    conn.tcb.idle_at = now
    receive_buffer.begin(conn, now)


def step_over_syn(conn: Connection, seg: Segment) -> None:
    """The SYN has been taken; what is left of its segment is text like any other."""
    seg.seq += 1
    seg.flags &= ~SYN
    text.trim(conn, seg)


def _take_syn(conn: Connection, seg: Segment, now: float) -> None:
    tcb = conn.tcb
    offered_bytes = tcb.rcv_wnd  # by our SYN, where it went out first
    tcb.irs = seg.seq
    tcb.rcv_nxt = tcb.last_ack_sent = seg.seq + 1
    tcb.rcv_adv = tcb.rcv_nxt + offered_bytes
    ecn.agree(conn, seg)
    theirs = tcp_options.parse(seg.options)
    negotiation.agree(conn, theirs, now)
    fast_open.answered(conn, theirs)
    if tcb.timestamps and theirs.timestamps is not None:
        seg.tsval, seg.tsecr = theirs.timestamps
    # The window field of a SYN is never scaled (RFC 7323 section 2.2).
    tcb.snd_wnd = tcb.max_snd_wnd = seg.wnd
    tcb.snd_wl1 = seg.seq
    tcb.snd_wl2 = unwrap(seg.ack, tcb.iss) if seg.flags & ACK else tcb.iss
