"""The routing table: longest prefix match (RFC 1812 section 5.2.4.3)."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pystack.core.addresses import (
    UNSPECIFIED6,
    V6,
    Ip,
    Prefix,
    format_ip,
    is_link_local,
    is_multicast,
    zone_of,
)
from pystack.core.errors import ConfigError

if TYPE_CHECKING:
    from pystack.stack.interface import Interface

# Answers are remembered by destination; when that many are, all are forgotten.
CACHE_LIMIT: Final = 4096


@dataclass(slots=True)
class Route:
    """Where packets for a block of addresses go."""

    prefix: Prefix
    interface: Interface
    gateway: Ip | None  # None: the destination itself is on the link
    source: Ip  # the address that our packets to there come from

    def next_hop(self, dst: Ip) -> Ip:
        """Return the station on the link that gets the frame."""
        return dst if self.gateway is None else self.gateway

    def __str__(self) -> str:
        """Return it in the manner of `ip route`."""
        via = "" if self.gateway is None else f" via {format_ip(self.gateway)}"
        name = "default" if self.prefix.length == 0 else str(self.prefix)
        return f"{name}{via} dev {self.interface.name} src {format_ip(self.source)}"


class Clearable(Protocol):
    """What can be forgotten."""

    def clear(self) -> None:
        """Forget all."""
        ...


class RouteTable:
    """Routes of one host, the most specific first."""

    __slots__ = ("_blocks", "_cache", "_found", "_links", "_routes", "changes")

    def __init__(self, *found: Clearable) -> None:
        """`found`: what others have found by the routes, and is cleared when those change."""
        self._routes: list[Route] = []
        # For each length of prefix, the longest first: its mask, and the routes by their networks.
        # A stranger who asks for ever new addresses costs a look into each of these, not at all.
        self._blocks: list[tuple[int, dict[int, Route]]] = []
        # Of link-local addresses of IPv6, which mean another station on each link: by zone, and
        # those of this host by themselves
        self._links: dict[int, Route] = {}
        self._cache: dict[int, Route | None] = {}
        self._found = found
        self.changes = 0  # how often the table has changed: what was found before may be wrong

    def add(self, route: Route) -> None:
        """Add a route; a second one for the same block is refused."""
        if (known := self.find(route.prefix)) is not None:
            raise ConfigError(f"there is a route to {route.prefix} already: {known}")
        if route.gateway is not None:
            self._check_gateway(route.gateway)
        # Behind those of its length: first come, first
        insort(self._routes, route, key=lambda known: -known.prefix.length)
        prefix = route.prefix
        block = next((block for mask, block in self._blocks if mask == prefix.mask), None)
        if block is None:
            block = {}
            insort(self._blocks, (prefix.mask, block), key=lambda known: -known[0])
        block[prefix.network] = route
        self.forget()

    def add_all(self, routes: Sequence[Route]) -> None:
        """Add many at once: all of them, or none where one is refused."""
        if len(routes) < 2:
            for route in routes:
                self.add(route)
            return
        blocks = {mask: dict(block) for mask, block in self._blocks}
        gateways: set[Ip] = set()
        for route in routes:
            prefix, gateway = route.prefix, route.gateway
            block = blocks.setdefault(prefix.mask, {})
            if prefix.network in block:
                raise ConfigError(f"there is a route to {prefix} already: {block[prefix.network]}")
            block[prefix.network] = route
            if gateway is not None and gateway not in gateways:
                self._check_gateway(gateway)
                gateways.add(gateway)
        self._blocks = sorted(blocks.items(), key=lambda known: -known[0])
        self._routes = sorted((*self._routes, *routes), key=lambda known: -known.prefix.length)
        self.forget()

    def remove(self, prefix: Prefix) -> None:
        """Remove the route to exactly that block."""
        route = self.find(prefix)
        if route is None:
            raise ConfigError(f"there is no route to {prefix}")
        self._routes.remove(route)
        for mask, block in self._blocks:
            if mask == prefix.mask:
                del block[prefix.network]
        self.forget()

    def add_link(self, route: Route) -> None:
        """Add the route to the link-local addresses of an interface's link; the first one stays.

        But for one that was made when the host had no such address itself yet.
        """
        zone = route.interface.index
        known = self._links.get(zone)
        if known is not None and known.source == UNSPECIFIED6:
            self._routes.remove(known)
            known = None
        if known is None:
            self._links[zone] = route
            insort(self._routes, route, key=lambda known: -known.prefix.length)
            self.forget()

    def add_own(self, address: Ip, route: Route) -> None:
        """Add the route to a link-local address of this host."""
        self._links[address] = route
        self.forget()

    def remove_own(self, address: Ip) -> None:
        """Remove it."""
        if self._links.pop(address, None) is not None:
            self.forget()

    def find(self, prefix: Prefix) -> Route | None:
        """Return the route to exactly that block; None where there is none."""
        for mask, block in self._blocks:
            if mask == prefix.mask:
                return block.get(prefix.network)
        return None

    def lookup(self, dst: Ip) -> Route | None:
        """Return the most specific route to an address; None where there is none."""
        try:
            return self._cache[dst]
        except KeyError:
            pass
        found = None
        if zone_of(dst):
            found = self._links.get(dst) or self._links.get(zone_of(dst))
        elif not dst >> 32 or not is_link_local(dst):  # without a zone it is nowhere
            for mask, block in self._blocks:
                found = block.get(dst & mask)
                if found is not None:
                    break
            if dst >> 32 and is_multicast(dst) and (found is None or not found.prefix.length):
                # As Linux has ff00::/8 on every link: the first one is meant where none is said.
                found = self._links.get(self.first_link, found)
        if len(self._cache) >= CACHE_LIMIT:
            self._cache.clear()
        self._cache[dst] = found
        return found

    @property
    def first_link(self) -> int:
        """Return the number of the first interface that leads to link-local addresses; 0: none."""
        return min((zone for zone in self._links if zone < V6), default=0)

    def lookup_by(self, interface: Interface, dst: Ip) -> Route | None:
        """Return the most specific route to an address by one interface; None: there is none."""
        if zone_of(dst) and zone_of(dst) != interface.index:
            return None
        return next((r for r in self._routes if r.interface is interface and dst in r.prefix), None)

    def _check_gateway(self, gateway: Ip) -> None:
        on_link = self.lookup(gateway)
        if on_link is None or on_link.gateway is not None:
            raise ConfigError(f"the gateway {format_ip(gateway)} is not on a link of this host")

    def forget(self) -> None:
        """Forget what was found before: a way may be another now."""
        self._cache.clear()
        for found in self._found:
            found.clear()
        self.changes += 1

    def __iter__(self) -> Iterator[Route]:
        """Go through the routes, the most specific first."""
        return iter(tuple(self._routes))

    def __str__(self) -> str:
        """Return it in the manner of `ip route`, a line for each, the most specific first."""
        return "\n".join(map(str, self._routes))

    def __repr__(self) -> str:
        """Return it for an assertion's message, and for who looks at it in a prompt."""
        return f"<RouteTable of {len(self)} routes>\n{self}" if self._routes else "<RouteTable>"

    def __len__(self) -> int:
        """Return how many routes there are."""
        return len(self._routes)
