"""Listeners, and the segments that are for no connection: SYNs, and what strangers send."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import UNSPECIFIED, Ip
from pystack.stack import egress
from pystack.stack.intercept import HeldSyns, stands_in
from pystack.stack.path_mtus import sizes_to
from pystack.stack.ports import Shares, locals_of, names_one
from pystack.stack.tcp_open import Opener, fields_of
from pystack.stack.tcp_ports import Binding
from pystack.stack.tcp_socket import TcpSocket, note_handshake
from pystack.stack.time_wait import TimeWait, may_follow
from pystack.stack.way import find_way
from pystack.tcp import syn_cookie, timestamps
from pystack.tcp.config import TcpConfig
from pystack.tcp.listener import Listener
from pystack.tcp.output import reset_for
from pystack.tcp.seq import MASK
from pystack.tcp.states import TcpState
from pystack.tcp.tcb import Tcb
from pystack.wire import tcp, tcp_options
from pystack.wire.headers import pack_ends
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.intercept import Interceptor
    from pystack.stack.interface import Interface
    from pystack.stack.routes import Route
    from pystack.stack.tcp_table import TcpTable

# When SYN-ACKs that nobody answers are given up early: as Linux's reqsk_timer_handler
_CALM: Final = 8
_SHED_RETRIES: Final = 2
_ANSWERS: Final = 1024  # that are remembered; when that many are, all are forgotten


class Listeners:
    """The ports of one host that are open for connections."""

    __slots__ = (
        "_bindings",
        "_cookie_answers",
        "_cookie_key",
        "_host",
        "_opener",
        "_shares",
        "_table",
        "by_port",
        "held",
    )

    def __init__(self, host: Host, table: TcpTable, opener: Opener) -> None:
        self._cookie_key = opener.secret(b"syn cookies")
        # What SYN-ACKs with cookies say beside their numbers, by what SYNs ask for: with the
        # configuration that was last used
        self._cookie_answers: tuple[TcpConfig | None, dict[syn_cookie.Asked, syn_cookie.Answer]] = (
            None,
            {},
        )
        self._host = host
        self._table = table
        self._opener = opener
        self._shares = Shares(host.rng)
        self._bindings: dict[Listener[TcpSocket], Binding] = {}
        self.by_port: dict[int, list[Listener[TcpSocket]]] = {}
        self.held = HeldSyns(host, table, opener)  # that an interceptor is to decide on

    def listen(self, binding: Binding, backlog: int) -> Listener[TcpSocket]:
        """Open a port for connections. OSError (EADDRINUSE): somebody listens there already."""
        binding.listening = True
        try:
            self._table.ports.check(binding)
        except OSError:
            binding.listening = False
            raise
        listener: Listener[TcpSocket] = Listener(binding.local, binding.port, backlog)
        self._bindings[listener] = binding
        self.by_port.setdefault(binding.port, []).append(listener)
        return listener

    def unlisten(
        self, listener: Listener[TcpSocket], now: float, *, keep_port: bool = False
    ) -> None:
        """Close a listener; whoever was not accepted yet gets a reset. A second time is nothing.

        `keep_port`: it stays bound, and may be listened on again.
        """
        known = self.by_port.get(listener.local_port, [])
        if listener not in known:
            return
        known.remove(listener)
        if not known:
            del self.by_port[listener.local_port]
        binding = self._bindings.pop(listener)
        binding.listening = False
        if not keep_port:
            self._table.ports.release(binding)
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
        self._bindings.clear()
        self.held.clear(self._host.scheduler.now)

    def find(
        self,
        local: Ip,
        port: int,
        remote: tuple[Ip, int] = (UNSPECIFIED, 0),
        interface: Interface | None = None,
    ) -> Listener[TcpSocket] | None:
        """Return the listener for connections to there: of the very address, else of all.

        Where several share it (SO_REUSEPORT), the other end decides who gets it. `interface`: where
        the segment came in; None: wherever.
        """
        known = self.by_port.get(port)
        if known is None:
            return None
        locals_ = locals_of(local)
        if len(known) == 1:  # nearly always (HOT)
            (listener,) = known
            if listener.device is None and listener.local in locals_:
                return listener
        found = [
            listener
            for listener in known
            if listener.local in locals_
            and (interface is None or listener.device in (None, interface))
        ]
        if not found:
            return None
        most = max(map(_specificity, found))
        found = [listener for listener in found if _specificity(listener) == most]
        return found[0 if len(found) == 1 else self._shares.choose(local, *remote, len(found))]

    def segment_arrived(
        self,
        interface: Interface,
        packet: Packet,
        segment: tcp.Segment,
        ends: bytes,
        now: float,
        predecessor: TcpSocket | None,
    ) -> None:
        """Take a segment for no connection: it may open one, or else it is a stranger's.

        `predecessor`: the connection between the same ends that gave way; None: there was none.
        """
        old: Tcb | TimeWait | None = None if predecessor is None else predecessor.connection.tcb
        waits = self._table.time_waits
        if (record := waits.records.get(ends)) is not None:
            if not self._gives_way(record, record.local, segment):
                waits.segment_arrived(ends, record, segment, now)
                return
            waits.forget(ends)
            old = record
        host, other = self._host, (packet.src, segment.src_port)
        came_by = host.came_by(interface, packet.dst)
        listener = self.find(packet.dst, segment.dst_port, other, came_by)
        kind = segment.flags & (tcp.SYN | tcp.ACK | tcp.RST)
        interceptor = stands_in(host, packet)
        if interceptor is not None and (listener is None or not names_one(listener.local)):
            self._intercept(interceptor, packet, segment, ends, now, old)
        elif listener is None:
            self._answer_stranger(packet, segment, now, known_port=False)
        elif kind == tcp.SYN and segment.flags & tcp.FIN:
            # RFC 9293 would keep the FIN for later; as Linux, for filters that look for a bare SYN
            # would let a connection in that they are to keep out.
            host.drop("tcp_syn_fin", now, data=packet.raw)
        elif kind == tcp.SYN:
            self._syn_arrived(listener, packet, segment, now, old)
        elif kind != tcp.ACK or not self._cookie_arrived(listener, packet, segment, ends, now):
            self._answer_stranger(packet, segment, now, known_port=True)

    def _intercept(
        self,
        interceptor: Interceptor,
        packet: Packet,
        segment: tcp.Segment,
        ends: bytes,
        now: float,
        predecessor: Tcb | TimeWait | None,
    ) -> None:
        """Take a segment to an address that is not the host's."""
        flags = segment.flags
        if flags & tcp.RST and self.held.reset_arrived(segment, ends, now):
            return
        if flags & (tcp.SYN | tcp.ACK | tcp.RST) != tcp.SYN or not segment.dst_port:
            self._answer_stranger(packet, segment, now, known_port=False)
        elif flags & tcp.FIN:
            self._host.drop("tcp_syn_fin", now, data=packet.raw)
        else:
            iss = None if predecessor is None else _beyond(predecessor)
            self.held.syn_arrived(interceptor, packet, segment, ends, now, iss)

    def fast_open_is_over(self, socket: TcpSocket) -> None:
        """A connection that had text before its last ACK has that now, or has ended."""
        for listener in self.by_port.get(socket.connection.local_port, ()):
            listener.fast_opened.discard(socket)

    def admits(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> bool:
        """Tell whether a half-open connection may take a segment that may be its last ACK.

        With a full accept queue it may not: the peer, who is established, sends its data again, and
        our SYN-ACK is sent again too (RFC 9293 section 3.9.1.2 leaves the backlog to us; as Linux).
        """
        listener = socket.listener
        if (
            listener is None
            or not listener.accept_queue_full
            or segment.flags & (tcp.SYN | tcp.ACK | tcp.RST) != tcp.ACK
        ):
            return True
        self._host.drop("tcp_listen_overflow", now)
        return False

    def supersedes(self, socket: TcpSocket, segment: tcp.Segment, now: float) -> bool:
        """Tell whether a segment begins a new connection that replaces one in TIME-WAIT."""
        connection = socket.connection
        if connection.state is not TcpState.TIME_WAIT or not self._gives_way(
            connection.tcb, socket.local, segment
        ):
            return False
        connection.finish(None)
        self._table.pump(socket, now)
        return True

    def _gives_way(self, old: Tcb | TimeWait, local: Ip, segment: tcp.Segment) -> bool:
        if (
            segment.flags & (tcp.SYN | tcp.ACK | tcp.RST | tcp.FIN) != tcp.SYN
            or not may_follow(old, segment, stamped=self._table.config.timestamps)
            or not self._may_open(local, segment.dst_port)
        ):
            return False
        self._host.counters.add("tcp_time_wait_reused")
        return True

    def _may_open(self, local: Ip, port: int) -> bool:
        """Tell whether a SYN for there may open a connection."""
        host = self._host
        if host.interceptor is not None and not host.is_own(local):
            return True
        return self.find(local, port) is not None

    def _syn_arrived(
        self,
        listener: Listener[TcpSocket],
        packet: Packet,
        segment: tcp.Segment,
        now: float,
        predecessor: Tcb | TimeWait | None,
    ) -> None:
        """RFC 9293 section 3.10.7.2: a SYN for a port that listens."""
        host = self._host
        route = host.routes.lookup(packet.src)
        if route is None:
            host.drop("tcp_no_route", now, data=packet.raw)
            return
        if listener.accept_queue_full:
            host.drop("tcp_listen_overflow", now, data=packet.raw)
            return
        self._shed(listener, now)
        cookies = self._table.limits.syn_cookies
        ends = packet.dst, segment.dst_port, packet.src, segment.src_port
        # A successor's number must be beyond its predecessor's, which a cookie need not be.
        if predecessor is None and (listener.syn_queue_full or cookies == 2):
            if cookies:
                self._send_cookie(listener, ends, route, segment, now)
            else:
                host.drop("tcp_syn_queue_full", now, data=packet.raw)
            return
        self._open(listener, ends, route, segment, now, predecessor)

    def _open(
        self,
        listener: Listener[TcpSocket],
        ends: tuple[Ip, int, Ip, int],
        route: Route,
        segment: tcp.Segment,
        now: float,
        predecessor: Tcb | TimeWait | None = None,
    ) -> None:
        """Make the connection that a SYN asks for, which answers it."""
        host, config = self._host, listener.config(self._table.config)
        iss = None if predecessor is None else _beyond(predecessor)
        socket = self._opener.make(*ends, route, now, config, iss=iss)
        self._add(listener, socket)
        note_handshake(socket, segment, now, sent=False)
        if config.fast_open in ("server", "both") and self._table.fast_open.syn_arrived(
            listener, socket, segment, now
        ):
            host.counters.add("tcp_fast_opens_in")
            socket.connection.open_fast(segment, now)
            listener.established(socket)  # as far as the user can see
        else:
            socket.connection.open_passive(segment, now)
        self._table.mark(socket)

    def _add(self, listener: Listener[TcpSocket], socket: TcpSocket) -> None:
        binding = self._bindings[listener]
        socket.reuse_address, socket.reuse_port = binding.reuse_address, binding.reuse_port
        self._table.add(socket)
        socket.listener = listener
        listener.half_open[socket] = None

    def _shed(self, listener: Listener[TcpSocket], now: float) -> None:
        """Let the oldest half-open connection go, where the queue fills and its peer is silent.

        Half of the queue is for those who are new, as in Linux: two answers that came to nothing
        are enough then.
        """
        if 2 * len(listener.half_open) <= max(_CALM, listener.backlog):
            return
        oldest = next(iter(listener.half_open))
        connection = oldest.connection
        # One that has sent its ACK, and no text yet, is given the time that its listener wants.
        enough = connection.config.defer_accept_retries if connection.deferred else _SHED_RETRIES
        if connection.tcb.retries >= max(enough, _SHED_RETRIES):
            self._host.drop("tcp_syn_queue_shed", now)
            connection.finish(errno.ETIMEDOUT)
            self._table.pump(oldest, now)

    def _send_cookie(
        self,
        listener: Listener[TcpSocket],
        ends: tuple[Ip, int, Ip, int],
        route: Route,
        segment: tcp.Segment,
        now: float,
    ) -> None:
        """Answer a SYN without keeping anything (RFC 4987 section 3.6)."""
        host, table = self._host, self._table
        local, local_port, remote, remote_port = ends
        theirs = tcp_options.parse(segment.options)
        name = pack_ends(remote, local, remote_port, local_port)
        sizes, interface = sizes_to(remote), route.interface
        if remote >> 32:  # with the flow label that all of the connection has
            way, mtu_bytes = self._opener.way(route, *ends), interface.mtu6_bytes
        else:
            way, mtu_bytes = find_way(host, route, local, remote), interface.mtu_bytes
        mss = theirs.mss or sizes.default_mss
        cookie = syn_cookie.make(self._cookie_key, name, segment.seq, mss, now)
        config = listener.config(table.config)
        mtu_mss = mtu_bytes - sizes.headers_bytes
        pressed = table.shared.memory.pressed
        asked = syn_cookie.Asked.by(segment, theirs, config, mtu_mss, pressed=pressed)
        if self._cookie_answers[0] != config or len(self._cookie_answers[1]) >= _ANSWERS:
            self._cookie_answers = config, {}
        known = self._cookie_answers[1]
        answer = known.get(asked)
        if answer is None:  # a connection says once what it would answer
            socket = self._opener.make(*ends, route, now, config, iss=cookie)
            answer = known[asked] = syn_cookie.answer(socket.connection, segment, theirs, now)
        clock = timestamps.clock_at(now, self._opener.offsets(*ends).timestamp)
        listener.cookie_sent_at = now
        host.counters.add("tcp_syn_cookies_sent")
        syn_ack = answer.segment(segment, theirs, cookie, clock)
        egress.send_segment(host, way, syn_ack, now, fields_of(config))

    def _cookie_arrived(
        self,
        listener: Listener[TcpSocket],
        packet: Packet,
        segment: tcp.Segment,
        ends: bytes,
        now: float,
    ) -> bool:
        """Open a connection where an ACK brings back a cookie of ours; False: it does not."""
        host, cookies = self._host, self._table.limits.syn_cookies
        if now - listener.cookie_sent_at > syn_cookie.VALID_S and cookies != 2:
            return False
        irs, cookie = segment.seq - 1 & MASK, segment.ack - 1 & MASK
        mss = syn_cookie.check(self._cookie_key, ends, irs, cookie, now)
        route = host.routes.lookup(packet.src)
        if mss is None or route is None:
            host.counters.add("tcp_syn_cookies_failed")
            return False
        if listener.accept_queue_full:
            host.drop("tcp_listen_overflow", now, data=packet.raw)
            return True
        host.counters.add("tcp_syn_cookies_received")
        config = listener.config(self._table.config)
        named = packet.dst, segment.dst_port, packet.src, segment.src_port
        socket = self._opener.make(*named, route, now, config, iss=cookie)
        self._add(listener, socket)
        syn, syn_ack = syn_cookie.open_by_cookie(socket.connection, segment, mss, now)
        note_handshake(socket, syn, now, sent=False)
        note_handshake(socket, syn_ack, now, sent=True)
        self._table.segment_arrived(socket, segment, now)
        return True

    def _answer_stranger(
        self, packet: Packet, segment: tcp.Segment, now: float, *, known_port: bool
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
            way = find_way(host, route, packet.dst, packet.src)
            egress.send_segment(host, way, reset, now)


def _beyond(predecessor: Tcb | TimeWait) -> int:
    """Return a number beyond all that it has used (RFC 1122 4.2.2.13), by as much as in Linux."""
    return predecessor.snd_nxt + 0x10001 & MASK


def _specificity(listener: Listener[TcpSocket]) -> tuple[bool, bool]:
    return names_one(listener.local), listener.device is not None
