"""THE WAY OUT: from the transport layer to the port, top to bottom.

A `Way` is found once for all packets from one address to another. By `send` each packet goes at
once, or waits for its neighbour, or is counted by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import BROADCAST_MAC, Ip, Mac
from pystack.observe.observer import FrameSeen
from pystack.stack.ip_fields import PLAIN, IpFields
from pystack.stack.routes import Route
from pystack.stack.way import NOBODY, Way, find_way
from pystack.wire import arp, ethernet, ip, ipv4, ipv6, ipv6_ext, nd, tcp, udp
from pystack.wire.frame import (
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    Plain,
    SuperFrame,
    numbered,
)
from pystack.wire.ip_options import SourceRoute, pack_source_route
from pystack.wire.packet import DONT_FRAGMENT

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.wire.checksum import Buffer

_TO_PACKET: Final = ethernet.HEADER_BYTES - 6  # from the source's MAC address to the packet


def send(
    host: Host,
    way: Way,
    lower: bytes,
    upper: bytes,
    payload: Buffer,
    now: float,
    checksum: int = CHECKSUM_UNKNOWN,
    gso_bytes: int = 0,
    more: Sequence[Buffer] | None = None,
    plain: Plain | None = None,
) -> None:
    """Data link layer: find the station, put the frame together, send it, or let it wait (HOT).

    `lower` and `upper` are its headers, from the source's MAC address on. `more` follows the
    payload in a super-frame, whose text stays where it is; None: all goes into one piece, the one
    copy. `plain`: what `wire/headers.py` reads in the frame; None: that is not known here.
    """
    neighbor = way.neighbor
    mac = neighbor.mac if now < neighbor.use_until else way.station(now)
    if mac is None:
        packet = b"".join((lower, upper, payload, *(more or ())))[_TO_PACKET:]
        _wait(host, way, packet, checksum, gso_bytes)
    elif more is None:
        frame = Frame(b"".join((mac, lower, upper, payload)), checksum, gso_bytes, plain)
        transmit(host, way.interface, frame, now)
    else:
        super_frame = SuperFrame(mac + lower + upper, payload, checksum, gso_bytes, more)
        transmit(host, way.interface, super_frame, now)


def _wait(host: Host, way: Way, packet: bytes, checksum: int, gso_bytes: int) -> None:
    interface = way.interface
    link_header = way.template.link

    def send_held(found: Mac, later: float) -> None:
        frame = Frame(b"".join((found, link_header, packet)), checksum, gso_bytes)
        transmit(host, interface, frame, later)

    assert interface.neighbors is not None
    interface.neighbors.hold(way.next_hop, packet, send_held)


def transmit(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Give the port a frame that is ready: counted, and shown to whoever looks."""
    host.counters["frames_out"] += 1
    if host.observers:
        for piece in numbered(frame):
            host.notify(FrameSeen(now, host.name, interface.name, True, piece))
    interface.port.send(frame, now)


def send_segment(
    host: Host, way: Way, segment: tcp.Segment, now: float, fields: IpFields = PLAIN
) -> None:
    """Send a TCP segment (HOT). It fits: its sender knows the MTU, and what the port can cut."""
    if fields.source_route is not None:
        _send_by_source_route(host, way, segment, now, fields, fields.source_route)
        return
    partial = way.interface.port.fills_checksums
    if segment.more and not partial:
        segment.in_one_piece()  # the route is new, and its port can do less
    ident, flags_offset = 0, ipv4.DONT_FRAGMENT
    if not fields.dont_fragment:
        # RFC 1191: never in fragments; with that, the identification may be 0 (RFC 6864).
        ident, flags_offset = _idents(host, way, segment, now), 0
    headers = way.template
    header = tcp.pack(segment, headers.sum, partial=partial)
    payload = segment.payload
    text_bytes = segment.text_bytes if segment.more else len(payload)
    lower = headers.pack(
        ipv4.TCP,
        len(header) + text_bytes,
        fields.tos | segment.ecn,
        fields.ttl,
        ident,
        flags_offset,
    )
    checksum = CHECKSUM_PARTIAL if partial else CHECKSUM_UNKNOWN
    gso_bytes = segment.gso_bytes
    more = segment.more if gso_bytes else None
    send(host, way, lower, header, payload, now, checksum, gso_bytes, more)


