"""Neighbor Discovery's messages (RFC 4861, RFC 8106, RFC 4191), as they are in ICMPv6.

A message that RFC 4861 calls invalid raises `WireError`, by a name of its own for each rule.
Options that are unknown, or not as they should be, are passed over; one without a length spoils the
message. Addresses in messages have no zone.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.core.addresses import (
    UNSPECIFIED6,
    V6,
    Ip,
    Mac,
    Prefix,
    is_link_local,
    is_multicast,
    pack_ip6,
    unpack_ip6,
    without_zone,
)
from pystack.core.errors import WireError
from pystack.wire import icmpv6
from pystack.wire.icmp import IcmpMessage
from pystack.wire.packet import Packet

HOP_LIMIT: Final = 255  # no router has passed it on: it would have taken one off
FOR_EVER: Final = 0xFFFFFFFF  # of lifetimes in seconds

TARGET: Final = slice(8, 24)  # of a solicitation or advertisement, ICMPv6's header included
_SOURCE_MAC: Final = 1
_TARGET_MAC: Final = 2
_PREFIX: Final = 3
_REDIRECTED: Final = 4
_MTU: Final = 5
_NONCE: Final = 14  # RFC 3971 section 5.3.2, for RFC 7527
_ROUTE: Final = 24  # RFC 4191
_RDNSS: Final = 25  # RFC 8106
_DNSSL: Final = 31

_ROUTER: Final = 1 << 31  # of an advertisement
_SOLICITED: Final = 1 << 30
_OVERRIDE: Final = 1 << 29
_MANAGED: Final = 0x80  # of a router's
_OTHER: Final = 0x40
_ON_LINK: Final = 0x80  # of a prefix
_AUTONOMOUS: Final = 0x40

_PREFIX_BODY: Final = struct.Struct("!BBIIxxxx16s")
_LIFETIME: Final = struct.Struct("!xxI")
_ROUTE_BODY: Final = struct.Struct("!BBI")
_TIMES: Final = struct.Struct("!II")
# RFC 4191 section 2.1: two bits with a sign; the fourth is to be taken for medium
_PREFERENCES: Final = (0, 1, 0, -1)
_NAME_BYTES: Final = 255


@dataclass(slots=True, frozen=True)
class PrefixInformation:
    """A prefix of the link (RFC 4861 section 4.6.2)."""

    prefix: Prefix
    on_link: bool
    autonomous: bool  # hosts may make addresses of it (RFC 4862)
    valid_s: int
    preferred_s: int
    address: bytes = b""  # as it was sent, bits below the prefix too; b"": of one that is not read


@dataclass(slots=True, frozen=True)
class RouteInformation:
    """A route by way of the router that says so (RFC 4191 section 2.3)."""

    prefix: Prefix
    preference: int  # -1, 0, 1
    lifetime_s: int


@dataclass(slots=True, frozen=True)
class Rdnss:
    """Recursive name servers (RFC 8106 section 5.1)."""

    lifetime_s: int
    servers: tuple[Ip, ...]


@dataclass(slots=True, frozen=True)
class Dnssl:
    """Domains to search (RFC 8106 section 5.2)."""

    lifetime_s: int
    names: tuple[str, ...]


@dataclass(slots=True)
class NdOptions:
    """The options of one message, those that are unknown left out."""

    source_mac: Mac | None = None  # None, here and below: without the option
    target_mac: Mac | None = None
    mtu_bytes: int = 0  # 0: without the option
    nonce: bytes = b""
    redirected: bytes | None = None  # the start of the packet
    prefixes: list[PrefixInformation] = field(default_factory=list)
    routes: list[RouteInformation] = field(default_factory=list)
    rdnss: list[Rdnss] = field(default_factory=list)
    dnssl: list[Dnssl] = field(default_factory=list)


@dataclass(slots=True)
class NeighborSolicitation:
    """Who has `target`? (RFC 4861 section 4.3)."""

    target: Ip
    options: NdOptions


@dataclass(slots=True)
class NeighborAdvertisement:
    """`target` is here (RFC 4861 section 4.4)."""

    target: Ip
    router: bool
    solicited: bool
    override: bool
    options: NdOptions


@dataclass(slots=True)
class RouterAdvertisement:
    """What a router says of itself and of the link (RFC 4861 section 4.2)."""

    hop_limit: int = 0  # 0, here and of the times: it says nothing of it
    managed: bool = False
    other: bool = False
    preference: int = 0  # -1, 0, 1 (RFC 4191)
    lifetime_s: int = 0  # 0: it is no default router
    reachable_ms: int = 0
    retrans_ms: int = 0
    options: NdOptions = field(default_factory=NdOptions)


@dataclass(slots=True)
class Redirect:
    """A better first hop, `target`, for what goes to `destination` (RFC 4861 section 4.5)."""

    target: Ip
    destination: Ip
    options: NdOptions


def parse_neighbor_solicitation(packet: Packet, message: IcmpMessage) -> NeighborSolicitation:
    """Read one, and hold it against RFC 4861 section 7.1.1."""
    _check(packet, message, 16)
    target = _target(message)
    options = _options(message.payload[16:])
    if without_zone(packet.src) == UNSPECIFIED6:
        # Of a station that tries out an address: it goes to those who may have it, and names none.
        if without_zone(packet.dst) >> 24 != _SOLICITED_NODE:
            raise WireError("nd_probe_destination")
        if options.source_mac is not None:
            raise WireError("nd_source_option")
    return NeighborSolicitation(target, options)


def parse_neighbor_advertisement(packet: Packet, message: IcmpMessage) -> NeighborAdvertisement:
    """Read one, and hold it against RFC 4861 section 7.1.2."""
    _check(packet, message, 16)
    target = _target(message)
    solicited = bool(message.rest & _SOLICITED)
    if solicited and is_multicast(packet.dst):
        raise WireError("nd_solicited_to_many")
    return NeighborAdvertisement(
        target,
        bool(message.rest & _ROUTER),
        solicited,
        bool(message.rest & _OVERRIDE),
        _options(message.payload[16:]),
    )


def parse_router_solicitation(packet: Packet, message: IcmpMessage) -> NdOptions:
    """Read the options, which are all that one has; hold it against RFC 4861 section 6.1.1."""
    _check(packet, message, 0)
    options = _options(message.payload)
    if without_zone(packet.src) == UNSPECIFIED6 and options.source_mac is not None:
        raise WireError("nd_source_option")
    return options


def parse_router_advertisement(packet: Packet, message: IcmpMessage) -> RouterAdvertisement:
    """Read one, and hold it against RFC 4861 section 6.1.2."""
    _check(packet, message, _TIMES.size, from_router=True)
    flags = message.rest >> 16 & 0xFF
    reachable_ms, retrans_ms = _TIMES.unpack_from(message.payload)
    return RouterAdvertisement(
        message.rest >> 24,
        bool(flags & _MANAGED),
        bool(flags & _OTHER),
        _PREFERENCES[flags >> 3 & 3],
        message.rest & 0xFFFF,
        reachable_ms,
        retrans_ms,
        _options(message.payload[_TIMES.size :]),
    )


def parse_redirect(packet: Packet, message: IcmpMessage) -> Redirect:
    """Read one, and hold it against RFC 4861 section 8.1, as far as a message can be by itself."""
    _check(packet, message, 32, from_router=True)
    target, destination = unpack_ip6(message.payload[:16]), unpack_ip6(message.payload[16:32])
    if is_multicast(destination):
        raise WireError("nd_redirect_destination")
    if target != destination and not is_link_local(target):
        raise WireError("nd_redirect_target")
    return Redirect(target, destination, _options(message.payload[32:]))


def pack_neighbor_solicitation(
    src: int, dst: int, target: int, *, source_mac: Mac | None, nonce: bytes = b""
) -> bytes:
    """Return one as ICMPv6 message. `source_mac`: None where `src` is the unspecified address."""
    body = pack_ip6(target)
    if source_mac is not None:
        body += _option(_SOURCE_MAC, source_mac)
    if nonce:
        body += _option(_NONCE, nonce)
    return icmpv6.pack(src, dst, icmpv6.NEIGHBOR_SOLICITATION, 0, 0, body)


def pack_neighbor_advertisement(
    src: int,
    dst: int,
    target: int,
    *,
    mac: Mac | None,
    router: bool,
    solicited: bool,
    override: bool,
) -> bytes:
    """Return one as ICMPv6 message; `mac` goes into its target option."""
    rest = (
        (_ROUTER if router else 0)
        | (_SOLICITED if solicited else 0)
        | (_OVERRIDE if override else 0)
    )
    body = pack_ip6(target)
    if mac is not None:
        body += _option(_TARGET_MAC, mac)
    return icmpv6.pack(src, dst, icmpv6.NEIGHBOR_ADVERTISEMENT, 0, rest, body)


def pack_router_solicitation(src: int, dst: int, *, source_mac: Mac | None) -> bytes:
    """Return one as ICMPv6 message. `source_mac`: None where `src` is the unspecified address."""
    body = b"" if source_mac is None else _option(_SOURCE_MAC, source_mac)
    return icmpv6.pack(src, dst, icmpv6.ROUTER_SOLICITATION, 0, 0, body)


def pack_router_advertisement(src: int, dst: int, said: RouterAdvertisement) -> bytes:
    """Return one as ICMPv6 message."""
    flags = (
        (_MANAGED if said.managed else 0)
        | (_OTHER if said.other else 0)
        | (said.preference & 3) << 3
    )
    rest = said.hop_limit << 24 | flags << 16 | said.lifetime_s
    body = _TIMES.pack(said.reachable_ms, said.retrans_ms) + _pack_options(said.options)
    return icmpv6.pack(src, dst, icmpv6.ROUTER_ADVERTISEMENT, 0, rest, body)


def pack_redirect(src: int, dst: int, said: Redirect) -> bytes:
    """Return one as ICMPv6 message."""
    body = pack_ip6(said.target) + pack_ip6(said.destination) + _pack_options(said.options)
    return icmpv6.pack(src, dst, icmpv6.REDIRECT, 0, 0, body)


_SOLICITED_NODE: Final = (V6 | 0xFF02 << 112 | 0x1FF000000) >> 24


def _check(
    packet: Packet, message: IcmpMessage, least_bytes: int, *, from_router: bool = False
) -> None:
    """Refuse what all messages have to be."""
    if packet.ttl != HOP_LIMIT:
        raise WireError("nd_bad_hop_limit")
    if packet.chain is not None and packet.chain.fragmented:
        raise WireError("nd_fragment")  # RFC 6980 section 5
    if message.code:
        raise WireError("nd_bad_code")
    if len(message.payload) < least_bytes:
        raise WireError("nd_truncated")
    if from_router and not is_link_local(packet.src):
        raise WireError("nd_not_link_local")


def _target(message: IcmpMessage) -> Ip:
    target = unpack_ip6(message.payload[:16])
    if is_multicast(target):
        raise WireError("nd_target_is_many")
    return target


def _options(data: memoryview) -> NdOptions:
    options = NdOptions()
    for kind, body in _walk(data):
        if kind == _SOURCE_MAC:
            options.source_mac = _mac(body)
        elif kind == _TARGET_MAC:
            options.target_mac = _mac(body)
        elif kind == _PREFIX and len(body) == _PREFIX_BODY.size:
            _read_prefix(body, options)
        elif kind == _REDIRECTED and len(body) >= 6:
            options.redirected = bytes(body[6:])
        elif kind == _MTU and len(body) == 6:
            options.mtu_bytes = int.from_bytes(body[2:], "big")
        elif kind == _NONCE:
            options.nonce = bytes(body)
        elif kind == _ROUTE:
            _read_route(body, options)
        elif kind == _RDNSS and len(body) >= 22 and not (len(body) - 6) % 16:
            (lifetime_s,) = _LIFETIME.unpack_from(body)
            servers = (unpack_ip6(body[at : at + 16]) for at in range(6, len(body), 16))
            options.rdnss.append(Rdnss(lifetime_s, tuple(servers)))
        elif kind == _DNSSL and len(body) >= 14:
            (lifetime_s,) = _LIFETIME.unpack_from(body)
            names = _names(bytes(body[6:]))
            if names:
                options.dnssl.append(Dnssl(lifetime_s, names))
    return options


def _walk(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Go through options: (type, what follows type and length)."""
    at = 0
    while at < len(data):
        size = 8 * data[at + 1] if at + 1 < len(data) else 0
        if not size:
            raise WireError("nd_option_without_length")
        if at + size > len(data):
            raise WireError("nd_option_truncated")
        yield data[at], data[at + 2 : at + size]
        at += size


