"""Real things in the lab: TAP devices and network namespaces as nodes of a network.

Both are a TAP device patched to a station of the topology. The kernel's end gets the address that
the topology has for the station; names of the lab are known to programs in a namespace by a DNS
server that is on the lab's side of their link.
"""

from __future__ import annotations

import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

import trio

from pystack.core.addresses import Ip, Mac, Prefix, format_ip, is_v6, parse_ip
from pystack.core.errors import ConfigError, DeviceError
from pystack.core.extras import need
from pystack.core.plugins import Chosen
from pystack.dns.config import AskWords, parse_resolver, resolv_conf, split_server
from pystack.link.patch import Patch, SideDoor
from pystack.runtime.device import ifconfig
from pystack.runtime.device.packet_port import port_of
from pystack.runtime.device.tap import TapPort
from pystack.runtime.device.tap_device import check_name
from pystack.runtime.host import Host
from pystack.runtime.lab import namespaces
from pystack.runtime.lab.namespaces import Holder, Inside, Stdio, Word
from pystack.runtime.names.name_servers import make_answers
from pystack.runtime.ports import PortContext, RunningPort, needs_real_time
from pystack.stack.host import Host as StackHost

if TYPE_CHECKING:
    from pystack.dns.server import DnsServer
    from pystack.link.port import Port
    from pystack.runtime.driver.driver import Driver
    from pystack.topology.addressing import Addresses
    from pystack.topology.nodes import Station
    from pystack.topology.topology import Topology

# Where the DNS server is when there is no router to be one: link-local (RFC 3927), so nobody's.
SIDE_DNS: Final = parse_ip("169.254.53.53")
SIDE_DNS6: Final = parse_ip("fdff::53")  # likewise, where there is no IPv4: in no lab's usual block
_MOST_NEIGHBORS: Final = 8
_REAP_S: Final = 1.0  # for what was sent SIGKILL: only the kernel could hold it up
_SIDE_MAC: Final = Mac(bytes.fromhex("020000000035"))


BothAddresses = tuple["Addresses", "Addresses"]  # of IPv4 and of IPv6, as they were said
_ANY: Final = (None, None)
_AS_USUAL: Final = Inside()


class Lab(Protocol):
    """What is needed of a network (`runtime/network.py`)."""

    hosts: dict[str, Host]
    attached: dict[str, Attached]
    resources: ExitStack  # what is closed when it ends
    nursery: trio.Nursery | None  # None: not opened yet
    seed: int

    @property
    def driver(self) -> Driver:
        """Return what lets its time pass."""
        ...

    @property
    def topology(self) -> Topology:
        """Return what it is made of."""
        ...

    def settle(self) -> None:
        """Give addresses and routes to what has none yet."""
        ...

    def station(self, name: str, *, address: Addresses, address6: Addresses) -> Station:
        """Add a place for something that has a stack of its own. Raises ConfigError."""
        ...


