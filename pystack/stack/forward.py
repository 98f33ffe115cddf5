"""Forwarding: what a router does with packets that are for others (RFC 1812 section 5, RFC 8200).

`at_once` carries the common case (HOT): a plain packet, between addresses that are known, over a
link that it fits. All else goes the long way, `packet_arrived`, where every packet that ends
here is counted by name and, where the RFCs ask for it, its sender is told. Whoever asks by an
IP option gets its route recorded, and the time; no source route is followed (RFC 7126 section 4.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.link.port import uso_max_bytes
from pystack.stack import egress
from pystack.stack.egress import send
from pystack.stack.icmp_core import Trouble
from pystack.stack.pairs import learn, not_forwarded
from pystack.stack.way import Way, find_way
from pystack.wire import ethernet, icmpv6, ip, ipv4
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, Plain, completed, headers_bytes, split
from pystack.wire.headers import PAIR, aged
from pystack.wire.ip_options import OptionError, recorded, records
from pystack.wire.packet import DONT_FRAGMENT, Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

_IP: Final = ethernet.HEADER_BYTES


def at_once(host: Host, interface: Interface, frame: Frame, plain: Plain, now: float) -> bool:
    """Forward a plain packet if nothing about it is special; False: nothing was done with it."""
    proto, ends, tos, ttl, start, end = plain
    if frame.gso_bytes or ttl < 2:
        return False
    addresses = ends[PAIR]
    pair = host.pairs.get(addresses)
    if pair is None or pair.interface is not interface:
        pair = learn(host, interface, addresses)
    way = pair.way
    if way is None:
        return False
    out = way.interface
    if end - _IP > out.mtu_bytes or (
        frame.checksum == CHECKSUM_PARTIAL and not out.port.fills_checksums
    ):
        return False
    host.counters["ip_forwarded"] += 1
    head, hops, rest = aged(frame.data, start, end)
    passed = proto, ends, tos, ttl - 1, start, end  # the next station need not read it again
    send(host, way, out.mac + head, hops, rest, now, frame.checksum, plain=passed)
    return True


def packet_arrived(
    host: Host, interface: Interface, packet: Packet, frame: Frame, now: float
) -> None:
    """Forward a packet that is for no address of this host, or say why not."""
    # RFC 1812 5.3.4: what came to many of a link goes no further.
    many = "forward_link_broadcast" if packet.to_many else ""
    if reason := many or not_forwarded(host, packet.src, packet.dst):
        host.drop(reason, now, interface, packet.raw)
        # Of the addresses alone, RFC 4443 3.1 has a word for it.
        if reason == "forward_beyond_scope":
            host.icmp6.send_error(packet, icmpv6.DESTINATION_UNREACHABLE, icmpv6.BEYOND_SCOPE, now)
        return
    chain = packet.chain
    if chain is not None and chain.fault is not None and chain.fault.every_hop:
        host.icmp6.refuse(interface, packet, chain.fault, now)
        return
    if packet.ttl <= 1:
        host.drop("forward_ttl_exceeded", now, interface, packet.raw)
        host.tell(packet, Trouble.HOPS_EXCEEDED, now)
        return
    route = host.routes.lookup(packet.dst)
    if route is None or route.interface.neighbors is None:
        host.drop("forward_no_route", now, interface, packet.raw)
        host.tell(packet, Trouble.NO_ROUTE, now)
        return
    way = find_way(host, route, packet.src, packet.dst)
    if frame.gso_bytes and not _carries(route.interface, packet, frame):
        for piece in split(frame):
            whole = ip.packet_of(piece.data, checksum_good=True)
            _send_on(host, interface, way, whole, piece, now)
    else:
        _send_on(host, interface, way, packet, frame, now)


def _carries(interface: Interface, packet: Packet, frame: Frame) -> bool:
    """Tell whether a super-frame can go out whole, and its pieces fit. WireError: it is none."""
    piece_bytes = headers_bytes(frame, packet) - _IP + frame.gso_bytes
    port = interface.port
    if packet.proto == ipv4.UDP and not uso_max_bytes(port):
        return False
    most_bytes = min(port.gso_max_bytes, ipv4.MAX_PACKET_BYTES)
    return piece_bytes <= interface.mtu_bytes and len(packet.raw) <= most_bytes


def _send_on(
    host: Host, interface: Interface, way: Way, packet: Packet, frame: Frame, now: float
) -> None:
    """Send it on by a way that is known, cut where it is too large and may be."""
    out = way.interface
    fits = frame.gso_bytes or len(packet.raw) <= out.mtu_bytes
    if frame.checksum == CHECKSUM_PARTIAL and not (fits and out.port.fills_checksums):
        # The rest of the checksum is over the whole: nobody can fill it in for a fragment.
        frame = completed(frame)
        packet = ip.packet_of(frame.data, checksum_good=True)
    options = bytes(packet.options)
    if options and records(options):
        here, time_ms = out.address, round(now * 1000)
        try:
            options = recorded(options, here, host.addresses, time_ms)
        except OptionError as error:
            host.drop(error.reason, now, interface, packet.raw)
            host.icmp.bad_option(packet, error, now)
            return
    link_header = way.template.link
    if fits:
        header = ip.aged(packet, options)
        host.counters["ip_forwarded"] += 1
        rest = packet.raw[packet.header_bytes :]
        send(host, way, link_header, header, rest, now, frame.checksum, frame.gso_bytes)
        return
    if packet.flags_offset & DONT_FRAGMENT:
        host.drop("forward_needs_fragmentation", now, interface, packet.raw)
        host.tell(packet, Trouble.TOO_BIG, now, mtu_bytes=out.mtu_bytes)  # RFC 1191 section 4
        return
    host.counters["ip_forwarded"] += 1
    egress.send_cut(
        host,
        way,
        packet.proto,
        bytes(packet.payload),
        now,
        out.mtu_bytes,
        packet.ttl - 1,
        packet.tos,
        packet.ident,
        packet.flags_offset,
        options,
    )
