"""THE WAY IN: what happens to a frame from the port to the transport layer, top to bottom.

A frame that looks as nearly all do is read once (`wire/headers.py`); a segment of a known
connection, a datagram for an open port and what is to be passed on go on at once from there.
Whatever else it may be, the layers find out.

Every `return` before the end has dropped something, and says so to `host.drop` by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    UNSPECIFIED,
    UNSPECIFIED6,
    ZERO_MAC,
    is_loopback,
    is_usable_source,
)
from pystack.core.errors import WireError
from pystack.observe.observer import FrameSeen
from pystack.stack import egress, forward
from pystack.stack.icmp_core import Trouble
from pystack.stack.pairs import forged, is_foreign
from pystack.tcp.states import TcpState
from pystack.wire import arp, ethernet, icmp, ip, ipv4, ipv6, ipv6_ext, tcp
from pystack.wire.frame import (
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    Plain,
    SuperFrame,
    completed,
    is_burst,
    numbered,
    split,
)
from pystack.wire.headers import ENDS4, ENDS6, PAIR, read
from pystack.wire.ip_options import find_source_route
from pystack.wire.packet import FRAGMENT, Packet
from pystack.wire.train import BULK, Train, is_apart

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.tcp_socket import TcpSocket

_ETHERNET: Final = ethernet.HEADER
_IP: Final = (ethernet.IPV4, ethernet.IPV6)
_TCP: Final = ipv4.TCP
_ESTABLISHED: Final = TcpState.ESTABLISHED
_TIME_WAIT: Final = TcpState.TIME_WAIT


def frame_arrived(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Take a frame: at once, where it is plain, and known what to do with it."""
    host.counters["frames_in"] += 1
    if host.observers:
        if frame.gso_bytes and is_burst(frame):
            _each_arrived(host, interface, frame, now)
            return
        for piece in numbered(frame):
            host.notify(FrameSeen(now, host.name, interface.name, False, piece))
    try:
        if frame.gso_bytes and _train_goes_on(host, interface, frame):
            return
        plain = read(frame, interface.mac)
        if plain is not None:
            proto = plain[0]
            if proto == _TCP:
                socket = host.tcp.sockets.get(plain[1])
                if (
                    socket is not None
                    and socket.way.interface is interface
                    and socket.connection.state is not _TIME_WAIT
                ):
                    _segment_arrived(host, socket, frame, plain, now)
                    return
            elif proto == ipv4.UDP and host.udp.frame_arrived(interface, frame, plain, now):
                return
            if host.forwarding and forward.at_once(host, interface, frame, plain, now):
                return
        _link_layer(host, interface, frame, now)
    except WireError as error:
        host.drop(error.reason, now, interface, frame.data)


def _train_goes_on(host: Host, interface: Interface, frame: Frame) -> bool:
    """Tell whether a super-frame was added to what its connection has of this batch (HOT)."""
    head, sockets = frame.head, host.tcp.sockets
    socket = sockets.get(head[ENDS4]) or sockets.get(head[ENDS6])
    if (
        not isinstance(frame, SuperFrame)
        or socket is None
        or socket.train is None
        or socket.way.interface is not interface
        or not socket.train.add(frame)
    ):
        return False
    host.counters["ip_packets_in"] += 1
    host.counters["tcp_segments_in"] += 1
    return True


def _segment_arrived(host: Host, socket: TcpSocket, frame: Frame, plain: Plain, now: float) -> None:
    """Give a plain segment to its connection (HOT)."""
    _, ends, tos, _, start, end = plain
    host.counters["ip_packets_in"] += 1
    addresses = None
    if frame.checksum == CHECKSUM_UNKNOWN:
        addresses = int.from_bytes(ends[PAIR], "big")
    head = frame.head
    # A super-frame's text lies apart, unless somebody has to look at all of it.
    apart = end > len(head) and addresses is None and len(head) >= start + tcp.HEADER_BYTES
    data = head if apart else frame.data
    segment = tcp.read(memoryview(data), start, end, addresses, tos)
    if apart and isinstance(frame, SuperFrame):
        if not is_apart(segment, frame, start):
            segment = tcp.read(memoryview(frame.data), start, end, addresses, tos)
        else:
            segment.payload = memoryview(frame.payload)
            segment.more = frame.more
            segment.gso_bytes = frame.gso_bytes
            if segment.flags in BULK and socket.connection.state is _ESTABLISHED:
                host.counters["tcp_segments_in"] += 1
                host.tcp.hold(socket, Train(segment, frame), now)
                return
    elif frame.gso_bytes:
        segment.gso_bytes = frame.gso_bytes
    host.counters["tcp_segments_in"] += 1
    host.tcp.segment_arrived(socket, segment, now)


