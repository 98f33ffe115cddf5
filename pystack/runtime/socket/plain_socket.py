"""Sockets as programs know them that are not written for Trio: `socket.socket` on a pystack host.

They are made where such a program asks for one (`runtime/borrowed/sockets.py`), over the very ends
that Trio's sockets have (`sockets.py`). What calls return and raise is CPython's on Linux, with its
three ways of waiting: not at all, for so long, for ever; how they wait is in `waits.py`.
"""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Callable, Iterable
from operator import index
from typing import TYPE_CHECKING, Any, Final, NoReturn, Self, TypeVar
from weakref import WeakKeyDictionary

from pystack.core.errors import error_of
from pystack.runtime.current import current_host
from pystack.runtime.names.resolver import look_up
from pystack.runtime.socket import waits
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.descriptors import Descriptor, find, open_descriptor
from pystack.runtime.socket.given_addresses import given
from pystack.runtime.socket.option_table import linux_number
from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.socket_addresses import Place, SocketAddress, destination
from pystack.runtime.socket.socket_calls import (
    INTERNET,
    KIND_MASK,
    MSG_DONTWAIT,
    MSG_FASTOPEN,
    MSG_PEEK,
    MSG_WAITALL,
    MSG_ZEROCOPY,
    Address,
    ControlMessage,
    Message,
    Received,
    check_flags,
    check_kind,
    joined,
    option_value,
    room_in,
    sendto_arguments,
    size_to,
    sizes_to_recvmsg,
)
from pystack.runtime.socket.socket_ends import SocketEnd
from pystack.runtime.socket.socket_options import view_of
from pystack.runtime.socket.stream_ends import StreamEnd
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.runtime.host import Host

T = TypeVar("T")

_OPENING: Final = (TcpState.SYN_SENT, TcpState.SYN_RECEIVED)
_NONBLOCK: Final = getattr(socket, "SOCK_NONBLOCK", 0)
_DEFAULT_BACKLOG: Final = 128  # as CPython's, which takes no more than that
_UNDER: Final[Any] = socket.socket.__base__  # what is written in C; it stays without a descriptor
_MOST_TIMEOUT_S: Final = 9_223_372_036.0  # as CPython: nanoseconds of 63 bits

# What socket.setdefaulttimeout said on a host
default_timeouts: Final[WeakKeyDictionary[Host, float | None]] = WeakKeyDictionary()


