"""Whether a SOCK_STREAM socket can be read from or written to at once, as poll(2) of Linux says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket import urgent_byte
from pystack.runtime.socket.option_table import SOCKET
from pystack.runtime.socket.stream_options import OVER, peer_is_done
from pystack.tcp import send_space
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.runtime.socket.stream_ends import StreamEnd


def is_readable(end: StreamEnd) -> bool:
    """Tell whether receiving or accepting would return (or raise) at once."""
    if end.listener is not None:
        return bool(end.listener.ready) or end.listener.broken
    if end.socket is None:
        return True  # as poll() finds a socket that is not connected: POLLHUP
    connection = end.socket.connection
    waiting = connection.receive_buffer.readable_bytes
    if waiting and connection.tcb.rcv_up and not end.flag(SOCKET, numbers.SO_OOBINLINE):
        waiting -= urgent_byte.offset_of(end.socket) == 0
    # Never more than half of the buffer as it is, or it could wait for ever
    most = max(1, connection.tcb.rcv_buf_bytes // 2)
    wanted = min(end.options.number(SOCKET, numbers.SO_RCVLOWAT), most) if end.waits_for_more else 1
    return (
        end.read_shut
        or waiting >= wanted
        or peer_is_done(end.socket)
        or bool(end.soft_error or (end.notices and end.notices.queue))
        or connection.state in OVER
    )


def try_writable(end: StreamEnd) -> bool | None:
    """Tell whether sending would not have to wait; None: not now, and it will be told when."""
    connected = end.socket
    if end.listener is not None:
        return None  # as poll(2) says
    if connected is None or end.write_shut or end.deferred:
        return True
    connection = connected.connection
    # As for poll(2) in Linux, a good part of the buffer must be free: as for WRITABLE.
    if connection.state is TcpState.CLOSED or (
        connection.state is not TcpState.SYN_SENT and send_space.writable(connection)
    ):
        return True
    connection.write_blocked = True
    return None
