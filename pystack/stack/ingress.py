"""THE WAY IN: what happens to a frame from the port to the transport layer, top to bottom.

A segment of a known connection, a datagram for an open port or an echo request that looks as nearly
all do takes a short cut through the layers: the checks are the same, but all at once. Whatever else
it may be, the layers find out.

Every `return` before the end has dropped something, and says so to `host.drop` by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    UNSPECIFIED,
    ZERO_MAC,
    Ip4,
    is_loopback,
    is_usable_source,
)
from pystack.core.errors import WireError
from pystack.observe.observer import FrameSeen
from pystack.stack import egress, forward
from pystack.stack.train import Train, may_begin
from pystack.tcp.states import TcpState
from pystack.wire import arp, datagram_frame, echo_frame, ethernet, icmp, ipv4, segment_frame
from pystack.wire.frame import (
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    SuperFrame,
    completed,
    is_burst,
    split,
)
from pystack.wire.ip_options import find_source_route
from pystack.wire.packet import Packet
from pystack.wire.tcp import SYN

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.tcp_socket import TcpSocket

_ETHERNET: Final = ethernet.HEADER
# Of a TCP segment without IP options: where its flags are
_FLAGS: Final = slice(47, 48)
_DST: Final = slice(30, 34)
_SYN_ALONE: Final = bytes((SYN,))
_ESTABLISHED: Final = TcpState.ESTABLISHED


def frame_arrived(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Data link layer: is it for this station, and what does it carry?"""
    host.counters["frames_in"] += 1
    if host.observers:
        if is_burst(frame):
            _each_arrived(host, interface, frame, now)
            return
        host.notify(FrameSeen(now, host.name, interface.name, False, frame))
    socket = host.tcp.sockets.get(segment_frame.ends(frame.head))
    if (
        socket is not None
        and socket.route.interface is interface
        and _segment_arrived(host, interface, socket, frame, now)
    ):
        host.counters["ip_packets_in"] += 1
        host.counters["tcp_segments_in"] += 1
        return
    data = frame.data
    if (
        socket is None
        and data[_FLAGS] == _SYN_ALONE
        and host.tcp.listeners.frame_arrived(interface, frame, now)
    ):
        return
    if datagram_frame.may_be(data) and host.udp.frame_arrived(interface, frame, now):
        return
    _through_the_layers(host, interface, frame, now)


def _through_the_layers(host: Host, interface: Interface, frame: Frame, now: float) -> None:
    """Take a frame that no short way is for: whatever is wrong with it is found and named here."""
    data = frame.data
    if is_burst(frame) and not (host.forwarding and _is_for_others(host, data)):
        _each_arrived(host, interface, frame, now)
        return
    if echo_frame.may_be(data) and host.icmp.frame_arrived(interface, frame, now):
        return
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
    if (
        host.forwarding
        and ethertype == ethernet.IPV4
        and not to_many
        and forward.at_once(host, frame, now)
    ):
        return
    try:
        if ethertype == ethernet.IPV4:
            if frame.checksum == CHECKSUM_PARTIAL and datagram_frame.may_be(data):
                # An ICMP error quotes the field: as on a cable, it has to be filled in there.
                frame = completed(frame)
                data = frame.data
            packet = ipv4.parse(
                memoryview(data)[ethernet.HEADER_BYTES :],
                checksum_good=frame.checksum != CHECKSUM_UNKNOWN,
                to_many=to_many,
            )
            _ipv4_arrived(host, interface, packet, frame, now)
        elif ethertype == ethernet.ARP and interface.neighbors is not None:
            arp_packet = arp.parse(memoryview(data)[ethernet.HEADER_BYTES :])
            _arp_arrived(host, interface, arp_packet, now, data)
        elif ethertype == ethernet.IPV6:
            host.drop("eth_ipv6", now, interface, data)
        elif ethertype < ethernet.MIN_ETHERTYPE:
            host.drop("eth_802_3_length", now, interface, data)
        else:
            host.drop("eth_unknown_type", now, interface, data)
    except WireError as error:
        host.drop(error.reason, now, interface, data)


def _is_for_others(host: Host, data: bytes) -> bool:
    dst = Ip4(int.from_bytes(data[_DST], "big"))
    return dst not in host.addresses and not host.is_many(dst)


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


def _segment_arrived(
    host: Host, interface: Interface, socket: TcpSocket, frame: Frame, now: float
) -> bool:
    """Take the short cut to a connection; False: it is for the layers to look at."""
    super_frame = frame if isinstance(frame, SuperFrame) else None
    if super_frame is not None and socket.train is not None and socket.train.add(super_frame):
        return True
    segment = segment_frame.parse(frame, interface.mac)
    if segment is None or segment.flags & SYN:
        return False
    if (
        super_frame is not None
        and may_begin(segment, super_frame)
        and socket.connection.state is _ESTABLISHED
    ):
        host.tcp.hold(socket, Train(segment, super_frame), now)
    else:
        host.tcp.segment_arrived(socket, segment, now)
    return True


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
    if packet.op == arp.REQUEST and for_us:
        reply = arp.pack(arp.REPLY, interface.mac, packet.tpa, packet.spa, packet.sha)
        egress.send_arp(host, interface, packet.sha, reply, now)
    elif not for_us:
        host.counters["arp_for_others"] += 1


def _ipv4_arrived(
    host: Host, interface: Interface, packet: Packet, frame: Frame, now: float
) -> None:
    """Network layer: is it for this host, is it whole, and whom does it go to?"""
    dst, src = packet.dst, packet.src
    # All of 127.0.0.0/8, but for what means many
    own_loopback = interface.neighbors is None and host.is_own(dst)
    if dst not in host.addresses and not own_loopback:
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
    if reason := _forged(host, interface, src, dst):
        host.drop(reason, now, interface, packet.raw)
        return
    if packet.header_bytes > ipv4.HEADER_BYTES:
        route = find_source_route(packet.options)
        if route is not None and not route.done:
            # It is to go on from here, and we pass on none (RFC 1122 section 3.3.5).
            host.drop("ip_source_route", now, interface, packet.raw)
            host.icmp.send_error(
                packet, icmp.DESTINATION_UNREACHABLE, icmp.SOURCE_ROUTE_FAILED, now
            )
            return
    if packet.is_fragment:
        host.counters["ip_fragments_in"] += 1
        whole = host.reassembly.add(packet, now)
        if whole is None:
            return
        packet = whole
    host.counters["ip_packets_in"] += 1
    proto = packet.proto
    if proto == ipv4.TCP:
        host.tcp.packet_arrived(interface, packet, now)
    elif proto == ipv4.UDP:
        host.udp.packet_arrived(interface, packet, now)
    elif proto == ipv4.ICMP:
        host.icmp.packet_arrived(packet, now)
    elif proto == ipv4.IGMP:
        host.groups.packet_arrived(interface, packet, now)
    else:
        host.drop("ip_unknown_protocol", now, interface, packet.raw)
        host.icmp.send_error(packet, icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE, now)


def _forged(host: Host, interface: Interface, src: Ip4, dst: Ip4) -> str:
    """Return why no packet for this host has these addresses; "" where it may."""
    if not host.may_be_source(src):
        return "ip_bad_source"
    if interface.neighbors is not None and (
        is_loopback(src)  # RFC 1122 3.2.1.3 (g)
        or is_loopback(dst)
        or src in host.addresses  # what we send to ourselves never leaves the loopback
    ):
        return "ip_martian"
    return ""
