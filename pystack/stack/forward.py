"""Forwarding: what a router does with packets that are for others (RFC 1812 section 5).

`at_once` carries the common case (HOT): a whole packet without options, to a station that is known,
over a link that it fits. All else goes the long way, `packet_arrived`, where every packet that ends
here is counted by name and, where the RFCs ask for it, its sender is told. Who asks by an
IP option gets its route recorded, and the time; no source route is followed (RFC 7126 section 4.3).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip4, Mac, is_loopback, is_usable_source
from pystack.link.port import uso_max_bytes
from pystack.observe.observer import FrameSeen
from pystack.stack.fragments import cut
from pystack.wire import ethernet, icmp, ipv4
from pystack.wire.checksum import partial_sum, update
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, completed, headers_bytes, split
from pystack.wire.ip_options import OptionError, recorded, records
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.routes import Route

_IP: Final = ethernet.HEADER_BYTES
_END: Final = _IP + ipv4.HEADER_BYTES
# Version and length, total length, fragment, TTL and protocol, checksum, both addresses as one.
_FIELDS: Final = struct.Struct("!BxHxxHHHQ")
_TTL_CHECKSUM: Final = struct.Struct("!HH")
_TTL_AT: Final = _IP + 8
_PLAIN: Final = ipv4.PLAIN
_PIECE: Final = ipv4.FRAGMENT
_ONE_HOP: Final = 0x100  # of the TTL, in the word that it shares with the protocol
_PAIRS_LIMIT: Final = 4096  # remembered pairs of addresses; when that many are, all are forgotten
_LINK_LOCAL: Final = 0xA9FE  # 169.254/16 stays on its link (RFC 3927 section 7)


def at_once(host: Host, frame: Frame, now: float) -> bool:
    """Forward a frame's packet if nothing about it is special; False: nothing was done with it."""
    data = frame.data
    if frame.gso_bytes or len(data) < _END:
        return False
    version, total_bytes, fragment, ttl_proto, check, pair = _FIELDS.unpack_from(data, _IP)
    if (
        version != _PLAIN
        or fragment & _PIECE
        or ttl_proto < 2 * _ONE_HOP
        or int.from_bytes(data[_IP:_END], "big") % 0xFFFF
        or not ipv4.HEADER_BYTES <= total_bytes <= len(data) - _IP
    ):
        return False
    route = host.routes.pairs.get(pair) or _learn_pair(host, pair)
    if route is None:
        return False
    interface = route.interface
    neighbors = interface.neighbors
    port = interface.port
    if (
        neighbors is None
        or total_bytes > interface.mtu_bytes
        or (frame.checksum == CHECKSUM_PARTIAL and not port.fills_checksums)
    ):
        return False
    gateway = route.gateway
    mac = neighbors.lookup(Ip4(pair & 0xFFFFFFFF) if gateway is None else gateway, now)
    if mac is None:
        return False
    # RFC 1624: the sum of all words stays what it was, so 0x100 less there is 0x100 more here.
    check += _ONE_HOP
    if check >= 0xFFFF:
        check -= 0xFFFF
    aged = _TTL_CHECKSUM.pack(ttl_proto - _ONE_HOP, check)
    rest = data[_TTL_AT + 4 : _IP + total_bytes]
    out = Frame(b"".join((mac, interface.mac, data[12:_TTL_AT], aged, rest)), frame.checksum)
    counters = host.counters
    counters["ip_forwarded"] += 1
    counters["frames_out"] += 1
    if host.observers:
        host.notify(FrameSeen(now, host.name, interface.name, True, out))
    port.send(out, now)
    return True


def packet_arrived(
    host: Host, interface: Interface, packet: Packet, frame: Frame, now: float
) -> None:
    """Forward a packet that is for no address of this host, or say why not."""
    # RFC 1812 5.3.4: what came to many of a link goes no further.
    many = "forward_link_broadcast" if packet.to_many else ""
    if reason := many or _refusal(host, packet.src, packet.dst):
        host.drop(reason, now, interface, packet.raw)
        return
    if packet.ttl <= 1:
        host.drop("forward_ttl_exceeded", now, interface, packet.raw)
        host.icmp.send_error(packet, icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, now)
        return
    route = host.routes.lookup(packet.dst)
    if route is None or route.interface.neighbors is None:
        host.drop("forward_no_route", now, interface, packet.raw)
        host.icmp.send_error(packet, icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE, now)
        return
    if frame.gso_bytes and not _carries(route.interface, packet, frame):
        for piece in split(frame):
            whole = ipv4.parse(memoryview(piece.data)[_IP:], checksum_good=True)
            _to_route(host, interface, route, whole, piece, now)
    else:
        _to_route(host, interface, route, packet, frame, now)


def lost(host: Host, packet: bytes, now: float) -> None:
    """Tell the sender that the last hop did not answer: host unreachable (RFC 1812 5.2.7.1)."""
    whole = ipv4.parse(memoryview(packet))
    host.icmp.send_error(whole, icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE, now)