def _link_layer(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Data link layer: is it for this station, and what does it carry?"""
    data = frame.data
    if len(data) < ethernet.HEADER_BYTES:
        host.drop("eth_runt", now, interface, data)
        return
    dst, src, ethertype = _ETHERNET.unpack_from(data)
    to_many = bool(dst[0] & 1)
    if dst != interface.mac and not to_many:
        host.drop("eth_for_others", now, interface, data)
        return
    if src[0] & 1:
        host.drop("eth_bad_source", now, interface, data)
        return
    if ethertype in _IP:
        good = frame.checksum != CHECKSUM_UNKNOWN
        packet = ip.packet_of(data, checksum_good=good, to_many=to_many)
        if packet.proto == ipv4.UDP and frame.checksum == CHECKSUM_PARTIAL:
            # An ICMP error quotes the field: as on a cable, it has to be filled in there.
            frame = completed(frame)
            packet = ip.packet_of(frame.data, checksum_good=True, to_many=to_many)
        if packet.version == 6:
            packet.src = host.zoned(interface, packet.src)
            packet.dst = host.zoned(interface, packet.dst)
        _ip_arrived(host, interface, packet, frame, now)
    elif ethertype == ethernet.ARP and interface.neighbors is not None:
        arp_packet = arp.parse(memoryview(data)[ethernet.HEADER_BYTES :])
        _arp_arrived(host, interface, arp_packet, now, data)
    elif ethertype < ethernet.MIN_ETHERTYPE:
        host.drop("eth_802_3_length", now, interface, data)
    else:
        host.drop("eth_unknown_type", now, interface, data)


def _each_arrived(host: Host, interface: Interface, burst: Frame, now: float) -> None:
    """A burst of datagrams that takes no short cut, or is looked at: each for itself."""
    host.counters["frames_in"] -= 1  # its datagrams are counted instead
    try:
        pieces = split(burst)
    except WireError as error:
        host.counters["frames_in"] += 1
        host.drop(error.reason, now, interface, burst.data)
        return
    for piece in pieces:
        frame_arrived(host, interface, piece, now)


def _arp_arrived(
    host: Host, interface: Interface, packet: arp.ArpPacket, now: float, data: bytes
) -> None:
    # RFC 826, "Packet Reception"; the checks of the sender are RFC 5227's and common sense.
    for_us = interface.find(packet.tpa) is not None
    if packet.sha == ZERO_MAC or packet.sha[0] & 1:
        host.drop("arp_bad_sender", now, interface, data)
        return
    if interface.find(packet.spa) is not None:
        host.drop("arp_address_conflict", now, interface, data)  # RFC 5227 2.4: we keep it
        return
    if packet.sha == interface.mac:  # what was sent there would come to us
        host.drop("arp_bad_sender", now, interface, data)
        return
    # RFC 5227: a sender address of 0 is a probe: it is answered, and nothing is learned from it.
    if packet.spa != UNSPECIFIED:
        if not is_usable_source(packet.spa) or interface.is_many(packet.spa):
            host.drop("arp_bad_sender", now, interface, data)
            return
        if not any(packet.spa in own.prefix for own in interface.addresses):
            host.drop("arp_other_network", now, interface, data)
            return
        assert interface.neighbors is not None
        interface.neighbors.arp_arrived(packet, now, for_us=for_us)
    host.counters["arp_packets_in"] += 1
    # Not where somebody tries it out, or says that it has it (RFC 5227): he is to have it.
    proxied = packet.tpa in interface.proxied and packet.spa not in (UNSPECIFIED, packet.tpa)
    if packet.op == arp.REQUEST and (for_us or proxied):
        reply = arp.pack(arp.REPLY, interface.mac, packet.tpa, packet.spa, packet.sha)
        egress.send_arp(host, interface, packet.sha, reply, now)
    elif not for_us:
        host.counters["arp_for_others"] += 1


def _ip_arrived(host: Host, interface: Interface, packet: Packet, frame: Frame, now: float) -> None:
    """Network layer: is it for this host, is it whole, and whom does it go to?"""
    dst = packet.dst
    fault = None if packet.chain is None else packet.chain.fault
    # All of 127.0.0.0/8, but for what means many
    own_loopback = interface.neighbors is None and host.is_own(dst)
    ours = dst in host.addresses or own_loopback
    foreign = not ours and is_foreign(host, interface, packet.src, dst)
    if not ours and not foreign:
        if not interface.is_many(dst):
            if host.forwarding:
                forward.packet_arrived(host, interface, packet, frame, now)
                return
            # RFC 1122 3.2.1.3 (g): nobody on a link has such an address
            reason = "ip_martian" if is_loopback(dst) else "ip_for_others"
            host.drop(reason, now, interface, packet.raw)
            return
        if not interface.hears(dst):
            # RFC 1112 section 7.2: for a group that nobody here has joined
            host.drop("ip_group_not_joined", now, interface, packet.raw)
            return
        packet.to_many = True
    elif packet.to_many:
        # RFC 1122 section 3.3.6: of the link's many, each would take it for its own.
        host.drop("ip_unicast_to_many", now, interface, packet.raw)
        return
    if reason := forged(host, interface, packet.src, dst):
        host.drop(reason, now, interface, packet.raw)
        return
    if foreign and packet.ttl <= 1 and dst not in interface.proxied:
        # Where it is for is behind this host: as of a router, who looks for the way finds it.
        host.drop("forward_ttl_exceeded", now, interface, packet.raw)
        host.tell(packet, Trouble.HOPS_EXCEEDED, now)
        return
    if frame.gso_bytes and is_burst(frame):
        _each_arrived(host, interface, frame, now)
        return
    if fault is not None:
        host.icmp6.refuse(interface, packet, fault, now)
        return
    if packet.version == 4 and packet.header_bytes > ipv4.HEADER_BYTES:
        route = find_source_route(packet.options)
        if route is not None and not route.done:
            # It is to go on from here, and we pass on none (RFC 1122 section 3.3.5).
            host.drop("ip_source_route", now, interface, packet.raw)
            host.icmp.send_error(
                packet, icmp.DESTINATION_UNREACHABLE, icmp.SOURCE_ROUTE_FAILED, now
            )
            return
    if packet.flags_offset & FRAGMENT:
        host.counters["ip_fragments_in"] += 1
        whole = host.reassembly.add(packet, now)
        if whole is None:
            return
        packet = whole
        if packet.chain is not None and packet.chain.fault is not None:
            host.icmp6.refuse(interface, packet, packet.chain.fault, now)
            return
    host.counters["ip_packets_in"] += 1
    _transport_arrived(host, interface, packet, now)


def _transport_arrived(host: Host, interface: Interface, packet: Packet, now: float) -> None:
    proto = packet.proto
    if packet.version == 6 and proto == ipv6.ICMPV6:
        host.icmp6.packet_arrived(interface, packet, now)
    elif packet.src == UNSPECIFIED6:  # a station without an address asks for one, and does no more
        host.drop("ip_bad_source", now, interface, packet.raw)
    elif proto == ipv4.TCP:
        host.tcp.packet_arrived(interface, packet, now)
    elif proto == ipv4.UDP:
        host.udp.packet_arrived(interface, packet, now)
    elif packet.version == 4 and proto == ipv4.ICMP:
        host.icmp.packet_arrived(packet, now)
    elif packet.version == 4 and proto == ipv4.IGMP:
        host.groups.packet_arrived(interface, packet, now)
    elif packet.version == 6 and proto == ipv6_ext.NO_NEXT_HEADER:
        host.drop("ip6_no_next_header", now, interface, packet.raw)
    else:
        host.drop("ip_unknown_protocol", now, interface, packet.raw)
        host.tell(packet, Trouble.UNKNOWN_PROTOCOL, now)
