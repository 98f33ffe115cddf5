"""SOCK_DGRAM on a host of ours: what a program sees of UDP through `trio.socket`."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import LOOPBACK, UNSPECIFIED, Ip4, format_ip4
from pystack.runtime.socket_options import SOL_UDP, UDP_SEGMENT, view_of
from pystack.runtime.sockets import HostSocket, check_flags, error_of
from pystack.wire.udp import MAX_LONG_BURST_DATAGRAMS, MAX_PAYLOAD_BYTES

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost
    from pystack.stack.udp_socket import UdpSocket

_MSG_TRUNC: Final = getattr(socket, "MSG_TRUNC", 0x20)
_Received = tuple[bytes, tuple[str, int], int]  # payload, sender, flags of recvmsg(2)


class DatagramSocket(HostSocket):
    """A UDP socket; it gets its port when bound, or when it first sends."""

    def __init__(self, host: TrioHost, proto: int = 0) -> None:
        super().__init__(host, socket.SOCK_DGRAM, proto)
        self._socket: UdpSocket | None = None  # None: no port yet
        self._peeked: tuple[bytes, Ip4, int] | None = None  # None: nothing was peeked at
        self._read_shut = False

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        if self._closed:
            return "<DatagramSocket closed>"
        return f"<DatagramSocket {self._host.name} {self.getsockname()}>"

    async def bind(self, address: object) -> None:
        """Take a local address and port (0: any free one). OSError: EADDRINUSE, EADDRNOTAVAIL."""
        self._check_open()
        local, port = await self._resolve(address, local=True)
        await trio.lowlevel.checkpoint()
        self._check_open()
        if self._socket is not None:
            raise error_of(errno.EINVAL)
        self._open(local, port)

    async def connect(self, address: object) -> None:
        """Take one partner: `send` goes to it, datagrams and errors of others are not heard."""
        self._check_open()
        remote, port = await self._resolve(address, local=False)
        await trio.lowlevel.checkpoint()
        self._check_open()
        remote = _destination(remote)
        route = self._host.routes.lookup(remote)
        if route is None:
            raise error_of(errno.ENETUNREACH, format_ip4(remote))
        udp = self._opened()
        udp.remote = remote, port
        if udp.local == UNSPECIFIED:
            # udp(7): the source address is chosen now; programs ask getsockname for it.
            udp.local = remote if remote in self._host.stack.addresses else route.source

    def listen(self, backlog: int = 0) -> None:
        """Refuse: UDP has no connections (EOPNOTSUPP)."""
        raise error_of(errno.EOPNOTSUPP)

    async def accept(self) -> tuple[HostSocket, tuple[str, int]]:
        """Refuse: UDP has no connections (EOPNOTSUPP)."""
        await trio.lowlevel.checkpoint()
        raise error_of(errno.EOPNOTSUPP)

    def getsockname(self) -> tuple[str, int]:
        """Return (address, port) of this end; ("0.0.0.0", 0) before it has one."""
        self._check_open()
        if self._socket is None:
            return format_ip4(UNSPECIFIED), 0
        return format_ip4(self._socket.local), self._socket.local_port

    def getpeername(self) -> tuple[str, int]:
        """Return (address, port) of the partner. OSError (ENOTCONN) where there is none."""
        self._check_open()
        if self._socket is None or self._socket.remote is None:
            raise error_of(errno.ENOTCONN)
        remote, port = self._socket.remote
        return format_ip4(remote), port

    def shutdown(self, flag: int) -> None:
        """End sending, receiving or both. OSError (ENOTCONN) without a partner."""
        self.getpeername()
        if flag not in (socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR):
            raise error_of(errno.EINVAL)
        if flag != socket.SHUT_RD:
            self._write_shut = True
        if flag != socket.SHUT_WR:
            self._read_shut = True
            self._became_readable()

    async def send(self, data: object, flags: int = 0, /) -> int:
        """Send one datagram to the partner. OSError: EDESTADDRREQ, and what ICMP told."""
        check_flags(flags)
        view = view_of(data)
        return await self._attempt(self._writer, lambda: self._try_send(view, None))

    async def sendto(self, data: object, *rest: object) -> int:
        """Send one datagram: data, perhaps flags, address. OSError: EMSGSIZE, ENETUNREACH, ..."""
        if len(rest) not in (1, 2):
            raise TypeError(
                f"sendto takes data, perhaps flags, and an address, not {len(rest) + 1}"
            )
        if len(rest) == 2:
            if not isinstance(rest[0], int):
                raise TypeError("the flags of sendto are a number")
            check_flags(rest[0])
        view = view_of(data)
        self._check_open()
        destination = await self._resolve(rest[-1], local=False)
        return await self._attempt(self._writer, lambda: self._try_send(view, destination))

    async def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[tuple[int, int, object]] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one datagram, or cut into several by UDP_SEGMENT.

        OSError (EOPNOTSUPP) for other ancillary data, else as `sendto`.
        """
        segment_bytes = _segment_of(ancdata)
        check_flags(flags)
        view = memoryview(b"".join(bytes(view_of(part)) for part in buffers))
        self._check_open()
        to = None if address is None else await self._resolve(address, local=False)
        return await self._attempt(self._writer, lambda: self._try_send(view, to, segment_bytes))

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """Return the next datagram, cut to `buflen` bytes. OSError for what ICMP told."""
        return (await self._receive(buflen, flags))[0]

    async def recv_into(self, buffer: object, nbytes: int = 0, flags: int = 0) -> int:
        """Receive into a buffer; return how many bytes."""
        return (await self.recvfrom_into(buffer, nbytes, flags))[0]

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, tuple[str, int]]:
        """Return the next datagram, cut to `bufsize` bytes, and its sender."""
        data, sender, _ = await self._receive(bufsize, flags)
        return data, sender

    async def recvfrom_into(
        self, buffer: object, nbytes: int = 0, flags: int = 0
    ) -> tuple[int, tuple[str, int]]:
        """Receive into a buffer; return how many bytes, and the sender."""
        view = view_of(buffer)
        data, sender, _ = await self._receive(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data), sender

    async def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, tuple[str, int]]:
        """Receive as `recvfrom` does; MSG_TRUNC in the flags tells that it was cut."""
        data, sender, received_flags = await self._receive(bufsize, flags)
        return data, [], received_flags, sender

    def is_readable(self) -> bool:
        """Tell whether `recv` would return (or raise) at once."""
        if self._closed or self._read_shut or self._peeked is not None:
            return True
        return self._socket is not None and self._socket.readable

    async def wait_writable(self) -> None:
        """Return at once: UDP never waits."""
        await self._attempt(self._writer, lambda: True)

    async def _receive(self, size: int, flags: int) -> _Received:
        check_flags(flags, socket.MSG_PEEK)
        if size < 0:
            raise ValueError("negative buffersize in recv")
        peek = bool(flags & socket.MSG_PEEK)
        return await self._attempt(self._reader, lambda: self._try_receive(size, peek=peek))

    def _try_receive(self, size: int, *, peek: bool) -> _Received | None:
        udp = self._opened()
        number = self._take_error()
        if number:
            raise error_of(number)
        datagram = self._peeked if self._peeked is not None else udp.receive()
        self._peeked = datagram if peek else None
        if datagram is None:
            return (b"", ("0.0.0.0", 0), 0) if self._read_shut else None
        payload, src, port = datagram
        return payload[:size], (format_ip4(src), port), _MSG_TRUNC if len(payload) > size else 0

    def _try_send(
        self,
        view: memoryview,
        destination: tuple[Ip4, int] | None,
        segment_bytes: int | None = None,  # None: what the socket option says
    ) -> int:
        if self._write_shut:
            raise error_of(errno.EPIPE)
        udp = self._opened()
        number = self._take_error()
        if number:
            raise error_of(number)
        found = destination or udp.remote
        if found is None:
            raise error_of(errno.EDESTADDRREQ)
        remote, port = found
        if segment_bytes is None:
            segment_bytes = self._options.number(SOL_UDP, UDP_SEGMENT)
        now = self._host.now()
        if not 0 < segment_bytes < len(view):
            udp.send_to(bytes(view), _destination(remote), port, now)
            return len(view)
        if len(view) > MAX_PAYLOAD_BYTES:
            raise error_of(errno.EMSGSIZE)
        if len(view) > segment_bytes * MAX_LONG_BURST_DATAGRAMS:
            raise error_of(errno.EINVAL)
        parts = [view[at : at + segment_bytes] for at in range(0, len(view), segment_bytes)]
        udp.send_many(parts, _destination(remote), port, now)
        return len(view)

    def _opened(self) -> UdpSocket:
        return self._socket or self._open(UNSPECIFIED, 0)

    def _open(self, local: Ip4, port: int) -> UdpSocket:
        udp = self._socket = self._host.stack.udp.bind(local, port)
        udp.on_readable = self._became_readable
        for level, name in (
            (socket.SOL_SOCKET, socket.SO_BROADCAST),
            (socket.SOL_SOCKET, socket.SO_RCVBUF),
            (socket.IPPROTO_IP, socket.IP_TTL),
        ):
            self._option_set(level, name, self._options.number(level, name))
        return udp

    def _release(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def _became_readable(self) -> None:
        self._reader.wake()
        self._show_readiness()

    def _take_error(self) -> int:
        if self._socket is None or self._socket.error is None:
            return 0
        error, self._socket.error = self._socket.error, None
        return error.errno or 0

    def _known_option(self, level: int, name: int) -> int | str | bytes | None:
        if self._socket is not None:
            if (level, name) == (socket.SOL_SOCKET, socket.SO_RCVBUF):
                return self._socket.receive_buffer_bytes
            if (level, name) == (socket.IPPROTO_IP, socket.IP_TTL):
                return self._socket.ttl
        return super()._known_option(level, name)

    def _option_set(self, level: int, name: int, number: int) -> None:
        udp = self._socket
        if udp is None:
            return
        if (level, name) == (socket.SOL_SOCKET, socket.SO_BROADCAST):
            udp.allow_broadcast = bool(number)
        elif (level, name) == (socket.SOL_SOCKET, socket.SO_RCVBUF) and number > 0:
            udp.receive_buffer_bytes = 2 * number  # socket(7): Linux doubles it, for its own books
        elif (level, name) == (socket.IPPROTO_IP, socket.IP_TTL) and 1 <= number <= 255:
            udp.ttl = number


def _segment_of(ancdata: Iterable[tuple[int, int, object]]) -> int | None:
    """Return what UDP_SEGMENT in control messages asks for; None: it is not there."""
    found = None
    for level, name, data in ancdata:
        view = view_of(data)
        if (level, name) != (SOL_UDP, UDP_SEGMENT):
            raise error_of(errno.EOPNOTSUPP, "ancillary data")
        if len(view) != 2:
            raise error_of(errno.EINVAL)
        found = int.from_bytes(view, sys.byteorder)
    return found


def _destination(address: Ip4) -> Ip4:
    """Return where a packet to this address goes: to 0.0.0.0 means to the host itself."""
    return LOOPBACK if address == UNSPECIFIED else address
