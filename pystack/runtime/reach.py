"""Ping and traceroute: asking with ICMP echo requests who is there, and who is on the way."""

from __future__ import annotations

import errno
import os
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import Ip, is_v6
from pystack.core.ranges import DURATION, TTL, Range
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.names.zones import Version, format_on
from pystack.wire import icmp, icmpv6

if TYPE_CHECKING:
    from pystack.runtime.host import Host
    from pystack.stack.icmp_core import IcmpError

TIMEOUT_S: Final = 1.0
PAYLOAD_BYTES: Final = 56  # as ping(8)
MAX_PAYLOAD_BYTES: Final = 65507  # what an IPv4 packet has room for
DEFAULT_TTL: Final = 64
MAX_HOPS: Final = 30  # as traceroute(8)
# Answers that wait for their reader: others can send as many as they like.
MAX_UNREAD: Final = 1024

# By the code of DESTINATION_UNREACHABLE and of TIME_EXCEEDED: iputils' words, which other programs
# look for.
_UNREACHABLE: Final = (
    "Destination Net Unreachable",
    "Destination Host Unreachable",
    "Destination Protocol Unreachable",
    "Destination Port Unreachable",
    "Frag needed and DF set",
    "Source Route Failed",
    "Destination Net Unknown",
    "Destination Host Unknown",
    "Source Host Isolated",
    "Destination Net Prohibited",
    "Destination Host Prohibited",
    "Destination Net Unreachable for Type of Service",
    "Destination Host Unreachable for Type of Service",
    "Packet filtered",
    "Precedence Violation",
    "Precedence Cutoff",
)
_EXCEEDED: Final = ("Time to live exceeded", "Frag reassembly time exceeded")
# The same of ICMPv6; and by the code of PARAMETER_PROBLEM
_UNREACHABLE6: Final = (
    "No route",
    "Administratively prohibited",
    "Beyond scope of source address",
    "Address unreachable",
    "Port unreachable",
)
_EXCEEDED6: Final = ("Hop limit", "Defragmentation failure")
_PROBLEMS6: Final = ("Wrong header field", "Unknown header", "Unknown option")


@dataclass(frozen=True, slots=True)
class Hop:
    """The router or host that answered a request with this many hops."""

    ttl: int
    address: str | None  # None: nobody did
    rtt_s: float | None  # None: nobody did
    reached: bool  # the answer is the destination's own


@dataclass(frozen=True, slots=True)
class EchoAnswer:
    """A reply (`kind` is ECHO_REPLY), or an error about a request, in its version's numbers."""

    kind: int
    code: int
    address: Ip  # whose word it is; of an error that this host itself made, its own
    seq: int  # of the request
    ttl: int  # with which a reply came; 0 for an error
    payload: bytes  # of a reply
    mtu_bytes: int  # of the next hop, where that is the trouble; else 0
    at: float

    @property
    def is_reply(self) -> bool:
        """Tell whether it is the answer that was asked for."""
        return self.kind == (icmpv6.ECHO_REPLY if is_v6(self.address) else icmp.ECHO_REPLY)

    @property
    def hops_exceeded(self) -> bool:
        """Tell whether a router on the way says that the request's hops were used up."""
        exceeded = icmpv6.TIME_EXCEEDED if is_v6(self.address) else icmp.TIME_EXCEEDED
        return self.kind == exceeded


