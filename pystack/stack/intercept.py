"""Interception: a host that takes packets for the whole world as its own (Linux: AnyIP, TPROXY).

An `Interceptor` says for which addresses, and is given what comes for them before anything is
answered: the SYN of a connection, datagrams, echo requests. What the host has itself (addresses,
and listeners and sockets that are bound to the very address) goes first; and nothing that is for
many, or for no station at all, is ever intercepted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from pystack.core.addresses import Ip, is_link_local, is_loopback, is_usable_source, is_v6
from pystack.core.scheduler import Handle
from pystack.stack import egress
from pystack.stack.icmp_core import Trouble
from pystack.stack.tcp_open import Opener
from pystack.stack.tcp_socket import TcpSocket, note_handshake
from pystack.stack.way import find_way
from pystack.tcp.events import Signal
from pystack.tcp.output import reset_for
from pystack.tcp.seq import MASK
from pystack.wire import ethernet, icmp, ip, ipv4, ipv6, tcp
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, completed, is_burst, split
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface
    from pystack.stack.tcp_table import TcpTable
    from pystack.tcp.config import TcpConfig

# After its last SYN: Linux sends six more, each after twice the time, and gives up after 127 s.
FORGOTTEN_AFTER_S: Final = 130.0
GIVES_WAY_AFTER_S: Final = 1.0  # RFC 6298 (2.1): when the client sends its SYN again
_KEPT_BYTES: Final = 1280  # of a SYN's packet, at most, as long as it is held: for ICMP errors


class Interceptor(Protocol):
    """Whoever takes what is for others. Called from within the stack: none of it may block."""

    def covers(self, dst: Ip) -> bool:
        """Tell whether packets for this address are taken.

        Asked once for each pair of addresses, until routes change (`host.routes.forget()`), and
        never for addresses of the host, for many, the loopback's, or link-local ones of IPv6.
        """
        ...

    def syn_arrived(self, syn: HeldSyn, now: float) -> None:
        """A connection is asked for, and nothing was answered yet: decide, now or later."""
        ...

    def datagram_arrived(self, datagram: HeldDatagram, now: float) -> None:
        """A datagram came, or a burst of them. `host.udp.send_as` answers."""
        ...

    def echo_arrived(self, echo: HeldEcho, now: float) -> None:
        """Somebody pings an address."""
        ...


def is_interceptable(host: Host, interface: Interface, dst: Ip) -> bool:
    """Tell whether packets that came by there for what is no own address are the interceptor's."""
    interceptor = host.interceptor
    return (
        interceptor is not None
        and interface.neighbors is not None
        and not host.is_many(dst)
        and is_usable_source(dst)
        and not is_loopback(dst)
        and not (is_v6(dst) and is_link_local(dst))  # another station of the link
        and interceptor.covers(dst)
    )


def stands_in(host: Host, packet: Packet) -> Interceptor | None:
    """Return who has this packet, which the host has taken; None: the host itself."""
    interceptor = host.interceptor
    if interceptor is None or packet.to_many or host.is_own(packet.dst):
        return None
    return interceptor


