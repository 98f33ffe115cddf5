"""Addresses for all: each segment gets a block, each end of a link there one address of it."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from pystack.core.addresses import (
    Ip4,
    Prefix,
    is_loopback,
    is_usable_source,
    parse_prefix,
)
from pystack.core.errors import ConfigError
from pystack.topology.nodes import End, HostAddress

BLOCK_LENGTH: Final = 24  # of a segment's block, where there are several segments


def parse_subnet(text: str) -> Prefix:
    """Read the block that addresses come from, "10.0.0.0/24". Raises ConfigError."""
    subnet = parse_prefix(text)
    if not is_usable_source(subnet.network) or is_loopback(subnet.network):
        raise ConfigError(f"no host can have an address of the subnet {text}")
    return subnet


def assign(segments: Sequence[Sequence[End]], subnet: Prefix) -> list[tuple[End, HostAddress]]:
    """Return an address for every end that has none yet, segment by segment.

    A block that is given by hand, or was given before, stays. Of the others, one segment that is
    alone gets the whole subnet; several get the blocks of /24 that the subnet begins with, one
    after the other (or as large as the subnet, where that is smaller). Raises ConfigError.
    """
    blocks = [_given_blocks(members) for members in segments]
    _check_apart(blocks, segments)
    free = _free_blocks(subnet, [block for own in blocks for block in own])
    found: list[tuple[End, HostAddress]] = []
    for members, own in zip(segments, blocks, strict=True):
        if not own:
            own.append(subnet if len(segments) == 1 else next(free))
        taken = {address for end in members for address, _ in _has_or_wants(end)}
        candidates = iter(range(own[0].network, own[0].broadcast + 1))
        for end in members:
            if end.addresses:
                continue
            wanted = _wanted(end)
            found.append((end, wanted or (_next(own[0], candidates, taken, end), own[0])))
    return found


def _wanted(end: End) -> HostAddress | None:
    wanted = end.node.wanted
    return wanted[end.number] if end.number < len(wanted) else None


def _has_or_wants(end: End) -> list[HostAddress]:
    wanted = _wanted(end)
    return end.addresses or ([] if wanted is None else [wanted])


def _given_blocks(members: Sequence[End]) -> list[Prefix]:
    """Return the blocks of a segment that are fixed, those in use first."""
    in_use = [prefix for end in members for _, prefix in end.addresses]
    wanted = [prefix for end in members for _, prefix in _has_or_wants(end)]
    return list(dict.fromkeys((*in_use, *wanted)))


def _check_apart(blocks: Sequence[Sequence[Prefix]], segments: Sequence[Sequence[End]]) -> None:
    in_order = sorted((block.network, block.length) for own in blocks for block in own)
    # Blocks lie inside one another or apart: where two overlap, two neighbours do.
    if all(other[0] > one[0] | (0xFFFFFFFF >> one[1]) for one, other in pairwise(in_order)):
        return
    seen: list[tuple[Prefix, Sequence[End]]] = []
    for own, members in zip(blocks, segments, strict=True):
        for block in own:
            for other, its_members in seen:
                if block.network in other or other.network in block:
                    if its_members is members:
                        where = f"on one segment ({_names(members)})"
                    else:
                        where = f"of two segments ({_names(its_members)}; {_names(members)})"
                    raise ConfigError(f"the blocks {other} and {block} {where} overlap")
            seen.append((block, members))


def _free_blocks(subnet: Prefix, known: Sequence[Prefix]) -> Iterator[Prefix]:
    """Go through the blocks for segments that none of the known ones overlaps."""
    length = max(subnet.length, BLOCK_LENGTH)
    mask = Prefix.of(0, length).mask
    inside = {block.network & mask for block in known if block.length >= length}
    around: dict[int, set[int]] = {}  # by their masks
    for block in known:
        if block.length < length:
            around.setdefault(block.mask, set()).add(block.network)
    number: int = subnet.network
    while number <= 0xDFFFFFFF:  # what is above is no host's
        if subnet.length < BLOCK_LENGTH and number not in subnet:
            break
        wide = [wider for wider, networks in around.items() if number & wider in networks]
        if wide:
            number = (number | ~wide[0] & 0xFFFFFFFF) + 1
            continue
        if number not in inside:
            yield Prefix.of(number, length)
        number += 1 << (32 - length)
    raise ConfigError(f"the subnet {subnet} has no block of /{length} left for another segment")


def _next(block: Prefix, candidates: Iterator[int], taken: set[Ip4], end: End) -> Ip4:
    special = (block.network, block.broadcast) if block.has_broadcast else ()
    for number in candidates:
        if number not in taken and number not in special:
            return Ip4(number)
    raise ConfigError(f"the block {block} has no free address left for {end.node.name}")


def _names(members: Sequence[End]) -> str:
    return ", ".join(dict.fromkeys(end.node.name for end in members))
