"""Socket options (socket(7), tcp(7), ip(7)): what is remembered, and what it is read as.

An option that means nothing to a host of ours is taken and remembered all the same, for programs
set many of them in passing. The few that would promise something and not keep it are refused.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Final

_LINGER: Final = struct.Struct("ii")  # struct linger: l_onoff, l_linger in seconds
TEXT_BYTES: Final = 16  # TCP_CA_NAME_MAX
SOL_UDP: Final = 17  # <linux/udp.h>; Python names none of them
UDP_SEGMENT: Final = 103
_IP_ADD_MEMBERSHIP: Final = 35  # Linux's numbers: not every platform names them
_MCAST_JOIN_GROUP: Final = 42

# Hosts here are in no multicast group: a program that waits for its messages should know at once.
_REFUSED: Final = frozenset(
    {
        (socket.IPPROTO_IP, getattr(socket, "IP_ADD_MEMBERSHIP", _IP_ADD_MEMBERSHIP)),
        (socket.IPPROTO_IP, _MCAST_JOIN_GROUP),
    }
)


class SocketOptions:
    """The options of one socket, by level and name."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[tuple[int, int], bytes] = {}

    def set(self, level: int, name: int, value: object) -> int:
        """Remember an option, return it as a number. OSError: ENOPROTOOPT, EINVAL."""
        if (level, name) in _REFUSED:
            raise OSError(errno.ENOPROTOOPT, "hosts of pystack join no multicast groups")
        data = struct.pack("i", int(value)) if isinstance(value, int) else bytes(view_of(value))
        number = _number(data)
        if (level, name) == (SOL_UDP, UDP_SEGMENT) and not 0 <= number <= 0xFFFF:
            raise OSError(errno.EINVAL, f"datagrams of {number} bytes cannot be")
        self._values[level, name] = data
        return number

    def number(self, level: int, name: int, default: int = 0) -> int:
        """Return an option as a number."""
        data = self._values.get((level, name))
        return default if data is None else _number(data)

    def read(self, level: int, name: int, buflen: int | None) -> int | bytes:
        """Return an option as getsockopt does: a number, or `buflen` bytes at most."""
        if buflen is None:
            return self.number(level, name)
        return self._values.get((level, name), bytes(min(buflen, 4)))[:buflen]

    @property
    def resets_on_close(self) -> bool:
        """Tell whether SO_LINGER asks for a reset: on, with no time to linger."""
        data = self._values.get((socket.SOL_SOCKET, socket.SO_LINGER), b"")
        if len(data) < _LINGER.size:
            return False
        on, linger_s = _LINGER.unpack_from(data)
        return bool(on) and linger_s == 0

    def copy(self) -> SocketOptions:
        """Return the options for an accepted connection: the listener's, as Linux does it."""
        other = SocketOptions()
        other._values.update(self._values)
        return other


def view_of(data: object) -> memoryview:
    """Return a view of anything that has bytes. TypeError where it has none."""
    return memoryview(data).cast("B")  # type: ignore[arg-type] # Python 3.11 can't name the type


def as_bytes(value: int | str | bytes, buflen: int) -> bytes:
    """Return what getsockopt with a buffer length gives for a number, a text or a struct."""
    if isinstance(value, bytes):
        return value[:buflen]
    data = struct.pack("i", value) if isinstance(value, int) else value.encode("ascii")
    return data[:buflen] if isinstance(value, int) else data.ljust(TEXT_BYTES, b"\0")[:buflen]


class ReadinessFd:
    """A descriptor of its own for a socket that has none: poll() finds it readable, or not.

    On Linux an eventfd; elsewhere a pipe. It stands for nothing else, and can be written to by
    nobody.
    """

    __slots__ = ("_shown", "_write_fd", "fd")

    def __init__(self) -> None:
        if sys.platform == "linux":
            self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            self._write_fd = self.fd
        else:
            self.fd, self._write_fd = os.pipe()
        self._shown = False

    def show(self, readable: bool) -> None:
        """Make poll() say so."""
        if readable == self._shown:
            return
        self._shown = readable
        if readable:
            os.write(self._write_fd, struct.pack("Q", 1))
        else:
            os.read(self.fd, 8)

    def close(self) -> None:
        """Give the descriptor back. A second time does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            if self._write_fd != self.fd:
                os.close(self._write_fd)
            self.fd = self._write_fd = -1


def _number(data: bytes) -> int:
    return int.from_bytes(data[:4], sys.byteorder, signed=True)
