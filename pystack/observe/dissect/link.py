"""Data link: Ethernet with VLAN tags, ARP, and the headers that captures have instead."""

from typing import Final

from pystack.observe.captures import link_types
from pystack.observe.dissect.layout import (
    Dissection,
    Field,
    decimal,
    flag,
    hex16,
    hex32,
    ip4,
    mac,
    signs,
)
from pystack.wire import arp, ethernet

_MOST_TAGS: Final = 4
ETHERTYPES: Final = {
    ethernet.IPV4: "IPv4 is inside",
    ethernet.ARP: "ARP is inside",
    ethernet.IPV6: "IPv6 is inside",
    ethernet.VLAN: "a VLAN tag follows",
    0x88A8: "a VLAN tag of a provider follows",
    0x8863: "PPPoE discovery",
    0x8864: "PPPoE session",
    0x8847: "MPLS",
    0x88CC: "LLDP",
    0x888E: "802.1X",
}
_BROADCAST: Final = (1 << 48) - 1


def _destination(number: int) -> str:
    if number == _BROADCAST:
        return "broadcast: to every station of this link"
    if number >> 40 & 1:
        return "multicast: to a group of stations of this link"
    return "the station on this link that is to take it"


def _type(number: int) -> str:
    if number < ethernet.MIN_ETHERTYPE:
        return "below 1536: a length (IEEE 802.3), no type"
    return ETHERTYPES.get(number, "")


_ETHERTYPE: Final = Field("Type", 16, hex16, _type)
_ETHERNET: Final = (
    Field("Destination", 48, mac, _destination),
    Field("Source", 48, mac, "the station that put it on this link"),
    _ETHERTYPE,
)
_TAG: Final = (
    Field("PCP", 3, decimal, "priority"),
    flag("DEI", "may be dropped first"),
    Field("VID", 12, decimal, lambda vid: f"virtual LAN {vid}" if vid else "priority alone"),
    _ETHERTYPE,
)
_ARP_HEAD: Final = (
    Field("Hardware type", 16, decimal, {1: "Ethernet"}),
    Field("Protocol type", 16, hex16, {ethernet.IPV4: "IPv4"}),
    Field("Hardware address length", 8, decimal, "bytes"),
    Field("Protocol address length", 8, decimal, "bytes"),
    Field(
        "Operation",
        16,
        decimal,
        {arp.REQUEST: "request: who has this address?", arp.REPLY: "reply: I have it"},
    ),
)
_ARP_BODY: Final = (
    Field("Sender hardware address", 48, mac, "where an answer goes"),
    Field("Sender protocol address", 32, ip4),
    Field(
        "Target hardware address",
        48,
        mac,
        lambda number: "" if number else "not known: it is what is asked for",
    ),
    Field("Target protocol address", 32, ip4, "the address that this is about"),
)
_ARP_ETHERNET: Final = (1, ethernet.IPV4, 6, 4)
_PACKET_TYPES: Final = {
    0: "sent to us",
    1: "broadcast by somebody else",
    2: "multicast by somebody else",
    3: "sent by somebody else to somebody else",
    4: "sent by us",
}
_SLL: Final = (
    Field("Packet type", 16, decimal, _PACKET_TYPES),
    Field("ARPHRD_ type", 16, decimal, {1: "Ethernet", 772: "loopback"}),
    Field("Link-layer address length", 16),
    Field("Link-layer address", 64, lambda number: f"{number:016x}", "of who sent it, padded"),
    Field("Protocol type", 16, hex16, _type),
)
_SLL2: Final = (
    Field("Protocol type", 16, hex16, _type),
    Field("Reserved", 16, hex16),
    Field("Interface index", 32),
    Field("ARPHRD_ type", 16, decimal, {1: "Ethernet", 772: "loopback"}),
    Field("Packet type", 8, decimal, _PACKET_TYPES),
    Field("Link-layer address length", 8),
    Field("Link-layer address", 64, lambda number: f"{number:016x}", "of who sent it, padded"),
)
_FAMILY: Final = (Field("Address family", 32, hex32, "in the byte order of whoever captured"),)
_HEADERS: Final = {
    link_types.NULL: ("BSD loopback header", _FAMILY),
    link_types.LOOP: ("OpenBSD loopback header", _FAMILY),
    link_types.LINUX_SLL: ("Linux cooked header", _SLL),
    link_types.LINUX_SLL2: ("Linux cooked header, version 2", _SLL2),
}


