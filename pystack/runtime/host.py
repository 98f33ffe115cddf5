"""A host as Trio programs see it: open streams, listeners and datagram sockets on it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import LOOPBACK, UNSPECIFIED, Ip4, format_ip4, parse_ip4
from pystack.core.errors import ConfigError
from pystack.runtime import streams
from pystack.runtime.datagrams import UdpSocket
from pystack.runtime.driver import Driver, Waiter
from pystack.runtime.streams import TcpListener, TcpStream
from pystack.stack.host import Host
from pystack.stack.neighbors import Neighbor
from pystack.tcp.info import TcpInfo
from pystack.tcp.listener import DEFAULT_BACKLOG
from pystack.tcp.states import TcpState

if TYPE_CHECKING:
    from pystack.core.counters import Counters
    from pystack.observe.observer import Observer
    from pystack.stack.interface import Interface
    from pystack.stack.routes import RouteTable
    from pystack.stack.tcp_table import TcpTable
    from pystack.wire.icmp import IcmpMessage

PING_TIMEOUT_S: Final = 1.0
_FINISHED: Final = frozenset({TcpState.CLOSED, TcpState.TIME_WAIT})


class TrioHost:
    """One host, with its stack below and Trio's words above."""

    def __init__(
        self, host: Host, driver: Driver, names: Callable[[str], Ip4 | None] | None = None
    ) -> None:
        """`names` gives the address of a name, None where it knows none."""
        self.stack = host
        self.driver = driver
        self._names = names

    @property
    def name(self) -> str:
        """Return its name."""
        return self.stack.name

    @property
    def address(self) -> str:
        """Return its first address on a real link, as text."""
        for interface in self.stack.interfaces:
            if interface.neighbors is not None:
                return format_ip4(interface.address)
        raise ConfigError(f"{self.name} has no link yet, and so no address")

    @property
    def interfaces(self) -> list[Interface]:
        """Return its interfaces, the loopback included."""
        return self.stack.interfaces

    @property
    def routes(self) -> RouteTable:
        """Return its routing table."""
        return self.stack.routes

    @property
    def neighbors(self) -> list[Neighbor]:
        """Return what ARP knows, on all links."""
        return [
            neighbor
            for interface in self.stack.interfaces
            if interface.neighbors is not None
            for neighbor in interface.neighbors.entries(self.now())
        ]

    @property
    def counters(self) -> Counters:
        """Return what was counted: packets, and every drop by its name."""
        return self.stack.counters

    @property
    def tcp(self) -> TcpTable:
        """Return its TCP layer."""
        return self.stack.tcp

    def connections(self) -> list[TcpInfo]:
        """Return a snapshot of every TCP connection."""
        return [socket.connection.info() for socket in self.stack.tcp]

    def observe(self, observer: Observer) -> None:
        """Tell `observer` of everything from here on."""
        self.stack.observers.append(observer)

    def now(self) -> float:
        """Return the world's time in seconds."""
        return self.driver.now()

    def resolve(self, name: str) -> Ip4:
        """Return the address of a name or of an address in text. OSError where nobody knows it."""
        if name == "localhost":
            return LOOPBACK
        found = self._names(name) if self._names is not None else None
        if found is not None:
            return found
        try:
            return parse_ip4(name)
        except ConfigError:
            raise OSError(errno.ENOENT, f"{self.name} knows no host {name!r}") from None

    async def open_tcp_stream(
        self, host: str, port: int, *, local_address: str | None = None, local_port: int = 0
    ) -> TcpStream:
        """Connect to a port of a host. Raises OSError (refused, timed out, unreachable ...)."""
        local = UNSPECIFIED if local_address is None else self.resolve(local_address)
        return await streams.connect(
            self, self.resolve(host), port, local=local, local_port=local_port
        )

    async def open_tcp_listeners(
        self, port: int, *, host: str | None = None, backlog: int = DEFAULT_BACKLOG
    ) -> list[TcpListener]:
        """Open a port for connections, on all addresses or on that of `host`; 0: any free port.

        A list, as `trio.open_tcp_listeners` gives it; here it always has one. Raises OSError.
        """
        await trio.lowlevel.checkpoint()
        local = UNSPECIFIED if host is None else self.resolve(host)
        return [TcpListener(self, self.stack.tcp.listen(local, port, backlog))]

    async def open_udp_socket(self, port: int = 0, *, host: str | None = None) -> UdpSocket:
        """Bind a UDP port, on all addresses or on that of `host`; 0: any free one. OSError."""
        await trio.lowlevel.checkpoint()
        local = UNSPECIFIED if host is None else self.resolve(host)
        return UdpSocket(self, self.stack.udp.bind(local, port))

    async def close_connections(self, grace_s: float) -> None:
        """Give every connection its FIN; reset those that have not finished after `grace_s`."""
        progress = Waiter(self.driver)
        for socket in self.tcp:
            self.tcp.release(socket, self.now())
            socket.on_signal = lambda _signal: progress.wake()
        with trio.move_on_after(grace_s):
            while any(socket.connection.state not in _FINISHED for socket in self.tcp):
                await progress.wait()
        for socket in self.tcp:
            self.tcp.abort(socket, self.now())

    async def ping(
        self, host: str, *, payload_bytes: int = 56, timeout_s: float = PING_TIMEOUT_S
    ) -> float:
        """Send an ICMP echo request; return the round trip in seconds. TimeoutError, OSError."""
        if not 0 <= payload_bytes <= 65507:
            raise ValueError("an echo request carries 0 to 65,507 bytes")
        stack, remote = self.stack, self.resolve(host)
        waiter = Waiter(self.driver)
        payload = bytes(at & 0xFF for at in range(payload_bytes))
        answered_at: list[float] = []

        def on_reply(message: IcmpMessage, _src: Ip4, _ttl: int, now: float) -> None:
            if message.payload == payload:
                answered_at.append(now)
                waiter.wake()

        ident = next(number for number in range(1, 0x10000) if number not in stack.icmp.echo_sinks)
        stack.icmp.echo_sinks[ident] = on_reply
        try:
            sent_at = self.now()
            if not stack.icmp.send_echo(remote, ident, 1, payload, sent_at):
                raise OSError(errno.ENETUNREACH, f"{self.name} has no route to {host}")
            with trio.move_on_after(timeout_s):
                while not answered_at:
                    await waiter.wait()
            if not answered_at:
                raise TimeoutError(errno.ETIMEDOUT, f"no echo reply from {host}")
            return answered_at[0] - sent_at
        finally:
            del stack.icmp.echo_sinks[ident]

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return repr(self.stack)
