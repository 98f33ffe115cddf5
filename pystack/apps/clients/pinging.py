"""Ping as iputils has it: a row of requests, a line for each answer, and the sum of it all."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from pystack.core.addresses import Ip
from pystack.core.errors import ConfigError
from pystack.runtime import reach
from pystack.runtime.host import Host
from pystack.runtime.names.resolver import FAMILIES, text_of
from pystack.runtime.names.zones import Version, format_on, parse_on
from pystack.runtime.reach import EchoAnswer, Echoes

ICMP_HEADER_BYTES: Final = 8
IP_HEADER_BYTES: Final = 20
LINGER_S: Final = 10.0  # what the last request gets where nothing was ever answered
_NUMBERS: Final = 0x10000  # sequence numbers, and so requests that are told from each other


@dataclass(frozen=True, slots=True, kw_only=True)
class PingOptions:
    """ping(8)'s options. Raises ConfigError for what cannot be."""

    count: int | None = None  # -c; None: until it is cancelled
    interval_s: float = 1.0  # -i
    size_bytes: int = reach.PAYLOAD_BYTES  # -s
    wait_s: float = LINGER_S  # -W: for the last answer, where none ever came
    deadline_s: float | None = None  # -w: the end, whatever came; with it -c counts answers
    ttl: int = reach.DEFAULT_TTL  # -t

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.count is not None and self.count < 1:
            raise ConfigError(f"-c {self.count}: at least one request must be sent")
        if not self.interval_s >= 0.001:
            raise ConfigError(f"-i {self.interval_s:g}: the least interval is 1 ms")
        if not 0 <= self.size_bytes <= reach.MAX_PAYLOAD_BYTES:
            raise ConfigError(f"-s {self.size_bytes}: an echo request carries 0 to 65507 bytes")
        if not self.wait_s >= 0:
            raise ConfigError(f"-W {self.wait_s:g}: a time is not below 0")
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise ConfigError(
                f"-w {self.deadline_s:g}: the deadline has to be later than the start"
            )
        if not 1 <= self.ttl <= 255:
            raise ConfigError(f"-t {self.ttl}: a TTL is 1 to 255")


@dataclass(frozen=True, slots=True, kw_only=True)
class PingEvent:
    """One answer."""

    seq: int
    address: str
    bytes: int = 0  # of the ICMP message of a reply; 0 for an error
    ttl: int = 0  # of a reply; 0 for an error
    time_ms: float | None = None  # None: an error
    duplicate: bool = False
    error: str | None = None  # what the reporter says; None: it is a reply
    truncated: bool = False  # it brought less back than it was given, or something else


@dataclass(slots=True)
class PingSummary:
    """What came of it all."""

    name: str
    address: str
    sent: int = 0
    received: int = 0  # without duplicates
    duplicates: int = 0
    errors: int = 0
    began_at: float = 0.0
    last_sent_at: float = 0.0
    _sum_ms: float = field(default=0.0, repr=False)
    _squares: float = field(default=0.0, repr=False)
    min_ms: float = math.inf  # of nothing
    max_ms: float = 0.0

    @property
    def loss_percent(self) -> float:
        """Return the share of requests that nobody answered."""
        return 100.0 * (self.sent - self.received) / self.sent if self.sent else 0.0

    @property
    def elapsed_s(self) -> float:
        """Return the time from the first request to the last, which is what iputils shows."""
        return self.last_sent_at - self.began_at

    @property
    def avg_ms(self) -> float:
        """Return the mean of all round trips, duplicates' too, as iputils has it."""
        timed = self.received + self.duplicates
        return self._sum_ms / timed if timed else 0.0

    @property
    def mdev_ms(self) -> float:
        """Return their standard deviation."""
        timed = self.received + self.duplicates
        return math.sqrt(max(self._squares / timed - self.avg_ms**2, 0.0)) if timed else 0.0

    def add_rtt(self, ms: float) -> None:
        """Count one round trip."""
        self._sum_ms += ms
        self._squares += ms * ms
        self.min_ms, self.max_ms = min(self.min_ms, ms), max(self.max_ms, ms)

    def to_json(self) -> dict[str, object]:
        """Return it for a machine; times are None where nothing was answered."""
        timed = bool(self.received)
        return {
            "host": self.name,
            "address": self.address,
            "sent": self.sent,
            "received": self.received,
            "duplicates": self.duplicates,
            "errors": self.errors,
            "loss_percent": self.loss_percent,
            "time_ms": 1000 * self.elapsed_s,
            "min_ms": self.min_ms if timed else None,
            "avg_ms": self.avg_ms if timed else None,
            "max_ms": self.max_ms if timed else None,
            "mdev_ms": self.mdev_ms if timed else None,
        }

    def status(self, options: PingOptions) -> int:
        """Return ping(8)'s exit status: 0, or 1 where too little was answered."""
        if not self.received:
            return 1
        wanted = options.count if options.deadline_s is not None else None
        return 1 if wanted is not None and self.received < wanted else 0


async def resolved(host: Host, name: str, version: Version | None = None) -> str:
    """Return the address of a name, asked for from the host. Raises `socket.gaierror`."""
    found = await trio.socket.getaddrinfo(name, None, FAMILIES[version], socket.SOCK_DGRAM)
    return format_on(host.stack, parse_on(host.stack, text_of(found[0][4])))


async def ping(
    host: Host,
    summary: PingSummary,
    options: PingOptions,
    on_event: Callable[[PingEvent], object],
) -> None:
    """Send requests to `summary.address` until all is done, or it is cancelled. OSError."""
    await _Pinging(host, summary, options, on_event).run()


