"""SOCK_STREAM on a host of ours: what a program sees of TCP through `trio.socket`."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import LOOPBACK, UNSPECIFIED, Ip4, format_ip4
from pystack.runtime import tcp_sockopts
from pystack.runtime.socket_options import TEXT_BYTES, view_of
from pystack.runtime.sockets import SO_ACCEPTCONN, HostSocket, check_flags, error_of
from pystack.runtime.tcp_sockopts import Changes
from pystack.stack import ip_fields
from pystack.tcp import send_space
from pystack.tcp.events import Signal
from pystack.tcp.states import TcpState
from pystack.wire.ip_options import MAX_BYTES, find_source_route

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost
    from pystack.stack.tcp_socket import TcpSocket
    from pystack.tcp.listener import Listener
    from pystack.tcp.tcb import TcpConfig

_OPENING: Final = frozenset({TcpState.SYN_SENT, TcpState.SYN_RECEIVED})
_BIND_ADDRESS_NO_PORT: Final = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # Linux's number
_RECVERR: Final = getattr(socket, "IP_RECVERR", 11)
_MSG_MORE: Final = getattr(socket, "MSG_MORE", 0x8000)
_DEFAULT_BACKLOG: Final = 128  # as Trio's


class StreamSocket(HostSocket):
    """Unbound, bound, listening, connecting or connected, as its calls make it."""

    def __init__(self, host: TrioHost, proto: int = 0) -> None:
        super().__init__(host, socket.SOCK_STREAM, proto)
        self._bound: tuple[Ip4, int] | None = None  # None: not bound
        self._listener: Listener[TcpSocket] | None = None  # None: not listening
        self._socket: TcpSocket | None = None  # None: not connected, nor about to be
        self._read_shut = False
        self._peeked = b""  # read from the connection by MSG_PEEK, not yet by the program
        self._error_told = False
        self._changes: Changes = {}  # of the host's TcpConfig, by this socket's options
        self._soft_error = 0  # errno; with IP_RECVERR the next call raises it, once

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        if self._closed:
            return "<StreamSocket closed>"
        if self._socket is not None:
            remote = "{}:{}".format(*self._socket.remote_address)
            state = self._socket.connection.state.value
            return f"<StreamSocket {self._host.name} {self.getsockname()} - {remote} {state}>"
        state = "idle" if self._listener is None else "listening"
        return f"<StreamSocket {self._host.name} {self.getsockname()} {state}>"

    # addresses

    async def bind(self, address: object) -> None:
        """Take a local address and port (0: any free one). OSError: EADDRINUSE and the like."""
        self._check_open()
        local, port = await self._resolve(address, local=True)
        await trio.lowlevel.checkpoint()
        self._check_open()
        if self._bound is not None or self._socket is not None or self._listener is not None:
            raise error_of(errno.EINVAL)
        if port or not self._options.number(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT):
            port = self._free_port(local, port)
        self._bound = local, port

    def listen(self, backlog: int = _DEFAULT_BACKLOG) -> None:
        """Let connections in. OSError: EADDRINUSE, EINVAL."""
        self._check_open()
        if self._socket is not None:
            raise error_of(errno.EINVAL)
        if self._listener is not None:
            self._listener.backlog = backlog
            return
        local, port = self._bound or (UNSPECIFIED, 0)
        listener = self._host.tcp.listen(local, port, backlog)
        listener.on_ready = self._became_readable
        listener.configure(**self._changes)
        self._listener = listener
        self._bound = local, listener.local_port

    def getsockname(self) -> tuple[str, int]:
        """Return (address, port) of this end; ("0.0.0.0", 0) before it has one."""
        self._check_open()
        if self._socket is not None:
            return self._socket.local_address
        local, port = self._bound or (UNSPECIFIED, 0)
        return format_ip4(local), port

    def getpeername(self) -> tuple[str, int]:
        """Return (address, port) of the other end. OSError (ENOTCONN) where there is none."""
        self._check_open()
        connected = self._socket
        if connected is None or connected.connection.state in _OPENING | {TcpState.CLOSED}:
            raise error_of(errno.ENOTCONN)
        return connected.remote_address

    # connections

    async def accept(self) -> tuple[StreamSocket, tuple[str, int]]:
        """Return the next connection and its other end. OSError (EINVAL) without `listen`."""
        return await self._attempt(self._reader, self._try_accept)

    async def connect(self, address: object) -> None:
        """Open a connection. Cancelled, the socket is closed, as Trio's are.

        Raises OSError: ConnectionRefusedError, TimeoutError, EHOSTUNREACH, EISCONN and the like.
        """
        try:
            self._check_open()
            remote, port = await self._resolve(address, local=False)
            await trio.lowlevel.checkpoint()
            self._check_open()
            opening = self._begin(LOOPBACK if remote == UNSPECIFIED else remote, port)
            while opening.connection.state in _OPENING:
                await self._writer.wait()
                if self._closed:
                    raise trio.ClosedResourceError("another task closed this socket")
        except trio.Cancelled:
            self.close()
            raise
        if opening.connection.established_at is None:
            number = opening.connection.error or errno.ECONNABORTED
            self._socket = None  # it may try again
            raise OSError(number, f"Error connecting to {address!r}: {os.strerror(number)}")

    def shutdown(self, flag: int) -> None:
        """End sending, receiving or both. OSError (ENOTCONN) without a connection."""
        self._check_open()
        if flag not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise error_of(errno.EINVAL)
        if self._listener is not None and flag != socket.SHUT_WR:
            self._stop_listening()
            self._reader.wake()
            return
        connected = self._socket
        if connected is None or connected.connection.state is TcpState.CLOSED:
            raise error_of(errno.ENOTCONN)
        if flag != socket.SHUT_WR:
            self._read_shut = True
            self._became_readable()
        if flag != socket.SHUT_RD:
            self._write_shut = True
            self._host.tcp.close(connected, self._host.now())
            self._writer.wake()

    # data

    async def send(self, data: object, flags: int = 0, /) -> int:
        """Queue as much of `data` as there is room for, a byte at least; return how much."""
        check_flags(flags, _MSG_MORE | socket.MSG_EOR)
        view = view_of(data)
        return await self._attempt(self._writer, lambda: self._try_send(view, flags))

    async def sendto(self, data: object, *rest: object) -> int:
        """Send as `send` does; the address is ignored, as it is by Linux."""
        if len(rest) not in (1, 2):
            raise TypeError(
                f"sendto takes data, perhaps flags, and an address, not {len(rest) + 1}"
            )
        flags = rest[0] if len(rest) == 2 else 0
        return await self.send(data, flags if isinstance(flags, int) else 0)

    async def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[tuple[int, int, object]] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one. OSError (EOPNOTSUPP) for ancillary data."""
        if tuple(ancdata):
            raise error_of(errno.EOPNOTSUPP, "ancillary data")
        return await self.send(b"".join(bytes(view_of(part)) for part in buffers), flags)

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """Return what has arrived, `buflen` bytes at most; empty at the peer's end of data."""
        check_flags(flags, socket.MSG_PEEK)
        if buflen < 0:
            raise ValueError("negative buffersize in recv")
        peek = bool(flags & socket.MSG_PEEK)
        return await self._attempt(self._reader, lambda: self._try_receive(buflen, peek=peek))

    async def recv_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return how many bytes."""
        view = view_of(buffer)
        data = await self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, None]:
        """Receive as `recv` does; a stream tells no address with its data."""
        return await self.recv(bufsize, flags), None

    async def recvfrom_into(
        self, buffer: object, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, None]:
        """Receive as `recv_into` does."""
        return await self.recv_into(buffer, nbytes, flags), None

    async def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, None]:
        """Receive as `recv` does; there is never ancillary data."""
        return await self.recv(bufsize, flags), [], 0, None

    def is_readable(self) -> bool:
        """Tell whether `recv` or `accept` would return (or raise) at once."""
        if self._closed:
            return True
        if self._listener is not None:
            return bool(self._listener.ready) or self._listener.broken
        if self._socket is None:
            return True  # as poll() finds a socket that is not connected: POLLHUP
        connection = self._socket.connection
        return bool(
            self._peeked
            or self._read_shut
            or connection.receive_buffer.readable_bytes
            or connection.at_eof
        )

    async def wait_writable(self) -> None:
        """Wait until there is room in the send buffer, or sending would raise."""
        await self._attempt(self._writer, self._try_writable)

    # what the calls attempt; None: not now

    def _try_accept(self) -> tuple[StreamSocket, tuple[str, int]] | None:
        if self._listener is None:
            raise error_of(errno.EINVAL)
        if self._listener.broken:
            raise error_of(errno.EIO, f"{self._host.name} was powered off")
        if not self._listener.ready:
            return None
        ready = self._listener.ready.popleft()
        ready.listener = None
        accepted = StreamSocket(self._host, self._proto)
        accepted._options = self._options.copy()
        accepted._changes = dict(self._changes)
        accepted._adopt(ready)
        return accepted, ready.remote_address

    def _try_send(self, view: memoryview, flags: int) -> int | None:
        connected = self._socket
        if connected is None or self._write_shut:
            raise error_of(errno.EPIPE)
        number = self._take_error()
        if number:
            raise error_of(number)
        if not view:
            return 0
        # None while there is no room; BrokenPipeError after the end.
        table, now = self._host.tcp, self._host.now()
        more_comes, record_ends = bool(flags & _MSG_MORE), bool(flags & socket.MSG_EOR)
        written = table.write(connected, view, now, more_comes=more_comes, record_ends=record_ends)
        return written or None

    def _try_receive(self, size: int, *, peek: bool) -> bytes | None:
        connected = self._socket
        if connected is None:
            raise error_of(errno.ENOTCONN)
        data, self._peeked = self._peeked[:size], self._peeked[size:]
        if len(data) < size:
            data += self._host.tcp.read(connected, size - len(data), self._host.now())
        if peek:
            self._peeked = data + self._peeked
        if data or size == 0 or self._read_shut:
            return data
        number = self._take_error()
        if number:
            raise error_of(number)
        return b"" if connected.connection.at_eof else None

    def _try_writable(self) -> bool | None:
        connected = self._socket
        if connected is None or self._write_shut:
            return True
        connection = connected.connection
        # As for poll(2) in Linux, a good part of the buffer must be free, not just a byte of it:
        # the part from which on a connection says WRITABLE.
        if connection.state is TcpState.CLOSED or send_space.writable(connection):
            return True
        connection.write_blocked = True
        return None

    # what lies below

    def _begin(self, remote: Ip4, port: int) -> TcpSocket:
        if self._listener is not None:
            raise error_of(errno.EISCONN)
        if self._socket is not None:
            opening = self._socket.connection.state in _OPENING
            raise error_of(errno.EALREADY if opening else errno.EISCONN)
        table, now = self._host.tcp, self._host.now()
        local, local_port = self._bound or (UNSPECIFIED, 0)
        options = self._options.read(socket.IPPROTO_IP, socket.IP_OPTIONS, MAX_BYTES)
        assert isinstance(options, bytes)
        opening_socket = table.connect(
            remote,
            port,
            now,
            local=local,
            local_port=local_port,
            config=self._config if self._changes else None,
            source_route=find_source_route(options),
        )
        self._adopt(opening_socket)
        table.pump(opening_socket, now)
        return opening_socket

    def _adopt(self, connected: TcpSocket) -> None:
        self._socket = connected
        self._error_told = False
        connected.on_signal = self._on_signal
        connected.on_error = self._on_error
        number = self._options.number
        for name in tcp_sockopts.SWITCHES:
            key = tcp_sockopts.TCP, name
            tcp_sockopts.switch(connected.connection, key, number(*key))
        if not number(tcp_sockopts.TCP, tcp_sockopts.QUICKACK, 1):
            tcp_sockopts.switch(connected.connection, (tcp_sockopts.TCP, tcp_sockopts.QUICKACK), 0)
        self._size_send_buffer(number(socket.SOL_SOCKET, socket.SO_SNDBUF))
        for name in (socket.IP_TOS, socket.IP_TTL):
            self._option_set(socket.IPPROTO_IP, name, number(socket.IPPROTO_IP, name))

    def _free_port(self, local: Ip4, port: int) -> int:
        # The host keeps no list of ports that are merely bound: opening one for a moment finds out
        # whether it can be had, and which is free. No packet can arrive in between.
        table = self._host.tcp
        listener = table.listen(local, port, 1)
        table.unlisten(listener, self._host.now())
        return listener.local_port

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._host.tcp.unlisten(self._listener, self._host.now())
            self._listener = None

    def _release(self) -> None:
        self._stop_listening()
        if self._socket is None:
            return
        table, now = self._host.tcp, self._host.now()
        if self._options.resets_on_close:
            table.abort(self._socket, now)
        else:
            table.release(self._socket, now)
        self._socket.on_signal = None

    def _on_signal(self, signal: Signal) -> None:
        if signal is not Signal.WRITABLE:
            self._became_readable()
        if signal is not Signal.READABLE:
            self._writer.wake()

    def _became_readable(self) -> None:
        self._reader.wake()
        self._show_readiness()

    def _on_error(self, number: int) -> None:
        # ip(7): with IP_RECVERR, TCP passes all errors on at once; else only those that end it.
        if self._options.number(socket.IPPROTO_IP, _RECVERR):
            self._soft_error = number
            self._became_readable()
            self._writer.wake()

    def _take_error(self) -> int:
        if self._soft_error:
            number, self._soft_error = self._soft_error, 0
            return number
        if self._socket is None or self._error_told:
            return 0
        number = self._socket.connection.error or 0
        self._error_told = number != 0
        return number

    # options

    @property
    def _config(self) -> TcpConfig:
        if self._socket is not None:
            return self._socket.connection.config
        return replace(self._host.tcp.config, **self._changes)  # type: ignore[arg-type]

    def _known_option(self, level: int, name: int) -> int | str | bytes | None:
        if (level, name) == (socket.SOL_SOCKET, SO_ACCEPTCONN):
            return int(self._listener is not None)
        if self._socket is not None:
            connection = self._socket.connection
            if (level, name) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
                return send_space.limit_bytes(connection)
            if (level, name) == (socket.IPPROTO_IP, socket.IP_TTL):
                return self._socket.ip.ttl
            if (level, name) == (socket.IPPROTO_IP, socket.IP_TOS):
                return self._socket.ip.tos
        if (level, name) == (socket.SOL_SOCKET, socket.SO_RCVBUF):
            return self._config.receive_buffer_bytes
        opened = None if self._socket is None else self._socket.connection
        known = tcp_sockopts.read((level, name), self._config, opened)
        if known is None and level == tcp_sockopts.TCP:
            return self._switch(name)
        return super()._known_option(level, name) if known is None else known

    def _switch(self, name: int) -> int | bytes:
        """Return an option that is a connection's own, before there is one."""
        if name == tcp_sockopts.INFO:
            return tcp_sockopts.info_without_connection(listening=self._listener is not None)
        usual = int(name == tcp_sockopts.QUICKACK)
        return int(self._options.number(tcp_sockopts.TCP, name, usual) != 0)

    def _check_option(self, level: int, name: int, data: object) -> None:
        if level == tcp_sockopts.TCP:
            number = data is None or isinstance(data, int)
            tcp_sockopts.check(name, None if number else view_of(data), setting=data is not None)

    def _option_set(self, level: int, name: int, number: int) -> None:
        data = self._options.read(level, name, TEXT_BYTES)
        assert isinstance(data, bytes)
        changes = tcp_sockopts.changes(
            (level, name),
            number,
            data,
            self._config,
            listening=self._listener is not None,
            connected=self._socket is not None,
        )
        if changes:
            self._changes.update(changes)
            if self._listener is not None:
                self._listener.configure(**changes)
        if self._socket is None:
            return
        connection, now = self._socket.connection, self._host.now()
        if changes:
            connection.configure(now, **changes)
        elif tcp_sockopts.switch(connection, (level, name), number):
            self._host.tcp.pump(self._socket, now)
        elif (level, name) == (socket.SOL_SOCKET, socket.SO_SNDBUF):
            self._size_send_buffer(number)
        elif (level, name) == (socket.IPPROTO_IP, socket.IP_TOS):
            ip_fields.set_tos(self._socket, number)
        elif (level, name) == (socket.IPPROTO_IP, socket.IP_TTL) and 1 <= number <= 255:
            ip_fields.set_ttl(self._socket, number)

    def _size_send_buffer(self, size_bytes: int) -> None:
        if size_bytes > 0 and self._socket is not None:
            self._socket.connection.configure(
                self._host.now(), send_buffer_bytes=size_bytes, send_buffer_max_bytes=size_bytes
            )
