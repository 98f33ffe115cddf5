"""Asking a name server and showing all that it says, as dig(1) does: no cache, no search list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.dns.answers import Question, Status
from pystack.dns.config import ResolverConfig, split_server
from pystack.dns.exchange import Exchange, Server
from pystack.runtime.names.lookups import HostTold, Lookup, check_up
from pystack.runtime.names.zones import Version, format_on
from pystack.wire import dns
from pystack.wire.dns_framing import EDNS_BYTES

if TYPE_CHECKING:
    from pystack.runtime.host import Host


class DigWords(TypedDict, total=False):
    """How to ask; see `dig` for what holds where a word is missing."""

    version: Version | None  # of IP, 4 or 6; None: the one that is tried first
    tcp: bool  # by TCP at once
    recurse: bool  # with the flag RD
    edns_bytes: int | None  # what an answer by UDP may have; None: without EDNS
    timeout_s: float  # for each try
    attempts: int


@dataclass(frozen=True, slots=True)
class DigRecord:
    """One resource record."""

    name: str  # without the dot at its end
    ttl_s: int
    kind: str  # "AAAA"
    text: str  # the data, as in a zone file

    def __str__(self) -> str:
        """Return its line in a zone file."""
        return f"{self.name}.\t{self.ttl_s}\tIN\t{self.kind}\t{self.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DigAnswer:
    """What a server said to one question."""

    status: str  # "NOERROR", "NXDOMAIN" ...
    ident: int
    flags: tuple[str, ...]  # "qr", "aa", "tc", "rd", "ra"
    question: tuple[str, str]  # name and kind
    answer: tuple[DigRecord, ...]
    authority: tuple[DigRecord, ...]
    additional: tuple[DigRecord, ...]
    edns_bytes: int | None  # what the server can take by UDP; None: it does not know EDNS
    server: tuple[str, int]
    over: str  # "udp" or "tcp"
    took_s: float  # from the first query to the answer
    size_bytes: int
    sent: int  # queries

    def to_text(self) -> str:
        """Return it in the manner of dig(1)."""
        additional = len(self.additional) + (self.edns_bytes is not None)
        lines = [
            f";; ->>HEADER<<- opcode: QUERY, status: {self.status}, id: {self.ident}",
            f";; flags: {' '.join(self.flags)}; QUERY: 1, ANSWER: {len(self.answer)}, "
            f"AUTHORITY: {len(self.authority)}, ADDITIONAL: {additional}",
            "",
        ]
        if self.edns_bytes is not None:
            lines += [";; OPT PSEUDOSECTION:", f"; EDNS: version: 0; udp: {self.edns_bytes}"]
        lines += [";; QUESTION SECTION:", f";{self.question[0]}.\t\tIN\t{self.question[1]}", ""]
        for title, records in (
            ("ANSWER", self.answer),
            ("AUTHORITY", self.authority),
            ("ADDITIONAL", self.additional),
        ):
            if records:
                lines += [f";; {title} SECTION:", *map(str, records), ""]
        lines += [
            f";; Query time: {self.took_s * 1000:.0f} msec",
            f";; SERVER: {self.server[0]}#{self.server[1]} ({self.over.upper()})",
            f";; MSG SIZE  rcvd: {self.size_bytes}",
        ]
        return "\n".join(lines)


async def dig(
    host: Host,
    name: str,
    kind: str = "A",
    *,
    server: str | None = None,
    version: Version | None = None,
    tcp: bool = False,
    recurse: bool = True,
    edns_bytes: int | None = EDNS_BYTES,
    timeout_s: float = 5.0,
    attempts: int = 3,
) -> DigAnswer:
    """Put one question to one server. See `Host.dig`.

    An address with kind "PTR" is asked for by its reversed name.
    """
    question = _question(name, kind)
    if server is None:
        if host.dns is None:
            raise ConfigError(f"{host.name} has no name server: name one to ask")
        server = host.dns.servers[0]
    config = ResolverConfig(
        servers=(server,),
        timeout_s=timeout_s,
        attempts=attempts,
        use_tcp=tcp,
        edns_bytes=edns_bytes,
        recurse=recurse,
    )
    await check_up(host)
    place = await _place_of(host, server, version)
    rng = component_rng(host.seed, f"dig/{host.name}/{host.counters['dns_digs']}")
    host.counters.add("dns_digs")
    exchange = Exchange(question, [place], config, rng, HostTold(host), takes_failures=True)
    lookup = Lookup(host, exchange, lambda _lookup, _now: None)
    began_at = host.now()
    try:
        lookup.begin()
        answer = await lookup.wait()
    finally:
        lookup.close()
    host.stack.check_up()
    if answer.status is Status.TIMED_OUT or exchange.message is None:
        raise TimeoutError(f"no answer from {server} to {exchange.sent} queries")
    return _said(exchange, exchange.message, host.now() - began_at)


async def _place_of(host: Host, server: str, version: Version | None) -> Server:
    name, port = split_server(server)
    try:
        return format_on(host.stack, host.names.known.addresses(name, version)[0]), port
    except OSError:  # the network has no such host: perhaps its own servers know one
        if host.dns is None:
            raise
    return format_on(host.stack, await host.look_up(name, version)), port


def _said(exchange: Exchange, message: dns.Message, took_s: float) -> DigAnswer:
    return DigAnswer(
        status=dns.rcode_name(message.rcode),
        ident=message.ident,
        flags=_flags(message),
        question=(exchange.question.name, dns.kind_name(exchange.question.kind)),
        answer=_records(message.answers),
        authority=_records(message.authority),
        additional=_records(message.additional),
        edns_bytes=None if message.edns is None else message.edns.payload_bytes,
        server=exchange.server,
        over="tcp" if exchange.came_by_tcp else "udp",
        took_s=took_s,
        size_bytes=exchange.message_bytes,
        sent=exchange.sent,
    )


def _question(name: str, kind: str) -> Question:
    for what, text in (("name", name), ("kind", kind)):
        if not isinstance(text, str):
            raise ConfigError(f"a {what} to query is a text, not {text!r}")
    try:
        number = dns.kind_of(kind)
        if number == dns.PTR and not name.endswith(".arpa"):
            name = dns.reversed_name(name)
        return Question(dns.canonical(name), number)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _flags(message: dns.Message) -> tuple[str, ...]:
    known = {
        "qr": message.is_response,
        "aa": message.authoritative,
        "tc": message.truncated,
        "rd": message.recursion_desired,
        "ra": message.recursion_available,
    }
    return tuple(name for name, is_set in known.items() if is_set)


def _records(records: tuple[dns.Record, ...]) -> tuple[DigRecord, ...]:
    return tuple(
        DigRecord(record.name, record.ttl_s, dns.kind_name(record.kind), record.text)
        for record in records
    )