def _learn_pair(host: Host, pair: int) -> Route | None:
    """Find the route for packets between two addresses, and remember it; None: look closer."""
    src, dst = Ip4(pair >> 32), Ip4(pair & 0xFFFFFFFF)
    if dst in host.addresses or _refusal(host, src, dst):
        return None
    route = host.routes.lookup(dst)
    pairs = host.routes.pairs
    if route is not None:
        if len(pairs) >= _PAIRS_LIMIT:
            pairs.clear()
        pairs[pair] = route
    return route


def _refusal(host: Host, src: Ip4, dst: Ip4) -> str:
    """Return why a packet may not be forwarded, without a word to its sender; "" where it may."""
    if host.is_many(dst):
        return "forward_broadcast"  # RFC 1812 5.3.5; RFC 2644: not the directed ones either
    if not host.may_be_source(src) or is_loopback(src) or src >> 16 == _LINK_LOCAL:
        return "forward_bad_source"  # RFC 1812 5.3.7
    if src in host.addresses:
        return "forward_own_source"  # it came from here, or somebody says so
    if not is_usable_source(dst) or is_loopback(dst) or dst >> 16 == _LINK_LOCAL:
        return "forward_martian"
    return ""


def _carries(interface: Interface, packet: Packet, frame: Frame) -> bool:
    """Tell whether a super-frame can go out whole, and its pieces fit. WireError: it is none."""
    piece_bytes = headers_bytes(frame, packet) - _IP + frame.gso_bytes
    port = interface.port
    if packet.proto == ipv4.UDP and not uso_max_bytes(port):
        return False
    return piece_bytes <= interface.mtu_bytes and len(packet.raw) <= port.gso_max_bytes


def _to_route(
    host: Host,
    interface: Interface,
    route: Route,
    packet: Packet,
    frame: Frame,
    now: float,
) -> None:
    """Send it on over a route that is known, cut where it is too large and may be."""
    mtu_bytes = route.interface.mtu_bytes
    fits = frame.gso_bytes or len(packet.raw) <= mtu_bytes
    if frame.checksum == CHECKSUM_PARTIAL and not (fits and route.interface.port.fills_checksums):
        # The rest of the checksum is over the whole: nobody can fill it in for a fragment.
        frame = completed(frame)
        packet = ipv4.parse(memoryview(frame.data)[_IP:], checksum_good=True)
    options = bytes(packet.options)
    if options and records(options):
        here, time_ms = route.interface.address, round(now * 1000)
        try:
            options = recorded(options, here, host.addresses, time_ms)
        except OptionError as error:
            host.drop(error.reason, now, interface, packet.raw)
            host.icmp.bad_option(packet, error, now)
            return
    if fits:
        header = _aged(bytes(packet.raw[: packet.header_bytes]), options)
        host.counters["ip_forwarded"] += 1
        _send(host, route, packet.dst, header + packet.payload, frame, now)
        return
    if packet.flags_offset & ipv4.DONT_FRAGMENT:
        host.drop("forward_needs_fragmentation", now, interface, packet.raw)
        host.icmp.send_error(
            packet,
            icmp.DESTINATION_UNREACHABLE,
            icmp.FRAGMENTATION_NEEDED,
            now,
            rest=mtu_bytes,  # RFC 1191 section 4
        )
        return
    host.counters["ip_forwarded"] += 1
    first = packet.flags_offset & 0x1FFF
    for offset, payload, more, kept in cut(bytes(packet.payload), mtu_bytes, options):
        header = ipv4.pack_header(
            packet.src,
            packet.dst,
            packet.proto,
            len(payload),
            ident=packet.ident,
            flags_offset=first + offset
            | (ipv4.MORE_FRAGMENTS if more or packet.more_fragments else 0),
            ttl=packet.ttl - 1,
            tos=packet.tos,
            options=kept,
        )
        host.counters["ip_fragments_out"] += 1
        _send(host, route, packet.dst, header + payload, Frame(b""), now)


def _aged(header: bytes, options: bytes) -> bytes:
    """Return the header with one hop less to live, its checksum brought up to date (RFC 1624).

    `options` are its options as they are to be now.
    """
    old, check = _TTL_CHECKSUM.unpack_from(header, 8)
    word = old - _ONE_HOP
    patched = bytearray(header)
    was = header[ipv4.HEADER_BYTES :]
    if options != was:
        patched[ipv4.HEADER_BYTES :] = options
        check = update(check, partial_sum(was), partial_sum(options))
    _TTL_CHECKSUM.pack_into(patched, 8, word, update(check, old, word))
    return bytes(patched)


def _send(host: Host, route: Route, dst: Ip4, packet: bytes, like: Frame, now: float) -> None:
    """Put the packet into a frame for the next station; wait for its address where need be."""
    interface = route.interface
    neighbors = interface.neighbors
    assert neighbors is not None
    next_hop = route.next_hop(dst)

    def send(mac: Mac, at: float) -> None:
        header = ethernet.HEADER.pack(mac, interface.mac, ethernet.IPV4)
        out = Frame(header + packet, like.checksum, like.gso_bytes)
        host.counters["frames_out"] += 1
        if host.observers:
            host.notify(FrameSeen(at, host.name, interface.name, True, out))
        interface.port.send(out, at)

    mac = neighbors.lookup(next_hop, now)
    if mac is None:
        neighbors.hold(next_hop, packet, send)
    else:
        send(mac, now)
