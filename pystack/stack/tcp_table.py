"""TCP of one host: which connection a segment is for, listeners, strangers, and THE PUMP.

The pump runs after any input to a connection: it sends what is due, tells the owner what happened,
and arms the timer. Nobody else may. In a batch of frames a connection is marked by each and pumped
once, at the batch's end, so that acknowledgements are sent once too.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import UNSPECIFIED, Ip
from pystack.core.tcp_events import TcpRepair, TcpRetransmitted, TcpSoftError
from pystack.stack import egress, tcp_socket
from pystack.stack.ecn_paths import EcnPaths
from pystack.stack.fast_open import FastOpenTable
from pystack.stack.path_mtus import PathMtus
from pystack.stack.tcp_listen import Listeners
from pystack.stack.tcp_memory import CONNECTION_BYTES, SENT_BYTES, TcpMemory
from pystack.stack.tcp_open import Opener
from pystack.stack.tcp_ports import Binding, TcpPorts
from pystack.stack.tcp_socket import TcpSocket, note_handshake
from pystack.stack.time_wait import TimeWaits
from pystack.stack.way import find_way
from pystack.tcp import icmp_errors, path_mtu
from pystack.tcp.config import TcpConfig, TcpLimits
from pystack.tcp.congestion.guarded import ControlError
from pystack.tcp.events import Signal
from pystack.tcp.listener import DEFAULT_BACKLOG, Listener
from pystack.tcp.seq import unwrap
from pystack.tcp.shared import Shared
from pystack.tcp.states import OVER, TcpState
from pystack.tcp.tcb import NEVER
from pystack.wire import icmp, ipv4, tcp
from pystack.wire.headers import pack_ends
from pystack.wire.ip_options import SourceRoute
from pystack.wire.packet import Packet
from pystack.wire.train import Train

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.icmp_core import IcmpError
    from pystack.stack.interface import Interface
    from pystack.stack.routes import Route

_HANDSHAKE_STATES: Final = frozenset({TcpState.CLOSED, TcpState.SYN_SENT, TcpState.SYN_RECEIVED})


class TcpTable:
    """The TCP layer of one host."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.sockets: dict[bytes, TcpSocket] = {}  # by their `ends`
        self._later: list[TcpSocket] = []
        # How many segments one pump sends before the driver looks at what has come; in virtual
        # time, where nothing comes meanwhile, all
        self.burst_segments = sys.maxsize
        self._marked: list[TcpSocket] = []
        self.shared = Shared(host.counters, host.rng, host.observers)
        self.ports = TcpPorts(host)
        self.time_waits = TimeWaits(host, self)
        self.memory = TcpMemory(host, self)
        self.path_mtus = PathMtus()
        self.config = TcpConfig()  # of new connections
        self.added: list[Callable[[TcpSocket], object]] = []  # each is told of a new connection
        self.limits = TcpLimits()
        self._opener = Opener(host, self)
        self.ecn_paths = EcnPaths()
        self.fast_open = FastOpenTable(self._opener.secret(b"fast open"))
        self.listeners = Listeners(host, self, self._opener)

    @property
    def limits(self) -> TcpLimits:
        """Return what all connections may do together; it may be changed."""
        return self._limits

    @limits.setter
    def limits(self, limits: TcpLimits) -> None:
        self._limits = limits
        self.shared.memory.alarm_bytes = limits.memory_bytes[1]
        self.shared.challenges.per_s = limits.challenge_acks_per_s

    # what the network brings

    def packet_arrived(self, interface: Interface, packet: Packet, now: float) -> None:
        """Give a segment to its connection, to a listener, or answer it as a stranger's."""
        segment = tcp.parse(packet)
        host = self._host
        if packet.to_many:
            host.drop("tcp_to_many", now, data=packet.raw)  # RFC 9293 MUST-57
            return
        host.counters["tcp_segments_in"] += 1
        ends = pack_ends(packet.src, packet.dst, segment.src_port, segment.dst_port)
        socket = self.sockets.get(ends)
        if socket is not None and not self.listeners.supersedes(socket, segment, now):
            self.segment_arrived(socket, segment, now)
        else:
            self.listeners.segment_arrived(interface, packet, segment, ends, now, socket)
        if packet.header_bytes > ipv4.HEADER_BYTES and ends in self.sockets:
            tcp_socket.options_arrived(host, self.sockets[ends], packet)

    def segment_arrived(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> None:
        """Give a segment to its connection, which is pumped when the batch is done (HOT)."""
        connection = socket.connection
        if socket.train is not None:
            self._take_train(socket, socket.train, now)
        if connection.state in _HANDSHAKE_STATES:
            self._handshake_goes_on(socket, segment, now)
        else:
            connection.segment_arrived(segment, now)
        self.mark(socket)

    def hold(self, socket: TcpSocket, train: Train, now: float) -> None:
        """Give it a segment of a super-frame, but wait for what else of it the batch brings."""
        if socket.train is not None:
            self._take_train(socket, socket.train, now)
        socket.train = train
        self.mark(socket)

    def _take_train(self, socket: TcpSocket, train: Train, now: float) -> None:
        socket.train = None
        socket.connection.segment_arrived(train.segment(), now)

    def _handshake_goes_on(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> None:
        if not self.listeners.admits(socket, segment, now):
            return
        note_handshake(socket, segment, now, sent=False)
        socket.connection.segment_arrived(segment, now)
        if socket.connection.fast_opened:
            if socket.connection.state is not TcpState.SYN_RECEIVED:
                self.listeners.fast_open_is_over(socket)
        elif socket.listener is None:
            return
        elif socket.connection.state not in _HANDSHAKE_STATES:
            # At once, not when the pump tells it: the next in the batch looks at the queue too.
            socket.listener.established(socket)
        elif socket.connection.deferred:
            socket.listener.heard_of(socket)

    def error_arrived(self, error: IcmpError, now: float) -> None:
        """Take an ICMP error about a segment that this host sent."""
        quoted = error.quoted
        src_port, dst_port = icmp.quoted_ports(quoted.payload)
        socket = self.sockets.get(pack_ends(quoted.dst, quoted.src, dst_port, src_port))
        seq = tcp.quoted_seq(quoted.payload)
        if socket is None or not icmp_errors.concerns(socket.connection, seq):
            self._host.drop("tcp_error_unclaimed", now, data=quoted.raw)
            return
        if error.too_big:
            endless = unwrap(seq, socket.connection.tcb.snd_nxt)
            self.path_mtus.claimed(socket, endless, error, now)
        elif (number := error.number) is not None:
            # RFC 9293 section 3.9.2.2: these are hard, and `too_big` is path MTU discovery's.
            waits = socket.connection.fast_opened and socket.listener is not None
            icmp_errors.unreachable(
                socket.connection, number, hard=error.refused, not_accepted=waits
            )
        self.mark(socket)

    # what users ask for

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

        `config`: that of this connection; None: the host's. `text`: to be sent as soon as can be,
        in the SYN where Fast Open is on and the peer's cookie known; None: there is none yet.
        """
        return self._opener.connect(
            remote,
            remote_port,
            now,
            local=local,
            local_port=local_port,
            config=config,
            source_route=source_route,
            text=text,
            route=route,
        )

    def listen(self, local: Ip, port: int, backlog: int = DEFAULT_BACKLOG) -> Listener[TcpSocket]:
        """Open a port for connections, 0 for any free one.

        OSError: ENETDOWN, EADDRINUSE, EADDRNOTAVAIL, EINVAL.

        With SO_REUSEADDR, as all servers: connections of an earlier listener are no hindrance.
        """
        binding = self.ports.bind(Binding(local, port, reuse_address=True))
        return self.listeners.listen(binding, backlog)

    def unlisten(self, listener: Listener[TcpSocket], now: float) -> None:
        """Close a listener; whoever was not accepted yet gets a reset. A second time is nothing."""
        self.listeners.unlisten(listener, now)

    def __iter__(self) -> Iterator[TcpSocket]:
        """Go through all connections."""
        return iter(list(self.sockets.values()))

    def __len__(self) -> int:
        """Return how many connections there are, those in TIME-WAIT included."""
        return len(self.sockets) + len(self.time_waits.records)

    def break_all(self, error: int, now: float) -> None:
        """End all connections and listeners with an errno, without a word to the network.

        Nothing is remembered, and no timer is left.
        """
        for socket in self:
            socket.connection.finish(error)
            socket.connection.outbox.clear()
            self.pump(socket, now)  # which forgets it
        self._marked.clear()
        self._later.clear()
        self.time_waits.clear()
        self.fast_open.clear()
        self.listeners.break_all()
        self.ports.clear()

    # the user's calls on a connection, each with the pump behind it

    def write(
        self,
        socket: TcpSocket,
        data: memoryview,
        now: float,
        *,
        urgent: bool = False,
        more_comes: bool = False,
        record_ends: bool = False,
        zero_copy: bool = False,
        goes_on: bool = False,
    ) -> int:
        """Queue data; return how much there was room for. BrokenPipeError after the end.

        `zero_copy`: tell when it was acknowledged (MSG_ZEROCOPY); `goes_on`: the same call of the
        user will write more, and it is not its end that anybody is to be told of. Raises OSError
        (ENOBUFS) while too many zero-copy calls are not acknowledged.
        """
        if zero_copy and socket.notices is not None:
            socket.notices.check_room(zero_copy=zero_copy)
        size = socket.connection.write(
            data, now, urgent=urgent, more_comes=more_comes, record_ends=record_ends
        )
        if socket.notices is not None and size and not goes_on:
            socket.notices.written(socket.connection, zero_copy=zero_copy)
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
        socket.on_signal = socket.on_error = None
        socket.connection.release(now)
        self.pump(socket, now)
        if socket.connection.state not in OVER:
            self.memory.orphaned(socket, now)

    def abort(self, socket: TcpSocket, now: float) -> None:
        """End it at once, with a reset."""
        socket.connection.abort(now)
        self.pump(socket, now)

    # THE PUMP

    def pump(self, socket: TcpSocket, now: float) -> None:
        """Send, tell the owner, arm the timer: after any input to a connection."""
        connection = socket.connection
        if socket.train is not None:
            self._take_train(socket, socket.train, now)
        if socket.routes_seen != self._host.routes.changes:
            self._find_way(socket, now)
        left = self.burst_segments
        while (segment := connection.poll_transmit(now)) is not None:
            if segment.flags & tcp.SYN or len(socket.notes) == 2:
                note_handshake(socket, segment, now, sent=True)
            path = connection.tcb.path
            fields = socket.ip
            if path is not None and path.cut_on_the_way:
                fields = replace(fields, dont_fragment=False)
            egress.send_segment(self._host, socket.way, segment, now, fields)
            left -= 1
            if not left:
                if not socket.marked:
                    socket.marked = True
                    if not self._later:
                        self._host.scheduler.call_next(self._pump_later)
                    self._later.append(socket)
                break
        if connection.events or connection.drops:
            self._tell(socket, now)
        if socket.notices is not None:
            socket.notices.settle(connection, now)
        sending, reading = connection.send_buffer, connection.receive_buffer
        sent = getattr(connection.recovery, "held", ())  # one of a plug-in may not tell
        held_bytes = sending.end - sending.start + reading.readable_bytes + SENT_BYTES * len(sent)
        if reading.ranges:
            held_bytes += reading.out_of_order.cost_bytes
        if held_bytes != socket.held_bytes:
            self._count_memory(socket, held_bytes, now)
        if connection.state in OVER and self._let_go(socket, now):
            return
        wanted_at = connection.next_timeout()
        timer = socket.timer
        # Lazily: a timer that moved later is left where it is, fires for nothing, and moves then.
        if wanted_at < NEVER and (timer is None or timer.when > wanted_at):
            if timer is not None:
                timer.cancel()
            socket.timer = self._host.scheduler.call_at(
                wanted_at, lambda at: self._timer_fired(socket, at), connection.upkeep
            )

    def _find_way(self, socket: TcpSocket, now: float) -> None:
        """Routes have changed, or a link: go by another router where this one has gone.

        The link stays, for it may be the one that the socket is bound to. Where no route is left,
        all goes on as before, and whoever is asked there says so.
        """
        way, routes = socket.way, self._host.routes
        via = socket.ip.source_route
        to = way.dst if via is None else via.hops[0]
        route = routes.lookup(to)
        if route is None or route.interface is not way.interface:
            route = routes.lookup_by(way.interface, to)
        socket.routes_seen = routes.changes
        if route is None or (route is way.route and not way.is_v6):
            return
        socket.way = find_way(self._host, route, way.src, way.dst, way.flow_label)
        tcb = socket.connection.tcb
        path_mtu.link_changed(
            socket.connection, socket.way.mtu_bytes - tcb.sizes.headers_bytes, now
        )

    def _timer_fired(self, socket: TcpSocket, now: float) -> None:
        socket.timer = None
        socket.connection.timeout(now)
        self.pump(socket, now)

    def mark(self, socket: TcpSocket) -> None:
        if socket.marked:
            return
        socket.marked = True
        if not self._marked:
            self._host.scheduler.call_soon(self._pump_marked)
        self._marked.append(socket)

    def _pump_later(self, now: float) -> None:
        """Go on with what gave way to what had come."""
        marked, self._later = self._later, []
        for socket in marked:
            socket.marked = False
            self.pump(socket, now)

    def _pump_marked(self, now: float) -> None:
        marked, self._marked = self._marked, []
        for socket in marked:
            socket.marked = False
            self.pump(socket, now)

    def _tell(self, socket: TcpSocket, now: float) -> None:
        connection, host = socket.connection, self._host
        while connection.drops:
            host.drop(connection.drops.pop(0), now)
        told, connection.events = connection.events, []
        for event in told:
            if isinstance(event, Signal):
                if socket.on_signal is not None:
                    socket.on_signal(event)
                continue
            if isinstance(event, ControlError):
                # A reset, which goes out when this pump is over
                host.counters.add("tcp_congestion_failed")
                connection.abort(now, errno.ECONNABORTED)
                self.mark(socket)
                continue
            if isinstance(event, TcpRetransmitted):
                host.counters.add(f"tcp_retransmits_{event.reason}")
            elif isinstance(event, TcpSoftError):
                self._soft_error(socket, event, now)
            elif isinstance(event, TcpRepair):
                event.cwnd_bytes = connection.congestion.cwnd_bytes
                event.ssthresh_bytes = connection.congestion.ssthresh_bytes
            if host.observers:
                event.at, event.host = now, host.name
                event.local, event.remote = socket.local_address, socket.remote_address
                host.notify(event)

    def _soft_error(self, socket: TcpSocket, event: TcpSoftError, now: float) -> None:
        if event.reason == "retransmitting":
            self._host.counters.add("tcp_retransmits_advised")
            neighbors = socket.way.interface.neighbors
            if neighbors is not None:
                neighbors.doubt(socket.way.next_hop, now)
        if socket.on_error is not None:
            socket.on_error(event)

    # sockets

    def add(self, socket: TcpSocket) -> None:
        """Give a new connection its place."""
        self.sockets[socket.ends] = socket
        self.ports.hold(socket, socket.connection.local_port)
        self.shared.memory.used_bytes += CONNECTION_BYTES
        for tell in self.added:
            tell(socket)

    def _count_memory(self, socket: TcpSocket, held_bytes: int, now: float) -> None:
        memory = self.shared.memory
        memory.used_bytes += held_bytes - socket.held_bytes
        socket.held_bytes = held_bytes
        if memory.used_bytes > memory.alarm_bytes or memory.pressed:
            self.memory.changed(now)

    def _let_go(self, socket: TcpSocket, now: float) -> bool:
        """Forget what has ended; of one in TIME-WAIT keep a record, unless its user is there."""
        connection = socket.connection
        if connection.state is TcpState.TIME_WAIT:
            if not connection.released:
                return False
            self.time_waits.add(socket, now)
        self._forget(socket)
        return True

    def _forget(self, socket: TcpSocket) -> None:
        if self.sockets.get(socket.ends) is socket:  # else a new connection has its place
            del self.sockets[socket.ends]
            self.ports.let_go(socket, socket.connection.local_port)
            self.memory.orphans.pop(socket, None)
            self.shared.memory.used_bytes -= CONNECTION_BYTES
        if socket.timer is not None:
            socket.timer.cancel()
            socket.timer = None
        if socket.connection.fast_opened:
            self.listeners.fast_open_is_over(socket)
        if socket.listener is not None:
            socket.listener.forget(socket)
            socket.listener = None
