"""Ping and traceroute: asking with ICMP echo requests who is there, and who is on the way."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.addresses import Ip4, format_ip4
from pystack.runtime.driver import Waiter
from pystack.wire import icmp

if TYPE_CHECKING:
    from pystack.runtime.host import TrioHost
    from pystack.stack.icmp import IcmpError

TIMEOUT_S: Final = 1.0
PAYLOAD_BYTES: Final = 56  # as ping(8)
MAX_HOPS: Final = 30  # as traceroute(8)


@dataclass(frozen=True, slots=True)
class Hop:
    """Who answered a request that could go so many hops."""

    ttl: int
    address: str | None  # None: nobody did
    rtt_s: float | None  # None: nobody did
    reached: bool  # the answer is the destination's own


@dataclass(slots=True)
class _Answer:
    """A reply (kind is ECHO_REPLY), or an ICMP error."""

    kind: int
    code: int
    address: Ip4
    at: float


async def ping(host: TrioHost, name: str, payload_bytes: int, timeout_s: float) -> float:
    """Send one request; return the round trip in seconds. TimeoutError, OSError."""
    if not 0 <= payload_bytes <= 65507:
        raise ValueError("an echo request carries 0 to 65,507 bytes")
    host.stack.check_up()
    sent_at = host.now()
    answer = await _ask(host, name, payload_bytes, 64, timeout_s)
    if answer is None:
        raise TimeoutError(errno.ETIMEDOUT, f"no echo reply from {name}")
    if answer.kind != icmp.ECHO_REPLY:
        number = icmp.error_number(answer.kind, answer.code) or errno.EPROTO
        reporter = format_ip4(answer.address)
        raise OSError(number, f"{os.strerror(number)}: {reporter} says so of {name}")
    return answer.at - sent_at


async def traceroute(host: TrioHost, name: str, max_hops: int, timeout_s: float) -> list[Hop]:
    """Send requests that can go 1, 2, ... hops, until the destination or an error answers."""
    hops: list[Hop] = []
    for ttl in range(1, max_hops + 1):
        sent_at = host.now()
        answer = await _ask(host, name, PAYLOAD_BYTES, ttl, timeout_s)
        if answer is None:
            hops.append(Hop(ttl, None, None, reached=False))
            continue
        reached = answer.kind == icmp.ECHO_REPLY
        hops.append(Hop(ttl, format_ip4(answer.address), answer.at - sent_at, reached))
        if answer.kind != icmp.TIME_EXCEEDED:
            break
    return hops


async def _ask(
    host: TrioHost, name: str, payload_bytes: int, ttl: int, timeout_s: float
) -> _Answer | None:
    """Send one request, and return what is answered; None for silence."""
    layer, remote = host.stack.icmp, host.resolve(name)
    waiter = Waiter(host.driver)
    payload = bytes(at & 0xFF for at in range(payload_bytes))
    answers: list[_Answer] = []

    def on_reply(message: icmp.IcmpMessage, src: Ip4, _ttl: int, now: float) -> None:
        if message.payload == payload:
            answers.append(_Answer(icmp.ECHO_REPLY, 0, src, now))
            waiter.wake()

    def on_error(error: IcmpError, now: float) -> None:
        answers.append(_Answer(error.kind, error.code, error.reporter, now))
        waiter.wake()

    ident = next(number for number in range(1, 0x10000) if number not in layer.echo_sinks)
    layer.echo_sinks[ident] = on_reply
    layer.echo_error_sinks[ident] = on_error
    try:
        if not layer.send_echo(remote, ident, 1, payload, host.now(), ttl=ttl):
            raise host.stack.no_route(remote)
        with trio.move_on_after(timeout_s):
            while not answers:
                await waiter.wait()
        return answers[0] if answers else None
    finally:
        del layer.echo_sinks[ident]
        del layer.echo_error_sinks[ident]
