"""IPv6 extension headers (RFC 8200 section 4): the walk from the IPv6 header to the upper layer.

The walk never raises: it finds the first thing that is wrong, a `HeaderFault`, and goes on as far
as lengths allow, for a router has to pass on what only the destination may refuse. Its work is
bounded: so many headers, so many bytes, so many options (RFC 8504 section 5.3).
"""

import struct
from dataclasses import dataclass
from typing import Final

HOP_BY_HOP: Final = 0
TCP: Final = 6
UDP: Final = 17
ROUTING: Final = 43
FRAGMENT: Final = 44
ICMPV6: Final = 58
NO_NEXT_HEADER: Final = 59
DESTINATION_OPTIONS: Final = 60

HEADER_BYTES: Final = 40  # of the IPv6 header
NEXT_HEADER_AT: Final = 6  # where in it the first header behind it is named
FRAGMENT_BYTES: Final = 8  # of a fragment header
MORE_FRAGMENTS: Final = 0x2000  # of `Packet.flags_offset`, as IPv4 has it

# RFC 8504 section 5.3 lets a host set limits; those on options are Linux's (max_hbh_opts_number).
MAX_HEADERS: Final = 8
MAX_BYTES: Final = 1024  # all of them; so the upper layer's header is within the least MTU
MAX_OPTIONS: Final = 8  # of one header, padding aside
_MAX_PADDING_BYTES: Final = 7  # in a row: what aligns needs no more (as Linux)

_PAD_1: Final = 0
_PAD_N: Final = 1
_ROUTER_ALERT: Final = 5  # RFC 2711
_JUMBO: Final = 0xC2  # RFC 2675

# Of an ICMPv6 Parameter Problem (RFC 4443 section 3.4, RFC 7112 section 5)
ERRONEOUS_FIELD: Final = 0
UNKNOWN_NEXT_HEADER: Final = 1
UNKNOWN_OPTION: Final = 2
INCOMPLETE_CHAIN: Final = 3

# What of the upper layer's header the first fragment must have for us to call it whole (RFC 7112)
_UPPER_BYTES: Final = {TCP: 20, UDP: 8, ICMPV6: 8, NO_NEXT_HEADER: 0}
EXTENSIONS: Final = frozenset({HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS})
_FRAGMENT: Final = struct.Struct("!BxHI")


@dataclass(slots=True, frozen=True)
class HeaderFault:
    """What is wrong with a header, and the Parameter Problem that its sender is told, if any."""

    reason: str  # as a `WireError` has one: the name of a counter
    code: int | None = None  # None: the packet is dropped without a word
    pointer: int = 0  # where in the packet it is
    every_hop: bool = False  # False: it is the destination's affair alone
    to_many: bool = False  # its sender is told even where the packet was for many


class Chain:
    """What was found between the IPv6 header and the upper layer's."""

    __slots__ = (
        "fault",
        "flags_offset",
        "fragment_at",
        "fragment_named_at",
        "fragmented",
        "ident",
        "proto",
        "proto_at",
        "proto_named_at",
        "router_alert",
        "upper",
        "upper_at",
    )

    def __init__(self) -> None:
        self.fault: HeaderFault | None = None  # the first one; None: all is well
        # Where the walk has ended: at the upper layer, or at the text of a fragment
        self.proto = NO_NEXT_HEADER
        self.proto_at = HEADER_BYTES
        self.proto_named_at = NEXT_HEADER_AT  # the byte that says so
        # The fragment header, and the byte that names it; 0: there is none. Of an atomic fragment
        # (RFC 6946), which is whole, `flags_offset` is 0.
        self.fragment_at = 0
        self.fragment_named_at = 0
        self.fragmented = False  # it had one, and be it before it was put together
        self.ident = 0
        self.flags_offset = 0
        self.router_alert: int | None = None  # its value (RFC 2711)
        # Of a first fragment, the upper layer behind its fragment header; else as `proto`
        self.upper: int | None = None  # None: it is not in this packet
        self.upper_at = 0


def walk(data: memoryview, proto: int) -> Chain:
    """Go through the extension headers of a packet without its padding; `proto`: the first."""
    chain = Chain()
    at, named_at, headers = HEADER_BYTES, NEXT_HEADER_AT, 0
    while proto in EXTENSIONS:
        headers += 1
        size = FRAGMENT_BYTES
        if proto != FRAGMENT and at + 2 <= len(data):
            size = 8 * (data[at + 1] + 1)
        fault = _misplaced(proto, at, named_at, headers, size, len(data), chain)
        if fault is not None:
            # Where a header ends that is not here, or of so many, nobody has to know.
            chain.fault = chain.fault or fault
            if fault.reason != "ip6_late_hop_by_hop":
                chain.proto, chain.proto_at, chain.proto_named_at = proto, at, named_at
                return chain
        if proto == FRAGMENT:
            _fragment(data, at, named_at, chain)
        elif proto == ROUTING:
            _routing(data, at, chain)
        else:
            _options(data, at, size, chain, hop_by_hop=proto == HOP_BY_HOP)
        named_at = at
        proto = data[at]
        at += size
        if chain.flags_offset:
            break
    chain.proto, chain.proto_at, chain.proto_named_at = proto, at, named_at
    if chain.flags_offset:
        _look_behind(data, proto, at, headers, chain)
    else:
        chain.upper, chain.upper_at = proto, at
    return chain