def lay_link(whole: Dissection, link_type: int) -> None:
    """Take apart a frame of that link type."""
    end = len(whole.data)
    if link_type == link_types.ETHERNET:
        lay_ethernet(whole, 0, end)
        return
    found = link_types.network_at(whole.data, link_type)
    ethertype, start = found or (0, end)
    if link_type in _HEADERS:
        title, table = _HEADERS[link_type]
        layer = whole.layer("data link", (2,), title, 0, end)
        if layer.lay(table) is None:
            return
        layer.close()
    whole.inner(ethertype, start, end)


def lay_ethernet(whole: Dissection, start: int, end: int) -> None:
    """Take apart a frame of Ethernet, and give its header what padding there is behind."""
    layer = whole.layer("data link", (2,), "Ethernet frame", start, end)
    numbers = layer.lay(_ETHERNET)
    if numbers is None:
        return
    layer.close()
    outer, ethertype = layer, numbers[2]
    for _ in range(_MOST_TAGS):
        if ethertype not in ethernet.TAGS:
            break
        layer = whole.layer("data link", (2,), "VLAN tag", layer.at, end)
        numbers = layer.lay(_TAG)
        if numbers is None:
            return
        layer.close()
        ethertype = numbers[3]
    inside = layer.at
    stops = inside + length_of(whole.data, ethertype, inside, end)
    if stops > inside:
        whole.inner(ethertype, inside, stops)
    meaning = "padding: the least frame has 60 bytes" if end <= 64 else "behind the packet: trailer"
    outer.behind(stops, end, "Padding", meaning)
    if outer is not layer:
        layer.box.payload_bytes = stops - inside
    outer.box.payload_bytes = stops - start - _ETHERNET_BYTES


_ETHERNET_BYTES: Final = ethernet.HEADER_BYTES


def length_of(data: bytes, ethertype: int, start: int, end: int) -> int:
    """Return how many bytes of those there the packet has; all of them where it says nonsense."""
    size = end - start
    said = size
    if ethertype == ethernet.IPV4 and size >= 20:
        said = data[start + 2] << 8 | data[start + 3] or size  # 0: as `SuperFrame`
        said = size if said < 20 else said
    elif ethertype == ethernet.IPV6 and size >= 40:
        said = 40 + (data[start + 4] << 8 | data[start + 5])
        said = size if said == 40 and size > 60 else said
    elif ethertype == ethernet.ARP and size >= 8:
        said = 8 + 2 * (data[start + 4] + data[start + 5])
    elif ethertype < ethernet.MIN_ETHERTYPE:
        said = ethertype or size
    return min(said, size)


def lay_arp(whole: Dissection, start: int, end: int) -> None:
    """Take apart a message of ARP (RFC 826)."""
    layer = whole.layer("data link", (2, 3), "ARP message", start, end)
    head = layer.lay(_ARP_HEAD)
    if head is None:
        return
    if head[:4] == _ARP_ETHERNET:
        numbers = layer.lay(_ARP_BODY)
        if numbers is not None and numbers[1] == numbers[3]:
            layer.explain("Target protocol address", "the sender's own: it says that it is here")
        elif numbers is not None and not numbers[1]:
            layer.explain("Sender protocol address", "none yet: is this address in use?")
    else:
        layer.rest("Addresses", "of other kinds than Ethernet and IPv4")
    layer.rest("Padding")
    layer.close(layer.at)


def lay_other(whole: Dissection, ethertype: int, start: int, end: int) -> None:
    """Lay out what nobody here knows."""
    text = signs(whole.data[start : min(end, start + 40)])
    meaning = ETHERTYPES.get(ethertype, "") or f"of a type that is not taken apart: {text}"
    whole.rest("network", (3,), "Data", start, end, meaning)
