"""Hops: what has few of them left is to find out who is on the way (traceroute), and keeps them.

All else gets as many as the machine gives: whatever a program inside began with, 64 or 128, says
nothing of the way from here on.
"""

from __future__ import annotations

import socket
import struct
import sys
from typing import Final

FEW: Final = 30  # as many as traceroute(8) tries
_INT: Final = struct.Struct("=i")
_HAS_ANCILLARY: Final = sys.platform.startswith("linux")
_IP_TTL: Final = 2
_IP_RECVTTL: Final = 12
_IPV6_RECVHOPLIMIT: Final = 51
_IPV6_HOPLIMIT: Final = 52

Ancillary = list[tuple[int, int, bytes]]


def kept(left: int, family: int) -> Ancillary:
    """Return what has the kernel keep the hops that a datagram had left, less one; [] for many.

    What came with its last hop is for an address of the link: it takes none.
    """
    if left > FEW or not _HAS_ANCILLARY:
        return []
    hops = _INT.pack(max(left - 1, 1))
    if family == socket.AF_INET6:
        return [(socket.IPPROTO_IPV6, _IPV6_HOPLIMIT, hops)]
    return [(socket.IPPROTO_IP, _IP_TTL, hops)]


def ask_for_hops(sock: socket.socket) -> None:
    """Have the kernel tell how many hops each datagram had left."""
    if not _HAS_ANCILLARY:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVHOPLIMIT, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)


def told(found: Ancillary) -> int | None:
    """Return how many hops a datagram had left; None: the kernel does not tell."""
    for level, kind, cargo in found:
        if (level, kind) in (
            (socket.IPPROTO_IP, _IP_TTL),
            (socket.IPPROTO_IPV6, _IPV6_HOPLIMIT),
        ):
            return int(_INT.unpack_from(cargo)[0])
    return None