def _misplaced(
    proto: int, at: int, named_at: int, headers: int, size: int, end: int, chain: Chain
) -> HeaderFault | None:
    """Return what is wrong about a header's being here at all."""
    every_hop = proto == HOP_BY_HOP and at == HEADER_BYTES
    if at + size > end:
        if proto == FRAGMENT:
            return HeaderFault("ip6_extension_truncated", ERRONEOUS_FIELD, at)  # as Linux
        return HeaderFault("ip6_extension_truncated", every_hop=every_hop)
    if headers > MAX_HEADERS:
        return HeaderFault("ip6_extensions_too_many")
    if at + size > HEADER_BYTES + MAX_BYTES:
        return HeaderFault("ip6_extensions_too_long", every_hop=every_hop)
    if proto == FRAGMENT and chain.fragment_at:
        return HeaderFault("ip6_fragment_twice")
    if proto == HOP_BY_HOP and not every_hop:
        # RFC 8200 section 4: as an unknown one
        return HeaderFault("ip6_late_hop_by_hop", UNKNOWN_NEXT_HEADER, named_at)
    return None


def _fragment(data: memoryview, at: int, named_at: int, chain: Chain) -> None:
    _, offset_flags, chain.ident = _FRAGMENT.unpack_from(data, at)
    chain.fragment_at, chain.fragment_named_at, chain.fragmented = at, named_at, True
    chain.flags_offset = offset_flags >> 3 | (MORE_FRAGMENTS if offset_flags & 1 else 0)


def _routing(data: memoryview, at: int, chain: Chain) -> None:
    """Refuse whatever is to go on from here; type 0 too, which RFC 5095 has made unknown."""
    if data[at + 3] and chain.fault is None:
        chain.fault = HeaderFault("ip6_routing_header", ERRONEOUS_FIELD, at + 2)


def _options(data: memoryview, at: int, size: int, chain: Chain, *, hop_by_hop: bool) -> None:
    """Go through the options of a header: every node's, or those of the destination."""
    end, padding, count = at + size, 0, 0
    every_hop = hop_by_hop and at == HEADER_BYTES
    fault: HeaderFault | None = None
    at += 2
    while at < end and fault is None:
        kind = data[at]
        length = 1 if kind == _PAD_1 else 2 + (data[at + 1] if at + 1 < end else 256)
        if at + length > end:
            fault = HeaderFault("ip6_option_malformed", every_hop=every_hop)
        elif kind in (_PAD_1, _PAD_N):
            padding += length
            if padding > _MAX_PADDING_BYTES or any(data[at + 2 : at + length]):
                fault = HeaderFault("ip6_bad_padding", every_hop=every_hop)
        else:
            padding = 0
            count += 1
            if count > MAX_OPTIONS:
                fault = HeaderFault("ip6_options_too_many", every_hop=every_hop)
            elif kind == _ROUTER_ALERT and every_hop and length == 4:
                chain.router_alert = data[at + 2] << 8 | data[at + 3]
            else:
                fault = _unknown(kind, at, every_hop=every_hop)
        at += length
    if chain.fault is None:
        chain.fault = fault


def _unknown(kind: int, at: int, *, every_hop: bool) -> HeaderFault | None:
    """Do what the two high bits of an option that nobody here knows say (RFC 8200 section 4.2)."""
    action = kind >> 6
    if action == 0:
        return None
    return HeaderFault(
        "ip6_jumbo" if kind == _JUMBO else "ip6_unknown_option",
        None if action == 1 else UNKNOWN_OPTION,
        at,
        every_hop=every_hop,
        to_many=action == 2,
    )


def _look_behind(data: memoryview, proto: int, at: int, headers: int, chain: Chain) -> None:
    """Find the upper layer in a first fragment, which has to have all headers (RFC 7112)."""
    if chain.flags_offset != MORE_FRAGMENTS:
        return  # not the first
    while proto in EXTENSIONS and at + 2 <= len(data) and headers < MAX_HEADERS:
        headers += 1
        size = FRAGMENT_BYTES if proto == FRAGMENT else 8 * (data[at + 1] + 1)
        proto = data[at]
        at += size
    if at + _UPPER_BYTES.get(proto, 1) <= len(data) and proto not in EXTENSIONS:
        chain.upper, chain.upper_at = proto, at
    elif chain.fault is None:
        chain.fault = HeaderFault("ip6_incomplete_chain", INCOMPLETE_CHAIN)
