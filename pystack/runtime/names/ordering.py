"""In which order a host tries the addresses of a name: by RFC 6724, with its own sources."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pystack.core import address_policy
from pystack.core.address_policy import BITS, Source, number
from pystack.core.addresses import UNSPECIFIED, Ip, is_link_local, is_v6

if TYPE_CHECKING:
    from pystack.stack.host import Host

_IP4_BITS: Final = 32


def in_order(host: Host, addresses: Iterable[Ip]) -> tuple[Ip, ...]:
    """Return addresses as they are to be tried, best first."""
    numbers = {number(address): address for address in addresses}
    if len(numbers) < 2:
        return tuple(numbers.values())
    ranked = address_policy.in_order(numbers, lambda found: _source_towards(host, numbers[found]))
    return tuple(numbers[found] for found in ranked)


def why_order(host: Host, ordered: Iterable[Ip]) -> str:
    """Return the rule that put the first of them before the second; "": they are equal."""
    numbers = {number(address): address for address in ordered}
    return address_policy.why_order(
        list(numbers), lambda found: _source_towards(host, numbers[found])
    )


def has_version(host: Host, *, v6: bool) -> bool:
    """Tell whether it has an address of that version that is good beyond its link (RFC 3493 6.1).

    What AI_ADDRCONFIG asks: without one there is no use in addresses of that version.
    """
    return any(
        is_v6(own.address) is v6 and not (v6 and is_link_local(own.address))
        for interface in host.interfaces
        if interface.neighbors is not None
        for own in interface.addresses
    )


def _source_towards(host: Host, address: Ip) -> Source | None:
    """Return what packets to there come from; None: there is no way."""
    route = host.routes.lookup(address)
    if route is None:
        return None
    source = host.source_towards(address, route)
    if source == UNSPECIFIED or is_v6(source) is not is_v6(address):
        return None
    own = route.interface.find(source)
    own_bits = BITS if is_v6(source) else _IP4_BITS
    bits = own_bits if own is None else own.prefix.length
    return Source(number(source), BITS - own_bits + bits)
