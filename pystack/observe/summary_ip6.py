"""IPv6 packets in tcpdump's words, as far as a host sends them unasked; a part of `summary.py`."""

import struct
from collections.abc import Callable
from ipaddress import IPv6Address
from typing import Final

from pystack.wire import ipv4

_HEADER: Final = struct.Struct("!IHBB16s16s")
_HOP_BY_HOP: Final = 0
_ICMP6: Final = 58
_NO_NEXT_HEADER: Final = 59

# RFC 4443, RFC 4861, RFC 2710, RFC 3810
_ICMP6_TYPES: Final = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    131: "multicast listener report",
    132: "multicast listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    143: "multicast listener report v2",
}


def describe(data: memoryview, transport: Callable[[int, str, str, memoryview], str]) -> str:
    """Return all after "IP6 "; `transport` describes TCP and UDP. Never raises."""
    if len(data) < _HEADER.size:
        return "[|ip6]"
    version_flow, length, next_header, _, src_bytes, dst_bytes = _HEADER.unpack_from(data)
    if version_flow >> 28 != 6:
        return f"[bad version {version_flow >> 28}]"
    src, dst = str(IPv6Address(src_bytes)), str(IPv6Address(dst_bytes))
    payload = data[_HEADER.size : _HEADER.size + length]
    hop_by_hop = ""
    if next_header == _HOP_BY_HOP and len(payload) >= 8:
        hop_by_hop = "HBH "
        next_header, payload = payload[0], payload[8 * (payload[1] + 1) :]
    if next_header in (ipv4.TCP, ipv4.UDP):
        return transport(next_header, src, dst, payload)
    if next_header == _ICMP6:
        return f"{src} > {dst}: {hop_by_hop}{_icmp6(payload)}"
    if next_header == _NO_NEXT_HEADER:
        return f"{src} > {dst}: {hop_by_hop}no next header"
    return f"{src} > {dst}: {hop_by_hop}ip-proto-{next_header} {len(payload)}"


def _icmp6(data: memoryview) -> str:
    if len(data) < 8:
        return "[|icmp6]"
    kind, length = data[0], len(data)
    name = _ICMP6_TYPES.get(kind, f"type-#{kind}")
    if kind in (128, 129):
        ident, seq = data[4] << 8 | data[5], data[6] << 8 | data[7]
        return f"ICMP6, {name}, id {ident}, seq {seq}, length {length}"
    if kind in (135, 136) and length >= 24:
        target = IPv6Address(bytes(data[8:24]))
        verb = "who has" if kind == 135 else "tgt is"
        return f"ICMP6, {name}, {verb} {target}, length {length}"
    if kind == 143:
        records = data[6] << 8 | data[7]
        return f"ICMP6, {name}, {records} group record(s), length {length}"
    return f"ICMP6, {name}, length {length}"
