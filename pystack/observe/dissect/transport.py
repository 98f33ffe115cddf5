"""What IP carries: UDP here, and the way to TCP, ICMP, ICMPv6 and IGMP."""

from typing import Final

from pystack.observe.dissect.application import lay_text
from pystack.observe.dissect.icmp import lay_icmp, lay_igmp
from pystack.observe.dissect.icmp6 import lay_icmp6
from pystack.observe.dissect.layout import Dissection, Field, decimal, hex16
from pystack.observe.dissect.ports import port_name
from pystack.observe.dissect.sums import pseudo, said_of_sum
from pystack.observe.dissect.tcp import lay_tcp
from pystack.wire import ipv4, ipv6_ext, udp

PROTOCOLS: Final = {
    ipv4.ICMP: "ICMP",
    ipv4.IGMP: "IGMP",
    4: "IPv4",
    ipv4.TCP: "TCP",
    ipv4.UDP: "UDP",
    41: "IPv6",
    47: "GRE",
    50: "ESP: encrypted",
    51: "AH",
    ipv6_ext.ICMPV6: "ICMPv6",
    ipv6_ext.NO_NEXT_HEADER: "nothing",
    89: "OSPF",
    132: "SCTP",
}
_UDP: Final = (
    Field("Source Port", 16, decimal, port_name),
    Field("Destination Port", 16, decimal, port_name),
    Field("Length", 16, decimal, "bytes of header and data"),
    Field("Checksum", 16, hex16),
)


def lay_transport(
    whole: Dissection, proto: int, start: int, end: int, ends: tuple[int, int], *, complete: bool
) -> None:
    """Take apart what a packet carries. `complete`: all of it is here."""
    if proto == ipv4.TCP:
        lay_tcp(whole, start, end, ends, lay_text, complete=complete)
    elif proto == ipv4.UDP:
        _lay_udp(whole, start, end, ends, complete=complete)
    elif proto == ipv4.ICMP:
        lay_icmp(whole, start, end, complete=complete)
    elif proto == ipv6_ext.ICMPV6:
        lay_icmp6(whole, start, end, ends, complete=complete)
    elif proto == ipv4.IGMP:
        lay_igmp(whole, start, end, complete=complete)
    else:
        name = PROTOCOLS.get(proto, f"protocol {proto}")
        whole.rest("transport", (4,), "Data", start, end, f"{name}, which is not taken apart")


def _lay_udp(
    whole: Dissection, start: int, end: int, ends: tuple[int, int], *, complete: bool
) -> None:
    """Take apart a datagram (RFC 768)."""
    layer = whole.layer("transport", (4,), "UDP datagram", start, end)
    numbers = layer.lay(_UDP)
    if numbers is None:
        return
    said = numbers[2]
    stops = end
    if said < udp.HEADER_BYTES:
        if said or end - start <= 0xFFFF:
            layer.explain("Length", "impossible: less than the header")
    else:
        stops = min(start + said, end)
        complete = complete and start + said <= end
    layer.close(stops)
    total = pseudo(ends, ipv4.UDP, stops - start)
    meaning = "none: over IPv4 the sender may do without"
    if numbers[3] and total is not None:
        meaning = said_of_sum(whole.data[start:stops], 6, total, whole=complete)
    layer.explain("Checksum", meaning)
    if layer.at < stops:
        lay_text(whole, layer.at, stops, numbers[0], numbers[1], by_udp=True)
    layer.behind(stops, end, "surplus", "behind the datagram")
