"""Host: one computer on the network, as a wiring diagram. The layers are in their own files."""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from pystack.core.addresses import (
    LIMITED_BROADCAST,
    LINK_LOCAL6,
    UNSPECIFIED6,
    V6,
    Ip,
    Mac,
    Prefix,
    format_ip,
    format_mac,
    is_link_local,
    is_loopback,
    is_multicast,
    is_usable_source,
    is_v6,
    solicited_node,
    with_zone,
    without_zone,
    zone_of,
)
from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.core.rng import Random, component_rng
from pystack.core.scheduler import Handle, Scheduler
from pystack.observe.observer import Dropped, Event, NeighborChanged, Observer, RouteChosen
from pystack.stack import egress, ingress
from pystack.stack.discovery import Discovery
from pystack.stack.fragments import Reassembly
from pystack.stack.groups import Groups
from pystack.stack.icmp import Icmp
from pystack.stack.icmp6 import Icmp6
from pystack.stack.icmp_core import Allowance, Trouble
from pystack.stack.idents import Identifications
from pystack.stack.interface import Interface, InterfaceAddress
from pystack.stack.neighbors import Neighbor, NeighborState, NeighborTable
from pystack.stack.pairs import Pair
from pystack.stack.routes import Route, RouteTable
from pystack.stack.sources import source_by
from pystack.stack.tcp_table import TcpTable
from pystack.stack.udp import UdpTable
from pystack.stack.way import Way
from pystack.wire import ip, ipv4, ipv6
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.link.port import Port
    from pystack.stack.intercept import Interceptor

ANNOUNCE_INTERVAL_S = 2.0  # RFC 5227 section 1.1; two announcements


