"""THE WAY OUT: from the transport layer to the port, top to bottom.

A packet that is ready is sent, or waits for its neighbour, or is counted by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import BROADCAST_MAC, ZERO_MAC, Ip4, Mac, is_multicast
from pystack.observe.observer import FrameSeen
from pystack.stack.fragments import cut
from pystack.stack.ip_fields import PLAIN, IpFields
from pystack.wire import arp, datagram_frame, ethernet, ipv4, segment_frame, tcp, udp
from pystack.wire.frame import (
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    SUPER_TEXT_BYTES,
    Frame,
    SuperFrame,
    cut_down,
)
from pystack.wire.ip_options import SourceRoute, pack_source_route

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.routes import Route
    from pystack.wire.checksum import Buffer

_UDP_HEADERS_BYTES: Final = ipv4.HEADER_BYTES + udp.HEADER_BYTES


def send_segment(
    host: Host,
    route: Route,
    src: Ip4,
    dst: Ip4,
    segment: tcp.Segment,
    now: float,
    ip: IpFields = PLAIN,
) -> None:
    """Send a TCP segment (HOT). It fits: its sender knows the MTU, and what the port can cut."""
    if ip.source_route is not None:
        _send_by_source_route(host, route, src, dst, segment, now, ip, ip.source_route)
        return
    interface = route.interface
    partial = interface.port.fills_checksums
    checksum = CHECKSUM_PARTIAL if partial else CHECKSUM_UNKNOWN
    if segment.more and not partial:
        segment.in_one_piece()  # the route is new, and its port can do less
    neighbors = interface.neighbors
    next_hop = dst if route.gateway is None else route.gateway
    mac = ZERO_MAC if neighbors is None else neighbors.lookup(next_hop, now)
    ident = 0 if ip.dont_fragment else _idents(host, src, dst, segment, now)
    if mac is not None:
        parts = segment_frame.pack(
            segment,
            src,
            dst,
            interface.mac,
            mac,
            partial=partial,
            tos=ip.tos,
            ttl=ip.ttl,
            ident=ident,
        )
        if segment.gso_bytes:
            head = b"".join(parts[:2])
            frame: Frame = SuperFrame(
                head, segment.payload, checksum, segment.gso_bytes, segment.more
            )
        else:
            frame = Frame(b"".join(parts), checksum)
        transmit(host, interface, frame, now)
        return
    segment.in_one_piece()
    headers, *rest = segment_frame.pack(
        segment,
        src,
        dst,
        ZERO_MAC,
        ZERO_MAC,
        partial=partial,
        tos=ip.tos,
        ttl=ip.ttl,
        ident=ident,
    )
    packet = (headers[ethernet.HEADER_BYTES :], *rest)
    _to_next_hop(host, interface, next_hop, packet, now, checksum, segment.gso_bytes)


def _idents(host: Host, src: Ip4, dst: Ip4, segment: tcp.Segment, now: float) -> int:
    """Return the first identification, not 0, of a segment that routers may cut, or its pieces."""
    gso_bytes = segment.gso_bytes
    count = -(-segment.text_bytes // gso_bytes) if gso_bytes else 1
    return host.idents.of(src, dst, ipv4.TCP).take(now, count) or 1


class DatagramWay:
    """The way of all datagrams from a socket to one port of one address, found once."""

    __slots__ = ("changes", "headers", "idents", "local", "next_hop", "route", "src")

    def __init__(
        self, host: Host, route: Route, local: Ip4, src: Ip4, dst: Ip4, ports: tuple[int, int]
    ) -> None:
        interface = route.interface
        # It holds as long as these two do.
        self.changes = host.routes.changes
        self.local = local
        self.route = route
        self.src = src
        # None: none of these datagrams can be sent at once
        self.next_hop: Ip4 | None = None
        if interface.neighbors is not None and not interface.is_many(dst):
            self.next_hop = dst if route.gateway is None else route.gateway
        self.idents = host.idents.of(src, dst, ipv4.UDP)
        self.headers = datagram_frame.Headers(src, dst, *ports, interface.mac)


def send_datagram(host: Host, way: DatagramWay, payload: bytes, now: float, ttl: int) -> bool:
    """Send a UDP datagram at once (HOT); False: it is too large, or its station is not known."""
    interface = way.route.interface
    next_hop, neighbors = way.next_hop, interface.neighbors
    if (
        next_hop is None
        or neighbors is None
        or _UDP_HEADERS_BYTES + len(payload) > interface.mtu_bytes
    ):
        return False
    mac = neighbors.lookup(next_hop, now)
    if mac is None:
        return False
    port = interface.port
    partial = port.fills_checksums
    ttl_proto = ttl << 8 | ipv4.UDP
    data = way.headers.frame(payload, mac, way.idents.take(now), ttl_proto, partial=partial)
    frame = Frame(data, CHECKSUM_PARTIAL if partial else CHECKSUM_UNKNOWN)
    host.counters["frames_out"] += 1  # `transmit`, written out
    if host.observers:
        _show(host, interface, frame, now)
    port.send(frame, now)
    return True


def send_burst(
    host: Host, way: DatagramWay, datagrams: Sequence[Buffer], now: float, ttl: int
) -> bool:
    """Send datagrams of one size (the last may be shorter) as one frame; False: it can't be.

    The port takes bursts of this size, and nobody looks on: both are the caller's to know.
    """
    interface = way.route.interface
    next_hop, neighbors = way.next_hop, interface.neighbors
    each_bytes = len(datagrams[0])
    if (
        next_hop is None
        or neighbors is None
        or _UDP_HEADERS_BYTES + each_bytes > interface.mtu_bytes
    ):
        return False
    mac = neighbors.lookup(next_hop, now)
    if mac is None:
        return False
    ident = way.idents.take(now, len(datagrams))
    data = way.headers.frame(b"".join(datagrams), mac, ident, ttl << 8 | ipv4.UDP, partial=True)
    host.counters["frames_out"] += len(datagrams)
    interface.port.send(Frame(data, CHECKSUM_PARTIAL, each_bytes), now)
    return True


def send_packet(
    host: Host,
    route: Route,
    src: Ip4,
    dst: Ip4,
    proto: int,
    payload: bytes,
    now: float,
    *,
    ttl: int = ipv4.DEFAULT_TTL,
    tos: int = 0,
    options: bytes = b"",
    dont_fragment: bool = False,
    mtu_bytes: int | None = None,
) -> None:
    """Send a datagram of any protocol, in fragments where it is too large for the link.

    `options` are those of its IP header, whole words. `dont_fragment` goes on what is whole.
    `mtu_bytes` is the path's; None: that of the link.
    """
    interface = route.interface
    mtu_bytes = mtu_bytes or interface.mtu_bytes
    # What is for many is for this link: no gateway is asked to pass it on.
    next_hop = dst if interface.is_many(dst) else route.next_hop(dst)
    ident = host.idents.of(src, dst, proto).take(now)
    if ipv4.HEADER_BYTES + len(options) + len(payload) <= mtu_bytes:
        header = ipv4.pack_header(
            src,
            dst,
            proto,
            len(payload),
            ident=ident,
            flags_offset=ipv4.DONT_FRAGMENT if dont_fragment else 0,
            ttl=ttl,
            tos=tos,
            options=options,
        )
        _to_next_hop(host, interface, next_hop, (header, payload), now)
        return
    for offset, piece, more, kept in cut(payload, mtu_bytes, options):
        header = ipv4.pack_header(
            src,
            dst,
            proto,
            len(piece),
            ident=ident,
            flags_offset=offset | (ipv4.MORE_FRAGMENTS if more else 0),
            ttl=ttl,
            tos=tos,
            options=kept,
        )
        host.counters["ip_fragments_out"] += 1
        _to_next_hop(host, interface, next_hop, (header, piece), now)


def send_arp(host: Host, interface: Interface, dst: Mac, packet: bytes, now: float) -> None:
    """Send an ARP packet to one station, or with BROADCAST_MAC to all."""
    header = ethernet.HEADER.pack(dst, interface.mac, ethernet.ARP)
    transmit(host, interface, Frame(header + packet), now)


def solicit(host: Host, interface: Interface, target: Ip4, mac: Mac | None, now: float) -> None:
    """Ask who has `target`: everyone, or only the station that had it (RFC 1122 2.3.2.1)."""
    source = next(
        (own.address for own in interface.addresses if target in own.prefix), interface.address
    )
    request = arp.pack(arp.REQUEST, interface.mac, source, target)
    send_arp(host, interface, BROADCAST_MAC if mac is None else mac, request, now)


def announce(host: Host, interface: Interface, address: Ip4, now: float) -> None:
    """Tell the link that this station has `address` (RFC 5227 section 2.3)."""
    packet = arp.pack(arp.REQUEST, interface.mac, address, address)
    send_arp(host, interface, BROADCAST_MAC, packet, now)


def _send_by_source_route(
    host: Host,
    route: Route,
    src: Ip4,
    dst: Ip4,
    segment: tcp.Segment,
    now: float,
    ip: IpFields,
    source_route: SourceRoute,
) -> None:
    """Send a segment to the first station of its route; the option has the rest and `dst`.

    The pseudo-header has the last address all the way (RFC 9293 section 3.1).
    """
    header = tcp.pack_header(segment, src, dst)
    first = source_route.hops[0]
    ip_header = ipv4.pack_header(
        src,
        first,
        ipv4.TCP,
        len(header) + len(segment.payload),
        ident=0 if ip.dont_fragment else _idents(host, src, dst, segment, now),
        flags_offset=ipv4.DONT_FRAGMENT if ip.dont_fragment else 0,
        ttl=ip.ttl,
        tos=ip.tos | segment.ecn,
        options=pack_source_route(source_route, dst),
    )
    parts = (ip_header, header, segment.payload)
    _to_next_hop(host, route.interface, route.next_hop(first), parts, now)


def _to_next_hop(
    host: Host,
    interface: Interface,
    next_hop: Ip4,
    parts: tuple[bytes | bytearray | memoryview, ...],
    now: float,
    checksum: int = CHECKSUM_UNKNOWN,
    gso_bytes: int = 0,
) -> None:
    """Data link layer: find the station, put the frame together (the one copy), send it."""
    neighbors = interface.neighbors
    if neighbors is None:
        mac: Mac | None = ZERO_MAC
    else:
        mac = neighbors.lookup(next_hop, now)
        if mac is None:
            mac = _group_mac(interface, next_hop)
    if mac is None:
        assert neighbors is not None
        packet = b"".join(parts)

        def send_held(found: Mac, later: float) -> None:
            header = ethernet.HEADER.pack(found, interface.mac, ethernet.IPV4)
            transmit(host, interface, Frame(header + packet, checksum, gso_bytes), later)

        neighbors.hold(next_hop, packet, send_held)
        return
    header = ethernet.HEADER.pack(mac, interface.mac, ethernet.IPV4)
    transmit(host, interface, Frame(b"".join((header, *parts)), checksum, gso_bytes), now)


def _group_mac(interface: Interface, dst: Ip4) -> Mac | None:
    if interface.is_broadcast(dst):
        return BROADCAST_MAC
    if is_multicast(dst):
        return Mac(b"\x01\x00\x5e" + (dst & 0x7FFFFF).to_bytes(3, "big"))  # RFC 1112 section 6.4
    return None


def transmit(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Give the port a frame that is ready."""
    host.counters["frames_out"] += 1
    if host.observers:
        _show(host, interface, frame, now)
    interface.port.send(frame, now)


def _show(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Tell observers of a frame: in pieces, where its headers have no number for its length."""
    pieces: Sequence[Frame] = (frame,)
    if isinstance(frame, SuperFrame) and len(frame) > ipv4.MAX_PACKET_BYTES:
        pieces = cut_down(frame, SUPER_TEXT_BYTES)
    for piece in pieces:
        host.notify(FrameSeen(now, host.name, interface.name, True, piece))
