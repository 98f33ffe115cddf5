"""UDP of one host (RFC 768, RFC 1122 section 4.1): sockets, and who gets which datagram."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    LIMITED_BROADCAST,
    Ip,
    Prefix,
    format_ip,
    is_loopback,
    is_multicast,
    is_unspecified,
    is_v6,
    without_zone,
    zone_of,
)
from pystack.core.errors import RangeError
from pystack.link.port import uso_max_bytes
from pystack.stack import egress, udp_errors
from pystack.stack.icmp_core import Trouble
from pystack.stack.intercept import HeldDatagram, stands_in, take_datagrams
from pystack.stack.pairs import Pair, learn
from pystack.stack.path_mtus import PathMtus, least_mtu
from pystack.stack.ports import (
    Shares,
    check_bindable,
    collide,
    locals_of,
    names_one,
    random_port,
)
from pystack.stack.routes import Route
from pystack.stack.sent_as import SentAs
from pystack.stack.udp_errors import too_large
from pystack.stack.udp_socket import (
    PMTU_DO,
    PMTU_INTERFACE,
    PMTU_PROBE,
    PMTU_WANT,
    USUAL,
    Arrival,
    DatagramFields,
    UdpSocket,
)
from pystack.stack.way import Way
from pystack.wire import ethernet, icmp, ip, ipv4, ipv6, udp
from pystack.wire.frame import CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN
from pystack.wire.headers import PAIR, V6_END
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.icmp_core import IcmpError
    from pystack.stack.interface import Interface
    from pystack.wire.checksum import Buffer
    from pystack.wire.frame import Frame, Plain

_IP: Final = ethernet.HEADER_BYTES
_WAYS_LIMIT: Final = 256  # remembered for each socket; when that many are, all are forgotten


class UdpTable:
    """The UDP layer of one host: sockets by their local port."""

    __slots__ = ("_host", "_sent_as", "_shares", "added", "path_mtus", "send_as", "sockets")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.sockets: dict[int, list[UdpSocket]] = {}  # by their local ports
        self._shares = Shares(host.rng)
        self.path_mtus = PathMtus()  # of those who ask for it: IP_MTU_DISCOVER
        self._sent_as = SentAs(host, self.path_mtus)
        self.send_as = self._sent_as.send
        self.added: list[Callable[[UdpSocket], object]] = []  # each is told of a new socket

    def bind(
        self,
        local: Ip,
        port: int,
        *,
        reuse_address: bool = False,
        reuse_port: bool = False,
        device: Interface | None = None,
        foreign: bool = False,
    ) -> UdpSocket:
        """Open a socket on a port, 0 for any. OSError: ENETDOWN, EADDRINUSE, EADDRNOTAVAIL, EINVAL.

        A port is shared where all who have it said `reuse_address`, or all `reuse_port`, or where
        they are on different devices. `foreign`: the address need not be of this host.
        """
        host = self._host
        check_bindable(host, local, port, foreign=foreign)
        socket = UdpSocket(host, self, local, port)
        socket.reuse_address, socket.reuse_port = reuse_address, reuse_port
        socket.device = device
        if port == 0:
            socket.local_port = random_port(host.rng, lambda found: found not in self.sockets)
            if not socket.local_port:
                raise OSError(errno.EADDRINUSE, "all ephemeral UDP ports are taken")
        elif any(
            collide(socket, other, (device, other.device)) for other in self.sockets.get(port, ())
        ):
            raise OSError(errno.EADDRINUSE, f"UDP port {port} is taken on {host.name}")
        self.sockets.setdefault(socket.local_port, []).append(socket)
        for tell in self.added:
            tell(socket)
        return socket

    def unbind(self, socket: UdpSocket) -> None:
        """Forget a socket. A second time does nothing."""
        sockets = self.sockets.get(socket.local_port, [])
        if socket in sockets:
            sockets.remove(socket)
            if not sockets:
                del self.sockets[socket.local_port]

    def break_all(self, error: int) -> None:
        """Give every socket an error to tell its owner, and forget them all."""
        sockets = [socket for known in self.sockets.values() for socket in known]
        self.sockets.clear()
        for socket in sockets:
            socket.broken = error
            socket.fail(OSError(error, os.strerror(error)))

    def frame_arrived(self, interface: Interface, frame: Frame, plain: Plain, now: float) -> bool:
        """Take a plain datagram for this host (HOT); False: it may be for another."""
        _, ends, _, ttl, start, end = plain
        host, addresses = self._host, ends[PAIR]
        pair = host.pairs.get(addresses)
        if pair is None or pair.interface is not interface:
            pair = learn(host, interface, addresses)
        if not pair.heard:
            return False
        counters, data = host.counters, frame.data
        counters["ip_packets_in"] += 1
        summed = None
        if frame.checksum == CHECKSUM_UNKNOWN:
            summed = int.from_bytes(addresses, "big")
        src_port, dst_port, end = udp.read(data, start, end, summed, v6=start == V6_END)
        sockets = self.sockets.get(dst_port)
        if sockets is not None and len(sockets) == 1:
            (socket,) = sockets
            if (
                socket.local in pair.locals
                and socket.arrivals is None  # `is_plain`, in place
                and socket.device is None
                and (socket.remote is None or socket.remote == (pair.src, src_port))
            ):
                payload = data[start + udp.HEADER_BYTES : end]
                if frame.gso_bytes:
                    return self._burst_arrived(socket, payload, src_port, frame, pair)
                counters["udp_datagrams_in"] += 1
                if not socket.deliver(payload, pair.src, src_port, pair.dst):
                    host.drop("udp_receive_buffer_full", now, interface, data[_IP:])
                return True
        if pair.foreign and sockets is None and dst_port and ttl > 1:
            named = pair.src, src_port, pair.dst, dst_port
            if take_datagrams(host, named, data[start + udp.HEADER_BYTES : end], frame, now):
                return True
        counters["ip_packets_in"] -= 1  # the layers do that
        return False

    def _burst_arrived(
        self, socket: UdpSocket, payload: bytes, src_port: int, frame: Frame, pair: Pair
    ) -> bool:
        """Deliver a burst; no observer looks on. Not one whose checksums are there to be verified.

        Nor one that is none: a plug-in's port may say whatever it likes of a frame.
        """
        counters = self._host.counters
        counters["ip_packets_in"] -= 1
        if frame.checksum != CHECKSUM_PARTIAL or frame.gso_bytes < 0 or not payload:
            return False
        count, lost = socket.deliver_burst(payload, frame.gso_bytes, pair.src, src_port, pair.dst)
        counters["frames_in"] += count - 1  # each is counted as if it had come alone
        counters["ip_packets_in"] += count
        counters["udp_datagrams_in"] += count
        if lost:
            counters.add("udp_receive_buffer_full", lost)
        return True

    def packet_arrived(self, interface: Interface, packet: Packet, now: float) -> None:
        """Give a datagram to its socket; to every one that matches where it came to many."""
        datagram = udp.parse(packet)
        src, src_port = packet.src, datagram.src_port
        interface = self._host.came_by(interface, packet.dst)
        found = [
            socket
            for socket in self.sockets.get(datagram.dst_port, ())
            if (socket.remote is None or socket.remote == (src, src_port))
            and socket.hears(packet.dst, interface)
        ]
        taker = stands_in(self._host, packet)
        if taker is not None:  # who is bound to all of the host's addresses is not meant
            found = [socket for socket in found if socket.local == packet.dst]
            if not found and datagram.dst_port:
                self._host.counters.add("udp_intercepted")
                ends = src, src_port, packet.dst, datagram.dst_port
                held = HeldDatagram(self._host, ends, bytes(datagram.payload), packet)
                taker.datagram_arrived(held, now)
                return
        if not found:
            self._host.drop("udp_no_port", now, data=packet.raw)
            self._host.tell(packet, Trouble.PORT_UNREACHABLE, now)
            return
        if not packet.to_many and len(found) > 1:
            found = [self._choose(found, packet.dst, src, src_port)]
        self._host.counters["udp_datagrams_in"] += 1
        payload = bytes(datagram.payload)
        for socket in found:
            arrival = None
            if not socket.is_plain:
                number = self._host.interfaces.index(interface) + 1
                options = bytes(packet.options)
                arrival = Arrival(packet.dst, number, packet.ttl, packet.tos, now, options)
            if not socket.deliver(payload, src, src_port, packet.dst, arrival):
                self._host.drop("udp_receive_buffer_full", now, data=packet.raw)

    def _choose(self, found: list[UdpSocket], dst: Ip, src: Ip, src_port: int) -> UdpSocket:
        """Return who gets what several could have.

        The most specific; of equals the newest, or with SO_REUSEPORT one by a number that is the
        same for all datagrams between two ends.
        """
        most = max(map(_specificity, found))
        equals = [socket for socket in found if _specificity(socket) == most]
        newest = equals[-1]
        if not newest.reuse_port:
            return newest
        sharing = [socket for socket in equals if socket.reuse_port]
        return sharing[self._shares.choose(dst, src, src_port, len(sharing))]

    def error_arrived(self, error: IcmpError, now: float) -> None:
        """Tell the socket that sent the packet (RFC 1122 4.1.3.3)."""
        src_port, dst_port = icmp.quoted_ports(error.quoted.payload)
        found = [
            socket
            for socket in self.sockets.get(src_port, ())
            if socket.local in locals_of(error.quoted.src)
            and socket.remote in (None, (error.quoted.dst, dst_port))
        ]
        if not found and error.too_big and self._sent_as.narrowed(error, src_port, dst_port, now):
            return
        if not found or error.number is None:
            self._host.counters.add("udp_error_unclaimed")
            return
        socket = max(reversed(found), key=_specificity)
        reason = udp_errors.arrived(socket, self.path_mtus, error, dst_port, now)
        if reason:
            self._host.counters.add(reason)

    def send_otherwise(
        self,
        socket: UdpSocket,
        way: Way,
        payload: bytes,
        dst: Ip,
        dst_port: int,
        now: float,
        fields: DatagramFields,
        ttl: int | None,
    ) -> None:
        """Send a datagram that is for many, or too large, or not as usual. Raises OSError."""
        host, src, route = self._host, way.src, way.route
        size = way.headers_bytes + len(payload)
        mtu_bytes = self.mtu_of(route, dst, fields, now)
        discover = fields.mtu_discover
        if len(payload) > max_payload(dst) or (
            size > mtu_bytes and discover in (PMTU_DO, PMTU_PROBE, PMTU_INTERFACE)
        ):
            raise too_large(socket, dst, mtu_bytes)
        port = socket.local_port
        data = udp.pack(src, dst, port, dst_port, payload, summed=fields.checksum or way.is_v6)
        if ttl is None:
            ttl = fields.group_ttl if is_multicast(dst) else socket.ttl
        host.counters["udp_datagrams_out"] += 1
        if ttl or not is_multicast(dst) or route.interface.neighbors is None:  # 0: stays here
            egress.send_packet(
                host,
                way,
                ipv4.UDP,
                data,
                now,
                ttl=ttl,
                tos=fields.tos,
                dont_fragment=discover in (PMTU_DO, PMTU_PROBE)
                or (discover == PMTU_WANT and mtu_bytes > least_mtu(dst)),
                mtu_bytes=mtu_bytes,
            )
        if route.interface.neighbors is not None and route.interface.is_many(dst):
            self._hear_own(route.interface, src, dst, data, now, fields, ttl)

    def mtu_of(self, route: Route, dst: Ip, fields: DatagramFields, now: float) -> int:
        """Return the MTU that datagrams to there have to keep, as far as is known."""
        mtu_bytes = route.interface.mtu_to(dst)
        # No router cuts what is of IPv6: its sender has to know.
        heeded = is_v6(dst) and fields.mtu_discover not in (PMTU_PROBE, PMTU_INTERFACE)
        if heeded or fields.mtu_discover in (PMTU_WANT, PMTU_DO):
            mtu_bytes = min(mtu_bytes, self.path_mtus.mtu_to(dst, now) or mtu_bytes)
        return mtu_bytes

    def _hear_own(
        self,
        interface: Interface,
        src: Ip,
        dst: Ip,
        data: bytes,
        now: float,
        fields: DatagramFields,
        ttl: int,
    ) -> None:
        """Give the host's own sockets what it sends to all, or to a group that it is in itself."""
        if is_multicast(dst) and not (fields.group_loop and interface.hears(without_zone(dst))):
            return
        pack = ipv6.pack_header if is_v6(dst) else ipv4.pack_header
        header = pack(src, dst, ipv4.UDP, len(data), ttl=ttl, tos=fields.tos)
        packet = ip.parse(header + data)
        packet.src, packet.checksum_good, packet.to_many = src, True, True
        # Not at once: the sender is in the middle of a call.
        self._host.scheduler.call_soon(lambda at: self.packet_arrived(interface, packet, at))

    def send_many(
        self,
        socket: UdpSocket,
        datagrams: Sequence[Buffer],
        dst: Ip,
        dst_port: int,
        now: float,
        fields: DatagramFields | None = None,
        ttl: int | None = None,
    ) -> None:
        """Send datagrams for a socket, in bursts where the port takes them."""
        if fields is None:
            fields = socket.fields
        way = self.find_way(socket, dst, dst_port, fields)
        if any(len(datagram) > max_payload(dst) for datagram in datagrams):
            raise too_large(socket, dst, self.mtu_of(way.route, dst, fields, now))
        host = self._host
        # Whoever looks on sees each datagram: a burst is nothing that has been on any wire.
        most_bytes = 0
        if fields is USUAL and not host.observers:
            most_bytes = uso_max_bytes(way.route.interface.port)
        at = 0
        while at < len(datagrams):
            count = _burst_length(datagrams, at, most_bytes)
            burst = datagrams[at : at + count]
            at += count
            if count > 1 and self._send_burst(socket, way, dst_port, burst, now, ttl):
                continue
            for datagram in burst:
                socket.send_to(bytes(datagram), dst, dst_port, now, fields, ttl)

    def _send_burst(
        self,
        socket: UdpSocket,
        way: Way,
        dst_port: int,
        datagrams: Sequence[Buffer],
        now: float,
        ttl: int | None,
    ) -> bool:
        """Send datagrams of one size (the last may be shorter) as one frame; False: it can't be."""
        host, each_bytes = self._host, len(datagrams[0])
        size = way.headers_bytes + each_bytes
        if not way.to_neighbor or size > way.mtu_bytes or way.station(now) is None:
            return False
        port, payload = socket.local_port, b"".join(datagrams)
        ttl = ttl or socket.ttl
        egress.send_datagram(host, way, port, dst_port, payload, now, ttl, each_bytes)
        host.counters["frames_out"] += len(datagrams) - 1
        host.counters["udp_datagrams_out"] += len(datagrams)
        return True

    def find_way(self, socket: UdpSocket, dst: Ip, dst_port: int, fields: DatagramFields) -> Way:
        """Return the way of datagrams to there; remember a usual one. Raises OSError."""
        if not 0 < dst_port <= 0xFFFF:
            raise RangeError(f"{dst_port!r} is not a port that can be sent to")
        host = self._host
        route = self.find_route(socket.local, dst, fields)
        if route.interface.is_broadcast(dst) and not socket.allow_broadcast:
            raise OSError(errno.EACCES, f"{format_ip(dst)} is broadcast; the socket must allow it")
        src = fields.source or socket.local
        if not host.is_own(src):  # all of them, or one that means many
            src = host.source_towards(dst, route)
        if is_v6(src) != is_v6(dst):
            raise host.no_route(dst)
        if is_loopback(src) and route.interface.neighbors is not None:
            raise OSError(errno.EINVAL, f"{format_ip(src)} cannot be heard of on a link")
        label = 0
        if is_multicast(dst):  # the link has been found
            dst = without_zone(dst)
        if is_v6(dst):
            label = host.idents.flow_label(ipv4.UDP, (src, socket.local_port, dst, dst_port))
        way = Way(host, route, src, dst, label)
        # What is allowed in broadcasts may change.
        if fields is USUAL and not route.interface.is_broadcast(dst):
            if len(socket.ways) >= _WAYS_LIMIT:
                socket.ways.clear()
            socket.ways[dst, dst_port] = way
        return way

    def find_route(self, local: Ip, dst: Ip, fields: DatagramFields) -> Route:
        """Return the route of datagrams from a socket. OSError (ENETUNREACH): there is none.

        Where the link was chosen, by device or for multicast, the destination is taken to be on it
        if no route of that link says otherwise; of IPv6 only groups are (RFC 4943).
        """
        host = self._host
        device = fields.device
        if device is None and (is_multicast(dst) or dst == LIMITED_BROADCAST):
            device = fields.group_device or host.addresses.get(local)
            if 0 < zone_of(dst) <= len(host.interfaces):
                device = host.interfaces[zone_of(dst) - 1]
        if device is None:
            route = host.routes.lookup(dst)
        else:
            route = host.route_by(device, dst)
            if is_multicast(dst) or (route is None and not is_v6(dst)):
                prefix = Prefix.of(dst, 128 if is_v6(dst) else 32)
                route = Route(prefix, device, None, _source_on(device, dst))
        if route is None or is_unspecified(dst) or (fields.on_link_only and route.gateway):
            raise host.no_route(dst)
        return route


def max_payload(dst: Ip) -> int:
    """Return the largest payload of a datagram: what IP's field for the length has room for."""
    return udp.MAX_PAYLOAD_BYTES + 20 if is_v6(dst) else udp.MAX_PAYLOAD_BYTES


def _source_on(interface: Interface, dst: Ip) -> Ip:
    """Return an address of an interface, of the destination's version if there is one."""
    found = (own.address for own in interface.addresses if own.prefix.is_v6 == is_v6(dst))
    return next(found, interface.address)


def _burst_length(datagrams: Sequence[Buffer], start: int, most_bytes: int) -> int:
    """Return how many from `start` on make one burst: all of one size but the last, none empty."""
    each_bytes = len(datagrams[start])
    if not 0 < 2 * each_bytes <= most_bytes:
        return 1
    most = min(udp.MAX_BURST_DATAGRAMS, most_bytes // each_bytes, len(datagrams) - start)
    for number in range(1, most):
        size = len(datagrams[start + number])
        if size != each_bytes:
            return number + 1 if 0 < size < each_bytes else number
    return most


def _specificity(socket: UdpSocket) -> tuple[bool, bool]:
    return socket.remote is not None, names_one(socket.local)
