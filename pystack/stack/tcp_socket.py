"""A TCP connection with its place on the network, as the TCP layer keeps it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import format_ip
from pystack.core.scheduler import Handle
from pystack.core.tcp_events import TcpSoftError
from pystack.stack.ip_fields import PLAIN, IpFields
from pystack.stack.notices import Notices
from pystack.tcp.connection import Connection
from pystack.tcp.events import Signal
from pystack.tcp.info import HandshakeSegment
from pystack.tcp.listener import Listener
from pystack.tcp.seq import MASK
from pystack.wire import tcp, tcp_options
from pystack.wire.headers import pack_ends
from pystack.wire.train import Train

if TYPE_CHECKING:
    from pystack.stack.routes import Route
    from pystack.stack.way import Way

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
    def route(self) -> Route:
        """Return the route of its segments."""
        return self.way.route

    @property
    def local_address(self) -> tuple[str, int]:
        """Return (address, port) of this end."""
        return format_ip(self.local), self.connection.local_port

    @property
    def remote_address(self) -> tuple[str, int]:
        """Return (address, port) of the other end."""
        return format_ip(self.remote), self.connection.remote_port


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
