"""Network layer: IPv4 with its options, IPv6 with its extension headers."""

from typing import Final

from pystack.core.addresses import V6, is_multicast
from pystack.observe import amounts
from pystack.observe.dissect.layout import (
    Dissection,
    Field,
    Layer,
    decimal,
    flag,
    hex8,
    hex16,
    hex32,
    ip4,
    ip6,
)
from pystack.observe.dissect.sums import said_of_sum
from pystack.observe.dissect.transport import PROTOCOLS, lay_transport
from pystack.wire import ethernet, ip_options, ipv4, ipv6_ext
from pystack.wire.options import END, NO_OPERATION, walk

_ECN: Final = {
    0: "not ECN-capable: a queue can only drop it",
    1: "ECT(1): a queue may mark it instead of dropping it",
    2: "ECT(0): a queue may mark it instead of dropping it",
    3: "CE: a queue on the way has marked it: congestion",
}


def _dscp(number: int) -> str:
    known = {0: "best effort", 46: "expedited forwarding", 8: "low priority", 48: "network control"}
    return known.get(number, "class of service")


def _ttl(number: int) -> str:
    return f"at most {amounts.count(number, 'hop')} more; each router takes one off"


def _next(number: int) -> str:
    if number in PROTOCOLS:
        return f"{PROTOCOLS[number]} is inside"
    return _EXTENSION_TITLES.get(number, "")


def _address4(number: int) -> str:
    if number == 0xFFFFFFFF:
        return "broadcast on this link"
    if not number:
        return "none (yet)"
    return "a group of hosts" if is_multicast(number) else ""


def _address6(number: int) -> str:
    if not number:
        return "none (yet)"
    if number >> 118 == 0x3FA:
        return "link-local: of this link alone"
    return "a group of hosts" if number >> 120 == 0xFF else ""


_IPV4: Final = (
    Field("Version", 4),
    Field("IHL", 4, decimal, lambda words: f"the header has {amounts.size(4 * words)}"),
    Field("DSCP", 6, decimal, _dscp),
    Field("ECN", 2, decimal, _ECN),
    Field("Total Length", 16, decimal, "bytes of the packet, header included"),
    Field("Identification", 16, hex16, "the same in all fragments of a datagram"),
    Field("Reserved", 1),
    flag("DF", "routers may not fragment it", "routers may fragment it"),
    flag("MF", "more fragments follow", "the last fragment, or the only one"),
    Field(
        "Fragment Offset",
        13,
        decimal,
        lambda offset: f"this piece begins at byte {8 * offset} of the datagram" if offset else "",
    ),
    Field("TTL", 8, decimal, _ttl),
    Field("Protocol", 8, decimal, _next),
    Field("Header Checksum", 16, hex16),
    Field("Source Address", 32, ip4, _address4),
    Field("Destination Address", 32, ip4, _address4),
)
_BEHIND: Final = "behind the packet, which says that it has ended"
_OPTION4: Final = {
    END: "End of Option List",
    NO_OPERATION: "No Operation: aligns what follows",
    ip_options.RECORD_ROUTE: "Record Route: routers write themselves in here",
    ip_options.TIMESTAMP: "Internet Timestamp: routers write here when they saw it",
    ip_options.LOOSE_SOURCE_ROUTE: "Loose Source Route: hosts that it is to visit",
    ip_options.STRICT_SOURCE_ROUTE: "Strict Source Route: hosts that it is to visit, and no others",
    130: "Security (RFC 1108)",
    134: "Commercial Security",
    148: "Router Alert: routers on the way are to look inside",
}
_ROUTES: Final = frozenset(
    {ip_options.RECORD_ROUTE, ip_options.LOOSE_SOURCE_ROUTE, ip_options.STRICT_SOURCE_ROUTE}
)
_OPTION_KIND: Final = Field("Option-Type", 8, decimal, _OPTION4)
_LENGTH: Final = Field("Option-Length", 8, decimal, "bytes of the option")
_POINTER: Final = Field("Pointer", 8, decimal, "where the next entry goes, counted from 1")

