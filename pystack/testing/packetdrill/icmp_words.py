"""ICMP as scripts speak of it, for both versions of IP.

Types and codes of a script are those of ICMPv4; over IPv6 they stand for what ICMPv6 has instead
(RFC 7915 section 4.2). The names of ICMPv6's own kinds are understood as well.
"""

from __future__ import annotations

from typing import Final

from pystack.testing.packetdrill.errors import MismatchError
from pystack.wire import icmp, icmpv6, ipv6_ext

TYPES: Final = {
    "echo_reply": icmp.ECHO_REPLY,
    "unreachable": icmp.DESTINATION_UNREACHABLE,
    "source_quench": 4,
    "redirect": 5,
    "echo_request": icmp.ECHO,
    "time_exceeded": icmp.TIME_EXCEEDED,
    "parameter_problem": icmp.PARAMETER_PROBLEM,
}
CODES: Final = {
    icmp.DESTINATION_UNREACHABLE: (
        "net_unreachable",
        "host_unreachable",
        "protocol_unreachable",
        "port_unreachable",
        "frag_needed",
        "source_route_failed",
        "net_unknown",
        "host_unknown",
        "source_host_isolated",
        "net_prohibited",
        "host_prohibited",
        "net_unreachable_for_tos",
        "host_unreachable_for_tos",
        "packet_filtered",
        "precedence_violation",
        "precedence_cutoff",
    ),
    icmp.TIME_EXCEEDED: ("ttl_exceeded", "frag_time_exceeded"),
}
# ICMPv6's own names: by what ICMPv4 has instead of them
_OF_ICMPV6: Final = {
    "no_route": "net_unreachable",
    "admin_prohibited": "host_prohibited",
    "address_unreachable": "host_unreachable",
}
_PACKET_TOO_BIG: Final = "packet_too_big"  # a type of its own there, here a code

_UNREACHABLE: Final = {
    icmp.PROTOCOL_UNREACHABLE: (icmpv6.PARAMETER_PROBLEM, ipv6_ext.UNKNOWN_NEXT_HEADER),
    icmp.FRAGMENTATION_NEEDED: (icmpv6.PACKET_TOO_BIG, 0),
} | {
    CODES[icmp.DESTINATION_UNREACHABLE].index(name): (icmpv6.DESTINATION_UNREACHABLE, code)
    for code, names in {
        icmpv6.NO_ROUTE: ("net_unreachable", "source_route_failed", "net_unknown"),
        icmpv6.ADDRESS_UNREACHABLE: ("host_unreachable", "host_unknown", "source_host_isolated"),
        icmpv6.PORT_UNREACHABLE: ("port_unreachable",),
        icmpv6.PROHIBITED: ("net_prohibited", "host_prohibited", "packet_filtered"),
    }.items()
    for name in names
}
_SAME_CODE: Final = {
    icmp.ECHO: icmpv6.ECHO,
    icmp.ECHO_REPLY: icmpv6.ECHO_REPLY,
    icmp.TIME_EXCEEDED: icmpv6.TIME_EXCEEDED,
    icmp.PARAMETER_PROBLEM: icmpv6.PARAMETER_PROBLEM,
}


def type_named(word: str) -> tuple[int, int] | None:
    """Return the type that a script names, and the code where the word says that too; or None."""
    if word == _PACKET_TOO_BIG:
        return icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED
    return (TYPES[word], 0) if word in TYPES else None


def code_named(kind: int, word: str) -> int | None:
    """Return the code of a type that a script names; None: it has none of that name."""
    names = CODES.get(kind, ())
    word = _OF_ICMPV6.get(word, word)
    return names.index(word) if word in names else None


def on_the_wire(kind: int, code: int, *, is_v6: bool) -> tuple[int, int]:
    """Return what a script's type and code are in packets of the version that it runs over."""
    if not is_v6:
        return kind, code
    if kind == icmp.DESTINATION_UNREACHABLE and code in _UNREACHABLE:
        return _UNREACHABLE[code]
    if kind in _SAME_CODE:
        return _SAME_CODE[kind], code
    raise MismatchError(f"ICMPv6 has nothing for ICMP type {kind}, code {code}")
