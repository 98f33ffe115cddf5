"""Calls of sockets, of those that wait and of those that block: flags, and what comes in.

What the BSD calls mean is Linux's word, with the errors of its man pages: socket(7), tcp(7),
udp(7).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from operator import index
from typing import Final, NamedTuple

from pystack.core.errors import error_of
from pystack.runtime.socket.socket_addresses import SocketAddress
from pystack.runtime.socket.socket_options import view_of

ControlMessage = tuple[int, int, bytes]  # level, type, data
Address = SocketAddress | None  # None: of a stream, or of nobody
Message = tuple[int, int, object]  # level, type, anything that has bytes
_CMSG_HEADER_BYTES: Final = 16

# Linux keeps flags in the type; only the type itself counts.
KIND_MASK: Final = ~(getattr(socket, "SOCK_NONBLOCK", 0) | getattr(socket, "SOCK_CLOEXEC", 0))
INTERNET: Final = (socket.AF_INET, socket.AF_INET6)

# Flags of send and recv: the platform's numbers, and Linux's of those that it does not have
MSG_OOB: Final = int(getattr(socket, "MSG_OOB", 0x1))
MSG_PEEK: Final = int(getattr(socket, "MSG_PEEK", 0x2))
MSG_DONTROUTE: Final = int(getattr(socket, "MSG_DONTROUTE", 0x4))
MSG_CTRUNC: Final = int(getattr(socket, "MSG_CTRUNC", 0x8))
MSG_TRUNC: Final = int(getattr(socket, "MSG_TRUNC", 0x20))
MSG_DONTWAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0x40))
MSG_EOR: Final = int(getattr(socket, "MSG_EOR", 0x80))
MSG_WAITALL: Final = int(getattr(socket, "MSG_WAITALL", 0x100))
MSG_MORE: Final = int(getattr(socket, "MSG_MORE", 0x8000))
MSG_ERRQUEUE: Final = int(getattr(socket, "MSG_ERRQUEUE", 0x2000))
MSG_ZEROCOPY: Final = int(getattr(socket, "MSG_ZEROCOPY", 0x4000000))
MSG_FASTOPEN: Final = int(getattr(socket, "MSG_FASTOPEN", 0x20000000))
# Linux looks at none but its own, and neither do we; what would promise something is refused.
# MSG_DONTWAIT, MSG_NOSIGNAL and MSG_WAITALL mean nothing to sockets that never block.
_REFUSED_FLAGS: Final = MSG_FASTOPEN


def check_flags(flags: int, refused: int = _REFUSED_FLAGS) -> None:
    """Raise OSError (EOPNOTSUPP) for flags of send that would not be kept."""
    if flags & refused:
        raise OSError(errno.EOPNOTSUPP, f"the flags {flags:#x} are not supported here")


def check_kind(kind: int, proto: int, host_name: str) -> None:
    """Raise OSError for a socket that hosts do not have: EPROTONOSUPPORT, ESOCKTNOSUPPORT."""
    usual = {socket.SOCK_STREAM: socket.IPPROTO_TCP, socket.SOCK_DGRAM: socket.IPPROTO_UDP}
    if kind not in usual:
        raise OSError(errno.ESOCKTNOSUPPORT, f"no sockets of type {kind} on {host_name}")
    if proto not in (0, usual[socket.SocketKind(kind)]):
        raise error_of(errno.EPROTONOSUPPORT)


class Received(NamedTuple):
    """What one call has received."""

    data: bytes
    size: int  # as it is told: with MSG_TRUNC it may be more
    messages: list[ControlMessage] = []  # noqa: RUF012 - nobody writes to it
    flags: int = 0
    sender: Address = None

    def whole(self) -> bytes:
        """Return it as recv does; MSG_TRUNC tells of more than there is."""
        return self.data if len(self.data) == self.size else self.data.ljust(self.size, b"\0")

    def as_message(
        self, bufsize: int, ancbufsize: int
    ) -> tuple[bytes, list[ControlMessage], int, Address]:
        """Return it as recvmsg does, with control messages as far as there is room for them."""
        messages, cut = _fitting(self.messages, ancbufsize)
        data = self.data.ljust(min(self.size, bufsize), b"\0")
        return data, messages, self.flags | cut, self.sender

    def into(
        self, views: Iterable[memoryview], ancbufsize: int
    ) -> tuple[int, list[ControlMessage], int, Address]:
        """Fill buffers, one after the other; return the rest as recvmsg_into does."""
        rest = self.data
        for view in views:
            part, rest = rest[: len(view)], rest[len(view) :]
            view[: len(part)] = part
        messages, cut = _fitting(self.messages, ancbufsize)
        return self.size, messages, self.flags | cut, self.sender


def c_int(number: object, bits: int = 32) -> int:
    """Return a number as C's `int` takes it (with 64 bits: `ssize_t`). TypeError, OverflowError."""
    number = index(number)  # type: ignore[arg-type] # TypeError for what is none
    if not -1 << (bits - 1) <= number < 1 << (bits - 1):
        kind = "int" if bits == 32 else "ssize_t"
        raise OverflowError(f"Python int too large to convert to C {kind}")
    return number


