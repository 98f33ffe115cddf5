"""Connections are made here: the active open, and what every new connection is given."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import UNSPECIFIED, Ip, format_ip, is_loopback, is_unspecified, is_v6
from pystack.core.errors import RangeError
from pystack.core.ranges import PORT
from pystack.stack import ip_fields, tcp_socket
from pystack.stack.path_mtus import sizes_to
from pystack.stack.ports import EphemeralPorts, names_one
from pystack.stack.tcp_socket import TcpSocket
from pystack.stack.way import Way, find_way
from pystack.tcp import ecn
from pystack.tcp.connection import Connection
from pystack.tcp.isn import Offsets, offsets
from pystack.tcp.seq import MASK
from pystack.wire import ipv4
from pystack.wire.headers import pack_ends
from pystack.wire.ip_options import SourceRoute

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.routes import Route
    from pystack.stack.tcp_table import TcpTable
    from pystack.tcp.config import TcpConfig

# How far a successor's numbers begin beyond those of a connection in TIME-WAIT; as Linux
_BEYOND: Final = 0x10001


class Opener:
    """Makes the connections of one host, with ports and numbers that a stranger can't guess."""

    __slots__ = ("_host", "_isn_key", "_ports", "_table")

    def __init__(self, host: Host, table: TcpTable) -> None:
        self._host = host
        self._table = table
        self._ports = EphemeralPorts(host.rng)
        self._isn_key = host.rng.randbytes(16)

    def connect(
        self,
        remote: Ip,
        remote_port: int,
        now: float,
        *,
        local: Ip = UNSPECIFIED,
        local_port: int = 0,
        config: TcpConfig | None = None,
        source_route: SourceRoute | None = None,
        text: memoryview | None = None,
        route: Route | None = None,
    ) -> TcpSocket:
        """Begin to open a connection. OSError: ENETDOWN, ENETUNREACH, EADDRNOTAVAIL, EINVAL.

        `route`: the user's own; None: that of the table.
        """
        host = self._host
        host.check_up()
        if not PORT.allows(remote_port):
            raise RangeError(f"{remote_port!r} is not a port that can be connected to")
        if not PORT.allows(local_port):
            raise RangeError(f"{local_port!r} is not a port")
        route = self._find_route(remote, source_route, route)
        local = self._find_local(local, remote, route)
        table, local_given = self._table, local_port != 0

        def is_free(port: int) -> bool:
            ends = pack_ends(remote, local, remote_port, port)
            return ends not in table.sockets and table.time_waits.reusable(ends, now)

        if local_port == 0:
            local_port = self._ports.choose(
                local,
                remote,
                remote_port,
                lambda port: is_free(port) and port not in table.ports.bindings,
            )
            if local_port == 0:
                raise OSError(errno.EADDRNOTAVAIL, "all ephemeral ports to there are taken")
        elif not is_free(local_port):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        iss = self._successor_iss(local, local_port, remote, remote_port)
        socket = self.make(local, local_port, remote, remote_port, route, now, config, iss=iss)
        # Who names a port is taken to have bound it with SO_REUSEADDR: others may listen on it.
        socket.reuse_address = local_given
        if source_route is not None:
            tcp_socket.set_source_route(socket, source_route, by_user=True)
        table.add(socket)
        connection = socket.connection
        if ecn.asks_accurate(connection):
            connection.tcb.ecn_path = table.ecn_paths.towards(remote, now)
        connection.open_active(now)
        if text is not None:
            self._queue(socket, text, now)
        return socket

    def _find_route(
        self, remote: Ip, source_route: SourceRoute | None, route: Route | None
    ) -> Route:
        """Return the route to there, or to the first station on the way. OSError: there is none."""
        host = self._host
        if source_route is not None and is_v6(remote):  # RFC 5095: there is no more such a thing
            raise OSError(errno.EINVAL, "IPv6 has no source route", format_ip(remote))
        first = remote if source_route is None or not source_route.hops else source_route.hops[0]
        route = route or host.routes.lookup(first)
        if route is None or host.is_many(remote) or is_unspecified(remote):
            raise host.no_route(remote)
        if source_route is not None:
            number = ip_fields.refusal(host, source_route, route.interface.mtu_bytes)
            if number:
                raise OSError(number, "there is no such source route", format_ip(remote))
        return route

    def _find_local(self, local: Ip, remote: Ip, route: Route) -> Ip:
        """Return the address of our end. OSError: EADDRNOTAVAIL, EINVAL."""
        host = self._host
        if not names_one(local):
            local = host.source_towards(remote, route)
        elif not host.is_own(local):
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), format_ip(local))
        if is_v6(local) != is_v6(remote):
            raise OSError(errno.EINVAL, f"{format_ip(local)} is of another IP version")
        if is_loopback(local) and route.interface.neighbors is not None:
            raise OSError(errno.EINVAL, f"{format_ip(local)} does not leave the host")
        return local

    def _queue(self, socket: TcpSocket, text: memoryview, now: float) -> None:
        """Give a connection that is only being opened its first text, for its SYN if may be."""
        connection = socket.connection
        config = connection.config
        if config.fast_open in ("client", "both"):
            cookieless = config.fast_open_cookieless in ("client", "both")
            connection.fast_open = self._table.fast_open.request(
                socket.remote, now, cookieless=cookieless
            )
        connection.write(text, now)

    def _successor_iss(
        self, local: Ip, local_port: int, remote: Ip, remote_port: int
    ) -> int | None:
        """Return a number beyond those of the one in TIME-WAIT that gives way; None: none does."""
        ends = pack_ends(remote, local, remote_port, local_port)
        old = self._table.time_waits.records.get(ends)
        if old is None:
            return None
        self._table.time_waits.forget(ends)
        self._host.counters.add("tcp_time_wait_recycled")
        return old.snd_nxt + _BEYOND & MASK

    def secret(self, purpose: bytes) -> bytes:
        """Return a key of this host's own, for one purpose."""
        return hashlib.blake2s(purpose, key=self._isn_key).digest()

    def offsets(self, local: Ip, local_port: int, remote: Ip, remote_port: int) -> Offsets:
        """Return what nobody can guess of a connection's numbers and timestamps."""
        return offsets(self._isn_key, local, local_port, remote, remote_port)

    def make(
        self,
        local: Ip,
        local_port: int,
        remote: Ip,
        remote_port: int,
        route: Route,
        now: float,
        config: TcpConfig | None = None,
        *,
        iss: int | None = None,
    ) -> TcpSocket:
        """Make a connection that is not in the table yet; without a `config`, it has the host's.

        `iss`: its first number; None: one that nobody can guess.
        """
        own = self.offsets(local, local_port, remote, remote_port)
        way = self.way(route, local, local_port, remote, remote_port)
        sizes = sizes_to(remote)
        connection = Connection(
            config or self._table.config,
            local_port,
            remote_port,
            iss=own.initial_number(now) if iss is None else iss,
            mtu_mss=way.mtu_bytes - sizes.headers_bytes,
            gso_max_bytes=way.gso_max_bytes,
            ts_offset=own.timestamp,
            shared=self._table.shared,
            path_mss=self._table.path_mtus.mss_to(remote, now),
            sizes=sizes,
        )
        return TcpSocket(connection, way, fields_of(connection.config))

    def way(self, route: Route, local: Ip, local_port: int, remote: Ip, remote_port: int) -> Way:
        """Return the way of a connection; those of IPv4 between one pair of addresses share it."""
        label = 0
        if remote >> 32:
            ends = local, local_port, remote, remote_port
            label = self._host.idents.flow_label(ipv4.TCP, ends)
        return find_way(self._host, route, local, remote, label)


def fields_of(config: TcpConfig) -> ip_fields.IpFields:
    """Return what the IP headers of a connection have at first."""
    ttl = config.ttl
    return ip_fields.PLAIN if ttl == ipv4.DEFAULT_TTL else ip_fields.IpFields(ttl=ttl)
