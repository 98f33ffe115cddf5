"""Addresses as programs on a host write and read them: a zone is an interface, "fe80::1%eth0".

Below, a zone is the interface's number (`Interface.index`), as it is in a sockaddr_in6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pystack.core.addresses import (
    UNSPECIFIED6,
    Ip,
    format_ip,
    format_ip4,
    has_zone,
    is_v6,
    parse_ip6,
    split_zone,
    unmapped,
    with_zone,
    without_zone,
    zone_of,
)
from pystack.core.errors import ConfigError
from pystack.stack.ports import ANY
from pystack.stack.zones import parse_on as parse_on  # for those above as well

if TYPE_CHECKING:
    from pystack.stack.host import Host

Version = Literal[4, 6]  # of IP


def owner_of(text: str) -> str:
    """Return what stands for whoever has an address, where addresses are counted: of IPv6 its /64.

    Who has one address of IPv6 has as many as it likes: a network has /64 at least (RFC 7421).
    """
    if ":" not in text:
        return text
    address = unmapped(parse_ip6(text.partition("%")[0]))
    return format_ip(address >> 64 << 64 if is_v6(address) else address)


def check_asked(name: str, version: Version | None) -> None:
    """Raise ConfigError for what is asked for that is no name, or no version of IP."""
    if not isinstance(name, str):
        raise ConfigError(f"a host's name or address is a text, not {name!r}")
    if version not in (None, 4, 6):
        raise ConfigError(f"version is {version!r}: it must be 4, 6 or None")


def version_of(local: int) -> Version | None:
    """Return the version that a socket speaks which is bound to an address; None: both."""
    if local == ANY:
        return None
    return 6 if is_v6(local) else 4


def numeric_on(host: Host, text: str) -> Ip | None:
    """Read an address as getaddrinfo(3) does; None: it is none.

    A zone that is a number is taken as it is, of an address that has no use for one, too.
    """
    bare, zone = split_zone(text)
    try:
        if zone is None or not (zone.isascii() and zone.isdigit() and len(zone) < 10):
            return parse_on(host, text)
        address = parse_ip6(bare)
    except ConfigError:
        return None
    return with_zone(address, int(zone)) if has_zone(address) else address


def format_on(host: Host, address: int) -> str:
    """Return the text of an address of either version, with the name of its zone; ANY is "::"."""
    if not address >> 32:
        return format_ip4(address)
    if address == ANY:
        return format_ip(UNSPECIFIED6)
    zone = zone_of(address)
    if not 0 < zone <= len(host.interfaces):
        return format_ip(address)
    return f"{format_ip(without_zone(address))}%{host.interfaces[zone - 1].name}"
