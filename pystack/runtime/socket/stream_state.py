"""What a SOCK_STREAM socket is read as: its options, whether it is ready, its data and urgent byte.

The urgent byte is what BSD programs know: read out of line by MSG_OOB, left out of the rest. For
TCP it stays in line (RFC 6093); it is the last byte before where the peer's pointer points.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import is_v6
from pystack.core.errors import error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket import tcp_sockopts
from pystack.runtime.socket.option_table import IP, IPV6, SOCKET, TCP, Option
from pystack.runtime.socket.socket_calls import MSG_OOB, MSG_TRUNC, Received
from pystack.runtime.socket.tcp_sockopts import Key
from pystack.tcp import send_buffer, urgent
from pystack.tcp.states import OVER, TcpState

if TYPE_CHECKING:
    from pystack.runtime.socket.stream_ends import StreamEnd
    from pystack.stack.tcp_socket import TcpSocket

# Linux has no socket in TIME-WAIT: for its user it is closed, as for all who ask for `OVER`.
NO_PEER: Final = OVER | {TcpState.SYN_SENT}


def speaks_v6(end: StreamEnd) -> bool:
    """Tell whether its connection is one of IPv6; not one to a mapped address."""
    return end.is_v6 and (end.socket is None or is_v6(end.socket.remote))


def tos_key(end: StreamEnd) -> Key:
    """Return the option that its packets have the type of service from."""
    return (IPV6, numbers.IPV6_TCLASS) if speaks_v6(end) else (IP, numbers.IP_TOS)


def ttl_key(end: StreamEnd) -> Key:
    """Return the option that its packets have the time to live from."""
    return (IPV6, numbers.IPV6_UNICAST_HOPS) if speaks_v6(end) else (IP, numbers.IP_TTL)


def errors_key(end: StreamEnd) -> Key:
    """Return the option by which it hears of soft errors."""
    return (IPV6, numbers.IPV6_RECVERR) if speaks_v6(end) else (IP, numbers.IP_RECVERR)


def known_option(end: StreamEnd, row: Option) -> int | str | bytes | None:
    """Return an option that says something of a stream; None for others."""
    if row.key == (SOCKET, numbers.SO_ACCEPTCONN):
        return int(end.listener is not None)
    connected = end.socket
    if row.key in ((IP, numbers.IP_MTU), (IPV6, numbers.IPV6_MTU)):
        if connected is None or connected.connection.state in NO_PEER:
            raise error_of(errno.ENOTCONN)
        tcb = connected.connection.tcb
        path_mss = tcb.path_mss
        mtu_bytes = connected.way.mtu_bytes
        return mtu_bytes if path_mss is None else min(mtu_bytes, path_mss + tcb.sizes.headers_bytes)
    if connected is not None and row.key == ttl_key(end):
        return connected.ip.ttl
    if connected is not None and row.key == tos_key(end):
        return connected.ip.tos
    if row.key == (IP, numbers.IP_TTL) and end.options.number(*row.key) < 1:
        return end.host.tcp.config.ttl
    if row.key == (IPV6, numbers.IPV6_UNICAST_HOPS) and end.options.number(*row.key) < 0:
        return end.host.tcp.config.ttl
    if row.level == SOCKET and not end.options.is_set(*row.key):
        if row.number == numbers.SO_SNDBUF:
            opened = None if connected is None else connected.connection
            size = end.config.send_buffer_bytes
            return size if opened is None else send_buffer.limit_bytes(opened)
        if row.number == numbers.SO_RCVBUF:
            if connected is None:
                return end.config.receive_buffer_bytes
            return connected.connection.tcb.rcv_buf_bytes
    opened = None if connected is None else connected.connection
    found = tcp_sockopts.read(row.key, end.config, opened)
    if found is None and row.key == (TCP, numbers.TCP_INFO):
        return tcp_sockopts.info_without_connection(listening=end.listener is not None)
    return found


def peer_is_done(connected: TcpSocket) -> bool:
    """Tell whether the peer's end of data has come, and all before it."""
    tcb = connected.connection.tcb
    return tcb.rcv_fin_seq is not None and tcb.rcv_nxt > tcb.rcv_fin_seq


