"""UDP as Trio programs know it: `UdpSocket` over a host's UDP layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from pystack.core.addresses import format_ip4
from pystack.runtime.driver import Waiter

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost
    from pystack.stack import udp
    from pystack.wire.checksum import Buffer


class UdpSocket:
    """A bound UDP port; `connect` gives it one partner."""

    def __init__(self, host: TrioHost, socket: udp.UdpSocket) -> None:
        self._host = host
        self._socket = socket
        self._reader = Waiter(host.driver)
        self._closed = False
        socket.on_readable = self._reader.wake

    @property
    def address(self) -> tuple[str, int]:
        """Return the address (0.0.0.0 for all of the host's) and port it is bound to."""
        return format_ip4(self._socket.local), self._socket.local_port

    def connect(self, address: tuple[str, int]) -> None:
        """Take datagrams and errors from this partner only, and `send` to it."""
        self._check_open()
        self._socket.remote = (self._host.resolve(address[0]), address[1])

    def allow_broadcast(self) -> None:
        """Let it send to broadcast addresses (SO_BROADCAST)."""
        self._socket.allow_broadcast = True

    async def receive_from(self) -> tuple[bytes, tuple[str, int]]:
        """Return the next datagram's payload and its sender.

        Raises OSError for what ICMP told of an earlier datagram (ECONNREFUSED, EHOSTUNREACH ...).
        """
        if self._reader.busy:
            raise trio.BusyResourceError("another task is receiving from this socket")
        self._check_open()
        if self._socket.readable:
            await trio.lowlevel.checkpoint()
        while True:
            datagram = self.receive_from_nowait()
            if datagram is not None:
                return datagram
            await self._reader.wait()

    def receive_from_nowait(self) -> tuple[bytes, tuple[str, int]] | None:
        """Return what `receive_from` would, if there is something already; else None.

        For what is to be fast: a checkpoint takes as long as a datagram's whole way through the
        stack. Who takes many without one keeps all others waiting.
        """
        self._check_open()
        self._raise_error()
        datagram = self._socket.receive()
        if datagram is None:
            return None
        payload, src, port = datagram
        return payload, (format_ip4(src), port)

    async def send_to(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError (EMSGSIZE, ENETUNREACH, EACCES), also an earlier's."""
        await trio.lowlevel.checkpoint()
        self.send_to_nowait(data, address)

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram; UDP never waits, so this is `send_to` without the checkpoint."""
        self._check_open()
        self._raise_error()
        self._socket.send_to(data, self._host.resolve(address[0]), address[1], self._host.now())

    async def send_many_to(self, datagrams: Sequence[Buffer], address: tuple[str, int]) -> None:
        """Send datagrams in order, for less than it costs to send each by itself.

        Those of one size that follow each other leave in one piece where the port can cut it (a TAP
        with offload), up to 64 and 65,507 bytes; the last of them may be shorter. Raises OSError as
        `send_to` does; then none was sent.
        """
        await trio.lowlevel.checkpoint()
        self.send_many_to_nowait(datagrams, address)

    def send_many_to_nowait(self, datagrams: Sequence[Buffer], address: tuple[str, int]) -> None:
        """Do what `send_many_to` does, without the checkpoint."""
        self._check_open()
        self._raise_error()
        resolved = self._host.resolve(address[0]), address[1]
        self._socket.send_many(datagrams, *resolved, self._host.now())

    async def send(self, data: bytes) -> None:
        """Send one datagram to the connected partner."""
        if self._socket.remote is None:
            raise RuntimeError("send needs a connected socket: call connect, or use send_to")
        await trio.lowlevel.checkpoint()
        self._check_open()
        self._raise_error()
        self._socket.send_to(data, *self._socket.remote, self._host.now())

    async def aclose(self) -> None:
        """Close the port."""
        self.close()
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Close, like `aclose`, from where nothing can be awaited."""
        if not self._closed:
            self._closed = True
            self._socket.close()
            self._reader.wake()

    async def __aenter__(self) -> UdpSocket:
        """Close at the end of the block."""
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the port."""
        await self.aclose()

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this socket was closed here")

    def _raise_error(self) -> None:
        error, self._socket.error = self._socket.error, None
        if error is not None:
            raise error