class _Pinging:
    """One run: when the next request goes, and when it is time to stop."""

    def __init__(
        self,
        host: Host,
        summary: PingSummary,
        options: PingOptions,
        on_event: Callable[[PingEvent], object],
    ) -> None:
        self._host, self._summary, self._options = host, summary, options
        self._on_event = on_event
        self._payload = reach.payload_of(options.size_bytes)
        self._remote: Ip = host.resolve(summary.address)
        self._sent_at: dict[int, float] = {}  # by sequence number, those of the last 65,536
        self._answered: set[int] = set()
        self._end_at = math.inf

    async def run(self) -> None:
        summary, options = self._summary, self._options
        summary.began_at = self._host.now()
        if options.deadline_s is not None:
            self._end_at = summary.began_at + options.deadline_s
        next_at = summary.began_at
        with Echoes(self._host) as echoes:
            while not self._is_done():
                if self._is_to_send() and self._host.now() >= next_at:
                    self._send(echoes)
                    next_at += options.interval_s
                wake_at = next_at if self._is_to_send() else math.inf
                answer = await echoes.receive_until(min(wake_at, self._end_at))
                if answer is not None:
                    self._take(answer)

    def _is_to_send(self) -> bool:
        options = self._options
        if options.count is None or options.deadline_s is not None:
            return True
        return self._summary.sent < options.count

    def _is_done(self) -> bool:
        summary, options = self._summary, self._options
        heard = summary.received + summary.errors
        if options.count is not None and heard >= options.count:
            return True
        if options.deadline_s is not None and summary.errors:
            return True
        return self._host.now() >= self._end_at

    def _send(self, echoes: Echoes) -> None:
        summary, options = self._summary, self._options
        seq = (summary.sent + 1) % _NUMBERS
        at = echoes.send(self._remote, seq, self._payload, ttl=options.ttl)
        summary.sent += 1
        summary.last_sent_at = self._sent_at[seq] = at
        self._answered.discard(seq)
        if not self._is_to_send():
            # Twice the longest round trip is enough for the last one, as iputils has it.
            known_s = max(2 * summary.max_ms / 1000, options.interval_s)
            self._end_at = at + (known_s if summary.received else options.wait_s)

    def _take(self, answer: EchoAnswer) -> None:
        summary, address = self._summary, format_on(self._host.stack, answer.address)
        if not answer.is_reply:
            summary.errors += 1
            self._on_event(
                PingEvent(seq=answer.seq, address=address, error=reach.error_in_words(answer))
            )
            return
        sent_at = self._sent_at.get(answer.seq)
        if sent_at is None:  # to nothing that was sent: somebody makes it up
            return
        duplicate = answer.seq in self._answered
        self._answered.add(answer.seq)
        time_ms = 1000 * (answer.at - sent_at)
        summary.add_rtt(time_ms)
        if duplicate:
            summary.duplicates += 1
        else:
            summary.received += 1
        self._on_event(
            PingEvent(
                seq=answer.seq,
                address=address,
                bytes=ICMP_HEADER_BYTES + len(answer.payload),
                ttl=answer.ttl,
                time_ms=time_ms,
                duplicate=duplicate,
                truncated=answer.payload != self._payload,
            )
        )


def heading(summary: PingSummary, options: PingOptions) -> str:
    """Return the first line."""
    if ":" in summary.address:
        return f"PING {summary.name}({summary.address}) {options.size_bytes} data bytes"
    whole = options.size_bytes + ICMP_HEADER_BYTES + IP_HEADER_BYTES
    return f"PING {summary.name} ({summary.address}) {options.size_bytes}({whole}) bytes of data."


def line(event: PingEvent, summary: PingSummary) -> str:
    """Return the line of an answer."""
    who = event.address
    if event.address == summary.address != summary.name:
        who = f"{summary.name} ({event.address})"
    if event.error is not None:
        return f"From {who} icmp_seq={event.seq} {event.error}"
    time = _time(event.time_ms or 0.0)
    text = f"{event.bytes} bytes from {who}: icmp_seq={event.seq} ttl={event.ttl} time={time} ms"
    if event.duplicate:
        text += " (DUP!)"
    return f"{text} (truncated)" if event.truncated else text


def closing(summary: PingSummary) -> list[str]:
    """Return the last lines."""
    counted = [f"{summary.sent} packets transmitted", f"{summary.received} received"]
    if summary.duplicates:
        counted.append(f"+{summary.duplicates} duplicates")
    if summary.errors:
        counted.append(f"+{summary.errors} errors")
    counted.append(f"{summary.loss_percent:.6g}% packet loss")
    counted.append(f"time {int(summary.elapsed_s * 1000 + 1e-6)}ms")
    lines = ["", f"--- {summary.name} ping statistics ---", ", ".join(counted)]
    if summary.received:
        times = (summary.min_ms, summary.avg_ms, summary.max_ms, summary.mdev_ms)
        lines.append(f"rtt min/avg/max/mdev = {'/'.join(f'{ms:.3f}' for ms in times)} ms")
    else:
        lines.append("")  # as iputils ends
    return lines


def _time(ms: float) -> str:
    """Return it with three figures or so, cut off as iputils cuts it off."""
    us = int(ms * 1000 + 1e-6)
    if us >= 99_950:
        return f"{us / 1000:.0f}"
    if us >= 9_995:
        return f"{us / 1000:.1f}"
    return f"{us / 1000:.2f}" if us >= 1_000 else f"{us / 1000:.3f}"
