"""What a UDP socket is told of errors, as udp(7) of Linux has it."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pystack.core.addresses import UNSPECIFIED, Ip, format_ip
from pystack.core.errors import error_of
from pystack.stack.path_mtus import PathMtus, least_mtu
from pystack.stack.udp_socket import (
    ORIGIN_ICMP,
    ORIGIN_ICMP6,
    ORIGIN_LOCAL,
    PMTU_DO,
    PMTU_PROBE,
    PMTU_WANT,
    QueuedError,
    UdpSocket,
)
from pystack.wire import udp

if TYPE_CHECKING:
    from pystack.stack.icmp_core import IcmpError


def arrived(
    socket: UdpSocket, path_mtus: PathMtus, error: IcmpError, dst_port: int, now: float
) -> str:
    """Tell a socket of an ICMP error about what it has sent; return what is to be counted.

    Who has asked for errors (IP_RECVERR) hears of all, and has them queued. Else a connected
    socket hears of hard ones, and an unconnected one of none: a server should not end because
    a client has gone.
    """
    quoted, number = error.quoted, error.number
    assert number is not None
    hard, info, reason = error.hard, 0, ""
    if error.too_big:
        hard = _path_narrows(socket, path_mtus, error, now)
        if not hard:
            return "udp_error_not_heard"
        info = error.mtu_bytes
    if socket.wants_errors_of(quoted.dst):
        payload = bytes(quoted.payload[udp.HEADER_BYTES :])
        to = quoted.dst, dst_port
        origin = ORIGIN_ICMP6 if error.is_v6 else ORIGIN_ICMP
        queued = QueuedError(
            number, origin, error.kind, error.code, info, error.reporter, to, payload
        )
        if not socket.queue_error(queued):
            reason = "udp_error_queue_full"
    elif not (hard and socket.remote is not None):
        return "udp_error_not_heard"
    socket.fail(OSError(number, os.strerror(number), format_ip(quoted.dst)))
    return reason


def _path_narrows(socket: UdpSocket, path_mtus: PathMtus, error: IcmpError, now: float) -> bool:
    """Learn what a router says of the path; False: the socket does not care for it."""
    discover = socket.fields.mtu_discover
    if discover not in (PMTU_WANT, PMTU_DO, PMTU_PROBE) and not error.is_v6:
        return False
    if error.mtu_bytes < error.quoted.total_length:
        dst = error.quoted.dst
        path_mtus.learn(dst, max(error.mtu_bytes, least_mtu(dst)), now)
    return True


def too_large(socket: UdpSocket, dst: Ip, mtu_bytes: int) -> OSError:
    """Queue the error, where errors are asked for, and return it.

    As Linux does it: without the payload, and with the port of the partner, not of one datagram.
    """
    number = errno.EMSGSIZE
    if socket.wants_errors_of(dst):
        port = socket.remote[1] if socket.remote is not None else 0
        mtu_bytes = min(mtu_bytes, 0xFFFF)
        socket.queue_error(
            QueuedError(number, ORIGIN_LOCAL, 0, 0, mtu_bytes, UNSPECIFIED, (dst, port), b"")
        )
    return error_of(number)
