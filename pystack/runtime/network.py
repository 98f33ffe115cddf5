"""Network: hosts, switches, routers and the links between them, as Trio programs see them.

In `pystack.run` it lives in virtual time, in `trio.run` in real time; it is the same network. What
joins what, and who gets which address and route, is the topology's (`pystack.topology`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, Unpack

import trio

from pystack.core.calendar import DEFAULT_EPOCH
from pystack.core.errors import ConfigError
from pystack.core.ranges import Range, check_switch
from pystack.core.scheduler import Handle
from pystack.core.schedules import Schedule, check_schedule
from pystack.dns.config import AskWords, DnsWords, ResolverConfig, ResolverWords
from pystack.link.link import Link
from pystack.link.words import NetemWords
from pystack.observe.observer import Observer
from pystack.observe.recording import MOST_ITEMS, Item, Recorder, Recording
from pystack.observe.registry import ObserverLike
from pystack.observe.scene import CaptureWords
from pystack.runtime.bare_host import BareHost
from pystack.runtime.borrowed.dropping import check_droppable
from pystack.runtime.borrowed.world import ClockWords, Extent, World
from pystack.runtime.conditions import Condition, Conditions
from pystack.runtime.current import seed_or_fresh
from pystack.runtime.driver.lateness import Lateness
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.driver.stepping import Stepped
from pystack.runtime.either import either_ends, either_opens
from pystack.runtime.faults import Applied, Faults
from pystack.runtime.host import Host, Router
from pystack.runtime.lab.attach import Attached, Namespace, PortNode, TapNode
from pystack.runtime.lab.disk import Disks
from pystack.runtime.lab.namespaces import Inside
from pystack.runtime.names.name_servers import Askers, NameServer, make_answers, read_asks
from pystack.runtime.network_link import LinkAsked, NetworkLink, link_near
from pystack.runtime.nodes import NodeLike, name_of, names_of
from pystack.runtime.onlookers import onlookers
from pystack.runtime.opened import Opened, open_here
from pystack.runtime.ports import PORTS, PortLike, plug
from pystack.runtime.seeing import Seeing
from pystack.stack.host import Host as StackHost
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.congestion.registry import ControlLike
from pystack.topology.addressing import DEFAULT_IP, Addresses, IpVersions, parse_subnets
from pystack.topology.nodes import Station
from pystack.topology.partition import Partition
from pystack.topology.switch import AGEING_S, TABLE_ENTRIES, Switch
from pystack.topology.timeline import Step
from pystack.topology.topology import Topology
from pystack.topology.tunnels import LinkWords, is_far

if TYPE_CHECKING:
    from pystack.observe.captures.capture import Capture
    from pystack.observe.journal import Digest
    from pystack.observe.ladder import Ladder, LadderWords
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.outside.outside import Addressed, Outside, OutsideWords
    from pystack.runtime.outside.published import PublishSpec

HostT = TypeVar("HostT", bound=Host)


class Network:
    """Hosts and what is between them. `async with` opens it, and stops all of it at the end."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        ip: IpVersions = DEFAULT_IP,
        subnet: str | None = None,
        subnet6: str | None = None,
        seal: bool = False,
        world: Extent = "hosts",
        epoch: str | float | datetime = DEFAULT_EPOCH,
        schedule: Schedule = "fifo",
    ) -> None:
        """`seed`: for everything that is left to chance; None: a random one, or an experiment's.

        `ip`: the IP versions that there are: "both", "4" or "6" alone. `subnet`, `subnet6`:
        addresses that nobody gives come from them; None: 10.0.0.0/24, fd00::/64. `seal`: let what
        would reach the machine's own network fail (`pystack.runtime.socket.seal`).
        In virtual time, `epoch`: when its calendar begins (also a datetime, or seconds since 1970);
        `world`: whose clock and chance are the world's: of code on "hosts" alone, or the "whole"
        block of the network. `schedule`: the order of threads and of asyncio's callbacks that are
        ready at the same instant: "random" draws it from the seed. ConfigError.
        """
        check_switch("seal", seal)
        check_schedule(schedule)
        self.schedule: Schedule = schedule
        Range(-math.inf, math.inf, optional=True).check("seed", seed)
        self.seal = seal
        self.seed = seed_or_fresh(seed)
        self._world = World(self.seed, world, epoch)
        self.subnets = parse_subnets(ip, subnet, subnet6)
        self.hosts: dict[str, Host] = {}  # routers too
        self.switches: dict[str, Switch] = {}
        self.links: list[NetworkLink] = []
        self.attached: dict[str, Attached] = {}  # TAP devices and network namespaces
        self.nursery: trio.Nursery | None = None  # None: not opened yet
        self._open: Opened | None = None
        self._topology: Topology | None = None
        self.resources = ExitStack()  # ports that we have made, and close when we end
        self.seeing = Seeing(self, self._world.epoch_s)
        self.conditions = Conditions(self)
        self._disks = Disks(self.seed)
        self.resources.callback(self._disks.close)
        self._asked: ResolverConfig | None = None  # whom hosts ask; None: the network's own table

    @either_opens
    async def __aenter__(self) -> Network:
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

    @property
    def driver(self) -> Driver:
        """Return what lets the network's time pass."""
        if self._open is None:
            raise _not_open()
        return self._open.driver

    @property
    def lateness(self) -> Lateness | None:
        """Return how late the machine is; None in virtual time, where nothing is ever late."""
        driver = self.driver
        return driver.lateness if isinstance(driver, RealtimeDriver) else None

    @property
    def topology(self) -> Topology:
        """Return what it is made of, below Trio."""
        if self._topology is None:
            raise _not_open()
        return self._topology

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
        join = link_near
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

    def has_node(self, name: str) -> bool:
        """Tell whether there is such a node."""
        return name in self.topology.nodes

    def settle(self) -> None:
        """Give addresses and routes to what has none yet; happens by itself. ConfigError."""
        topology = self._topology  # asked for with each call of a program's: no property
        if topology is not None and topology.dirty:
            topology.settle()

    # what happens to it

    def now(self) -> float:
        """Return the world's time in seconds: that of all hosts, and `trio.current_time()`."""
        return self.driver.now()

    @property
    def opened_at(self) -> float:
        """Return when the network was opened, in the world's time."""
        return self._opened().timeline.origin

    def at(self, when: str | float, fn: Callable[[], object]) -> Handle:
        """Call `fn()` at `when`: an instant of `now`, or a text ("5s") since the network's opening.

        In virtual time, where a network is mostly opened at 0, the two are the same. What is
        returned has a `cancel`. An error in `fn` ends the run. Raises ConfigError for what has
        passed already.
        """
        return self._opened().timeline.at(when, fn)

    def after(self, delay: str | float, fn: Callable[[], object]) -> Handle:
        """Call `fn()` so long from now: seconds, or a text ("5s"). See `at`."""
        return self._opened().timeline.after(delay, fn)

    def timeline(self, steps: Iterable[Step]) -> list[Handle]:
        """Call several functions, each at its time: [(5, fn), ("8s", other)]. See `at`."""
        return self._opened().timeline.timeline(steps)

    @property
    def paused(self) -> bool:
        """Tell whether its time stands still."""
        return self.driver.paused

    def pause(self) -> None:
        """Let its time stand still: nothing arrives and no timer goes off. Tasks that can run do.

        In virtual time Trio's deadlines do not come either; in real time Trio's clock goes on, and
        frames from outside wait in front of their devices.
        """
        self.driver.pause()

    def resume(self) -> None:
        """Let it go on from where it stands."""
        self.driver.resume()

    def step(self) -> Stepped:
        """While it stands still, let the next event happen; return which. Raises ConfigError.

        In virtual time that may be Trio's next deadline.
        """
        return self.driver.step()

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

    # seeing it

    def capture(
        self,
        path: str | Path,
        *,
        links: bool = False,
        **words: Unpack[CaptureWords],
    ) -> Capture:
        """Write what the network carries to a file from now on, until it or the capture is closed.

        pcapng with comments that say what befell a frame; classic pcap, without, where the name
        ends in ".pcap". Each packet is there once, as it enters the network, also one that is lost
        then: what switches and routers pass on is not written again; with `links` each frame is, on
        each link. `ring`: the last of so many bytes ("64mb"), in files of which each can be read;
        `secrets`: what decrypts the TLS of our services and clients; `snaplen`: the most bytes of a
        frame. See also `capture` of hosts and links. Raises ConfigError, OSError.
        """
        return self.seeing.capture(path, None, links=links, **words)

    def observe(
        self,
        observer: ObserverLike,
        *,
        say: Callable[[str], object] = print,
    ) -> None:
        """Report everything from now on to `observer`: on hosts and switches, and drops on links.

        One with an `on_passage` (`PassageWatcher`) is told of each frame on each link as well.

        It may be the name of one with its words: "log packets", "ladder", "pcap file run.pcap", or
        a plug-in's (`pystack.observer`); or what makes one of a `Scene`, such as its class. `say`
        takes the lines that such a one has to say. Raises ConfigError, DeviceError.
        """
        self.seeing.observe(observer, say)

    def unobserve(self, observer: Observer) -> None:
        """Report nothing more to it. Nothing happens where it is told nothing anyway."""
        self.seeing.unobserve(observer)

    def record(self, items: int = MOST_ITEMS) -> Recorder:
        """Keep what happens from now on, for `ladder` and `recording`: return what keeps it.

        `items`: how many frames and events, from 1 on; the oldest go first. Where it is kept
        already, as in a test of the pytest plug-in, that goes on. Raises ConfigError.
        """
        return self.seeing.record(items)

    def recording(self) -> Recording:
        """Return what was kept, as it is now. Raises ConfigError where `record` was not called."""
        return self.seeing.recording()

    def recording_of(self, items: Sequence[Item], *, left_out: int = 0) -> Recording:
        """Return items, kept by any recorder, with what the network knows of them."""
        return self.seeing.recording_of(items, left_out)

    def digest(self) -> Digest:
        """Return a hash of all that happens from now on, on all hosts and links, to the byte.

        `seen = net.digest()` where it begins, `assert seen.hexdigest() == "..."` where it has
        ended: the same for the same seed, in each process, on each Python.
        """
        from pystack.observe.journal import Digest  # only where one is wanted

        seen = Digest()
        self.observe(seen)
        return seen

    def ladder(self, **words: Unpack[LadderWords]) -> Ladder:
        """Return what was kept as a ladder: who sent what to whom, downwards in time.

        `print(net.ladder())`, `net.ladder(last=20).svg()`; a notebook draws it. `words`: those of
        `Ladder.of`. Raises ConfigError where `record` was not called.
        """
        from pystack.observe.ladder import Ladder  # only where one is drawn

        return Ladder.of(self.recording(), **words)

    def _repr_svg_(self) -> str:
        """Return nodes, links and addresses as a drawing, for a notebook."""
        from pystack.topology.drawing import drawing_of_topology
        from pystack.topology.svg import as_svg

        return as_svg(drawing_of_topology(self.topology))

    def capture_host(
        self, host: BareHost, path: str | Path, **words: Unpack[CaptureWords]
    ) -> Capture:
        """Write every frame that a host sends or receives."""
        return self.seeing.capture(path, host.name, host=host.name, **words)

    def capture_link(self, link: Link, path: str | Path, **words: Unpack[CaptureWords]) -> Capture:
        """Write every frame that is put on a link."""
        if link not in self.links:
            what = f"the link {link.name}" if isinstance(link, Link) else repr(link)
            raise ConfigError(f"{what} is not of this network")
        return self.seeing.capture(path, link, links=True, **words)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        hosts, switches, links = len(self.hosts), len(self.switches), len(self.links)
        return f"<Network of hosts: {hosts}, switches: {switches}, links: {links}>"

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

    def _opened(self) -> Opened:
        if self._open is None:
            raise _not_open()
        return self._open


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


def _not_open() -> ConfigError:
    return ConfigError(
        "the network is not open: use `async with pystack.Network() as net`; pytest's fixture "
        "`net` opens when its test begins: give it its hosts there, in a function that the test "
        "calls, or in an async fixture"
    )
