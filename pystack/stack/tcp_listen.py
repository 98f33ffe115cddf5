"""Listeners, and the segments that are for no connection: SYNs, and what strangers send."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pystack.core.addresses import UNSPECIFIED, Ip4, format_ip4
from pystack.stack import egress
from pystack.stack.ports import random_port
from pystack.stack.tcp_open import Opener
from pystack.stack.tcp_socket import TcpSocket, note_handshake
from pystack.tcp.listener import Listener
from pystack.tcp.output import reset_for
from pystack.tcp.seq import MASK
from pystack.tcp.states import TcpState
from pystack.wire import ipv4, tcp

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.tcp_table import TcpTable


class Listeners:
    """The ports of one host that are open for connections."""

    __slots__ = ("_host", "_opener", "_table", "by_port")

    def __init__(self, host: Host, table: TcpTable, opener: Opener) -> None:
        self._host = host
        self._table = table
        self._opener = opener
        self.by_port: dict[int, list[Listener[TcpSocket]]] = {}

    def listen(self, local: Ip4, port: int, backlog: int) -> Listener[TcpSocket]:
        """Open a port for connections, 0 for any free one. OSError: EADDRINUSE, EADDRNOTAVAIL."""
        host = self._host
        if not 0 <= port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{port} is not a port")
        if local != UNSPECIFIED and local not in host.addresses:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), format_ip4(local))
        if port == 0:
            port = random_port(host.rng, lambda candidate: candidate not in self.by_port)
            if port == 0:
                raise OSError(errno.EADDRINUSE, "all ephemeral TCP ports are taken")
        elif any(
            UNSPECIFIED in (local, other.local) or local == other.local
            for other in self.by_port.get(port, ())
        ):
            raise OSError(errno.EADDRINUSE, f"TCP port {port} is taken on {host.name}")
        listener: Listener[TcpSocket] = Listener(local, port, backlog)
        self.by_port.setdefault(port, []).append(listener)
        return listener

    def unlisten(self, listener: Listener[TcpSocket], now: float) -> None:
        """Close a listener; whoever was not accepted yet gets a reset. A second time is nothing."""
        known = self.by_port.get(listener.local_port, [])
        if listener not in known:
            return
        known.remove(listener)
        if not known:
            del self.by_port[listener.local_port]
        for socket in (*listener.half_open, *listener.ready):
            socket.listener = None
            self._table.abort(socket, now)
        listener.half_open.clear()
        listener.ready.clear()

    def break_all(self) -> None:
        """Tell all who listen that nothing will ever come: the power is off."""
        for listeners in self.by_port.values():
            for listener in listeners:
                listener.half_open.clear()
                listener.ready.clear()
                listener.broken = True
                if listener.on_ready is not None:
                    listener.on_ready()
        self.by_port.clear()

    def find(self, local: Ip4, port: int) -> Listener[TcpSocket] | None:
        """Return the listener for connections to there: of the very address, else of all."""
        found = None
        for listener in self.by_port.get(port, ()):
            if listener.local == local:
                return listener
            if listener.local == UNSPECIFIED:
                found = listener
        return found

    def segment_arrived(
        self,
        packet: ipv4.Ipv4Packet,
        segment: tcp.Segment,
        now: float,
        predecessor: TcpSocket | None,
    ) -> None:
        """Take a segment for no connection: it may open one, or else it is a stranger's.

        `predecessor`: the connection between the same ends that gave way; None: there was none.
        """
        listener = self.find(packet.dst, segment.dst_port)
        if listener is None or segment.flags & (tcp.RST | tcp.ACK) or not segment.flags & tcp.SYN:
            self._answer_stranger(packet, segment, now, known_port=listener is not None)
        else:
            self._syn_arrived(listener, packet, segment, now, predecessor)

    def gives_way(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> bool:
        """Tell whether a connection in TIME-WAIT ends for the sake of a new one (RFC 6191, 2)."""
        connection = socket.connection
        if (
            connection.state is not TcpState.TIME_WAIT
            or segment.flags & (tcp.SYN | tcp.ACK | tcp.RST) != tcp.SYN
            or (segment.seq - connection.tcb.rcv_nxt) & MASK >= 1 << 31
            or self.find(socket.local, connection.local_port) is None
        ):
            return False
        self._host.counters.add("tcp_time_wait_reused")
        connection.finish(None)
        self._table.pump(socket, now)
        return True

    def _syn_arrived(
        self,
        listener: Listener[TcpSocket],
        packet: ipv4.Ipv4Packet,
        segment: tcp.Segment,
        now: float,
        predecessor: TcpSocket | None,
    ) -> None:
        """RFC 9293 section 3.10.7.2: a SYN for a port that listens."""
        host = self._host
        route = host.routes.lookup(packet.src)
        if route is None:
            host.drop("tcp_no_route", now, data=packet.raw)
            return
        if listener.full:
            oldest = listener.oldest_half_open()
            host.drop("tcp_listen_overflow", now, data=packet.raw)
            if oldest is None:
                return
            oldest.connection.finish(None)
            self._table.pump(oldest, now)
        socket = self._opener.add(
            packet.dst, segment.dst_port, packet.src, segment.src_port, route, now, predecessor
        )
        socket.listener = listener
        listener.half_open[socket] = None
        note_handshake(socket, segment, now, sent=False)
        socket.connection.open_passive(segment, now)
        self._table.mark(socket)

    def _answer_stranger(
        self, packet: ipv4.Ipv4Packet, segment: tcp.Segment, now: float, *, known_port: bool
    ) -> None:
        """RFC 9293 section 3.10.7.1: no connection, so RST, but never an RST for an RST."""
        host = self._host
        if segment.flags & tcp.RST or (known_port and not segment.flags & tcp.ACK):
            host.drop("tcp_stray", now, data=packet.raw)
            return
        host.drop("tcp_no_connection", now, data=packet.raw)
        route = host.routes.lookup(packet.src)
        if route is not None:
            reset = reset_for(segment)
            egress.send_segment(host, route, packet.dst, packet.src, reset, now)
