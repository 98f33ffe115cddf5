"""ICMPv6 (RFC 4443), with Neighbor Discovery (RFC 4861) and MLD (RFC 2710, RFC 3810)."""

from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect.icmp import ECHO, lay_records, sources
from pystack.observe.dissect.layout import (
    Dissection,
    Field,
    Layer,
    decimal,
    flag,
    hex16,
    ip6,
    mac,
    signs,
)
from pystack.observe.dissect.sums import pseudo, said_of_sum
from pystack.wire import ethernet, icmpv6, ipv6_ext

_TYPES: Final = {
    icmpv6.DESTINATION_UNREACHABLE: "destination unreachable",
    icmpv6.PACKET_TOO_BIG: "packet too big for the next link",
    icmpv6.TIME_EXCEEDED: "time exceeded",
    icmpv6.PARAMETER_PROBLEM: "parameter problem",
    icmpv6.ECHO: "echo request",
    icmpv6.ECHO_REPLY: "echo reply",
    icmpv6.MLD_QUERY: "MLD query: which groups are heard here?",
    icmpv6.MLD_REPORT: "MLD report: this group is heard",
    icmpv6.MLD_DONE: "MLD done: this group is heard no longer",
    icmpv6.ROUTER_SOLICITATION: "router solicitation: is there a router?",
    icmpv6.ROUTER_ADVERTISEMENT: "router advertisement: a router says how this link is",
    icmpv6.NEIGHBOR_SOLICITATION: "neighbor solicitation: who has this address?",
    icmpv6.NEIGHBOR_ADVERTISEMENT: "neighbor advertisement: I have it",
    icmpv6.REDIRECT: "redirect: there is a better next hop",
    icmpv6.MLD_REPORT_2: "MLDv2 report: how groups are heard",
}
_CODES: Final = {
    icmpv6.DESTINATION_UNREACHABLE: {
        icmpv6.NO_ROUTE: "no route",
        icmpv6.PROHIBITED: "a filter forbids it",
        icmpv6.BEYOND_SCOPE: "beyond the scope of the source address",
        icmpv6.ADDRESS_UNREACHABLE: "that host does not answer on its link",
        icmpv6.PORT_UNREACHABLE: "nobody listens at that port",
        icmpv6.POLICY_FAILED: "the source address is not allowed",
        icmpv6.ROUTE_REJECTED: "the route says no",
    },
    icmpv6.TIME_EXCEEDED: {
        icmpv6.HOP_LIMIT_EXCEEDED: "the hop limit ran out on the way",
        icmpv6.REASSEMBLY_TIME_EXCEEDED: "not all fragments came in time",
    },
    icmpv6.PARAMETER_PROBLEM: {
        ipv6_ext.ERRONEOUS_FIELD: "an erroneous field",
        ipv6_ext.UNKNOWN_NEXT_HEADER: "an unknown next header",
        ipv6_ext.UNKNOWN_OPTION: "an unknown option",
        ipv6_ext.INCOMPLETE_CHAIN: "the first fragment lacks headers",
    },
}
_HEAD: Final = (
    Field("Type", 8, decimal, _TYPES),
    Field("Code", 8),
    Field("Checksum", 16, hex16),
)
_TARGET: Final = Field("Target Address", 128, ip6, "the address that this is about")
_RESPONSE: Final = (
    Field("Maximum Response Delay", 16, decimal, "milliseconds"),
    Field("Reserved", 16),
)
_GROUP: Final = Field("Multicast Address", 128, ip6, lambda group: "" if group else "all groups")
# Of each type: the four bytes behind the header, and what follows before options
_BODIES: Final = {
    icmpv6.PACKET_TOO_BIG: (Field("MTU", 32, decimal, "what would fit"),),
    icmpv6.PARAMETER_PROBLEM: (Field("Pointer", 32, decimal, "where in the packet"),),
    icmpv6.ECHO: ECHO,
    icmpv6.ECHO_REPLY: ECHO,
    icmpv6.MLD_QUERY: (*_RESPONSE, _GROUP),
    icmpv6.MLD_REPORT: (*_RESPONSE, _GROUP),
    icmpv6.MLD_DONE: (*_RESPONSE, _GROUP),
    icmpv6.ROUTER_ADVERTISEMENT: (
        Field("Cur Hop Limit", 8, decimal, "for hosts to use; 0: not said"),
        flag("M", "addresses come by DHCPv6", "no addresses by DHCPv6"),
        flag("O", "other things come by DHCPv6"),
        flag("H", "home agent"),
        Field("Prf", 2, decimal, {0: "medium preference", 1: "high", 3: "low"}),
        Field("Reserved", 3),
        Field("Router Lifetime", 16, decimal, "seconds; 0: no default router"),
        Field("Reachable Time", 32, decimal, "ms; 0: not said"),
        Field("Retrans Timer", 32, decimal, "ms; 0: not said"),
    ),
    icmpv6.NEIGHBOR_SOLICITATION: (Field("Reserved", 32), _TARGET),
    icmpv6.NEIGHBOR_ADVERTISEMENT: (
        flag("R", "it is a router"),
        flag("S", "solicited: somebody has asked", "unsolicited: nobody has asked"),
        flag("O", "override: replaces what was known"),
        Field("Reserved", 29),
        _TARGET,
    ),
    icmpv6.REDIRECT: (
        Field("Reserved", 32),
        Field("Target Address", 128, ip6, "the better next hop"),
        Field("Destination Address", 128, ip6, "for what goes there"),
    ),
    icmpv6.MLD_REPORT_2: (Field("Reserved", 16), Field("Nr of Mcast Address Records", 16)),
}
_RESERVED: Final = (Field("Reserved", 32),)
_QUERY_2: Final = (
    Field("Resv", 4),
    Field("S", 1),
    Field("QRV", 3, decimal, "robustness"),
    Field("QQIC", 8, decimal, "the querier's interval"),
    Field("Number of Sources", 16),
)
_DISCOVERY: Final = frozenset(range(icmpv6.ROUTER_SOLICITATION, icmpv6.REDIRECT + 1))
_OPTIONS: Final = {
    1: "Source Link-Layer Address",
    2: "Target Link-Layer Address",
    3: "Prefix Information",
    4: "Redirected Header",
    5: "MTU",
    14: "Nonce: to tell own messages that come back",
    24: "Route Information",
    25: "Recursive DNS Server",
    31: "DNS Search List",
}
_OPTION: Final = (
    Field("Type", 8, decimal, _OPTIONS),
    Field("Length", 8, decimal, lambda units: f"{amounts.size(8 * units)}, this header included"),
)
_LIFETIME: Final = Field("Lifetime", 32, decimal, "seconds")
_PREFIX: Final = (
    Field("Prefix Length", 8),
    flag("L", "on-link: reached without a router"),
    flag("A", "hosts may make addresses of it"),
    Field("Reserved1", 6),
    Field("Valid Lifetime", 32, decimal, "seconds"),
    Field("Preferred Lifetime", 32, decimal, "seconds"),
    Field("Reserved2", 32),
    Field("Prefix", 128, ip6),
)
# Where an option's own table is; what is left of it follows as bytes
_OPTION_BODIES: Final = {
    (1, 6): (Field("Link-Layer Address", 48, mac, "of who sent this"),),
    (2, 6): (Field("Link-Layer Address", 48, mac, "of the target"),),
    (3, 30): _PREFIX,
    (5, 6): (Field("Reserved", 16), Field("MTU", 32, decimal, "of this link")),
}
_ROUTE: Final = (
    Field("Prefix Length", 8),
    Field("Reserved", 3),
    Field("Prf", 2, decimal, {0: "medium preference", 1: "high", 3: "low"}),
    Field("Reserved", 3),
    Field("Route Lifetime", 32, decimal, "seconds"),
)


