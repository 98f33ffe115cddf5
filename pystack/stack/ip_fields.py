"""What the IP header of a connection's segments says beside the addresses (RFC 9293 section 3.9.2).

One value per connection, replaced as a whole where its user changes something.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from pystack.stack.way import Way
from pystack.tcp.negotiation import MIN_TEXT_BYTES
from pystack.wire import ipv4
from pystack.wire.ip_options import MAX_HOPS, SourceRoute, find_source_route
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.tcp_socket import TcpSocket

ECN_BITS: Final = 0x03  # of the type of service; they are TCP's own (RFC 3168)
_HEADERS_BYTES: Final = 20 + 60  # IP's without options, TCP's with all that it may have


@dataclass(slots=True, frozen=True)
class IpFields:
    """Diffserv, TTL and source route of all segments of a connection."""

    tos: int = 0  # the Diffserv field in its place, the two ECN bits 0
    ttl: int = ipv4.DEFAULT_TTL
    source_route: SourceRoute | None = None  # None: as the routers like it
    dont_fragment: bool = True  # False: routers may cut them where the path takes less
    by_user: bool = False  # the source route is the user's: what comes in changes nothing

    @property
    def option_bytes(self) -> int:
        """Return how much of each packet goes to IP options."""
        return 0 if self.source_route is None else 4 + 4 * len(self.source_route.hops)


PLAIN: Final = IpFields()


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


def refusal(host: Host, route: SourceRoute, mtu_bytes: int) -> int:
    """Return the errno where no packet could go that way; 0: it may be tried."""
    hops = route.hops
    if not 0 < len(hops) <= MAX_HOPS:
        return errno.EINVAL
    if any(host.is_many(hop) for hop in hops):
        return errno.ENETUNREACH
    if mtu_bytes < _HEADERS_BYTES + IpFields(source_route=route).option_bytes + MIN_TEXT_BYTES:
        return errno.EMSGSIZE
    return 0


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
