"""The routing table: longest prefix match (RFC 1812 section 5.2.4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip4, Prefix, format_ip4
from pystack.core.errors import ConfigError

if TYPE_CHECKING:
    from pystack.stack.interface import Interface

# Answers are remembered by destination; when that many are, all are forgotten.
_CACHE_LIMIT: Final = 4096


@dataclass(slots=True)
class Route:
    """Where packets for a block of addresses go."""

    prefix: Prefix
    interface: Interface
    gateway: Ip4 | None  # None: the destination itself is on the link
    source: Ip4  # the address that our packets to there come from

    def next_hop(self, dst: Ip4) -> Ip4:
        """Return the station on the link that gets the frame."""
        return dst if self.gateway is None else self.gateway

    def __str__(self) -> str:
        """Return it in the manner of `ip route`."""
        via = "" if self.gateway is None else f" via {format_ip4(self.gateway)}"
        name = "default" if self.prefix.length == 0 else str(self.prefix)
        return f"{name}{via} dev {self.interface.name} src {format_ip4(self.source)}"


class RouteTable:
    """Routes of one host, the most specific first."""

    __slots__ = ("_cache", "_routes", "changes", "pairs")

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._cache: dict[int, Route | None] = {}
        # For `forward.py`: the route of packets by source and destination; empty after a change.
        self.pairs: dict[int, Route] = {}
        self.changes = 0  # how often the table has changed: what was found before may be wrong

    def add(self, route: Route) -> None:
        """Add a route; a second one for the same block is refused."""
        for known in self._routes:
            if known.prefix == route.prefix:
                raise ConfigError(f"there is a route to {route.prefix} already: {known}")
        if route.gateway is not None:
            on_link = self.lookup(route.gateway)
            if on_link is None or on_link.gateway is not None:
                raise ConfigError(
                    f"the gateway {format_ip4(route.gateway)} is not on a link of this host"
                )
        self._routes.append(route)
        self._routes.sort(key=lambda known: -known.prefix.length)  # stable: first come, first
        self._forget()

    def remove(self, prefix: Prefix) -> None:
        """Remove the route to exactly that block."""
        for route in self._routes:
            if route.prefix == prefix:
                self._routes.remove(route)
                self._forget()
                return
        raise ConfigError(f"there is no route to {prefix}")

    def lookup(self, dst: Ip4) -> Route | None:
        """Return the most specific route to an address; None where there is none."""
        try:
            return self._cache[dst]
        except KeyError:
            pass
        found = next((route for route in self._routes if dst in route.prefix), None)
        if len(self._cache) >= _CACHE_LIMIT:
            self._cache.clear()
        self._cache[dst] = found
        return found

    def _forget(self) -> None:
        self._cache.clear()
        self.pairs.clear()
        self.changes += 1

    def __iter__(self) -> Iterator[Route]:
        """Go through the routes, the most specific first."""
        return iter(tuple(self._routes))

    def __len__(self) -> int:
        """Return how many routes there are."""
        return len(self._routes)