def lay_icmp6(
    whole: Dissection, start: int, end: int, ends: tuple[int, int], *, complete: bool
) -> None:
    """Take apart a message of ICMPv6, and the packet that an error quotes."""
    layer = whole.layer("network", (3,), "ICMPv6 message", start, end)
    head = layer.lay(_HEAD)
    if head is None:
        return
    kind, code, _ = head
    layer.explain("Code", _CODES.get(kind, {}).get(code, ""))
    data = whole.data[start : layer.end]
    total = pseudo(ends, ipv6_ext.ICMPV6, len(data))
    if total is not None:
        layer.explain("Checksum", said_of_sum(data, 2, total, whole=complete))
    numbers = layer.lay(_BODIES.get(kind, _RESERVED))
    if numbers is None:
        return
    if kind < icmpv6.FIRST_INFORMATIONAL:
        layer.close()
        whole.inner(ethernet.IPV6, layer.at, layer.end, quoted=True)
        return
    if kind in _DISCOVERY:
        _lay_options(whole, layer)
    elif kind == icmpv6.MLD_REPORT_2:
        lay_records(layer, numbers[1], Field("Multicast Address", 128, ip6), 128)
        layer.rest("Additional Data")
    elif kind == icmpv6.MLD_QUERY and layer.left >= 4:
        query = layer.lay(_QUERY_2)
        count = 0 if query is None else query[4]
        sources(layer, count, Field("Source Address", 128, ip6), 128)
        layer.rest("Additional Data")
    layer.close()
    whole.rest("application", (7,), "Data", layer.at, layer.end, "comes back as it is")


def _lay_options(whole: Dissection, layer: Layer) -> None:
    while layer.left and not layer.is_full:
        start = layer.at
        head = layer.lay(_OPTION)
        if head is None:
            return
        kind, units = head
        stop = min(start + 8 * units, layer.end)
        if not units:
            layer.rest("option", "malformed: an option without a length ends the list")
            return
        _lay_option(layer, kind, stop)
        layer.take("option data", stop - layer.at)
    layer.rest("options")


def _lay_option(layer: Layer, kind: int, stop: int) -> None:
    size = stop - layer.at
    if (kind, size) in _OPTION_BODIES:
        layer.lay(_OPTION_BODIES[kind, size])
    elif kind == 24 and size in (6, 14, 22):
        layer.lay(_ROUTE)
        layer.take("Prefix", stop - layer.at)
    elif kind in (25, 31) and size >= 6:
        layer.lay((Field("Reserved", 16), _LIFETIME))
        if kind == 31:
            text = signs(layer.peek(stop - layer.at))
            layer.take("Domain Names", stop - layer.at, text)
        while kind == 25 and stop - layer.at >= 16 and not layer.is_full:
            layer.one(Field("Address", 128, ip6, "of a name server"))
    elif kind == 4 and size >= 6:
        layer.take("Reserved", 6)
        layer.take(
            "IP header + data", stop - layer.at, meaning="of the packet that went the long way"
        )
    elif kind == 14:
        layer.take("Nonce", size)
