"""A TCP connection with its place on the network, as the TCP layer keeps it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pystack.core.addresses import Ip4, format_ip4
from pystack.core.scheduler import Handle
from pystack.tcp.connection import Connection
from pystack.tcp.events import Signal
from pystack.tcp.info import HandshakeSegment
from pystack.tcp.listener import Listener
from pystack.tcp.seq import MASK
from pystack.wire import tcp, tcp_options
from pystack.wire.segment_frame import pack_ends

if TYPE_CHECKING:
    from pystack.stack.routes import Route


class TcpSocket:
    """A connection with its place on the network: addresses, timer, owner."""

    __slots__ = (
        "connection",
        "ends",
        "handshake",
        "listener",
        "local",
        "marked",
        "on_error",
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
        # Hears of soft errors, as errno (RFC 9293 section 3.9.1.8); None: nobody wants to.
        self.on_error: Callable[[int], None] | None = None
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


def note_handshake(socket: TcpSocket, segment: tcp.Segment, now: float, *, sent: bool) -> None:
    """Remember the three segments of the handshake; one that is sent again counts once."""
    known = socket.handshake
    flags = tcp.flag_names(segment.flags)
    if len(known) < 3 and (not known or (known[-1].sent, known[-1].flags) != (sent, flags)):
        options = tcp_options.parse(segment.options).describe() if segment.options else ""
        ack = segment.ack & MASK if segment.flags & tcp.ACK else 0
        known.append(
            HandshakeSegment(now, sent, flags, segment.seq & MASK, ack, segment.wnd, options)
        )