def is_readable(end: StreamEnd) -> bool:
    """Tell whether receiving or accepting would return (or raise) at once."""
    if end.listener is not None:
        return bool(end.listener.ready) or end.listener.broken
    if end.socket is None:
        return True  # as poll() finds a socket that is not connected: POLLHUP
    return (
        end.read_shut
        or has_text(end, end.socket)
        or peer_is_done(end.socket)
        or bool(end.soft_error or (end.notices and end.notices.queue))
        or end.socket.connection.state in OVER
    )


def has_text(end: StreamEnd, connected: TcpSocket) -> bool:
    """Tell whether as much text waits as SO_RCVLOWAT says."""
    connection = connected.connection
    waiting = connection.receive_buffer.readable_bytes
    if waiting and connection.tcb.rcv_up and not end.flag(SOCKET, numbers.SO_OOBINLINE):
        waiting -= offset_of_urgent(connected) == 0
    # Never more than half of the buffer as it is, or it could wait for ever
    most = max(1, connection.tcb.rcv_buf_bytes // 2)
    wanted = min(end.options.number(SOCKET, numbers.SO_RCVLOWAT), most) if end.waits_for_more else 1
    return waiting >= wanted


def has_urgent(end: StreamEnd, connected: TcpSocket) -> bool:
    """Tell whether an urgent byte has come that MSG_OOB has not read."""
    return connected.connection.tcb.rcv_up not in (0, end.urgent_taken)


def has_error(end: StreamEnd, connected: TcpSocket) -> bool:
    """Tell whether SO_ERROR has something, or the queue of errors."""
    if end.notices is not None and end.notices.queue:
        return True
    return end.soft_error != 0 or (not end.error_told and bool(connected.connection.error))


def raise_error(end: StreamEnd) -> None:
    """Raise what went wrong, once; with why, where a congestion control is at fault."""
    number = end.take_error()
    if number:
        failure = None if end.socket is None else end.socket.connection.failure
        raise error_of(number, None if failure is None else str(failure)) from failure


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
        connection.state is not TcpState.SYN_SENT and send_buffer.writable(connection)
    ):
        return True
    connection.write_blocked = True
    return None


def offset_of_urgent(connected: TcpSocket) -> int:
    """Return how far before the urgent byte reading is; -1: there is none ahead."""
    return urgent.unread_bytes(connected.connection) - 1


def read(end: StreamEnd, connected: TcpSocket, size: int, *, peek: bool) -> bytes:
    """Read, but not beyond the urgent byte, which is left out unless it is wanted in line."""
    table, now = end.host.tcp, end.host.now()
    if not peek and not connected.connection.tcb.rcv_up:  # nearly always
        return table.read(connected, size, now)
    offset, skipped = offset_of_urgent(connected), 0
    if offset > 0:
        size = min(size, offset)
    elif offset == 0 and not end.flag(SOCKET, numbers.SO_OOBINLINE):
        skipped = 1
    if peek:
        return connected.connection.receive_buffer.peek(skipped + size)[skipped:]
    if skipped:
        table.read(connected, 1, now)
    return table.read(connected, size, now)


def look_at_urgent(connected: TcpSocket, size: int, *, taken: int) -> Received | None:
    """Return the urgent byte; None: it has not come yet. OSError (EINVAL): there is none.

    `taken`: the end of the urgent text whose byte was read already.
    """
    connection, offset = connected.connection, offset_of_urgent(connected)
    if offset < 0 or connection.tcb.rcv_up == taken:
        raise error_of(errno.EINVAL)
    data = connection.receive_buffer.peek(offset + 1)[offset:]
    if not data:
        return None
    return Received(data[:size], min(size, 1), [], MSG_OOB | (0 if size else MSG_TRUNC))
