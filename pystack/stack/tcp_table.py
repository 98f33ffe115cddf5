"""TCP of one host: which connection a segment is for, listeners, strangers, and THE PUMP.

The pump runs after any input to a connection: it sends what is due, tells the owner what happened,
and arms the timer. Nobody else may. In a batch of frames a connection is marked by each and pumped
once, at the batch's end, so that acknowledgements are sent once too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import UNSPECIFIED, Ip4, format_ip4, is_loopback
from pystack.core.scheduler import Handle
from pystack.observe.observer import TcpRetransmitted, TcpStateChanged
from pystack.stack import egress
from pystack.stack.ports import EphemeralPorts, random_port
from pystack.tcp import path
from pystack.tcp.connection import Connection
from pystack.tcp.events import Retransmission, Signal, StateChange
from pystack.tcp.info import HandshakeSegment
from pystack.tcp.isn import initial_sequence_number
from pystack.tcp.listener import DEFAULT_BACKLOG, Listener
from pystack.tcp.output import reset_for
from pystack.tcp.seq import MASK
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import TcpConfig
from pystack.wire import icmp, ipv4, tcp, tcp_options
from pystack.wire.segment_frame import pack_ends

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.icmp import IcmpError
    from pystack.stack.routes import Route

_HEADERS_BYTES: Final = ipv4.HEADER_BYTES + tcp.HEADER_BYTES
_HANDSHAKE_STATES: Final = frozenset({TcpState.CLOSED, TcpState.SYN_SENT, TcpState.SYN_RECEIVED})


class TcpSocket:
    """A connection with its place on the network: addresses, timer, owner."""

    __slots__ = (
        "connection",
        "ends",
        "handshake",
        "listener",
        "local",
        "marked",
        "on_signal",
        "remote",
        "route",
        "timer",
    )

    def __init__(self, connection: Connection, local: Ip4, remote: Ip4, route: Route) -> None:
        self.connection = connection
        # What frames for it have in common: its key in the table
        self.ends = pack_ends(remote, local, connection.remote_port, connection.local_port)
        self.local = local
        self.remote = remote
        self.route = route
        self.listener: Listener[TcpSocket] | None = None  # until it is established, or gone
        self.on_signal: Callable[[Signal], None] | None = None  # None: nobody wants to be told
        self.timer: Handle | None = None  # None: no timer of the connection runs
        self.marked = False  # to be pumped at the end of the batch
        self.handshake: list[HandshakeSegment] = []  # its three segments, for the microscope

    @property
    def local_address(self) -> tuple[str, int]:
        """Return (address, port) of this end."""
        return format_ip4(self.local), self.connection.local_port

    @property
    def remote_address(self) -> tuple[str, int]:
        """Return (address, port) of the other end."""
        return format_ip4(self.remote), self.connection.remote_port


class TcpTable:
    """The TCP layer of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.config = TcpConfig()
        self.sockets: dict[bytes, TcpSocket] = {}  # by their `ends`
        self._listeners: dict[int, list[Listener[TcpSocket]]] = {}
        self._marked: list[TcpSocket] = []
        self._ports = EphemeralPorts(host.rng)
        self._isn_key = host.rng.randbytes(16)

    # what the network brings

    def packet_arrived(self, packet: ipv4.Ipv4Packet, now: float) -> None:
        """Give a segment to its connection, to a listener, or answer it as a stranger's."""
        segment = tcp.parse(packet)
        host = self._host
        if packet.to_many:
            host.drop("tcp_to_many", now, data=packet.raw)  # RFC 9293 MUST-57
            return
        host.counters["tcp_segments_in"] += 1
        ends = pack_ends(packet.src, packet.dst, segment.src_port, segment.dst_port)
        socket = self.sockets.get(ends)
        if socket is not None and not self._gives_way(socket, segment, now):
            self.segment_arrived(socket, segment, now)
            return
        listener = self._listener_for(packet.dst, segment.dst_port)
        if listener is None or segment.flags & (tcp.RST | tcp.ACK) or not segment.flags & tcp.SYN:
            self._answer_stranger(packet, segment, now, known_port=listener is not None)
        else:
            self._syn_arrived(listener, packet, segment, now, socket)

    def segment_arrived(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> None:
        """Give a segment to its connection, which is pumped when the batch is done (HOT)."""
        connection = socket.connection
        if connection.state in _HANDSHAKE_STATES:
            _note_handshake(socket, segment, now, sent=False)
        connection.segment_arrived(segment, now)
        self._mark(socket)

    def error_arrived(self, error: IcmpError, now: float) -> None:
        """Take an ICMP error about a segment that this host sent."""
        quoted = error.quoted
        src_port, dst_port = icmp.quoted_ports(quoted.payload)
        socket = self.sockets.get(pack_ends(quoted.dst, quoted.src, dst_port, src_port))
        seq = int.from_bytes(quoted.payload[4:8], "big")
        if socket is None or not path.concerns(socket.connection, seq):
            self._host.drop("tcp_error_unclaimed", now, data=quoted.raw)
            return
        if (error.kind, error.code) == (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED):
            path.packet_too_big(socket.connection, error.mtu_bytes - _HEADERS_BYTES)
        else:
            number = icmp.error_number(error.kind, error.code)
            if number is not None:
                path.unreachable(socket.connection, number)
        self._mark(socket)

    # what users ask for

    def connect(
        self,
        remote: Ip4,
        remote_port: int,
        now: float,
        *,
        local: Ip4 = UNSPECIFIED,
        local_port: int = 0,
    ) -> TcpSocket:
        """Begin to open a connection. OSError: ENETUNREACH, EADDRNOTAVAIL, EADDRINUSE, EINVAL."""
        host = self._host
        if not 0 < remote_port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{remote_port} is not a port that can be connected to")
        if not 0 <= local_port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{local_port} is not a port")
        route = host.routes.lookup(remote)
        if route is None or host.is_many(remote) or remote == UNSPECIFIED:
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH), format_ip4(remote))
        if local == UNSPECIFIED:
            local = remote if remote in host.addresses else route.source
        elif local not in host.addresses:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), format_ip4(local))
        if is_loopback(local) and route.interface.neighbors is not None:
            raise OSError(errno.EINVAL, f"{format_ip4(local)} does not leave the host")
        if local_port == 0:
            local_port = self._ports.choose(
                local,
                remote,
                remote_port,
                lambda port: (
                    pack_ends(remote, local, remote_port, port) not in self.sockets
                    and port not in self._listeners
                ),
            )
            if local_port == 0:
                raise OSError(errno.EADDRNOTAVAIL, "all ephemeral ports to there are taken")
        elif pack_ends(remote, local, remote_port, local_port) in self.sockets:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        socket = self._add(local, local_port, remote, remote_port, route, now)
        socket.connection.open_active(now)
        return socket

    def listen(self, local: Ip4, port: int, backlog: int = DEFAULT_BACKLOG) -> Listener[TcpSocket]:
        """Open a port for connections, 0 for any free one. OSError: EADDRINUSE, EADDRNOTAVAIL."""
        host = self._host
        if not 0 <= port <= 0xFFFF:
            raise OSError(errno.EINVAL, f"{port} is not a port")
        if local != UNSPECIFIED and local not in host.addresses:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL), format_ip4(local))
        if port == 0:
            port = random_port(host.rng, lambda candidate: candidate not in self._listeners)
            if port == 0:
                raise OSError(errno.EADDRINUSE, "all ephemeral TCP ports are taken")
        elif any(
            UNSPECIFIED in (local, other.local) or local == other.local
            for other in self._listeners.get(port, ())
        ):
            raise OSError(errno.EADDRINUSE, f"TCP port {port} is taken on {host.name}")
        listener: Listener[TcpSocket] = Listener(local, port, backlog)
        self._listeners.setdefault(port, []).append(listener)
        return listener

    def unlisten(self, listener: Listener[TcpSocket], now: float) -> None:
        """Close a listener; whoever was not accepted yet gets a reset. A second time is nothing."""
        known = self._listeners.get(listener.local_port, [])
        if listener not in known:
            return
        known.remove(listener)
        if not known:
            del self._listeners[listener.local_port]
        for socket in (*listener.half_open, *listener.ready):
            socket.listener = None
            self.abort(socket, now)
        listener.half_open.clear()
        listener.ready.clear()

    def __iter__(self) -> Iterator[TcpSocket]:
        """Go through all connections."""
        return iter(list(self.sockets.values()))

    def __len__(self) -> int:
        """Return how many connections there are, those in TIME-WAIT included."""
        return len(self.sockets)

    def clear(self) -> None:
        """Forget all connections and timers without a word to anybody: the power is off."""
        for socket in self:
            self._forget(socket)
        self._marked.clear()
        self._listeners.clear()

    def break_all(self, error: int, now: float) -> None:
        """End all connections and listeners here with an errno, without a word to anybody else."""
        for socket in self:
            socket.connection.finish(error)
            self.pump(socket, now)
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.half_open.clear()
                listener.ready.clear()
                listener.broken = True
                if listener.on_ready is not None:
                    listener.on_ready()
        self._listeners.clear()

    # the user's calls on a connection, each with the pump behind it

    def write(self, socket: TcpSocket, data: memoryview, now: float) -> int:
        """Queue data; return how much there was room for. BrokenPipeError after the end."""
        size = socket.connection.write(data, now)
        self.pump(socket, now)
        return size

    def read(self, socket: TcpSocket, max_bytes: int, now: float) -> bytes:
        """Return what has arrived in order, at most `max_bytes`; empty for nothing."""
        data = socket.connection.read(max_bytes, now)
        if socket.connection.tcb.ack_now:  # the window opened enough to say so
            self.pump(socket, now)
        return data

    def close(self, socket: TcpSocket, now: float) -> None:
        """Send no more: a FIN after what is queued."""
        socket.connection.close(now)
        self.pump(socket, now)

    def release(self, socket: TcpSocket, now: float) -> None:
        """The user goes away; the connection ends by itself."""
        socket.on_signal = None
        socket.connection.release(now)
        self.pump(socket, now)

    def abort(self, socket: TcpSocket, now: float) -> None:
        """End it at once, with a reset."""
        socket.connection.abort(now)
        self.pump(socket, now)

    # THE PUMP

    def pump(self, socket: TcpSocket, now: float) -> None:
        """Send, tell the owner, arm the timer: after any input to a connection."""
        connection = socket.connection
        while (segment := connection.poll_transmit(now)) is not None:
            if segment.flags & tcp.SYN or len(socket.handshake) == 2:
                _note_handshake(socket, segment, now, sent=True)
            egress.send_segment(self._host, socket.route, socket.local, socket.remote, segment, now)
        self._tell(socket, now)
        if connection.state is TcpState.CLOSED:
            self._forget(socket)
            return
        wanted_at = connection.next_timeout()
        timer = socket.timer
        # Lazily: a timer that moved later is left where it is, fires for nothing, and moves then.
        if wanted_at < float("inf") and (timer is None or timer.when > wanted_at):
            if timer is not None:
                timer.cancel()
            socket.timer = self._host.scheduler.call_at(
                wanted_at, lambda at: self._timer_fired(socket, at)
            )

    def _timer_fired(self, socket: TcpSocket, now: float) -> None:
        socket.timer = None
        socket.connection.timeout(now)
        self.pump(socket, now)

    def _mark(self, socket: TcpSocket) -> None:
        if socket.marked:
            return
        socket.marked = True
        if not self._marked:
            self._host.scheduler.call_soon(self._pump_marked)
        self._marked.append(socket)

    def _pump_marked(self, now: float) -> None:
        marked, self._marked = self._marked, []
        for socket in marked:
            socket.marked = False
            self.pump(socket, now)

    def _tell(self, socket: TcpSocket, now: float) -> None:
        connection, host = socket.connection, self._host
        while connection.drops:
            host.drop(connection.drops.pop(0), now)
        while (event := connection.next_event()) is not None:
            if isinstance(event, Signal):
                if event is Signal.ESTABLISHED and socket.listener is not None:
                    socket.listener.established(socket)
                if socket.on_signal is not None:
                    socket.on_signal(event)
            elif isinstance(event, StateChange):
                if host.observers:
                    host.notify(
                        TcpStateChanged(
                            now,
                            host.name,
                            socket.local_address,
                            socket.remote_address,
                            event.old.value,
                            event.new.value,
                        )
                    )
            else:
                self._note_retransmission(socket, event, now)

    def _note_retransmission(self, socket: TcpSocket, event: Retransmission, now: float) -> None:
        host = self._host
        host.counters.add(f"tcp_retransmits_{event.reason}")
        if host.observers:
            host.notify(
                TcpRetransmitted(
                    now,
                    host.name,
                    socket.local_address,
                    socket.remote_address,
                    event.reason,
                    event.seq & MASK,
                    event.payload_bytes,
                )
            )

    # sockets

    def _add(
        self,
        local: Ip4,
        local_port: int,
        remote: Ip4,
        remote_port: int,
        route: Route,
        now: float,
        predecessor: TcpSocket | None = None,
    ) -> TcpSocket:
        if predecessor is None:
            iss = initial_sequence_number(
                self._isn_key, local, local_port, remote, remote_port, now
            )
        else:  # beyond all that it has used (RFC 1122 section 4.2.2.13), by as much as in Linux
            iss = predecessor.connection.tcb.snd_nxt + 0x10001 & MASK
        connection = Connection(
            self.config,
            local_port,
            remote_port,
            iss=iss,
            mtu_mss=route.interface.mtu_bytes - _HEADERS_BYTES,
            gso_max_bytes=route.interface.port.gso_max_bytes,
        )
        socket = TcpSocket(connection, local, remote, route)
        self.sockets[socket.ends] = socket
        return socket

    def _forget(self, socket: TcpSocket) -> None:
        if self.sockets.get(socket.ends) is socket:  # else a new connection has its place
            del self.sockets[socket.ends]
        if socket.timer is not None:
            socket.timer.cancel()
            socket.timer = None
        if socket.listener is not None:
            socket.listener.forget(socket)
            socket.listener = None

    def _listener_for(self, local: Ip4, port: int) -> Listener[TcpSocket] | None:
        found = None
        for listener in self._listeners.get(port, ()):
            if listener.local == local:
                return listener
            if listener.local == UNSPECIFIED:
                found = listener
        return found

    def _gives_way(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> bool:
        """Tell whether a connection in TIME-WAIT ends for the sake of a new one (RFC 6191, 2)."""
        connection = socket.connection
        if (
            connection.state is not TcpState.TIME_WAIT
            or segment.flags & (tcp.SYN | tcp.ACK | tcp.RST) != tcp.SYN
            or (segment.seq - connection.tcb.rcv_nxt) & MASK >= 1 << 31
            or self._listener_for(socket.local, connection.local_port) is None
        ):
            return False
        self._host.counters.add("tcp_time_wait_reused")
        connection.finish(None)
        self.pump(socket, now)
        return True

    def _syn_arrived(
        self,
        listener: Listener[TcpSocket],
        packet: ipv4.Ipv4Packet,
        segment: tcp.Segment,
        now: float,
        predecessor: TcpSocket | None,
    ) -> None:
        """RFC 9293 section 3.10.7.2: a SYN for a port that listens.

        `predecessor`: the connection between the same ends that gave way; None: there was none.
        """
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
            self.pump(oldest, now)
        socket = self._add(
            packet.dst, segment.dst_port, packet.src, segment.src_port, route, now, predecessor
        )
        socket.listener = listener
        listener.half_open[socket] = None
        _note_handshake(socket, segment, now, sent=False)
        socket.connection.open_passive(segment, now)
        self._mark(socket)

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


def _note_handshake(socket: TcpSocket, segment: tcp.Segment, now: float, *, sent: bool) -> None:
    """Remember the three segments of the handshake; one that is sent again counts once."""
    known = socket.handshake
    flags = tcp.flag_names(segment.flags)
    if len(known) < 3 and (not known or (known[-1].sent, known[-1].flags) != (sent, flags)):
        options = tcp_options.parse(segment.options).describe() if segment.options else ""
        ack = segment.ack & MASK if segment.flags & tcp.ACK else 0
        known.append(
            HandshakeSegment(now, sent, flags, segment.seq & MASK, ack, segment.wnd, options)
        )
