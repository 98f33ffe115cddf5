"""IPv6 packets in tcpdump's words; a part of `summarize`.

Where tcpdump has a slip of the pen (a blank too many, or missing), these lines have not.
"""

import struct
from collections.abc import Callable
from typing import Final

from pystack.core.addresses import format_ip6, unpack_ip6
from pystack.core.errors import WireError
from pystack.wire import icmpv6, ipv4, ipv6, ipv6_ext

_HEADER: Final = struct.Struct("!IHBB16s16s")
_SEGMENTS: Final = {0: 8, 2: 8, 4: 8}  # where in a routing header of that type its addresses begin
_DEPRECATED: Final = " [Deprecated]"  # RFC 5095, of type 0

# (protocol, addresses to put in front of the ports, its bytes, is it less than the whole?)
Transport = Callable[[int, tuple[str, str] | None, memoryview, bool], str]

_ICMP6_TYPES: Final = {
    icmpv6.DESTINATION_UNREACHABLE: "destination unreachable",
    icmpv6.PACKET_TOO_BIG: "packet too big",
    icmpv6.TIME_EXCEEDED: "time exceeded in-transit",
    icmpv6.PARAMETER_PROBLEM: "parameter problem",
    icmpv6.ECHO: "echo request",
    icmpv6.ECHO_REPLY: "echo reply",
    icmpv6.MLD_QUERY: "multicast listener query",
    icmpv6.MLD_REPORT: "multicast listener report",
    icmpv6.MLD_DONE: "multicast listener done",
    icmpv6.ROUTER_SOLICITATION: "router solicitation",
    icmpv6.ROUTER_ADVERTISEMENT: "router advertisement",
    icmpv6.NEIGHBOR_SOLICITATION: "neighbor solicitation",
    icmpv6.NEIGHBOR_ADVERTISEMENT: "neighbor advertisement",
    icmpv6.REDIRECT: "redirect",
    icmpv6.MLD_REPORT_2: "multicast listener report v2",
}
# Codes of DESTINATION_UNREACHABLE; {0} is the quoted packet's destination, {1} its source.
_UNREACHABLE: Final = {
    icmpv6.NO_ROUTE: "unreachable route {0}",
    icmpv6.PROHIBITED: "unreachable prohibited {0}",
    icmpv6.BEYOND_SCOPE: "beyond scope {0}, source address {1}",
    icmpv6.ADDRESS_UNREACHABLE: "unreachable address {0}",
    icmpv6.POLICY_FAILED: "source address {1} failed policy",
    icmpv6.ROUTE_REJECTED: "route to {0} rejected",
}
_PROBLEMS: Final = {
    ipv6_ext.ERRONEOUS_FIELD: "erroneous",
    ipv6_ext.UNKNOWN_NEXT_HEADER: "next header",
    ipv6_ext.UNKNOWN_OPTION: "option",
    ipv6_ext.INCOMPLETE_CHAIN: "incomplete header chain",
}
_TRANSPORT: Final = {ipv4.TCP: "tcp", ipv4.UDP: "udp"}


def describe(data: memoryview, transport: Transport) -> str:
    """Return all after "IP6 "; `transport` describes TCP and UDP. Never raises."""
    if len(data) < _HEADER.size:
        return "[|ip6]"
    version_flow, length, proto, _, src_bytes, dst_bytes = _HEADER.unpack_from(data)
    if version_flow >> 28 != 6:
        return f"bad version {version_flow >> 28}"
    src, dst = format_ip6(unpack_ip6(src_bytes)), format_ip6(unpack_ip6(dst_bytes))
    missing = _HEADER.size + length - len(data)
    cut_off = f"truncated-ip6 - {missing} bytes missing! " if missing > 0 else ""
    payload = data[_HEADER.size : _HEADER.size + length]
    if proto in (ipv4.TCP, ipv4.UDP):
        return cut_off + transport(proto, (src, dst), payload, missing > 0)
    words: list[str] = []
    fragment = missing > 0
    while proto in ipv6_ext.EXTENSIONS:
        size = 8 if proto == ipv6_ext.FRAGMENT or len(payload) < 2 else 8 * (payload[1] + 1)
        if len(payload) < size:
            words.append(_CUT[proto])
            return f"{cut_off}{src} > {dst}: {' '.join(words)}"
        words.append(_extension(proto, payload, size))
        if proto == ipv6_ext.FRAGMENT:
            offset_more = payload[2] << 8 | payload[3]
            fragment |= bool(offset_more & 0xFFF9)
            if offset_more & 0xFFF8:
                return f"{cut_off}{src} > {dst}: {' '.join(words)}"
        proto, payload = payload[0], payload[size:]
    words.append(_upper(proto, payload, transport, fragment))
    return f"{cut_off}{src} > {dst}: {' '.join(words)}"


_CUT: Final = {
    ipv6_ext.HOP_BY_HOP: "[|hbhopt]",
    ipv6_ext.DESTINATION_OPTIONS: "[|dstopt]",
    ipv6_ext.ROUTING: "[|rt6]",
    ipv6_ext.FRAGMENT: "[|frag6]",
}


