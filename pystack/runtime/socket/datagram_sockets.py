"""SOCK_DGRAM on a pystack host: what a program sees of UDP through `trio.socket`."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING

import trio

from pystack.core.errors import error_of
from pystack.runtime.socket.datagram_ends import DatagramEnd
from pystack.runtime.socket.socket_addresses import SocketAddress
from pystack.runtime.socket.socket_calls import (
    MSG_FASTOPEN,
    MSG_ZEROCOPY,
    Message,
    Received,
    check_flags,
    joined,
)
from pystack.runtime.socket.sockets import HostSocket

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost


class DatagramSocket(HostSocket):
    """A UDP socket; it gets its port when bound, or when it first sends."""

    _end: DatagramEnd

    @classmethod
    def make(
        cls, host: BareHost, proto: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> DatagramSocket:
        """Return a new socket of a host."""
        return cls(DatagramEnd(host, proto, family))

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        if self._closed:
            return "<DatagramSocket closed>"
        return f"<DatagramSocket {self._host.name} {self.getsockname()}>"

    async def connect(self, address: object) -> None:
        """Take one partner: `send` goes to it, datagrams and errors of others are not heard."""
        self._end.connect(*await self._resolve_open(address, local=False))

    def listen(self, backlog: int = 0) -> None:
        """Refuse: UDP has no connections (EOPNOTSUPP)."""
        self._check_open()
        raise error_of(errno.EOPNOTSUPP)

    async def accept(self) -> tuple[HostSocket, SocketAddress]:
        """Refuse: UDP has no connections (EOPNOTSUPP)."""
        await trio.lowlevel.checkpoint()
        self._check_open()
        raise error_of(errno.EOPNOTSUPP)

    async def send(self, data: object, flags: int = 0, /) -> int:
        """Send one datagram to the partner. OSError: EDESTADDRREQ, and what ICMP told."""
        return await self.sendmsg([data], (), flags)

    async def sendmsg(
        self,
        buffers: Iterable[object],
        ancdata: Iterable[Message] = (),
        flags: int = 0,
        address: object = None,
        /,
    ) -> int:
        """Send the buffers as one datagram, or cut into several by UDP_SEGMENT.

        Control messages: IP_TTL, IP_TOS, IP_PKTINFO, UDP_SEGMENT; EINVAL for others. Else OSError
        as `sendto`.
        """
        messages = tuple(ancdata)
        check_flags(flags, MSG_FASTOPEN | MSG_ZEROCOPY)
        view = joined(buffers)
        self._check_open()
        to = None if address is None else await self._resolve(address, local=False)
        if to is not None:
            to = self._end.on_some_link(to[0]), to[1]
        return await self._attempt(
            self._writer, lambda: self._end.try_send(view, to, flags, messages)
        )

    async def wait_writable(self) -> None:
        """Return at once: UDP never waits."""
        await self._attempt(self._writer, lambda: True)

    async def _receive(self, size: int, flags: int) -> Received:
        return await self._attempt(self._reader, lambda: self._end.try_receive(size, flags))