class PlainSocket(socket.socket):
    """A socket of a host for blocking programs and event loops; a `socket.socket` by its type."""

    _descriptor: Descriptor
    _timeout_s: float | None  # None: waits for ever; 0: never

    def __new__(cls, *_args: object, **_words: object) -> Self:
        """Return one that has nothing yet: `__init__` or `over` gives it an end."""
        made: Self = _UNDER.__new__(cls)
        return made

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - the standard library's word
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        """Open a socket on the host that the caller is on; or stand for one that there is."""
        kind = socket.SOCK_STREAM if type == -1 else type
        here = current_host.get()
        if fileno is not None:
            found = None if isinstance(fileno, float) else find(index(fileno))
            if found is None:
                raise error_of(errno.EBADF)
            descriptor = found
        else:
            if here is None:
                raise RuntimeError("a PlainSocket is made on a host")
            family = socket.AF_INET if family == -1 else family
            descriptor = waits.call(
                _open, here, family, kind & KIND_MASK, 0 if proto == -1 else proto
            )
        self._take(descriptor, 0.0 if kind & _NONBLOCK else default_timeout(here))

    @classmethod
    def over(cls, end: SocketEnd, timeout_s: float | None = None) -> Self:
        """Return a new socket for an end, with a descriptor of its own."""
        made = cls.__new__(cls)
        made._take(open_descriptor(end), timeout_s)
        return made

    def _take(self, descriptor: Descriptor, timeout_s: float | None) -> None:
        self._descriptor, self._timeout_s = descriptor, timeout_s
        self._io_refs, self._closed = 0, False
        self._gone = False  # closed for good, or detached

    def __del__(self) -> None:
        """Close it, with CPython's warning, where the program has forgotten it."""
        descriptor = getattr(self, "_descriptor", None)
        if descriptor is None or self._gone or descriptor.closed:
            return
        warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
        waits.later(descriptor.end.host.driver, descriptor.close)

    # what it is

    @property
    def family(self) -> socket.AddressFamily:
        """Return AF_INET or AF_INET6; of a pair AF_UNIX."""
        return self._descriptor.end.family

    @property
    def type(self) -> socket.SocketKind:
        """Return SOCK_STREAM or SOCK_DGRAM, without flags."""
        return self._descriptor.end.kind

    @property
    def proto(self) -> int:
        """Return the protocol as it was asked for, 0 for the usual one."""
        return self._descriptor.end.proto

    @property
    def timeout(self) -> float | None:
        """Return how long calls wait, in seconds; None: for ever."""
        return self._timeout_s

    def fileno(self) -> int:
        """Return a number that is known in this world alone; -1 once closed."""
        return -1 if self._gone or self._descriptor.closed else self._descriptor.number

    def poll(self) -> int:
        """Return what poll(2) finds, as a mask of EPOLL*."""
        return self._open_descriptor().poll()

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call `watcher` each time that `poll` may have another answer, and when it is closed."""
        self._open_descriptor().watch(watcher)

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call it no more."""
        self._descriptor.unwatch(watcher)

    def gettimeout(self) -> float | None:
        """Return how long calls wait, in seconds; None: for ever."""
        return self._timeout_s

    def settimeout(self, value: float | None, /) -> None:
        """Let calls wait so long. ValueError: less than 0, OverflowError: too long."""
        self._timeout_s = checked_timeout(value)

    def getblocking(self) -> bool:
        """Tell whether calls wait."""
        return self._timeout_s != 0.0

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - the standard library's
        """Let calls wait for ever, or not at all."""
        self._timeout_s = None if flag else 0.0

    def get_inheritable(self) -> bool:
        """Return False: no other process can have it."""
        return False

    def set_inheritable(self, inheritable: bool) -> None:  # noqa: FBT001 - the same
        """Take False; True cannot be."""
        if inheritable:
            self._refuse("set_inheritable")

    # its end of life

    def detach(self) -> int:
        """Return the number, which `socket.socket(fileno=...)` takes on this host; be closed."""
        number = self.fileno()
        self._closed = self._gone = True
        return number

    def dup(self) -> Self:
        """Return another descriptor of the same socket, which ends when all are closed."""
        end = self._end
        return waits.call(type(self).over, end, self._timeout_s)

    def _real_close(self, _ss: object = None) -> None:
        if not self._gone:
            self._gone = True
            _call_or_after_end(self._descriptor, self._descriptor.close)

    # options

    def getsockopt(self, level: int, optname: int, buflen: int | None = None, /) -> Any:
        """Return an option: a number, or bytes where a length is given."""
        number = linux_number(level, optname)
        return waits.call(self._end.get_option, level, number, buflen)

    def setsockopt(
        self, level: int, optname: int, value: object, optlen: int | None = None, /
    ) -> None:
        """Set an option. OSError (ENOPROTOOPT) for those that are none here."""
        data, number = option_value(value, optlen), linux_number(level, optname)
        waits.call(self._end.set_option, level, number, data)

    # addresses

    def bind(self, address: object, /) -> None:
        """Take a local address and port (0: any free one). OSError: EADDRINUSE, EADDRNOTAVAIL."""
        place = self._resolve(address, local=True)
        waits.call(self._end.bind, *place)

    def getsockname(self) -> Any:
        """Return the address of this end; zeros before it has one."""
        end = self._end
        return waits.call(lambda: end.shown(*end.name()))

    def getpeername(self) -> Any:
        """Return the address of the other end. OSError (ENOTCONN) where there is none."""
        end = self._end
        remote, port = waits.call(end.peer)
        if not port:
            raise error_of(errno.ENOTCONN)
        return end.shown(remote, port)

    def shutdown(self, how: int, /) -> None:
        """End sending, receiving or both. OSError (ENOTCONN) without another end."""
        waits.call(self._end.shutdown, how)

    # connections

    def listen(self, backlog: int = _DEFAULT_BACKLOG, /) -> None:
        """Let connections in. OSError: EADDRINUSE, EINVAL."""
        waits.call(self._stream("listen").listen, max(0, index(backlog)))

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its other end. OSError (EINVAL) without `listen`."""
        listening = self._stream("accept")
        end = self._wait("accept", listening.accept)
        assert end.socket is not None
        default_s = default_timeout(listening.host)
        made = waits.call(PlainSocket.over, end, default_s)
        return made, end.shown(end.socket.remote, end.socket.connection.remote_port)

    def connect(self, address: object, /) -> None:
        """Open a connection, or choose a partner. OSError; TimeoutError after the timeout."""
        number = self._connect(address)
        if number == errno.EWOULDBLOCK:
            raise TimeoutError("timed out")
        if number:
            raise error_of(number)

    def connect_ex(self, address: object, /) -> int:
        """Do what `connect` does, but return an errno; 0: it is connected."""
        return self._connect(address)

    def _connect(self, address: object) -> int:
        end = self._end
        if isinstance(end, PairEnd):
            return errno.EISCONN
        place = self._resolve(address, local=False)
        try:
            if isinstance(end, DatagramEnd):
                waits.call(end.connect, *place)
                return 0
            assert isinstance(end, StreamEnd)
            return self._open_connection(end, *place)
        except OSError as error:
            if error.errno is None:
                raise
            return error.errno

    def _open_connection(self, end: StreamEnd, remote: object, port: int) -> int:
        place = destination(remote, end.name()[0]), port  # type: ignore[arg-type] # an Ip

        def begin() -> int:
            try:
                before = end.socket
                opening = end.connect(*place)
            except OSError as error:
                if error.errno != errno.EALREADY or self._timeout_s is not None:
                    raise
                return errno.EINPROGRESS  # a call that blocks waits for the first one
            if opening.connection.state in _OPENING and not end.deferred:
                return errno.EINPROGRESS
            if before is None and self._timeout_s != 0.0 and not end.deferred:
                return self._settled(end, place)
            return 0

        number = waits.call(begin)
        if number != errno.EINPROGRESS or self._timeout_s == 0.0:
            return number

        def opened() -> int | None:
            opening = end.socket
            if opening is not None and opening.connection.state in _OPENING:
                return None
            return self._settled(end, place)

        try:
            return self._wait("connect", opened)
        except TimeoutError as error:
            if error.errno is not None:
                raise
            return errno.EWOULDBLOCK

    def _settled(self, end: StreamEnd, place: Place) -> int:
        """Return what became of a connection: as CPython finds out, by its way of waiting."""
        if self._timeout_s is not None:
            return end.take_error()  # SO_ERROR: the next `connect` still has its answer
        end.connect(*place)
        return 0

    # receiving

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Return what has arrived, `bufsize` bytes at most; empty at a stream's end of data."""
        if size_to("recv", bufsize) == 0:
            self._open_descriptor()
            return b""
        return self._receive("recv", bufsize, flags).whole()

    def recv_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return how many bytes."""
        view = view_of(buffer)
        if room_in(view, nbytes) == 0:
            return 0
        return self.recvfrom_into(view, nbytes, flags)[0]

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """Receive as `recv` does, and tell a datagram's sender; a stream tells none."""
        received = self._receive("recvfrom", size_to("recvfrom", bufsize), flags)
        return received.whole(), received.sender

    def recvfrom_into(
        self, buffer: object, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, Any]:
        """Receive into a buffer; return how many bytes, and a datagram's sender."""
        view = view_of(buffer)
        received = self._receive("recvfrom_into", room_in(view, nbytes), flags)
        view[: len(received.data)] = received.data
        return received.size, received.sender

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[ControlMessage], int, Any]:
        """Receive with control messages, as far as `ancbufsize` has room for them."""
        bufsize, ancbufsize = sizes_to_recvmsg(bufsize, ancbufsize)
        return self._receive("recvmsg", bufsize, flags).as_message(bufsize, ancbufsize)

    def recvmsg_into(
        self, buffers: Iterable[object], ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[int, list[ControlMessage], int, Any]:
        """Receive into buffers, one after the other, with control messages as `recvmsg`."""
        views = [view_of(buffer) for buffer in buffers]
        received = self._receive("recvmsg_into", sum(map(len, views)), flags)
        return received.into(views, ancbufsize)

    def _receive(self, what: str, size: int, flags: int) -> Received:
        end = self._end
        if not isinstance(end, StreamEnd):
            assert isinstance(end, DatagramEnd | PairEnd)
            return self._wait(what, lambda: end.try_receive(size, flags), flags)
        if flags & MSG_WAITALL and self._timeout_s is None and not flags & MSG_PEEK:
            return self._receive_all(what, end, size, flags)
        woken = False

        def attempt() -> Received | None:
            nonlocal woken
            woken, before = True, woken
            return end.try_receive(size, flags, woken=before)

        return self._wait(what, attempt, flags)

    def _receive_all(self, what: str, end: StreamEnd, size: int, flags: int) -> Received:
        """MSG_WAITALL: all of it, or what there is at the end of data or at an error."""
        found = bytearray()
        while True:
            try:
                wanted = size - len(found)
                got = self._wait(what, lambda: end.try_receive(wanted, flags), flags)  # noqa: B023
            except OSError:
                if not found:
                    raise
                return Received(bytes(found), len(found))
            found += got.data
            if not got.data or len(found) == size:
                return Received(bytes(found), len(found))

    # sending

    def send(self, data: object, flags: int = 0, /) -> int:
        """Send as much as there is room for; all of it where calls wait for ever."""
        return self._send("send", view_of(data), flags)

    def sendall(self, data: object, flags: int = 0, /) -> None:
        """Send all of it, in the socket's timeout for the whole."""
        view, end, done = view_of(data), self._end, 0
        if not isinstance(end, StreamEnd | PairEnd):
            self._send("sendall", view, flags)
            return
        deadline = _deadline(end.host, self._timeout_s)
        while True:
            left_s = None if deadline is None else deadline - end.host.now()
            if left_s is not None and left_s <= 0 and self._timeout_s != 0.0:
                raise TimeoutError("timed out")
            done += self._send("sendall", view[done:], flags, left_s)
            if done >= len(view):
                return

    def sendto(self, data: object, *rest: object) -> int:  # type: ignore[override] # both forms
        """Send data, with perhaps flags, to an address. OSError: EMSGSIZE, ENETUNREACH, ..."""
        flags, address = sendto_arguments(rest)
        return self._send_to("sendto", view_of(data), (), flags, address)

    def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[Message] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one, with control messages."""
        return self._send_to("sendmsg", joined(buffers), tuple(ancdata), flags, address)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file's rest, or `count` bytes of it; by `send`, since no kernel knows both."""
        sent: int = self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined]
        return sent

    def _send_to(
        self, what: str, view: memoryview, messages: tuple[Message, ...], flags: int, address: object
    ) -> int:
        end = self._end
        if isinstance(end, DatagramEnd):
            check_flags(flags, MSG_FASTOPEN | MSG_ZEROCOPY)
            to = None if address is None else self._resolve(address, local=False)
            if to is not None:
                to = end.on_some_link(to[0]), to[1]
            return waits.call(end.try_send, view, to, flags, messages)
        if messages:
            raise error_of(errno.EOPNOTSUPP, "ancillary data")
        if isinstance(end, StreamEnd) and address is not None and flags & MSG_FASTOPEN:
            check_flags(flags & ~MSG_FASTOPEN)
            return self._send_opening(end, address, view)
        return self._send(what, view, flags)

    def _send(
        self, what: str, view: memoryview, flags: int, timeout_s: float | None = None
    ) -> int:
        end = self._end
        if isinstance(end, DatagramEnd):
            return self._send_to(what, view, (), flags, None)
        assert isinstance(end, StreamEnd | PairEnd)
        check_flags(flags)
        if self._timeout_s is not None:
            return self._wait(what, lambda: end.try_send(view, flags), flags, timeout_s)
        done = 0
        while True:  # a call that blocks returns when all is queued, or some of it and an error
            rest = view[done:]
            try:
                done += self._wait(what, lambda: end.try_send(rest, flags), flags)  # noqa: B023
            except OSError:
                if not done:
                    raise
                return done
            if done >= len(view) or flags & MSG_DONTWAIT:
                return done

    def _send_opening(self, end: StreamEnd, address: object, view: memoryview) -> int:
        """MSG_FASTOPEN: connect with the first of it in the SYN; return how much was taken."""
        remote, port = self._resolve(address, local=False)
        place = destination(remote, end.name()[0]), port
        opening = waits.call(end.connect, *place, memoryview(bytes(view)))
        taken = len(opening.connection.send_buffer)
        if opening.connection.state in _OPENING and not end.deferred:
            if self._timeout_s == 0.0:
                raise error_of(errno.EINPROGRESS)
            self._wait("sendto", lambda: opening.connection.state not in _OPENING or None)
        number = 0 if opening.connection.established_at is not None else end.take_error()
        if number:
            raise error_of(number)
        return taken

    # below

    @property
    def _end(self) -> SocketEnd:
        return self._open_descriptor().end

    def _open_descriptor(self) -> Descriptor:
        if self._gone or self._descriptor.closed:
            raise error_of(errno.EBADF)
        return self._descriptor

    def _stream(self, what: str) -> StreamEnd:
        end = self._end
        if not isinstance(end, StreamEnd):
            raise error_of(errno.EOPNOTSUPP if isinstance(end, DatagramEnd) else errno.EINVAL)
        return end

    def _wait(
        self,
        what: str,
        attempt: Callable[[], T | None],
        flags: int = 0,
        timeout_s: float | None = None,
    ) -> T:
        """Do `attempt` until it returns something, as long as the socket waits.

        `timeout_s`: what is left of its timeout; None: all.
        Raises BlockingIOError where it does not wait, TimeoutError afterwards.
        """
        result = waits.call(attempt)
        if result is not None:
            return result
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        if self._timeout_s == 0.0 or (flags & MSG_DONTWAIT and self._timeout_s is None):
            raise error_of(errno.EAGAIN)
        descriptor = self._descriptor

        def attempt_open() -> T | None:
            # As Linux: what waits for ever is in the kernel, and goes on; what waits for a while
            # looks at the number again.
            if timeout_s is not None and descriptor.closed:
                raise error_of(errno.EBADF)
            return attempt()

        words = f"socket.{what} (timeout {self._timeout_s})"
        found = waits.wait(words, waits.until, descriptor, attempt_open, timeout_s)
        if found is None:
            raise TimeoutError("timed out")
        return found

    def _resolve(self, address: object, *, local: bool) -> Place:
        """Return an address of the BSD calls as it is below. OSError."""
        end = self._end
        if isinstance(end, PairEnd):
            raise error_of(errno.EISCONN)
        asked = given(end, address, local=local)
        if asked.known is not None:
            return asked.place()
        found = look_up_now(end.host, asked.name, asked.port, *asked.hints())
        return asked.found(found[0][4])

    def _refuse(self, what: str) -> NoReturn:
        raise OSError(errno.EOPNOTSUPP, f"{what}: this socket exists inside pystack only")
