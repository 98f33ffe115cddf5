"""UDP of one host (RFC 768, RFC 1122 section 4.1): sockets, and who gets which datagram."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    LIMITED_BROADCAST,
    UNSPECIFIED,
    Ip4,
    Prefix,
    format_ip4,
    is_loopback,
    is_multicast,
)
from pystack.core.errors import error_of
from pystack.link.port import uso_max_bytes
from pystack.stack import egress
from pystack.stack.path_mtus import PathMtus
from pystack.stack.ports import Shares, check_bindable, collide, random_port
from pystack.stack.routes import Route
from pystack.stack.senders import may_be_heard
from pystack.stack.udp_socket import (
    ORIGIN_ICMP,
    ORIGIN_LOCAL,
    PMTU_DO,
    PMTU_INTERFACE,
    PMTU_PROBE,
    PMTU_WANT,
    USUAL,
    Arrival,
    DatagramFields,
    QueuedError,
    UdpSocket,
)
from pystack.tcp.path_mtu import MIN_PACKET_BYTES
from pystack.wire import datagram_frame, ethernet, icmp, ipv4, udp
from pystack.wire.frame import CHECKSUM_PARTIAL
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.icmp_core import IcmpError
    from pystack.stack.interface import Interface
    from pystack.wire.checksum import Buffer
    from pystack.wire.frame import Frame

_WAYS_LIMIT: Final = 256  # remembered for each socket; when that many are, all are forgotten
_HEARD_LIMIT: Final = 4096  # the same, for each host


class UdpTable:
    """The UDP layer of one host: sockets by their local port."""

    __slots__ = ("_heard", "_host", "_shares", "path_mtus", "sockets")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.sockets: dict[int, list[UdpSocket]] = {}  # by their local ports
        self._shares = Shares(host.rng)
        self.path_mtus = PathMtus()  # of those who ask for it: IP_MTU_DISCOVER
        # Source and destination of datagrams that nothing was wrong with: what `routes.changes` was
        self._heard: dict[tuple[Ip4, Ip4, Interface], int] = {}

    def bind(
        self,
        local: Ip4,
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
        socket = UdpSocket(self, local, port)
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

    def frame_arrived(self, interface: Interface, frame: Frame, now: float) -> bool:
        """Deliver a datagram at once (HOT); False: the layers have to look at its frame."""
        found = datagram_frame.parse(frame, interface.mac)
        if found is None:
            return False
        src, dst, src_port, dst_port, payload = found
        sockets = self.sockets.get(dst_port)
        if sockets is None or len(sockets) != 1:
            return False
        (socket,) = sockets
        host = self._host
        if (
            socket.local not in (UNSPECIFIED, dst)
            or socket.arrivals is not None  # `is_plain`, in place
            or socket.device is not None
            or (socket.remote is not None and socket.remote != (src, src_port))
            or (
                self._heard.get((src, dst, interface)) != host.routes.changes
                and not self._may_be_heard(interface, src, dst)
            )
        ):
            return False
        counters = host.counters
        if frame.gso_bytes:
            return self._burst_arrived(socket, payload, src, src_port, dst, frame)
        counters["ip_packets_in"] += 1
        counters["udp_datagrams_in"] += 1
        if not socket.deliver(payload, src, src_port, dst):
            host.drop(
                "udp_receive_buffer_full", now, interface, frame.data[ethernet.HEADER_BYTES :]
            )
        return True

    def _may_be_heard(self, interface: Interface, src: Ip4, dst: Ip4) -> bool:
        """Tell whether nothing is wrong with these addresses here; if so, remember it."""
        host = self._host
        if not may_be_heard(host, interface, src, dst):
            return False
        if len(self._heard) >= _HEARD_LIMIT:
            self._heard.clear()
        self._heard[src, dst, interface] = host.routes.changes
        return True

    def _burst_arrived(
        self, socket: UdpSocket, payload: bytes, src: Ip4, src_port: int, dst: Ip4, frame: Frame
    ) -> bool:
        """Deliver a burst; no observer looks on. Not one whose checksums are there to be verified.

        Nor one that is none: a plug-in's port may say whatever it likes of a frame.
        """
        if frame.checksum != CHECKSUM_PARTIAL or frame.gso_bytes < 0 or not payload:
            return False
        counters = self._host.counters
        count, lost = socket.deliver_burst(payload, frame.gso_bytes, src, src_port, dst)
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
        found = [
            socket
            for socket in self.sockets.get(datagram.dst_port, ())
            if (socket.remote is None or socket.remote == (src, src_port))
            and socket.hears(packet.dst, interface)
        ]
        if not found:
            self._host.drop("udp_no_port", now, data=packet.raw)
            self._host.icmp.send_error(
                packet, icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, now
            )
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

    def _choose(self, found: list[UdpSocket], dst: Ip4, src: Ip4, src_port: int) -> UdpSocket:
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
        """Tell the socket that sent the packet (RFC 1122 4.1.3.3), as udp(7) of Linux has it.

        Who has asked for errors (IP_RECVERR) hears of all, and has them queued. Else a connected
        socket hears of hard ones, and an unconnected one of none: a server should not end because
        a client has gone.
        """
        quoted = error.quoted
        src_port, dst_port = icmp.quoted_ports(quoted.payload)
        found = [
            socket
            for socket in self.sockets.get(src_port, ())
            if socket.local in (UNSPECIFIED, quoted.src)
            and socket.remote in (None, (quoted.dst, dst_port))
        ]
        number = icmp.error_number(error.kind, error.code)
        counters = self._host.counters
        if not found or number is None:
            counters.add("udp_error_unclaimed")
            return
        socket = max(reversed(found), key=_specificity)
        hard = icmp.is_hard(error.kind, error.code)
        info = 0
        if (error.kind, error.code) == (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED):
            hard = self._path_narrows(socket, error, now)
            if not hard:
                counters.add("udp_error_not_heard")
                return
            info = error.mtu_bytes
        if socket.receives_errors:
            payload = bytes(quoted.payload[udp.HEADER_BYTES :])
            to = quoted.dst, dst_port
            queued = QueuedError(
                number, ORIGIN_ICMP, error.kind, error.code, info, error.reporter, to, payload
            )
            if not socket.queue_error(queued):
                counters.add("udp_error_queue_full")
        elif not (hard and socket.remote is not None):
            counters.add("udp_error_not_heard")
            return
        socket.fail(OSError(number, os.strerror(number), format_ip4(quoted.dst)))

    def _path_narrows(self, socket: UdpSocket, error: IcmpError, now: float) -> bool:
        """Learn what a router says of the path; False: the socket does not care for it."""
        if socket.fields.mtu_discover not in (PMTU_WANT, PMTU_DO, PMTU_PROBE):
            return False
        if error.mtu_bytes < error.quoted.total_length:
            self.path_mtus.learn(error.quoted.dst, max(error.mtu_bytes, MIN_PACKET_BYTES), now)
        return True

    def send(
        self,
        socket: UdpSocket,
        payload: bytes,
        dst: Ip4,
        dst_port: int,
        now: float,
        fields: DatagramFields | None = None,
        ttl: int | None = None,
    ) -> None:
        """Send a datagram for a socket (HOT): the usual ones take a short way."""
        host = self._host
        if fields is None:
            fields = socket.fields
        if len(payload) > udp.MAX_PAYLOAD_BYTES:
            route = self._find_way(socket, dst, dst_port, fields).route
            raise _too_large(socket, dst, self.mtu_of(route, dst, fields, now))
        if fields is not USUAL:
            way = self._find_way(socket, dst, dst_port, fields)
        else:
            known = socket.ways.get((dst, dst_port))
            if known is None or known.changes != host.routes.changes or known.local != socket.local:
                known = self._find_way(socket, dst, dst_port, fields)
            way = known
            if egress.send_datagram(host, way, payload, now, ttl or socket.ttl):
                host.counters["udp_datagrams_out"] += 1
                return
        self._send_otherwise(socket, way, payload, dst, dst_port, now, fields, ttl)

    def _send_otherwise(
        self,
        socket: UdpSocket,
        way: egress.DatagramWay,
        payload: bytes,
        dst: Ip4,
        dst_port: int,
        now: float,
        fields: DatagramFields,
        ttl: int | None,
    ) -> None:
        host, src, route = self._host, way.src, way.route
        size = ipv4.HEADER_BYTES + udp.HEADER_BYTES + len(payload)
        mtu_bytes = self.mtu_of(route, dst, fields, now)
        discover = fields.mtu_discover
        if size > mtu_bytes and discover in (PMTU_DO, PMTU_PROBE, PMTU_INTERFACE):
            raise _too_large(socket, dst, mtu_bytes)
        port = socket.local_port
        data = udp.pack(src, dst, port, dst_port, payload, summed=fields.checksum)
        if ttl is None:
            ttl = fields.group_ttl if is_multicast(dst) else socket.ttl
        host.counters["udp_datagrams_out"] += 1
        if ttl or not is_multicast(dst) or route.interface.neighbors is None:  # 0: stays here
            egress.send_packet(
                host,
                route,
                src,
                dst,
                ipv4.UDP,
                data,
                now,
                ttl=ttl,
                tos=fields.tos,
                dont_fragment=discover in (PMTU_DO, PMTU_PROBE)
                or (discover == PMTU_WANT and mtu_bytes > MIN_PACKET_BYTES),
                mtu_bytes=mtu_bytes,
            )
        if route.interface.neighbors is not None and route.interface.is_many(dst):
            self._hear_own(route.interface, src, dst, data, now, fields, ttl)

    def mtu_of(self, route: Route, dst: Ip4, fields: DatagramFields, now: float) -> int:
        """Return the MTU that datagrams to there have to keep, as far as is known."""
        mtu_bytes = route.interface.mtu_bytes
        if fields.mtu_discover in (PMTU_WANT, PMTU_DO):
            mtu_bytes = min(mtu_bytes, self.path_mtus.mtu_to(dst, now) or mtu_bytes)
        return mtu_bytes

    def _hear_own(
        self,
        interface: Interface,
        src: Ip4,
        dst: Ip4,
        data: bytes,
        now: float,
        fields: DatagramFields,
        ttl: int,
    ) -> None:
        """Give the host's own sockets what it sends to all, or to a group that it is in itself."""
        if is_multicast(dst) and not (fields.group_loop and interface.hears(dst)):
            return
        header = ipv4.pack_header(src, dst, ipv4.UDP, len(data), ttl=ttl, tos=fields.tos)
        packet = ipv4.parse(memoryview(header + data), checksum_good=True, to_many=True)
        # Not at once: the sender is in the middle of a call.
        self._host.scheduler.call_soon(lambda at: self.packet_arrived(interface, packet, at))

    def send_many(
        self,
        socket: UdpSocket,
        datagrams: Sequence[Buffer],
        dst: Ip4,
        dst_port: int,
        now: float,
        fields: DatagramFields | None = None,
        ttl: int | None = None,
    ) -> None:
        """Send datagrams for a socket, in bursts where the port takes them."""
        if fields is None:
            fields = socket.fields
        way = self._find_way(socket, dst, dst_port, fields)
        if any(len(datagram) > udp.MAX_PAYLOAD_BYTES for datagram in datagrams):
            raise _too_large(socket, dst, self.mtu_of(way.route, dst, fields, now))
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
            if count > 1 and egress.send_burst(host, way, burst, now, ttl or socket.ttl):
                host.counters["udp_datagrams_out"] += count
                continue
            for datagram in burst:
                self.send(socket, bytes(datagram), dst, dst_port, now, fields, ttl)

    def _find_way(
        self, socket: UdpSocket, dst: Ip4, dst_port: int, fields: DatagramFields
    ) -> egress.DatagramWay:
        """Return the way of datagrams to there; remember a usual one. Raises OSError."""
        if not 0 < dst_port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{dst_port} is not a port that can be sent to")
        host = self._host
        route = self.find_route(socket.local, dst, fields)
        if route.interface.is_broadcast(dst) and not socket.allow_broadcast:
            raise OSError(errno.EACCES, f"{format_ip4(dst)} is broadcast; the socket must allow it")
        src = fields.source or socket.local
        if not host.is_own(src):  # all of them, or one that means many
            src = host.source_towards(dst, route)
        if is_loopback(src) and route.interface.neighbors is not None:
            raise OSError(errno.EINVAL, f"{format_ip4(src)} cannot be heard of on a link")
        ports = socket.local_port, dst_port
        way = egress.DatagramWay(host, route, socket.local, src, dst, ports)
        # What is allowed in broadcasts may change.
        if fields is USUAL and not route.interface.is_broadcast(dst):
            if len(socket.ways) >= _WAYS_LIMIT:
                socket.ways.clear()
            socket.ways[dst, dst_port] = way
        return way

    def find_route(self, local: Ip4, dst: Ip4, fields: DatagramFields) -> Route:
        """Return the route of datagrams from a socket. OSError (ENETUNREACH): there is none.

        Where the link was chosen, by device or for multicast, the destination is taken to be on it
        if no route of that link says otherwise.
        """
        host = self._host
        device = fields.device
        if device is None and (is_multicast(dst) or dst == LIMITED_BROADCAST):
            device = fields.group_device or host.addresses.get(local)
        if device is None:
            route = host.routes.lookup(dst)
        else:
            route = host.routes.lookup_by(device, dst)
            if route is None or is_multicast(dst):
                route = Route(Prefix.of(dst, 32), device, None, device.address)
        if route is None or dst == UNSPECIFIED or (fields.on_link_only and route.gateway):
            raise host.no_route(dst)
        return route


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
    return socket.remote is not None, socket.local != UNSPECIFIED


def _too_large(socket: UdpSocket, dst: Ip4, mtu_bytes: int) -> OSError:
    """Queue the error, where errors are asked for, and return it.

    As Linux does it: without the payload, and with the port of the partner, not of one datagram.
    """
    number = errno.EMSGSIZE
    if socket.receives_errors:
        port = socket.remote[1] if socket.remote is not None else 0
        mtu_bytes = min(mtu_bytes, 0xFFFF)
        socket.queue_error(
            QueuedError(number, ORIGIN_LOCAL, 0, 0, mtu_bytes, UNSPECIFIED, (dst, port), b"")
        )
    return error_of(number)
