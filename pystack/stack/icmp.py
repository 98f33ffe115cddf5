"""ICMP of one host (RFC 792, RFC 1122 section 3.2.2): echo, errors sent, errors received."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pystack.core.addresses import Ip4
from pystack.core.errors import WireError
from pystack.stack import egress
from pystack.stack.senders import may_be_heard
from pystack.wire import echo_frame, icmp, ipv4
from pystack.wire.frame import Frame
from pystack.wire.ip_options import (
    OptionError,
    find_source_route,
    only_records,
    pack_source_route,
    recorded,
    time_stamp,
)
from pystack.wire.packet import Packet

if TYPE_CHECKING:
    from pystack.stack.host import Host
    from pystack.stack.interface import Interface

# Errors are a favour, and a tool of attacks: as Linux's icmp_msgs_per_sec and icmp_msgs_burst.
ERRORS_PER_S: Final = 1000.0
ERRORS_BURST: Final = 50.0


@dataclass(slots=True)
class IcmpError:
    """An ICMP error about a packet that this host sent."""

    kind: int
    code: int
    mtu_bytes: int  # of the next hop, where the code is FRAGMENTATION_NEEDED; else 0
    reporter: Ip4  # who said so; this host itself where no neighbour answered
    quoted: Packet  # the start of the packet


# (message, source, whole IP packet's TTL, now)
EchoReplySink = Callable[[icmp.IcmpMessage, Ip4, int, float], None]
EchoErrorSink = Callable[[IcmpError, float], None]


class Icmp:
    """The ICMP layer of one host."""

    __slots__ = ("_errors_left", "_host", "_refilled_at", "echo_error_sinks", "echo_sinks")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._errors_left = ERRORS_BURST
        self._refilled_at = 0.0
        self.echo_sinks: dict[int, EchoReplySink] = {}  # by identifier: whoever pings
        self.echo_error_sinks: dict[int, EchoErrorSink] = {}  # the same, for errors about requests

    def frame_arrived(self, interface: Interface, frame: Frame, now: float) -> bool:
        """Answer an echo request at once (HOT); False: the layers have to look at its frame."""
        request = echo_frame.parse(frame, interface.mac)
        if request is None:
            return False
        src, dst = request[:2]
        host = self._host
        if not may_be_heard(host, interface, src, dst):
            return False
        route = host.routes.lookup(src)
        if route is None:
            return False
        out = route.interface
        if out.neighbors is None or out.is_many(src) or request[3] > out.mtu_bytes:
            return False
        mac = out.neighbors.lookup(src if route.gateway is None else route.gateway, now)
        if mac is None:
            return False
        counters = host.counters
        counters["ip_packets_in"] += 1
        counters["icmp_echoes"] += 1
        ident = host.idents.of(dst, src, ipv4.ICMP).take(now)
        reply = echo_frame.answer(frame.data, request, out.mac, mac, ident)
        egress.transmit(host, out, Frame(reply), now)
        return True

    def packet_arrived(self, packet: Packet, now: float) -> None:
        """Answer an echo request; give replies and errors to whom they belong."""
        message = icmp.parse(packet.payload)
        if packet.to_many and message.kind not in icmp.REQUESTS:
            # What answers us, or tells us of a packet of ours, was sent to us alone.
            self._host.drop("icmp_to_many", now, data=packet.raw)
        elif message.kind == icmp.ECHO:
            self._answer_echo(packet, message, now)
        elif message.kind == icmp.TIMESTAMP:
            self._answer_timestamp(packet, message, now)
        elif message.kind == icmp.TIMESTAMP_REPLY:
            self._host.drop("icmp_stray_reply", now, data=packet.raw)  # nobody here asks
        elif message.kind == icmp.ECHO_REPLY:
            sink = self.echo_sinks.get(message.ident)
            if sink is None:
                self._host.drop("icmp_stray_reply", now, data=packet.raw)
            else:
                sink(message, packet.src, packet.ttl, now)
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

    def send_echo(
        self, dst: Ip4, ident: int, seq: int, payload: bytes, now: float, *, ttl: int = 64
    ) -> bool:
        """Send an echo request; False where there is no route."""
        route = self._host.routes.lookup(dst)
        if route is None:
            return False
        message = icmp.pack(icmp.ECHO, 0, ident << 16 | seq, payload)
        egress.send_packet(self._host, route, route.source, dst, ipv4.ICMP, message, now, ttl=ttl)
        return True

    def send_error(
        self, packet: Packet, kind: int, code: int, now: float, *, rest: int = 0
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
        route = host.routes.lookup(packet.src)
        if route is None:
            host.counters.add("icmp_no_route")
            return
        if not self._may_send_error(now):
            host.counters.add("icmp_rate_limited")
            return
        message = icmp.pack(kind, code, rest, packet.quoted)
        src = packet.dst if packet.dst in host.addresses else route.source
        host.counters.add("icmp_errors_out")
        egress.send_packet(host, route, src, packet.src, ipv4.ICMP, message, now)

    def local_error(self, packet: bytes, kind: int, code: int, now: float) -> None:
        """Treat a packet of our own that could not leave as if a router had said so."""
        quoted = ipv4.parse_quoted(memoryview(packet))
        self._dispatch(IcmpError(kind, code, 0, quoted.src, quoted), now)

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
            host, route, packet.dst, to, ipv4.ICMP, reply, now, tos=packet.tos, options=options
        )
        return True

    def _answer_options(self, packet: Packet, now: float) -> tuple[bytes, Ip4]:
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

    def _dispatch(self, error: IcmpError, now: float) -> None:
        # RFC 1122 3.2.2: to the transport that sent the packet; it decides what to make of it.
        self._host.counters.add("icmp_errors_in")
        quoted = error.quoted
        if not self._host.is_own(quoted.src) or quoted.fragment_offset_bytes:
            self._host.drop("icmp_error_not_ours", now, data=quoted.raw)
            return
        try:
            if quoted.proto == ipv4.TCP:
                self._host.tcp.error_arrived(error, now)
            elif quoted.proto == ipv4.UDP:
                self._host.udp.error_arrived(error, now)
            elif quoted.proto == ipv4.ICMP:
                sink = self.echo_error_sinks.get(_echo_ident(quoted))
                if sink is None:
                    self._host.counters.add("icmp_error_unclaimed")
                else:
                    sink(error, now)
        except WireError as wire_error:
            self._host.drop(wire_error.reason, now, data=quoted.raw)

    def _may_send_error(self, now: float) -> bool:
        left = self._errors_left + (now - self._refilled_at) * ERRORS_PER_S
        self._errors_left = min(left, ERRORS_BURST)
        self._refilled_at = now
        if self._errors_left < 1:
            return False
        # One on average: who provokes errors and counts them can't tell how many others got, and so
        # which of our ports answered them (CVE-2020-25705); as Linux since 5.10.
        self._errors_left -= self._host.rng.randrange(3)
        return True


def _echo_ident(quoted: Packet) -> int:
    """Return the identifier of a request that an error quotes; -1: it is something else."""
    payload = quoted.payload
    if len(payload) < icmp.HEADER_BYTES or payload[0] != icmp.ECHO:
        return -1
    return payload[4] << 8 | payload[5]