class Host:
    """A TCP/IP host in user space. It owns no clock, no device and no task."""

    def __init__(self, name: str, scheduler: Scheduler, seed: int) -> None:
        self.name = name
        self.scheduler = scheduler
        self.seed = seed
        self.rng: Random = component_rng(seed, f"host/{name}")
        self.counters = Counters()
        self.observers: list[Observer] = []
        self.interfaces: list[Interface] = []
        self._interface_names: set[str] = set()
        self.addresses: dict[Ip, Interface] = {}
        self._broadcasts = {LIMITED_BROADCAST}  # of all its links
        # What becomes of packets by source and destination, and by which ways they go: found by the
        # routes (`pairs.learn`, `way.find_way`)
        self.pairs: OrderedDict[bytes, Pair] = OrderedDict()
        self.ways: OrderedDict[tuple[Ip, Ip], Way] = OrderedDict()
        # Those ways that observers know of, by the routes that they go by
        self.told_ways: dict[tuple[Ip, Ip], Route] = {}
        self.routes = RouteTable(self.pairs, self.ways, self.told_ways)
        self.forwarding = False  # True: a router, which passes on what is for others
        self.accepts_source_routes = False  # True: whoever comes by one is answered by the same way
        self.answers_timestamps = True  # to ICMP's timestamp requests; as Linux
        self._interceptor: Interceptor | None = None
        self.powered = True
        self.closed = False
        self.reassembly = Reassembly(
            scheduler,
            self._drop_fragment,
            lambda first, at: self.tell(first, Trouble.REASSEMBLY_EXPIRED, at),
            lambda packet, pointer, at: self.icmp6.malformed(packet, pointer, at),
        )
        self.idents = Identifications(seed, f"host/{name}")
        self.groups = Groups(self)
        self.discovery = Discovery(self)
        allowance = Allowance(self.rng)
        self.icmp = Icmp(self, allowance)
        self.icmp6 = Icmp6(self, allowance)
        self.udp = UdpTable(self)
        self.tcp = TcpTable(self)
        self._announcements: list[Handle] = []

    @property
    def interceptor(self) -> Interceptor | None:
        """Return who takes packets for addresses that are not the host's; None: nobody does."""
        return self._interceptor

    @interceptor.setter
    def interceptor(self, interceptor: Interceptor | None) -> None:
        self._interceptor = interceptor
        self.routes.forget()  # and with them what becomes of packets

    def add_interface(
        self,
        name: str,
        port: Port,
        address: Ip,
        prefix: Prefix,
        mac: Mac,
    ) -> Interface:
        """Plug the host into `port` under an address; the link's own block becomes a route."""
        if name in self._interface_names:
            raise ConfigError(f"{self.name} has an interface {name} already")
        if not ipv4.MIN_MTU_BYTES <= port.mtu_bytes <= ipv4.MAX_PACKET_BYTES:
            raise ConfigError(
                f"an MTU is 68 (IPv4's minimum) to 65,535 bytes, not {port.mtu_bytes}"
            )
        neighbors = None
        if not is_loopback(address):
            neighbors = NeighborTable(self.scheduler, self.rng, self.counters)
        index = len(self.interfaces) + 1
        interface = Interface(name, index, port, mac, port.mtu_bytes, neighbors)
        if neighbors is not None:
            neighbors.solicit = lambda target, known, now: self._solicit(
                interface, target, known, now
            )
            neighbors.on_failed = partial(self._neighbor_failed, interface)
            neighbors.on_dropped = lambda reason, packet, now: self.drop(
                reason, now, interface, packet
            )
            neighbors.on_changed = lambda entry, old, now: self._neighbor_changed(
                interface, entry, old, now
            )
        self.add_address(interface, address, prefix)
        self.interfaces.append(interface)
        self._interface_names.add(name)
        self.plug(interface, port)
        return interface

    def plug(self, interface: Interface, port: Port) -> None:
        """Let an interface send to, and hear from, this port from now on."""
        interface.port = port
        port.attach(partial(ingress.frame_arrived, self, interface))

    def add_address(self, interface: Interface, address: Ip, prefix: Prefix) -> None:
        """Give an interface an address (the first of a version is preferred as a source).

        It may be used at once: who gives it knows that nobody else has it. Addresses of its own
        making (IPv6) a host tries out before (`discovery`).
        """
        if is_v6(address) and is_link_local(address):
            address = with_zone(address, interface.index)
        if address in self.addresses:
            raise ConfigError(f"{self.name} has the address {format_ip(address)} already")
        if prefix.is_v6 and not interface.carries_ip6:
            raise ConfigError(
                f"{interface.name} of {self.name} has an MTU of {interface.mtu_bytes} bytes; "
                f"IPv6 needs {ipv6.MIN_MTU_BYTES}"
            )
        own = InterfaceAddress(address, prefix)
        wanted = {} if zone_of(address) else {prefix: Route(prefix, interface, None, address)}
        if any(known.prefix == prefix for known in interface.addresses):
            wanted.pop(prefix, None)  # a second address in one block
        for block in (*wanted, _alone(address)):
            if not zone_of(address) and (taken := self.routes.find(block)) is not None:
                raise ConfigError(f"there is a route to {block} already: {taken}")
        interface.add_address(own)
        self.assign(interface, own)
        for route in wanted.values():
            if self.routes.find(route.prefix) is None:
                self.routes.add(route)

    def assign(self, interface: Interface, own: InterfaceAddress) -> None:
        """Let packets come and go by an address that the interface has."""
        address, prefix = own.address, own.prefix
        self.addresses[address] = interface
        if prefix.has_broadcast:
            self._broadcasts.add(prefix.broadcast)
        routes = self.routes
        routes.forget()  # the ways to it have changed, even if the table has not
        loopback = next((known for known in self.interfaces if known.neighbors is None), interface)
        block = _alone(address)
        if zone_of(address):
            routes.add_link(Route(LINK_LOCAL6, interface, None, address))
            routes.add_own(address, Route(block, loopback, None, address))
        elif loopback is not interface and routes.find(block) is None:
            routes.add(Route(block, loopback, None, address))

    def remove_address(self, interface: Interface, own: InterfaceAddress) -> None:
        """Take an address away from an interface; what is bound to it is not told."""
        interface.remove_address(own)
        if own.prefix.is_v6 and solicited_node(own.address) not in interface.groups:
            self.groups.left(interface, solicited_node(own.address), self.scheduler.now)
        if self.addresses.get(own.address) is not interface:
            return  # it was never more than tried out
        del self.addresses[own.address]
        self._broadcasts = {LIMITED_BROADCAST}
        for known in self.interfaces:
            blocks = (each.prefix for each in known.addresses if each.prefix.has_broadcast)
            self._broadcasts.update(block.broadcast for block in blocks)
        self.routes.remove_own(own.address)
        obsolete = [_alone(own.address)]
        if not own.is_automatic and not any(
            each.prefix == own.prefix for each in interface.addresses
        ):
            obsolete.append(own.prefix)
        for block in obsolete:
            route = self.routes.find(block)
            if route is not None and route.source == own.address:
                self.routes.remove(block)
        self.routes.forget()

    def add_proxy(self, address: Ip) -> None:
        """Answer on its link who asks which station has this address (`ip neigh add proxy`).

        It stays another's, as far as this host is concerned: an interceptor may take what comes.
        """
        route = self.routes.lookup(address)
        if route is None or route.gateway is not None or route.interface.neighbors is None:
            raise ConfigError(f"{format_ip(address)} is not on a link of {self.name}")
        interface = route.interface
        if address in interface.proxied:
            return
        interface.proxied.add(address)
        if is_v6(address):
            self.groups.join(interface, solicited_node(address), self.scheduler.now)

    def remove_proxy(self, address: Ip) -> None:
        """Leave it to its own station again. A second time is nothing."""
        for interface in self.interfaces:
            if address in interface.proxied:
                interface.proxied.remove(address)
                if is_v6(address):
                    self.groups.leave(interface, solicited_node(address), self.scheduler.now)

    def no_route(self, dst: Ip) -> OSError:
        """Return the error of whoever wants to send there without a route."""
        if self.observers:
            now = self.scheduler.now
            self.notify(RouteChosen(now, self.name, format_ip(dst), "", "", "", ""))
        has_link = any(known.neighbors is not None for known in self.interfaces)
        what = "no route there" if has_link else "no link"
        text = f"{os.strerror(errno.ENETUNREACH)}: {self.name} has {what}"
        return OSError(errno.ENETUNREACH, text, format_ip(dst))

    def set_gateway(self, gateway: Ip) -> None:
        """Send what is for no known network to the router at `gateway`."""
        on_link = self.routes.lookup(gateway)
        if (
            on_link is None
            or on_link.interface.neighbors is None
            or on_link.interface.is_many(gateway)
        ):
            raise ConfigError(f"the gateway {format_ip(gateway)} is not on a link of {self.name}")
        default = Prefix.of(V6 if is_v6(gateway) else 0, 0)
        self.routes.add(Route(default, on_link.interface, gateway, on_link.source))

    def announce(self, now: float) -> None:
        """Tell every link which addresses are here: twice, for the first may be lost."""
        for interface in self.interfaces:
            if interface.neighbors is not None:
                self.groups.announce_all(interface, now)
                for own in interface.addresses:
                    announce = partial(egress.announce, self)
                    if own.prefix.is_v6:
                        announce = partial(self.discovery.announce)
                    announce(interface, own.address, now)
                    again = partial(announce, interface, own.address)
                    self._announcements.append(
                        self.scheduler.call_at(now + ANNOUNCE_INTERVAL_S, again)
                    )

    def close(self) -> None:
        """Unplug for good: nothing arrives, nothing is sent, no timer is left.

        Who holds something of it gets ENETDOWN, as after `power_off`, and is not left waiting.
        """
        self.closed = True
        for announcement in self._announcements:
            announcement.cancel()
        self.observers.clear()
        self.tcp.break_all(errno.ENETDOWN, self.scheduler.now)
        self.udp.break_all(errno.ENETDOWN)
        self.reassembly.clear()
        self.groups.clear()  # first: nobody is told that addresses go
        self.discovery.clear()
        for interface in self.interfaces:
            if interface.neighbors is not None:
                interface.neighbors.clear()
            interface.port.close()

    def power_off(self, now: float) -> None:
        """Forget all that was in memory: connections, sockets, neighbours. Nobody is told.

        Programs that hold sockets here get ENETDOWN from them. Whoever calls this has unplugged
        the interfaces before (`plug`), so that the network hears nothing of it either.
        """
        self.powered = False
        self.tcp.break_all(errno.ENETDOWN, now)
        self.udp.break_all(errno.ENETDOWN)
        self.reassembly.clear()
        self.groups.clear()  # first: nobody is told that addresses go
        self.discovery.clear()
        for interface in self.interfaces:
            if interface.neighbors is not None:
                interface.neighbors.clear()

    def power_on(self) -> None:
        """Begin anew: empty tables, the same addresses and routes. Counters go on counting."""
        before, udp_before = self.tcp, self.udp
        allowance = Allowance(self.rng)
        self.icmp = Icmp(self, allowance)
        self.icmp6 = Icmp6(self, allowance)
        self.udp = UdpTable(self)
        self.tcp = TcpTable(self)
        self.tcp.config, self.tcp.limits = before.config, before.limits
        self.tcp.added, self.tcp.shared.entered = before.added, before.shared.entered
        self.udp.added = udp_before.added
        self.powered = True
        if self.discovery.is_started or self.discovery.advertisers:
            # In a moment: it is plugged in again after this.
            self.scheduler.call_at(self.scheduler.now, self.discovery.restart)

    def check_up(self) -> None:
        """Raise OSError (ENETDOWN) where there is no power, or no network any more."""
        if self.closed or not self.powered:
            raise OSError(errno.ENETDOWN, f"{os.strerror(errno.ENETDOWN)}: {self.name}")

    def zoned(self, interface: Interface, address: Ip) -> Ip:
        """Return an address of a packet that came by an interface, of its link where it is of one.

        A link-local address means one station on each link; an own one is known on the loopback.
        """
        if not is_v6(address) or not is_link_local(address):
            return address
        if interface.neighbors is not None:
            return with_zone(address, interface.index)
        return next((own for own in self.addresses if without_zone(own) == address), address)

    def route_by(self, device: Interface, dst: Ip) -> Route | None:
        """Return the route of what may leave by one interface only; its own addresses are here."""
        if self.addresses.get(dst) is device:
            return self.routes.lookup(dst)
        return self.routes.lookup_by(device, dst)

    def came_by(self, interface: Interface, dst: Ip) -> Interface:
        """Return by which interface a packet came: from this host itself, as in Linux, by the one
        that has the address.
        """
        return self.addresses.get(dst, interface) if interface.neighbors is None else interface

    def is_own(self, address: Ip) -> bool:
        """Tell whether packets to this address are for this host alone: 127.0.0.0/8 among them."""
        return address in self.addresses or (
            is_loopback(address) and address not in self._broadcasts
        )

    def source_towards(self, dst: Ip, route: Route) -> Ip:
        """Return the address that packets to there are from, where nobody has chosen one.

        UNSPECIFIED6: there is none that may be used (yet).
        """
        if dst in self.addresses:
            return dst
        if not is_v6(dst):
            return route.source
        own = source_by(self, route.interface, dst)
        return UNSPECIFIED6 if own is None else own.address

    def is_many(self, address: Ip) -> bool:
        """Tell whether an address means several hosts, on any link of this one."""
        return address in self._broadcasts or is_multicast(address)

    def may_be_source(self, address: Ip) -> bool:
        """Tell whether one host can have this address: not nobody, and not many, on any link."""
        return is_usable_source(address) and address not in self._broadcasts

    def tell(
        self,
        packet: Packet,
        trouble: Trouble,
        now: float,
        *,
        mtu_bytes: int = 0,
        reporter: Ip | None = None,
    ) -> None:
        """Tell the sender of `packet` what became of it, in the words of its version.

        `reporter`: whose word it is, whether or not the host has that address; None: the host's.
        """
        layer = self.icmp if packet.version == 4 else self.icmp6
        layer.tell(packet, trouble, now, mtu_bytes=mtu_bytes, reporter=reporter)

    def drop(
        self,
        reason: str,
        now: float,
        interface: Interface | None = None,
        data: bytes | memoryview = b"",
    ) -> None:
        """Count something thrown away under its name, and tell whoever looks."""
        self.counters.add(reason)
        if self.observers:
            name = None if interface is None else interface.name
            self.notify(Dropped(now, self.name, name, reason, bytes(data)))

    def notify(self, event: Event) -> None:
        """Tell all observers; called only where there are any."""
        for observer in self.observers:
            observer.on_event(event)

    def _drop_fragment(self, reason: str, now: float, data: bytes) -> None:
        self.drop(reason, now, None, data)

    def _solicit(self, interface: Interface, target: Ip, known: Mac | None, now: float) -> None:
        if is_v6(target):
            self.discovery.solicit(interface, target, known, now)
        else:
            egress.solicit(self, interface, target, known, now)

    def _neighbor_failed(self, interface: Interface, data: bytes, now: float) -> None:
        self.drop("neighbor_unreachable", now, None, data)
        packet = ip.parse(data)
        packet.src = self.zoned(interface, packet.src)
        packet.dst = self.zoned(interface, packet.dst)
        if self.forwarding and packet.src not in self.addresses:
            self.tell(packet, Trouble.HOST_UNREACHABLE, now)  # RFC 1812 section 5.2.7.1
        else:
            layer = self.icmp6 if packet.version == 6 else self.icmp
            layer.local_trouble(packet, Trouble.HOST_UNREACHABLE, now)

    def _neighbor_changed(
        self, interface: Interface, entry: Neighbor, old: NeighborState, now: float
    ) -> None:
        if is_v6(entry.address):
            self.discovery.neighbor_changed(interface, entry, now)
        if self.observers:
            self.notify(
                NeighborChanged(
                    now,
                    self.name,
                    interface.name,
                    format_ip(entry.address),
                    old.value,
                    entry.state.value,
                    None if entry.mac is None else format_mac(entry.mac),
                )
            )

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return f"<Host {self.name} {' '.join(format_ip(address) for address in self.addresses)}>"


def _alone(address: Ip) -> Prefix:
    """Return the block that holds nothing but an address."""
    return Prefix.of(address, 128 if is_v6(address) else 32)
