"""Zones of link-local addresses by the names of a host's interfaces: "fe80::1%eth0" (RFC 4007)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pystack.core.addresses import Ip, parse_ip, parse_ip6, split_zone, zone_of
from pystack.core.errors import ConfigError

if TYPE_CHECKING:
    from pystack.stack.host import Host


def parse_on(host: Host, text: str) -> Ip:
    """Read an address of either version; a zone is an interface's name or number. ConfigError."""
    if "%" not in text:
        return parse_ip(text)
    bare, zone = split_zone(text)
    for interface in host.interfaces:
        if interface.name == zone:
            return parse_ip6(f"{bare}%{interface.index}")
    found = parse_ip6(text)
    if zone_of(found) > len(host.interfaces):
        raise ConfigError(f"{text!r}: {host.name} has no interface {zone}")
    return found