def _extension(proto: int, data: memoryview, size: int) -> str:
    if proto == ipv6_ext.HOP_BY_HOP:
        return "HBH"
    if proto == ipv6_ext.DESTINATION_OPTIONS:
        return "DSTOPT"
    if proto == ipv6_ext.FRAGMENT:
        return f"frag ({(data[2] << 8 | data[3]) & 0xFFF8}|{len(data) - 8})"
    kind = data[2]
    words = [f"len={data[1]}", f"type={kind}{_DEPRECATED if kind == 0 else ''}"]
    words.append(f"segleft={data[3]}")
    if kind == 4:  # RFC 8754
        words += [f"last-entry={data[4]}", f"tag={data[6] << 8 | data[7]:x}"]
    if kind in _SEGMENTS:
        hops = range(_SEGMENTS[kind], size - 15, 16)
        words += [
            f"[{number}]{format_ip6(unpack_ip6(data[at : at + 16]))}"
            for number, at in enumerate(hops)
        ]
    return f"RT6 ({', '.join(words)})"


def _upper(proto: int, data: memoryview, transport: Transport, fragment: bool) -> str:
    if proto in (ipv4.TCP, ipv4.UDP):
        return transport(proto, None, data, fragment)
    if proto == ipv6.ICMPV6:
        return _icmp6(data)
    if proto == ipv6_ext.NO_NEXT_HEADER:
        return "no next header"
    return f"ip-proto-{proto} {len(data)}"


def _icmp6(data: memoryview) -> str:
    if len(data) < 8:
        return "[|icmp6]"
    kind, code, length = data[0], data[1], len(data)
    rest = int.from_bytes(data[4:8], "big")
    name = _ICMP6_TYPES.get(kind, f"unknown icmp6 type ({kind})")
    if kind in (icmpv6.ECHO, icmpv6.ECHO_REPLY):
        name += f", id {rest >> 16}, seq {rest & 0xFFFF}"
    elif kind == icmpv6.DESTINATION_UNREACHABLE:
        name += f", {_unreachable(code, data[8:])}"
    elif kind == icmpv6.PACKET_TOO_BIG:
        name += f", mtu {rest}"
    elif kind == icmpv6.TIME_EXCEEDED:
        name += _exceeded(code, data[8:])
    elif kind == icmpv6.PARAMETER_PROBLEM:
        what = _PROBLEMS.get(code)
        name += f", code-#{code}" if what is None else f", {what} - octet {rest}"
    elif kind in (icmpv6.NEIGHBOR_SOLICITATION, icmpv6.NEIGHBOR_ADVERTISEMENT) and length >= 24:
        verb = "who has" if kind == icmpv6.NEIGHBOR_SOLICITATION else "tgt is"
        name += f", {verb} {format_ip6(unpack_ip6(data[8:24]))}"
    elif kind == icmpv6.REDIRECT and length >= 40:
        target, destination = unpack_ip6(data[8:24]), unpack_ip6(data[24:40])
        name += f", {format_ip6(destination)} to {format_ip6(target)}"
    elif kind == icmpv6.MLD_REPORT_2:
        name += f", {rest & 0xFFFF} group record(s)"
    elif kind in (icmpv6.MLD_QUERY, icmpv6.MLD_REPORT, icmpv6.MLD_DONE) and length >= 24:
        name += _listener(kind, rest, data)
    return f"ICMP6, {name}, length {length}"


def _unreachable(code: int, quote: memoryview) -> str:
    try:
        packet = ipv6.parse_quoted(quote)
    except WireError:
        return "unreachable [|icmp6]" if code != icmpv6.PORT_UNREACHABLE else _NO_PORT
    src, dst = format_ip6(packet.src), format_ip6(packet.dst)
    if code != icmpv6.PORT_UNREACHABLE:
        return _UNREACHABLE.get(code, f"unknown unreach code ({code})").format(dst, src)
    if len(packet.payload) < 4:
        return _NO_PORT
    port = packet.payload[2] << 8 | packet.payload[3]
    proto = _TRANSPORT.get(packet.proto, f"protocol {packet.proto}")
    return f"unreachable port, {dst} {proto} port {port}"


_NO_PORT: Final = "unreachable port [|icmp6]"


def _exceeded(code: int, quote: memoryview) -> str:
    if code == icmpv6.REASSEMBLY_TIME_EXCEEDED:
        return " (reassembly)"
    if code != icmpv6.HOP_LIMIT_EXCEEDED:
        return f", unknown code ({code})"
    if len(quote) < ipv6.HEADER_BYTES:
        return " [|icmp6]"
    return f" for {format_ip6(unpack_ip6(quote[24:40]))}"


def _listener(kind: int, rest: int, data: memoryview) -> str:
    group = format_ip6(unpack_ip6(data[8:24]))
    if kind == icmpv6.MLD_QUERY and len(data) >= 28:
        count = data[26] << 8 | data[27]
        sources = f", {count} source(s)" if count else ""
        return f" v2 [gaddr {group}{sources}]"
    return f" max resp delay: {rest >> 16} addr: {group}"