def _mac(body: memoryview) -> Mac:
    if len(body) != 6:
        raise WireError("nd_bad_link_address")  # of no Ethernet
    mac = Mac(bytes(body))
    if mac[0] & 1 or not any(mac):
        raise WireError("nd_bad_link_address")  # nobody's, or many's
    return mac


def _read_prefix(body: memoryview, options: NdOptions) -> None:
    length, flags, valid_s, preferred_s, address = _PREFIX_BODY.unpack(body)
    if length <= 128:
        options.prefixes.append(
            PrefixInformation(
                Prefix.of(unpack_ip6(address), length),
                bool(flags & _ON_LINK),
                bool(flags & _AUTONOMOUS),
                valid_s,
                preferred_s,
                address,
            )
        )


def _read_route(body: memoryview, options: NdOptions) -> None:
    if len(body) not in (6, 14, 22):
        return
    length, flags, lifetime_s = _ROUTE_BODY.unpack_from(body)
    # RFC 4191 section 2.3: so many bits have to be there, and the fourth preference is none.
    if length > 8 * (len(body) - 6) or flags >> 3 & 3 == 2:
        return
    address = unpack_ip6(bytes(body[6:]).ljust(16, b"\0"))
    preference = _PREFERENCES[flags >> 3 & 3]
    options.routes.append(RouteInformation(Prefix.of(address, length), preference, lifetime_s))


