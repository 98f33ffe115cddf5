"""Neighbor discovery of one host (RFC 4861): who has which address on a link.

What the states of a neighbour are is `neighbors.py`'s, as for ARP; what routers say of a link, and
which addresses come of it, is `autoconf.py`'s. Here the messages come in, each held against what
this host knows: who may say such a thing, and about whom. `wire/nd.py` has refused before what is
wrong with a message by itself; nothing that was passed on by a router gets here (hop limit 255).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    ALL_NODES6,
    ALL_ROUTERS6,
    UNSPECIFIED6,
    Ip,
    Mac,
    Prefix,
    is_link_local,
    is_multicast,
    solicited_node,
)
from pystack.stack import egress
from pystack.stack.autoconf import Autoconfiguration
from pystack.stack.interface import AddressState, Interface
from pystack.stack.ip6_config import Ip6Config
from pystack.stack.neighbors import Neighbor, NeighborState
from pystack.stack.routes import Route
from pystack.stack.sources import scoped, source_on
from pystack.wire import icmpv6, nd
from pystack.wire.icmp import IcmpMessage
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.advertise import Advertiser
    from pystack.stack.host import Host

REDIRECTS: Final = 256  # remembered; the oldest goes


class Discovery:
    """Neighbor discovery on all links of one host."""

    __slots__ = ("_host", "_links", "_redirects", "advertisers", "config", "is_started", "on_names")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.config = Ip6Config()
        self.is_started = False  # True: this host configures itself
        # Told when routers tell of other name servers or domains, or theirs have run out
        self.on_names: Callable[[], None] = lambda: None
        self._links: dict[Interface, Autoconfiguration] = {}
        self.advertisers: dict[Interface, Advertiser] = {}  # a router's, where it advertises
        self._redirects: OrderedDict[Ip, Route] = OrderedDict()

    def link(self, interface: Interface) -> Autoconfiguration:
        """Return what routers and this host's own addresses are on a link."""
        try:
            return self._links[interface]
        except KeyError:
            found = self._links[interface] = Autoconfiguration(self._host, interface)
            return found

    def start(self, now: float) -> None:
        """Begin on every link: a link-local address where there is none, and look for routers."""
        self.is_started = True
        for interface in self._host.interfaces:
            if interface.neighbors is not None and interface.carries_ip6:
                self.link(interface).start(now)

    def restart(self, now: float) -> None:
        """Begin again where it had begun, if the power is still back."""
        if not self._host.powered or self._host.closed:
            return
        if self.is_started:
            self.start(now)
        for advertiser in self.advertisers.values():
            advertiser.start(now)

    def clear(self) -> None:
        """Forget what others have said, without a word: the power is off, or the host goes."""
        for link in self._links.values():
            link.clear()
        for advertiser in self.advertisers.values():
            advertiser.clear()
        for destination in list(self._redirects):
            self.forget_redirect(destination)

    def name_servers(self) -> tuple[Ip, ...]:
        """Return the name servers that routers have told of (RFC 8106), the first heard first."""
        found = (server for link in self._links.values() for server in link.name_servers)
        return tuple(dict.fromkeys(found))

    def search_domains(self) -> tuple[str, ...]:
        """Return the domains to search that routers have told of (RFC 8106)."""
        found = (name for link in self._links.values() for name in link.search_domains)
        return tuple(dict.fromkeys(found))

    # what others say

    def packet_arrived(
        self, interface: Interface, packet: Packet, message: IcmpMessage, now: float
    ) -> None:
        """Take a message of kinds 133 to 137. WireError: it is not valid."""
        if interface.neighbors is None or not interface.carries_ip6:
            self._host.drop("nd_without_link", now, interface, packet.raw)
            return
        src = scoped(interface, packet.src)
        match message.kind:
            case icmpv6.NEIGHBOR_SOLICITATION:
                asked = nd.parse_neighbor_solicitation(packet, message)
                reason = self._asked(interface, src, asked, now)
            case icmpv6.NEIGHBOR_ADVERTISEMENT:
                answer = nd.parse_neighbor_advertisement(packet, message)
                reason = self._answered(interface, answer, now)
            case icmpv6.ROUTER_SOLICITATION:
                options = nd.parse_router_solicitation(packet, message)
                reason = self._router_wanted(interface, src, options, now)
            case icmpv6.ROUTER_ADVERTISEMENT:
                said = nd.parse_router_advertisement(packet, message)
                reason = self._router_said(interface, src, said, now)
            case _:
                redirect = nd.parse_redirect(packet, message)
                reason = self._redirected(interface, src, redirect, now)
        if reason:
            self._host.drop(reason, now, interface, packet.raw)

    def _asked(
        self, interface: Interface, src: Ip, said: nd.NeighborSolicitation, now: float
    ) -> str:
        """Answer who asks for one of our addresses (RFC 4861 section 7.2.3 and 7.2.4).

        Returns why the message is dropped, as all of these do; "": it was of use.
        """
        self._host.counters.add("nd_solicitations_in")
        own = interface.find(scoped(interface, said.target))
        if own is None:
            if said.target not in interface.proxied or src == UNSPECIFIED6:
                return "nd_for_others"
            return self._asked_of_proxied(interface, src, said, now)
        if not own.is_usable:
            # RFC 4862 section 5.4.3: another tries the same address out, or it is our own probe.
            if src == UNSPECIFIED6 and own.state is AddressState.TENTATIVE:
                return self.link(interface).own.probe_heard(own, said.options.nonce, now)
            return "nd_tentative_target"
        if src == UNSPECIFIED6:
            # Whoever tries our address out hears that it is taken, as do all that listen.
            self._host.counters.add("nd_address_defended")
            self.advertise(interface, own.address, ALL_NODES6, now)
            return ""
        if reason := self._off_link(interface, src, said.options.source_mac):
            return reason
        if said.options.source_mac is not None:
            assert interface.neighbors is not None
            interface.neighbors.heard(src, said.options.source_mac, now, create=True)
        self.advertise(interface, own.address, src, now)
        return ""

    def _asked_of_proxied(
        self, interface: Interface, src: Ip, said: nd.NeighborSolicitation, now: float
    ) -> str:
        """Answer for another station, which may still say itself where it is (section 7.2.8)."""
        if reason := self._off_link(interface, src, said.options.source_mac):
            return reason
        if said.options.source_mac is not None:
            assert interface.neighbors is not None
            interface.neighbors.heard(src, said.options.source_mac, now, create=True)
        self.advertise(interface, said.target, src, now, override=False)
        return ""

    def _answered(self, interface: Interface, said: nd.NeighborAdvertisement, now: float) -> str:
        """Learn where a station is (RFC 4861 section 7.2.5)."""
        self._host.counters.add("nd_advertisements_in")
        target, mac = scoped(interface, said.target), said.options.target_mac
        own = interface.find(target)
        if own is not None:
            if own.state is AddressState.TENTATIVE:
                return self.link(interface).own.duplicate(own, now)
            return "nd_address_conflict"  # it is ours, and stays so
        neighbors = interface.neighbors
        assert neighbors is not None
        if mac == interface.mac:
            return "nd_bad_link_address"  # what was sent there would come to us
        entry = neighbors.find(target)
        if entry is None:
            return "nd_not_asked"
        taken = neighbors.answered(
            target, mac, now, solicited=said.solicited, override=said.override
        )
        if not taken:
            return "nd_not_overridden"
        was_router, entry.is_router = entry.is_router, said.router
        if was_router and not said.router:
            self.link(interface).router_gone(target, now)
        return ""

    def _router_wanted(
        self, interface: Interface, src: Ip, options: nd.NdOptions, now: float
    ) -> str:
        """Answer a host that looks for routers, where this one is a router (RFC 4861 6.2.6)."""
        self._host.counters.add("nd_router_solicitations_in")
        advertiser = self.advertisers.get(interface)
        if advertiser is None:
            return "nd_router_not_here"
        if options.source_mac is not None:
            if reason := self._off_link(interface, src, options.source_mac):
                return reason
            assert interface.neighbors is not None
            interface.neighbors.heard(src, options.source_mac, now, create=True)
        advertiser.solicited(now)
        return ""

    def _router_said(
        self, interface: Interface, src: Ip, said: nd.RouterAdvertisement, now: float
    ) -> str:
        """Take what a router says, where it is asked for (RFC 4861 section 6.3.4)."""
        self._host.counters.add("nd_router_advertisements_in")
        if not self.config.accept_ra or self._host.forwarding:
            return "nd_routers_not_asked"
        if reason := self._off_link(interface, src, said.options.source_mac):
            return reason
        neighbors = interface.neighbors
        assert neighbors is not None
        if said.options.source_mac is not None:
            neighbors.heard(src, said.options.source_mac, now, create=True)
        if (entry := neighbors.find(src)) is not None:
            entry.is_router = True
        self.link(interface).router_said(src, said, now)
        return ""

    def _redirected(self, interface: Interface, src: Ip, said: nd.Redirect, now: float) -> str:
        """Use another first hop, where that is wanted (RFC 4861 section 8.3)."""
        self._host.counters.add("nd_redirects_in")
        host = self._host
        if not self.config.accept_redirects or host.forwarding:
            return "nd_redirect_refused"
        destination, target = said.destination, scoped(interface, said.target)
        route = None if is_link_local(destination) else host.routes.lookup(destination)
        # Only who is the first hop may send us to another (section 8.1).
        if route is None or route.gateway != src or route.interface is not interface:
            return "nd_redirect_not_from_router"
        if interface.find(target) is not None:
            return "nd_redirect_target"
        if said.options.target_mac is not None:
            if said.options.target_mac == interface.mac:
                return "nd_bad_link_address"
            assert interface.neighbors is not None
            interface.neighbors.heard(target, said.options.target_mac, now, create=True)
        self.forget_redirect(destination)
        while len(self._redirects) >= REDIRECTS:
            self.forget_redirect(next(iter(self._redirects)))
        block = Prefix.of(destination, 128)
        if host.routes.find(block) is None:
            gateway = None if said.target == destination else target
            better = Route(block, interface, gateway, route.source)
            self._redirects[destination] = better
            host.routes.add(better)
        return ""

    def forget_redirect(self, destination: Ip) -> None:
        """Send to a destination as before a router told of a better way, if one did."""
        route = self._redirects.pop(destination, None)
        if route is not None:
            self._host.routes.remove(route.prefix)

    def _off_link(self, interface: Interface, src: Ip, mac: Mac | None) -> str:
        """Return what is wrong with a sender: no station of this link, or ourselves; "": nothing.

        Nobody behind a router gets into the table of a link's neighbours.
        """
        if mac == interface.mac:
            return "nd_bad_link_address"
        if interface.find(src) is not None:
            return "nd_address_conflict"
        if is_link_local(src):
            return ""
        route = self._host.routes.lookup(src)
        if route is None or route.gateway is not None or route.interface is not interface:
            return "nd_source_off_link"
        return ""

    def neighbor_changed(self, interface: Interface, entry: Neighbor, now: float) -> None:
        """A station of IPv6 has answered, or was given up: another router may be the better one."""
        link = self._links.get(interface)
        if link is not None and entry.state in (NeighborState.REACHABLE, NeighborState.FAILED):
            link.reachability_changed(entry.address, now)
        if entry.state is NeighborState.FAILED:
            for destination, route in list(self._redirects.items()):
                if route.next_hop(destination) == entry.address and route.interface is interface:
                    self.forget_redirect(destination)

    # what this host says

    def solicit(self, interface: Interface, target: Ip, mac: Mac | None, now: float) -> None:
        """Ask who has `target`: those who may, or only the station that had it (7.2.2, 7.3.3)."""
        own = source_on(interface, target)
        if own is None:
            self._host.drop("nd_no_source", now, interface)
            return
        dst = solicited_node(target) if mac is None else target
        message = nd.pack_neighbor_solicitation(own.address, dst, target, source_mac=interface.mac)
        self._host.counters.add("nd_solicitations_out")
        egress.send_on_link(self._host, interface, own.address, dst, message, now)

    def probe(self, interface: Interface, target: Ip, nonce: bytes, now: float) -> None:
        """Ask whether anybody has an address that this host would like (RFC 4862 section 5.4.2)."""
        group = solicited_node(target)
        message = nd.pack_neighbor_solicitation(
            UNSPECIFIED6, group, target, source_mac=None, nonce=nonce
        )
        self._host.counters.add("nd_probes_out")
        egress.send_on_link(self._host, interface, UNSPECIFIED6, group, message, now)

    def look_for_routers(self, interface: Interface, now: float) -> None:
        """Ask routers to say what they are (RFC 4861 section 6.3.7)."""
        own = source_on(interface, ALL_ROUTERS6)
        src, mac = (UNSPECIFIED6, None) if own is None else (own.address, interface.mac)
        message = nd.pack_router_solicitation(src, ALL_ROUTERS6, source_mac=mac)
        self._host.counters.add("nd_router_solicitations_out")
        egress.send_on_link(self._host, interface, src, ALL_ROUTERS6, message, now)

    def announce(self, interface: Interface, address: Ip, now: float) -> None:
        """Tell the link that this station has an address (RFC 4861 section 7.2.6)."""
        own = interface.find(address)
        if own is not None and own.is_usable:
            self.advertise(interface, address, ALL_NODES6, now)

    def advertise(
        self, interface: Interface, address: Ip, dst: Ip, now: float, *, override: bool = True
    ) -> None:
        """Say where an address of ours is: to whoever asked, or to all (ALL_NODES6)."""
        message = nd.pack_neighbor_advertisement(
            address,
            dst,
            address,
            mac=interface.mac,
            router=self._host.forwarding,
            solicited=not is_multicast(dst),
            override=override,
        )
        self._host.counters.add("nd_advertisements_out")
        egress.send_on_link(self._host, interface, address, dst, message, now)
