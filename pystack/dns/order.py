"""In which order several addresses of a name are tried (RFC 6724), for both IP versions.

Nothing is asked here: the caller knows which source address leads to which destination. What both
that and this rest on is `core/address_policy.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cmp_to_key

from pystack.core.address_policy import (
    BITS,
    GLOBAL,
    LINK_LOCAL,
    SITE_LOCAL,
    Source,
    best_source,
    common_bits,
    home_rank,
    is_ip4,
    number,
    policy,
    scope,
)
from pystack.core.addresses import parse_ip

__all__ = [
    "BITS",
    "GLOBAL",
    "LINK_LOCAL",
    "SITE_LOCAL",
    "Source",
    "best_source",
    "common_bits",
    "in_order",
    "is_ip4",
    "number_of",
    "scope",
]


def number_of(text: str) -> int:
    """Return an address of either version as a number. Raises ConfigError."""
    return number(parse_ip(text))


def in_order(destinations: Iterable[int], source_of: Callable[[int], Source | None]) -> list[int]:
    """Return destinations as they are to be tried, best first (section 6).

    `source_of` gives the source address that would be used; None: there is no way to it. What the
    rules hold for equal stays as it came, so that a server's rotation is seen.
    """
    known = [(address, source_of(address)) for address in destinations]
    # Ranks that need no pair to be compared, and rule 9, which is for addresses of one version.
    ranked = [(_rank(address, source), address, source) for address, source in known]
    return [address for _, address, _ in sorted(ranked, key=cmp_to_key(_compare))]


_Ranked = tuple[tuple[int, ...], int, Source | None]


def _rank(address: int, source: Source | None) -> tuple[int, ...]:
    """Return rules 1 to 8 as numbers, of which the smaller is better."""
    if source is None:
        precedence, _label = policy(address)
        return (1, 0, 0, 0, 0, -precedence, 0, scope(address))
    precedence, label = policy(address)
    return (
        0,  # rule 1: avoid unusable destinations
        scope(address) != scope(source.address),  # rule 2
        source.deprecated,  # rule 3
        home_rank(source),  # rule 4
        label != policy(source.address)[1],  # rule 5
        -precedence,  # rule 6
        source.encapsulated,  # rule 7
        scope(address),  # rule 8
    )


def _compare(one: _Ranked, other: _Ranked) -> int:
    if one[0] != other[0]:
        return -1 if one[0] < other[0] else 1
    if is_ip4(one[1]) != is_ip4(other[1]):
        return 0
    return _near(other[1], other[2]) - _near(one[1], one[2])  # rule 9


def _near(address: int, source: Source | None) -> int:
    """Return how many bits of its prefix a source shares with a destination (CommonPrefixLen)."""
    if source is None:
        return 0
    bits = common_bits(address, source.address, source.prefix_bits)
    # Blocks of IPv4 are given out all over the world: outside of one's own network what they have
    # in common says nothing. So glibc has it too; and a rotation of distant addresses stays one.
    return 0 if is_ip4(address) and bits < source.prefix_bits else bits
