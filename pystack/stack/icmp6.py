"""ICMPv6 of one host (RFC 4443): echo, errors of IPv6; ND and MLD go on to whom they belong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from pystack.core.addresses import Ip, is_link_local, is_multicast, with_zone
from pystack.stack import egress
from pystack.stack.icmp_core import IcmpError, IcmpLayer, Trouble, Words
from pystack.stack.intercept import HeldEcho, stands_in
from pystack.stack.way import find_way
from pystack.wire import icmp, icmpv6, ipv6, ipv6_ext
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.interface import Interface

_ND: Final = range(icmpv6.ROUTER_SOLICITATION, icmpv6.REDIRECT + 1)
_MLD: Final = (icmpv6.MLD_QUERY, icmpv6.MLD_REPORT, icmpv6.MLD_DONE, icmpv6.MLD_REPORT_2)


class Icmp6(IcmpLayer):
    """The ICMPv6 layer of one host."""

    __slots__ = ()

    name = "icmp6"
    number = ipv6.ICMPV6
    echo_request = icmpv6.ECHO
    echo_reply = icmpv6.ECHO_REPLY
    words: ClassVar[Words] = {
        Trouble.NO_ROUTE: (icmpv6.DESTINATION_UNREACHABLE, icmpv6.NO_ROUTE),
        Trouble.HOST_UNREACHABLE: (icmpv6.DESTINATION_UNREACHABLE, icmpv6.ADDRESS_UNREACHABLE),
        Trouble.PORT_UNREACHABLE: (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE),
        Trouble.UNKNOWN_PROTOCOL: (icmpv6.PARAMETER_PROBLEM, ipv6_ext.UNKNOWN_NEXT_HEADER),
        Trouble.PROHIBITED: (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PROHIBITED),
        Trouble.TOO_BIG: (icmpv6.PACKET_TOO_BIG, 0),
        Trouble.HOPS_EXCEEDED: (icmpv6.TIME_EXCEEDED, icmpv6.HOP_LIMIT_EXCEEDED),
        Trouble.REASSEMBLY_EXPIRED: (icmpv6.TIME_EXCEEDED, icmpv6.REASSEMBLY_TIME_EXCEEDED),
    }

    def pack(self, src: Ip, dst: Ip, kind: int, code: int, rest: int, payload: bytes) -> bytes:
        """Return a message with its checksum, which is over the addresses too."""
        return icmpv6.pack(src, dst, kind, code, rest, payload)

    def packet_arrived(self, interface: Interface, packet: Packet, now: float) -> None:
        """Answer an echo request; give all else to whom it belongs."""
        host = self._host
        message = icmpv6.parse(packet)
        kind = message.kind
        taker = stands_in(host, packet)
        if taker is not None and kind >= icmpv6.FIRST_INFORMATIONAL and kind != icmpv6.ECHO_REPLY:
            if kind == icmpv6.ECHO:
                host.counters.add("icmp6_intercepted")
                taker.echo_arrived(HeldEcho(host, packet, message), now)
            else:
                host.drop("icmp6_not_intercepted", now, interface, packet.raw)
        elif kind == icmpv6.ECHO:
            self._answer_echo(packet, message, now)
        elif kind in _ND:
            host.discovery.packet_arrived(interface, packet, message, now)
        elif kind in _MLD:
            host.groups.mld_arrived(interface, packet, message, now)
        elif packet.to_many:
            # What answers us, or tells us of a packet of ours, was sent to us alone.
            host.drop("icmp6_to_many", now, interface, packet.raw)
        elif kind == icmpv6.ECHO_REPLY:
            self._reply_arrived(packet, message, now)
        elif kind < icmpv6.FIRST_INFORMATIONAL:
            self._error_arrived(interface, packet, message, now)
        else:
            host.drop("icmp6_unknown_type", now, interface, packet.raw)

    def refuse(
        self, interface: Interface, packet: Packet, fault: ipv6_ext.HeaderFault, now: float
    ) -> None:
        """Drop a packet for what is wrong with its extension headers (RFC 8200 section 4)."""
        self._host.drop(fault.reason, now, interface, packet.raw)
        if fault.code is not None:
            self._parameter_problem(packet, fault.code, fault.pointer, now, to_many=fault.to_many)

    def malformed(self, packet: Packet, pointer: int, now: float) -> None:
        """Tell the sender which byte of the packet is wrong."""
        self._parameter_problem(packet, ipv6_ext.ERRONEOUS_FIELD, pointer, now)

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
        """Tell the sender of `packet` what became of it, where RFC 4443 section 2.4 lets us."""
        if (kind, code) == self.words[Trouble.UNKNOWN_PROTOCOL] and not rest:
            chain = packet.chain
            rest = ipv6_ext.NEXT_HEADER_AT if chain is None else chain.proto_named_at
        to_many = kind == icmpv6.PACKET_TOO_BIG
        self._send_error(packet, kind, code, now, rest, to_many=to_many, reporter=reporter)

    def _parameter_problem(
        self, packet: Packet, code: int, pointer: int, now: float, *, to_many: bool = False
    ) -> None:
        kind = icmpv6.PARAMETER_PROBLEM
        self._send_error(packet, kind, code, now, pointer, to_many=to_many)

    def _send_error(
        self,
        packet: Packet,
        kind: int,
        code: int,
        now: float,
        rest: int,
        *,
        to_many: bool,
        reporter: Ip | None = None,
    ) -> None:
        """Send an error. `to_many`: also where the packet was for many (2.4 (e.3))."""
        if not to_many and (packet.to_many or is_multicast(packet.dst)):
            return  # asked by one, it would be answered by many
        if self._host.may_be_source(packet.src) and not _forbids_errors(packet):
            self._send_about(packet, kind, code, rest, now, reporter)

    def _error_arrived(
        self, interface: Interface, packet: Packet, message: icmp.IcmpMessage, now: float
    ) -> None:
        """Give an error, also of a kind that is not known, to the transport (2.4 (a))."""
        quoted = ipv6.parse_quoted(message.payload)
        # Of the link that the error came over: its addresses mean nothing elsewhere.
        if is_link_local(quoted.src):
            quoted.src = with_zone(quoted.src, interface.index)
        if is_link_local(quoted.dst):
            quoted.dst = with_zone(quoted.dst, interface.index)
        mtu_bytes = 0
        if message.kind == icmpv6.PACKET_TOO_BIG:
            mtu_bytes = message.rest
            if mtu_bytes < ipv6.MIN_MTU_BYTES:
                # RFC 8201 section 4: no link is so narrow; somebody wants us to send tiny packets.
                self._host.drop("icmp6_mtu_too_small", now, interface, packet.raw)
                return
        error = IcmpError(message.kind, message.code, mtu_bytes, packet.src, quoted)
        self._dispatch(error, now)

    def _answer_echo(self, packet: Packet, message: icmp.IcmpMessage, now: float) -> None:
        """Send a reply; also where the request was for many, as RFC 4443 4.2 and Linux have it."""
        host, to = self._host, packet.src
        route = host.routes.lookup(to)
        if route is None:
            host.drop("icmp6_no_route", now, data=packet.raw)
            return
        src = host.source_towards(to, route) if packet.to_many else packet.dst
        reply = icmpv6.pack(src, to, icmpv6.ECHO_REPLY, 0, message.rest, message.payload)
        host.counters.add("icmp6_echoes")
        way = find_way(host, route, src, to)
        egress.send_packet(host, way, self.number, reply, now, tos=packet.tos)


def _forbids_errors(packet: Packet) -> bool:
    """Tell whether it is an error itself, or a redirect (RFC 4443 section 2.4 (e))."""
    proto, payload, chain = packet.proto, packet.payload, packet.chain
    if chain is not None:
        if chain.upper is None:
            return False  # of a datagram's rest nobody knows; it is no first fragment
        proto, payload = chain.upper, packet.raw[chain.upper_at :]
    if proto != ipv6.ICMPV6:
        return False
    return (
        not len(payload) or payload[0] < icmpv6.FIRST_INFORMATIONAL or payload[0] == icmpv6.REDIRECT
    )
