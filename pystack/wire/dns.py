"""DNS messages (RFC 1035, RFC 6891): bytes to values and back. The one codec of the project.

Names and data are dnspython's, which has all kinds of them; the frame of a message is read here,
for `dns.message` sorts what it reads into sets, which nobody needs here and costs as much again.
Hostile bytes raise only `WireError`. What a message may cost is bounded: names follow 16 pointers,
which lead backwards, and have so many labels; there is one question, and so many records.

A name is text here: in lower case, without the dot at its end, "" for the root, other signs as in
zone files ("\\.", "\\032"): two names are the same if and only if their texts are.

dnspython is an extra: importing this module without it raises `ConfigError`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Final, TypeAlias

from pystack.core.errors import WireError
from pystack.core.extras import need
from pystack.wire.dns_framing import EDNS_BYTES as EDNS_BYTES
from pystack.wire.dns_framing import MAX_BYTES as MAX_BYTES
from pystack.wire.dns_framing import PORT as PORT
from pystack.wire.dns_framing import UDP_BYTES as UDP_BYTES
from pystack.wire.dns_framing import Framer as Framer
from pystack.wire.dns_framing import frame as frame

try:
    import dns.exception
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
    import dns.reversename
    import dns.wire

    from pystack.wire.dns_idna import CODEC
except ModuleNotFoundError:
    need("dns", "DNS")
    raise

# The registry of RFC 6895: types and classes that are told apart here; others by number
A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
MX: Final = 15
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
DS: Final = 43  # RFC 4034
ANY: Final = 255
IN: Final = 1
ANY_CLASS: Final = 255
ADDRESS_KINDS: Final = (A, AAAA)
QUERY: Final = 0  # the only opcode that is answered here
NO_ERROR: Final = 0
FORMAT_ERROR: Final = 1
SERVER_FAILURE: Final = 2
NAME_ERROR: Final = 3  # "NXDOMAIN"
NOT_IMPLEMENTED: Final = 4
REFUSED: Final = 5
BAD_VERSION: Final = 16  # RFC 6891 section 9

MAX_RECORDS: Final = 1024  # in a message that is read
MAX_LABELS: Final = 16 * 1024  # of all names in it: of one byte each, two may stand for 127
MAX_TTL_S: Final = 2**31 - 1  # RFC 2181 section 8

_RCODES: Final = {
    NO_ERROR: "NOERROR",
    FORMAT_ERROR: "FORMERR",
    SERVER_FAILURE: "SERVFAIL",
    NAME_ERROR: "NXDOMAIN",
    NOT_IMPLEMENTED: "NOTIMP",
    REFUSED: "REFUSED",
    BAD_VERSION: "BADVERS",
}

_QR: Final = 0x8000  # it is a response
_AA: Final = 0x0400  # from who knows, not from hearsay
_TC: Final = 0x0200
_RD: Final = 0x0100
_RA: Final = 0x0080
_OPCODE_SHIFT: Final = 11
_DNSSEC_OK: Final = 0x8000

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION_TAIL: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")  # after the name: type, class, TTL, length of data
_LEAST_RECORD_BYTES: Final = 1 + _RECORD.size
_COMPRESSED_LABELS: Final = 16
_NAMELESS: Final = frozenset({A, AAAA, TXT})  # no names in their data, to be compressed
_POINTER: Final = 0xC000
_POINTER_MAX: Final = 0x3FFF
_OPT_BYTES: Final = 1 + _RECORD.size

_Places: TypeAlias = dict[dns.name.Name, int] | None  # of names; None: none comes again


@dataclass(slots=True)
class Question:
    """What is asked."""

    name: str
    kind: int
    klass: int = IN
    # As it stands in the message: the letters' case is the asker's own, and is given back.
    spelled: dns.name.Name | None = field(default=None, repr=False, compare=False)


@dataclass(slots=True)
class Record:
    """One resource record. Make it with `record`."""

    name: str
    kind: int
    ttl_s: int
    data: dns.rdata.Rdata = field(repr=False)
    klass: int = IN

    @property
    def text(self) -> str:
        """Return the data as a zone file has it: "10 mail.example.test."."""
        return self.data.to_text()

    @property
    def address(self) -> str | None:
        """Return the address; None where it is neither A nor AAAA."""
        # Of class CH, A has a number of another sort.
        is_address = self.kind in ADDRESS_KINDS and self.klass == IN
        return getattr(self.data, "address", None) if is_address else None

    @property
    def target(self) -> str | None:
        """Return the name that it leads to; None where it is no CNAME, NS, PTR, MX or SRV."""
        word = "exchange" if self.kind == MX else "target"
        name = getattr(self.data, word, None) if self.kind in _WITH_TARGET else None
        return None if name is None else _text_of(name)

    @property
    def soa_minimum_s(self) -> int | None:
        """Return how long "no such thing" may be kept (RFC 2308); None where it is no SOA."""
        return getattr(self.data, "minimum", None) if self.kind == SOA else None

    def __str__(self) -> str:
        """Return its line in a zone file."""
        return f"{self.name}. {self.ttl_s} IN {kind_name(self.kind)} {self.text}"


_WITH_TARGET: Final = frozenset({CNAME, NS, PTR, MX, SRV})


@dataclass(slots=True)
class Edns:
    """What the OPT record says (RFC 6891). Options, cookies among them, are not looked at."""

    payload_bytes: int = EDNS_BYTES  # that the sender can take by UDP
    version: int = 0
    dnssec_ok: bool = False


@dataclass(slots=True, kw_only=True)
class Message:
    """A query or a response."""

    ident: int
    is_response: bool = False
    opcode: int = QUERY
    rcode: int = NO_ERROR  # with the upper bits that EDNS has
    authoritative: bool = False
    truncated: bool = False
    recursion_desired: bool = False
    recursion_available: bool = False
    questions: tuple[Question, ...] = ()
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()  # without the OPT record
    edns: Edns | None = None


def parse_message(
    data: bytes, max_records: int = MAX_RECORDS, max_labels: int = MAX_LABELS
) -> Message:
    """Read a message. Raises WireError for what is none, or has more than a message needs."""
    if len(data) < _HEADER.size:
        raise WireError("dns_truncated")
    ident, flags, *counts = _HEADER.unpack_from(data)
    if counts[0] > 1:
        raise WireError("dns_many_questions")  # RFC 9619: there is one
    if sum(counts[1:]) > max_records:
        raise WireError("dns_many_records")
    message = Message(
        ident=ident,
        is_response=bool(flags & _QR),
        opcode=flags >> _OPCODE_SHIFT & 0xF,
        rcode=flags & 0xF,
        authoritative=bool(flags & _AA),
        truncated=bool(flags & _TC),
        recursion_desired=bool(flags & _RD),
        recursion_available=bool(flags & _RA),
    )
    parser = _Parser(data, _HEADER.size)
    parser.labels_left = max_labels
    try:
        if counts[0]:
            text, name = parser.get_asked()
            kind, klass = parser.get_struct("!HH")
            message.questions = (Question(text, kind, klass, name),)
        message.answers = _parse_records(parser, counts[1], None)
        message.authority = _parse_records(parser, counts[2], None)
        message.additional = _parse_records(parser, counts[3], message)
    except WireError:
        raise
    except Exception as error:  # FormError, and what the readers of rare kinds did not foresee
        reason = "dns_many_labels" if parser.labels_left < 0 else "dns_malformed"
        raise WireError(reason) from error
    if parser.remaining():
        raise WireError("dns_trailing_bytes")
    return message


def pack_message(message: Message, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a message: whole, or with the flag TC and no records.

    Additional records are left out, the last first, where only they are too many.
    """
    parts = message.answers, message.authority, message.additional
    room = max_bytes - (_OPT_BYTES if message.edns is not None else 0)
    out = BytesIO()
    out.write(bytes(_HEADER.size))
    compress: _Places = {} if {each.kind for part in parts for each in part} - _NAMELESS else None
    owners: dict[str, bytes] = {}
    for question in message.questions:
        spelled = question.spelled or _name_of(question.name)
        _note_owner(owners, question.name, out.tell())
        _write_name(out, compress, spelled)
        out.write(_QUESTION_TAIL.pack(question.kind, question.klass))
    end_of_question = out.tell()
    counts = [len(message.questions), 0, 0, 0]
    truncated = message.truncated
    for section, records in enumerate(parts[:2], 1):
        if len(records) * _LEAST_RECORD_BYTES > room:
            truncated = True  # without the work
            break
        counts[section] = _pack_records(out, compress, owners, records, room)
        if counts[section] < len(records):
            truncated = True
            break
    if truncated and not message.truncated:
        # The reader of half a set could take it for all of it, and a stranger's address is sent
        # no more than was asked for.
        counts[1] = counts[2] = 0
        out.truncate(end_of_question)
        out.seek(end_of_question)
    elif not truncated:
        counts[3] = _pack_records(out, compress, owners, message.additional, room)
    if message.edns is not None:
        edns = message.edns
        flags = message.rcode >> 4 << 24 | edns.version << 16 | edns.dnssec_ok * _DNSSEC_OK
        out.write(b"\0" + _RECORD.pack(OPT, edns.payload_bytes, flags, 0))
        counts[3] += 1
    flags = (
        message.is_response * _QR
        | message.opcode << _OPCODE_SHIFT
        | message.authoritative * _AA
        | truncated * _TC
        | message.recursion_desired * _RD
        | message.recursion_available * _RA
        | message.rcode & 0xF
    )
    out.seek(0)
    out.write(_HEADER.pack(message.ident, flags, *counts))
    return out.getvalue()