def size_to(call: str, size: int) -> int:
    """Return how many bytes a call asks for. ValueError: less than none."""
    size = c_int(size, 64)
    if size < 0:
        raise ValueError(f"negative buffersize in {call}")
    return size


def sizes_to_recvmsg(bufsize: int, ancbufsize: int) -> tuple[int, int]:
    """Return how many bytes are asked for, and how many of control messages. ValueError."""
    bufsize, ancbufsize = c_int(bufsize, 64), c_int(ancbufsize, 64)
    if bufsize < 0 or ancbufsize < 0:
        raise ValueError("negative buffer size in recvmsg()")
    return bufsize, ancbufsize


def room_in(view: memoryview, nbytes: int) -> int:
    """Return how much of a buffer is to be filled. ValueError: more than it has; TypeError."""
    if view.readonly:  # before anything is received, which would be lost
        raise TypeError("read-write bytes-like object expected")
    nbytes = c_int(nbytes, 64)
    if nbytes < 0:
        raise ValueError("negative buffersize in recv_into")
    if nbytes > len(view):
        raise ValueError("buffer too small for requested bytes")
    return nbytes or len(view)


def sendto_arguments(rest: tuple[object, ...]) -> tuple[int, object]:
    """Return flags and address of sendto, whose flags come first if at all. TypeError."""
    if len(rest) not in (1, 2):
        raise TypeError(f"sendto takes data, perhaps flags, and an address, not {len(rest) + 1}")
    return c_int(rest[0]) if len(rest) == 2 else 0, rest[-1]


def joined(buffers: Iterable[object]) -> memoryview:
    """Return what is to be sent, of several buffers, as one."""
    views = [view_of(buffer) for buffer in buffers]
    return views[0] if len(views) == 1 else memoryview(b"".join(views))


def option_value(value: object, optlen: int | None) -> object:
    """Return what setsockopt is to set: a value, or so many zeros in place of None. TypeError."""
    if (value is None) is (optlen is None):
        raise TypeError("setsockopt takes a value, or None and a length")
    return bytes(optlen or 0) if value is None else value


def _fitting(messages: list[ControlMessage], room: int) -> tuple[list[ControlMessage], int]:
    """Return the control messages that there is room for, and MSG_CTRUNC if that is not all."""
    kept: list[ControlMessage] = []
    for message in messages:
        level, kind, data = message
        data_room = room - _CMSG_HEADER_BYTES
        if data_room < len(data):  # as Linux's put_cmsg: of the first too large, what fits
            if data_room >= 0:
                kept.append((level, kind, data[:data_room]))
            return kept, MSG_CTRUNC
        room = max(room - _CMSG_HEADER_BYTES - (len(message[2]) + 7) // 8 * 8, 0)
        kept.append(message)
    return kept, 0
