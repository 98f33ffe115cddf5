"""What programs do to a descriptor by its number, where it is a socket's of a host.

For other numbers, and on no host, it is the machine's. `os.read` and `os.write` are not among them:
those are for the fast paths of others.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from typing import Any, Final

from pystack.core.errors import error_of
from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.socket import waits
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.descriptors import FIRST, Descriptor, find, open_descriptor
from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.stream_ends import StreamEnd
from pystack.tcp.states import TcpState

try:
    import fcntl
except ImportError:  # another system than Unix
    fcntl = None  # type: ignore[assignment]

Function = Callable[..., Any]
_INT: Final = struct.Struct("i")


def lend(borrow: Borrow) -> None:
    """Lend the functions that take a number, as far as there are such."""
    of_os: dict[str, Callable[..., object]] = {
        "close": lambda found: found.close(),
        "get_inheritable": lambda _found: False,
        "set_inheritable": lambda _found, _wanted: None,
        "get_blocking": lambda found: not found.nonblocking,
        "set_blocking": _set_blocking,
    }
    for name, of_ours in of_os.items():
        function = getattr(os, name, None)
        if function is not None:
            borrow.function(function, _by_number(of_ours))
    if fcntl is not None:
        borrow.function(fcntl.fcntl, _by_number(_fcntl))
        borrow.function(fcntl.ioctl, _by_number(_ioctl))


def _by_number(of_ours: Callable[..., object]) -> Callable[[Function], Function]:
    def make(original: Function) -> Function:
        def stand_in(fd: Any, *args: object, **words: object) -> object:  # noqa: ANN401 - any
            number = fd if isinstance(fd, int) else _number_of(fd)
            if number < FIRST or (found := find(number)) is None:
                return original(fd, *args, **words)
            return waits.call(found.end.host, lambda: of_ours(found, *args, **words))

        return stand_in

    return make


def _number_of(fd: object) -> int:
    number = getattr(fd, "fileno", int)()
    return number if isinstance(number, int) else -1


def _set_blocking(found: Descriptor, blocking: object) -> None:
    found.nonblocking = not blocking


def _fcntl(found: Descriptor, command: int, argument: int = 0) -> int:
    match command:
        case fcntl.F_GETFD:
            return fcntl.FD_CLOEXEC
        case fcntl.F_SETFD:
            return 0
        case fcntl.F_GETFL:
            return os.O_RDWR | (os.O_NONBLOCK if found.nonblocking else 0)
        case fcntl.F_SETFL:
            found.nonblocking = bool(argument & os.O_NONBLOCK)
            return 0
        case fcntl.F_DUPFD | fcntl.F_DUPFD_CLOEXEC:
            return open_descriptor(found.end).number
    raise error_of(errno.EINVAL, f"fcntl {command} of a socket inside pystack")


def _ioctl(
    found: Descriptor,
    request: int,
    argument: Any = 0,  # noqa: ANN401 - a number, or a buffer
    mutate_flag: bool = True,  # noqa: FBT001, FBT002 - the standard library's
    /,
) -> object:
    match request & 0xFFFFFFFF:
        case 0x5421:  # FIONBIO
            wanted = argument if isinstance(argument, int) else _INT.unpack_from(argument)[0]
            found.nonblocking = bool(wanted)
            return 0 if isinstance(argument, int | bytearray) else bytes(argument)
        case 0x541B:  # FIONREAD
            number = _readable_bytes(found)
        case 0x5411:  # SIOCOUTQ
            number = _unsent_bytes(found)
        case _:
            raise error_of(errno.ENOTTY, f"ioctl {request:#x} of a socket inside pystack")
    if isinstance(argument, bytes):
        return _INT.pack(number) + argument[_INT.size :]
    if not isinstance(argument, int):
        memoryview(argument).cast("B")[: _INT.size] = _INT.pack(number)
        return 0
    raise error_of(errno.EFAULT)


def _readable_bytes(found: Descriptor) -> int:
    end = found.end
    if isinstance(end, StreamEnd):
        if end.listener is not None:
            raise error_of(errno.EINVAL)
        opened = end.socket
        return 0 if opened is None else opened.connection.receive_buffer.readable_bytes
    if isinstance(end, PairEnd):
        return end.waiting_bytes
    assert isinstance(end, DatagramEnd)
    waiting = None if end.socket is None else end.socket.peek()
    return 0 if waiting is None else len(waiting[0])


def _unsent_bytes(found: Descriptor) -> int:
    end = found.end
    if isinstance(end, StreamEnd) and end.socket is not None:
        connection = end.socket.connection
        return 0 if connection.state is TcpState.SYN_SENT else len(connection.send_buffer)
    return 0