def _names(data: bytes) -> tuple[str, ...]:
    """Return the domains of a list; () where it is malformed (RFC 8106 5.2: no pointers)."""
    names: list[str] = []
    labels: list[str] = []
    at = 0
    while at < len(data):
        size = data[at]
        if not size:
            if labels:
                names.append(".".join(labels))
            labels = []
            at += 1
            continue
        label = data[at + 1 : at + 1 + size]
        text = label.decode("ascii", "replace").lower()
        if size > 63 or len(label) < size or not text.replace("-", "").replace("_", "").isalnum():
            return ()
        labels.append(text)
        if not text.isascii() or sum(map(len, labels)) + len(labels) > _NAME_BYTES - 1:
            return ()
        at += 1 + size
    return () if labels else tuple(names)


def _pack_options(options: NdOptions) -> bytes:
    parts = []
    if options.source_mac is not None:
        parts.append(_option(_SOURCE_MAC, options.source_mac))
    if options.target_mac is not None:
        parts.append(_option(_TARGET_MAC, options.target_mac))
    if options.mtu_bytes:
        parts.append(_option(_MTU, bytes(2) + options.mtu_bytes.to_bytes(4, "big")))
    parts += map(_pack_prefix, options.prefixes)
    parts += map(_pack_route, options.routes)
    parts += [
        _option(_RDNSS, _LIFETIME.pack(each.lifetime_s) + _addresses(each.servers))
        for each in options.rdnss
    ]
    parts += [
        _option(_DNSSL, _LIFETIME.pack(each.lifetime_s) + b"".join(map(_pack_name, each.names)))
        for each in options.dnssl
    ]
    if options.nonce:
        parts.append(_option(_NONCE, options.nonce))
    if options.redirected is not None:
        parts.append(_option(_REDIRECTED, bytes(6) + options.redirected))
    return b"".join(parts)


