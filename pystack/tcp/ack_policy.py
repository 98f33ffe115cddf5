"""When to acknowledge (RFC 9293 section 3.8.6.3, RFC 5681 section 4.2), and which window to offer.

A segment that goes out anyway carries the ACK with it; `acknowledged` is told of each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from pystack.tcp.tcb import NEVER, Timer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb

# How many of its buffers a connection may promise to take, where windows are rounded up
MAX_BUFFERS: Final = 2
# What a reader is given room for while the host is short of memory; as Linux.
PRESSED_SEGMENTS: Final = 4
TICK_S: Final = 0.001  # of Linux's clock: the shortest delay of an ACK
_SYN_WINDOW: Final = 0xFFFF  # the largest that a SYN can offer, whose window has no scale


def text_arrived(conn: Connection, now: float, size: int) -> None:
    """Text came in order: acknowledge more than one full segment at once, else within the delay.

    At once too where delay would only slow a sender down that has just begun (as Linux).
    """
    tcb = conn.tcb
    if size > tcb.ack_mss:
        tcb.ack_mss = min(size, tcb.rcv_mss)  # what a full segment of this peer is
    if now - tcb.text_at > conn.rtt.rto_s and not tcb.ping_pong:
        be_quick(conn)  # it begins, or begins again
    tcb.text_at = now
    if tcb.quick_acks or tcb.rcv_nxt - tcb.last_ack_sent > tcb.ack_mss:
        tcb.ack_now = True
    elif tcb.timers[Timer.DELAYED_ACK] == NEVER:
        tcb.timers[Timer.DELAYED_ACK] = now + conn.config.delayed_ack_s


def be_quick(conn: Connection, most: int = 1 << 30) -> None:
    """Delay none of the next ACKs: as many as let half a window arrive, and not too many."""
    tcb = conn.tcb
    count = max(2, tcb.rcv_wnd // (2 * tcb.ack_mss))
    tcb.ping_pong = False
    tcb.quick_acks = max(tcb.quick_acks, min(count, most, conn.config.quick_acks))


def answer_expected(tcb: Tcb) -> None:
    """Text of ours, or our FIN, will follow soon and take the ACK along."""
    tcb.ping_pong = True
    tcb.quick_acks = 0


def fin_arrived(conn: Connection, now: float) -> None:
    """The peer has ended its side, and the user has not: his own FIN takes the ACK along.

    As Linux: whoever serves a request closes as soon as the client does. Else it goes within the
    delay; where there was no text either, and so no request, by the next tick of its clock.
    """
    tcb = conn.tcb
    if not tcb.ack_now and tcb.timers[Timer.DELAYED_ACK] == NEVER:
        delay_s = conn.config.delayed_ack_s
        if tcb.text_at == -math.inf:
            delay_s = min(delay_s, TICK_S)
        tcb.timers[Timer.DELAYED_ACK] = now + delay_s


def text_sent(conn: Connection, now: float) -> None:
    """Our text went out: where it answers what came just now, it takes the ACK along from here on.

    Linux calls that a ping-pong, and delays its ACKs then, whatever it was about to do.
    """
    tcb = conn.tcb
    if not tcb.ping_pong and (
        now - tcb.text_at < conn.config.delayed_ack_s
        # With the ACK of the SYN-ACK, if Fast Open did not fail: it has waited for that.
        or (tcb.ack_now and tcb.text_at == -math.inf and conn.syn_data_acked)
    ):
        answer_expected(tcb)


def acknowledged(conn: Connection) -> None:
    """A segment went out with ACK = RCV.NXT."""
    tcb = conn.tcb
    tcb.last_ack_sent = tcb.rcv_nxt
    tcb.timers[Timer.DELAYED_ACK] = NEVER
    if tcb.ack_now:
        tcb.ack_now = False
        if tcb.quick_acks:
            tcb.quick_acks -= 1


def challenge(conn: Connection, now: float) -> None:
    """Answer a segment that can't be right with an ACK, now and then (RFC 5961 section 7).

    Two ends that disagree would answer each other's answers for ever; and strangers would have the
    host send as much as they like.
    """
    tcb = conn.tcb
    if now - tcb.challenged_at < conn.config.challenge_interval_s:
        conn.drops.append("tcp_challenge_limited")
        return
    tcb.challenged_at = now
    shared = conn.shared
    if not shared.challenges.take(now):
        conn.drops.append("tcp_challenge_limited_host")
        return
    shared.counters.add("tcp_challenge_acks")
    tcb.ack_now = True


def window_field(conn: Connection, *, syn: bool = False) -> int:
    """Return the window field for a segment that goes out now, and remember what it promises.

    The right edge does not move back (RFC 9293 SHLD-14; but see `_rounded_up`), and forward only by
    a step that is worth it: silly window avoidance, section 3.8.6.2.2.
    """
    tcb = conn.tcb
    shift = 0 if syn else tcb.rcv_wind_shift or 0
    rcv_nxt, rcv_adv = tcb.rcv_nxt, tcb.rcv_adv
    free_bytes = _free_bytes(conn)
    offered = rcv_adv - rcv_nxt
    step = free_bytes - offered
    if step > 0 and (step >= tcb.rcv_mss or step >= tcb.rcv_buf_bytes // 2):
        # Rounded down; but up where scaling would leave nothing of it, for ever.
        field = free_bytes >> shift or 1
        if field << shift < offered:
            field = _rounded_up(conn, offered, shift)
    else:
        field = offered >> shift
        if field << shift != offered:
            field = _rounded_up(conn, offered, shift)
    if field > 0xFFFF:
        field = 0xFFFF
    edge = rcv_nxt + (field << shift)
    if edge > rcv_adv:
        tcb.rcv_adv = edge
    return field


def _rounded_up(conn: Connection, offered: int, shift: int) -> int:
    """Return the field that keeps what was offered.

    What scaling would cut off is rounded up, as in Linux: the edge goes on by a part of a unit.
    Segments of less than a unit could push it along so for ever, whoever reads or not. So there is
    an end to it, where the window shrinks by the part after all (RFC 7323 section 2.4 has senders
    bear with that).
    """
    field = offered + (1 << shift) - 1 >> shift
    if field << shift > offered:
        most_bytes = MAX_BUFFERS * conn.tcb.rcv_buf_bytes + (1 << shift)
        if conn.receive_buffer.readable_bytes + (field << shift) > most_bytes:
            return offered >> shift
    return field


def data_was_read(conn: Connection) -> None:
    """The user made room: tell the peer when the window it knows of is less than half as large.

    Of the two conditions of section 3.8.6.2.2 this is the one that keeps pure window updates rare;
    Linux has the same.
    """
    tcb = conn.tcb
    free = min(_free_bytes(conn), 0xFFFF << (tcb.rcv_wind_shift or 0))  # more can't be told
    offered = tcb.rcv_wnd
    # Only a SYN has told a window so far (with Fast Open, from the end of its text), which can't
    # tell of a larger one. But it is large enough: the next segment of ours will tell.
    if offered > _SYN_WINDOW // 2 and tcb.rcv_adv <= tcb.irs + 1 + 2 * _SYN_WINDOW:
        return
    if free >= 2 * offered and free - offered >= min(tcb.rcv_buf_bytes // 2, tcb.rcv_mss):
        tcb.ack_now = True


def _free_bytes(conn: Connection) -> int:
    limit = conn.tcb.rcv_buf_bytes
    if conn.shared.memory.pressed:
        limit = min(limit, PRESSED_SEGMENTS * conn.tcb.rcv_mss)
    return limit - conn.receive_buffer.readable_bytes
