"""Errors that the kernel keeps for a socket about datagrams it has sent (IP_RECVERR, ip(7)).

Only with them is a socket that is connected to nobody told which of its datagrams came to nothing,
and why. They are Linux's; elsewhere a socket hears of no error.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple

from pystack.core.addresses import Ip, unpack_ip6
from pystack.runtime.socket.option_numbers import IP_RECVERR, IPV6_RECVERR
from pystack.stack.icmp_core import Trouble
from pystack.wire import icmp, icmpv6

_EXTENDED: Final = struct.Struct("=IBBBBII")  # struct sock_extended_err
_QUOTED_BYTES: Final = 2048  # of the datagram: enough for whatever is asked of it
_ROOM_BYTES: Final = 512  # for the error and the address of who told it
_MOST: Final = 64  # in one go; the rest wakes us again

_TROUBLES: Final = {
    (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE): Trouble.NO_ROUTE,
    (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE): Trouble.HOST_UNREACHABLE,
    (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE): Trouble.UNKNOWN_PROTOCOL,
    (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE): Trouble.PORT_UNREACHABLE,
    # RFC 1122 section 3.2.2.1: net or host unknown, net or host prohibited
    (icmp.DESTINATION_UNREACHABLE, 6): Trouble.NO_ROUTE,
    (icmp.DESTINATION_UNREACHABLE, 7): Trouble.HOST_UNREACHABLE,
    (icmp.DESTINATION_UNREACHABLE, 9): Trouble.PROHIBITED,
    (icmp.DESTINATION_UNREACHABLE, 10): Trouble.PROHIBITED,
    (icmp.DESTINATION_UNREACHABLE, icmp.COMMUNICATION_PROHIBITED): Trouble.PROHIBITED,
    (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED): Trouble.HOPS_EXCEEDED,
}
_TROUBLES6: Final = {
    (icmpv6.DESTINATION_UNREACHABLE, icmpv6.NO_ROUTE): Trouble.NO_ROUTE,
    (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PROHIBITED): Trouble.PROHIBITED,
    (icmpv6.DESTINATION_UNREACHABLE, icmpv6.ADDRESS_UNREACHABLE): Trouble.HOST_UNREACHABLE,
    (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE): Trouble.PORT_UNREACHABLE,
    (icmpv6.TIME_EXCEEDED, icmpv6.HOP_LIMIT_EXCEEDED): Trouble.HOPS_EXCEEDED,
}
# By SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6. A local error is told by the call that met it.
_WORDS: Final = {2: _TROUBLES, 3: _TROUBLES6}


class SentError(NamedTuple):
    """What became of one datagram."""

    to: tuple[str, int]  # where it was sent
    payload: bytes  # how it began
    trouble: Trouble | None  # None: nothing that its sender could be told, such as a path's MTU
    reporter: Ip | None  # the host or router that said so; None: it is not told


def ask_for_errors(sock: socket.socket) -> None:
    """Have the kernel keep errors for it, where it can."""
    if not sys.platform.startswith("linux"):
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def errors_of(sock: socket.socket) -> Iterator[SentError]:
    """Take what the kernel has kept about datagrams that had left."""
    queue = getattr(socket, "MSG_ERRQUEUE", None)
    if queue is None:
        return
    for _ in range(_MOST):
        try:
            payload, ancillary, _flags, to = sock.recvmsg(_QUOTED_BYTES, _ROOM_BYTES, queue)
        except OSError:
            return
        for _level, _kind, cargo in ancillary:
            if to and len(cargo) >= _EXTENDED.size:
                _number, origin, kind, code, _pad, _info, _data = _EXTENDED.unpack_from(cargo)
                if origin in _WORDS:
                    trouble = _WORDS[origin].get((kind, code))
                    yield SentError(to[:2], payload, trouble, _address(cargo[_EXTENDED.size :]))


def _address(sockaddr: bytes) -> Ip | None:
    """Read whose word an error is (SO_EE_OFFENDER)."""
    family = int.from_bytes(sockaddr[:2], sys.byteorder)
    if family == socket.AF_INET and len(sockaddr) >= 8:
        return Ip(int.from_bytes(sockaddr[4:8], "big"))
    if family == socket.AF_INET6 and len(sockaddr) >= 24:
        return unpack_ip6(sockaddr[8:24])
    return None
