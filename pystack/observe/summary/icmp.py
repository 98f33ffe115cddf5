"""ICMP messages in tcpdump's words; a part of `summarize`."""

import struct
from typing import Final

from pystack.core.addresses import format_ip4
from pystack.core.errors import WireError
from pystack.wire import icmp, ipv4
from pystack.wire.packet import Packet

_REDIRECT: Final = 5
_ECHOES: Final = {icmp.ECHO: "echo request", icmp.ECHO_REPLY: "echo reply"}
_OTHERS: Final = {
    4: "source quench",
    9: "router advertisement",
    10: "router solicitation",
    13: "time stamp query",
    14: "time stamp reply",
    17: "address mask request",
    18: "address mask reply",
}
# Codes of DESTINATION_UNREACHABLE (RFC 792, RFC 1122, RFC 1812); {} is the quoted destination.
_UNREACHABLE: Final = {
    0: "net {} unreachable",
    1: "host {} unreachable",
    5: "{} unreachable - source route failed",
    6: "net {} unreachable - unknown",
    7: "host {} unreachable - unknown",
    8: "{} unreachable - source host isolated",
    9: "net {} unreachable - admin prohibited",
    10: "host {} unreachable - admin prohibited",
    11: "net {} unreachable - tos prohibited",
    12: "host {} unreachable - tos prohibited",
    13: "host {} unreachable - admin prohibited filter",
    14: "host {} unreachable - host precedence violation",
    15: "host {} unreachable - precedence cutoff",
}
_REDIRECTED: Final = ("net", "host", "tos and net", "tos and host")
_TRANSPORT: Final = {ipv4.TCP: "tcp", ipv4.UDP: "udp"}
_HEADER: Final = struct.Struct("!BBHI")


def describe(data: memoryview) -> str:
    """Return "ICMP echo request, id 1, seq 1, length 64" and the like. Never raises."""
    if len(data) < icmp.HEADER_BYTES:
        return "[|icmp]"
    # Not icmp.parse: a first fragment cannot have a right checksum, and has a line all the same.
    kind, code, _, rest = _HEADER.unpack_from(data)
    if kind in _ECHOES:
        text = f"{_ECHOES[kind]}, id {rest >> 16}, seq {rest & 0xFFFF}"
    elif kind in icmp.ERRORS:
        text = _error(kind, code, rest, data[icmp.HEADER_BYTES :])
    else:
        text = _OTHERS.get(kind, f"type-#{kind}")
    return f"ICMP {text}, length {len(data)}"


def _error(kind: int, code: int, rest: int, quote: memoryview) -> str:
    if kind == icmp.TIME_EXCEEDED:
        if code == icmp.TTL_EXCEEDED:
            return "time exceeded in-transit"
        if code == icmp.REASSEMBLY_TIME_EXCEEDED:
            return "ip reassembly time exceeded"
        return f"time exceeded-#{code}"
    if kind == icmp.PARAMETER_PROBLEM:
        return (
            f"parameter problem - code {code}"
            if code
            else f"parameter problem - octet {rest >> 24}"
        )
    if kind not in (icmp.DESTINATION_UNREACHABLE, _REDIRECT):
        return _OTHERS[kind]
    try:
        packet = ipv4.parse_quoted(quote)
    except WireError:
        return "unreachable [|ip]" if kind == icmp.DESTINATION_UNREACHABLE else "redirect [|ip]"
    dst = format_ip4(packet.dst)
    if kind == _REDIRECT:
        whose = _REDIRECTED[code] if code < len(_REDIRECTED) else f"#{code}"
        return f"redirect {dst} to {whose} {format_ip4(rest)}"
    return _unreachable(code, rest, dst, packet)


def _unreachable(code: int, rest: int, dst: str, packet: Packet) -> str:
    if code == icmp.PROTOCOL_UNREACHABLE:
        return f"{dst} protocol {packet.proto} unreachable"
    if code == icmp.PORT_UNREACHABLE:
        proto = _TRANSPORT.get(packet.proto, f"protocol {packet.proto}")
        ports = packet.raw[packet.header_bytes : packet.header_bytes + 4]
        port = str(ports[2] << 8 | ports[3]) if len(ports) == 4 else "[|ip]"
        return f"{dst} {proto} port {port} unreachable"
    if code == icmp.FRAGMENTATION_NEEDED:
        mtu = rest & 0xFFFF  # RFC 1191; 0 from routers older than that
        return f"{dst} unreachable - need to frag" + (f" (mtu {mtu})" if mtu else "")
    return _UNREACHABLE.get(code, f"{{}} unreachable - #{code}").format(dst)
