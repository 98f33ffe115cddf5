"""What routers tell an interface of IPv6 (RFC 4861 section 6.3, RFC 4191, RFC 8106), and asking.

Routers, routes, the link's parameters and name servers hold as long as was said. Addresses that
come of it are `own_addresses.py`'s. Everything here is bounded: whoever can send to a link can tell
of as many routers and prefixes as there are numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from pystack.core.addresses import (
    LINK_LOCAL6,
    UNSPECIFIED6,
    V6,
    Ip,
    Prefix,
    is_link_local,
    is_loopback,
    is_multicast,
)
from pystack.core.rng import component_rng
from pystack.core.scheduler import Handle
from pystack.stack.neighbors import NeighborState
from pystack.stack.own_addresses import START_DELAY_S, OwnAddresses, until
from pystack.stack.routes import Route
from pystack.stack.sources import scoped, source_on
from pystack.wire import ipv6, nd

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

SOLICIT_INTERVAL_S: Final = 4.0  # RTR_SOLICITATION_INTERVAL; RFC 7559's IRT
SOLICIT_MOST_S: Final = 3600.0  # RFC 7559's MRT
SOLICITS: Final = 3  # MAX_RTR_SOLICITATIONS: those that a program may be waiting for
# What says less has packets end on the way (CVE-2015-2922)
LEAST_HOP_LIMIT: Final = 32
ROUTES_OF_ONE: Final = 16  # of a router that has never answered
ROUTES: Final = 64  # of routers, prefixes and what is behind them
NAMES: Final = 16  # name servers, and domains
DEFAULT: Final = Prefix.of(V6, 0)


@dataclass(slots=True)
class _Offer:
    """A route that a router has told of: by way of it, or (of its prefixes) to the link itself."""

    preference: int
    until: float
    said_by: Ip


T = TypeVar("T")
_Router = Ip | None  # None: on the link


class Autoconfiguration:
    """The addresses of one interface, and what routers have said about its link."""

    __slots__ = (
        "_domains",
        "_expiry",
        "_host",
        "_installed",
        "_interface",
        "_offers",
        "_offers_to",
        "_rng",
        "_servers",
        "_solicited",
        "_solicits",
        "own",
    )

    def __init__(self, host: Host, interface: Interface) -> None:
        self._host = host
        self._interface = interface
        # Its own: what IPv6 draws changes nothing of a host's other numbers.
        self._rng = component_rng(host.seed, f"host/{host.name}/{interface.name}/ip6")
        self.own = OwnAddresses(host, interface, self._rng, self._addresses_changed)
        self._offers: dict[tuple[Prefix, _Router], _Offer] = {}  # the one known longest first
        self._offers_to: dict[Prefix, dict[_Router, _Offer]] = {}  # the same by prefix
        self._installed: dict[Prefix, Route] = {}  # those of the offers that are in the table
        self._servers: dict[Ip, float] = {}  # until when
        self._domains: dict[str, float] = {}
        self._expiry: Handle | None = None  # None: nothing ends
        self._solicited: Handle | None = None  # None: no router is looked for
        self._solicits = 0

    @property
    def name_servers(self) -> tuple[Ip, ...]:
        """Return the name servers that routers have told of (RFC 8106)."""
        return tuple(self._servers)

    @property
    def search_domains(self) -> tuple[str, ...]:
        """Return the domains to search that routers have told of."""
        return tuple(self._domains)

    @property
    def routers(self) -> tuple[Ip, ...]:
        """Return the default routers, the one that is used first."""
        chosen = self._installed.get(DEFAULT)
        found = [router for router in self._offers_to.get(DEFAULT, ()) if router]
        return tuple(sorted(found, key=lambda it: chosen is None or it != chosen.gateway))

    def start(self, now: float) -> None:
        """Have a link-local address, and look for routers where they are believed."""
        self.own.have_link_local(now)
        if self._host.discovery.config.accept_ra and not self._host.forwarding:
            self._solicits = 0
            self._solicit_at(now + self._rng.uniform(0.0, START_DELAY_S))

    def clear(self) -> None:
        """Forget what others have said, and the addresses that came of it."""
        self.own.clear(self._host.scheduler.now)
        self._offers.clear()
        self._offers_to.clear()
        for prefix in list(self._installed):
            self._choose(prefix)
        self._servers.clear()
        self._domains.clear()
        for timer in (self._expiry, self._solicited):
            if timer is not None:
                timer.cancel()
        self._expiry = self._solicited = None
        self._interface.reset_ip6()
        self._host.routes.forget()

    # routers (RFC 4861 section 6.3)

    def router_said(self, router: Ip, said: nd.RouterAdvertisement, now: float) -> None:
        """Take an advertisement that is valid, from a router that may be believed."""
        if said.lifetime_s and self._solicited is not None:
            self._solicited.cancel()
            self._solicited = None
        interface = self._interface
        assert interface.neighbors is not None
        if 0 < said.hop_limit < LEAST_HOP_LIMIT:
            self._host.counters.add("nd_low_hop_limit")
        elif said.hop_limit and said.hop_limit != interface.hop_limit6:
            interface.hop_limit6 = said.hop_limit
            self._host.routes.forget()  # what was found before had another
        timing = interface.neighbors.timing6
        if said.reachable_ms:
            # RFC 4861 section 6.2.1: an hour at most
            timing.reachable_s = min(said.reachable_ms, 3_600_000) / 1000
        if said.retrans_ms:
            # Nobody makes us flood the link, give up who is only slow, or wait for ever.
            timing.retrans_s = min(max(said.retrans_ms, 250), 60_000) / 1000
        mtu_bytes = said.options.mtu_bytes
        if mtu_bytes:
            if ipv6.MIN_MTU_BYTES <= mtu_bytes <= interface.mtu_bytes:
                if mtu_bytes != interface.mtu6_bytes:
                    interface.mtu6_bytes = mtu_bytes
                    self._host.routes.forget()  # what was found before had another
            else:
                self._host.counters.add("nd_bad_mtu")
        self._offer(DEFAULT, router, router, said.preference, said.lifetime_s, now)
        for prefix in said.options.prefixes:
            self._prefix_said(prefix, router, now)
        if self._host.discovery.config.accept_ra_rt_info:
            for route in said.options.routes:
                if not _may_be_said(route.prefix):
                    self._host.counters.add("nd_bad_prefix")
                else:
                    where, lifetime_s = route.prefix, route.lifetime_s
                    self._offer(where, router, router, route.preference, lifetime_s, now)
        before = self.name_servers, self.search_domains
        for each in said.options.rdnss:
            for server in each.servers:
                self._keep(self._servers, scoped(interface, server), each.lifetime_s, now)
        for names in said.options.dnssl:
            for name in names.names:
                self._keep(self._domains, name, names.lifetime_s, now)
        self._names_changed(before)
        self._rearm(now)

    def router_gone(self, router: Ip, now: float) -> None:
        """Take note that a station is a router no more (RFC 4861 section 7.2.5)."""
        for prefix in self._offered_by(router):
            self._offer(prefix, router, router, 0, 0, now)

    def reachability_changed(self, station: Ip, now: float) -> None:
        """Take note that a station answers, or does so no more: it may be a router."""
        for prefix in self._offered_by(station):
            self._choose(prefix)

    def _offered_by(self, router: Ip) -> list[Prefix]:
        return [prefix for prefix, by in self._offers if by == router]

    def _prefix_said(self, said: nd.PrefixInformation, by: Ip, now: float) -> None:
        """Take a prefix of the link (RFC 4861 section 6.3.4)."""
        prefix = said.prefix
        # No link has all addresses; who says so of one would be everybody's default route.
        bad = not _may_be_said(prefix) or not prefix.length or said.preferred_s > said.valid_s
        if bad or (said.autonomous and prefix.length != 64):
            self._host.counters.add("nd_bad_prefix")
        if bad:
            return
        if said.on_link:
            self._offer(prefix, None, by, 0, said.valid_s, now)
        if said.autonomous and prefix.length == 64:
            self.own.prefix_said(said, now)

    # routes

    def _offer(
        self,
        prefix: Prefix,
        router: _Router,
        said_by: Ip,
        preference: int,
        lifetime_s: int,
        now: float,
    ) -> None:
        """Take that a router (or the link itself) leads to a prefix, for so long; 0: no more."""
        known = (prefix, router) in self._offers
        if not lifetime_s:
            if known:
                self._withdraw(prefix, router)
            return
        if not known and not self._make_room(said_by):
            return
        # RFC 4861 has 65,535 s of a router, which no number of a lifetime makes endless.
        offer = _Offer(preference, until(lifetime_s, now), said_by)
        self._offers[prefix, router] = offer
        self._offers_to.setdefault(prefix, {})[router] = offer
        self._choose(prefix)

    def _withdraw(self, prefix: Prefix, router: _Router) -> None:
        del self._offers[prefix, router]
        offers = self._offers_to[prefix]
        del offers[router]
        if not offers:
            del self._offers_to[prefix]
        self._choose(prefix)

    def _make_room(self, said_by: Ip) -> bool:
        """Tell whether there is room for one more; where all is taken, one may have to go.

        Whoever makes up routers as fast as it likes must not keep those out that come later. The
        first goes whose router has never answered, but for the default router in use.
        """
        its_own = sum(offer.said_by == said_by for offer in self._offers.values())
        has_part = its_own >= ROUTES_OF_ONE and not self._has_answered(said_by)
        if len(self._offers) < ROUTES and not has_part:
            return True
        self._host.counters.add("nd_too_many_routes")
        if has_part:
            return False
        used = self._installed.get(DEFAULT)
        for (prefix, router), offer in self._offers.items():
            in_use = prefix == DEFAULT and used is not None and used.gateway == router
            if not in_use and not self._has_answered(offer.said_by):
                self._withdraw(prefix, router)
                return True
        return False

    def _choose(self, prefix: Prefix) -> None:
        """Have the best of the routes to a prefix in the table (RFC 4191 section 3.2)."""
        routes = self._host.routes
        installed = self._installed.get(prefix)
        offered = self._offers_to.get(prefix)
        if not offered:
            if installed is not None:
                del self._installed[prefix]
                routes.remove(prefix)
            return
        used = None if installed is None else installed.gateway

        def rank(one: tuple[_Router, _Offer]) -> tuple[bool, bool, int, bool]:
            router, offer = one
            is_here = installed is not None and router == used
            return router is not None, self._is_lost(router), -offer.preference, not is_here

        router = min(offered.items(), key=rank)[0]
        if installed is not None:
            if used == router:
                return
            routes.remove(prefix)
        elif routes.find(prefix) is not None:
            return  # one that was given by hand, or of another link, is not to be outdone
        source = self._source(prefix)
        # A router can be heard before there is an address of ours that leads to it.
        routes.add_link(Route(LINK_LOCAL6, self._interface, None, UNSPECIFIED6))
        route = self._installed[prefix] = Route(prefix, self._interface, router, source)
        routes.add(route)

    def _source(self, prefix: Prefix) -> Ip:
        own = source_on(self._interface, prefix.network)
        return UNSPECIFIED6 if own is None else own.address

    def _addresses_changed(self, now: float) -> None:
        for prefix, route in self._installed.items():
            route.source = self._source(prefix)
        self._rearm(now)

    def _is_lost(self, router: Ip | None) -> bool:
        """Tell whether a router is known not to answer (RFC 4861 section 6.3.6)."""
        if router is None:
            return False
        assert self._interface.neighbors is not None
        entry = self._interface.neighbors.find(router)
        return entry is not None and entry.state is NeighborState.FAILED

    def _has_answered(self, router: Ip) -> bool:
        assert self._interface.neighbors is not None
        entry = self._interface.neighbors.find(router)
        return entry is not None and entry.proven

    # names, and the ends of things

    def _keep(self, known: dict[T, float], what: T, lifetime_s: int, now: float) -> None:
        if not lifetime_s:
            known.pop(what, None)
        elif what in known or len(known) < NAMES:
            known[what] = until(lifetime_s, now)
        else:
            self._host.counters.add("nd_too_many_names")

    def _names_changed(self, before: tuple[tuple[Ip, ...], tuple[str, ...]]) -> None:
        if before != (self.name_servers, self.search_domains):
            self._host.discovery.on_names()

    def _ends(self) -> Iterator[float]:
        """Go through the instants at which something here changes by itself."""
        yield from self.own.ends()
        for offer in self._offers.values():
            yield offer.until
        yield from self._servers.values()
        yield from self._domains.values()

    def _rearm(self, now: float) -> None:
        when = max(min(self._ends(), default=math.inf), now)
        if self._expiry is not None:
            if self._expiry.when == when:
                return
            self._expiry.cancel()
            self._expiry = None
        if when < math.inf:
            self._expiry = self._host.scheduler.call_at(when, self._expire, _lifetimes)

    def _expire(self, now: float) -> None:
        self._expiry = None
        self.own.expire(now)
        for prefix, router in [key for key, offer in self._offers.items() if now >= offer.until]:
            self._withdraw(prefix, router)
        before = self.name_servers, self.search_domains
        _forget_old(self._servers, now)
        _forget_old(self._domains, now)
        self._names_changed(before)
        self._rearm(now)

    # looking for routers (RFC 4861 section 6.3.7, RFC 7559)

    def _solicit_at(self, when: float) -> None:
        if self._solicited is not None:
            self._solicited.cancel()
        upkeep = _looking if self._solicits >= SOLICITS else None
        self._solicited = self._host.scheduler.call_at(when, self._solicit, upkeep)

    def _solicit(self, now: float) -> None:
        self._host.discovery.look_for_routers(self._interface, now)
        # RFC 7559: each time twice as long, a tenth more or less
        wait_s = min(SOLICIT_INTERVAL_S * 2.0**self._solicits, SOLICIT_MOST_S)
        if self._solicits < 2 * SOLICITS + 5:
            self._solicits += 1
        self._solicit_at(now + wait_s * self._rng.uniform(0.9, 1.1))


def _may_be_said(prefix: Prefix) -> bool:
    """Tell whether a router may say where a block is: not of what is its station's, or no place's.

    Nor where one station is: it might be ourselves.
    """
    network = prefix.network
    local = is_link_local(network) or is_multicast(network) or is_loopback(network)
    return not local and prefix.length < 128


def _forget_old(known: dict[T, float], now: float) -> None:
    for what in [what for what, end in known.items() if now >= end]:
        del known[what]


def _lifetimes() -> str:
    return "lifetimes of IPv6 addresses and routers"


def _looking() -> str:
    return "looking for routers"
