"""The way of packets from one address to another: what TCP, UDP, ICMP and the forwarder send by."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    BROADCAST_MAC,
    UNSPECIFIED,
    UNSPECIFIED6,
    ZERO_MAC,
    Ip,
    Mac,
    Prefix,
    format_ip,
    is_unspecified,
    is_v6,
    multicast_mac,
)
from pystack.observe.observer import RouteChosen
from pystack.stack.neighbors import Neighbor
from pystack.stack.sources import why_source
from pystack.wire import ipv4, ipv6, udp
from pystack.wire.frame import SUPER_TEXT_BYTES
from pystack.wire.headers import template

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.idents import IdentCounter
    from pystack.stack.routes import Route

_LIMIT: Final = 4096  # remembered for each host; then the oldest goes for a new one


class Way:
    """How packets get from one address to another: found once, true until the routes change."""

    __slots__ = (
        "changes",
        "dst",
        "flow_label",
        "headers_bytes",
        "idents",
        "interface",
        "is_v6",
        "mtu_bytes",
        "neighbor",
        "next_hop",
        "route",
        "src",
        "template",
        "to_neighbor",
    )

    def __init__(self, host: Host, route: Route, src: Ip, dst: Ip, flow_label: int = 0) -> None:
        interface = route.interface
        self.changes = host.routes.changes
        self.route = route
        self.interface = interface
        self.src = src
        self.dst = dst
        self.is_v6 = is_v6(dst)
        self.mtu_bytes = interface.mtu_to(dst)
        self.next_hop = dst
        # Gets the frames, as long as it is reachable; then `station` has to be asked.
        self.neighbor: Neighbor
        self.to_neighbor = False  # False: to all of them, to many, or to this host
        if interface.neighbors is None:
            self.neighbor = _always(ZERO_MAC)
        elif interface.is_many(dst):
            # What is for many is for this link: no gateway is asked to pass it on.
            broadcast = interface.is_broadcast(dst)
            self.neighbor = _always(BROADCAST_MAC if broadcast else multicast_mac(dst))
        else:
            self.to_neighbor = True
            self.neighbor = _NOT_ASKED_YET
            self.next_hop = route.next_hop(dst)
        self.idents: IdentCounter | None = None  # of UDP over IPv4; None: not needed yet
        self.flow_label = flow_label
        # IP's and UDP's
        self.headers_bytes = udp.HEADER_BYTES + (ipv6 if self.is_v6 else ipv4).HEADER_BYTES
        self.template = template(interface.mac, src, dst, flow_label, interface.hop_limit6)
        if host.observers:
            tell(host, self)

    def station(self, now: float) -> Mac | None:
        """Return the station that gets the frames; None: that has to be found out first."""
        neighbors = self.interface.neighbors
        if neighbors is None or not self.to_neighbor:
            return self.neighbor.mac
        mac = neighbors.lookup(self.next_hop, now)
        if mac is not None:
            self.neighbor = neighbors.find(self.next_hop) or _NOT_ASKED_YET
        return mac

    @property
    def gso_max_bytes(self) -> int:
        """Return how much text a super-frame may have, whose length IPv6 must have a number for."""
        most = self.interface.port.gso_max_bytes
        return min(most, SUPER_TEXT_BYTES) if self.is_v6 else most


def tell(host: Host, way: Way) -> None:
    """Tell observers of a way to one station: once, until the routes change.

    Several ways between two addresses, as each connection of IPv6 has its own, are told of once.
    """
    interface, prefix = way.interface, way.route.prefix
    if is_unspecified(way.src) or not (way.to_neighbor or interface.neighbors is None):
        return
    told = host.told_ways
    if told.get((way.src, way.dst)) is way.route or prefix == NOBODY:
        return
    if len(told) >= _LIMIT:
        told.clear()
    told[way.src, way.dst] = way.route
    host.notify(
        RouteChosen(
            host.scheduler.now,
            host.name,
            format_ip(way.dst),
            format_ip(way.src),
            interface.name,
            str(prefix),
            format_ip(way.next_hop),
            why_source(host, interface, way.dst, way.src),
            way.mtu_bytes,
        )
    )


NOBODY: Final = Prefix.of(UNSPECIFIED6, 128)  # of what a station says on its link, by no route
_NOT_ASKED_YET: Final = Neighbor(UNSPECIFIED)


@lru_cache(maxsize=256)
def _always(mac: Mac) -> Neighbor:
    """Return who never has to be asked for: nobody, all, or many."""
    found = Neighbor(UNSPECIFIED)
    found.mac, found.use_until = mac, math.inf
    return found


def find_way(host: Host, route: Route, src: Ip, dst: Ip, flow_label: int = 0) -> Way:
    """Return the way; without a flow label of its own, the one that was found before, if known."""
    if flow_label:
        return Way(host, route, src, dst, flow_label)
    ways = host.ways
    way = ways.get((src, dst))
    if way is None or way.route is not route:
        if len(ways) >= _LIMIT:
            ways.popitem(last=False)
        way = ways[src, dst] = Way(host, route, src, dst)
    return way