def _idents(host: Host, way: Way, segment: tcp.Segment, now: float) -> int:
    """Return the first identification, not 0, of a segment that routers may cut, or its pieces."""
    gso_bytes = segment.gso_bytes
    count = -(-segment.text_bytes // gso_bytes) if gso_bytes else 1
    return host.idents.of(way.src, way.dst, ipv4.TCP).take(now, count) or 1


def _send_by_source_route(
    host: Host,
    way: Way,
    segment: tcp.Segment,
    now: float,
    fields: IpFields,
    source_route: SourceRoute,
) -> None:
    """Send a segment to the first station of its route; the option has the rest and `dst`.

    The pseudo-header has the last address all the way (RFC 9293 section 3.1).
    """
    header = tcp.pack_header(segment, way.src, way.dst)
    ident = 0 if fields.dont_fragment else _idents(host, way, segment, now)
    send_packet(
        host,
        find_way(host, way.route, way.src, source_route.hops[0]),
        ipv4.TCP,
        header + segment.payload,
        now,
        ttl=fields.ttl,
        tos=fields.tos | segment.ecn,
        options=pack_source_route(source_route, way.dst),
        dont_fragment=fields.dont_fragment,
        ident=ident,
    )


def send_datagram(
    host: Host,
    way: Way,
    src_port: int,
    dst_port: int,
    payload: Buffer,
    now: float,
    ttl: int,
    gso_bytes: int = 0,
) -> None:
    """Send a UDP datagram that fits, or with `gso_bytes` a burst of that size each (HOT)."""
    headers, ident = way.template, 0
    if not way.is_v6:
        idents = way.idents
        if idents is None:
            idents = way.idents = host.idents.of(way.src, way.dst, ipv4.UDP)
        ident = idents.take(now, -(-len(payload) // gso_bytes) if gso_bytes else 1)
    partial = way.interface.port.fills_checksums
    header = udp.pack_header(src_port, dst_port, payload, headers.sum, partial=partial)
    lower = headers.pack(ipv4.UDP, udp.HEADER_BYTES + len(payload), 0, ttl, ident)
    checksum = CHECKSUM_PARTIAL if partial else CHECKSUM_UNKNOWN
    send(host, way, lower, header, payload, now, checksum, gso_bytes)


def send_packet(
    host: Host,
    way: Way,
    proto: int,
    payload: bytes,
    now: float,
    *,
    ttl: int = ipv4.DEFAULT_TTL,
    tos: int = 0,
    options: bytes = b"",
    dont_fragment: bool = False,
    mtu_bytes: int | None = None,
    ident: int | None = None,
) -> None:
    """Send a datagram of any protocol, in fragments where it is too large for the link.

    `options` are those of an IPv4 header, whole words. `dont_fragment` goes on what is whole.
    `mtu_bytes` is the path's; None: that of the link. `ident`: None: the next one.
    """
    mtu_bytes = mtu_bytes or way.mtu_bytes
    headers_bytes = (ipv6 if way.is_v6 else ipv4).HEADER_BYTES + len(options)
    whole = headers_bytes + len(payload) <= mtu_bytes
    if ident is None:
        ident = 0 if whole and way.is_v6 else host.idents.of(way.src, way.dst, proto).take(now)
    if whole:
        flags = DONT_FRAGMENT if dont_fragment else 0
        lower = _lower(way, proto, len(payload), tos, ttl, ident, flags, options)
        send(host, way, lower, b"", payload, now)
    elif way.is_v6:
        for header, text in ip.cut6(payload, mtu_bytes, proto, ident):
            host.counters["ip_fragments_out"] += 1
            size = len(header) + len(text)
            lower = way.template.pack(ipv6_ext.FRAGMENT, size, tos, ttl)
            send(host, way, lower, header, text, now)
    else:
        send_cut(host, way, proto, payload, now, mtu_bytes, ttl, tos, ident, 0, options)


def send_cut(
    host: Host,
    way: Way,
    proto: int,
    payload: bytes,
    now: float,
    mtu_bytes: int,
    ttl: int,
    tos: int,
    ident: int,
    flags_offset: int,
    options: bytes,
) -> None:
    """Send what an IPv4 packet carries in fragments; `flags_offset`: of that one, maybe of one."""
    for part, text, kept in ip.cut(payload, mtu_bytes, flags_offset, options):
        host.counters["ip_fragments_out"] += 1
        lower = _lower(way, proto, len(text), tos, ttl, ident, part, kept)
        send(host, way, lower, b"", text, now)


def _lower(
    way: Way,
    proto: int,
    payload_bytes: int,
    tos: int,
    ttl: int,
    ident: int,
    flags_offset: int,
    options: bytes,
) -> bytes:
    """Return the headers of a packet of either version, which may have IPv4's options."""
    headers = way.template
    if not options:
        return headers.pack(proto, payload_bytes, tos, ttl, ident, flags_offset)
    return headers.link + ipv4.pack_header(
        way.src,
        way.dst,
        proto,
        payload_bytes,
        ident=ident,
        flags_offset=flags_offset,
        ttl=ttl,
        tos=tos,
        options=options,
    )


def send_on_link(
    host: Host, interface: Interface, src: Ip, dst: Ip, message: bytes, now: float
) -> None:
    """Send a message of neighbor discovery, which no router passes on."""
    way = Way(host, Route(NOBODY, interface, None, src), src, dst)
    send_packet(host, way, ipv6.ICMPV6, message, now, ttl=nd.HOP_LIMIT)


def send_arp(host: Host, interface: Interface, dst: Mac, packet: bytes, now: float) -> None:
    """Send an ARP packet to one station, or with BROADCAST_MAC to all."""
    header = ethernet.HEADER.pack(dst, interface.mac, ethernet.ARP)
    transmit(host, interface, Frame(header + packet), now)


def solicit(host: Host, interface: Interface, target: Ip, mac: Mac | None, now: float) -> None:
    """Ask who has `target`: everyone, or only the station that had it (RFC 1122 2.3.2.1)."""
    source = next(
        (own.address for own in interface.addresses if target in own.prefix), interface.address
    )
    request = arp.pack(arp.REQUEST, interface.mac, source, target)
    send_arp(host, interface, BROADCAST_MAC if mac is None else mac, request, now)


def announce(host: Host, interface: Interface, address: Ip, now: float) -> None:
    """Tell the link that this station has `address` (RFC 5227 section 2.3)."""
    packet = arp.pack(arp.REQUEST, interface.mac, address, address)
    send_arp(host, interface, BROADCAST_MAC, packet, now)
