"""Sockets as programs know them that are not written for Trio: `socket.socket` on a pystack host.

They are made where such a program asks for one (`runtime/borrowed/sockets.py`), over the very ends
that Trio's sockets have (`sockets.py`). What calls return and raise is CPython's on Linux, with its
three ways of waiting: not at all, for so long, for ever; how they wait is in `waits.py`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from pystack.core.errors import error_of
from pystack.runtime.borrowed.clock import BlockedWorldError
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.given_addresses import check_form
from pystack.runtime.socket.pair_ends import PairEnd
from pystack.runtime.socket.plain_base import PlainBase, default_timeout
from pystack.runtime.socket.readiness import IN, OUT
from pystack.runtime.socket.socket_addresses import Place, destination
from pystack.runtime.socket.socket_calls import (
    MSG_DONTWAIT,
    MSG_FASTOPEN,
    MSG_PEEK,
    MSG_WAITALL,
    MSG_ZEROCOPY,
    ControlMessage,
    Message,
    Received,
    c_int,
    check_flags,
    joined,
    room_in,
    sendto_arguments,
    size_to,
    sizes_to_recvmsg,
)
from pystack.runtime.socket.socket_options import view_of
from pystack.runtime.socket.stream_ends import StreamEnd
from pystack.tcp.states import TcpState

_OPENING: Final = (TcpState.SYN_SENT, TcpState.SYN_RECEIVED)
_DEFAULT_BACKLOG: Final = 128  # as CPython's, which takes no more than that


class PlainSocket(PlainBase):
    """A socket of a host for blocking programs and event loops; a `socket.socket` by its type."""

    # connections

    def listen(self, backlog: int = _DEFAULT_BACKLOG, /) -> None:
        """Let connections in. OSError: EADDRINUSE, EINVAL."""
        self._call(self._stream("listen").listen, max(0, c_int(backlog)))

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection and its other end. OSError (EINVAL) without `listen`."""
        listening = self._stream("accept")
        end = self._wait("accept", listening.accept, first=IN)
        assert end.socket is not None
        default_s = default_timeout(listening.host)
        made = self._call(PlainSocket.over, end, default_s)
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
        if self.fileno() < 0:
            return errno.EBADF
        end = self.end
        if isinstance(end, PairEnd):
            return errno.EISCONN
        place = self._resolve("connect", address, local=False)
        try:
            if isinstance(end, DatagramEnd):
                self._call(end.connect, *place)
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

        number = self._call(begin)
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
        except BlockedWorldError:
            self.close()  # who meant to go on has lost it: `create_connection` closes for OSErrors
            raise

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

    def recvfrom_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
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
        size = sum(room_in(view, 0) for view in views)
        received = self._receive("recvmsg_into", size, flags)
        return received.into(views, ancbufsize)

    def _receive(self, what: str, size: int, flags: int) -> Received:
        flags, end = c_int(flags), self.end
        if isinstance(end, DatagramEnd):
            return self._wait(what, lambda: self._datagram(end, size, flags), flags, first=IN)
        if isinstance(end, PairEnd):
            return self._wait(what, lambda: end.try_receive(size, flags), flags, first=IN)
        assert isinstance(end, StreamEnd)
        if flags & MSG_WAITALL and self._timeout_s is None and not flags & MSG_PEEK:
            return self._receive_all(what, end, size, flags)
        woken = False

        def attempt() -> Received | None:
            nonlocal woken
            woken, before = True, woken
            return end.try_receive(size, flags, woken=before)

        return self._wait(what, attempt, flags, first=IN)

    def _datagram(self, end: DatagramEnd, size: int, flags: int) -> Received | None:
        found = end.try_receive(size, flags)
        if found is not None and found.sender is None and self._timeout_s is not None:
            return None  # as Linux: after SHUT_RD there is an end of data for who waits for ever
        return found

    def _receive_all(self, what: str, end: StreamEnd, size: int, flags: int) -> Received:
        """MSG_WAITALL: all of it, or what there is at the end of data or at an error."""
        found = bytearray()
        while True:
            try:
                wanted = size - len(found)
                got = self._wait(what, lambda: end.try_receive(wanted, flags), flags)  # noqa: B023
            except OSError as error:
                if not found:
                    raise
                end.keep_error(error)
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
        view, end, done = view_of(data), self.end, 0
        if not isinstance(end, StreamEnd | PairEnd):
            self._send("sendall", view, flags)
            return
        deadline = self._deadline()
        while True:
            left_s = None if deadline is None else deadline - self._now()
            if left_s is not None and left_s <= 0 and self._timeout_s != 0.0:
                raise TimeoutError("timed out")
            done += self._send("sendall", view[done:], flags, left_s)
            if done >= len(view):
                return

    def sendto(self, data: object, *rest: object) -> int:
        """Send data, with perhaps flags, to an address. OSError: EMSGSIZE, ENETUNREACH, ..."""
        flags, address = sendto_arguments(rest)
        if address is None:  # which `sendmsg` takes
            check_form("sendto", self.end, address)
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

    def sendfile(
        self,
        file: Any,  # noqa: ANN401 - the standard library's
        offset: int = 0,
        count: int | None = None,
    ) -> int:
        """Send a file's rest, or `count` bytes of it; by `send`, since no kernel knows both."""
        sent: int = self._sendfile_use_send(file, offset, count)  # type: ignore[attr-defined]
        return sent

    def _send_to(
        self,
        what: str,
        view: memoryview,
        messages: tuple[Message, ...],
        flags: int,
        address: object,
    ) -> int:
        end = self.end
        if isinstance(end, DatagramEnd):
            check_flags(flags, MSG_FASTOPEN | MSG_ZEROCOPY)
            to = None if address is None else self._resolve(what, address, local=False)
            if to is not None:
                to = end.on_some_link(to[0]), to[1]
            return self._call(end.try_send, view, to, flags, messages)
        if messages:
            raise error_of(errno.EOPNOTSUPP, "ancillary data")
        if isinstance(end, StreamEnd) and address is not None and flags & MSG_FASTOPEN:
            check_flags(flags & ~MSG_FASTOPEN)
            return self._send_opening(end, address, view)
        return self._send(what, view, flags)

    def _send(self, what: str, view: memoryview, flags: int, timeout_s: float | None = None) -> int:
        flags, end = c_int(flags), self.end
        if isinstance(end, DatagramEnd):
            return self._send_to(what, view, (), flags, None)
        assert isinstance(end, StreamEnd | PairEnd)
        check_flags(flags)
        if self._timeout_s is not None:
            attempt = partial(end.try_send, view, flags)
            return self._wait(what, attempt, flags, timeout_s, first=OUT)
        done = 0
        while True:  # a call that blocks returns when all is queued, or some of it and an error
            rest = view[done:]
            try:
                done += self._wait(what, lambda: end.try_send(rest, flags), flags)  # noqa: B023
            except OSError as error:
                if not done:
                    raise
                if isinstance(end, StreamEnd):
                    end.keep_error(error)
                return done
            if done >= len(view) or flags & MSG_DONTWAIT:
                return done

    def _send_opening(self, end: StreamEnd, address: object, view: memoryview) -> int:
        """MSG_FASTOPEN: connect with the first of it in the SYN; return how much was taken."""
        remote, port = self._resolve("sendto", address, local=False)
        place = destination(remote, end.name()[0]), port
        opening = self._call(end.connect, *place, memoryview(bytes(view)))
        taken = len(opening.connection.send_buffer)
        if opening.connection.state in _OPENING and not end.deferred:
            if self._timeout_s == 0.0:
                raise error_of(errno.EINPROGRESS)
            self._wait("sendto", lambda: opening.connection.state not in _OPENING or None)
        number = 0 if opening.connection.established_at is not None else end.take_error()
        if number:
            raise error_of(number)
        return taken
