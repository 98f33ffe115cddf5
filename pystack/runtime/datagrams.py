"""UDP as Trio programs know it: `UdpSocket` over a host's UDP layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import trio

from pystack.core.addresses import Ip, format_ip4, is_loopback, is_v6
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.names.zones import format_on, version_of
from pystack.stack.ports import names_one
from pystack.stack.udp_socket import ORIGIN_LOCAL, DatagramFields
from pystack.stack.zones import parse_on

if TYPE_CHECKING:
    from pystack.runtime.host import Host
    from pystack.stack import udp_socket
    from pystack.wire.checksum import Buffer

_MAX_PLACES: Final = 4096  # peers who are answered from another address; then all are forgotten


class DatagramError(NamedTuple):
    """What is known of an error about one datagram."""

    number: int  # errno
    reporter: str | None  # the address that reported it; None: this host, before it was sent
    destination: tuple[str, int]  # where the datagram was to go
    payload: bytes  # as much of it as was quoted


class UdpSocket:
    """A bound UDP port; `connect` gives it a single peer."""

    def __init__(self, host: Host, socket: udp_socket.UdpSocket) -> None:
        self._host = host
        self._socket = socket
        self._reader = Waiter(host.driver)
        self._closed = False
        # By peers who wrote to another address than ours to them come from: the one to answer from
        self._places: dict[tuple[Ip, int], DatagramFields] = {}
        # Whether the host has several addresses on links: of IPv4, of IPv6, with these routes.
        # Those with one, nearly all of IPv4, are spared what places cost.
        self._several4 = self._several6 = False
        self._several_at = -1
        self._routes = host.stack.routes
        # The IP version that it can send by, as it is bound; None: both
        self._version = version_of(socket.local)
        socket.on_readable = self._reader.wake

    @property
    def address(self) -> tuple[str, int]:
        """Return the address (0.0.0.0 for all of the host's) and port it is bound to."""
        return self._text(self._socket.local), self._socket.local_port

    def connect(self, address: tuple[str, int]) -> None:
        """Take datagrams and errors only from this peer, and `send` to it. OSError: no route."""
        self._check_open()
        remote = self._host.resolve(address[0], self._version)
        route = self._host.routes.lookup(remote)
        if route is None:
            raise self._host.stack.no_route(remote)
        place = self._places.get((remote, address[1]))
        usual = self._host.stack.source_towards(remote, route)
        self._socket.connect(remote, address[1], usual if place is None else place.source)
        self._version = version_of(self._socket.local)

    def disconnect(self) -> None:
        """Take datagrams from anybody again."""
        self._check_open()
        self._socket.disconnect()
        self._version = version_of(self._socket.local)

    def set_receive_errors(self, *, wanted: bool = True) -> None:
        """Have all errors raised, also soft ones and without a partner (IP_RECVERR).

        Otherwise a connected socket gets hard errors (the port is closed), and an unconnected one
        gets none: a server should not end because a client has gone.
        """
        self._socket.receives_errors = wanted
        if not wanted:
            self._socket.errors.clear()

    def take_error_details(self) -> DatagramError | None:
        """Return the details of the oldest error; None: there are no more.

        Only with `set_receive_errors`; 64 are kept, and one is raised by the next call as well
        unless it was taken here before.
        """
        found = self._socket.take_queued_error()
        if found is None:
            return None
        reporter = None if found.origin == ORIGIN_LOCAL else self._text(found.offender)
        destination = self._text(found.dst[0]), found.dst[1]
        return DatagramError(found.number, reporter, destination, found.payload)

    def allow_broadcast(self) -> None:
        """Let it send to broadcast addresses (SO_BROADCAST)."""
        self._socket.allow_broadcast = True

    async def receive_from(self) -> tuple[bytes, tuple[str, int]]:
        """Return the next datagram's payload and its sender.

        Raises OSError for what ICMP told of an earlier datagram: where there is a partner, that
        his port is closed (ECONNREFUSED); else only with `set_receive_errors`.

        What is sent to that sender afterwards is from the address that it wrote to, of several that
        the host has (RFC 1122 section 4.1.3.5): else it would be a stranger's answer.
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
        stack. A task that takes many without one keeps all others waiting.
        """
        socket = self._socket
        if self._closed or socket.error is not None or socket.broken is not None:
            self._raise_error()
        datagram = socket.receive()
        if datagram is None:
            return None
        payload, src, port = datagram
        if self._several_at != self._routes.changes:
            self._count_addresses()
        if src >> 32:
            several, text = self._several6, self._text(src)
        else:
            several, text = self._several4, format_ip4(src)
        if several and not names_one(socket.local):
            self._note_place((src, port), socket.arrived_at)
        return payload, (text, port)

    def _count_addresses(self) -> None:
        own = [address for address in self._host.stack.addresses if not is_loopback(address)]
        sixes = sum(map(is_v6, own))
        self._several4, self._several6 = len(own) - sixes > 1, sixes > 1
        self._several_at = self._routes.changes

    def _note_place(self, peer: tuple[Ip, int], dst: Ip) -> None:
        stack = self._host.stack
        route = stack.routes.lookup(peer[0])
        if dst not in stack.addresses or (
            route is not None and dst == stack.source_towards(peer[0], route)
        ):
            self._places.pop(peer, None)
            return
        known = self._places.get(peer)
        if known is None or known.source != dst:
            if len(self._places) >= _MAX_PLACES:
                self._places.clear()
            self._places[peer] = replace(self._socket.fields, source=dst)

    def asked_at(self, peer: tuple[str, int]) -> str | None:
        """Return the address of ours that a peer wrote to; None: the one that he is sent from.

        For what goes on with him at another port, which has to be at that address too.
        """
        if not self._places:
            return None
        fields = self._places.get((parse_on(self._host.stack, peer[0]), peer[1]))
        return None if fields is None else self._text(fields.source)

    async def send_to(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram. Raises OSError (EMSGSIZE, ENETUNREACH, EACCES), also an earlier's."""
        await trio.lowlevel.checkpoint()
        if self._host.names.resolver is not None:
            address = await self._looked_up(address)
        self.send_to_nowait(data, address)

    def send_to_nowait(self, data: bytes, address: tuple[str, int]) -> None:
        """Send one datagram; UDP never waits, so this is `send_to` without the checkpoint."""
        socket = self._socket
        if self._closed or socket.error is not None or socket.broken is not None:
            self._raise_error()
        dst, port = self._host.resolve(address[0], self._version), address[1]
        fields = self._places.get((dst, port)) if self._places else None
        socket.send_to(data, dst, port, self._host.now(), fields)

    async def send_many_to(self, datagrams: Sequence[Buffer], address: tuple[str, int]) -> None:
        """Send datagrams in order, for less than it costs to send each by itself.

        Those of one size that follow each other leave in one piece where the port can cut it (a TAP
        with offload), up to 64 and 65,507 bytes; the last of them may be shorter. Raises OSError as
        `send_to` does; then none was sent.
        """
        await trio.lowlevel.checkpoint()
        if self._host.names.resolver is not None:
            address = await self._looked_up(address)
        self.send_many_to_nowait(datagrams, address)

    def send_many_to_nowait(self, datagrams: Sequence[Buffer], address: tuple[str, int]) -> None:
        """Do what `send_many_to` does, without the checkpoint."""
        self._raise_error()
        resolved = self._host.resolve(address[0], self._version), address[1]
        self._socket.send_many(datagrams, *resolved, self._host.now(), self._places.get(resolved))

    async def send(self, data: bytes) -> None:
        """Send one datagram to the connected partner."""
        if self._socket.remote is None:
            raise RuntimeError("send needs a connected socket: call connect, or use send_to")
        await trio.lowlevel.checkpoint()
        self._raise_error()
        self._socket.send_to(data, *self._socket.remote, self._host.now())

    async def _looked_up(self, address: tuple[str, int]) -> tuple[str, int]:
        """Return an address that can be sent to at once, of a host that asks name servers."""
        return self._text(await self._host.look_up(address[0], self._version)), address[1]

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

    def _text(self, address: Ip) -> str:
        return format_on(self._host.stack, address)

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("this socket was closed here")
        if self._socket.broken is not None:
            # Not an OSError: who goes on after those would do so for ever.
            reason = os.strerror(self._socket.broken)
            raise trio.BrokenResourceError(f"{self._host.name}: {reason}")

    def _raise_error(self) -> None:
        self._check_open()
        error = self._socket.take_error()
        if error is not None:
            raise error
