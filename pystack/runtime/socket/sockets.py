"""Sockets as `trio.socket` knows them, on a pystack host: what stream and datagram sockets share.

They are made by `socket_factory.py`, where a program asks Trio for a socket and is on a host. What
the BSD calls mean is Linux's word, with the errors of its man pages: socket(7), tcp(7), udp(7).
Each is a descriptor of an end (`socket_ends.py`), of which there may be several.

Every call that may wait keeps Trio's two promises: it is a checkpoint, and what has been done is
never cancelled.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable
from typing import NoReturn, Self, TypeVar, overload

import trio

from pystack.core.errors import error_of
from pystack.runtime.current import current_host
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.socket.given_addresses import given
from pystack.runtime.socket.option_table import linux_number
from pystack.runtime.socket.socket_addresses import Place, SocketAddress
from pystack.runtime.socket.socket_calls import (
    Address,
    ControlMessage,
    Received,
    option_value,
    room_in,
    sendto_arguments,
    size_to,
    sizes_to_recvmsg,
)
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.runtime.socket.socket_options import ReadinessFd, view_of

T = TypeVar("T")


class HostSocket(trio.socket.SocketType):
    """A descriptor of a socket; what it stands for is its end, which `dup` shares.

    Names of methods and attributes are those of `trio.socket.SocketType`.
    """

    _end: SocketEnd

    def __init__(self, end: SocketEnd) -> None:
        super().__init__()
        self._end = end
        self._host = end.host
        self._reader = Waiter(end.host.driver)
        self._writer = Waiter(end.host.driver)
        self._closed = False
        self._fd: ReadinessFd | None = None  # None: nobody has asked for a descriptor
        self.source: socket.socket | None = None  # what it was made of; None: nothing
        end.descriptors.append(self)

    @property
    def family(self) -> socket.AddressFamily:
        """Return AF_INET or AF_INET6."""
        return self._end.family

    @property
    def type(self) -> socket.SocketKind:
        """Return SOCK_STREAM or SOCK_DGRAM, without flags."""
        return self._end.kind

    @property
    def proto(self) -> int:
        """Return the protocol as it was asked for, 0 for the usual one."""
        return self._end.proto

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802 - Trio's name
        """Tell whether sending was shut down."""
        return self._end.write_shut

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
        """Return another descriptor of the same socket, which ends when all are closed."""
        self._check_open()
        return type(self)(self._end)

    def share(self, process_id: int) -> bytes:
        """Refuse, as `detach`."""
        self._refuse("share")

    def get_inheritable(self) -> bool:
        """Return False: no other process can have it."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:  # noqa: FBT001 - the standard library's
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
        return self._end.get_option(level, linux_number(level, optname), buflen)

    @overload
    def setsockopt(self, level: int, optname: int, value: object) -> None: ...

    @overload
    def setsockopt(self, level: int, optname: int, value: None, optlen: int) -> None: ...

    def setsockopt(
        self, level: int, optname: int, value: object, optlen: int | None = None
    ) -> None:
        """Set an option. OSError (ENOPROTOOPT) for those that are none here: `option_table.py`."""
        self._check_open()
        data = option_value(value, optlen)
        self._end.set_option(level, linux_number(level, optname), data)

    def close(self) -> None:
        """Close; tasks that wait in a call on it get `trio.ClosedResourceError`."""
        if self._closed:
            return
        self._closed = True
        self._end.let_go(self)
        self._reader.wake()
        self._writer.wake()
        if self._fd is not None:
            self._fd.close()
        if self.source is not None:
            self.source.close()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close."""
        self.close()

    def __del__(self) -> None:
        """Give the descriptor back, if there is one: its number would be lost for good."""
        fd = getattr(self, "_fd", None)
        if fd is not None:
            fd.close()

    # what its end tells

    def became_readable(self) -> None:
        """Wake who receives here."""
        self._reader.wake()
        self._show_readiness()

    def became_writable(self) -> None:
        """Wake who sends here."""
        self._writer.wake()

    def is_readable(self) -> bool:
        """Tell whether receiving or accepting would return (or raise) at once."""
        return self._closed or self._end.is_readable()

    # addresses

    async def bind(self, address: object) -> None:
        """Take a local address and port (0: any free one). OSError: EADDRINUSE, EADDRNOTAVAIL."""
        self._end.bind(*await self._resolve_open(address, local=True))

    def getsockname(self) -> SocketAddress:
        """Return the address of this end; zeros before it has one."""
        self._check_open()
        return self._end.shown(*self._end.name())

    def getpeername(self) -> SocketAddress:
        """Return the address of the other end. OSError (ENOTCONN) where there is none."""
        self._check_open()
        remote, port = self._end.peer()
        if not port:  # of a datagram socket, to which it is nobody
            raise error_of(errno.ENOTCONN)
        return self._end.shown(remote, port)

    def shutdown(self, flag: int) -> None:
        """End sending, receiving or both. OSError (ENOTCONN) without another end."""
        self._check_open()
        self._end.shutdown(flag)

    # receiving, in all ways of socket(2)

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """Return what has arrived, `buflen` bytes at most; empty at a stream's end of data."""
        if size_to("recv", buflen) == 0:  # as CPython: nobody is asked for that
            await trio.lowlevel.checkpoint()
            return b""
        return (await self._receive(buflen, flags)).whole()

    async def recv_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return how many bytes."""
        size = room_in(view_of(buffer), nbytes)
        if size == 0:
            await trio.lowlevel.checkpoint()
            return 0
        return (await self.recvfrom_into(buffer, nbytes, flags))[0]

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        """Receive as `recv` does, and tell a datagram's sender; a stream tells none."""
        received = await self._receive(size_to("recvfrom", bufsize), flags)
        return received.whole(), received.sender

    async def recvfrom_into(
        self, buffer: object, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Address]:
        """Receive into a buffer; return how many bytes, and a datagram's sender."""
        view = view_of(buffer)
        received = await self._receive(room_in(view, nbytes), flags)
        view[: len(received.data)] = received.data
        return received.size, received.sender

    async def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[ControlMessage], int, Address]:
        """Receive with control messages, as far as `ancbufsize` has room for them.

        Flags that may come back: MSG_TRUNC, MSG_CTRUNC, MSG_ERRQUEUE, MSG_OOB.
        """
        bufsize, ancbufsize = sizes_to_recvmsg(bufsize, ancbufsize)
        return (await self._receive(bufsize, flags)).as_message(bufsize, ancbufsize)

    async def recvmsg_into(
        self, buffers: Iterable[object], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[ControlMessage], int, Address]:
        """Receive into buffers, one after the other, with control messages as `recvmsg`."""
        views = [view_of(buffer) for buffer in buffers]
        return (await self._receive(sum(map(len, views)), flags)).into(views, ancbufsize)

    async def sendto(self, data: object, *rest: object) -> int:
        """Send data, with perhaps flags, to an address. OSError: EMSGSIZE, ENETUNREACH, ...

        A stream ignores the address, as on Linux, unless MSG_FASTOPEN is among the flags.
        """
        flags, address = sendto_arguments(rest)
        if address is None:
            raise ValueError("sendto needs an address")
        return await self.sendmsg([data], (), flags, address)

    # for the two kinds of sockets

    async def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[tuple[int, int, object]] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one, with control messages. OSError."""
        raise NotImplementedError

    async def _receive(self, size: int, flags: int) -> Received:
        """Receive once. OSError."""
        raise NotImplementedError

    def _check_open(self) -> None:
        if self._closed:
            raise error_of(errno.EBADF)

    def _show_readiness(self) -> None:
        if self._fd is not None and not self._closed:
            self._fd.show(readable=self._end.is_readable())

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

    async def _resolve_open(self, address: object, *, local: bool) -> Place:
        """Return an address as `_resolve` does, having let others run, of a socket still open."""
        self._check_open()
        found = await self._resolve(address, local=local)
        await trio.lowlevel.checkpoint()
        self._check_open()
        return found

    async def _resolve(self, address: object, *, local: bool) -> Place:
        """Return an address of the BSD calls as it is below. May not be a checkpoint. OSError."""
        asked = given(self._end, address, local=local)
        if asked.known is not None:
            return asked.place()
        # On the socket's host, wherever the caller is.
        token = current_host.set(self._host)
        try:
            # What is no name or no port is refused there.
            found = await trio.socket.getaddrinfo(asked.name, asked.port, *asked.hints())  # type: ignore[arg-type]
        finally:
            current_host.reset(token)
        return asked.found(found[0][4])