def pack_query(
    ident: int,
    name: str,
    kind: int | str,
    *,
    recursion_desired: bool = True,
    payload_bytes: int | None = EDNS_BYTES,
) -> bytes:
    """Return a query. `payload_bytes`: what answers by UDP may have; None: without EDNS.

    Raises ValueError for what is no name, or no kind of record.
    """
    number = kind_of(kind) if isinstance(kind, str) else kind
    message = Message(
        ident=ident,
        recursion_desired=recursion_desired,
        questions=(Question(canonical(name), number),),
        edns=None if payload_bytes is None else Edns(payload_bytes),
    )
    return pack_message(message)


def pack_refusal(data: bytes, rcode: int) -> bytes | None:
    """Return an answer to what cannot be read: a header alone. None: it was no query either."""
    if len(data) < _HEADER.size:
        return None
    ident, flags, *_ = _HEADER.unpack_from(data)
    if flags & _QR:
        return None
    kept = flags & (0xF << _OPCODE_SHIFT | _RD)
    return _HEADER.pack(ident, _QR | kept | rcode, 0, 0, 0, 0)


def without_records(response: bytes) -> bytes:
    """Return a response cut down to its question, with the flag TC: the answer is there by TCP."""
    message = parse_message(response)
    message.truncated = True
    message.answers = message.authority = message.additional = ()
    return pack_message(message)


