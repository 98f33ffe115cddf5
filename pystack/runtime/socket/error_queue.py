"""Error queues of sockets (MSG_ERRQUEUE): what their entries look like to recvmsg, as in Linux.

A datagram socket's has errors (IP_RECVERR), a stream's what is told of its text: time stamps
(SO_TIMESTAMPING) and zero-copy notifications (MSG_ZEROCOPY).
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from pystack.core.errors import error_of
from pystack.runtime.socket.option_numbers import (
    IP_RECVERR,
    IPV6_RECVERR,
    SO_TIMESTAMPING,
    SO_TIMESTAMPING_NEW,
    SO_ZEROCOPY,
)
from pystack.runtime.socket.option_table import IP, IPV6, SOCKET, Option
from pystack.runtime.socket.socket_addresses import packed, shown
from pystack.runtime.socket.socket_calls import MSG_ERRQUEUE, MSG_TRUNC, ControlMessage, Received
from pystack.stack import notices
from pystack.stack.extended_errors import extended_error_of
from pystack.stack.notices import Kind, Notice, Notices
from pystack.stack.udp_socket import ORIGIN_LOCAL, QueuedError

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.socket.stream_ends import StreamEnd

_STAMPS: Final = (SO_TIMESTAMPING, SO_TIMESTAMPING_NEW)
_KNOWN_STAMPS: Final = (
    notices.TX_SOFTWARE
    | notices.SOFTWARE
    | notices.OPT_ID
    | notices.TX_SCHED
    | notices.TX_ACK
    | notices.OPT_TSONLY
    | notices.OPT_ID_TCP
)
_TIMES: Final = struct.Struct("@6l")


def of_datagram(queued: QueuedError, size: int, family: int) -> Received:
    """Return an error of a datagram socket as recvmsg(2) gives it: ip(7), IP_RECVERR."""
    local = queued.origin == ORIGIN_LOCAL
    offender = None if local else packed(queued.offender, 0, family)
    return Received(
        queued.payload[:size],
        min(len(queued.payload), size),
        [_error(queued, family, offender)],
        MSG_ERRQUEUE | (MSG_TRUNC if len(queued.payload) > size else 0),
        shown(*queued.dst, family),
    )


def set_option(end: StreamEnd, row: Option, number: int) -> None:
    """Let a stream have notices, where the option is one of theirs. OSError (EINVAL)."""
    if row.level != SOCKET or row.number not in (*_STAMPS, SO_ZEROCOPY):
        return
    queue = end.notices = end.notices or Notices(lambda: _told(end))
    connected = end.socket
    if row.number == SO_ZEROCOPY:
        queue.zero_copy = number != 0
    else:
        if number & ~_KNOWN_STAMPS:
            raise error_of(errno.EINVAL)
        try:
            queue.stamp(number, None if connected is None else connected.connection)
        except ValueError:
            raise error_of(errno.EINVAL) from None
    if connected is not None:
        connected.notices = queue


def adopted(end: StreamEnd) -> None:
    """A stream has its connection now: it is to tell of it what the options asked for."""
    number = end.options.number
    flags = number(SOCKET, SO_TIMESTAMPING) or number(SOCKET, SO_TIMESTAMPING_NEW)
    if end.notices is None and (flags or number(SOCKET, SO_ZEROCOPY)):
        end.notices = Notices(lambda: _told(end))  # as its listener had it
        end.notices.flags, end.notices.zero_copy = flags, bool(number(SOCKET, SO_ZEROCOPY))
    if end.socket is not None:
        end.socket.notices = end.notices


def take(end: StreamEnd) -> Received | None:
    """Return the oldest entry of a stream's queue; None: there is none now."""
    if end.notices is None or not end.notices.queue:
        return None
    notice = end.notices.queue.popleft()
    error = _error(notice, end.family)
    if notice.kind is Kind.COPIED:
        return Received(b"", 0, [error], MSG_ERRQUEUE)
    # The packet itself, which Linux hands back, is not kept: it counts as cut off.
    flags = MSG_ERRQUEUE if notice.alone else MSG_ERRQUEUE | MSG_TRUNC
    return Received(b"", 0, [_stamp(end.host, notice), error], flags)


def _error(
    entry: QueuedError | Notice, family: int, offender: bytes | None = None
) -> ControlMessage:
    """Return what an entry says, and the address of who said so; None: nobody."""
    data = extended_error_of(entry).pack()
    if family == socket.AF_INET:
        return IP, IP_RECVERR, data + (offender or bytes(16))
    return IPV6, IPV6_RECVERR, data + (offender or bytes(28))


def _told(end: StreamEnd) -> None:
    end.became_readable()
    end.became_writable()


def _stamp(host: BareHost, notice: Notice) -> tuple[int, int, bytes]:
    seconds, rest = divmod(round(host.time_at(notice.at) * 1e9), 1_000_000_000)
    return SOCKET, SO_TIMESTAMPING, _TIMES.pack(seconds, rest, 0, 0, 0, 0)
