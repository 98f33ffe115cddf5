"""ICMP of one host (RFC 792, RFC 1122 section 3.2.2): echo, timestamps, errors of IPv4."""

from __future__ import annotations

from typing import ClassVar

from pystack.core.addresses import Ip
from pystack.stack import egress
from pystack.stack.icmp_core import IcmpError, IcmpLayer, Trouble, Words
from pystack.stack.intercept import HeldEcho, stands_in
from pystack.stack.way import find_way
from pystack.wire import icmp, ipv4
from pystack.wire.ip_options import (
    OptionError,
    find_source_route,
    only_records,
    pack_source_route,
    recorded,
    time_stamp,
)
from pystack.wire.packet import Packet


class Icmp(IcmpLayer):
    """The ICMP layer of one host."""

    __slots__ = ()

    name = "icmp"
    number = ipv4.ICMP
    echo_request = icmp.ECHO
    echo_reply = icmp.ECHO_REPLY
    words: ClassVar[Words] = {
        Trouble.NO_ROUTE: (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE),
        Trouble.HOST_UNREACHABLE: (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE),
        Trouble.PORT_UNREACHABLE: (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE),
        Trouble.UNKNOWN_PROTOCOL: (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE),
        Trouble.PROHIBITED: (icmp.DESTINATION_UNREACHABLE, icmp.COMMUNICATION_PROHIBITED),
        Trouble.TOO_BIG: (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED),
        Trouble.HOPS_EXCEEDED: (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED),
        Trouble.REASSEMBLY_EXPIRED: (icmp.TIME_EXCEEDED, icmp.REASSEMBLY_TIME_EXCEEDED),
    }

    def pack(self, src: Ip, dst: Ip, kind: int, code: int, rest: int, payload: bytes) -> bytes:
        """Return a message with its checksum, in which there are no addresses."""
        return icmp.pack(kind, code, rest, payload)

    def packet_arrived(self, packet: Packet, now: float) -> None:
        """Answer an echo request; give replies and errors to whom they belong."""
        message = icmp.parse(packet.payload)
        if packet.to_many and message.kind not in icmp.REQUESTS:
            # What answers us, or tells us of a packet of ours, was sent to us alone.
            self._host.drop("icmp_to_many", now, data=packet.raw)
        elif message.kind in icmp.REQUESTS and (taker := stands_in(self._host, packet)) is not None:
            if message.kind == icmp.ECHO:
                self._host.counters.add("icmp_intercepted")
                taker.echo_arrived(HeldEcho(self._host, packet, message), now)
            else:
                self._host.drop("icmp_not_intercepted", now, data=packet.raw)
        elif message.kind == icmp.ECHO:
            self._answer_echo(packet, message, now)
        elif message.kind == icmp.TIMESTAMP:
            self._answer_timestamp(packet, message, now)
        elif message.kind == icmp.TIMESTAMP_REPLY:
            self._host.drop("icmp_stray_reply", now, data=packet.raw)  # nobody here asks
        elif message.kind == icmp.ECHO_REPLY:
            self._reply_arrived(packet, message, now)
        elif message.kind in (
            icmp.DESTINATION_UNREACHABLE,
            icmp.TIME_EXCEEDED,
            icmp.PARAMETER_PROBLEM,
        ):
            quoted = ipv4.parse_quoted(message.payload)
            mtu_bytes = message.rest & 0xFFFF
            error = IcmpError(message.kind, message.code, mtu_bytes, packet.src, quoted)
            self._dispatch(error, now)
        elif message.kind == icmp.SOURCE_QUENCH:
            # RFC 6633 section 3: nothing is to come of it; for TCP, RFC 9293 MUST-55.
            self._host.drop("icmp_source_quench", now, data=packet.raw)
        else:
            self._host.drop("icmp_unknown_type", now, data=packet.raw)

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
        """Tell the sender of `packet` what became of it, where RFC 1122 3.2.2 lets us."""
        host = self._host
        if packet.to_many or packet.fragment_offset_bytes or host.is_many(packet.dst):
            return  # asked by one, it would be answered by many, or more than once
        if not host.may_be_source(packet.src):
            return  # nobody's, or many's
        if packet.proto == ipv4.ICMP and (
            not len(packet.payload) or packet.payload[0] in icmp.ERRORS
        ):
            return  # no errors about errors
        self._send_about(packet, kind, code, rest, now, reporter)

    def _answer_echo(self, packet: Packet, message: icmp.IcmpMessage, now: float) -> None:
        if packet.to_many:
            # RFC 1122 3.2.2.6 leaves it open; as Linux's icmp_echo_ignore_broadcasts.
            self._host.drop("icmp_echo_to_many", now, data=packet.raw)
            return
        reply = icmp.pack(icmp.ECHO_REPLY, 0, message.rest, message.payload)
        if self._answer(packet, reply, now):
            self._host.counters.add("icmp_echoes")

    def _answer_timestamp(self, packet: Packet, message: icmp.IcmpMessage, now: float) -> None:
        """Answer by the clock of the world, which knows of no midnight (RFC 1122 3.2.2.8)."""
        if packet.to_many or not self._host.answers_timestamps:
            self._host.drop("icmp_timestamp_refused", now, data=packet.raw)
            return
        reply = icmp.timestamp_reply(message, time_stamp(round(now * 1000)))
        if self._answer(packet, reply, now):
            self._host.counters.add("icmp_timestamps")

    def _answer(self, packet: Packet, reply: bytes, now: float) -> bool:
        """Send a reply back, with the options that the request had recorded (RFC 1122 3.2.2.6)."""
        host, options, to = self._host, b"", packet.src
        if packet.header_bytes > ipv4.HEADER_BYTES:
            try:
                options, to = self._answer_options(packet, now)
            except OptionError as error:
                host.drop(error.reason, now, data=packet.raw)
                self.bad_option(packet, error, now)
                return False
        route = host.routes.lookup(to)
        if route is None:
            host.drop("icmp_no_route", now, data=packet.raw)
            return False
        egress.send_packet(
            host,
            find_way(host, route, packet.dst, to),
            ipv4.ICMP,
            reply,
            now,
            tos=packet.tos,
            options=options,
        )
        return True

    def _answer_options(self, packet: Packet, now: float) -> tuple[bytes, Ip]:
        """Return the options of a reply, and where it goes first."""
        host = self._host
        told = recorded(packet.options, packet.dst, host.addresses, round(now * 1000))
        options = only_records(told)
        found = find_source_route(told) if host.accepts_source_routes else None
        if found is None or not found.hops:
            return options, packet.src
        return pack_source_route(found.back, packet.src) + options, found.back.hops[0]

    def bad_option(self, packet: Packet, error: OptionError, now: float) -> None:
        """Tell the sender which byte of the options is wrong (RFC 792, parameter problem)."""
        pointer = ipv4.HEADER_BYTES + error.at
        self.send_error(packet, icmp.PARAMETER_PROBLEM, 0, now, rest=pointer << 24)