def record(name: str, kind: int | str, ttl_s: int, text: str) -> Record:
    """Return a record; `text` is its data as in a zone file. Raises ValueError in words.

    All names are whole: a dot at the end makes no difference.
    """
    number = kind_of(kind) if isinstance(kind, str) else kind
    if not 0 <= ttl_s <= MAX_TTL_S:
        raise ValueError(f"a time to live of {ttl_s} s is outside 0 to {MAX_TTL_S}")
    try:
        its_type = dns.rdatatype.RdataType.make(number)
        data = dns.rdata.from_text(
            dns.rdataclass.IN, its_type, text, dns.name.root, False, idna_codec=CODEC
        )
    except (dns.exception.DNSException, ValueError, OverflowError) as error:
        words = str(error) or type(error).__name__
        raise ValueError(f"{text!r} is not data of {kind_name(number)}: {words}") from error
    return Record(canonical(name), number, ttl_s, data)


def canonical(name: str) -> str:
    """Return a name as names are here; other alphabets by IDNA. Raises ValueError for no name."""
    return _text_of(_name_of(name))


def reversed_name(address: str) -> str:
    """Return the name whose PTR is an address's name (RFC 1035 section 3.5, RFC 3596 2.5)."""
    try:
        return _text_of(dns.reversename.from_address(address))
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{address!r} is not an address") from error


def reversed_address(name: str) -> str | None:
    """Return the address that "4.3.2.10.in-addr.arpa" asks for; None for other names."""
    if not name.endswith((".in-addr.arpa", ".ip6.arpa")):
        return None
    try:
        return dns.reversename.to_address(_name_of(name))
    except (dns.exception.DNSException, ValueError):
        return None


def kind_of_address(text: str) -> int:
    """Return the kind of the records that hold such an address: A or AAAA."""
    return AAAA if ":" in text else A


def kind_name(kind: int) -> str:
    """Return "AAAA" for 28; "TYPE65280" for what has no name."""
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(kind))


def kind_of(name: str) -> int:
    """Return 28 for "AAAA", in any case. Raises ValueError."""
    try:
        return int(dns.rdatatype.from_text(name))
    except (dns.exception.DNSException, ValueError) as error:
        raise ValueError(f"{name!r} is not a type of DNS records") from error


