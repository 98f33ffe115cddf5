"""UDP of one host (RFC 768, RFC 1122 section 4.1): sockets, and who gets which datagram."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import (
    UNSPECIFIED,
    Ip4,
    format_ip4,
    is_loopback,
)
from pystack.link.port import uso_max_bytes
from pystack.stack import egress
from pystack.stack.ports import random_port
from pystack.stack.senders import may_be_heard
from pystack.wire import datagram_frame, ethernet, icmp, ipv4, udp
from pystack.wire.frame import CHECKSUM_PARTIAL

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.icmp import IcmpError
    from pystack.stack.interface import Interface
    from pystack.wire.checksum import Buffer
    from pystack.wire.frame import Frame

RECEIVE_BUFFER_BYTES: Final = 1 << 20
_WAYS_LIMIT: Final = 256  # remembered for each socket; when that many are, all are forgotten
_HEARD_LIMIT: Final = 4096  # the same, for each host
_DATAGRAM_COST_BYTES: Final = 128  # what a waiting datagram takes beside its payload, about


class UdpSocket:
    """One bound, perhaps connected, UDP port. Made by `UdpTable.bind`."""

    __slots__ = (
        "_queued_bytes",
        "_received",
        "_table",
        "allow_broadcast",
        "error",
        "local",
        "local_port",
        "on_readable",
        "receive_buffer_bytes",
        "remote",
        "ttl",
        "ways",
    )

    def __init__(self, table: UdpTable, local: Ip4, local_port: int) -> None:
        self._table = table
        self.local = local  # UNSPECIFIED: every address of the host
        self.local_port = local_port
        self.remote: tuple[Ip4, int] | None = None  # None: not connected
        self.error: OSError | None = None  # what ICMP told, for the owner's next call
        self.on_readable: Callable[[], None] | None = None  # None: nobody wants to be told
        self.allow_broadcast = False
        self.receive_buffer_bytes = RECEIVE_BUFFER_BYTES
        self.ttl = ipv4.DEFAULT_TTL
        self.ways: dict[tuple[Ip4, int], egress.DatagramWay] = {}  # by destination
        self._received: deque[tuple[bytes, Ip4, int]] = deque()
        self._queued_bytes = 0

    @property
    def readable(self) -> bool:
        """Tell whether `receive` or `error` has something."""
        return bool(self._received) or self.error is not None

    def receive(self) -> tuple[bytes, Ip4, int] | None:
        """Return (payload, source address, source port) of the oldest datagram, if there is one."""
        if not self._received:
            return None
        datagram = self._received.popleft()
        self._queued_bytes -= len(datagram[0]) + _DATAGRAM_COST_BYTES
        return datagram

    def send_to(self, payload: bytes, dst: Ip4, dst_port: int, now: float) -> None:
        """Send one datagram. Raises OSError: EMSGSIZE, ENETUNREACH, EACCES (broadcast), EINVAL."""
        self._table.send(self, payload, dst, dst_port, now)

    def send_many(self, datagrams: Sequence[Buffer], dst: Ip4, dst_port: int, now: float) -> None:
        """Send datagrams in order: those of one size in a row as bursts, where the port cuts them.

        Raises OSError as `send_to` does; then none was sent.
        """
        self._table.send_many(self, datagrams, dst, dst_port, now)

    def close(self) -> None:
        """Give the port back."""
        self._table.unbind(self)
        self._received.clear()
        self.on_readable = None

    def deliver(self, payload: bytes, src: Ip4, src_port: int) -> bool:
        """Queue a datagram for the owner; False where there is no room."""
        cost = len(payload) + _DATAGRAM_COST_BYTES
        if self._queued_bytes + cost > self.receive_buffer_bytes:
            return False
        self._queued_bytes += cost
        self._received.append((payload, src, src_port))
        if self.on_readable is not None:
            self.on_readable()
        return True

    def deliver_burst(
        self, payload: bytes, each_bytes: int, src: Ip4, src_port: int
    ) -> tuple[int, int]:
        """Queue datagrams of one size, the last perhaps shorter; return (how many, no room for)."""
        parts = [payload[at : at + each_bytes] for at in range(0, len(payload), each_bytes)]
        count = len(parts)
        cost = len(payload) + count * _DATAGRAM_COST_BYTES
        if self._queued_bytes + cost > self.receive_buffer_bytes:
            return count, sum(not self.deliver(part, src, src_port) for part in parts)
        self._queued_bytes += cost
        self._received.extend([(part, src, src_port) for part in parts])
        if self.on_readable is not None:
            self.on_readable()
        return count, 0

    def fail(self, error: OSError) -> None:
        """Keep an error for the owner."""
        self.error = error
        if self.on_readable is not None:
            self.on_readable()


class UdpTable:
    """The UDP layer of one host: sockets by their local port."""

    __slots__ = ("_heard", "_host", "sockets")

    def __init__(self, host: Host) -> None:
        self._host = host
        self.sockets: dict[int, list[UdpSocket]] = {}  # by their local ports
        # Source and destination of datagrams that nothing was wrong with: what `routes.changes` was
        self._heard: dict[tuple[Ip4, Ip4, Interface], int] = {}

    def bind(self, local: Ip4, port: int) -> UdpSocket:
        """Open a socket on a port, 0 for any. OSError: EADDRINUSE, EADDRNOTAVAIL, EINVAL."""
        if not 0 <= port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{port} is not a port")
        if (
            local != UNSPECIFIED
            and local not in self._host.addresses
            and not self._host.is_many(local)
        ):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), format_ip4(local))
        if port == 0:
            port = random_port(self._host.rng, lambda candidate: candidate not in self.sockets)
            if port == 0:
                raise OSError(errno.EADDRINUSE, "all ephemeral UDP ports are taken")
        elif any(
            local in (UNSPECIFIED, other.local) or other.local == UNSPECIFIED
            for other in self.sockets.get(port, ())
        ):
            raise OSError(errno.EADDRINUSE, f"UDP port {port} is taken on {self._host.name}")
        socket = UdpSocket(self, local, port)
        self.sockets.setdefault(port, []).append(socket)
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
            or (socket.remote is not None and socket.remote != (src, src_port))
            or (
                self._heard.get((src, dst, interface)) != host.routes.changes
                and not self._may_be_heard(interface, src, dst)
            )
        ):
            return False
        counters = host.counters
        if frame.gso_bytes:
            return self._burst_arrived(socket, payload, src, src_port, frame)
        counters["ip_packets_in"] += 1
        counters["udp_datagrams_in"] += 1
        if not socket.deliver(payload, src, src_port):
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
        self, socket: UdpSocket, payload: bytes, src: Ip4, src_port: int, frame: Frame
    ) -> bool:
        """Deliver a burst, unless its checksums are there to be verified; no observer looks on."""
        if frame.checksum != CHECKSUM_PARTIAL:
            return False
        counters = self._host.counters
        count, lost = socket.deliver_burst(payload, frame.gso_bytes, src, src_port)
        counters["frames_in"] += count - 1  # each is counted as if it had come alone
        counters["ip_packets_in"] += count
        counters["udp_datagrams_in"] += count
        if lost:
            counters.add("udp_receive_buffer_full", lost)
        return True

    def packet_arrived(self, packet: ipv4.Ipv4Packet, now: float) -> None:
        """Give a datagram to its socket; to every one that matches where it came to many."""
        datagram = udp.parse(packet)
        found = [
            socket
            for socket in self.sockets.get(datagram.dst_port, ())
            if _matches(socket, packet, datagram.src_port)
        ]
        if not found:
            self._host.drop("udp_no_port", now, data=packet.raw)
            self._host.icmp.send_error(
                packet, icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, now
            )
            return
        if not packet.to_many and len(found) > 1:
            found = [max(found, key=_specificity)]
        self._host.counters["udp_datagrams_in"] += 1
        payload = bytes(datagram.payload)
        for socket in found:
            if not socket.deliver(payload, packet.src, datagram.src_port):
                self._host.drop("udp_receive_buffer_full", now, data=packet.raw)

    def error_arrived(self, error: IcmpError, now: float) -> None:
        """Tell the socket that sent the packet (RFC 1122 4.1.3.3).

        A connected socket hears of all; another, like Linux's, of what the host itself found out
        (its neighbour did not answer), for a stranger's word could be about anybody.
        """
        src_port, dst_port = icmp.quoted_ports(error.quoted.payload)
        dst = error.quoted.dst
        local = error.reporter in self._host.addresses
        for socket in self.sockets.get(src_port, ()):
            if socket.local not in (UNSPECIFIED, error.quoted.src):
                continue
            if socket.remote == (dst, dst_port) or (local and socket.remote is None):
                number = icmp.error_number(error.kind, error.code)
                if number is not None:
                    socket.fail(OSError(number, os.strerror(number), format_ip4(dst)))
                    return
        self._host.counters.add("udp_error_unclaimed")

    def send(self, socket: UdpSocket, payload: bytes, dst: Ip4, dst_port: int, now: float) -> None:
        """Send a datagram for a socket."""
        if len(payload) > udp.MAX_PAYLOAD_BYTES:
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        host = self._host
        way = socket.ways.get((dst, dst_port))
        if way is None or way.changes != host.routes.changes or way.local != socket.local:
            way = self._find_way(socket, dst, dst_port)
        host.counters["udp_datagrams_out"] += 1
        if egress.send_datagram(host, way, payload, now, socket.ttl):
            return
        src = way.src
        data = udp.pack(src, dst, socket.local_port, dst_port, payload)
        egress.send_packet(host, way.route, src, dst, ipv4.UDP, data, now, ttl=socket.ttl)

    def send_many(
        self, socket: UdpSocket, datagrams: Sequence[Buffer], dst: Ip4, dst_port: int, now: float
    ) -> None:
        """Send datagrams for a socket, in bursts where the port takes them."""
        if any(len(datagram) > udp.MAX_PAYLOAD_BYTES for datagram in datagrams):
            raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
        way = self._find_way(socket, dst, dst_port)
        host = self._host
        # Whoever looks on sees each datagram: a burst is nothing that has been on any wire.
        most_bytes = 0 if host.observers else uso_max_bytes(way.route.interface.port)
        at = 0
        while at < len(datagrams):
            count = _burst_length(datagrams, at, most_bytes)
            burst = datagrams[at : at + count]
            at += count
            if count > 1 and egress.send_burst(host, way, burst, now, socket.ttl):
                host.counters["udp_datagrams_out"] += count
                continue
            for datagram in burst:
                self.send(socket, bytes(datagram), dst, dst_port, now)

    def _find_way(self, socket: UdpSocket, dst: Ip4, dst_port: int) -> egress.DatagramWay:
        """Return the way of datagrams to there, and remember it. Raises OSError."""
        if not 0 < dst_port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{dst_port} is not a port that can be sent to")
        host = self._host
        route = host.routes.lookup(dst)
        if route is None or dst == UNSPECIFIED:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH), format_ip4(dst))
        if route.interface.is_broadcast(dst) and not socket.allow_broadcast:
            raise OSError(errno.EACCES, f"{format_ip4(dst)} is broadcast; the socket must allow it")
        src = socket.local
        if src not in host.addresses:  # all of them, or one that means many
            src = dst if dst in host.addresses else route.source
        if is_loopback(src) and route.interface.neighbors is not None:
            raise OSError(errno.EINVAL, f"{format_ip4(src)} cannot be heard of on a link")
        ports = socket.local_port, dst_port
        way = egress.DatagramWay(host, route, socket.local, src, dst, ports)
        if not route.interface.is_broadcast(dst):  # what is allowed there may change
            if len(socket.ways) >= _WAYS_LIMIT:
                socket.ways.clear()
            socket.ways[dst, dst_port] = way
        return way


def _matches(socket: UdpSocket, packet: ipv4.Ipv4Packet, src_port: int) -> bool:
    if socket.remote is not None and socket.remote != (packet.src, src_port):
        return False
    return socket.local in (UNSPECIFIED, packet.dst)


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
