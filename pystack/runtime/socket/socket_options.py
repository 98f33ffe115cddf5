"""What a socket remembers of its options, and how their values are read and written."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from typing import Final

from pystack.core.errors import error_of
from pystack.runtime.socket import option_numbers as numbers
from pystack.runtime.socket.option_table import (
    IP,
    IPV6,
    SOCKET,
    TCP,
    UDP,
    Form,
    Option,
    find_option,
    name_of,
)

_LINGER: Final = struct.Struct("ii")  # struct linger: l_onoff, l_linger in seconds
_TIMEVAL: Final = struct.Struct("@ll")
_TIMEOUTS: Final = ((SOCKET, numbers.SO_RCVTIMEO), (SOCKET, numbers.SO_SNDTIMEO))
_A_BYTE_AT_LEAST: Final = (
    numbers.IP_FREEBIND,
    numbers.IP_MULTICAST_TTL,
    numbers.IP_MULTICAST_LOOP,
    numbers.IP_MULTICAST_ALL,
)
_NUMBER_BYTES: Final = 4
TEXT_BYTES: Final = 16  # TCP_CA_NAME_MAX, IFNAMSIZ


class SocketOptions:
    """The options of one socket of a kind, by level and name."""

    __slots__ = ("_kind", "_v6", "_values")

    def __init__(self, kind: int, *, v6: bool = False) -> None:
        self._kind = kind
        self._v6 = v6
        self._values: dict[tuple[int, int], bytes] = {}

    def check(self, level: int, name: int, value: object) -> tuple[Option, bytes, int]:
        """Read a value that is to be set: (its row, its bytes, as a number). OSError.

        ENOPROTOOPT: there is no such option here, or it is not to be set; EINVAL: no such value.
        """
        data = struct.pack("i", int(value)) if isinstance(value, int) else bytes(view_of(value))
        is_short = len(data) < _NUMBER_BYTES
        if is_short and level == SOCKET and name != numbers.SO_BINDTODEVICE:
            raise error_of(errno.EINVAL)  # whatever it is: socket(7)
        row = self._find(level, name)
        if row is None or ("w" not in row.access and not (is_short and level == TCP)):
            raise no_option(self._kind, level, name)
        if row.form in (Form.NUMBER, Form.SWITCH):
            # ip(7): a byte is enough there, and for most of them none is 0
            least = _NUMBER_BYTES if level != IP else int(name in _A_BYTE_AT_LEAST)
            if row.key == (IPV6, numbers.IPV6_DONTFRAG):  # the only one of ipv6(7)
                data = data if not is_short else bytes(_NUMBER_BYTES)
            elif len(data) < least:
                raise error_of(errno.EINVAL)
            number = int.from_bytes(data[:1], "big") if len(data) < 4 else _number(data)
            if row.least is not None and row.most is not None:
                _check_within(number, row.least, row.most)
            if row.form is Form.SWITCH:
                number = int(number != 0)
            return row, struct.pack("i", number), number
        if len(data) < row.size:
            raise error_of(errno.EINVAL)
        if row.key == (SOCKET, numbers.SO_LINGER):
            on, linger_s = _LINGER.unpack_from(data)
            if not on:  # the time is left as it was
                linger_s = _LINGER.unpack(self._values.get(row.key, bytes(8)))[1]
            data = _LINGER.pack(on != 0, linger_s)
        elif row.key in _TIMEOUTS:
            _check_timeval(data)
        return row, data, _number(data)

    def keep(self, row: Option, data: bytes) -> None:
        """Remember a value."""
        self._values[row.key] = data

    def number(self, level: int, name: int) -> int:
        """Return an option as a number."""
        data = self._values.get((level, name))
        if data is not None:
            return _number(data)
        row = self._find(level, name)
        return 0 if row is None else row.default

    def data(self, level: int, name: int) -> bytes:
        """Return an option's bytes as they were set; empty where it was not."""
        return self._values.get((level, name), b"")

    def is_set(self, level: int, name: int) -> bool:
        """Tell whether it was set."""
        return (level, name) in self._values

    def waits_s(self, *, sends: bool) -> float | None:
        """Return how long a call that blocks waits, by SO_..TIMEO; None: for ever."""
        data = self.data(SOCKET, numbers.SO_SNDTIMEO if sends else numbers.SO_RCVTIMEO)
        seconds, microseconds = _TIMEVAL.unpack_from(data) if data else (0, 0)
        return seconds + microseconds / 1_000_000 or None

    def is_any_set(self) -> bool:
        """Tell whether any was."""
        return bool(self._values)

    def forget(self, level: int, name: int) -> None:
        """Have it as if it had never been set."""
        self._values.pop((level, name), None)

    def read(self, row: Option, buflen: int | None) -> int | bytes:
        """Return what was set as getsockopt does: a number, or `buflen` bytes at most."""
        number = self.number(*row.key)
        if row.form in (Form.NUMBER, Form.SWITCH) or buflen is None:
            return number if buflen is None else as_bytes(number, buflen, row.level)
        return self._values.get(row.key, bytes(row.size))[:buflen]

    def check_readable(self, level: int, name: int) -> Option:
        """Return the row of an option to be read. OSError: ENOPROTOOPT, EOPNOTSUPP."""
        row = self._find(level, name)
        if row is None or "r" not in row.access:
            wrong = {int(socket.SOCK_STREAM): UDP, int(socket.SOCK_DGRAM): TCP}[self._kind]
            if level in (wrong, IPV6) and not self._v6:
                raise error_of(errno.EOPNOTSUPP)
            raise no_option(self._kind, level, name)
        return row

    def _find(self, level: int, name: int) -> Option | None:
        return None if level == IPV6 and not self._v6 else find_option(self._kind, level, name)

    @property
    def resets_on_close(self) -> bool:
        """Tell whether SO_LINGER asks for a reset: on, with no time to linger."""
        data = self._values.get((socket.SOL_SOCKET, numbers.SO_LINGER), b"")
        if len(data) < _LINGER.size:
            return False
        on, linger_s = _LINGER.unpack_from(data)
        return bool(on) and linger_s == 0

    def copy(self) -> SocketOptions:
        """Return the options for an accepted connection: the listener's, as Linux does it."""
        other = SocketOptions(self._kind, v6=self._v6)
        other._values.update(self._values)
        return other