def rcode_name(rcode: int) -> str:
    """Return "NXDOMAIN" for 3."""
    return _RCODES.get(rcode, f"RCODE{rcode}")


def _text_of(name: dns.name.Name) -> str:
    # dnspython writes the root as a dot even where it is to leave the last one out.
    return "" if len(name) <= 1 else name.to_text(omit_final_dot=True).lower()


def _name_of(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text, idna_codec=CODEC)
    except (dns.exception.DNSException, ValueError) as error:
        words = str(error) or type(error).__name__
        raise ValueError(f"{text!r} is not a name for DNS: {words}") from error


class _Parser(dns.wire.Parser):
    """Counts what names cost: a pointer to a long one is short."""

    labels_left = 0

    def get_name(
        self, origin: dns.name.Name | None = None, decompress: bool = False
    ) -> dns.name.Name:
        name = super().get_name(origin, decompress)
        self.labels_left -= len(name)
        if self.labels_left < 0:
            raise dns.exception.FormError
        return name

    def get_asked(self) -> tuple[str, dns.name.Name]:
        """Return the name of a question, which is most likely asked for again."""
        start = end = self.current
        while 0 < self.wire[end] < 64:  # labels; a pointer is no less than that
            end += 1 + self.wire[end]
        if self.wire[end]:
            name = self.get_name(None, True)
            return _text_of(name), name
        self.current = end + 1
        return _asked(self.wire[start : self.current])


@lru_cache(maxsize=1024)
def _asked(wire: bytes) -> tuple[str, dns.name.Name]:
    return _text_of(name := dns.name.from_wire(wire, 0)[0]), name


def _parse_records(parser: _Parser, count: int, opt_of: Message | None) -> tuple[Record, ...]:
    """Read one section; what its OPT record says goes to `opt_of`, None where none may be."""
    records: list[Record] = []
    for _ in range(count):
        name = parser.get_name(None, True)
        kind, klass, ttl_s, size = parser.get_struct("!HHIH")
        with parser.restrict_to(size):
            if kind == OPT:
                parser.get_remaining()
                if opt_of is None or opt_of.edns is not None or len(name) > 1:
                    raise WireError("dns_bad_opt")
                opt_of.edns = Edns(klass, ttl_s >> 16 & 0xFF, bool(ttl_s & _DNSSEC_OK))
                opt_of.rcode |= ttl_s >> 24 << 4
                continue
            data = dns.rdata.from_wire_parser(
                dns.rdataclass.RdataClass.make(klass), dns.rdatatype.RdataType.make(kind), parser
            )
        ttl_s = ttl_s if ttl_s <= MAX_TTL_S else 0  # RFC 2181 section 8
        records.append(Record(_text_of(name), kind, ttl_s, data, klass))
    return tuple(records)


def _write_name(out: BytesIO, compress: _Places, name: dns.name.Name) -> None:
    # What dnspython does for compression grows with the square of a name's labels, and a stranger
    # may ask for 127.
    if compress is None or len(name) > _COMPRESSED_LABELS:
        out.write(name.to_wire() or b"")
    else:
        name.to_wire(out, compress)


def _note_owner(owners: dict[str, bytes], name: str, at: int) -> None:
    """Remember how a name that begins there is written from now on (RFC 1035 section 4.1.4)."""
    if name and at <= _POINTER_MAX:
        owners.setdefault(name, (_POINTER | at).to_bytes(2, "big"))


def _pack_records(
    out: BytesIO,
    compress: _Places,
    owners: dict[str, bytes],
    records: Sequence[Record],
    room: int,
) -> int:
    """Write as many records as there is room for; return how many.

    `owners`: pointers to the names that records have, which spares what `compress` costs.
    """
    for count, each in enumerate(records):
        start = out.tell()
        owner = owners.get(each.name)
        if owner is None:
            _note_owner(owners, each.name, start)
            _write_name(out, compress, _name_of(each.name))
        else:
            out.write(owner)
        fixed = out.tell()
        out.write(bytes(_RECORD.size))
        each.data.to_wire(out, compress)
        end = out.tell()
        if end > room:
            out.truncate(start)
            out.seek(start)
            return count
        out.seek(fixed)
        size = end - fixed - _RECORD.size
        out.write(_RECORD.pack(each.kind, each.klass, each.ttl_s, size))
        out.seek(end)
    return len(records)
