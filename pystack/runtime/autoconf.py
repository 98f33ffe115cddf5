"""What hosts and routers do by themselves in IPv6: advertise, and ask whom routers say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError
from pystack.runtime.names.zones import format_on
from pystack.stack.advertise import AdvertiseConfig, Advertiser

if TYPE_CHECKING:
    from pystack.runtime.host import Host
    from pystack.stack.host import Host as StackHost
    from pystack.stack.interface import Interface

_SERVERS: Final = 3  # asked, as MAXNS of glibc


def advertise(stack: StackHost, config: AdvertiseConfig, name: str, now: float) -> None:
    """Begin on one link, or on all that have something to advertise. Raises ConfigError."""
    if not isinstance(config, AdvertiseConfig):
        raise ConfigError(f"what a router says is a pystack.AdvertiseConfig, not {config!r}")
    links = [one for one in stack.interfaces if one.neighbors is not None]
    chosen = [one for one in links if one.name == name] if name else _worth_it(links, config)
    if not chosen:
        what = f"no link {name!r}" if name else "no IPv6 address that others could have part in"
        raise ConfigError(f"{stack.name} has {what}")
    for interface in chosen:
        # Only from a link-local address does a router speak (RFC 4861 section 4.2).
        stack.discovery.link(interface).own.have_link_local(now, at_once=True)
        advertiser = stack.discovery.advertisers.get(interface)
        if advertiser is not None:
            advertiser.config = config
            advertiser.start(now)
            continue
        advertiser = Advertiser(stack, interface, config)
        stack.discovery.advertisers[interface] = advertiser
        advertiser.start(now)


def stop_advertising(stack: StackHost, now: float) -> None:
    """Say on all links that this is no router any more."""
    for advertiser in stack.discovery.advertisers.values():
        advertiser.stop(now)
    stack.discovery.advertisers.clear()


def ask_whom_routers_say(host: Host) -> None:
    """Have the name servers that routers tell of (RFC 8106), unless others were chosen."""
    stack, resolver = host.stack, host.names.resolver
    if resolver is not None and not resolver.is_automatic:
        return
    servers = tuple(format_on(stack, each) for each in stack.discovery.name_servers()[:_SERVERS])
    if not servers:
        host.dns = None
        return
    search = stack.discovery.search_domains()
    if resolver is None:
        host.dns = {"servers": list(servers), "search": list(search)}
        assert host.names.resolver is not None
        host.names.resolver.is_automatic = True
    else:
        resolver.config = replace(resolver.config, servers=servers, search=search)


def _worth_it(links: list[Interface], config: AdvertiseConfig) -> list[Interface]:
    return [one for one in links if config.advertisement(one).options.prefixes]
