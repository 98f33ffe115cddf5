"""Selective acknowledgements, the receiver's half (RFC 2018), with duplicates told (RFC 2883)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp import accurate_ecn, timestamps
from pystack.wire.tcp_options import MAX_BYTES, pack_sack

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection
    from pystack.tcp.tcb import Tcb

_LEAD_BYTES: Final = 4  # two NOPs, kind, length
_BLOCK_BYTES: Final = 8


def due(conn: Connection) -> bool:
    """Tell whether an ACK that goes out now has more to say than its number."""
    tcb = conn.tcb
    return tcb.sack_permitted and bool(tcb.dsack or conn.receive_buffer.ranges or _fin_waits(tcb))


def came_twice(tcb: Tcb, left: int, right: int) -> None:
    """Remember what arrived although it was here, for the next ACK (RFC 2883 section 4)."""
    if tcb.sack_permitted and left < right:
        tcb.dsack = (left, right)


def option(conn: Connection, room_bytes: int) -> bytes:
    """Return the option for an ACK that goes out now; empty where nothing of it fits.

    RFC 2018 section 4: the block that changed last comes first, behind what came twice; the others
    in the order in which they changed, so that each block is told of several times.
    """
    tcb = conn.tcb
    room_bytes = min(room_bytes, MAX_BYTES - timestamps.OPTION_BYTES * tcb.timestamps)
    if tcb.accurate is not None:
        room_bytes -= accurate_ecn.reserved_bytes(tcb.accurate)
    most = (room_bytes - _LEAD_BYTES) // _BLOCK_BYTES
    if most <= 0:
        return b""
    blocks = []
    if tcb.dsack is not None:
        blocks.append(tcb.dsack)
        tcb.dsack = None
        conn.dsacks_sent += 1
    for left, right in conn.receive_buffer.out_of_order.newest_first():
        if len(blocks) == most:
            break
        # A FIN that waits behind the gap has a number too.
        blocks.append((left, right + (right == tcb.rcv_fin_seq)))
    fin = tcb.rcv_fin_seq
    if fin is not None and tcb.rcv_nxt < fin and len(blocks) < most:
        # Where it came without text before it, nothing has told of it yet.
        told = any(right == fin + 1 for _, right in blocks)
        blocks += [] if told else [(fin, fin + 1)]
    return pack_sack(blocks)


def _fin_waits(tcb: Tcb) -> bool:
    return tcb.rcv_fin_seq is not None and tcb.rcv_nxt < tcb.rcv_fin_seq