def _pack_prefix(said: PrefixInformation) -> bytes:
    flags = (_ON_LINK if said.on_link else 0) | (_AUTONOMOUS if said.autonomous else 0)
    address = pack_ip6(said.prefix.network)
    body = _PREFIX_BODY.pack(said.prefix.length, flags, said.valid_s, said.preferred_s, address)
    return _option(_PREFIX, body)


def _pack_route(said: RouteInformation) -> bytes:
    # As much of the prefix as has bits: none, half or all of it
    kept = -(-said.prefix.length // 64) * 8
    head = _ROUTE_BODY.pack(said.prefix.length, (said.preference & 3) << 3, said.lifetime_s)
    return _option(_ROUTE, head + pack_ip6(said.prefix.network)[:kept])


def _addresses(addresses: Sequence[int]) -> bytes:
    return b"".join(map(pack_ip6, addresses))


def is_search_domain(name: str) -> bool:
    """Tell whether it can be said in a list of domains, and is read there (RFC 8106 5.2)."""
    try:
        packed = _pack_name(name)
    except ValueError:
        return False
    return _names(packed) == (name.rstrip(".").lower(),)


def _pack_name(name: str) -> bytes:
    labels = (label.encode("ascii") for label in name.rstrip(".").split("."))
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def _option(kind: int, body: bytes) -> bytes:
    size = -(-(2 + len(body)) // 8)
    return bytes((kind, size)) + body.ljust(8 * size - 2, b"\0")