class Echoes:
    """Echo requests of one identifier, which nobody else on the host has, and what comes of them.

    For the length of a `with` block.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._layers = host.stack.icmp, host.stack.icmp6
        self._ident = 0  # none yet
        self._waiter = Waiter(host.driver)
        self._answers: deque[EchoAnswer] = deque()

    def __enter__(self) -> Echoes:
        """Take an identifier. OSError: all are taken."""
        taken = self._layers[0].echo_sinks.keys() | self._layers[1].echo_sinks.keys()
        self._ident = next((number for number in range(1, 0x10000) if number not in taken), 0)
        if not self._ident:
            raise OSError(errno.EADDRINUSE, "all 65,535 identifiers of echo requests are in use")
        for layer in self._layers:
            layer.echo_sinks[self._ident] = self._on_reply
            layer.echo_error_sinks[self._ident] = self._on_error
        return self

    def __exit__(self, *_error: object) -> None:
        """Hear of nothing any more."""
        for layer in self._layers:
            del layer.echo_sinks[self._ident]
            del layer.echo_error_sinks[self._ident]

    def send(self, remote: Ip, seq: int, payload: bytes, *, ttl: int = DEFAULT_TTL) -> float:
        """Send one request; return the instant. `seq` counts modulo 65,536. OSError: no route."""
        now = self._host.now()
        layer = self._layers[is_v6(remote)]
        if not layer.send_echo(remote, self._ident, seq & 0xFFFF, payload, now, ttl=ttl):
            raise self._host.stack.no_route(remote)
        return now

    async def receive_until(self, deadline: float) -> EchoAnswer | None:
        """Wait for the next answer, to whichever request; None: none came, not at that instant."""
        with trio.move_on_at(deadline):
            while not self._answers:
                await self._waiter.wait()
        # What comes with the deadline has come: the deadline ends the waiting, and no more.
        return self._answers.popleft() if self._answers else None

    def _on_reply(self, message: icmp.IcmpMessage, src: Ip, ttl: int, now: float) -> None:
        payload = bytes(message.payload)
        self._take(EchoAnswer(message.kind, 0, src, message.seq, ttl, payload, 0, now))

    def _on_error(self, error: IcmpError, now: float) -> None:
        # Whose request is quoted: it has its identifier, and so its sequence number too.
        seq = int.from_bytes(error.quoted.payload[6:8], "big")
        self._take(
            EchoAnswer(error.kind, error.code, error.reporter, seq, 0, b"", error.mtu_bytes, now)
        )

    def _take(self, answer: EchoAnswer) -> None:
        if len(self._answers) >= MAX_UNREAD:
            self._host.counters.add("icmp_answers_unread")
            return
        self._answers.append(answer)
        self._waiter.wake()


def error_in_words(error: EchoAnswer) -> str:
    """Return what an ICMP error says, as ping(8) does."""
    if is_v6(error.address):
        return _error6_in_words(error)
    if error.kind == icmp.DESTINATION_UNREACHABLE and error.code < len(_UNREACHABLE):
        words = _UNREACHABLE[error.code]
        is_too_big = error.code == icmp.FRAGMENTATION_NEEDED
        return f"{words} (mtu = {error.mtu_bytes})" if is_too_big else words
    if error.kind == icmp.TIME_EXCEEDED and error.code < len(_EXCEEDED):
        return _EXCEEDED[error.code]
    if error.kind == icmp.PARAMETER_PROBLEM:
        return "Parameter problem"
    return f"ICMP error of type {error.kind}, code {error.code}"


def _error6_in_words(error: EchoAnswer) -> str:
    code = error.code
    match error.kind:
        case icmpv6.DESTINATION_UNREACHABLE:
            return f"Destination unreachable: {_word(_UNREACHABLE6, code)}"
        case icmpv6.PACKET_TOO_BIG:
            return f"Packet too big: mtu={error.mtu_bytes}"
        case icmpv6.TIME_EXCEEDED:
            return f"Time exceeded: {_word(_EXCEEDED6, code)}"
        case icmpv6.PARAMETER_PROBLEM:
            return f"Parameter problem: {_word(_PROBLEMS6, code)}"
    return f"ICMPv6 error of type {error.kind}, code {code}"


def _word(words: tuple[str, ...], code: int) -> str:
    return words[code] if code < len(words) else f"Unknown code {code}"


def payload_of(size_bytes: int) -> bytes:
    """Return what a request carries: 0, 1, 2 ... ConfigError: a packet has no room for so much."""
    Range(0, MAX_PAYLOAD_BYTES).check("payload_bytes", size_bytes)
    return bytes(at & 0xFF for at in range(size_bytes))


async def ping(
    host: Host,
    name: str,
    payload_bytes: int,
    timeout_s: float,
    version: Version | None = None,
) -> float:
    """Send one request; return the round trip in seconds. TimeoutError, OSError."""
    payload = payload_of(payload_bytes)
    DURATION.check("timeout_s", timeout_s)
    host.stack.check_up()
    remote = await host.look_up(name, version)
    sent_at = host.now()
    answer = await _ask(host, remote, payload, DEFAULT_TTL, timeout_s)
    if answer is None:
        raise TimeoutError(errno.ETIMEDOUT, f"no echo reply from {name}")
    if not answer.is_reply:
        number_of = icmpv6.error_number if is_v6(remote) else icmp.error_number
        number = number_of(answer.kind, answer.code) or errno.EPROTO
        reporter = format_on(host.stack, answer.address)
        raise OSError(number, f"{os.strerror(number)}: {reporter} says so of {name}")
    return answer.at - sent_at


async def traceroute(
    host: Host, name: str, max_hops: int, timeout_s: float, version: Version | None = None
) -> list[Hop]:
    """Send requests that can go 1, 2, ... hops, until the destination or an error answers."""
    TTL.check("max_hops", max_hops)
    DURATION.check("timeout_s", timeout_s)
    remote = await host.look_up(name, version)
    hops: list[Hop] = []
    for ttl in range(1, max_hops + 1):
        sent_at = host.now()
        answer = await _ask(host, remote, payload_of(PAYLOAD_BYTES), ttl, timeout_s)
        if answer is None:
            hops.append(Hop(ttl, None, None, reached=False))
            continue
        rtt_s = answer.at - sent_at
        hops.append(Hop(ttl, format_on(host.stack, answer.address), rtt_s, answer.is_reply))
        if not answer.hops_exceeded:
            break
    return hops


async def _ask(
    host: Host, remote: Ip, payload: bytes, ttl: int, timeout_s: float
) -> EchoAnswer | None:
    """Send one request, and return what is answered; None for silence."""
    with Echoes(host) as echoes:
        echoes.send(remote, 1, payload, ttl=ttl)
        deadline = trio.current_time() + timeout_s
        while answer := await echoes.receive_until(deadline):
            if not answer.is_reply or answer.payload == payload:
                return answer
    return None
