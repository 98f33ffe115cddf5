"""A TCP connection with its place on the network, as the TCP layer keeps it."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import format_ip
from pystack.core.scheduler import Handle
from pystack.core.tcp_events import TcpSoftError
from pystack.stack.ip_fields import ECN_BITS, PLAIN, IpFields, refusal
from pystack.stack.notices import Notices
from pystack.stack.way import Way
from pystack.tcp.connection import Connection
from pystack.tcp.events import Signal
from pystack.tcp.info import HandshakeSegment
from pystack.tcp.listener import Listener
from pystack.tcp.negotiation import MIN_TEXT_BYTES
from pystack.tcp.seq import MASK
from pystack.wire import tcp, tcp_options
from pystack.wire.headers import pack_ends
from pystack.wire.ip_options import SourceRoute, find_source_route
from pystack.wire.train import Train

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.wire.packet import Packet

# at, sent, flags, seq, ack, wnd; then the options. Every connection has three of them, few are
# ever looked at.
_NOTE: Final = struct.Struct("!d?HIIH")
_SENT_AT: Final = 8
_FLAGS_AT: Final = 10  # the lower half


class TcpSocket:
    """A connection with its place on the network: addresses, timer, owner."""

    __slots__ = (
        "connection",
        "ends",
        "held_bytes",
        "ip",
        "listener",
        "local",
        "marked",
        "notes",
        "notices",
        "on_error",
        "on_signal",
        "remote",
        "reuse_address",
        "reuse_port",
        "routes_seen",
        "timer",
        "train",
        "way",
    )

    def __init__(self, connection: Connection, way: Way, ip: IpFields = PLAIN) -> None:
        self.connection = connection
        # What frames for it have in common: its key in the table
        ports = connection.remote_port, connection.local_port
        self.ends = pack_ends(way.dst, way.src, *ports)
        self.local = way.src
        self.remote = way.dst
        self.way = way
        self.routes_seen = way.changes  # `RouteTable.changes`, when the way was last looked at
        self.ip = ip
        self.reuse_address = self.reuse_port = False  # who else may have its port, `tcp_ports.py`
        self.listener: Listener[TcpSocket] | None = None  # until it is established, or gone
        self.on_signal: Callable[[Signal], None] | None = None  # None: nobody wants to be told
        # Hears of soft errors (RFC 9293 section 3.9.1.8); None: nobody wants to.
        self.on_error: Callable[[TcpSoftError], None] | None = None
        self.timer: Handle | None = None  # None: no timer of the connection runs
        self.train: Train | None = None  # super-frames of this batch that it was not given yet
        self.held_bytes = 0  # what was last counted of its memory
        self.marked = False  # to be pumped at the end of the batch
        self.notices: Notices | None = None  # of its writes; None: nobody wants to be told
        self.notes: list[bytes] = []  # the handshake's three segments, packed: see `handshake`

    @property
    def handshake(self) -> tuple[HandshakeSegment, ...]:
        """Return the segments of the three-way handshake as they were seen here."""
        return tuple(_unpacked(note) for note in self.notes)

    @property
    def local_address(self) -> tuple[str, int]:
        """Return (address, port) of this end."""
        return format_ip(self.local), self.connection.local_port

    @property
    def remote_address(self) -> tuple[str, int]:
        """Return (address, port) of the other end."""
        return format_ip(self.remote), self.connection.remote_port


def set_tos(socket: TcpSocket, tos: int) -> None:
    """Have the type of service in all segments from now on (IP_TOS; ECN's bits are left alone)."""
    socket.ip = replace(socket.ip, tos=tos & 0xFF & ~ECN_BITS)


def set_ttl(socket: TcpSocket, ttl: int) -> None:
    """Have the time to live in all segments from now on (IP_TTL). OSError (EINVAL): 1 to 255."""
    if not 1 <= ttl <= 255:
        raise OSError(errno.EINVAL, f"a TTL is 1 to 255, not {ttl}")
    socket.ip = replace(socket.ip, ttl=ttl)


def set_source_route(socket: TcpSocket, route: SourceRoute, *, by_user: bool) -> None:
    """Send all segments by way of these stations, and make room for the option that says so."""
    fields = replace(socket.ip, source_route=route, by_user=by_user)
    connection, tcb = socket.connection, socket.connection.tcb
    tcb.ip_option_bytes = fields.option_bytes
    tcb.snd_mss = max(tcb.snd_mss + socket.ip.option_bytes - fields.option_bytes, MIN_TEXT_BYTES)
    connection.gso_max_bytes = 0  # a port may know how to cut packets without options alone
    socket.ip = fields


def options_arrived(host: Host, socket: TcpSocket, packet: Packet) -> None:
    """Learn from the options of a packet that was for this connection (RFC 9293 section 3.9.2.1).

    Who is reached by a source route answers by the same way back, and by the newest one. The user's
    own goes before it. It is off by default, as Linux's accept_source_route: a stranger could have
    the answers that are for another by way of itself (RFC 7126 section 4.3).
    """
    fields = socket.ip
    if not host.accepts_source_routes or fields.by_user or not socket.connection.passive:
        return
    found = find_source_route(packet.options)
    if found is None or not found.done or not found.hops:
        return
    back = found.back
    route = host.routes.lookup(back.hops[0])
    if route is None or refusal(host, back, route.interface.mtu_bytes):
        host.counters.add("tcp_source_route_refused")
    elif back != fields.source_route:
        set_source_route(socket, back, by_user=False)
        socket.way = Way(host, route, socket.local, socket.remote)


def note_handshake(socket: TcpSocket, segment: tcp.Segment, now: float, *, sent: bool) -> None:
    """Remember the three segments of the handshake; one that is sent again counts once."""
    notes, flags = socket.notes, segment.flags
    if notes:
        last = notes[-1]
        if len(notes) == 3 or (last[_SENT_AT] == sent and last[_FLAGS_AT] == flags & 0xFF):
            return
    ack = segment.ack & MASK if flags & tcp.ACK else 0
    note = _NOTE.pack(now, sent, flags, segment.seq & MASK, ack, segment.wnd)
    notes.append(note + segment.options)


def _unpacked(note: bytes) -> HandshakeSegment:
    at, sent, flags, seq, ack, wnd = _NOTE.unpack_from(note)
    options = tcp_options.parse(note[_NOTE.size :]).describe()
    return HandshakeSegment(at, sent, tcp.flag_names(flags), seq, ack, wnd, options)
