"""Multicast Listener Discovery (RFC 2710, and RFC 3810 as a host speaks it): IPv6's IGMP.

Messages go with a hop limit of 1 from a link-local address, behind a Router Alert.
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import (
    UNSPECIFIED6,
    Ip,
    is_link_local,
    is_multicast,
    pack_ip6,
    unpack_ip6,
    without_zone,
)
from pystack.core.errors import WireError
from pystack.wire import icmpv6
from pystack.wire.icmp import IcmpMessage
from pystack.wire.ipv6_ext import ICMPV6
from pystack.wire.packet import Packet

HOP_LIMIT: Final = 1
# The hop-by-hop header before each message: Router Alert for MLD (RFC 2711), padded
ROUTER_ALERT: Final = bytes((ICMPV6, 0, 5, 2, 0, 0, 1, 0))

# kinds of a record (RFC 3810 section 5.2.12)
MODE_IS_INCLUDE: Final = 1
MODE_IS_EXCLUDE: Final = 2
CHANGE_TO_INCLUDE: Final = 3
CHANGE_TO_EXCLUDE: Final = 4
ALLOW_NEW_SOURCES: Final = 5
BLOCK_OLD_SOURCES: Final = 6

_ADDRESS_BYTES: Final = 16
_QUERY_2: Final = struct.Struct("!BBH")
_RECORD: Final = struct.Struct("!BBH16s")
_EXPONENT_FROM: Final = 0x8000  # codes of maximum response from here are floating point


@dataclass(slots=True)
class MldQuery:
    """Which groups are heard here? (RFC 3810 section 5.1)."""

    max_response_s: float
    group: Ip  # UNSPECIFIED6: all
    version: int = 2  # 1 or 2
    sources: tuple[Ip, ...] = ()


@dataclass(slots=True)
class MldReport1:
    """Version 1: this group is heard (RFC 2710)."""

    group: Ip


@dataclass(slots=True)
class MldDone:
    """Version 1: this group is heard here no longer."""

    group: Ip


@dataclass(slots=True)
class MldRecord:
    """How one group is heard (RFC 3810 section 5.2)."""

    kind: int
    group: Ip
    sources: tuple[Ip, ...] = ()


@dataclass(slots=True)
class MldReport2:
    """Version 2: how groups are heard."""

    records: list[MldRecord]


MldMessage = MldQuery | MldReport1 | MldDone | MldReport2


def parse(packet: Packet, message: IcmpMessage) -> MldMessage:
    """Read a message of MLD. WireError: it is not valid (RFC 3810 section 6.2, RFC 2710 3)."""
    if packet.ttl != HOP_LIMIT:
        raise WireError("mld_bad_hop_limit")
    if packet.chain is None or packet.chain.router_alert is None:
        raise WireError("mld_without_router_alert")
    if message.code:
        raise WireError("mld_bad_code")
    # RFC 3590: a report may have no source as long as its station tries out its address.
    if not is_link_local(packet.src) and (
        message.kind == icmpv6.MLD_QUERY or without_zone(packet.src) != UNSPECIFIED6
    ):
        raise WireError("mld_not_link_local")
    if message.kind == icmpv6.MLD_REPORT_2:
        return MldReport2(_records(message))
    data = message.payload
    if len(data) < _ADDRESS_BYTES:
        raise WireError("mld_truncated")
    group = unpack_ip6(data[:_ADDRESS_BYTES])
    asks_all = message.kind == icmpv6.MLD_QUERY and group == UNSPECIFIED6
    if not is_multicast(group) and not asks_all:
        raise WireError("mld_bad_group")
    if message.kind == icmpv6.MLD_QUERY:
        return _query(message, group)
    return MldReport1(group) if message.kind == icmpv6.MLD_REPORT else MldDone(group)


def pack_query(src: int, dst: int, said: MldQuery) -> bytes:
    """Return a query as ICMPv6 message, with the default values of RFC 3810 in version 2."""
    code = _code(round(said.max_response_s * 1000), said.version)
    body = pack_ip6(said.group)
    if said.version == 2:
        body += _QUERY_2.pack(2, 125, len(said.sources))  # robustness, interval
        body += b"".join(map(pack_ip6, said.sources))
    return icmpv6.pack(src, dst, icmpv6.MLD_QUERY, 0, code << 16, body)


def pack_report1(src: int, dst: int, group: int) -> bytes:
    """Return a report of version 1 as ICMPv6 message."""
    return icmpv6.pack(src, dst, icmpv6.MLD_REPORT, 0, 0, pack_ip6(group))


def pack_done(src: int, dst: int, group: int) -> bytes:
    """Return a Done of version 1 as ICMPv6 message."""
    return icmpv6.pack(src, dst, icmpv6.MLD_DONE, 0, 0, pack_ip6(group))


def pack_report(
    src: int, dst: int, records: Iterable[tuple[int, int]], sources: Sequence[int] = ()
) -> bytes:
    """Return a report of version 2 as ICMPv6 message: (kind, group) for each record."""
    tail = b"".join(map(pack_ip6, sources))
    packed = [
        _RECORD.pack(kind, 0, len(sources), pack_ip6(group)) + tail for kind, group in records
    ]
    return icmpv6.pack(src, dst, icmpv6.MLD_REPORT_2, 0, len(packed), b"".join(packed))


def _query(message: IcmpMessage, group: Ip) -> MldQuery:
    data, code = message.payload, message.rest >> 16
    if len(data) == _ADDRESS_BYTES:  # RFC 3810 section 8.1: the length says which version it is
        return MldQuery(code / 1000, group, 1)
    if len(data) < _ADDRESS_BYTES + _QUERY_2.size:
        raise WireError("mld_truncated")
    count = _QUERY_2.unpack_from(data, _ADDRESS_BYTES)[2]
    sources = data[_ADDRESS_BYTES + _QUERY_2.size :]
    if len(sources) < count * _ADDRESS_BYTES:
        raise WireError("mld_truncated")
    return MldQuery(_milliseconds(code) / 1000, group, 2, _addresses(sources, count))


def _records(message: IcmpMessage) -> list[MldRecord]:
    data, records = message.payload, []
    for _ in range(message.rest & 0xFFFF):
        if len(data) < _RECORD.size:
            raise WireError("mld_truncated")
        kind, aux_words, count, group = _RECORD.unpack_from(data)
        end = _RECORD.size + count * _ADDRESS_BYTES
        if len(data) < end + 4 * aux_words:
            raise WireError("mld_truncated")
        records.append(MldRecord(kind, unpack_ip6(group), _addresses(data[_RECORD.size :], count)))
        data = data[end + 4 * aux_words :]
    return records


def _addresses(data: memoryview, count: int) -> tuple[Ip, ...]:
    return tuple(unpack_ip6(data[16 * at : 16 * at + 16]) for at in range(count))


def _milliseconds(code: int) -> int:
    """Return what a code of version 2 means (RFC 3810 section 5.1.3)."""
    if code < _EXPONENT_FROM:
        return code
    return (code & 0xFFF | 0x1000) << (code >> 12 & 7) + 3


def _code(milliseconds: int, version: int) -> int:
    """Return the code for a time; the largest that is not above it."""
    if milliseconds < _EXPONENT_FROM or version == 1:
        return min(milliseconds, 0xFFFF)
    exponent = min(milliseconds.bit_length() - 16, 7)
    return 0x8000 | exponent << 12 | min(milliseconds >> exponent + 3, 0x1FFF) & 0xFFF