_IPV6: Final = (
    Field("Version", 4),
    Field("DSCP", 6, decimal, _dscp),
    Field("ECN", 2, decimal, _ECN),
    Field(
        "Flow Label",
        20,
        lambda number: f"0x{number:05x}",
        lambda number: "the same for all packets of a flow" if number else "none",
    ),
    Field("Payload Length", 16, decimal, "bytes behind this header"),
    Field("Next Header", 8, decimal, _next),
    Field("Hop Limit", 8, decimal, _ttl),
    Field("Source Address", 128, ip6, _address6),
    Field("Destination Address", 128, ip6, _address6),
)
_NEXT: Final = Field("Next Header", 8, decimal, _next)
_EXT_LENGTH: Final = Field(
    "Hdr Ext Len", 8, decimal, lambda units: f"the header has {amounts.size(8 * (units + 1))}"
)
_EXTENSION_TITLES: Final = {
    ipv6_ext.HOP_BY_HOP: "Hop-by-Hop Options header",
    ipv6_ext.ROUTING: "Routing header",
    ipv6_ext.FRAGMENT: "Fragment header",
    ipv6_ext.DESTINATION_OPTIONS: "Destination Options header",
}
_FRAGMENT6: Final = (
    _NEXT,
    Field("Reserved", 8),
    Field(
        "Fragment Offset",
        13,
        decimal,
        lambda offset: f"this piece begins at byte {8 * offset} of what was fragmented",
    ),
    Field("Res", 2),
    flag("M", "more fragments follow", "the last fragment"),
    Field("Identification", 32, hex32, "the same in all fragments of a packet"),
)
_ROUTING: Final = (
    _NEXT,
    _EXT_LENGTH,
    Field("Routing Type", 8, decimal, {0: "deprecated (RFC 5095)", 2: "Mobile IP", 4: "segments"}),
    Field("Segments Left", 8, decimal, "stations that are still to be visited"),
)
_OPTION6: Final = {
    0: "Pad1: aligns what follows",
    1: "PadN: aligns what follows",
    5: "Router Alert: routers on the way are to look inside",
    0xC2: "Jumbo Payload: longer than 65,535 bytes",
}
_OPTION6_KIND: Final = Field("Option Type", 8, hex8, _OPTION6)
_OPTION6_LENGTH: Final = Field("Opt Data Len", 8)


def lay_ip4(whole: Dissection, start: int, end: int) -> None:
    """Take apart a packet of IPv4 (RFC 791)."""
    layer = whole.layer("network", (3,), "IPv4 packet", start, end)
    numbers = layer.lay(_IPV4)
    if numbers is None:
        return
    header_bytes = numbers[1] * 4
    if numbers[0] != 4 or header_bytes < ipv4.HEADER_BYTES:
        layer.explain("Version" if numbers[0] != 4 else "IHL", "impossible: this is no IPv4 packet")
        layer.rest("data")
        return
    _options4(layer, min(start + header_bytes, layer.end))
    layer.close()
    header = whole.data[start : start + header_bytes]
    is_whole = len(header) == header_bytes
    layer.explain("Header Checksum", said_of_sum(header, 10, whole=is_whole))
    offset = numbers[9]
    stops = min(start + max(numbers[4], header_bytes), end) if numbers[4] else end
    ends = numbers[13], numbers[14]
    if offset:
        whole.rest("network", (3,), "Data", layer.at, stops, "a fragment of what a datagram holds")
    else:
        complete = not numbers[8] and stops - start == (numbers[4] or stops - start)
        _inside(whole, numbers[11], layer.at, stops, ends, complete=complete)
    layer.behind(max(stops, layer.at), end, "trailer", _BEHIND)


def _options4(layer: Layer, end: int) -> None:
    start = layer.at
    data = layer.data[start:end]
    for kind, at, length in walk(data):
        if layer.is_full:
            break
        layer.one(_OPTION_KIND)
        if length == 1:
            continue
        layer.one(_LENGTH)
        stop = start + at + length
        if kind in _ROUTES and length > 2:
            layer.one(_POINTER)
            while stop - layer.at >= 4:
                layer.one(Field("Route", 32, ip4))
        elif kind == ip_options.TIMESTAMP and length > 3:
            with_address = data[at + 3] & 0xF in (1, 3)
            layer.lay((_POINTER, Field("Overflow", 4), Field("Flag", 4)))
            while stop - layer.at >= (8 if with_address else 4):
                if with_address:
                    layer.one(Field("Internet address", 32, ip4))
                layer.one(Field("Timestamp", 32, decimal, "ms since midnight UT"))
        layer.take("Option data", stop - layer.at)
    layer.take("Padding", end - layer.at, meaning="up to whole words")


