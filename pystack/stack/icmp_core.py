"""What ICMP and ICMPv6 of a host have in common: errors, when to send them, and whom they concern.

The one rule that both follow: no error about an error, about what was for many, or to nobody; and
of those that remain so many in a second, all over the host (RFC 1122 3.2.2, RFC 4443 section 2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, ClassVar, Final

from pystack.core.addresses import Ip
from pystack.core.errors import WireError
from pystack.core.rng import Random
from pystack.stack import egress
from pystack.stack.way import find_way
from pystack.wire import icmp, icmpv6, ipv4, ipv6_ext
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host

# Errors are a favour, and a tool of attacks: as Linux's icmp_msgs_per_sec and icmp_msgs_burst.
ERRORS_PER_S: Final = 1000.0
ERRORS_BURST: Final = 50.0


class Trouble(Enum):
    """Why a packet did not get where it was sent, whichever version's words say so."""

    NO_ROUTE = auto()
    HOST_UNREACHABLE = auto()
    PORT_UNREACHABLE = auto()
    UNKNOWN_PROTOCOL = auto()
    PROHIBITED = auto()
    TOO_BIG = auto()
    HOPS_EXCEEDED = auto()
    REASSEMBLY_EXPIRED = auto()


Words = Mapping[Trouble, tuple[int, int]]  # type and code of each


@dataclass(slots=True)
class IcmpError:
    """An error of ICMP or ICMPv6 about a packet that this host sent."""

    kind: int
    code: int
    mtu_bytes: int  # of the next hop, where the packet was `too_big`; else 0
    reporter: Ip  # who said so; this host itself where no neighbour answered
    quoted: Packet  # the start of the packet

    @property
    def is_v6(self) -> bool:
        """Tell whose types and codes these are."""
        return self.quoted.version == 6

    @property
    def number(self) -> int | None:
        """Return the errno that Linux gives a socket for it; None where it gives none."""
        of = icmpv6.error_number if self.is_v6 else icmp.error_number
        return of(self.kind, self.code)

    @property
    def hard(self) -> bool:
        """Tell whether it ends what it is about, as Linux sees it; `too_big` never does."""
        of = icmpv6.is_hard if self.is_v6 else icmp.is_hard
        return of(self.kind, self.code)

    @property
    def too_big(self) -> bool:
        """Tell whether the packet did not fit: path MTU discovery decides."""
        if self.is_v6:
            return self.kind == icmpv6.PACKET_TOO_BIG
        return (self.kind, self.code) == (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED)

    @property
    def refused(self) -> bool:
        """Tell whether the other host has nobody for this port, or protocol."""
        return (self.kind, self.code) in (_REFUSED_6 if self.is_v6 else _REFUSED)


_REFUSED: Final = (
    (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE),
    (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE),
)
_REFUSED_6: Final = (
    (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE),
    (icmpv6.PARAMETER_PROBLEM, ipv6_ext.UNKNOWN_NEXT_HEADER),
)

# (message, source, whole IP packet's TTL, now)
EchoReplySink = Callable[[icmp.IcmpMessage, Ip, int, float], None]
EchoErrorSink = Callable[[IcmpError, float], None]


def is_intercepted(host: Host, address: Ip) -> bool:
    """Tell whether the host also sends from an address that is not its own: an interceptor's."""
    interceptor = host.interceptor
    return interceptor is not None and interceptor.covers(address)


class Allowance:
    """How many errors a host may still send: a bucket that time fills."""

    __slots__ = ("_left", "_refilled_at", "_rng")

    def __init__(self, rng: Random) -> None:
        self._left = ERRORS_BURST
        self._refilled_at = 0.0
        self._rng = rng

    def take(self, now: float) -> bool:
        """Tell whether one may be sent now."""
        left = self._left + (now - self._refilled_at) * ERRORS_PER_S
        self._left = min(left, ERRORS_BURST)
        self._refilled_at = now
        if self._left < 1:
            return False
        # One on average: who provokes errors and counts them can't tell how many others got, and so
        # which of our ports answered them (CVE-2020-25705); as Linux since 5.10.
        self._left -= self._rng.randrange(3)
        return True


