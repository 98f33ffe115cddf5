"""The urgent byte as BSD programs know it: read out of line by MSG_OOB, left out of the rest.

For TCP it stays in line (RFC 6093); it is the last byte before where the peer's pointer points.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pystack.core.errors import error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import SOCKET
from pystack.runtime.socket.sockets import MSG_OOB, MSG_TRUNC, Received
from pystack.tcp import urgent

if TYPE_CHECKING:
    from pystack.runtime.socket.stream_ends import StreamEnd
    from pystack.stack.tcp_socket import TcpSocket


def offset_of(connected: TcpSocket) -> int:
    """Return how far before the urgent byte reading is; -1: there is none ahead."""
    return urgent.unread_bytes(connected.connection) - 1


def read(end: StreamEnd, connected: TcpSocket, size: int, *, peek: bool) -> bytes:
    """Read, but not beyond the urgent byte, which is left out unless it is wanted in line."""
    table, now = end.host.tcp, end.host.now()
    if not peek and not connected.connection.tcb.rcv_up:  # nearly always
        return table.read(connected, size, now)
    offset, skipped = offset_of(connected), 0
    if offset > 0:
        size = min(size, offset)
    elif offset == 0 and not end.flag(SOCKET, numbers.SO_OOBINLINE):
        skipped = 1
    if peek:
        return connected.connection.receive_buffer.peek(skipped + size)[skipped:]
    if skipped:
        table.read(connected, 1, now)
    return table.read(connected, size, now)


def look(connected: TcpSocket, size: int, *, taken: int) -> Received | None:
    """Return the urgent byte; None: it has not come yet. OSError (EINVAL): there is none.

    `taken`: the end of the urgent text whose byte was read already.
    """
    connection, offset = connected.connection, offset_of(connected)
    if offset < 0 or connection.tcb.rcv_up == taken:
        raise error_of(errno.EINVAL)
    data = connection.receive_buffer.peek(offset + 1)[offset:]
    if not data:
        return None
    return Received(data[:size], min(size, 1), [], MSG_OOB | (0 if size else MSG_TRUNC))
