"""What an interface knows of IPv6 by itself (RFC 4862) and by routers (RFC 4861 section 6.3).

Addresses are tried out before they are used (duplicate address detection), made of the prefixes
that routers tell, and given up when their time is over. Routers, routes, the link's parameters and
name servers hold as long as was said. Everything here is bounded: whoever can send to a link can
tell of as many routers and prefixes as there are numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from pystack.core.addresses import (
    LINK_LOCAL6,
    V6,
    Ip,
    Prefix,
    eui64,
    format_ip,
    is_link_local,
    link_local,
    solicited_node,
    with_zone,
)
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.core.scheduler import Handle
from pystack.observe.observer import AddressChanged
from pystack.stack.interface import AddressState, InterfaceAddress
from pystack.stack.interface_ids import random_id, secret_of, stable_id
from pystack.stack.neighbors import NeighborState
from pystack.stack.routes import Route
from pystack.stack.sources import scoped
from pystack.wire import ipv6, nd

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

START_DELAY_S: Final = 1.0  # at most: MAX_RTR_SOLICITATION_DELAY (RFC 4861 section 10)
SOLICIT_INTERVAL_S: Final = 4.0  # RTR_SOLICITATION_INTERVAL; RFC 7559's IRT
SOLICIT_MOST_S: Final = 3600.0  # RFC 7559's MRT
SOLICITS: Final = 3  # MAX_RTR_SOLICITATIONS: those that a program may be waiting for
TWO_HOURS_S: Final = 7200.0  # RFC 4862 section 5.5.3 (e)
RETRIES: Final = 3  # IDGEN_RETRIES (RFC 7217 section 6), TEMP_IDGEN_RETRIES (RFC 8981 3.8)
RETRY_DELAY_S: Final = 1.0  # IDGEN_DELAY (RFC 7217 section 6)
ADDRESSES: Final = 16  # made of routers' prefixes; as Linux's max_addresses
ROUTES: Final = 64  # of routers, prefixes and what is behind them
NAMES: Final = 16  # name servers, and domains
DEFAULT: Final = Prefix.of(V6, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ip6Config:
    """What a host does by itself in IPv6; the names are Linux's, of net.ipv6.conf.

    Durations are in seconds. Raises ConfigError.
    """

    accept_ra: bool = False  # look for routers, and believe them; never on a router
    dad_transmits: int = 1  # questions before an address of its own making is used; 0: none
    addr_gen_mode: Literal["stable-privacy", "eui64"] = "stable-privacy"  # RFC 7217; or the MAC's
    use_tempaddr: bool = False  # temporary addresses beside the stable ones (RFC 8981)
    temp_valid_s: float = 172_800.0  # RFC 8981 section 3.8
    temp_preferred_s: float = 86_400.0
    accept_redirects: bool = False
    accept_ra_rt_info: bool = True  # routes beside the default one (RFC 4191 section 2.3)

    def __post_init__(self) -> None:
        if not 0 <= self.dad_transmits <= 255:
            raise ConfigError(f"dad_transmits is 0 to 255, not {self.dad_transmits}")
        if self.addr_gen_mode not in ("stable-privacy", "eui64"):
            raise ConfigError(
                f"addr_gen_mode is stable-privacy or eui64, not {self.addr_gen_mode!r}"
            )
        if not 60.0 <= self.temp_preferred_s <= self.temp_valid_s:
            raise ConfigError(
                "a temporary address is preferred for 60 s at least, and not longer than it is "
                f"valid, not for {self.temp_preferred_s} of {self.temp_valid_s} s"
            )


@dataclass(slots=True)
class _Trial:
    """An address that is being tried out."""

    left: int  # questions still to ask
    tries: int = 0  # addresses before this one that were others'
    nonces: set[bytes] = field(default_factory=set)  # of our questions, which may come back
    timer: Handle | None = None  # None: not begun, or over


@dataclass(slots=True)
class _Offer:
    """A route that a router has told of: by way of it, or (of its prefixes) to the link itself."""

    preference: int
    until: float


@dataclass(slots=True)
class _Temporary:
    """What a temporary address has beside an address (RFC 8981 section 3.4)."""

    made_at: float
    preferred_s: float  # at most, less the random part
    tries: int = 0
    renewed: bool = False  # its successor has been made


T = TypeVar("T")
_Offers = dict[tuple[Prefix, Ip | None], _Offer]  # None: on the link


class Autoconfiguration:
    """The addresses of one interface, and what routers have said about its link."""

    __slots__ = (
        "_domains",
        "_expiry",
        "_host",
        "_installed",
        "_interface",
        "_offers",
        "_rng",
        "_secret",
        "_servers",
        "_solicited",
        "_solicits",
        "_started",
        "_temporary",
        "_trials",
    )

    def __init__(self, host: Host, interface: Interface) -> None:
        self._host = host
        self._interface = interface
        # Its own: what IPv6 draws changes nothing of a host's other numbers.
        self._rng = component_rng(host.seed, f"host/{host.name}/{interface.name}/ip6")
        self._secret = secret_of(host.seed, host.name)
        self._offers: _Offers = {}
        self._installed: dict[Prefix, Route] = {}  # those of the offers that are in the table
        self._servers: dict[Ip, float] = {}  # until when
        self._domains: dict[str, float] = {}
        self._trials: dict[InterfaceAddress, _Trial] = {}
        self._temporary: dict[InterfaceAddress, _Temporary] = {}
        self._expiry: Handle | None = None  # None: nothing ends
        self._solicited: Handle | None = None  # None: no router is looked for
        self._solicits = 0
        self._started = False

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
        found = [router for prefix, router in self._offers if prefix == DEFAULT and router]
        return tuple(sorted(found, key=lambda it: chosen is None or it != chosen.gateway))

    def start(self, now: float) -> None:
        """Have a link-local address, and look for routers where they are believed."""
        self._started = True
        own = self._interface.addresses
        if not any(is_link_local(each.address) and each.prefix.is_v6 for each in own):
            self._make(LINK_LOCAL6, math.inf, math.inf, now, is_automatic=False)
        if self._host.discovery.config.accept_ra and not self._host.forwarding:
            self._solicits = 0
            self._solicit_at(now + self._rng.uniform(0.0, START_DELAY_S))

    def clear(self) -> None:
        """Forget what others have said, and the addresses that came of it."""
        now = self._host.scheduler.now
        for timer in (self._expiry, self._solicited):
            if timer is not None:
                timer.cancel()
        self._expiry = self._solicited = None
        for own in [own for own in self._interface.addresses if own.is_automatic]:
            self._remove(own, now)
        for own in list(self._trials):
            self._remove(own, now)
        self._offers.clear()
        self._servers.clear()
        self._domains.clear()
        for prefix in list(self._installed):
            self._choose(prefix)
        self._interface.reset_ip6()

    # duplicate address detection (RFC 4862 section 5.4)

    def try_out(self, own: InterfaceAddress, now: float, *, tries: int = 0) -> None:
        """Have one more address, once nobody on the link is heard to have it.

        With `dad_transmits` 0 it may be used at once.
        """
        self._interface.add_address(own)
        transmits = self._host.discovery.config.dad_transmits
        if not transmits:
            self._ready(own, now)
            return
        own.state = AddressState.TENTATIVE
        trial = self._trials[own] = _Trial(transmits, tries)
        self._tell(own, "", now)
        # RFC 4862 5.4.2: with a delay, so that all who begin together do not speak together
        when = now + self._rng.uniform(0.0, START_DELAY_S)
        self._host.groups.report_within(
            self._interface, solicited_node(own.address), when - now, now
        )
        trial.timer = self._host.scheduler.call_at(when, lambda at: self._probe(own, at))

    def probe_heard(self, own: InterfaceAddress, nonce: bytes, now: float) -> str:
        """Take a question of DAD about an address that is tried out here; returns the drop."""
        trial = self._trials.get(own)
        if trial is None:
            return "nd_tentative_target"
        if nonce and nonce in trial.nonces:
            return "nd_looped_back"  # RFC 7527: it is ours, and comes from a loop
        return self.duplicate(own, now)

    def duplicate(self, own: InterfaceAddress, now: float) -> str:
        """Give up an address that another has; returns the drop. Another is tried in its place."""
        trial = self._trials.pop(own)
        if trial.timer is not None:
            trial.timer.cancel()
        self._become(own, AddressState.DUPLICATED, now)
        stays = own.prefix.length != 64 or (
            self._host.discovery.config.addr_gen_mode == "eui64" and not own.is_temporary
        )
        if stays or trial.tries >= RETRIES:
            # It is shown as what it is, and never used; RFC 4862 section 5.4.5.
            return "nd_duplicate_address"
        temporary = self._temporary.get(own)
        self._remove(own, now)

        def again(at: float) -> None:
            self._make(
                own.prefix,
                own.valid_until,
                own.preferred_until,
                at,
                tries=trial.tries + 1,
                is_automatic=own.is_automatic,
                temporary=temporary,
            )

        self._host.scheduler.call_at(now + RETRY_DELAY_S, again)
        return "nd_duplicate_address"

    def _probe(self, own: InterfaceAddress, now: float) -> None:
        trial = self._trials[own]
        if not trial.left:
            del self._trials[own]
            self._ready(own, now)
            return
        trial.left -= 1
        nonce = self._rng.getrandbits(48).to_bytes(6, "big")
        trial.nonces.add(nonce)
        self._host.discovery.probe(self._interface, own.address, nonce, now)
        assert self._interface.neighbors is not None
        when = now + self._interface.neighbors.timing6.retrans_s
        trial.timer = self._host.scheduler.call_at(when, lambda at: self._probe(own, at))

    # addresses

    def _make(
        self,
        prefix: Prefix,
        valid_until: float,
        preferred_until: float,
        now: float,
        *,
        tries: int = 0,
        is_automatic: bool = True,
        temporary: _Temporary | None = None,
    ) -> None:
        """Make an address of a prefix, and try it out."""
        address = self._address_of(prefix, tries, is_temporary=temporary is not None)
        if self._interface.find(address) is not None:
            return  # given by hand
        own = InterfaceAddress(
            address,
            prefix,
            preferred_until=preferred_until,
            valid_until=valid_until,
            is_temporary=temporary is not None,
            is_automatic=is_automatic,
        )
        if temporary is not None:
            self._temporary[own] = temporary
        self.try_out(own, now, tries=tries)
        self._rearm(now)

    def _address_of(self, prefix: Prefix, tries: int, *, is_temporary: bool) -> Ip:
        interface = self._interface
        if is_temporary:
            identifier = random_id(self._rng)
        elif self._host.discovery.config.addr_gen_mode == "eui64":
            identifier = eui64(interface.mac)
        else:
            identifier = stable_id(prefix, interface.name, tries, self._secret)
        if prefix == LINK_LOCAL6:
            return with_zone(link_local(identifier), interface.index)
        return Ip(prefix.network | identifier)

    def _ready(self, own: InterfaceAddress, now: float) -> None:
        own.state = AddressState.TENTATIVE
        deprecated = now >= own.preferred_until
        self._host.assign(self._interface, own)
        self._become(
            own, AddressState.DEPRECATED if deprecated else AddressState.PREFERRED, now
        )

    def _remove(self, own: InterfaceAddress, now: float) -> None:
        trial = self._trials.pop(own, None)
        if trial is not None and trial.timer is not None:
            trial.timer.cancel()
        self._temporary.pop(own, None)
        self._host.remove_address(self._interface, own)
        self._tell(own, own.state.value, now, gone=True)

    def _become(self, own: InterfaceAddress, state: AddressState, now: float) -> None:
        old, own.state = own.state, state
        if old is not state:
            self._tell(own, old.value, now)

    def _tell(self, own: InterfaceAddress, old: str, now: float, *, gone: bool = False) -> None:
        host = self._host
        if host.observers:
            text = f"{format_ip(own.address)}/{own.prefix.length}"
            new = "" if gone else own.state.value
            host.notify(AddressChanged(now, host.name, self._interface.name, text, old, new))

    # routers (RFC 4861 section 6.3)

    def router_said(self, router: Ip, said: nd.RouterAdvertisement, now: float) -> None:
        """Take an advertisement that is valid, from a router that may be believed."""
        if said.lifetime_s and self._solicited is not None:
            self._solicited.cancel()
            self._solicited = None
        interface = self._interface
        assert interface.neighbors is not None
        if said.hop_limit:
            interface.hop_limit6 = said.hop_limit
        timing = interface.neighbors.timing6
        if said.reachable_ms:
            # RFC 4861 section 6.2.1: an hour at most
            timing.reachable_s = min(said.reachable_ms, 3_600_000) / 1000
        if said.retrans_ms:
            # Nobody makes us flood the link, nor wait for a station for ever.
            timing.retrans_s = min(max(said.retrans_ms, 10), 60_000) / 1000
        mtu_bytes = said.options.mtu_bytes
        if mtu_bytes:
            if ipv6.MIN_MTU_BYTES <= mtu_bytes <= interface.mtu_bytes:
                if mtu_bytes != interface.mtu6_bytes:
                    interface.mtu6_bytes = mtu_bytes
                    self._host.routes.changes += 1  # what was found before had another
            else:
                self._host.counters.add("nd_bad_mtu")
        self._offer(DEFAULT, router, said.preference, said.lifetime_s, now)
        for prefix in said.options.prefixes:
            self._prefix_said(prefix, now)
        if self._host.discovery.config.accept_ra_rt_info:
            for route in said.options.routes:
                if not is_link_local(route.prefix.network):
                    self._offer(route.prefix, router, route.preference, route.lifetime_s, now)
        for each in said.options.rdnss:
            for server in each.servers:
                self._keep(self._servers, scoped(interface, server), each.lifetime_s, now)
        for names in said.options.dnssl:
            for name in names.names:
                self._keep(self._domains, name, names.lifetime_s, now)
        self._rearm(now)

    def router_gone(self, router: Ip, now: float) -> None:
        """Take note that a station is a router no more (RFC 4861 section 7.2.5)."""
        for prefix in [prefix for prefix, by in self._offers if by == router]:
            self._offer(prefix, router, 0, 0, now)

    def reachability_changed(self, station: Ip, now: float) -> None:
        """Take note that a station answers, or does so no more: it may be a router."""
        for prefix in [prefix for prefix, by in self._offers if by == station]:
            self._choose(prefix)

    def _prefix_said(self, said: nd.PrefixInformation, now: float) -> None:
        """Take a prefix of the link (RFC 4861 section 6.3.4, RFC 4862 section 5.5.3)."""
        prefix = said.prefix
        if prefix == LINK_LOCAL6 or said.preferred_s > said.valid_s:
            self._host.counters.add("nd_bad_prefix")
            return
        if said.on_link:
            self._offer(prefix, None, 0, said.valid_s, now)
        if not said.autonomous:
            return
        if prefix.length != 64:
            self._host.counters.add("nd_bad_prefix")
            return
        known = [
            own
            for own in self._interface.addresses
            if own.is_automatic and own.prefix == prefix and not own.is_temporary
        ]
        for own in known:
            self._renew(own, said, now)
        self._renew_temporary(prefix, now)
        if known or not said.valid_s:
            return
        made = sum(own.is_automatic for own in self._interface.addresses)
        if made >= ADDRESSES:
            self._host.counters.add("nd_too_many_addresses")
            return
        valid_until, preferred_until = _until(said.valid_s, now), _until(said.preferred_s, now)
        self._make(prefix, valid_until, preferred_until, now)
        if self._host.discovery.config.use_tempaddr:
            self._make_temporary(prefix, valid_until, preferred_until, now)

    def _renew(self, own: InterfaceAddress, said: nd.PrefixInformation, now: float) -> None:
        """Let an address live as long as its prefix is said to, but for the two-hour rule."""
        valid_s, remaining_s = _seconds(said.valid_s), own.valid_until - now
        if valid_s > TWO_HOURS_S or valid_s > remaining_s:
            own.valid_until = now + valid_s
        elif remaining_s > TWO_HOURS_S:
            # RFC 4862 section 5.5.3 (e): no one message may take an address away.
            own.valid_until = now + TWO_HOURS_S
        own.preferred_until = min(_until(said.preferred_s, now), own.valid_until)
        self._age(own, now)

    def _age(self, own: InterfaceAddress, now: float) -> None:
        """Let an address that may be used be what it has to be now."""
        if own.is_usable:
            deprecated = now >= own.preferred_until
            self._become(
                own, AddressState.DEPRECATED if deprecated else AddressState.PREFERRED, now
            )

    # temporary addresses (RFC 8981)

    def _make_temporary(
        self, prefix: Prefix, valid_until: float, preferred_until: float, now: float
    ) -> None:
        config = self._host.discovery.config
        # The desynchronizing factor is 0.4 of it at most (section 3.8).
        preferred_s = config.temp_preferred_s * (1 - self._rng.uniform(0.0, 0.4))
        temporary = _Temporary(now, preferred_s)
        self._make(
            prefix,
            min(valid_until, now + config.temp_valid_s),
            min(preferred_until, now + preferred_s),
            now,
            temporary=temporary,
        )

    def _renew_temporary(self, prefix: Prefix, now: float) -> None:
        """Let temporary addresses live no longer than their prefix, nor than they may at all."""
        stable = next(
            (
                own
                for own in self._interface.addresses
                if own.is_automatic and own.prefix == prefix and not own.is_temporary
            ),
            None,
        )
        config = self._host.discovery.config
        for own, temporary in list(self._temporary.items()):
            if own.prefix == prefix and stable is not None:
                own.valid_until = min(
                    stable.valid_until, temporary.made_at + config.temp_valid_s
                )
                own.preferred_until = min(
                    stable.preferred_until, temporary.made_at + temporary.preferred_s
                )
                self._age(own, now)

    def _succeed(self, now: float) -> None:
        """Make the successors of temporary addresses that are soon to be deprecated."""
        for own, temporary in list(self._temporary.items()):
            stable = next(
                (
                    each
                    for each in self._interface.addresses
                    if each.is_automatic and each.prefix == own.prefix and not each.is_temporary
                ),
                None,
            )
            if (
                stable is not None
                and not temporary.renewed
                and now >= self._renewal_at(own)
                and stable.preferred_until > own.preferred_until
            ):
                temporary.renewed = True
                self._make_temporary(
                    own.prefix, stable.valid_until, stable.preferred_until, now
                )

    def _renewal_at(self, own: InterfaceAddress) -> float:
        """Return when a successor is due: REGEN_ADVANCE before the end (section 3.8)."""
        assert self._interface.neighbors is not None
        retrans_s = self._interface.neighbors.timing6.retrans_s
        transmits = self._host.discovery.config.dad_transmits
        return own.preferred_until - (2.0 + RETRIES * transmits * retrans_s)

    # routes

    def _offer(
        self, prefix: Prefix, router: Ip | None, preference: int, lifetime_s: int, now: float
    ) -> None:
        """Take that a router (or the link itself) leads to a prefix, for so long; 0: no more."""
        offers = self._offers
        if not lifetime_s:
            if offers.pop((prefix, router), None) is not None:
                self._choose(prefix)
            return
        if (prefix, router) not in offers and len(offers) >= ROUTES:
            self._host.counters.add("nd_too_many_routes")
            return
        # RFC 4861 has 65,535 s of a router, which no number of a lifetime makes endless.
        offers[prefix, router] = _Offer(preference, _until(lifetime_s, now))
        self._choose(prefix)

    def _choose(self, prefix: Prefix) -> None:
        """Have the best of the routes to a prefix in the table (RFC 4191 section 3.2)."""
        routes = self._host.routes
        installed = self._installed.get(prefix)
        offered = [(by, offer) for (to, by), offer in self._offers.items() if to == prefix]
        if not offered:
            if installed is not None:
                del self._installed[prefix]
                routes.remove(prefix)
            return
        used = None if installed is None else installed.gateway

        def rank(one: tuple[Ip | None, _Offer]) -> tuple[bool, bool, int, bool]:
            router, offer = one
            is_here = installed is not None and router == used
            return router is not None, self._is_lost(router), -offer.preference, not is_here

        router = min(offered, key=rank)[0]
        if installed is not None:
            if used == router:
                return
            routes.remove(prefix)
        elif routes.find(prefix) is not None:
            return  # one that was given by hand, or of another link, is not to be outdone
        source = self._interface.addresses[0].address
        route = self._installed[prefix] = Route(prefix, self._interface, router, source)
        routes.add(route)

    def _is_lost(self, router: Ip | None) -> bool:
        """Tell whether a router is known not to answer (RFC 4861 section 6.3.6)."""
        if router is None:
            return False
        assert self._interface.neighbors is not None
        entry = self._interface.neighbors.find(router)
        return entry is not None and entry.state is NeighborState.FAILED

    # names, and the ends of things

    def _keep(self, known: dict[T, float], what: T, lifetime_s: int, now: float) -> None:
        if not lifetime_s:
            known.pop(what, None)
        elif what in known or len(known) < NAMES:
            known[what] = _until(lifetime_s, now)
        else:
            self._host.counters.add("nd_too_many_names")

    def _ends(self) -> Iterator[float]:
        """Go through the instants at which something here changes by itself."""
        for own in self._interface.addresses:
            yield own.valid_until
            if own.state is AddressState.PREFERRED:
                yield own.preferred_until
        for own, temporary in self._temporary.items():
            if not temporary.renewed and own.is_usable:
                yield self._renewal_at(own)
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
        for own in list(self._interface.addresses):
            if now >= own.valid_until:
                self._remove(own, now)
            else:
                self._age(own, now)
        for key in [key for key, offer in self._offers.items() if now >= offer.until]:
            del self._offers[key]
            self._choose(key[0])
        for known in (self._servers, self._domains):
            _forget_old(known, now)
        self._succeed(now)
        self._rearm(now)

    # looking for routers (RFC 4861 section 6.3.7, RFC 7559)

    def _solicit_at(self, when: float) -> None:
        upkeep = _looking if self._solicits >= SOLICITS else None
        self._solicited = self._host.scheduler.call_at(when, self._solicit, upkeep)

    def _solicit(self, now: float) -> None:
        self._host.discovery.look_for_routers(self._interface, now)
        # RFC 7559: each time twice as long, a tenth more or less
        wait_s = min(SOLICIT_INTERVAL_S * 2.0**self._solicits, SOLICIT_MOST_S)
        if self._solicits < 2 * SOLICITS + 5:
            self._solicits += 1
        self._solicit_at(now + wait_s * self._rng.uniform(0.9, 1.1))


def _seconds(lifetime_s: int) -> float:
    return math.inf if lifetime_s == nd.FOR_EVER else float(lifetime_s)


def _until(lifetime_s: int, now: float) -> float:
    return now + _seconds(lifetime_s)


def _forget_old(known: dict[T, float], now: float) -> None:
    for what in [what for what, until in known.items() if now >= until]:
        del known[what]


def _lifetimes() -> str:
    return "lifetimes of IPv6 addresses and routers"


def _looking() -> str:
    return "looking for routers"
