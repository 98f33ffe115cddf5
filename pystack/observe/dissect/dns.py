"""DNS messages (RFC 1035, RFC 6891): where each part lies; what names and data say is `wire.dns`'s.

Without dnspython, and of a message that is not as it should be, the header alone is taken apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError, WireError
from pystack.observe import amounts
from pystack.observe.dissect.layout import (
    Dissection,
    Field,
    Layer,
    decimal,
    flag,
    hex16,
    ip4,
    ip6,
)

if TYPE_CHECKING:
    from pystack.wire.dns import Message, Record

_HEADER_BYTES: Final = 12
_POINTER: Final = 0xC0
_OPT: Final = 41
_RCODES: Final = {
    0: "no error",
    1: "FORMERR: not understood",
    2: "SERVFAIL: the server could not find out",
    3: "NXDOMAIN: there is no such name",
    4: "NOTIMP: not implemented",
    5: "REFUSED",
}
_HEADER: Final = (
    Field("ID", 16, hex16, "the answer has the same"),
    Field("QR", 1, decimal, {0: "a query", 1: "a response"}),
    Field("OPCODE", 4, decimal, {0: "a standard query", 5: "update", 4: "notify"}),
    flag("AA", "authoritative: from a server of the zone", "from hearsay, or a query"),
    flag("TC", "truncated: ask again by TCP"),
    flag("RD", "recursion desired: please find out", "recursion not desired"),
    flag("RA", "recursion available: the server finds out"),
    Field("Z", 1),
    flag("AD", "authenticated by DNSSEC, says the server"),
    flag("CD", "checking disabled"),
    Field("RCODE", 4, decimal, _RCODES),
    Field("QDCOUNT", 16, decimal, "questions"),
    Field("ANCOUNT", 16, decimal, "answers"),
    Field("NSCOUNT", 16, decimal, "records about servers in charge"),
    Field("ARCOUNT", 16, decimal, "additional records"),
)
_COUNTS: Final = slice(11, 15)
_KINDS: Final = {
    1: "A: an IPv4 address",
    2: "NS: a name server",
    5: "CNAME: another name for it",
    6: "SOA: of the zone",
    12: "PTR: the name of an address",
    15: "MX: who takes its mail",
    16: "TXT: text",
    28: "AAAA: an IPv6 address",
    33: "SRV: where a service is",
    _OPT: "OPT: what the sender can do (EDNS)",
    64: "SVCB: how a service is reached",
    65: "HTTPS: how a site is reached",
    255: "ANY",
}
_TYPE: Final = Field("TYPE", 16, decimal, _KINDS)
_CLASS: Final = Field("CLASS", 16, decimal, {1: "IN: the Internet", 255: "ANY"})
_TTL: Final = Field(
    "TTL", 32, decimal, lambda seconds: f"may be kept for {amounts.count(seconds, 'second')}"
)
_LENGTH: Final = Field("RDLENGTH", 16)
_EDNS: Final = (
    Field("UDP payload size", 16, decimal, "bytes that the sender takes by UDP"),
    Field("EXTENDED-RCODE", 8),
    Field("VERSION", 8),
    flag("DO", "DNSSEC records are welcome"),
    Field("Z", 15),
    _LENGTH,
)
_EDNS_OPTIONS: Final = {8: "client subnet", 10: "cookie", 12: "padding", 15: "extended error"}
_SECTIONS: Final = ("answer", "authority", "additional")


def lay_dns(whole: Dissection, start: int, end: int) -> int:
    """Take apart a message that fills a datagram; return where it ends."""
    layer = whole.layer("application", (7,), "DNS message", start, end)
    _lay_message(layer)
    layer.close()
    return end


def lay_dns_by_tcp(whole: Dissection, start: int, end: int) -> int:
    """Take apart a message with its length in front (RFC 1035 section 4.2.2)."""
    if end - start < 2:
        return start
    layer = whole.layer("application", (7,), "DNS message", start, end)
    length = layer.one(Field("length", 16, decimal, "bytes of the message, by TCP"))
    layer.end = min(layer.at + (length or 0), end)
    _lay_message(layer)
    layer.close()
    return layer.end


def _lay_message(layer: Layer) -> None:
    start = layer.at
    message = _read(layer.data[start : layer.end])
    numbers = layer.lay(_HEADER)
    if numbers is None:
        return
    if message is None:
        layer.rest("data", "cut off, malformed, or to be read with the extra `dns` alone")
        return
    layer.box.title = "DNS response" if message.is_response else "DNS query"
    for question in message.questions:
        layer.take("QNAME", _name_bytes(layer), f"{question.name}.", "the name that is asked for")
        layer.lay((_with(_TYPE, "QTYPE"), _with(_CLASS, "QCLASS")))
    records = iter((*message.answers, *message.authority, *message.additional))
    for count, section in zip(numbers[_COUNTS][1:], _SECTIONS, strict=True):
        for _ in range(count):
            if layer.is_full:
                break
            _lay_record(layer, records, section)
    layer.rest("data")


def _read(data: bytes) -> Message | None:
    try:
        from pystack.wire import dns  # 50 ms, and an extra
    except ConfigError:
        return None
    try:
        return dns.parse_message(data)
    except WireError:
        return None


def _with(each: Field, name: str) -> Field:
    return Field(name, each.bits, each.show, each.meaning)


def _name_bytes(layer: Layer) -> int:
    """Return how long the name there is: labels up to the root, or to a pointer."""
    at, data = layer.at, layer.data
    while at < layer.end:
        size = data[at]
        if size >= _POINTER:
            return at + 2 - layer.at
        at += 1 + size
        if not size:
            break
    return at - layer.at


def _lay_record(layer: Layer, records: Iterator[Record], section: str) -> None:
    name_bytes = _name_bytes(layer)
    kind = int.from_bytes(layer.peek(2, name_bytes), "big")
    if kind == _OPT:
        _lay_edns(layer, name_bytes)
        return
    record = next(records)
    pointed = layer.peek(1)[:1] >= bytes((_POINTER,)) if layer.left else False
    where = "; a pointer to where it stands already" if pointed else ""
    layer.take("NAME", name_bytes, f"{record.name}.", f"{section} section{where}")
    numbers = layer.lay((_TYPE, _CLASS, _TTL, _LENGTH))
    size = 0 if numbers is None else numbers[3]
    if kind == 1 and size == 4:
        layer.one(Field("RDATA", 32, ip4, "the address"))
    elif kind == 28 and size == 16:
        layer.one(Field("RDATA", 128, ip6, "the address"))
    else:
        layer.take("RDATA", size, record.text[:400])


def _lay_edns(layer: Layer, name_bytes: int) -> None:
    layer.take("NAME", name_bytes, ".", "additional section: the root, as EDNS has it")
    layer.one(_TYPE)
    numbers = layer.lay(_EDNS)
    stop = min(layer.at + (0 if numbers is None else numbers[-1]), layer.end)
    while stop - layer.at >= 4 and not layer.is_full:
        head = layer.lay(
            (
                Field("OPTION-CODE", 16, decimal, _EDNS_OPTIONS),
                Field("OPTION-LENGTH", 16),
            )
        )
        if head is not None:
            layer.take("OPTION-DATA", min(head[1], stop - layer.at))
    layer.take("RDATA", stop - layer.at)
