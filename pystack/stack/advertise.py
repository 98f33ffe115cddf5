"""What a router says of itself and of its links (RFC 4861 section 6.2).

From time to time, at random in a range; soon after a host has asked, yet not more often than every
three seconds to all; and with a lifetime of 0 when it stops, so that nobody goes on sending to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    ALL_NODES6,
    ALL_ROUTERS6,
    ZERO_MAC,
    Mac,
    Prefix,
    is_link_local,
    is_v6,
    parse_ip,
    parse_ip6,
    parse_prefix,
)
from pystack.core.errors import ConfigError
from pystack.core.ranges import Range, check_switch
from pystack.core.rng import component_rng
from pystack.core.scheduler import Handle
from pystack.stack import egress
from pystack.stack.sources import source_on
from pystack.wire import ipv6, nd

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

_RANGES: Final = {
    "max_interval_s": Range(4, 1800, whole=False),
    "min_interval_s": Range(3, 1350, whole=False, optional=True),
    "lifetime_s": Range(0, 65_535, optional=True),
    "preference": Range(-1, 1),
    "hop_limit": Range(0, 255),
    "reachable_ms": Range(0, 3_600_000),  # RFC 4861 section 6.2.1
    "retrans_ms": Range(0, nd.FOR_EVER),
    "mtu_bytes": Range(0, 65_535),
    "valid_s": Range(0, nd.FOR_EVER),
    "preferred_s": Range(0, nd.FOR_EVER),
}
INITIAL_INTERVAL_S: Final = 16.0  # MAX_INITIAL_RTR_ADVERT_INTERVAL (RFC 4861 section 10)
INITIALS: Final = 3  # MAX_INITIAL_RTR_ADVERTISEMENTS
ANSWER_DELAY_S: Final = 0.5  # at most: MAX_RA_DELAY_TIME
LEAST_BETWEEN_S: Final = 3.0  # MIN_DELAY_BETWEEN_RAS


@dataclass(frozen=True, slots=True, kw_only=True)
class AdvertiseConfig:
    """What is said on one link; the defaults are those of RFC 4861 section 6.2.1.

    Durations are in seconds, but for those that end in `_ms`. Raises ConfigError.
    """

    max_interval_s: float = 600.0  # between two advertisements; 4 to 1800
    min_interval_s: float | None = None  # None: a third of that
    lifetime_s: int | None = None  # as default router, 0: it is none; None: three intervals
    preference: int = 0  # -1, 0, 1: low, medium, high (RFC 4191)
    hop_limit: int = 64  # 0, here and of the next three: nothing is said of it
    reachable_ms: int = 0
    retrans_ms: int = 0
    mtu_bytes: int = 0
    managed: bool = False  # addresses are to be had from DHCPv6
    other: bool = False
    # None: the blocks of the interface's own addresses
    prefixes: tuple[str, ...] | None = None
    valid_s: int = 2_592_000  # of prefixes: 30 days; 2**32 - 1: for ever
    preferred_s: int = 604_800  # 7 days
    on_link: bool = True  # stations of these prefixes are on the link
    autonomous: bool = True  # hosts make addresses of those of 64 bits
    routes: tuple[str, ...] = ()  # what else leads over this router (RFC 4191): "2001:db8:f::/48"
    name_servers: tuple[str, ...] = ()  # their addresses (RFC 8106)
    search_domains: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            allowed.check(name, getattr(self, name))
        for name in ("managed", "other", "on_link", "autonomous"):
            check_switch(name, getattr(self, name))
        if not 3.0 <= self.least_s <= 0.75 * max(self.max_interval_s, 4.0):
            raise ConfigError(
                f"min_interval_s is 3 s to three quarters of max_interval_s, not {self.least_s}"
            )
        if 0 < self.mtu_bytes < ipv6.MIN_MTU_BYTES:
            raise ConfigError(f"an IPv6 MTU is at least 1280, not {self.mtu_bytes}")
        if self.preferred_s > self.valid_s:
            raise ConfigError(
                f"a prefix cannot be preferred for {self.preferred_s} s and valid for "
                f"{self.valid_s} s"
            )
        for name in ("prefixes", "routes", "name_servers", "search_domains"):
            texts = getattr(self, name)
            if not (isinstance(texts, list | tuple) or (texts is None and name == "prefixes")):
                raise ConfigError(f"{name} is a list of texts, not {texts!r}")
        for text in (*(self.prefixes or ()), *self.routes):
            if not parse_prefix(text).is_v6:
                raise ConfigError(f"{text!r} is not an IPv6 prefix")
        for text in self.name_servers:
            if not is_v6(parse_ip(text)):
                raise ConfigError(f"{text!r} is no address of IPv6")
        for text in self.search_domains:
            if not isinstance(text, str) or not nd.is_search_domain(text):
                raise ConfigError(f"{text!r} is no search domain, like 'lab.example'")
        self._check_size()

    def _check_size(self) -> None:
        """Raise ConfigError for what no one advertisement can say.

        In fragments nobody would take it (RFC 6980), whatever the link's MTU is.
        """
        most = ipv6.MIN_MTU_BYTES - ipv6.HEADER_BYTES
        size = "more than 2,040 bytes in one option"
        with suppress(ValueError):
            prefixes = [parse_prefix(text) for text in self.prefixes or ()]
            said = self._said(prefixes, ZERO_MAC, is_last=False)
            packed = nd.pack_router_advertisement(ALL_NODES6, ALL_NODES6, said)
            if len(packed) <= most:
                return
            size = f"{len(packed)} bytes"
        raise ConfigError(f"a router says at most {most} bytes at once, not {size}")

    @property
    def least_s(self) -> float:
        """Return the shortest time between two advertisements."""
        if self.min_interval_s is not None:
            return self.min_interval_s
        return max(self.max_interval_s / 3, 3.0)

    def advertisement(
        self, interface: Interface, *, is_last: bool = False
    ) -> nd.RouterAdvertisement:
        """Return what is said on the link of an interface; `is_last`: by a router that stops."""
        if self.prefixes is not None:
            prefixes = [parse_prefix(text) for text in self.prefixes]
        else:
            own = [each for each in interface.addresses if each.prefix.is_v6]
            prefixes = [each.prefix for each in own if not is_link_local(each.address)]
        return self._said(prefixes, interface.mac, is_last=is_last)

    def _said(
        self, prefixes: Sequence[Prefix], mac: Mac, *, is_last: bool
    ) -> nd.RouterAdvertisement:
        lifetime_s = self.lifetime_s
        if lifetime_s is None:
            lifetime_s = math.ceil(3 * self.max_interval_s)
        names_s = math.ceil(3 * self.max_interval_s)  # RFC 8106 section 5.1
        if is_last:
            lifetime_s = names_s = 0
        servers = tuple(parse_ip6(text) for text in self.name_servers)
        options = nd.NdOptions(
            source_mac=mac,
            mtu_bytes=self.mtu_bytes,
            prefixes=[
                nd.PrefixInformation(
                    prefix,
                    on_link=self.on_link,
                    autonomous=self.autonomous and prefix.length == 64,
                    valid_s=self.valid_s,
                    preferred_s=self.preferred_s,
                )
                for prefix in dict.fromkeys(prefixes)
            ],
            routes=[
                nd.RouteInformation(parse_prefix(text), self.preference, lifetime_s)
                for text in self.routes
            ],
            rdnss=[nd.Rdnss(names_s, servers)] if servers else [],
            dnssl=[nd.Dnssl(names_s, self.search_domains)] if self.search_domains else [],
        )
        return nd.RouterAdvertisement(
            self.hop_limit,
            self.managed,
            self.other,
            self.preference,
            lifetime_s,
            self.reachable_ms,
            self.retrans_ms,
            options,
        )


class Advertiser:
    """The advertisements of one router on one link."""

    __slots__ = (
        "_answer",
        "_host",
        "_interface",
        "_last_at",
        "_periodic",
        "_rng",
        "_sent",
        "config",
    )

    def __init__(self, host: Host, interface: Interface, config: AdvertiseConfig) -> None:
        self._host = host
        self._interface = interface
        self.config = config
        self._rng = component_rng(host.seed, f"host/{host.name}/{interface.name}/advertisements")
        self._periodic: Handle | None = None  # None: stopped
        self._answer: Handle | None = None  # None: nobody has asked
        self._last_at = -math.inf
        self._sent = 0

    def start(self, now: float) -> None:
        """Begin: now, soon again, and then as configured."""
        if self._periodic is None:
            self._host.groups.join(self._interface, ALL_ROUTERS6, now)
        self._sent = 0
        self._say(now)

    def stop(self, now: float) -> None:
        """Tell all hosts that this is no router any more (RFC 4861 section 6.2.5)."""
        if self._periodic is None:
            return
        self.clear()
        self._send(now, is_last=True)
        self._host.groups.leave(self._interface, ALL_ROUTERS6, now)

    def clear(self) -> None:
        """Say nothing any more."""
        for timer in (self._periodic, self._answer):
            if timer is not None:
                timer.cancel()
        self._periodic = self._answer = None

    def solicited(self, now: float) -> None:
        """Answer a host: to all, for others will ask as well (RFC 4861 section 6.2.6)."""
        if self._answer is not None or self._periodic is None:
            return
        when = now + self._rng.uniform(0.0, ANSWER_DELAY_S)
        when = max(when, self._last_at + LEAST_BETWEEN_S)
        if when < self._periodic.when:
            # Whoever asks waits for it: it is no more upkeep than the question was.
            self._answer = self._host.scheduler.call_at(when, self._say)

    def _say(self, now: float) -> None:
        for timer in (self._periodic, self._answer):
            if timer is not None:
                timer.cancel()
        self._answer = None
        self._send(now)
        wait_s = self._rng.uniform(self.config.least_s, self.config.max_interval_s)
        if self._sent < INITIALS:
            wait_s = min(wait_s, INITIAL_INTERVAL_S)
        self._periodic = self._host.scheduler.call_at(now + wait_s, self._say, _advertising)

    def _send(self, now: float, *, is_last: bool = False) -> None:
        host, interface = self._host, self._interface
        own = source_on(interface, ALL_NODES6)
        if own is None or not is_link_local(own.address):
            host.drop("nd_no_source", now, interface)
            return
        self._sent += 1
        self._last_at = now
        message = nd.pack_router_advertisement(
            own.address, ALL_NODES6, self.config.advertisement(interface, is_last=is_last)
        )
        host.counters.add("nd_router_advertisements_out")
        egress.send_on_link(host, interface, own.address, ALL_NODES6, message, now)


def _advertising() -> str:
    return "router advertisements"