def take_datagrams(
    host: Host, ends: tuple[Ip, int, Ip, int], payload: bytes, frame: Frame, now: float
) -> bool:
    """Give the interceptor a plain datagram or a burst (HOT); False: it has to be looked at."""
    interceptor, each_bytes = host.interceptor, frame.gso_bytes
    counters, count = host.counters, 1
    if interceptor is None:
        return False
    if each_bytes:
        if frame.checksum != CHECKSUM_PARTIAL or each_bytes < 0 or not payload:
            return False
        count = -(-len(payload) // each_bytes)
        counters["frames_in"] += count - 1  # each is counted as if it had come alone
        counters["ip_packets_in"] += count - 1
    counters.add("udp_intercepted", count)
    held = HeldDatagram(host, ends, payload, frame, each_bytes if count > 1 else 0)
    interceptor.datagram_arrived(held, now)
    return True


class HeldSyn:
    """A connection that somebody asks for, and that was not answered yet.

    One of `accept`, `refuse`, `unreachable` and `drop` decides; a second one raises RuntimeError.
    For one that is over by itself all of them do nothing, but that `accept` calls `on_gone`.
    """

    __slots__ = (
        "_decided",
        "_held",
        "_iss",
        "_packet",
        "_reset",
        "arrived_at",
        "ends",
        "heard_at",
        "is_over",
        "local",
        "local_port",
        "on_over",
        "remote",
        "remote_port",
        "repeats",
        "segment",
        "text_bytes",
    )

    def __init__(
        self,
        held: HeldSyns,
        packet: Packet,
        segment: tcp.Segment,
        ends: bytes,
        now: float,
        iss: int | None,
    ) -> None:
        self.local = packet.dst  # what the client wants to reach
        self.local_port = segment.dst_port
        self.remote = packet.src
        self.remote_port = segment.src_port
        self.ends = ends
        self.arrived_at = now  # when the SYN first came
        self.heard_at = now  # and when last
        self.repeats = 0  # how often it has come again
        self.is_over = False  # True: the client has gone, or asks for something else
        # Told when that is so; None: nobody wants to be
        self.on_over: Callable[[float], None] | None = None
        self.text_bytes = len(segment.payload)
        self._reset = reset_for(segment)
        # Its text comes again, for a SYN-ACK acknowledges the SYN alone: nobody keeps it.
        segment.options, segment.payload = bytes(segment.options), b""
        self.segment = segment
        packet.raw = memoryview(bytes(packet.raw[:_KEPT_BYTES]))
        packet.payload = packet.raw[packet.header_bytes :]
        self._packet = packet
        self._held = held
        self._iss = iss  # beyond that of a connection in TIME-WAIT that gave way; None: any
        self._decided = False

    def accept(
        self,
        now: float,
        on_established: Callable[[TcpSocket], None],
        on_gone: Callable[[], None],
        config: TcpConfig | None = None,
    ) -> None:
        """Answer with a SYN-ACK; one of the two is called when the handshake is over.

        `on_gone`: the client reset it, or does not answer, or there is no way back to it.
        `config`: None: that of the host's connections.
        """
        if not self._decide():
            on_gone()
            return
        self._held.open(self, now, self._iss, on_established, on_gone, config)

    def refuse(self, now: float) -> None:
        """Answer with a reset, as a host does that has nobody at this port."""
        if self._decide():
            self._held.reset(self._packet, self._reset, now)

    def unreachable(self, trouble: Trouble, now: float) -> None:
        """Answer with an ICMP error, as a router on the way does."""
        if self._decide():
            self._held.host.tell(self._packet, trouble, now)

    def drop(self, now: float) -> None:
        """Answer nothing: the client tries again, and that is a new one."""
        if self._decide():
            self._held.host.drop("tcp_held_syn_dropped", now, data=self._packet.raw)

    @property
    def quoted(self) -> memoryview:
        """Return the beginning of its packet."""
        return self._packet.raw

    def may_give_way(self, now: float) -> bool:
        """Tell whether it may be dropped for another: a client that still waits sends it again.

        Not before a server would have answered: where too many come at once, some are to succeed.
        """
        return now - self.arrived_at >= GIVES_WAY_AFTER_S

    def end(self, now: float) -> None:
        """The client has gone: nobody needs an answer."""
        self.is_over = True
        if self.on_over is not None:
            self.on_over(now)

    def _decide(self) -> bool:
        if self.is_over:
            return False
        if self._decided:
            raise RuntimeError("this SYN was answered already")
        self._decided = True
        self._held.forget(self)
        return True


class HeldSyns:
    """The SYNs of one host that wait for an answer, the one that was heard longest ago first."""

    __slots__ = ("_opener", "_opening", "_syns", "_table", "_timer", "host")

    def __init__(self, host: Host, table: TcpTable, opener: Opener) -> None:
        self.host = host
        self._table = table
        self._opener = opener
        self._syns: dict[bytes, HeldSyn] = {}  # by the ends of their connections
        self._opening: set[TcpSocket] = set()  # accepted, and the handshake goes on
        self._timer: Handle | None = None  # None: none is held

    def __len__(self) -> int:
        """Return how many wait for an answer."""
        return len(self._syns)

    def syn_arrived(
        self,
        interceptor: Interceptor,
        packet: Packet,
        segment: tcp.Segment,
        ends: bytes,
        now: float,
        iss: int | None,
    ) -> None:
        """Take a SYN that an interceptor is to decide on."""
        host = self.host
        known = self._syns.get(ends)
        if known is not None:
            if known.segment.seq == segment.seq:
                self._came_again(known, now)
                return
            # Another connection between the same ends: the client has given the old one up.
            host.counters.add("tcp_held_syn_superseded")
            self._end(known, now)
        if host.routes.lookup(packet.src) is None:
            host.drop("tcp_no_route", now, data=packet.raw)
            return
        if len(self._syns) + len(self._opening) >= self._table.limits.max_held_syns:
            oldest = next(iter(self._syns.values()), None)
            if oldest is None or not oldest.may_give_way(now):
                host.drop("tcp_held_syns_full", now, data=packet.raw)
                return
            # A flood to where nobody answers is not to keep out those whom somebody would.
            self._end(oldest, now)
            host.drop("tcp_held_syns_full", now, data=oldest.quoted)
        host.counters.add("tcp_held_syns")
        syn = self._syns[ends] = HeldSyn(self, packet, segment, ends, now, iss)
        if self._timer is None:
            self._timer = host.scheduler.call_at(now + FORGOTTEN_AFTER_S, self._expire)
        interceptor.syn_arrived(syn, now)

    def reset_arrived(self, segment: tcp.Segment, ends: bytes, now: float) -> bool:
        """Take a reset; False: it is not one for a SYN that is held, as far as can be told."""
        known = self._syns.get(ends)
        # RFC 5961 section 3: the very number, of all that this client may have reached
        if known is None or segment.seq - known.segment.seq & MASK > 1 + known.text_bytes:
            return False
        self.host.counters.add("tcp_held_syn_reset")
        self._end(known, now)
        return True

    def forget(self, syn: HeldSyn) -> None:
        """It is answered."""
        self._syns.pop(syn.ends, None)

    def clear(self, now: float) -> None:
        """The power is off."""
        for syn in list(self._syns.values()):
            self._end(syn, now)
        self._opening.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def open(
        self,
        syn: HeldSyn,
        now: float,
        iss: int | None,
        on_established: Callable[[TcpSocket], None],
        on_gone: Callable[[], None],
        config: TcpConfig | None,
    ) -> None:
        """Make the connection that a SYN asks for, which answers it."""
        route = self.host.routes.lookup(syn.remote)
        if route is None:
            self.host.drop("tcp_no_route", now)
            on_gone()
            return
        ends = syn.local, syn.local_port, syn.remote, syn.remote_port
        socket = self._opener.make(*ends, route, now, config, iss=iss)
        self._table.add(socket)
        self._opening.add(socket)
        note_handshake(socket, syn.segment, now, sent=False)
        socket.connection.open_passive(syn.segment, now)
        socket.on_signal = partial(self._signal, socket, on_established, on_gone)
        self._table.mark(socket)

    def reset(self, packet: Packet, reset: tcp.Segment, now: float) -> None:
        """Answer a packet as a closed port does."""
        host = self.host
        host.drop("tcp_no_connection", now, data=packet.raw)
        route = host.routes.lookup(packet.src)
        if route is not None:
            way = find_way(host, route, packet.dst, packet.src)
            egress.send_segment(host, way, reset, now)

    def _signal(
        self,
        socket: TcpSocket,
        on_established: Callable[[TcpSocket], None],
        on_gone: Callable[[], None],
        signal: Signal,
    ) -> None:
        if signal is Signal.ESTABLISHED:
            self._opening.discard(socket)
            socket.on_signal = None
            on_established(socket)
        elif signal is Signal.CLOSED:
            self._opening.discard(socket)
            socket.on_signal = None
            on_gone()

    def _came_again(self, syn: HeldSyn, now: float) -> None:
        self.host.counters.add("tcp_held_syn_again")
        syn.repeats += 1
        syn.heard_at = now
        del self._syns[syn.ends]
        self._syns[syn.ends] = syn  # the last to be forgotten

    def _end(self, syn: HeldSyn, now: float) -> None:
        self.forget(syn)
        syn.end(now)

    def _expire(self, now: float) -> None:
        self._timer = None
        while self._syns:
            syn = next(iter(self._syns.values()))
            until = syn.heard_at + FORGOTTEN_AFTER_S
            if until > now:
                self._timer = self.host.scheduler.call_at(until, self._expire)
                return
            self.host.counters.add("tcp_held_syn_expired")
            self._end(syn, now)


class HeldDatagram:
    """A datagram for an address that is not the host's, or a burst of them that came as one."""

    __slots__ = (
        "_host",
        "_source",
        "dst",
        "dst_port",
        "gso_bytes",
        "payload",
        "src",
        "src_port",
    )

    def __init__(
        self,
        host: Host,
        ends: tuple[Ip, int, Ip, int],
        payload: bytes,
        source: Frame | Packet,
        gso_bytes: int = 0,
    ) -> None:
        self.src, self.src_port, self.dst, self.dst_port = ends
        self.payload = payload  # of all of a burst, one after the other
        self.gso_bytes = gso_bytes  # of each of a burst but the last, which may have less; 0: none
        self._host = host
        self._source = source

    @property
    def ttl(self) -> int:
        """Return how many hops it had left."""
        source = self._source
        if isinstance(source, Frame):
            at = ipv6.HOPS_AT if self.dst >> 32 else ipv4.TTL_AT
            return source.data[ethernet.HEADER_BYTES + at]
        return source.ttl

    def refuse(self, trouble: Trouble, now: float) -> None:
        """Answer with an ICMP error: one, also where it is a burst."""
        source = self._source
        if isinstance(source, Frame):
            if is_burst(source):
                source = split(source)[0]
            if source.checksum == CHECKSUM_PARTIAL:
                source = completed(source)  # what is quoted is as it is on a cable
            source = ip.packet_of(source.data, checksum_good=True)
            source.src, source.dst = self.src, self.dst
        self._host.tell(source, trouble, now)


class HeldEcho:
    """An echo request for an address that is not the host's."""

    __slots__ = ("_host", "_packet", "dst", "ident", "payload", "seq", "src", "ttl")

    def __init__(self, host: Host, packet: Packet, message: icmp.IcmpMessage) -> None:
        self.src, self.dst = packet.src, packet.dst
        self.ident = message.ident
        self.seq = message.seq
        self.payload = bytes(message.payload)
        self.ttl = packet.ttl  # hops that it had left
        self._host = host
        self._packet = packet

    def reply(self, payload: bytes, now: float, ttl: int | None = None) -> None:
        """Send a reply from the address that was asked. `ttl`: None: the host's usual one."""
        layer = self._host.icmp if self._packet.version == 4 else self._host.icmp6
        layer.reply_as(self._packet, self.ident, self.seq, payload, now, ttl)

    def refuse(self, trouble: Trouble, now: float, reporter: Ip | None = None) -> None:
        """Answer with an ICMP error. `reporter`: whose word it is; None: the host's own."""
        self._host.tell(self._packet, trouble, now, reporter=reporter)
