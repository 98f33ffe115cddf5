"""Datagrams from addresses that the host need not have: what an interceptor answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip, is_v6
from pystack.core.errors import RangeError
from pystack.link.port import uso_max_bytes
from pystack.stack import egress
from pystack.stack.path_mtus import PathMtus, least_mtu
from pystack.stack.way import Way, find_way
from pystack.wire import ipv4, udp

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.icmp_core import IcmpError
    from pystack.wire.checksum import Buffer

_LIMIT: Final = 4096  # ways that are remembered; when that many are, all are forgotten

Ends = tuple[Ip, int, Ip, int]


class SentAs:
    """What a host sends in the name of others."""

    __slots__ = ("_host", "_path_mtus", "_ways")

    def __init__(self, host: Host, path_mtus: PathMtus) -> None:
        self._host = host
        self._path_mtus = path_mtus
        self._ways: dict[Ends, Way] = {}

    def send(
        self,
        src: Ip,
        src_port: int,
        dst: Ip,
        dst_port: int,
        payload: Buffer,
        now: float,
        *,
        gso_bytes: int = 0,
        ttl: int = ipv4.DEFAULT_TTL,
    ) -> bool:
        """Send a datagram from any address; False: there is no way, or no such port (HOT).

        `gso_bytes`: the payload is that of a burst, of datagrams of this size each; the last may
        have less. Raises RangeError for more than a datagram holds.
        """
        host = self._host
        way = self._ways.get((src, src_port, dst, dst_port))
        if way is None or way.changes != host.routes.changes:
            found = self._find_way(src, src_port, dst, dst_port)
            if found is None:
                host.drop("udp_no_way_back", now)
                return False
            way = found
        each_bytes = gso_bytes or len(payload)
        if each_bytes > udp.MAX_PAYLOAD_BYTES + 20 * way.is_v6:
            raise RangeError(f"a datagram can't have {each_bytes} bytes")
        if gso_bytes and len(payload) > gso_bytes:
            self._send_burst(way, src_port, dst_port, memoryview(payload), now, ttl, gso_bytes)
            return True
        host.counters["udp_datagrams_out"] += 1
        mtu_bytes = way.mtu_bytes
        if way.is_v6 and len(self._path_mtus):  # no router cuts what is of IPv6
            mtu_bytes = min(mtu_bytes, self._path_mtus.mtu_to(dst, now) or mtu_bytes)
        if way.headers_bytes + len(payload) <= mtu_bytes:
            egress.send_datagram(host, way, src_port, dst_port, payload, now, ttl)
        else:
            data = udp.pack(src, dst, src_port, dst_port, bytes(payload))
            egress.send_packet(host, way, ipv4.UDP, data, now, ttl=ttl, mtu_bytes=mtu_bytes)
        return True

    def narrowed(self, error: IcmpError, src_port: int, dst_port: int, now: float) -> bool:
        """Learn the MTU of a path from an error about a datagram of ours; False: it is about none.

        Of IPv4 there is nothing to learn: routers may cut it.
        """
        src, dst = error.quoted.src, error.quoted.dst
        if not error.is_v6 or (src, src_port, dst, dst_port) not in self._ways:
            return False
        if error.mtu_bytes < error.quoted.total_length:
            self._path_mtus.learn(dst, max(error.mtu_bytes, least_mtu(dst)), now)
        return True

    def _find_way(self, src: Ip, src_port: int, dst: Ip, dst_port: int) -> Way | None:
        host = self._host
        route = host.routes.lookup(dst)
        if route is None or host.is_many(dst) or not dst_port or is_v6(src) != is_v6(dst):
            return None
        ends, label = (src, src_port, dst, dst_port), 0
        if is_v6(dst):
            label = host.idents.flow_label(ipv4.UDP, ends)
        if len(self._ways) >= _LIMIT:
            self._ways.clear()
        way = self._ways[ends] = find_way(host, route, src, dst, label)
        return way

    def _send_burst(
        self,
        way: Way,
        src_port: int,
        dst_port: int,
        payload: memoryview,
        now: float,
        ttl: int,
        each_bytes: int,
    ) -> None:
        """Send it in frames that the port can cut, else each datagram by itself."""
        host, size = self._host, len(payload)
        # Whoever looks on sees each datagram: a burst is nothing that has been on any wire.
        most_bytes = 0 if host.observers else uso_max_bytes(way.interface.port)
        count = min(udp.MAX_BURST_DATAGRAMS, most_bytes // each_bytes)
        fits = way.headers_bytes + each_bytes <= way.mtu_bytes
        whole = count > 1 and fits and way.to_neighbor and way.station(now) is not None
        step = count * each_bytes if whole else each_bytes
        for at in range(0, size, step):
            part = payload[at : at + step]
            if len(part) <= each_bytes:
                self.send(way.src, src_port, way.dst, dst_port, part, now, ttl=ttl)
                continue
            pieces = -(-len(part) // each_bytes)
            egress.send_datagram(host, way, src_port, dst_port, part, now, ttl, each_bytes)
            host.counters["frames_out"] += pieces - 1
            host.counters["udp_datagrams_out"] += pieces