def no_option(kind: int, level: int, name: int) -> OSError:
    """Return the error of an option that is none here."""
    return error_of(errno.ENOPROTOOPT, name_of(kind, level, name))


def view_of(data: object) -> memoryview:
    """Return a view of anything that has bytes. TypeError where it has none."""
    return memoryview(data).cast("B")  # type: ignore[arg-type] # Python 3.11 can't name the type


def as_bytes(value: int | str | bytes, buflen: int, level: int) -> bytes:
    """Return what getsockopt with a buffer length gives for a number, a text or a struct."""
    if isinstance(value, bytes):
        return value[:buflen]
    if isinstance(value, str):
        return value.encode("ascii").ljust(TEXT_BYTES, b"\0")[:buflen]
    if level == IP and 0 < buflen < _NUMBER_BYTES and 0 <= value <= 255:
        return bytes((value,))  # as ip_getsockopt of Linux
    return struct.pack("i", value)[:buflen]


def as_number(value: int | str | bytes) -> int:
    """Return what getsockopt without a length makes of an option: its first four bytes."""
    if isinstance(value, int):
        return value
    data = value if isinstance(value, bytes) else value.encode("ascii")
    return _number(data.ljust(_NUMBER_BYTES, b"\0"))


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

    def show(self, *, readable: bool) -> None:
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
    return int.from_bytes(data[:_NUMBER_BYTES], sys.byteorder, signed=True)


def _check_within(number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise error_of(errno.EINVAL)


def _check_timeval(data: bytes) -> None:
    _, microseconds = _TIMEVAL.unpack_from(data)
    if not 0 <= microseconds < 1_000_000:
        raise error_of(errno.EDOM)