def lay_ip6(whole: Dissection, start: int, end: int) -> None:
    """Take apart a packet of IPv6 (RFC 8200), and the headers behind its own."""
    layer = whole.layer("network", (3,), "IPv6 packet", start, end)
    numbers = layer.lay(_IPV6)
    if numbers is None:
        return
    if numbers[0] != 6:
        layer.explain("Version", "impossible: this is no IPv6 packet")
        layer.rest("data")
        return
    layer.close()
    said = numbers[4]
    stops = min(layer.at + said, end)
    complete = layer.at + said <= end
    if not said and end > layer.at:
        stops = end  # a jumbogram, or as `SuperFrame`
        complete = True
    layer.box.payload_bytes = stops - layer.at
    _chain(whole, numbers, layer.at, stops, complete=complete)
    layer.behind(stops, end, "trailer", _BEHIND)


def _chain(
    whole: Dissection, numbers: tuple[int, ...], start: int, stops: int, *, complete: bool
) -> None:
    """Take apart the extension headers, and what is behind them; `numbers`: of IPv6's own."""
    proto, at = numbers[5], start
    fragment: tuple[int, ...] | None = None
    for _ in range(ipv6_ext.MAX_HEADERS):
        if proto not in ipv6_ext.EXTENSIONS or at >= stops:
            break
        size = 8
        if proto != ipv6_ext.FRAGMENT and at + 1 < stops:
            size = 8 * (whole.data[at + 1] + 1)
        title = _EXTENSION_TITLES[proto]
        inner = whole.layer("network", (3,), title, at, min(at + size, stops))
        read = _EXTENSION_READERS[proto](inner)
        inner.box.payload_bytes = max(stops - inner.at, 0)
        if read is None:
            return
        if proto == ipv6_ext.FRAGMENT:
            fragment = read
        proto, at = read[0], inner.at
        if fragment is not None and fragment[2]:
            break
    if fragment is not None and fragment[2]:
        whole.rest("network", (3,), "Data", at, stops, "a fragment of what a packet holds")
        return
    source, destination = (V6 | number for number in numbers[7:9])
    complete = complete and (fragment is None or not fragment[4])
    _inside(whole, proto, at, stops, (source, destination), complete=complete)


def _options6(layer: Layer) -> tuple[int, ...] | None:
    head = layer.lay((_NEXT, _EXT_LENGTH))
    while head is not None and layer.left and not layer.is_full:
        kind = layer.one(_OPTION6_KIND)
        if not kind:
            continue
        length = layer.one(_OPTION6_LENGTH)
        if length is None:
            break
        if kind == 5 and length == 2:
            layer.one(Field("Router Alert value", 16, decimal, {0: "Multicast Listener Discovery"}))
        elif kind == 0xC2 and length == 4:
            layer.one(Field("Jumbo Payload Length", 32))
        else:
            layer.take("Option Data", length)
    layer.rest("Option Data")
    return head


def _routing(layer: Layer) -> tuple[int, ...] | None:
    head = layer.lay(_ROUTING)
    if head is not None:
        if head[2] == 4:
            layer.lay((Field("Last Entry", 8), Field("Flags", 8, hex8), Field("Tag", 16)))
        else:
            layer.take("Reserved", 4)
        while layer.left >= 16 and head[2] in (0, 2, 4) and not layer.is_full:
            layer.one(Field("Address", 128, ip6))
        layer.rest("Type-specific data")
    return head


def _fragment6(layer: Layer) -> tuple[int, ...] | None:
    return layer.lay(_FRAGMENT6)


_EXTENSION_READERS: Final = {
    ipv6_ext.HOP_BY_HOP: _options6,
    ipv6_ext.DESTINATION_OPTIONS: _options6,
    ipv6_ext.ROUTING: _routing,
    ipv6_ext.FRAGMENT: _fragment6,
}


def _inside(
    whole: Dissection, proto: int, start: int, end: int, ends: tuple[int, int], *, complete: bool
) -> None:
    """Take apart what a packet carries. `complete`: all of it is here."""
    if start >= end:
        return
    if proto == 4:
        whole.inner(ethernet.IPV4, start, end)
    elif proto == 41:
        whole.inner(ethernet.IPV6, start, end)
    else:
        lay_transport(whole, proto, start, end, ends, complete=complete)
