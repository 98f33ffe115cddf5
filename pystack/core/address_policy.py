"""Which address goes with which (RFC 6724): the choice of a source, and the order of destinations.

An address is 16 bytes as a number here (`number`); those of IPv4 are mapped into ::ffff:0:0/96, as
the RFC has it. A host chooses the source of its packets by `best_source`, and tries the addresses
of a name `in_order`. Nothing is asked here: the caller knows which source leads where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Final

from pystack.core.addresses import Ip, is_v6, mapped, parse_ip6

BITS: Final = 128
_BITS: Final = (1 << BITS) - 1

# Scopes, by the numbers of multicast addresses (RFC 4291 section 2.7)
LINK_LOCAL: Final = 2
SITE_LOCAL: Final = 5
GLOBAL: Final = 14

# Section 2.1: prefix, length, precedence, label; the longest prefix that fits holds.
_POLICY: Final = tuple(
    (parse_ip6(prefix) & _BITS, length, precedence, label)
    for prefix, length, precedence, label in (
        ("::1", 128, 50, 0),
        ("::ffff:0:0", 96, 35, 4),
        ("::", 96, 1, 3),
        ("2001::", 32, 5, 5),
        ("2002::", 16, 30, 2),
        ("3ffe::", 16, 1, 12),
        ("fec0::", 10, 1, 11),
        ("fc00::", 7, 3, 13),
        ("::", 0, 40, 1),
    )
)


@dataclass(frozen=True, slots=True)
class Source:
    """An address of this host, with what the rules ask of one."""

    address: int
    prefix_bits: int  # of its network: 0 to 128, 96 more than in IPv4
    deprecated: bool = False
    is_home: bool = False  # of a mobile node, also at home: both False where there is no mobility
    is_care_of: bool = False
    encapsulated: bool = False  # the way there is a tunnel
    temporary: bool = False  # RFC 8981
    interface: str = ""


def number(address: int) -> int:
    """Return an address of either version as a number of 128 bits, without a zone."""
    return (address if is_v6(address) else mapped(Ip(address))) & _BITS


def is_ip4(address: int) -> bool:
    """Tell whether it is an IPv4 address, mapped."""
    return address >> 32 == 0xFFFF


def scope(address: int) -> int:
    """Return how far an address reaches (sections 3.1 to 3.3)."""
    if is_ip4(address):
        top = address >> 16 & 0xFFFF
        return LINK_LOCAL if top == 0xA9FE or top >> 8 == 127 else GLOBAL
    if address >> 120 == 0xFF:
        return address >> 112 & 0xF
    if address >> 118 == 0xFE80 >> 6 or address == 1:
        return LINK_LOCAL
    return SITE_LOCAL if address >> 118 == 0xFEC0 >> 6 else GLOBAL


def common_bits(a: int, b: int, most: int = BITS) -> int:
    """Return how many bits two addresses have in common from the left, `most` at most."""
    return min(BITS - (a ^ b).bit_length(), most)


def home_rank(source: Source) -> int:
    """Return rule 4 as a number: home before care-of addresses."""
    if source.is_home and source.is_care_of:
        return 0
    return 2 if source.is_care_of else 1


def policy(address: int) -> tuple[int, int]:
    """Return precedence and label."""
    for prefix, length, precedence, label in _POLICY:
        if common_bits(prefix, address) >= length:
            return precedence, label
    raise AssertionError("the last prefix is ::/0")


def best_source(
    destination: int, candidates: Sequence[Source], interface: str = ""
) -> Source | None:
    """Return the source address for a destination (section 5); None: there is no candidate.

    `interface`: the one that leads there. Rules 5.5 (next hops that have given out prefixes) and 4
    (mobile nodes) beside those that `Source` knows are not for hosts like ours.
    """
    candidates = [one for one in candidates if is_ip4(one.address) == is_ip4(destination)]
    if not candidates:
        return None
    return min(candidates, key=_by_rules(destination, interface))


def why_source(destination: int, candidates: Sequence[Source], interface: str = "") -> str:
    """Return the rule that decided between the best source and the next; "": there is no other."""
    rank = _by_rules(destination, interface)
    ranks = sorted(rank(one) for one in candidates if is_ip4(one.address) == is_ip4(destination))
    return _deciding(ranks[:2], _SOURCE_RULES)


def why_order(destinations: Sequence[int], source_of: Callable[[int], Source | None]) -> str:
    """Return the rule that put the first of ordered destinations before the second; "": none."""
    known = [(address, source_of(address)) for address in destinations[:2]]
    ranks = [(*_rank(address, source), -_near(address, source)) for address, source in known]
    if len({is_ip4(address) for address, _source in known}) > 1:
        ranks = [rank[:-1] for rank in ranks]  # rule 9 is for addresses of one version
    return _deciding(ranks, _ORDER_RULES)


def _deciding(ranks: Sequence[tuple[int, ...]], rules: Sequence[str]) -> str:
    if len(ranks) < 2:
        return ""
    pairs = zip(*ranks, rules[: len(ranks[0])], strict=True)
    return next((f"RFC 6724 {rule}" for one, other, rule in pairs if one != other), "")


_SOURCE_RULES: Final = (
    "section 5 rule 1: it is the destination itself",
    *("section 5 rule 2: it reaches as far as the destination",) * 2,
    "section 5 rule 3: it is not deprecated",
    "section 5 rule 4: it is a home address",
    "section 5 rule 5: it is of the interface that leads there",
    "section 5 rule 6: its label is that of the destination",
    "section 5 rule 7: it is temporary",
    "section 5 rule 8: it has the longest prefix in common with the destination",
)
_ORDER_RULES: Final = (
    "section 6 rule 1: there is a way to it",
    "section 6 rule 2: its scope is that of the source",
    "section 6 rule 3: its source is not deprecated",
    "section 6 rule 4: its source is a home address",
    "section 6 rule 5: its label is that of the source",
    "section 6 rule 6: it has the higher precedence",
    "section 6 rule 7: no tunnel leads there",
    "section 6 rule 8: its scope is smaller",
    "section 6 rule 9: it has the longest prefix in common with its source",
)


def _by_rules(destination: int, interface: str) -> Callable[[Source], tuple[int, ...]]:
    """Return what makes of a source the rules of section 5 as numbers, the smaller the better."""
    reach = scope(destination)
    label = policy(destination)[1]

    def rank(source: Source) -> tuple[int, ...]:
        own = scope(source.address)
        return (
            source.address != destination,  # rule 1
            # rule 2: the smallest scope that is large enough; else the largest that there is
            *((0, own) if own >= reach else (1, -own)),
            source.deprecated,  # rule 3
            home_rank(source),  # rule 4
            bool(interface) and source.interface != interface,  # rule 5
            policy(source.address)[1] != label,  # rule 6
            source.temporary is False and not is_ip4(destination),  # rule 7
            -common_bits(source.address, destination, source.prefix_bits),  # rule 8
        )

    return rank


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
