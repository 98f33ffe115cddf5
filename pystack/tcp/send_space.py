"""How much a user may have queued: a buffer that grows with the window, or less by his choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.events import Signal

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# While the host is short of memory; as Linux's default, the second of tcp_wmem
PRESSED_SEND_BUFFER_BYTES: Final = 16 << 10


def limit_bytes(conn: Connection) -> int:
    """Return how large the send buffer may be now.

    As Linux's, it holds two windows: one in flight, and one to be sent when that is acknowledged.
    """
    config = conn.config
    limit = config.send_buffer_bytes
    if conn.shared.memory.pressed:
        return min(limit, PRESSED_SEND_BUFFER_BYTES)
    wanted = 2 * conn.congestion.cwnd_bytes
    return min(wanted, config.send_limit_bytes) if wanted > limit else limit


def room_bytes(conn: Connection) -> int:
    """Return how much more may be queued now."""
    buffer = conn.send_buffer
    room = limit_bytes(conn) - len(buffer)
    lowat = conn.config.notsent_lowat_bytes
    if lowat is not None:
        room = min(room, lowat - (buffer.end - max(conn.tcb.snd_nxt, buffer.start)))
    return max(room, 0)


def writable(conn: Connection) -> bool:
    """Tell whether there is enough room to wake a user for it: a quarter, as Linux's third."""
    buffer = conn.send_buffer
    if len(buffer) > limit_bytes(conn) * 3 // 4:
        return False
    lowat = conn.config.notsent_lowat_bytes
    return lowat is None or buffer.end - conn.tcb.snd_nxt <= lowat // 2


def must_wait(conn: Connection) -> bool:
    """Tell, after a write that was not taken whole, whether its user has to wait for the rest.

    What was queued may have gone out with that very write, and who does not wait yet hears of no
    room that this has made.
    """
    conn.write_blocked = room_bytes(conn) == 0
    return conn.write_blocked


def wake_writer(conn: Connection) -> None:
    """Wake a user that waits for room."""
    if writable(conn):
        conn.write_blocked = False
        conn.signal(Signal.WRITABLE)
