"""Urgent data: a pointer, and nothing more (RFC 9293 section 3.8.5, RFC 6093).

The text stays in line; nothing is taken out of it. The pointer says where its urgent part ends: at
the octet after the last urgent one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.events import Signal
from pystack.tcp.states import MAY_RECEIVE
from pystack.wire.tcp import URG, Segment

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_MAX_POINTER: Final = 0xFFFF


def mark(segment: Segment, seq: int, snd_up: int) -> None:
    """Put the pointer on a segment that begins at `seq`, before the end of what is urgent."""
    segment.flags |= URG
    segment.up = min(snd_up - seq, _MAX_POINTER)  # as far as it reaches; later ones say the rest


def pointer_arrived(conn: Connection, seg: Segment, seq: int) -> None:
    """Sixth check: tell the user of a pointer that is new or moves on. `seq`: before trimming."""
    tcb = conn.tcb
    end = seq + seg.up
    if conn.state in MAY_RECEIVE and end > tcb.rcv_up and end > tcb.rcv_nxt:
        tcb.rcv_up = end
        conn.signal(Signal.URGENT)


def unread_bytes(conn: Connection) -> int:
    """Return how much there is to be read up to the end of what is urgent, arrived or not."""
    tcb = conn.tcb
    end = tcb.rcv_nxt
    if tcb.rcv_fin_seq is not None:
        end = min(end, tcb.rcv_fin_seq)  # the FIN is no text
    return max(0, tcb.rcv_up - (end - conn.receive_buffer.readable_bytes))
