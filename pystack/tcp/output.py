"""What to send now: RFC 9293 sections 3.8.1 to 3.8.6 from the sender's side.

`next_segment` is asked until it has nothing: what is lost first, then new data and the FIN, then an
ACK that is due by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.tcp_events import TcpRetransmitted
from pystack.tcp import (
    accurate_ecn,
    ack_policy,
    acks,
    ecn,
    fast_open,
    negotiation,
    path_mtu,
    sack,
    send_buffer,
    timestamps,
    urgent,
)
from pystack.tcp.ack_policy import acknowledged, window_field
from pystack.tcp.pacing import Pacer
from pystack.tcp.recovery.base import Lost
from pystack.tcp.seq import MASK
from pystack.tcp.states import MAY_SEND, TcpState
from pystack.tcp.tcb import NEVER, Timer
from pystack.tcp.timers import arm_persist
from pystack.wire.checksum import Buffer
from pystack.wire.tcp import ACK, ECE, FIN, PSH, RST, SYN, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

CORK_S: Final = 0.2  # as Linux holds back what is corked, at most


def next_segment(conn: Connection, now: float) -> Segment | None:
    """Return the next segment that is due, with all that follows from sending it done."""
    tcb = conn.tcb
    if conn.held_ack is not None:
        acks.take_held(conn, now)
    if conn.outbox:
        return conn.outbox.pop(0)
    if tcb.syn_now:
        return _syn(conn, now)
    if tcb.ack_now and (sack.due(conn) or accurate_ecn.goes_alone(conn)):
        # By itself: the next text is a full segment as a rule, without room for either option.
        return acknowledgement(conn, now)
    if conn.state in MAY_SEND or (conn.fast_opened and conn.state is TcpState.SYN_RECEIVED):
        segment = None
        if conn.recovery.repairing:
            segment = _again_or_text(conn, now)
        elif (
            conn.send_buffer.end > tcb.snd_nxt or tcb.fin_seq is not None or conn.rates is not None
        ):
            segment = _new_text(conn, now)
        if segment is not None:
            return segment
    if tcb.probe_now:
        # Like Linux, a probe is an ACK for a byte that was acknowledged long ago: it must be
        # answered, and it does not put a byte in flight that the peer has no room for.
        tcb.probe_now = False
        conn.events.append(TcpRetransmitted(reason="probe", seq=tcb.snd_una - 1 & MASK))
        probe = _segment(conn, tcb.snd_una - 1, ACK, now)
        if tcb.accurate is not None:
            ecn.mark(conn, probe, again=True)
        return probe
    if tcb.ack_now and conn.state is not TcpState.CLOSED:
        return acknowledgement(conn, now)
    return None


def acknowledgement(conn: Connection, now: float) -> Segment:
    """Return an ACK of all that has been taken so far."""
    segment = _segment(conn, conn.tcb.snd_nxt, ACK, now)
    if conn.tcb.ecn:
        ecn.mark(conn, segment, again=True)
    return segment


def reset_for(seg: Segment) -> Segment:
    """Return the RST that answers a segment for which there is no connection (3.10.7.1)."""
    if seg.flags & ACK:
        return Segment(seg.dst_port, seg.src_port, seg.ack, 0, RST, 0)
    return Segment(seg.dst_port, seg.src_port, 0, seg.seq + seg.seg_len, RST | ACK, 0)


def answer_with_reset(conn: Connection, seg: Segment) -> None:
    """Answer a segment as if there were no connection."""
    conn.segments_sent += 1
    conn.outbox.append(reset_for(seg))


def reset(conn: Connection, now: float) -> Segment:
    """Return the RST that ends a connection from our side (3.10.5)."""
    tcb = conn.tcb
    conn.segments_sent += 1
    options = timestamps.option(tcb, now) if tcb.timestamps else b""  # RFC 7323 section 3.2
    segment = Segment(
        conn.local_port,
        conn.remote_port,
        tcb.snd_nxt,
        tcb.rcv_nxt,
        RST | ACK,
        window_field(conn),  # which nobody looks at; as Linux has it
        options,
    )
    if tcb.ecn:
        ecn.mark(conn, segment, again=True)
    return segment


def _syn(conn: Connection, now: float) -> Segment:
    tcb = conn.tcb
    tcb.syn_now = False
    first = tcb.timers[Timer.RETRANSMIT] == NEVER and not tcb.retries
    if first:
        tcb.rtt_seq, tcb.rtt_at = tcb.iss + 1, now
    else:
        tcb.rtt_seq = None  # Karn
        conn.retransmits += 1
        reason = "rto" if tcb.retries else "syn"
        conn.events.append(_sent_again(conn, reason, tcb.iss, 0))
    tcb.snd_nxt = max(tcb.snd_nxt, tcb.iss + 1)
    tcb.timers[Timer.RETRANSMIT] = now + conn.rtt.rto_s
    flags = SYN if conn.state is TcpState.SYN_SENT else SYN | ACK
    segment = _segment(conn, tcb.iss, flags | ecn.syn_flags(conn), now)
    if tcb.ecn:
        ecn.mark(conn, segment, again=True)
    segment.options = negotiation.syn_options(conn, now)
    if first and conn.fast_open is not None:
        fast_open.add_text(conn, segment)
    return segment


def _again_or_text(conn: Connection, now: float) -> Segment | None:
    """Send what is lost first, then new text; then, in recovery, what may be lost."""
    recovery = conn.recovery
    lost = recovery.next_lost()
    segment = None
    if lost is not None:
        if lost.reason == "tlp":
            segment = _new_text(conn, now, probe=True)
        segment = segment or _retransmission(conn, lost, now)
    segment = segment or _new_text(conn, now)
    if segment is None:
        spare = recovery.next_spare()
        if spare is not None:
            segment = _retransmission(conn, spare, now)
    return segment


def _retransmission(conn: Connection, lost: Lost, now: float) -> Segment | None:
    """Send again what loss recovery names, as far as the windows let it."""
    tcb = conn.tcb
    seq, size, forced, reason = lost
    size = min(size, tcb.snd_mss)
    if conn.send_buffer.record_ends:
        size = conn.send_buffer.in_record(seq, size)
    if not forced:
        if size > _room(conn):
            tcb.cwnd_limited_seq = tcb.snd_nxt
            return None
        if seq + size > tcb.snd_una + tcb.snd_wnd:
            return None
        if conn.pacer is not None and not conn.pacer.room_bytes(conn, now):
            return None
    end = conn.send_buffer.end
    text_bytes = min(size, end - seq)
    fin = tcb.fin_seq is not None and seq + text_bytes == tcb.fin_seq < tcb.snd_nxt
    # A last segment that was short has its FIN sent again with it.
    conn.recovery.on_retransmitted(seq, text_bytes + fin, now)
    if conn.prr is not None:
        conn.prr.on_sent(text_bytes + fin)
    if conn.pacer is not None:
        conn.pacer.on_sent(conn, text_bytes, now)
    conn.retransmits += 1
    conn.bytes_retransmitted += text_bytes
    if tcb.path is not None:
        path_mtu.sent_again(conn, seq, now)
    conn.events.append(_sent_again(conn, reason, seq, text_bytes))
    tcb.rtt_seq, tcb.karn_seq = None, tcb.snd_nxt  # Karn (RFC 6298 section 3)
    if tcb.timers[Timer.RETRANSMIT] == NEVER:
        tcb.timers[Timer.RETRANSMIT] = now + conn.rtt.rto_s
    return _text(conn, seq, text_bytes, now, fin=fin, again=True)


def _sent_again(conn: Connection, reason: str, seq: int, text_bytes: int) -> TcpRetransmitted:
    """Return what observers are told of a retransmission, with what made it due just now."""
    if not conn.shared.watchers:
        return TcpRetransmitted(reason=reason, seq=seq & MASK, payload_bytes=text_bytes)
    rtt, loss = conn.rtt, conn.recovery.info()
    return TcpRetransmitted(
        reason=reason,
        seq=seq & MASK,
        payload_bytes=text_bytes,
        timer_s=rtt.ran_out_s if reason == "rto" else loss.pto_s if reason == "tlp" else 0.0,
        srtt_s=rtt.srtt_s or 0.0,
        rttvar_s=rtt.rttvar_s,
        reo_wnd_s=loss.reo_wnd_s,
    )


def _new_text(conn: Connection, now: float, *, probe: bool = False) -> Segment | None:
    """Send what was never sent, as far as windows, Nagle and silly-window avoidance let it.

    A tail loss probe goes by the peer's window alone (RFC 8985 section 7.3).
    """
    tcb = conn.tcb
    unsent = conn.send_buffer.end - tcb.snd_nxt
    fin_due = tcb.fin_seq is not None and tcb.snd_nxt <= tcb.fin_seq
    if unsent <= 0 and not fin_due:
        if conn.rates is not None:
            _note_user_limit(conn)
        return None
    last_record = True  # of what is queued
    if conn.send_buffer.record_ends:
        queued, unsent = unsent, conn.send_buffer.in_record(tcb.snd_nxt, unsent)
        last_record = unsent == queued
    window_room = tcb.snd_una + tcb.snd_wnd - tcb.snd_nxt
    larger = False  # than is known to get through: a probe of the path's MTU
    if probe:
        size = min(unsent, window_room, tcb.snd_mss)
        if size <= 0:
            return None
    elif tcb.path is not None and unsent > tcb.snd_mss and last_record:
        size = path_mtu.next_probe(conn, unsent, window_room, _room(conn), now)
        if size == path_mtu.WAIT:
            return None
        larger = size > 0
        size = size or _usable(conn, unsent, window_room, now)
    elif unsent > 0:
        size = _usable(conn, unsent, window_room, now, last_record=last_record)
    else:
        size = 0
    if size > 0 and conn.pacer is not None and not probe:
        size = _paced(conn, conn.pacer, size, now)
        if not size:
            return None
    fin = fin_due and last_record and size == unsent and window_room > size
    if size == 0 and not fin:
        if window_room < min(unsent, tcb.snd_mss) <= _room(conn) and now < tcb.window_limited_at:
            tcb.window_limited_at = now
        if tcb.snd_nxt == tcb.snd_una:
            # nothing in flight whose ACK would wake us
            arm_persist(conn, now, closed=window_room <= 0)
        return None
    seq = tcb.snd_nxt
    _note_new(conn, size, size + fin, now)
    segment = _text(conn, seq, size, now, fin=fin, again=False)
    if larger:
        segment.in_one_piece()
        segment.gso_bytes = 0  # whole, however large: that is what it is to find out
    return segment


def _note_new(conn: Connection, size: int, seg_len: int, now: float) -> None:
    """So much goes out for the first time: tell whoever goes by it."""
    tcb = conn.tcb
    seq = tcb.snd_nxt
    if seq == tcb.snd_una:
        conn.congestion.on_idle(now, now - tcb.idle_at, conn.rtt.rto_s)
        tcb.flight_at = now
    tcb.snd_nxt += seg_len
    tcb.probe_now = False
    timers = tcb.timers
    if size % tcb.snd_mss:
        tcb.snd_sml = tcb.snd_nxt
        tcb.cork_over = False
        timers[Timer.CORK] = NEVER
    elif tcb.full_seq is None and size:
        tcb.full_seq = seq + tcb.snd_mss
    if tcb.rtt_seq is None:
        tcb.rtt_seq, tcb.rtt_at = tcb.snd_nxt, now
    if timers[Timer.RETRANSMIT] == NEVER:
        timers[Timer.RETRANSMIT] = now + conn.rtt.rto_s  # RFC 6298 (5.1)
    timers[Timer.PERSIST] = NEVER
    tcb.persist_backoff = 0  # there was room
    if tcb.window_limited_at <= now:
        tcb.window_limited_s += now - tcb.window_limited_at
        tcb.window_limited_at = NEVER
    conn.recovery.on_sent(seq, now)
    if conn.prr is not None:
        conn.prr.on_sent(size)
    if conn.pacer is not None:
        conn.pacer.on_sent(conn, size, now)
    conn.congestion.on_sent(size, now)
    if conn.write_blocked and conn.config.notsent_lowat_bytes is not None:
        send_buffer.wake_writer(conn)


def _paced(conn: Connection, pacer: Pacer, size: int, now: float) -> int:
    """Return as much of it as one quantum has; 0 for not yet."""
    quantum_bytes = pacer.room_bytes(conn, now)
    if size <= quantum_bytes:
        return size
    return quantum_bytes // conn.tcb.snd_mss * conn.tcb.snd_mss


def _note_user_limit(conn: Connection) -> None:
    """There is nothing to send, and the window would let it (BBR draft, section 4.1.2.4)."""
    rates, recovery = conn.rates, conn.recovery
    pipe_bytes = recovery.pipe_bytes()
    window_left = pipe_bytes < conn.congestion.cwnd_bytes
    if rates is not None and window_left and recovery.next_lost() is None:
        rates.limited_by_user(pipe_bytes)


def _room(conn: Connection) -> int:
    """Return how much more may be in flight: where nothing is, one segment at least.

    No window is smaller than that (RFC 5681 section 3.1, the loss window). But it is in bytes, and
    segments may have become larger since. Where nothing is in flight, no ACK would make it grow.
    """
    pipe_bytes = conn.recovery.pipe_bytes()
    prr = conn.prr
    room = conn.congestion.cwnd_bytes - pipe_bytes if prr is None else prr.room_bytes
    if pipe_bytes <= 0 and room < conn.tcb.snd_mss:
        return conn.tcb.snd_mss
    return room


def _usable(
    conn: Connection, unsent: int, window_room: int, now: float, *, last_record: bool = True
) -> int:
    """Return how many bytes may go now in one segment (or super-frame); 0 for none yet.

    `last_record`: what may join a short segment is not written yet: to wait for it has a point.
    """
    tcb = conn.tcb
    mss = tcb.snd_mss
    cwnd_room = _room(conn)
    if cwnd_room < min(unsent, mss):
        tcb.cwnd_limited_seq = tcb.snd_nxt
        return 0
    most = max(mss, conn.gso_max_bytes // mss * mss)
    if tcb.snd_up > tcb.snd_nxt:
        most = mss  # each segment has a pointer of its own
    size = min(unsent, window_room, cwnd_room, most)
    if size <= 0:
        return 0
    tail = size % mss
    if not tail or (size == unsent and (not last_record or _short_may_go(conn, now))):
        return size
    if size >= mss:
        return size - tail
    # Less than a segment, and held up by the window: RFC 9293 section 3.8.6.2.1, (3) and (4)
    if size < unsent and (2 * size >= tcb.max_snd_wnd or tcb.probe_now):
        return size
    return 0


def _short_may_go(conn: Connection, now: float) -> bool:
    """Tell whether a last, short segment may go (Nagle, RFC 9293 section 3.7.4).

    With Minshall's change, as in Linux: it waits only for another short one, not for full ones.
    A cork holds it back by itself, until it has waited for long enough.
    """
    tcb = conn.tcb
    if tcb.fin_seq is not None:
        return True
    if tcb.cork or tcb.more_comes:
        if not tcb.cork_over and tcb.timers[Timer.CORK] == NEVER:
            tcb.timers[Timer.CORK] = now + CORK_S
        return tcb.cork_over
    return tcb.no_delay or tcb.snd_sml <= tcb.snd_una


def _text(conn: Connection, seq: int, size: int, now: float, *, fin: bool, again: bool) -> Segment:
    tcb = conn.tcb
    flags = ACK
    payload: Buffer = b""
    more: list[Buffer] = []
    if size:
        if size > tcb.snd_mss:
            payload, *more = conn.send_buffer.pieces(seq, size)
        else:
            payload = conn.send_buffer.slice(seq, size)
        end = seq + size
        # As Linux: at the end of what is queued (unless MSG_MORE came with it), when half a window
        # was not pushed, and on super-frames, so that whoever gathers segments hands them on.
        if (
            (end == conn.send_buffer.end and not tcb.unpushed)
            or size > tcb.snd_mss
            or end - tcb.pushed_seq > tcb.max_snd_wnd >> 1
            or (conn.send_buffer.record_ends and conn.send_buffer.ends_record(end))
        ):
            flags |= PSH
            tcb.pushed_seq = end
        conn.bytes_sent += size
        ack_policy.text_sent(conn, now)
    if fin:
        flags |= FIN
    segment = _segment(conn, seq, flags, now, size)
    segment.payload = payload
    if size > tcb.snd_mss:
        segment.gso_bytes = tcb.snd_mss
        segment.more = more
    if seq < tcb.snd_up:
        urgent.mark(segment, seq, tcb.snd_up)
    if tcb.ecn:
        ecn.mark(conn, segment, again=again)
    return segment


def _segment(conn: Connection, seq: int, flags: int, now: float, text_bytes: int = 0) -> Segment:
    tcb = conn.tcb
    conn.segments_sent += 1
    window = window_field(conn, syn=bool(flags & SYN))
    ack = 0
    if flags & ACK:
        ack = tcb.rcv_nxt
        acknowledged(conn)
        if tcb.ece_now:
            flags |= ECE
    options = timestamps.option(tcb, now) if tcb.timestamps else b""
    if (
        tcb.dsack is not None or tcb.rcv_fin_seq is not None or conn.receive_buffer.ranges
    ) and sack.due(conn):
        options += sack.option(conn, tcb.snd_mss - text_bytes)
    return Segment(conn.local_port, conn.remote_port, seq, ack, flags, window, options)
