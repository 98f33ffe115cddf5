"""Topology: many hosts, switches, routers, and the links between them, as one thing.

What is built is only noted; `settle` then gives an address to every end of a link, a route to every
node, and rest to links that would close a ring of switches. It runs by itself when something asks
for an address, and again after changes: what was given stays, what is new gets its part.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar, Unpack

from pystack.core.addresses import (
    LINK_LOCAL6,
    LOOPBACK,
    LOOPBACK6,
    ZERO_MAC,
    Ip,
    Mac,
    Prefix,
    eui64,
    format_ip,
    is_v6,
    link_local,
    looks_like_address,
    parse_ip,
    parse_prefix,
)
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.core.scheduler import Scheduler
from pystack.core.suggest import suggest
from pystack.link.config import PipeConfig, update_both
from pystack.link.link import Link
from pystack.link.port import DEFAULT_MTU_BYTES, LoopbackPort
from pystack.link.words import NetemWords
from pystack.stack.host import Host
from pystack.topology import addressing, presets, routing, segments
from pystack.topology.addressing import Addresses
from pystack.topology.apart import Apart
from pystack.topology.nodes import Cable, End, FarSide, HostAddress, Node, Station
from pystack.topology.partition import Partition, Partitions
from pystack.topology.router import Router
from pystack.topology.spanning import SpanningTree
from pystack.topology.switch import Switch
from pystack.topology.transit import Transit
from pystack.topology.watching import Watching

if TYPE_CHECKING:
    from pystack.link.port import Port

HostT = TypeVar("HostT", bound=Host)
LinkT = TypeVar("LinkT", bound=Link)

_BothAddresses = tuple[Addresses, Addresses]  # of IPv4 and of IPv6


class Topology:
    """The nodes and links of one network. Sync; it owns the settling and nothing that runs."""

    def __init__(self, scheduler: Scheduler, seed: int, *subnets: Prefix) -> None:
        """`subnets`: what addresses come from, one for each IP version that there is."""
        self.scheduler = scheduler
        self.seed = seed
        self.subnets = subnets
        self.nodes: dict[str, Node] = {}
        self.cables: list[Cable] = []
        self._owners: dict[Ip, str] = {}  # of addresses, also of those that are only wanted yet
        self._link_names: Counter[str] = Counter()
        self._segments = segments.Segments()
        self._ends = 0
        self.watching = Watching(self.nodes, self.cables)
        self.transit = Transit(self.nodes)
        self._trunks: dict[Link, Cable] = {}  # those between two switches
        self._tree = SpanningTree()
        self._tree_number = 0  # how often ways between switches have changed
        self._partitions = Partitions(scheduler)
        self.dirty = False  # something was built that is not settled yet
        self._was_settled = False
        self._apart = Apart()
        self._exits: dict[str, None] = {}  # nodes that lead out of the network

    # building

    def host(self, name: str, address: Addresses = None, address6: Addresses = None) -> Host:
        """Add a host. Raises ConfigError for a name or an address that is taken or cannot be."""
        return self._add_host(name, (address, address6), Host)

    def router(self, name: str, address: Addresses = None, address6: Addresses = None) -> Router:
        """Add a router."""
        return self._add_host(name, (address, address6), Router)

    def switch(self, switch: Switch) -> Switch:
        """Add a switch."""
        self._check_name(switch.name)
        self._add(switch.name, switch, (None, None))
        return switch

    def station(self, name: str, address: Addresses = None, address6: Addresses = None) -> Station:
        """Add a place for something that has its own stack."""
        self._check_name(name)
        station = Station(name, self._mac(name, 0))
        self._add(name, station, (address, address6))
        return station

    def far_side(self, name: str) -> None:
        """Add what is on another machine: it gets no addresses here."""
        self._add(name, FarSide(name, ZERO_MAC), (None, None))

    def link(
        self,
        a: str,
        b: str,
        *,
        preset: str | None = None,
        a_to_b: NetemWords | None = None,
        b_to_a: NetemWords | None = None,
        mtu_bytes: int = DEFAULT_MTU_BYTES,
        offload: bool = False,
        make: Callable[..., LinkT],
        **words: Unpack[NetemWords],
    ) -> LinkT:
        """Join two nodes by a link; `make` makes it, as its class does; `offload`: see `Link`.

        `words` hold for both directions, `a_to_b` and `b_to_a` for one; they go before those of
        the preset, whose subscriber is `a`. Raises ConfigError.
        """
        self._check_link(a, b)
        up, down = presets.words_of(preset)
        preset_configs = PipeConfig.parse(**up), PipeConfig.parse(**down)
        configs = update_both(preset_configs, words, a_to_b, b_to_a)
        name = f"{a}-{b}"
        parallel = self._link_names[name]
        link = make(
            self.scheduler,
            self.seed,
            name if not parallel else f"{name}#{parallel + 1}",
            *configs,
            mtu_bytes=mtu_bytes,
            offload=offload,
        )
        link.ends = (a, b)
        self.watching.link_added(link)
        cable = Cable(link, self._add_end(a, link.a), self._add_end(b, link.b))
        self.cables.append(cable)
        self._link_names[name] += 1
        self._segments.join(cable.a, cable.b)
        if cable.a.node.is_switch and cable.b.node.is_switch:
            self._trunks[link] = cable
            for end in (cable.a, cable.b):
                assert isinstance(end.node.device, Switch)
                end.node.device.trunk(end.number)
            if self._partitions:
                self._part()
            self.link_changed(link)
        self._changed()
        return link

    def attach(self, name: str, port: Port) -> None:
        """Plug a node into any port that is no link's."""
        self.watching.portals.add((name, self._add_end(name, port).name))
        self._apart.whole = True
        self._changed()

    def lead_out(self, name: str, *, leads: bool = True) -> None:
        """Let a host or router be where all goes that is in no block of the network, or no more.

        Raises ConfigError for a host with several links that passes nothing on between them.
        """
        node = self.node(name)
        if not leads:
            self._exits.pop(name, None)
        elif isinstance(node.device, Host) and (node.is_router or len(node.ends) < 2):
            self._exits[name] = None
        else:
            raise ConfigError(f"{name} leads nowhere: a way out is a router, or a host at its end")
        self._apart.whole = True
        self._changed()

    def set_congestion(self, name: str, congestion: object) -> None:
        """Choose the congestion control of a host's connections. Raises ConfigError."""
        device = self.node(name).device
        assert isinstance(device, Host)
        config = replace(device.tcp.config, congestion=congestion)  # type: ignore[arg-type]
        device.tcp.config = config

    def route(self, name: str, destination: str, via: str) -> None:
        """Add a route by hand: to "10.9.0.0/16", or "default", via an address or a node's name."""
        node = self.node(name)
        if not isinstance(node.device, Host):
            raise ConfigError(f"{name} has no routes: only hosts and routers do")
        if not isinstance(via, str) or via not in self.nodes:
            try:
                versions = [is_v6(routing.gateway_of(via))]
            except ConfigError:
                hint = suggest(via, self.nodes) if isinstance(via, str) else ""
                raise ConfigError(f"{via!r} is neither a node nor an address{hint}") from None
        else:
            versions = [subnet.is_v6 for subnet in self.subnets]
        if destination == "default":
            prefixes = [routing.DEFAULT6 if v6 else routing.DEFAULT for v6 in versions]
        else:
            prefixes = [parse_prefix(destination)]
            if via not in self.nodes and prefixes[0].is_v6 != versions[0]:
                raise ConfigError(f"{destination} and {via} are of different versions of IP")
        for prefix in prefixes:
            if prefix in node.given_routes:
                raise ConfigError(f"{name} has a route to {destination} already")
        node.given_routes.update(prefixes)
        node.pending_routes += [(prefix, via) for prefix in prefixes]
        self._apart.whole = True
        if not self._was_settled:
            self._changed()
            return
        # One that cannot be is refused here, and not when time goes on.
        was_dirty, self.dirty = self.dirty, True
        try:
            self.settle()
        except ConfigError:
            if not was_dirty:
                self.settle()  # a route that it would have stood in for is filled in again
            raise

    # asking

    def node(self, name: str) -> Node:
        """Return the node of that name. Raises ConfigError."""
        found = self.nodes.get(name) if isinstance(name, str) else None
        if found is None:
            hint = suggest(name, self.nodes) if isinstance(name, str) else ""
            raise ConfigError(f"there is no node {name!r}{hint}")
        return found

    def address_of(self, text: str) -> Ip | None:
        """Return what `resolve` does; of an address in text, that itself."""
        found = self.resolve(text)
        if found is None:
            with suppress(ConfigError):
                found = parse_ip(text)
        return found

    def resolve(self, name: str) -> Ip | None:
        """Return the first of what `resolve_all` does; None: nobody has the name."""
        return next(iter(self.resolve_all(name)), None)

    def resolve_all(self, name: str) -> tuple[Ip, ...]:
        """Return the address of "client", or of "client.eth1", of each IP version, IPv4 first.

        Of several interfaces it is the first one's. Nobody has the name: none.
        """
        base, dot, interface = name.rpartition(".")
        if name in self.nodes:
            base, dot = name, ""
        node = self.nodes.get(base)
        if node is None:
            return ()
        self.settle()
        for end in node.ends:
            if end.given and (not dot or end.name == interface):
                return tuple([address for address, _ in end.given])
        return ()

    def names_by_address(self) -> dict[str, str]:
        """Return the names of hosts and routers by their addresses, as they are now."""
        return {
            format_ip(address): name
            for name, node in self.nodes.items()
            for address in node.addresses
        }

    def links_between(self, a: str, b: str) -> list[Link]:
        """Return the links that join two nodes, in the order of their making."""
        pair = {self.node(a), self.node(b)}
        return [cable.link for cable in self.cables if {cable.a.node, cable.b.node} == pair]

    # what happens to it

    def check_power(self, name: str) -> None:
        """Raise ConfigError for a node whose power is not the network's."""
        if isinstance(self.node(name).device, Station):
            raise ConfigError(f"{name} is not the network's to power off: take its link down")

    def power_off(self, name: str, now: float) -> None:
        """Take the power from a node: silence. Nothing happens where it is off already."""
        self.check_power(name)
        node = self.node(name)
        self.settle()
        if not node.powered:
            return
        node.powered = False
        for end in node.ends:
            end.replug()
        if isinstance(node.device, Host):
            node.device.power_off(now)
        elif isinstance(node.device, Switch):
            node.device.forget()
            self._rest()

    def power_on(self, name: str) -> None:
        """Give it power again: memory empty, addresses and routes as they were."""
        node = self.node(name)
        if node.powered:
            return
        node.powered = True
        if isinstance(node.device, Host):
            node.device.power_on()
        for end in node.ends:
            end.replug()
        if node.is_switch:
            self._rest()

    def partition(
        self,
        groups: Iterable[Iterable[str]],
        *,
        answer: str = "silence",
        spare_established: bool = False,
    ) -> Partition:
        """Part groups of nodes from each other, from now until the partition heals. ConfigError."""
        partition = self.check_partition(groups, answer=answer, spare_established=spare_established)
        self._partitions.add(partition)
        self._part()
        return partition

    def check_partition(
        self, groups: Iterable[Iterable[str]], *, answer: str, spare_established: bool
    ) -> Partition:
        """Return a partition that does not hold yet. Raises ConfigError where it cannot be."""
        names = [list(group) for group in groups]
        members = [[self.node(name) for name in group] for group in names]
        return Partition(members, self._part, answer=answer, spare_established=spare_established)

    def heal(self) -> None:
        """End all partitions."""
        self._partitions.heal()

    def link_changed(self, link: Link) -> None:
        """Take note that a link went down or came up: a ring of switches has another way now."""
        if self._was_settled and link in self._trunks:
            self._rest()

    # settling

    def settle(self) -> None:
        """Give addresses and routes to what has none yet. Raises ConfigError."""
        if not self.dirty:
            return
        self._was_settled = True
        new = None if self._partitions else self._apart.new(self.cables, self.subnets)
        if new is None:
            self._apart.whole = True
            self._rest()
            self._settle(self.nodes, self.cables, list(self._exits))
            self._part()
        else:
            self._settle(*new, [])
        self._apart.settled((self.nodes if new is None else new[0]).values(), self.cables)
        self.dirty = False  # not before: what was refused is refused again, until it is mended

    def _settle(
        self, nodes: Mapping[str, Node], cables: Iterable[Cable], exits: Sequence[str]
    ) -> None:
        found = segments.segments(nodes.values(), [(cable.a, cable.b) for cable in cables])
        for end, addresses in addressing.assign(found, self.subnets):
            self._give(end, addresses)
        routing.fill(nodes, found, self.subnets, exits)

    def _rest(self) -> None:
        """Let links between switches rest that would close a ring of those that carry frames."""
        switches = [node for node in self.nodes.values() if node.is_switch and node.powered]
        whole: list[tuple[End, End]] = []
        one_way: list[tuple[End, End]] = []
        for link, cable in self._trunks.items():
            down = link.a_to_b.is_down + link.b_to_a.is_down
            if down < 2 and not cable.a.cut:
                (one_way if down else whole).append((cable.a, cable.b))
        change = self._tree.renew(switches, whole, one_way)
        for node, numbers in change.blocked.items():
            assert isinstance(node.device, Switch)
            node.device.block(numbers)
        if not change.changed:
            return
        self._tree_number += 1
        for node in self.nodes.values():
            if isinstance(node.device, Switch):
                node.device.tree = self._tree_number
        for end in change.changed:
            assert isinstance(end.node.device, Switch)
            end.node.device.renew(end.number, self._tree_number)

    def _give(self, end: End, addresses: Sequence[HostAddress]) -> None:
        device = end.node.device
        end.given = (*end.given, *addresses)
        for address, _ in addresses:
            self._owners[address] = end.node.name
        if isinstance(device, Station):
            device.addresses = end.given
            end.replug()
        elif isinstance(device, Host):
            # Nobody here knows the names over there: addresses by hand are unique, so are these.
            own = f"/{format_ip(addresses[0][0])}" if end.leads_away else ""
            mac = self._mac(f"{device.name}{own}", end.number)
            first, *others = addresses
            # Nobody else can have them: they are not asked for on the link, and nobody is told.
            end.interface = device.add_interface(end.name, end.port, *first, mac)
            for other in others:
                device.add_address(end.interface, *other)
            if addresses[-1][1].is_v6:
                device.add_address(end.interface, link_local(eui64(mac)), LINK_LOCAL6)
            if not end.node.powered:
                end.replug()

    def _part(self) -> None:
        """Put guards where partitions want them, and take away those that none wants."""
        changed = self._partitions.part(self.nodes.values(), self.cables)
        if any(link in self._trunks for link in changed):
            self._rest()

    # helpers

    def _check_link(self, a: str, b: str) -> None:
        """Raise ConfigError where two nodes cannot be joined."""
        if a == b:
            raise ConfigError(f"a link joins two different nodes, and not {a} with itself")
        for name in (a, b):
            node = self.node(name)
            if isinstance(node.device, Station) and node.ends:
                raise ConfigError(f"{name} has a link already, and can have only one")
        twice = self._segments.twice(self.node(a), self.node(b))
        if twice is not None:
            raise ConfigError(
                f"{twice[0].node.name} has two links into one segment "
                f"({twice[0].name}, {twice[1]}): one is enough, or a router belongs between them"
            )

    def _add_host(self, name: str, addresses: _BothAddresses, kind: type[HostT]) -> HostT:
        self._check_name(name)
        host = kind(name, self.scheduler, self.seed)
        self._add(name, host, addresses)
        port = LoopbackPort(self.scheduler)
        lo = host.add_interface("lo", port, LOOPBACK, Prefix.of(LOOPBACK, 8), ZERO_MAC)
        if any(subnet.is_v6 for subnet in self.subnets):
            host.add_address(lo, LOOPBACK6, Prefix.of(LOOPBACK6, 128))
        return host

    def _check_name(self, name: str) -> None:
        """Raise ConfigError for what no further node can be called."""
        if not isinstance(name, str):
            raise ConfigError(f"the name of a node is a text, not {name!r}")
        spaced = not name.isprintable() or any(character.isspace() for character in name)
        if not name or name == "localhost" or spaced:
            raise ConfigError(
                f"{name!r} cannot be the name of a node: a text without spaces, and not 'localhost'"
            )
        if looks_like_address(name) or "%" in name:
            raise ConfigError(f"{name!r} cannot be the name of a node: it looks like an address")
        if name in self.nodes:
            raise ConfigError(f"there is a node {name!r} already")

    def _add(self, name: str, device: Host | Switch | Station, addresses: _BothAddresses) -> None:
        ip4 = addressing.read_wanted(name, addresses[0], "address", self.subnets)
        ip6 = addressing.read_wanted(name, addresses[1], "address6", self.subnets)
        taken: dict[Ip, str] = {}
        for want in (*ip4, *ip6):
            if want is not None:
                address_of = self._owners.get(want[0]) or taken.get(want[0])
                if address_of is not None:
                    text = format_ip(want[0])
                    raise ConfigError(f"{name} cannot have {text}: {address_of} has it")
                taken[want[0]] = name
        self._owners |= taken
        self.nodes[name] = node = Node(name, device, len(self.nodes), (ip4, ip6))
        self.watching.node_added(node)

    def _add_end(self, name: str, port: Port) -> End:
        node = self.node(name)
        end = End(node, len(node.ends), port, self._ends)
        self._ends += 1
        node.ends.append(end)
        if isinstance(node.device, Switch):
            node.device.plug(port)
            if not node.powered:
                end.replug()  # its time stands still, whatever is attached
        return end

    def _changed(self) -> None:
        # Once people rely on it, a change takes part as soon as the instant's other work is done.
        if self._was_settled and not self.dirty:
            self.scheduler.call_at(self.scheduler.now, lambda _now: self.settle())
        self.dirty = True

    def _mac(self, name: str, number: int) -> Mac:
        # Locally administered (the 2 in the first byte), and the same for the same seed and name.
        rng = component_rng(self.seed, f"mac/{name}" if number == 0 else f"mac/{name}/eth{number}")
        return Mac(b"\x02" + rng.randbytes(5))
