"""What the options of a stream are read as, where they say something of its connection."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.core.errors import error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket import tcp_sockopts
from pystack.runtime.socket.option_table import IP, SOCKET, TCP, Option
from pystack.tcp import send_space
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.runtime.socket.stream_ends import StreamEnd
    from pystack.stack.tcp_socket import TcpSocket

# Linux has no socket in TIME-WAIT: for its user it is closed.
OVER: Final = frozenset({TcpState.CLOSED, TcpState.TIME_WAIT})
NO_PEER: Final = OVER | {TcpState.SYN_SENT}
_HEADERS_BYTES: Final = 40


def known(end: StreamEnd, row: Option) -> int | str | bytes | None:
    """Return an option that says something of a stream; None for others."""
    if row.key == (SOCKET, numbers.SO_ACCEPTCONN):
        return int(end.listener is not None)
    connected = end.socket
    if row.key == (IP, numbers.IP_MTU):
        if connected is None or connected.connection.state in NO_PEER:
            raise error_of(errno.ENOTCONN)
        path_mss = connected.connection.tcb.path_mss
        mtu_bytes = connected.route.interface.mtu_bytes
        return mtu_bytes if path_mss is None else min(mtu_bytes, path_mss + _HEADERS_BYTES)
    if connected is not None:
        if row.key == (IP, numbers.IP_TTL):
            return connected.ip.ttl
        if row.key == (IP, numbers.IP_TOS):
            return connected.ip.tos
    elif row.key == (IP, numbers.IP_TTL) and end.options.number(*row.key) < 1:
        return end.host.tcp.config.ttl
    if row.level == SOCKET and not end.options.is_set(*row.key):
        if row.number == numbers.SO_SNDBUF:
            opened = None if connected is None else connected.connection
            size = end.config.send_buffer_bytes
            return size if opened is None else send_space.limit_bytes(opened)
        if row.number == numbers.SO_RCVBUF:
            if connected is None:
                return end.config.receive_buffer_bytes
            return connected.connection.tcb.rcv_buf_bytes
    opened = None if connected is None else connected.connection
    known = tcp_sockopts.read(row.key, end.config, opened)
    if known is None and row.key == (TCP, numbers.TCP_INFO):
        return tcp_sockopts.info_without_connection(listening=end.listener is not None)
    return known


def peer_is_done(connected: TcpSocket) -> bool:
    """Tell whether the peer's end of data has come, and all before it."""
    tcb = connected.connection.tcb
    return tcb.rcv_fin_seq is not None and tcb.rcv_nxt > tcb.rcv_fin_seq
