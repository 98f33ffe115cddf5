"""THE WAY OUT: from the transport layer to the port, top to bottom.

A `Way` is found once for all packets from one address to another. By `send` each packet goes at
once, or waits for its neighbour, or is counted by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import BROADCAST_MAC, Ip, Mac
from pystack.observe.observer import FrameSeen
from pystack.stack.fragments import cut, cut6
from pystack.stack.ip_fields import PLAIN, IpFields
from pystack.stack.way import Way, find_way
from pystack.wire import arp, ethernet, ipv4, ipv6, ipv6_ext, tcp, udp
from pystack.wire.frame import (
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    SUPER_TEXT_BYTES,
    Frame,
    SuperFrame,
    cut_down,
)
from pystack.wire.ip_options import SourceRoute, pack_source_route
from pystack.wire.packet import DONT_FRAGMENT, MORE_FRAGMENTS

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.routes import Route
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
) -> None:
    """Data link layer: find the station, put the frame together, send it, or let it wait (HOT).

    `lower` and `upper` are its headers, from the source's MAC address on. `more` follows the
    payload in a super-frame, whose text stays where it is; None: all goes into one piece, the one
    copy.
    """
    neighbor = way.neighbor
    mac = neighbor.mac if now < neighbor.use_until else way.station(now)
    if mac is None:
        packet = b"".join((lower, upper, payload, *(more or ())))[_TO_PACKET:]
        _wait(host, way, packet, checksum, gso_bytes)
    elif more is None:
        frame = Frame(b"".join((mac, lower, upper, payload)), checksum, gso_bytes)
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
        pieces: Sequence[Frame] = (frame,)
        if isinstance(frame, SuperFrame) and len(frame) > ipv4.MAX_PACKET_BYTES:
            pieces = cut_down(frame, SUPER_TEXT_BYTES)  # no header has a number for its length
        for piece in pieces:
            host.notify(FrameSeen(now, host.name, interface.name, True, piece))
    interface.port.send(frame, now)


def send_segment(
    host: Host, way: Way, segment: tcp.Segment, now: float, ip: IpFields = PLAIN
) -> None:
    """Send a TCP segment (HOT). It fits: its sender knows the MTU, and what the port can cut."""
    if ip.source_route is not None:
        _send_by_source_route(host, way, segment, now, ip, ip.source_route)
        return
    partial = way.interface.port.fills_checksums
    if segment.more and not partial:
        segment.in_one_piece()  # the route is new, and its port can do less
    ident, flags_offset = 0, ipv4.DONT_FRAGMENT
    if not ip.dont_fragment:
        # RFC 1191: never in fragments; with that, the identification may be 0 (RFC 6864).
        ident, flags_offset = _idents(host, way, segment, now), 0
    headers = way.template
    header = tcp.pack(segment, headers.sum, partial=partial)
    payload = segment.payload
    text_bytes = segment.text_bytes if segment.more else len(payload)
    lower = headers.pack(
        ipv4.TCP, len(header) + text_bytes, ip.tos | segment.ecn, ip.ttl, ident, flags_offset
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
    ip: IpFields,
    source_route: SourceRoute,
) -> None:
    """Send a segment to the first station of its route; the option has the rest and `dst`.

    The pseudo-header has the last address all the way (RFC 9293 section 3.1).
    """
    header = tcp.pack_header(segment, way.src, way.dst)
    ident = 0 if ip.dont_fragment else _idents(host, way, segment, now)
    send_packet(
        host,
        way.route,
        way.src,
        source_route.hops[0],
        ipv4.TCP,
        header + segment.payload,
        now,
        ttl=ip.ttl,
        tos=ip.tos | segment.ecn,
        options=pack_source_route(source_route, way.dst),
        dont_fragment=ip.dont_fragment,
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
    route: Route,
    src: Ip,
    dst: Ip,
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
    flow_label: int = 0,
) -> None:
    """Send a datagram of any protocol, in fragments where it is too large for the link.

    `options` are those of an IPv4 header, whole words. `dont_fragment` goes on what is whole.
    `mtu_bytes` is the path's; None: that of the link. `ident`: None: the next one.
    """
    way = find_way(host, route, src, dst)
    mtu_bytes = mtu_bytes or way.mtu_bytes
    link_header = way.template.link
    if way.is_v6:
        if ttl == ipv6.DEFAULT_HOP_LIMIT:
            ttl = way.interface.hop_limit6
        fields = {"ttl": ttl, "tos": tos, "flow_label": flow_label}
        _send6(host, way, proto, payload, now, link_header, mtu_bytes, fields)
        return
    if ident is None:
        ident = host.idents.of(src, dst, proto).take(now)
    whole = ipv4.HEADER_BYTES + len(options) + len(payload) <= mtu_bytes
    pieces = [(0, payload, False, options)] if whole else cut(payload, mtu_bytes, options)
    for offset, piece, more, kept in pieces:
        flags_offset = offset | (MORE_FRAGMENTS if more else 0)
        if whole:
            flags_offset = DONT_FRAGMENT if dont_fragment else 0
        else:
            host.counters["ip_fragments_out"] += 1
        header = ipv4.pack_header(
            src,
            dst,
            proto,
            len(piece),
            ident=ident,
            flags_offset=flags_offset,
            ttl=ttl,
            tos=tos,
            options=kept,
        )
        send(host, way, link_header, header, piece, now)


def _send6(
    host: Host,
    way: Way,
    proto: int,
    payload: bytes,
    now: float,
    link_header: bytes,
    mtu_bytes: int,
    fields: dict[str, int],
) -> None:
    src, dst = way.src, way.dst
    if ipv6.HEADER_BYTES + len(payload) <= mtu_bytes:
        header = ipv6.pack_header(src, dst, proto, len(payload), **fields)
        send(host, way, link_header, header, payload, now)
        return
    ident = host.idents.of(src, dst, proto).take(now)
    for behind, piece in cut6(payload, mtu_bytes, proto, ident):
        size = len(behind) + len(piece)
        header = ipv6.pack_header(src, dst, ipv6_ext.FRAGMENT, size, **fields)
        host.counters["ip_fragments_out"] += 1
        send(host, way, link_header, header + behind, piece, now)


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
