"""Network: hosts, switches, routers and the links between them, as Trio programs see them.

In `pystack.run` it lives in virtual time, in `trio.run` in real time; it is the same network. What
joins what, and who gets which address and route, is the topology's (`pystack.topology`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from pystack.core.errors import ConfigError
from pystack.core.ranges import check_switch
from pystack.dns.config import AskWords, DnsWords, ResolverConfig, ResolverWords
from pystack.link.link import Link
from pystack.link.words import NetemWords
from pystack.runtime.bare_network import BareNetwork
from pystack.runtime.borrowed.dropping import check_droppable
from pystack.runtime.borrowed.world import ClockWords
from pystack.runtime.conditions import Condition
from pystack.runtime.either import either_ends, either_opens
from pystack.runtime.faults import Applied, Faults
from pystack.runtime.host import Host, Router
from pystack.runtime.lab.attach import Namespace, PortNode, TapNode
from pystack.runtime.lab.namespaces import Inside
from pystack.runtime.names.name_servers import Askers, NameServer, make_answers, read_asks
from pystack.runtime.network_link import LinkAsked, NetworkLink, link_near
from pystack.runtime.nodes import NodeLike, name_of, names_of
from pystack.runtime.onlookers import onlookers
from pystack.runtime.opened import open_here
from pystack.runtime.ports import PORTS, PortLike, plug
from pystack.stack.host import Host as StackHost
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.congestion.registry import ControlLike
from pystack.topology.addressing import Addresses
from pystack.topology.nodes import Station
from pystack.topology.partition import Partition
from pystack.topology.switch import AGEING_S, TABLE_ENTRIES, Switch
from pystack.topology.topology import Topology
from pystack.topology.tunnels import LinkWords, is_far

if TYPE_CHECKING:
    from pystack.runtime.outside.outside import Addressed, Outside, OutsideWords
    from pystack.runtime.outside.published import PublishSpec

HostT = TypeVar("HostT", bound=Host)


class Network(BareNetwork):
    """Hosts and what is between them. `async with` opens it, and stops all of it at the end."""

    links: list[NetworkLink]  # in the order in which they were made

    @either_opens
    async def __aenter__(self) -> Self:
        """Find out which kind of time this is, and let it pass for the network."""
        opened = self._open = await open_here()
        self.nursery = opened.nursery
        self._topology = Topology(opened.driver.scheduler, self.seed, *self.subnets)
        opened.borrow(self._world, sealed=self.seal)
        for tell in onlookers.get():
            tell(self)
        return self

    @either_ends
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End everything in it at once, as when the power goes."""
        opened = self._opened()
        failed = self.conditions.end(failed=error is not None)
        opened.timeline.clear()
        # First: its own programs are cancelled, and only those of others hear that it has ended.
        opened.nursery.cancel_scope.cancel()
        for host in self.hosts.values():
            host.close()
        try:
            return await opened.end_programs(kind, error, traceback, failed)
        finally:
            # Last: what programs do when they are cancelled is seen as well.
            self.resources.close()
            self.seeing.close()
            opened.give_back()

    # building

    def host(
        self,
        name: str,
        *,
        address: Addresses = None,
        address6: Addresses = None,
        tcp: TcpConfig | None = None,
        tcp_limits: TcpLimits | None = None,
        congestion: ControlLike | None = None,
        dns: ResolverWords | None = None,
        **clock: Unpack[ClockWords],
    ) -> Host:
        """Add a host. Its addresses are free ones, unless given: "10.0.0.9/24", or one per link.

        `address` is of IPv4, `address6` of IPv6 ("fd00::9/64").
        `tcp`: what its connections are given, `tcp_limits`: what they may do together; None: the
        defaults. `congestion`: their control, instead of that in `tcp`: a name with its words, a
        class, or what makes one of the largest segment in bytes. `dns`: whom it asks for names (see
        `Host.dns`); None: the network's own table, without a packet. `clock_offset` ("-300ms") and
        `clock_drift` ("50ppm"): how wrong its clock is (see `Host.set_clock`), in virtual time.
        Raises ConfigError for a name or an address that is taken, or cannot be.
        """
        config, limits = _tcp(tcp, congestion), _tcp_limits(tcp_limits)
        asks = read_asks(dns)
        stack = self.topology.host(name, address, address6)
        return self._add(Host, stack, config, limits, asks, clock)

    def router(
        self,
        name: str,
        *,
        address: Addresses = None,
        address6: Addresses = None,
        tcp: TcpConfig | None = None,
        tcp_limits: TcpLimits | None = None,
        congestion: ControlLike | None = None,
        dns: ResolverWords | None = None,
        **clock: Unpack[ClockWords],
    ) -> Router:
        """Add a router: a host that forwards, and can run programs as well. See `host`."""
        config, limits = _tcp(tcp, congestion), _tcp_limits(tcp_limits)
        asks = read_asks(dns)
        stack = self.topology.router(name, address, address6)
        return self._add(Router, stack, config, limits, asks, clock)

    def switch(
        self, name: str, *, ageing: str | float = AGEING_S, table_entries: int = TABLE_ENTRIES
    ) -> Switch:
        """Add a learning switch. Links between switches may form rings. Raises ConfigError."""
        switch = Switch(name, ageing=ageing, table_entries=table_entries)
        self.switches[name] = self.topology.switch(switch)
        switch.observers.extend(self.seeing.observers)
        return switch

    def station(
        self, name: str, *, address: Addresses = None, address6: Addresses = None
    ) -> Station:
        """Add a place for something with a stack of its own. Raises ConfigError."""
        return self.topology.station(name, address, address6)

    def tap(
        self,
        name: str,
        *,
        address: Addresses = None,
        address6: Addresses = None,
        offload: bool = False,
    ) -> TapNode:
        """Add a TAP device of the machine: its kernel is a station on the link that this gets.

        The kernel's end has addresses of the segment, unless given, and routes to the lab's other
        segments. It comes up by itself; `await tap.up()` waits for it. Real time only. ConfigError.
        """
        tap = TapNode(self, name, (address, address6), offload=offload)
        self.attached[name] = tap
        return tap

    def namespace(
        self,
        name: str,
        *,
        address: Addresses = None,
        address6: Addresses = None,
        dns: AskWords = True,
        offload: bool = False,
        inside: Inside | None = None,
    ) -> Namespace:
        """Add a network namespace of the machine, in which real programs run: `namespace.run`.

        Its default route, and with `dns` its names, are the lab's; `dns` may be whom it asks, too.
        It is made when needed, as root or else in a user namespace; `inside` (of `runtime.lab.
        namespaces`): who its programs are there, and more. Real time only. ConfigError.
        """
        own = Inside() if inside is None else inside
        namespace = Namespace(self, name, (address, address6), dns=dns, offload=offload, inside=own)
        self.attached[name] = namespace
        return namespace

    def port(
        self,
        name: str,
        port: PortLike,
        *,
        address: Addresses = None,
        address6: Addresses = None,
    ) -> PortNode:
        """Add a node whose inside is a port: "replay file x.pcap", or one that a plug-in adds.

        Whatever is on the far side of the port has addresses of the link that this node gets. It
        comes up by itself. Raises ConfigError.
        """
        node = PortNode(self, name, PORTS.read(port), (address, address6))
        self.attached[name] = node
        return node

    async def outside(self, host: Host, **words: Unpack[OutsideWords]) -> Outside:
        """Let a host be the way to the real network, by the machine's sockets: see docs/outside.md.

        It takes what it has no route for; hosts, and namespaces, reach it where it is their router.
        `reach_loopback`: True, or at which addresses inside the machine's loopback is; `resolvers`:
        whom it asks for names, at whose port 53 it answers. Real time only. Raises ConfigError.
        """
        from pystack.runtime.outside.outside import open_outside  # only where one is wanted

        return await open_outside(self, host, **words)

    async def publish(
        self, host: Host, specs: str | Sequence[str], *, to: Addressed | str
    ) -> list[PublishSpec]:
        """Let ports of the machine lead to ports of a node, or of an address, from `host` on.

        `[ADDRESS:]PORT[:PORT][/tcp|/udp]`, one or several: "8080:80", "0.0.0.0:5353:53/udp",
        "8000-8010:8000-8010"; without an address on the machine's loopback. Port 0 is any free one.
        Inside, the client is `host`. Returns what was opened, for each version of IP. Real time
        only. Raises ConfigError, and DeviceError for what is taken.
        """
        from pystack.runtime.outside.outside import open_published

        return await open_published(self, host, specs, to)

    def link(
        self,
        a: NodeLike,
        b: NodeLike,
        *,
        preset: str | None = None,
        a_to_b: NetemWords | None = None,
        b_to_a: NetemWords | None = None,
        mtu_bytes: int | None = None,
        offload: bool = False,
        **words: Unpack[LinkWords],
    ) -> NetworkLink:
        """Join two nodes by a link, which behaves as the words of tc-netem(8) say.

        `words` (delay="20ms", loss="1%", rate="10mbit" ...) hold for both directions, `a_to_b` and
        `b_to_a` for one, and go before those of `preset` ("lte"), for which `a` is the subscriber.
        `mtu_bytes`: the largest IP packet, from 68; None: 1500. `offload`: TCP in pieces of up to
        512 KiB while nothing tells segments apart (no words but a delay), much faster; hosts see
        them so.
        "udp://host:port" is another machine, reached by VXLAN, with its words `vni`, `listen`,
        `key`, `key_file` (see docs/across-machines.md), and no larger MTU than the path's. Raises
        ConfigError, DeviceError.
        """
        join: Callable[[Network, str, str, LinkAsked], NetworkLink] = link_near
        if is_far(a) or is_far(b):
            from pystack.runtime.vxlan.far import link_far  # few links leave the machine

            join = link_far
        asked = LinkAsked(
            preset=preset,
            a_to_b=a_to_b,
            b_to_a=b_to_a,
            mtu_bytes=mtu_bytes,
            offload=offload,
            words=words,
        )
        return self.adopt(join(self, name_of(self, a), name_of(self, b), asked))

    def adopt(self, link: NetworkLink) -> NetworkLink:
        """Take a link that the topology has made as one of this network; return it."""
        link.network = self
        link.observers.extend(self.seeing.observers)
        self.links.append(link)
        if self.lateness is not None:
            self.lateness.links.append(link)
        for name in link.ends:
            if name in self.attached:
                self.attached[name].linked()
        return link

    def dns(
        self,
        server: Host | str,
        *,
        records: Iterable[str] = (),
        faults: Iterable[str] = (),
        hosts: Iterable[Host | str] | None = None,
        names: bool = True,
        ttl: str | float = 0,
        **words: Unpack[DnsWords],
    ) -> NameServer:
        """Have a host serve DNS (a new one, where there is none so called), and others ask it.

        `hosts` do from now on; None: all that were given no server, also those that come later. It
        knows `records` ("www.example.test 60 A 10.0.0.9") and, to be kept for `ttl`, the network's
        own `names`; `faults` ("www.example.test late 2s") are what it does wrong. `words`: those of
        `Host.dns`. It comes up by itself; `await net.dns(...)` waits for that. ConfigError.
        """
        name = name_of(self, server)
        askers = Askers(self, name, hosts, words)
        answers = make_answers(self, name, records=records, faults=faults, names=names, ttl=ttl)
        host = self.hosts.get(name) or self.host(name)
        self._asked = askers.ask(host, self._asked)
        assert self.nursery is not None
        return NameServer(host, answers, self.nursery)

    def attach(self, host: Host, port: PortLike) -> None:
        """Plug a host into any port, as its next interface. See `port` for texts.

        A port that is given itself is its giver's to run and to close. Raises ConfigError.
        """
        plug(self, name_of(self, host), port)

    def link_between(self, a: NodeLike, b: NodeLike) -> Link:
        """Return the link (the first one) that joins two nodes. Raises ConfigError."""
        links = self.topology.links_between(name_of(self, a), name_of(self, b))
        if not links:
            raise ConfigError(f"no link joins {name_of(self, a)} and {name_of(self, b)}")
        return links[0]

    def route(self, name: str, destination: str, via: str) -> None:
        """Add a route to a host or router: see `Host.route`. Raises ConfigError."""
        self.topology.route(name, destination, via)

    # what happens to it

    def partition(
        self,
        *groups: NodeLike | Iterable[NodeLike],
        answer: str = "silence",
        spare_established: bool = False,
    ) -> Partition:
        """Let nothing through between groups of nodes (or single ones), from now until it heals.

        `async with net.partition({a, b}, {c}): ...`, or without `async with` and with `net.heal()`.
        `answer="reject"`: who sends into it is told at once, as by a firewall: a RST for TCP, else
        ICMP (administratively prohibited). `spare_established`: connections that exist go on, new
        ones cannot be opened. Raises ConfigError.
        """
        return self.topology.partition(
            [names_of(self, group) for group in groups],
            answer=answer,
            spare_established=spare_established,
        )

    def heal(self) -> None:
        """End all partitions."""
        self.topology.heal()

    def apply(self, faults: Faults, *, restart: Callable[[Host], object] | None = None) -> Applied:
        """Let all of a schedule happen, each fault at its time from now on.

        `restart`: called with each host whose power is back, to start its programs again. What is
        returned has a `cancel`, which ends what lasts. Raises ConfigError.
        """
        if not isinstance(faults, Faults):
            raise ConfigError(
                f"what is applied is Faults([...]) of pystack.testing, not {faults!r}"
            )
        return faults.on(self, restart=restart)

    def power_off(self, node: NodeLike, *, crash: bool = False) -> None:
        """Cut the power of a host, a router or a switch: silence. See `Host.power_off`."""
        name = name_of(self, node)
        check_switch("crash", crash)
        if crash:
            check_droppable()
        self.topology.power_off(name, self.driver.now())
        if name in self.hosts:
            programs = self.hosts[name].programs
            if crash:
                lose = self._disks.crash(name)
                programs.crash()
                lose()
            else:
                programs.power_off()
            self.hosts[name].names.forget()

    def disk(self, name: str) -> Path:
        """Return the directory of a host. See `Host.disk`."""
        return self._disks.path(name)

    def power_on(self, node: NodeLike) -> None:
        """Restore its power; its memory is empty."""
        self.topology.power_on(name_of(self, node))

    # what is to hold

    def always(self, predicate: Callable[[], object], words: str) -> Condition:
        """Have `predicate()` true now and after every event, until the network closes.

        Where it is not, the run ends at once with ConditionError, which has the `words`. What is
        returned has a `cancel`, and is a context manager. In real time it is looked at after each
        event of the network. Raises ConditionError, ConfigError.
        """
        return self.conditions.add(Condition(self, predicate, words))

    def eventually(
        self, predicate: Callable[[], object], words: str, *, within_s: str | float | None = None
    ) -> Condition:
        """Have `predicate()` true once, after some event from now on. See `always`.

        `within_s`: from now, 0 or more seconds ("5s"); None: before the network closes. What is
        returned tells when that was: `met_at`.
        """
        return self.conditions.add(
            Condition(self, predicate, words, within_s=within_s, is_eventual=True)
        )

    def _add(
        self,
        kind: type[HostT],
        stack: StackHost,
        config: TcpConfig,
        limits: TcpLimits,
        asks: ResolverConfig | None,
        clock: ClockWords,
    ) -> HostT:
        stack.tcp.config, stack.tcp.limits = config, limits
        host = kind(stack, self.driver, self.topology.resolve_all, self)
        host.dns = self._asked if asks is None else asks
        self._world.equip(host, clock)
        self.hosts[stack.name] = host
        stack.observers.extend(self.seeing.observers)
        return host


def _tcp(config: TcpConfig | None, congestion: ControlLike | None) -> TcpConfig:
    config = TcpConfig() if config is None else config
    if not isinstance(config, TcpConfig):
        raise ConfigError(f"tcp is a pystack.TcpConfig, not {config!r}")
    return config if congestion is None else replace(config, congestion=congestion)


def _tcp_limits(limits: TcpLimits | None) -> TcpLimits:
    limits = TcpLimits() if limits is None else limits
    if not isinstance(limits, TcpLimits):
        raise ConfigError(f"tcp_limits is a pystack.TcpLimits, not {limits!r}")
    return limits
