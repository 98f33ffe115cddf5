"""Sockets as `trio.socket` knows them, on a host of ours: what stream and datagram sockets share.

They are made by `socket_factory.py`, where a program asks Trio for a socket and is on a host. What
the BSD calls mean is Linux's word, with the errors of its man pages: socket(7), tcp(7), udp(7).

Every call that may wait keeps Trio's two promises: it is a checkpoint, and what has been done is
never cancelled.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING, Final, NoReturn, Self, TypeVar, overload

import trio

from pystack.core.addresses import LIMITED_BROADCAST, LOOPBACK, UNSPECIFIED, Ip4, parse_ip4
from pystack.core.errors import ConfigError
from pystack.runtime import tcp_sockopts
from pystack.runtime.current import current_host
from pystack.runtime.driver import Waiter
from pystack.runtime.socket_options import ReadinessFd, SocketOptions, as_bytes

if TYPE_CHECKING:
    from types import TracebackType

    from pystack.runtime.host import TrioHost

T = TypeVar("T")
_ErrorType = type[BaseException]  # in the class below, `type` is an attribute

MAX_PORT: Final = 0xFFFF

# Linux's numbers, as not every platform names all options.
SO_ACCEPTCONN: Final = getattr(socket, "SO_ACCEPTCONN", 30)
SO_DOMAIN: Final = getattr(socket, "SO_DOMAIN", 39)
SO_PROTOCOL: Final = getattr(socket, "SO_PROTOCOL", 38)

# Flags of send and recv that are kept by not doing anything special: these sockets never block.
_HARMLESS_FLAGS: Final = (
    getattr(socket, "MSG_DONTWAIT", 0)
    | getattr(socket, "MSG_NOSIGNAL", 0)
    | getattr(socket, "MSG_WAITALL", 0)
    | getattr(socket, "MSG_CMSG_CLOEXEC", 0)
    | getattr(socket, "MSG_TRUNC", 0)
)


class HostSocket(trio.socket.SocketType):
    """A socket of a host. Names of methods and attributes are those of `trio.socket.SocketType`."""

    def __init__(self, host: TrioHost, kind: socket.SocketKind, proto: int) -> None:
        super().__init__()
        self._host = host
        self._kind = kind
        self._proto = proto
        self._options = SocketOptions()
        self._reader = Waiter(host.driver)
        self._writer = Waiter(host.driver)
        self._closed = False
        self._write_shut = False
        self._fd: ReadinessFd | None = None  # None: nobody has asked for a descriptor

    @property
    def family(self) -> socket.AddressFamily:
        """Return AF_INET."""
        return socket.AF_INET

    @property
    def type(self) -> socket.SocketKind:
        """Return SOCK_STREAM or SOCK_DGRAM, without flags."""
        return self._kind

    @property
    def proto(self) -> int:
        """Return the protocol as it was asked for, 0 for the usual one."""
        return self._proto

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802 - Trio's name
        """Tell whether sending was shut down."""
        return self._write_shut

    @property
    def _sock(self) -> Self:
        # AnyIO reads addresses and options of this attribute of Trio's sockets.
        return self

    def fileno(self) -> int:
        """Return a descriptor that poll() finds readable when the socket is; -1 once closed.

        It carries no data and is good for nothing but to be looked at.
        """
        if self._closed:
            return -1
        if self._fd is None:
            self._fd = ReadinessFd()
            self._show_readiness()
        return self._fd.fd

    def detach(self) -> int:
        """Refuse: there is no descriptor that the operating system knows as this socket."""
        self._refuse("detach")

    def dup(self) -> Self:
        """Refuse, as `detach`."""
        self._refuse("dup")

    def share(self, process_id: int) -> bytes:
        """Refuse, as `detach`."""
        self._refuse("share")

    def get_inheritable(self) -> bool:
        """Return False: no other process can have it."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:
        """Take False; True cannot be."""
        if inheritable:
            self._refuse("set_inheritable")

    @overload
    def getsockopt(self, level: int, optname: int) -> int: ...

    @overload
    def getsockopt(self, level: int, optname: int, buflen: int) -> bytes: ...

    def getsockopt(self, level: int, optname: int, buflen: int | None = None) -> int | bytes:
        """Return an option: a number, or bytes where a length is given. OSError when closed."""
        self._check_open()
        self._check_option(level, optname, None)
        known = self._known_option(level, optname)
        if known is None:
            return self._options.read(level, optname, buflen)
        if buflen is not None:
            return as_bytes(known, buflen)
        return tcp_sockopts.as_number(known)

    @overload
    def setsockopt(self, level: int, optname: int, value: object) -> None: ...

    @overload
    def setsockopt(self, level: int, optname: int, value: None, optlen: int) -> None: ...

    def setsockopt(
        self, level: int, optname: int, value: object, optlen: int | None = None
    ) -> None:
        """Set an option. Those without a meaning here are remembered."""
        self._check_open()
        if (value is None) is (optlen is None):
            raise TypeError("setsockopt takes a value, or None and a length")
        data = bytes(optlen or 0) if value is None else value
        self._check_option(level, optname, data)
        self._option_set(level, optname, self._options.set(level, optname, data))

    def close(self) -> None:
        """Close; tasks that wait in a call on it get `trio.ClosedResourceError`."""
        if self._closed:
            return
        self._closed = True
        self._release()
        self._reader.wake()
        self._writer.wake()
        if self._fd is not None:
            self._fd.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        exc_type: _ErrorType | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Give the descriptor back, if there is one: its number would be lost for good."""
        fd = getattr(self, "_fd", None)
        if fd is not None:
            fd.close()

    # for the two kinds of sockets

    def _known_option(self, level: int, name: int) -> int | str | bytes | None:
        """Return an option that says something of the socket; None for one just remembered."""
        if level == socket.SOL_SOCKET:
            if name == socket.SO_TYPE:
                return int(self._kind)
            if name == SO_DOMAIN:
                return int(socket.AF_INET)
            if name == SO_ACCEPTCONN:
                return 0
            if name == SO_PROTOCOL:
                udp = self._kind is socket.SOCK_DGRAM
                return self._proto or (socket.IPPROTO_UDP if udp else socket.IPPROTO_TCP)
            if name == socket.SO_ERROR:
                return self._take_error()
        return None

    def _check_option(self, level: int, name: int, data: object) -> None:
        """Refuse an option that does not work. `data`: what it is to be; None: it is read."""

    def _option_set(self, level: int, name: int, number: int) -> None:
        """Do what an option means; it is remembered already."""

    def _take_error(self) -> int:
        """Return what went wrong, for SO_ERROR, once; 0 for nothing."""
        raise NotImplementedError

    def _release(self) -> None:
        """Give back what the host holds for it."""
        raise NotImplementedError

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _show_readiness(self) -> None:
        if self._fd is not None and not self._closed:
            self._fd.show(self.is_readable())

    def _refuse(self, what: str) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, f"{what}: this socket exists inside pystack only")

    async def _attempt(self, waiter: Waiter, attempt: Callable[[], T | None]) -> T:
        """Do `attempt`, again after each time that `waiter` was woken, until it returns something.

        Raises OSError (EBADF) on a closed socket, ClosedResourceError when that happens meanwhile.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._check_open()
            result = attempt()
        except BaseException:
            await trio.lowlevel.cancel_shielded_checkpoint()
            raise
        if result is not None:
            await trio.lowlevel.cancel_shielded_checkpoint()
        while result is None:
            await waiter.wait()
            if self._closed:
                raise trio.ClosedResourceError("another task closed this socket")
            result = attempt()
        self._show_readiness()
        return result

    async def _resolve(self, address: object, *, local: bool) -> tuple[Ip4, int]:
        """Return an address of the BSD calls as numbers. May not be a checkpoint."""
        if not isinstance(address, tuple) or len(address) != 2:
            raise ValueError("address should be a (host, port) tuple")
        name, port = address
        if name == "<broadcast>":
            found = LIMITED_BROADCAST
        elif name is None or name == "":
            found = UNSPECIFIED if local else LOOPBACK
        else:
            number = _as_number(name)
            if number is None or not hasattr(port, "__index__"):
                name, port = await self._look_up(name, port, local=local)
                number = parse_ip4(name)
            found = number
        port = index(port)
        if not 0 <= port <= MAX_PORT:
            raise OverflowError(f"port must be 0-65535, not {port}")
        return found, port

    async def _look_up(self, name: str, port: object, *, local: bool) -> tuple[str, int]:
        # On the socket's host, wherever the caller is.
        token = current_host.set(self._host)
        try:
            found = await trio.socket.getaddrinfo(
                name,
                port if isinstance(port, int | str | bytes) else None,
                socket.AF_INET,
                self._kind,
                self._proto,
                socket.AI_PASSIVE if local else 0,
            )
        finally:
            current_host.reset(token)
        address, number, *_ = found[0][4]
        return str(address), int(number)


def check_flags(flags: int, allowed: int = 0) -> None:
    """Raise OSError (EOPNOTSUPP) for flags of send or recv that are not `allowed` or harmless."""
    if flags & ~(_HARMLESS_FLAGS | allowed):
        raise OSError(errno.EOPNOTSUPP, f"the flags {flags:#x} are not supported here")


def error_of(number: int, detail: str | None = None) -> OSError:
    """Return the OSError of an errno: of its subclass, where there is one."""
    text = os.strerror(number)
    return OSError(number, text if detail is None else f"{text}: {detail}")


def _as_number(name: object) -> Ip4 | None:
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    if not isinstance(text, str):
        raise TypeError(f"a host is a str or bytes, not {name!r}")
    try:
        return parse_ip4(text)
    except ConfigError:
        return None