class Attached:
    """A station with something real in it. It is brought up once, when it is first needed."""

    kind = "something real"  # in words, with its article

    def __init__(
        self, lab: Lab, name: str, addresses: BothAddresses, *, real_time: bool = True
    ) -> None:
        if lab.driver.is_virtual and real_time:
            raise ConfigError(
                f"{self.kind} lives in real time, and this network in virtual time: run the "
                "program with trio.run instead of pystack.run"
            )
        self.station = lab.station(name, address=addresses[0], address6=addresses[1])
        self._lab = lab
        self._coming_up = trio.Lock()
        self._is_up = False

    @property
    def name(self) -> str:
        """Return its name in the lab."""
        return self.station.name

    @property
    def address(self) -> str:
        """Return its first address on the lab's link, as text: of IPv4, where the lab has that."""
        return self.addresses[0]

    @property
    def address6(self) -> str:
        """Return its IPv6 address on the lab's link. Raises ConfigError where it has none."""
        self._settle()
        own = next((own for own, _ in self.station.addresses if is_v6(own)), None)
        if own is None:
            raise ConfigError(f"{self.name} has no IPv6 address")
        return format_ip(own)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return its addresses on the lab's link, one of each IP version, as text."""
        self._settle()
        return tuple(format_ip(address) for address, _ in self.station.addresses)

    async def up(self) -> None:
        """Bring it up, unless it is; return when it can be reached. ConfigError, DeviceError."""
        async with self._coming_up:
            self._settle()
            if not self._is_up:
                assert self._lab.nursery is not None
                await self._lab.nursery.start(self._keep)
                self._is_up = True
            else:
                await self._refresh()

    def linked(self) -> None:
        """The network has given it its link."""

    async def _keep(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Bring it up, say so, and keep it until the network ends."""
        raise NotImplementedError

    async def _refresh(self) -> None:
        """Take over what may have changed in the lab since it came up."""

    def _settle(self) -> None:
        self._lab.settle()
        if not self.station.addresses:
            raise ConfigError(f"{self.name} has no link yet: join it with Network.link")


class PortNode(Attached):
    """Any port as a node: whoever is on its far side is a station on the lab's link."""

    def __init__(
        self, lab: Lab, name: str, chosen: Chosen[Port], addresses: BothAddresses = _ANY
    ) -> None:
        """It comes up by itself as soon as it has a link."""
        self.kind = f"the {chosen.title}"
        super().__init__(lab, name, addresses, real_time=needs_real_time(chosen))
        self._chosen = chosen

    def linked(self) -> None:
        """Come up as soon as whoever builds the network lets other tasks run."""
        assert self._lab.nursery is not None
        self._lab.nursery.start_soon(self.up)

    async def _keep(self, *, task_status: trio.TaskStatus[None]) -> None:
        driver, station = self._lab.driver, self.station
        port = self._chosen(
            PortContext(
                name=self.name,
                scheduler=driver.scheduler,
                seed=self._lab.seed,
                mtu_bytes=station.mtu_bytes,
                far_addresses=station.addresses,
            )
        )
        self._lab.resources.callback(port.close)
        Patch(port, station)
        task_status.started()
        if isinstance(port, RunningPort):
            await port.run(driver)


class TapNode(Attached):
    """A TAP device of the machine as a node: the kernel is a station on the lab's link."""

    kind = "a TAP device"

    def __init__(
        self, lab: Lab, name: str, addresses: BothAddresses = _ANY, *, offload: bool = False
    ) -> None:
        """Its name is the interface's. It comes up by itself as soon as it has a link."""
        check_name(name)
        super().__init__(lab, name, addresses)
        self._offload = offload
        self._routes: set[Prefix] = set()

    def linked(self) -> None:
        """Come up as soon as whoever builds the network lets other tasks run."""
        assert self._lab.nursery is not None
        self._lab.nursery.start_soon(self.up)

    async def _keep(self, *, task_status: trio.TaskStatus[None]) -> None:
        station = self.station
        port = TapPort.open(
            self.name,
            mtu_bytes=station.mtu_bytes,
            host_addresses=station.addresses,
            offload=self._offload,
            peers=self._neighbors(),
        )
        try:
            self._add_routes()
            Patch(port, station)
            task_status.started()
            await port.run(self._lab.driver)
        finally:
            port.close()

    async def _refresh(self) -> None:
        self._add_routes()

    def _neighbors(self) -> list[Ip]:
        """Return who else is on the link: some, for they are asked about one by one.

        Nobody, if another TAP of the lab leads there too: the kernel can only choose one of them.
        """
        own = dict(self.station.addresses)
        blocks = set(own.values())
        others = [each for each in self._lab.attached.values() if isinstance(each, TapNode)]
        for other in others:
            if other is not self and blocks & {block for _, block in other.station.addresses}:
                return []
        nodes = self._lab.topology.nodes.values()
        return [
            address
            for block in own.values()
            for address in islice(
                (it for node in nodes for it, at in node.given if at == block and it not in own),
                _MOST_NEIGHBORS,
            )
        ]

    def _add_routes(self) -> None:
        """Let the kernel know how the lab's other segments are reached. Never its default route."""
        own = {prefix for _, prefix in self.station.addresses}
        for gateway in self.station.gateways:
            for node in self._lab.topology.nodes.values():
                for _, prefix in node.given:
                    if prefix.is_v6 != is_v6(gateway) or prefix in own | self._routes:
                        continue
                    try:
                        ifconfig.add_route(prefix, via=gateway, interface=self.name)
                    except OSError as error:
                        raise DeviceError(
                            f"{self.name} cannot be the way to {prefix}: {error.strerror}"
                        ) from None
                    self._routes.add(prefix)


class Namespace(Attached):
    """A network namespace as a node; see `namespaces.py`. `run` starts programs in it."""

    kind = "a network namespace"

    def __init__(
        self,
        lab: Lab,
        name: str,
        addresses: BothAddresses = _ANY,
        *,
        dns: AskWords = True,
        offload: bool = False,
        inside: Inside = _AS_USUAL,
    ) -> None:
        """`dns`: let its programs know the lab's names, which takes a mount namespace too.

        Or whom they are to ask for names, over the lab's network: see `Host.dns`. `inside`: who
        they are, and what they see of the machine's files.
        """
        self._asks = None if isinstance(dns, bool) else parse_resolver(dns)
        if self._asks is not None:
            resolv_conf(self._asks, self._asks.servers)  # raises
        self._dns = dns is True
        if self._dns:
            need("dns", "a namespace whose programs know the lab's names")
        super().__init__(lab, name, addresses)
        self._offload = offload
        self._inside = inside
        self._holder: Holder | None = None  # None: not up
        self._configured: object = None  # what the kernel was told last; None: nothing yet
        self._opened: list[trio.Process] = []

    async def run(
        self,
        command: Sequence[Word],
        *,
        input: str = "",  # noqa: A002 - the standard library's word
        check: bool = True,
        capture: bool = True,
        cwd: Word | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; return its exit status, and what it printed as text.

        `check`: an exit status other than 0 raises subprocess.CalledProcessError. `capture`: False
        lets it print where the lab prints. Cancelled, it ends the program. Raises DeviceError
        where there can be no namespace, FileNotFoundError where there is no such program.
        """
        words, directory = namespaces.check_command(command, env, cwd)
        done = await trio.run_process(
            (await self.up_holder()).command(words, directory),
            stdin=input.encode(),
            capture_stdout=capture,
            capture_stderr=capture,
            check=False,
            env=env,
        )
        out = "" if done.stdout is None else done.stdout.decode(errors="replace")
        err = "" if done.stderr is None else done.stderr.decode(errors="replace")
        if check and done.returncode:
            error = subprocess.CalledProcessError(done.returncode, words, out, err)
            error.add_note(err)  # why, which its own message leaves out
            raise error
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    async def open_process(
        self,
        command: Sequence[Word],
        *,
        stdin: Stdio = None,
        stdout: Stdio = None,
        stderr: Stdio = None,
        cwd: Word | None = None,
        env: Mapping[str, str] | None = None,
        own_session: bool = False,
    ) -> trio.Process:
        """Start a program, as `trio.lowlevel.open_process` does; its id is the program's own.

        When the network ends, it gets SIGTERM, and SIGKILL half a second later. `own_session`: what
        is typed at our terminal (Ctrl-C) does not reach it. Raises as `run`.
        """
        words, directory = namespaces.check_command(command, env, cwd)
        process = await trio.lowlevel.open_process(
            (await self.up_holder()).command(words, directory),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=env,
            start_new_session=own_session,
        )
        self._opened.append(process)
        return process

    async def introduce(self, host: Host) -> None:
        """Let it and a host on its link know each other, as if each had asked for the other.

        Else the first packet waits for an answer, over a link that may be long. DeviceError.
        """
        holder = await self.up_holder()
        own, now = self.station.addresses, self._lab.driver.now()
        for interface in host.stack.interfaces:
            there = [
                each.address for each in interface.addresses if each.prefix in dict(own).values()
            ]
            if there and interface.neighbors is not None:
                await namespaces.introduce(holder, there, interface.mac)
                for address, _ in own:
                    interface.neighbors.heard(address, self.station.mac, now, create=True)

    async def up_holder(self) -> Holder:
        """Return the process that holds it open, once it is up. ConfigError, DeviceError."""
        await self.up()
        if self._holder is None:
            raise DeviceError(f"the namespace {self.name} has gone")
        return self._holder

    async def _keep(self, *, task_status: trio.TaskStatus[None]) -> None:
        station = self.station
        server = await self._serve_names()
        async with AsyncExitStack() as resources:
            resources.push_async_callback(self._reap)
            holder, device = await resources.enter_async_context(
                namespaces.open_namespace(
                    self.name,
                    station,
                    resolv_conf=self._resolv_conf(server),
                    offload=self._offload,
                    inside=self._inside,
                )
            )
            port = port_of(device, station.mtu_bytes)
            resources.callback(port.close)
            await self._plug(port, server if self._dns else None)
            await self._configure(holder)
            self._holder = holder
            task_status.started()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._outlive, holder)
                    await port.run(self._lab.driver)
            finally:
                self._holder = None

    async def _outlive(self, holder: Holder) -> None:
        await holder.gone()
        raise DeviceError(f"the namespace {self.name} has gone: the process that held it was ended")

    async def _reap(self) -> None:
        """Take note of the ends of all that was started: nobody else may have waited for them."""
        with trio.move_on_after(_REAP_S, shield=True):
            for process in self._opened:
                await process.wait()

    async def _refresh(self) -> None:
        await self._serve_names()
        if self._holder is not None:
            await self._configure(self._holder)

    async def _configure(self, holder: Holder) -> None:
        station = self.station
        wanted = (station.addresses, station.gateways, station.mtu_bytes)
        if wanted != self._configured:
            on_link = self._side_dns if self._dns else None
            await namespaces.configure(holder, station, on_link)
            self._configured = wanted

    @property
    def _side_dns(self) -> Ip:
        has_ipv4 = any(not prefix.is_v6 for _, prefix in self.station.addresses)
        return SIDE_DNS if has_ipv4 else SIDE_DNS6

    async def _plug(self, port: TapPort, server: Ip | None) -> None:
        """`server`: of names; None: programs are told of none, so that none is needed."""
        if server != self._side_dns:
            Patch(port, self.station)
            return
        door = SideDoor(port, _SIDE_MAC)
        Patch(door, self.station)
        side = _side_host(self._lab, self.name, door.station, server)
        assert self._lab.nursery is not None
        await self._lab.nursery.start(*self._dns_on(side))

    async def _serve_names(self) -> Ip:
        """Have a DNS server on the gateway, where the lab has it; return the server's address."""
        gateway = next(iter(self.station.gateways), None)
        for router in self._lab.hosts.values() if self._dns else ():
            if gateway is not None and gateway in router.stack.addresses:
                # Where the port is taken, it runs already, or it is the lab's own: good as well.
                with suppress(OSError, trio.BrokenResourceError):
                    await router.start(*self._dns_on(router))
                return gateway
        return self._side_dns

    def _resolv_conf(self, server: Ip) -> str | None:
        """Return whom programs are to ask for names; None: whom the machine asks."""
        if self._dns:
            return f"nameserver {format_ip(server)}\nsearch .\n"
        if self._asks is None:
            return None
        return resolv_conf(self._asks, [self._address_of(name) for name in self._asks.servers])

    def _address_of(self, server: str) -> str:
        name, _port = split_server(server)
        found = self._lab.topology.address_of(name)
        if found is None:
            raise ConfigError(f"{self.name} cannot ask {name!r}: it has no address here")
        return format_ip(found)

    def _dns_on(self, host: Host) -> tuple[Callable[..., Awaitable[None]], Host, DnsServer]:
        """Return what is to be started on a host, so that it answers for the lab's names."""
        from pystack.runtime.names import dns_service  # it needs an extra

        return dns_service.serve_dns, host, make_answers(self._lab, host.name)


def _side_host(lab: Lab, name: str, port: Port, address: Ip) -> Host:
    """Return a host for the names of the lab, which only one station ever sees."""
    host = StackHost(f"dns of {name}", lab.driver.scheduler, lab.seed)
    # To it, every address is on the link: it answers whatever the station's is.
    everywhere = ifconfig.EVERYWHERE6 if is_v6(address) else ifconfig.EVERYWHERE
    host.add_interface("eth0", port, address, everywhere, _SIDE_MAC)
    return Host(host, lab.driver)
