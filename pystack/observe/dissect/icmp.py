"""ICMP (RFC 792) and IGMP (RFC 2236, RFC 3376)."""

from typing import Final

from pystack.observe.dissect.layout import Dissection, Field, Layer, decimal, hex8, hex16, ip4
from pystack.observe.dissect.sums import said_of_sum
from pystack.wire import ethernet, icmp, igmp

_REDIRECT: Final = 5
_TYPES: Final = {
    icmp.ECHO_REPLY: "echo reply",
    icmp.DESTINATION_UNREACHABLE: "destination unreachable",
    icmp.SOURCE_QUENCH: "source quench (obsolete)",
    _REDIRECT: "redirect: there is a better way",
    icmp.ECHO: "echo request",
    9: "router advertisement",
    10: "router solicitation",
    icmp.TIME_EXCEEDED: "time exceeded",
    icmp.PARAMETER_PROBLEM: "parameter problem",
    icmp.TIMESTAMP: "timestamp request",
    icmp.TIMESTAMP_REPLY: "timestamp reply",
}
_UNREACHABLE: Final = {
    icmp.NET_UNREACHABLE: "no route to that network",
    icmp.HOST_UNREACHABLE: "that host does not answer on its link",
    icmp.PROTOCOL_UNREACHABLE: "nobody there speaks that protocol",
    icmp.PORT_UNREACHABLE: "nobody listens at that port",
    icmp.FRAGMENTATION_NEEDED: "too large for the next link, and DF is set",
    icmp.SOURCE_ROUTE_FAILED: "the source route failed",
    9: "network administratively prohibited",
    10: "host administratively prohibited",
    icmp.COMMUNICATION_PROHIBITED: "a filter forbids it",
}
_CODES: Final = {
    icmp.DESTINATION_UNREACHABLE: _UNREACHABLE,
    icmp.TIME_EXCEEDED: {
        icmp.TTL_EXCEEDED: "the TTL ran out on the way",
        icmp.REASSEMBLY_TIME_EXCEEDED: "not all fragments came in time",
    },
    _REDIRECT: {0: "for the network", 1: "for the host"},
    icmp.PARAMETER_PROBLEM: {0: "the pointer shows where", 1: "an option is missing"},
}
_HEAD: Final = (
    Field("Type", 8, decimal, _TYPES),
    Field("Code", 8),
    Field("Checksum", 16, hex16),
)
ECHO: Final = (
    Field("Identifier", 16, decimal, "whose echo it is"),
    Field("Sequence Number", 16, decimal, "which one"),
)
_RESTS: Final = {
    icmp.ECHO: ECHO,
    icmp.ECHO_REPLY: ECHO,
    icmp.TIMESTAMP: ECHO,
    icmp.TIMESTAMP_REPLY: ECHO,
    _REDIRECT: (Field("Gateway Internet Address", 32, ip4, "the better next hop"),),
    icmp.PARAMETER_PROBLEM: (
        Field("Pointer", 8, decimal, "the byte of the packet that is wrong"),
        Field("unused", 24),
    ),
}
_UNUSED: Final = (Field("unused", 32),)
_NEXT_MTU: Final = (Field("unused", 16), Field("Next-Hop MTU", 16, decimal, "what would fit"))
_STAMPS: Final = tuple(
    Field(name, 32, decimal, "ms since midnight UT")
    for name in ("Originate Timestamp", "Receive Timestamp", "Transmit Timestamp")
)

_IGMP_TYPES: Final = {
    igmp.QUERY: "query: which groups are heard here?",
    igmp.REPORT_V1: "report, version 1: this group is heard",
    igmp.REPORT_V2: "report, version 2: this group is heard",
    igmp.LEAVE: "leave: this group is heard no longer",
    0x22: "report, version 3: how groups are heard",
}
_IGMP: Final = (
    Field("Type", 8, hex8, _IGMP_TYPES),
    Field("Max Resp Time", 8, decimal, "tenths of a second to answer in"),
    Field("Checksum", 16, hex16),
)
_GROUP: Final = Field("Group Address", 32, ip4, lambda group: "" if group else "all groups")
_QUERY_3: Final = (
    Field("Resv", 4),
    Field("S", 1),
    Field("QRV", 3, decimal, "robustness"),
    Field("QQIC", 8, decimal, "the querier's interval"),
    Field("Number of Sources", 16),
)
RECORD_KINDS: Final = {
    1: "hears these sources alone",
    2: "hears all but these sources",
    3: "from now on these sources alone",
    4: "from now on all but these sources",
    5: "these sources too",
    6: "these sources no longer",
}
RECORD: Final = (
    Field("Record Type", 8, decimal, RECORD_KINDS),
    Field("Aux Data Len", 8, decimal, "in words"),
    Field("Number of Sources", 16),
)


def lay_icmp(whole: Dissection, start: int, end: int, *, complete: bool) -> None:
    """Take apart a message of ICMP, and the packet that an error quotes."""
    layer = whole.layer("network", (3,), "ICMP message", start, end)
    head = layer.lay(_HEAD)
    if head is None:
        return
    kind, code, _ = head
    layer.explain("Code", _CODES.get(kind, {}).get(code, ""))
    layer.explain("Checksum", said_of_sum(whole.data[start : layer.end], 2, whole=complete))
    too_big = kind == icmp.DESTINATION_UNREACHABLE and code == icmp.FRAGMENTATION_NEEDED
    rest = _NEXT_MTU if too_big else _RESTS.get(kind, _UNUSED)
    if layer.lay(rest) is None:
        return
    if kind in icmp.ERRORS:
        layer.close()
        whole.inner(ethernet.IPV4, layer.at, layer.end, quoted=True)
        return
    if kind in (icmp.TIMESTAMP, icmp.TIMESTAMP_REPLY) and layer.left >= icmp.TIMESTAMP_BYTES:
        layer.lay(_STAMPS)
    layer.close()
    whole.rest("application", (7,), "Data", layer.at, layer.end, "comes back as it is")


def lay_igmp(whole: Dissection, start: int, end: int, *, complete: bool) -> None:
    """Take apart a message of IGMP."""
    layer = whole.layer("network", (3,), "IGMP message", start, end)
    head = layer.lay(_IGMP)
    if head is None:
        return
    layer.explain("Checksum", said_of_sum(whole.data[start : layer.end], 2, whole=complete))
    if head[0] == 0x22:
        numbers = layer.lay((Field("Reserved", 16), Field("Number of Group Records", 16)))
        if numbers is not None:
            lay_records(layer, numbers[1], Field("Multicast Address", 32, ip4), 32)
    elif layer.one(_GROUP) is not None and head[0] == igmp.QUERY and layer.left >= 4:
        numbers = layer.lay(_QUERY_3)
        sources(layer, 0 if numbers is None else numbers[4], Field("Source Address", 32, ip4), 32)
    layer.rest("Additional Data")
    layer.close()


def lay_records(layer: Layer, count: int, group: Field, bits: int) -> None:
    """Lay out how groups are heard: records of IGMPv3 and MLDv2, whose addresses differ."""
    for _ in range(count):
        numbers = None if layer.is_full or not layer.left else layer.lay((*RECORD, group))
        if numbers is None:
            return
        sources(layer, numbers[2], Field("Source Address", bits, group.show), bits)
        layer.take("Auxiliary Data", 4 * numbers[1])


def sources(layer: Layer, count: int, each: Field, bits: int) -> None:
    """Lay out so many addresses, as far as they are there."""
    for _ in range(count):
        if layer.is_full or layer.left < bits // 8:
            return
        layer.one(each)
