"""Addresses for all: each segment gets a block, each end of a link there one address of it.

Once for each IP version that the network has, by the same rules.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

from pystack.core.addresses import (
    V6,
    Ip,
    Prefix,
    is_link_local,
    is_loopback,
    is_usable_source,
    parse_host_address,
    parse_prefix,
)
from pystack.core.errors import ConfigError
from pystack.topology.nodes import End, HostAddress
from pystack.wire.ipv6 import MIN_MTU_BYTES

# One address ("10.0.0.9/24"), or one for each of eth0, eth1 ...; None: the next that is free.
Addresses = str | Sequence[str | None] | None
IpVersions = Literal["both", "4", "6"]
IP_VERSIONS: Final = ("both", "4", "6")
DEFAULT_IP: Final = "both"
DEFAULT_SUBNET: Final = "10.0.0.0/24"
# Unique local (RFC 4193), and short to read rather than random: a lab's addresses leave it for
# nowhere but the machine that it runs on.
DEFAULT_SUBNET6: Final = "fd00::/64"
# Of a segment's block, where there are several segments; and what is above the last one, where a
# host may have an address
_BLOCK_LENGTH: Final = {False: 24, True: 64}
_END: Final = {False: 0xE0000000, True: V6 | 0xFE80 << 112}


def parse_subnets(
    ip: str = DEFAULT_IP, subnet: str | None = None, subnet6: str | None = None
) -> tuple[Prefix, ...]:
    """Read the blocks that addresses come from, one for each IP version. Raises ConfigError.

    `ip`: the versions that there are, "both", "4" or "6"; `subnet`, `subnet6`: None: the default.
    """
    if ip not in IP_VERSIONS:
        raise ConfigError(f"ip is one of {', '.join(IP_VERSIONS)}, and not {ip!r}")
    found: list[Prefix] = []
    for v6, word, text, default in (
        (False, "subnet", subnet, DEFAULT_SUBNET),
        (True, "subnet6", subnet6, DEFAULT_SUBNET6),
    ):
        version = "6" if v6 else "4"
        if ip not in ("both", version):
            if text is not None:
                raise ConfigError(f"{word} is of IPv{version}, and the network has IPv{ip} alone")
            continue
        block = parse_prefix(default if text is None else text)
        if block.is_v6 != v6:
            other = "subnet" if v6 else "subnet6"
            raise ConfigError(f"{word} is of IPv{version}; {text} belongs to {other}")
        first = block.network + (v6 and block.length < 128)
        if not is_usable_source(first) or is_loopback(first):
            raise ConfigError(f"no host can have an address of the subnet {text}")
        if v6 and is_link_local(block.network):
            raise ConfigError(f"{text} is for a link alone: no router forwards it")
        found.append(block)
    return tuple(found)


def read_wanted(
    name: str, said: Addresses, word: str, subnets: Sequence[Prefix]
) -> list[HostAddress | None]:
    """Read what a node was given for eth0, eth1 ... by "address" or "address6". ConfigError."""
    v6 = word == "address6"
    other, example = ("address", "fd00::9/64") if v6 else ("address6", "10.0.0.9/24")
    if not isinstance(said, str | Sequence | None):
        raise ConfigError(f"the {word} of {name} is a text like '{example}', not {said!r}")
    texts = [said] if said is None or isinstance(said, str) else list(said)
    found: list[HostAddress | None] = []
    for text in texts:
        if text is None:
            found.append(None)
            continue
        wanted = parse_host_address(text)
        version = "6" if wanted[1].is_v6 else "4"
        if wanted[1].is_v6 != v6:
            raise ConfigError(f"{text} is an address of IPv{version}: say it by {other}")
        if not any(subnet.is_v6 == v6 for subnet in subnets):
            alone = "4" if v6 else "6"
            raise ConfigError(f"{name} cannot have {text}: the network has IPv{alone} alone")
        if v6 and is_link_local(wanted[0]):
            raise ConfigError(
                f"{name} makes its link-local addresses itself: {text} cannot be given"
            )
        found.append(wanted)
    return found


def assign(
    segments: Sequence[Sequence[End]], subnets: Sequence[Prefix]
) -> list[tuple[End, list[HostAddress]]]:
    """Return the addresses, one of each subnet, for every end that has none yet.

    A block that is given by hand, or was given before, stays. Of the others, one segment that is
    alone gets the whole subnet; several get the blocks of /24 (of IPv6 /64) that the subnet begins
    with, one after the other (or as large as the subnet, where that is smaller). On a segment that
    goes on elsewhere, there are those by hand alone. ConfigError.
    """
    found: dict[End, list[HostAddress]] = {}
    for members in segments:
        if any(end.node.is_far for end in members):
            for end in members:
                end.leads_away = True
    for subnet in subnets:
        wide = segments
        if subnet.is_v6:
            alone = len(subnets) == 1
            wide = [members for members in segments if _carries_ip6(members, needed=alone)]
        for end, address in _assign(wide, subnet):
            found.setdefault(end, []).append(address)
    for members in segments:
        _check_reachable(members, found)
    return list(found.items())


def _check_reachable(members: Sequence[End], found: Mapping[End, Sequence[HostAddress]]) -> None:
    """Raise ConfigError where one has no address on a segment that goes on elsewhere."""
    for end in members:
        if end.leads_away and not (end.given or end in found or end.node.is_far):
            away = next(other.node.name for other in members if other.node.is_far)
            raise ConfigError(
                f"{end.node.name} needs an address by hand, like 10.0.0.1/24, on the link to "
                f"{away}: which addresses are free, nobody here knows (one lab file for all "
                "machines, with [machines], spares you that)"
            )


def _assign(segments: Sequence[Sequence[End]], subnet: Prefix) -> Iterator[tuple[End, HostAddress]]:
    v6 = subnet.is_v6
    blocks = [_given_blocks(members, v6=v6) for members in segments]
    _check_apart(blocks, segments)
    free = _free_blocks(subnet, [block for own in blocks for block in own])
    for members, own in zip(segments, blocks, strict=True):
        away = members[0].leads_away
        if not own:
            if away:
                continue
            own.append(subnet if len(segments) == 1 else next(free))
        taken = {address[0] for end in members if (address := _has_or_wants(end, v6=v6))}
        candidates = iter(range(own[0].network, last_of(own[0]) + 1))
        for end in members:
            if end.given_of(v6=v6) is None:
                wanted = _has_or_wants(end, v6=v6)
                if wanted is None and away:
                    continue
                yield end, wanted or (_next(own[0], candidates, taken, end), own[0])


def _carries_ip6(members: Sequence[End], *, needed: bool) -> bool:
    """Tell whether a segment's links are wide enough for IPv6 (RFC 8200 section 5). ConfigError.

    `needed`: the network has nothing else.
    """
    narrow = next((end for end in members if end.port.mtu_bytes < MIN_MTU_BYTES), None)
    if narrow is None:
        return True
    for end in members:
        if needed or _has_or_wants(end, v6=True) is not None:
            raise ConfigError(
                f"{end.node.name} cannot have an IPv6 address on a link of "
                f"{narrow.port.mtu_bytes} bytes: IPv6 needs 1280"
            )
    return False


def fixed_blocks(
    segments: Sequence[Sequence[End]], subnets: Sequence[Prefix]
) -> list[Prefix] | None:
    """Return the blocks of segments; None: one of them is to get a free one."""
    found: list[Prefix] = []
    for subnet in subnets:
        for members in segments:
            own = _given_blocks(members, v6=subnet.is_v6)
            if not own:
                return None
            found += own
    return found


def last_of(block: Prefix) -> int:
    """Return the highest address of a block."""
    return block.network | (1 << (128 if block.is_v6 else 32) - block.length) - 1


def _has_or_wants(end: End, *, v6: bool) -> HostAddress | None:
    given = end.given_of(v6=v6)
    if given is not None:
        return given
    wanted = end.node.wanted[v6]
    return wanted[end.number] if end.number < len(wanted) else None


def _given_blocks(members: Sequence[End], *, v6: bool) -> list[Prefix]:
    """Return the blocks of a segment that are fixed, those in use first."""
    in_use = [given[1] for end in members if (given := end.given_of(v6=v6))]
    wanted = [address[1] for end in members if (address := _has_or_wants(end, v6=v6))]
    return list(dict.fromkeys((*in_use, *wanted)))


def _check_apart(blocks: Sequence[Sequence[Prefix]], segments: Sequence[Sequence[End]]) -> None:
    in_order = sorted((block.network, last_of(block)) for own in blocks for block in own)
    # Blocks lie inside one another or apart: where two overlap, two neighbours do.
    if all(other[0] > one[1] for one, other in pairwise(in_order)):
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
    usual = _BLOCK_LENGTH[subnet.is_v6]
    length = max(subnet.length, usual)
    block = Prefix.of(subnet.network, length)
    size = last_of(block) + 1 - block.network
    inside = {other.network & block.mask for other in known if other.length >= length}
    around: dict[int, dict[int, Prefix]] = {}  # by their masks
    for other in known:
        if other.length < length:
            around.setdefault(other.mask, {})[other.network] = other
    number: int = subnet.network
    while number < _END[subnet.is_v6]:
        if subnet.length < usual and number not in subnet:
            break
        wide = [found for mask, its in around.items() if (found := its.get(Ip(number & mask)))]
        if wide:
            number = last_of(wide[0]) + 1
            continue
        if number not in inside:
            yield Prefix.of(number, length)
        number += size
    raise ConfigError(f"the subnet {subnet} has no block of /{length} left for another segment")


def _next(block: Prefix, candidates: Iterator[int], taken: set[Ip], end: End) -> Ip:
    # Of IPv6 the lowest means any router of the block (RFC 4291 section 2.6.1).
    special: set[int] = {block.network} if block.is_v6 and block.length < 127 else set()
    if block.has_broadcast:
        special = {block.network, last_of(block)}
    for number in candidates:
        if number not in taken and number not in special:
            return Ip(number)
    raise ConfigError(f"the block {block} has no free address left for {end.node.name}")


def _names(members: Sequence[End]) -> str:
    return ", ".join(dict.fromkeys(end.node.name for end in members))
