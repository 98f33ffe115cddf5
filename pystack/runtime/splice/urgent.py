"""Urgent data through a splice: the kernel's mark, and the stack's pointer (RFC 6093)."""

from __future__ import annotations

import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

from pystack.tcp import urgent

try:
    from fcntl import ioctl
except ImportError:  # not on Windows
    ioctl = None  # type: ignore[assignment, unused-ignore]

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

_INT: Final = struct.Struct("=i")
# Linux's number, sockatmark(3); poll tells only there of what is urgent
_SIOCATMARK: Final = 0x8905


def at_mark(sock: socket.socket) -> bool:
    """Tell whether the next byte that is read is urgent."""
    if ioctl is None or not sys.platform.startswith("linux"):
        return False
    return bool(_INT.unpack(ioctl(sock, _SIOCATMARK, bytes(_INT.size)))[0])


def unread_before(connection: Connection, most: int) -> tuple[int, bool]:
    """Return how much may be read that is all of one kind, and whether that is an urgent byte.

    As for BSD's programs, the last byte of what the pointer covers is the urgent one.
    """
    ahead = urgent.unread_bytes(connection)
    if ahead == 1:
        return 1, True
    return min(most, ahead - 1) if ahead else most, False
