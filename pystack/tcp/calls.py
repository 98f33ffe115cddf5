"""The user's calls (RFC 9293 section 3.10.2 to 3.10.5)."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pystack.tcp import ack_policy, control, output, receive_buffer, send_buffer, timers
from pystack.tcp.states import MAY_RECEIVE, MAY_WRITE, OVER, TcpState
from pystack.tcp.tcb import Timer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# States in which the peer has a connection, or is about to: in SYN-RECEIVED too, where Fast Open
# brings text with the SYN
_PEER_MAY_WRITE: Final = MAY_RECEIVE | {TcpState.SYN_RECEIVED, TcpState.CLOSE_WAIT}


def write(conn: Connection, data: memoryview, now: float, *, more_comes: bool = False) -> int:
    """SEND: queue as much as there is room for. BrokenPipeError after close, or at the end.

    `more_comes`: a short segment may wait for it (MSG_MORE).
    """
    if conn.state not in MAY_WRITE or conn.tcb.fin_seq is not None:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    conn.tcb.more_comes = conn.tcb.unpushed = more_comes
    size = min(send_buffer.room_bytes(conn), len(data))
    if size > 0:
        if conn.tcb.waiting_at > now:
            conn.tcb.waiting_at = now
        conn.send_buffer.append(data[:size])
    conn.write_blocked = size < len(data)
    return size


def set_no_delay(conn: Connection, *, no_delay: bool) -> None:
    """Switch Nagle's rule off or on. Off, what is held back now goes, by a cork too (as Linux)."""
    conn.tcb.no_delay = no_delay
    if no_delay and conn.send_buffer.end > max(conn.tcb.snd_nxt, conn.tcb.iss + 1):
        conn.tcb.cork_over = True


def cork(conn: Connection, *, corked: bool) -> None:
    """Hold short segments back until there is more, for 200 ms at most; or let them go."""
    conn.tcb.cork = corked
    if not corked:
        conn.tcb.more_comes = False


def configure(conn: Connection, now: float, **changes: Any) -> None:  # noqa: ANN401 - fields
    """Change fields of the connection's own configuration. ConfigError for what can't be."""
    before = conn.config
    conn.config = replace(before, **changes)
    if "window_clamp_bytes" in changes:
        conn.tcb.rcv_buf_max_bytes = conn.config.receive_limit_bytes
        conn.tcb.rcv_buf_bytes = min(conn.tcb.rcv_buf_bytes, conn.tcb.rcv_buf_max_bytes)
    if conn.established_at is None or conn.state is TcpState.CLOSED:
        if "congestion" in changes:
            control.name(conn)
        return  # it is read when the handshake is over
    if any(name.startswith("keepalive") for name in changes):
        timers.arm_keepalive(conn, now)
    # The one that it has already stays as it is, with all that it has learnt (as in Linux)
    if "congestion" in changes and conn.config.congestion != before.congestion:
        try:
            control.change(conn, now)
        except BaseException:
            conn.config = before
            raise


def read(conn: Connection, max_bytes: int, now: float) -> bytes:
    """RECEIVE: give what is in order, and tell the peer of the room where it should know."""
    data = conn.receive_buffer.read(max_bytes)
    if data and conn.state in MAY_RECEIVE:
        receive_buffer.user_has_read(conn, now)
        ack_policy.data_was_read(conn)
    return data


def close(conn: Connection, now: float) -> None:
    """CLOSE: our FIN follows what is queued. A second time does nothing."""
    tcb = conn.tcb
    if tcb.fin_seq is not None or conn.state in OVER:
        return
    if conn.state is TcpState.SYN_SENT:
        conn.finish(None)
        return
    tcb.fin_seq = conn.send_buffer.end
    tcb.waiting_at = min(tcb.waiting_at, now)
    if conn.state is TcpState.ESTABLISHED:
        conn.enter(TcpState.FIN_WAIT_1)
    elif conn.state is TcpState.CLOSE_WAIT:
        conn.enter(TcpState.LAST_ACK)
    # in SYN-RECEIVED it waits until the handshake is over


def release(conn: Connection, now: float) -> None:
    """CLOSE by a user that will not read any more, either."""
    conn.released = conn.is_deaf = True
    unread = conn.receive_buffer.readable_bytes or conn.receive_buffer.ranges
    if unread and conn.state in _PEER_MAY_WRITE:
        abort(conn, now)  # RFC 2525 section 2.17: the peer should know that data was lost
        return
    conn.receive_buffer.clear()
    close(conn, now)
    if conn.state is TcpState.FIN_WAIT_2 and not conn.config.fin_wait_2_s:
        abort(conn, now)
    elif conn.state is TcpState.FIN_WAIT_2:
        conn.tcb.timers[Timer.TIME_WAIT] = now + conn.config.fin_wait_2_s


def abort(conn: Connection, now: float, error: int | None = None) -> None:
    """ABORT: RST where the peer may have a connection too, and nothing is kept.

    `error`: what the user is told, where it is not he who wants it.
    """
    if conn.state in _PEER_MAY_WRITE:
        conn.outbox.append(output.reset(conn, now))
    conn.finish(error)
