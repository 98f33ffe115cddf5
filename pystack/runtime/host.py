"""A host as Trio programs see it: open streams, listeners and datagram sockets on it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple, Unpack

import trio

from pystack.core.addresses import (
    LOOPBACK,
    LOOPBACK6,
    UNSPECIFIED,
    ZERO_MAC,
    Ip,
    Prefix,
    parse_ip4,
)
from pystack.core.errors import ConfigError
from pystack.core.ranges import COUNT, DURATION
from pystack.core.schedules import Schedule
from pystack.dns.config import ResolverConfig, ResolverWords
from pystack.link.port import LoopbackPort
from pystack.runtime import autoconf, reach, streams
from pystack.runtime.bare_host import BareHost
from pystack.runtime.blocking.turns import current_thread
from pystack.runtime.datagrams import UdpSocket
from pystack.runtime.driver.driver import Driver, Waiter
from pystack.runtime.either import either
from pystack.runtime.names import attempts
from pystack.runtime.names.known import Names
from pystack.runtime.names.zones import Version, version_of
from pystack.runtime.streams import TcpStream
from pystack.runtime.tcp_listener import TcpListener, listen
from pystack.stack.advertise import AdvertiseConfig
from pystack.stack.host import Host as StackHost
from pystack.stack.ip6_config import Ip6Config
from pystack.stack.ports import ANY
from pystack.tcp.listener import DEFAULT_BACKLOG
from pystack.tcp.states import OVER
from pystack.wire.ip_options import SourceRoute

if TYPE_CHECKING:
    from pystack.runtime.iperf3.client import Iperf3Result
    from pystack.runtime.iperf3.parameters import Iperf3Words
    from pystack.runtime.lab.program import Program
    from pystack.runtime.names.dig import DigAnswer, DigWords
    from pystack.runtime.place import Place
    from pystack.tcp.congestion.registry import ControlLike

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_LOOPBACK_PREFIX: Final = Prefix.of(LOOPBACK, 8)
IPERF3_PORT: Final = 5201


def make_host(name: str, driver: Driver, seed: int, names: Names | None = None) -> Host:
    """Return a host in no network, with nothing but its loopback."""
    stack = StackHost(name, driver.scheduler, seed)
    port = LoopbackPort(driver.scheduler)
    lo = stack.add_interface("lo", port, LOOPBACK, _LOOPBACK_PREFIX, ZERO_MAC)
    stack.add_address(lo, LOOPBACK6, Prefix.of(LOOPBACK6, 128))
    return Host(stack, driver, names)


class Host(BareHost):
    """One host, with its stack below and Trio's words above."""

    # IPv6 by itself

    def autoconfigure(self, config: Ip6Config | None = None) -> None:
        """Let it configure its IPv6 itself from now on, on all its links (RFC 4862).

        It makes link-local addresses where it has none, tries them out (which takes a second or
        two), looks for routers, and believes what those say: addresses, routes, MTU, and name
        servers, which are asked from then on unless `dns` was set. `config`: None: all of that, as
        `Ip6Config(accept_ra=True)`.
        """
        config = Ip6Config(accept_ra=True) if config is None else config
        if not isinstance(config, Ip6Config):
            raise ConfigError(f"how IPv6 is configured is a pystack.Ip6Config, not {config!r}")
        stack = self.stack
        stack.discovery.config = config
        stack.discovery.on_names = partial(autoconf.ask_whom_routers_say, self)
        stack.discovery.start(self.now())

    # names

    @property
    def dns(self) -> ResolverConfig | None:
        """Return its name servers; None: it uses the network's own table, without a packet.

        To be set to a name server ("ns1", "10.0.0.9"), several, or a table of words such as
        {"servers": ["ns1"], "search": ["example.test"], "timeout": "1s"}. Raises ConfigError.
        """
        return self.names.servers

    @dns.setter
    def dns(self, words: ResolverWords | None) -> None:
        self.names.ask(words)

    def resolve(self, name: str, version: Version | None = None) -> Ip:
        """Return the address of a name, or of an address in text. OSError if it is unknown.

        `version`: 4 or 6; None: the one that is tried first (RFC 6724). For where nothing can be
        waited for: a host that asks name servers knows only itself so.
        """
        # Nearly always what a datagram is sent to (HOT)
        if isinstance(name, str) and name[:1].isdigit() and version != 6:
            try:
                return parse_ip4(name)
            except ConfigError:
                pass
        return self.names.resolve(name, version)

    @either
    async def look_up(self, name: str, version: Version | None = None) -> Ip:
        """Return the first address of a name, asking name servers where the host has some.

        Raises OSError: `socket.gaierror` where they know none, or do not answer.
        """
        return (await self.look_up_all(name, version))[0]

    @either
    async def look_up_all(self, name: str, version: Version | None = None) -> tuple[Ip, ...]:
        """Return all addresses of a name, in the order in which they are to be tried. OSError.

        `version`: 4 or 6 alone; None: those that the host has addresses of itself.
        """
        names = self.names
        return names.told(name, version) or await names.asked(name, version)

    @either
    async def dig(
        self, name: str, kind: str = "A", *, server: str | None = None, **words: Unpack[DigWords]
    ) -> DigAnswer:
        """Query a name server; return its whole answer and how long it took, like dig(1).

        `server`: a name or an address, with ":5353" after it for another port; None: the host's
        own. The words are those of `DigWords`. Raises TimeoutError, OSError,
        ConfigError.
        """
        from pystack.runtime.names import dig  # needs a library, as nothing else

        return await dig.dig(self, name, kind, server=server, **words)

    @either
    async def run(self, async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run a program on this host, in this task: all of its Trio networking is the host's.

        Tasks that it starts inherit that. When the host is powered off, it is cancelled, and this
        raises BrokenResourceError.
        """
        return await self.programs.run(async_fn, args)

    @either
    async def start(  # what it returns is the program's to say, as for `nursery.start`
        self, async_fn: Callable[..., Awaitable[object]], *args: object
    ) -> Any:  # noqa: ANN401
        """Start a program on this host, like `nursery.start`: return what it reports when started.

        It ends with the network, or with the host's power. An error in it ends the network.
        """
        return await self.programs.start(async_fn, args)

    def start_soon(self, async_fn: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Start a program on this host, as `nursery.start_soon`. See `start`."""
        self.programs.start_soon(async_fn, args)

    @either
    async def run_sync(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking program on this host, in a thread: sockets, clock and threads are its own.

        Threads of a world take turns, so the order is the same each time. Returns and raises what
        it does. When the host is powered off, what blocks raises, and this BrokenResourceError.
        """
        from pystack.runtime.blocking.run_sync import run_sync  # not needed for anything else

        return await self.programs.run(run_sync, (self, fn, args))

    @either
    async def start_sync(
        self, fn: Callable[..., object], *args: object, port: int | None = None
    ) -> Program:
        """Start a blocking program on this host; return when it has nothing to do but wait.

        `port`: return when the host hears on that. Otherwise as `run_sync` and `start`: an error in
        it ends the network. BrokenResourceError.
        """
        from pystack.runtime.blocking.run_sync import start_sync

        return await start_sync(self, fn, args, port)

    async def run_asyncio(
        self,
        main: Callable[[*Ts], Coroutine[Any, Any, T]],
        *args: *Ts,
        schedule: Schedule | None = None,
    ) -> T:
        """Run a program of asyncio on this host; return what it returns. See docs/asyncio.md.

        From Trio it has an event loop of its own, from asyncio it is a task of the caller's.
        `schedule`: "random" draws the order of ready tasks from the seed; None: the network's word.
        """
        from pystack.runtime.aio.programs import run_asyncio  # it imports asyncio

        return await run_asyncio(self, main, args, schedule)

    async def start_asyncio(
        self,
        main: Callable[..., Coroutine[Any, Any, object]],
        *args: object,
        port: int | None = None,
        schedule: Schedule | None = None,
    ) -> Program:
        """Start a program of asyncio on this host; return when it has nothing to do but wait.

        `port`: return when the host hears on that. Otherwise as `start`. BrokenResourceError.
        """
        from pystack.runtime.aio.programs import start_asyncio

        return await start_asyncio(self, main, args, port, schedule)

    def send_signal(self, number: int) -> None:
        """Send a signal (SIGTERM ...) to its programs: their handlers run, or it ends them."""
        self.programs.send_signal(number)

    def power_off(self, *, crash: bool = False) -> None:
        """Cut its power: its programs are cancelled, and its peers get silence, not a FIN.

        `crash`: its programs end where they are, as in reality: no `finally`, `except` or `async
        with` of theirs is run (docs/faults.md). Its streams and sockets held by others break
        (BrokenResourceError, OSError ENETDOWN).
        """
        cut = partial(self._in_network().power_off, self.name, crash=crash)
        thread = current_thread()  # one of its own programs' may have the switch
        if thread is None:
            cut()
        else:
            thread.call(cut)

    def power_on(self) -> None:
        """Restore its power: an empty stack, the same addresses. No program starts by itself."""
        self._in_network().power_on(self.name)

    @property
    def disk(self) -> Path:
        """Return its directory: real, empty at first, and gone when the network closes.

        `power_off(crash=True)` loses what was not synced (docs/faults.md). Raises ConfigError.
        """
        return self._in_network().disk(self.name)

    def route(self, destination: str, *, via: str | Host) -> None:
        """Add a route: to a block ("10.9.0.0/16") or "default", by an address or a neighbour.

        It goes before what the network would fill in for that block. Raises ConfigError.
        """
        name = via.name if isinstance(via, Host) else via
        self._in_network().route(self.name, destination, name)

    def _in_network(self) -> Place:
        if self._place is None:
            raise ConfigError(f"{self.name} is in no network")
        return self._place

    @either
    async def open_tcp_stream(
        self,
        host: str,
        port: int,
        *,
        local_address: str | None = None,
        local_port: int = 0,
        congestion: ControlLike | None = None,
        source_route: Sequence[str] = (),
        fast_open: bytes | bytearray | memoryview | None = None,
    ) -> TcpStream:
        """Connect to a port of a host. Raises OSError (refused, timed out, unreachable ...).

        Where a name has several addresses, of one version of IP or of both, the next is tried
        beside the others after a quarter of a second, or when one fails; the first to answer it is
        (Happy Eyeballs, RFC 8305). `congestion`: this connection's control, as for `Network.host`;
        None: that of the host. `source_route`: hosts that every packet is to visit on its way, in
        order (RFC 791); most routers, including ours, do not forward such packets. `fast_open`:
        what to send first. With `TcpConfig.fast_open` it goes in the SYN to a server that has given
        us a cookie before (RFC 7413), and so may be delivered twice: it should be a request that is
        harmless when repeated. Otherwise it is sent after the handshake.
        """
        if isinstance(source_route, str) or not isinstance(source_route, Sequence):
            raise ConfigError(f"source_route is a list of hosts, not {source_route!r}")
        if not isinstance(fast_open, bytes | bytearray | memoryview | None):
            raise ConfigError(f"fast_open is bytes to send first, not {fast_open!r}")
        local = UNSPECIFIED if local_address is None else await self.look_up(local_address)
        version = None if local_address is None else version_of(local)
        config = None if congestion is None else replace(self.tcp.config, congestion=congestion)
        hops = [await self.look_up(station, 4) for station in source_route]
        return await attempts.first_that_opens(
            partial(
                streams.connect,
                self,
                port=port,
                local=local,
                local_port=local_port,
                config=config,
                source_route=SourceRoute(tuple(hops)) if hops else None,
                text=None if fast_open is None else memoryview(fast_open).cast("B"),
            ),
            attempts.interleaved(await self.look_up_all(host, version)),
        )

    @either
    async def open_tcp_listeners(
        self, port: int, *, host: str | None = None, backlog: int = DEFAULT_BACKLOG
    ) -> list[TcpListener]:
        """Open a port for connections, on all addresses or on those of `host`; 0: any free port.

        A list, as `trio.open_tcp_listeners` gives it: without `host` of one, which hears both
        versions of IP; else of one for each address, all on one port. `backlog`: so many
        may wait to be accepted, from 0 on. Raises OSError, ConfigError.
        """
        COUNT.check("backlog", backlog)
        await trio.lowlevel.checkpoint()
        local = (ANY,) if host is None else await self.look_up_all(host)
        return listen(self, local, port, backlog)

    @either
    async def open_udp_socket(self, port: int = 0, *, host: str | None = None) -> UdpSocket:
        """Bind a UDP port (0: any free one), on all addresses of both versions or on `host`'s."""
        await trio.lowlevel.checkpoint()
        local = ANY if host is None else await self.look_up(host)
        return UdpSocket(self, self.stack.udp.bind(local, port))

    @either
    async def close_connections(self, grace_s: float) -> None:
        """Give every connection its FIN; reset those that have not finished after `grace_s`.

        Seconds, from 0 on. Raises ConfigError.
        """
        DURATION.check("grace_s", grace_s)
        progress = Waiter(self.driver)
        for socket in self.tcp:
            self.tcp.release(socket, self.now())
            socket.on_signal = lambda _signal: progress.wake()
        with trio.move_on_after(grace_s):
            while any(socket.connection.state not in OVER for socket in self.tcp):
                await progress.wait()
        for socket in self.tcp:
            self.tcp.abort(socket, self.now())

    @either
    async def ping(
        self,
        host: str,
        *,
        payload_bytes: int = reach.PAYLOAD_BYTES,
        timeout_s: float = reach.TIMEOUT_S,
        version: Version | None = None,
    ) -> float:
        """Send an ICMP echo request of 0 to 65,507 bytes, by IP version 4 or 6; return the seconds.

        Raises TimeoutError if there is no answer, OSError if a router or the host reports an error,
        ConfigError for what is out of range.
        """
        return await reach.ping(self, host, payload_bytes, timeout_s, version)

    @either
    async def iperf3(
        self,
        server: str,
        *,
        port: int = IPERF3_PORT,
        interval_s: float = 1.0,
        on_line: Callable[[str], None] | None = None,
        **words: Unpack[Iperf3Words],
    ) -> Iperf3Result:
        """Measure against an iperf3 server: a host's service `iperf3`, or `iperf3 -s` elsewhere.

        The words are options of `iperf3 -c`: see `pystack.runtime.iperf3.parameters.Parameters`.
        `on_line` gets what it would print, as it happens. Raises Iperf3Error, ConfigError, OSError.
        """
        from pystack.runtime.iperf3 import client  # not needed for anything else

        return await client.iperf3(self, server, port, interval_s, on_line, **words)

    @either
    async def traceroute(
        self,
        host: str,
        *,
        max_hops: int = reach.MAX_HOPS,
        timeout_s: float = reach.TIMEOUT_S,
        version: Version | None = None,
    ) -> list[reach.Hop]:
        """Find the routers on the path: those that report where a request's hops ran out.

        Ends with the destination, with a router that has no route, or after `max_hops`. OSError.
        """
        return await reach.traceroute(self, host, max_hops, timeout_s, version)


class Router(Host):
    """A host that forwards what is for others; see `Network.router`. It runs programs as well."""

    def advertise(self, config: AdvertiseConfig | None = None, *, interface: str = "") -> None:
        """Tell hosts that this is a router, and what they need to know (RFC 4861 section 6.2).

        On one link, or (without `interface`) on all that have an address of IPv6 beside the
        link-local one. `config`: None: the prefixes of its own addresses, for 30 days. Said anew,
        the later `config` holds. Raises ConfigError: there is no such link.
        """
        said = AdvertiseConfig() if config is None else config
        autoconf.advertise(self.stack, said, interface, self.now())

    def stop_advertising(self) -> None:
        """Tell them that it is none any more. Nothing happens where it has not begun."""
        autoconf.stop_advertising(self.stack, self.now())