class IcmpLayer:
    """One version's ICMP, as far as it is the other's too."""

    __slots__ = ("_allowance", "_host", "echo_error_sinks", "echo_sinks")

    # What each version says for itself
    name: str  # with which the names of its counters begin
    number: int  # of its protocol
    words: ClassVar[Words]
    echo_request: int
    echo_reply: int

    def __init__(self, host: Host, allowance: Allowance) -> None:
        """`allowance` is the host's, for both versions."""
        self._host = host
        self._allowance = allowance
        self.echo_sinks: dict[int, EchoReplySink] = {}  # by identifier: whoever pings
        self.echo_error_sinks: dict[int, EchoErrorSink] = {}  # the same, for errors about requests

    def pack(self, src: Ip, dst: Ip, kind: int, code: int, rest: int, payload: bytes) -> bytes:
        """Return a message with its checksum."""
        raise NotImplementedError

    def send_echo(
        self, dst: Ip, ident: int, seq: int, payload: bytes, now: float, *, ttl: int = 64
    ) -> bool:
        """Send an echo request; False where there is no route."""
        host = self._host
        route = host.routes.lookup(dst)
        if route is None:
            return False
        src = host.source_towards(dst, route)
        message = self.pack(src, dst, self.echo_request, 0, ident << 16 | seq, payload)
        way = find_way(host, route, src, dst)
        egress.send_packet(host, way, self.number, message, now, ttl=ttl)
        return True

    def tell(
        self,
        packet: Packet,
        trouble: Trouble,
        now: float,
        *,
        mtu_bytes: int = 0,
        reporter: Ip | None = None,
    ) -> None:
        """Tell the sender of `packet` what became of it; `mtu_bytes` goes with TOO_BIG.

        `reporter`: whose word it is, whether or not the host has that address; None: the host's.
        """
        kind, code = self.words[trouble]
        self.send_error(packet, kind, code, now, rest=mtu_bytes, reporter=reporter)

    def send_error(
        self,
        packet: Packet,
        kind: int,
        code: int,
        now: float,
        *,
        rest: int = 0,
        reporter: Ip | None = None,
    ) -> None:
        """Send an error about `packet`, where the rules let us."""
        raise NotImplementedError

    def local_trouble(self, quoted: Packet, trouble: Trouble, now: float) -> None:
        """Treat a packet of our own that could not leave as if a router had said so."""
        kind, code = self.words[trouble]
        self._dispatch(IcmpError(kind, code, 0, quoted.src, quoted), now)

    def _send_about(
        self, packet: Packet, kind: int, code: int, rest: int, now: float, reporter: Ip | None
    ) -> None:
        """Send an error that nothing is to be said against but that there are too many."""
        host = self._host
        to = packet.src
        route = host.routes.lookup(to)
        if route is None:
            host.counters.add(f"{self.name}_no_route")
            return
        if not self._allowance.take(now):
            host.counters.add(f"{self.name}_rate_limited")
            return
        # Of an intercepted address, it is its own station that has nobody at a port.
        refused = self.words[Trouble.PORT_UNREACHABLE], self.words[Trouble.UNKNOWN_PROTOCOL]
        own = packet.dst in host.addresses or (
            (kind, code) in refused and is_intercepted(host, packet.dst)
        )
        src = reporter or (packet.dst if own else host.source_towards(to, route))
        message = self.pack(src, to, kind, code, rest, packet.quoted)
        host.counters.add(f"{self.name}_errors_out")
        egress.send_packet(host, find_way(host, route, src, to), self.number, message, now)

    def reply_as(
        self, packet: Packet, ident: int, seq: int, payload: bytes, now: float, ttl: int | None
    ) -> None:
        """Answer an echo request from the address that it was for, whosever that is."""
        host, to = self._host, packet.src
        route = host.routes.lookup(to)
        if route is None:
            host.drop(f"{self.name}_no_route", now, data=packet.raw)
            return
        message = self.pack(packet.dst, to, self.echo_reply, 0, ident << 16 | seq, payload)
        way = find_way(host, route, packet.dst, to)
        ttl = ipv4.DEFAULT_TTL if ttl is None else ttl
        egress.send_packet(host, way, self.number, message, now, ttl=ttl, tos=packet.tos)

    def _reply_arrived(self, packet: Packet, message: icmp.IcmpMessage, now: float) -> None:
        sink = self.echo_sinks.get(message.ident)
        if sink is None:
            self._host.drop(f"{self.name}_stray_reply", now, data=packet.raw)
        else:
            sink(message, packet.src, packet.ttl, now)

    def _dispatch(self, error: IcmpError, now: float) -> None:
        # RFC 1122 3.2.2: to the transport that sent the packet; it decides what to make of it.
        host, quoted = self._host, error.quoted
        host.counters.add(f"{self.name}_errors_in")
        ours = host.is_own(quoted.src) or is_intercepted(host, quoted.src)
        if not ours or quoted.fragment_offset_bytes:
            host.drop(f"{self.name}_error_not_ours", now, data=quoted.raw)
            return
        try:
            if quoted.proto == ipv4.TCP:
                host.tcp.error_arrived(error, now)
            elif quoted.proto == ipv4.UDP:
                host.udp.error_arrived(error, now)
            elif quoted.proto == self.number:
                sink = self.echo_error_sinks.get(self._echo_ident(quoted))
                if sink is None:
                    host.counters.add(f"{self.name}_error_unclaimed")
                else:
                    sink(error, now)
        except WireError as wire_error:
            host.drop(wire_error.reason, now, data=quoted.raw)

    def _echo_ident(self, quoted: Packet) -> int:
        """Return the identifier of a request that an error quotes; -1: it is something else."""
        payload = quoted.payload
        if len(payload) < icmp.HEADER_BYTES or payload[0] != self.echo_request:
            return -1
        return payload[4] << 8 | payload[5]
