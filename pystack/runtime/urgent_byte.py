"""The urgent byte as BSD programs know it: read out of line by MSG_OOB, left out of the rest.

For TCP it stays in line (RFC 6093); it is the last byte before where the peer's pointer points.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from pystack.core.errors import error_of
from pystack.runtime.sockets import MSG_OOB, MSG_TRUNC, Received
from pystack.tcp import urgent

if TYPE_CHECKING:
    from pystack.stack.tcp_socket import TcpSocket


def offset_of(connected: TcpSocket) -> int:
    """Return how far before the urgent byte reading is; -1: there is none ahead."""
    return urgent.unread_bytes(connected.connection) - 1


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
