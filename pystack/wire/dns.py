"""DNS messages (RFC 1035), as far as a server needs them that answers from a table of hosts.

One question in, one answer out. Hostile bytes raise only `WireError`: a query has no compressed
names, so what is one here is not followed but refused, and nothing can go in circles.
"""

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip4
from pystack.core.errors import WireError

PORT: Final = 53

# RFC 1035 section 3.2.2, RFC 3596 section 2.1, RFC 1035 section 3.2.3, and class IN of 3.2.4
A: Final = 1
PTR: Final = 12
AAAA: Final = 28
ANY: Final = 255
IN: Final = 1

# RFC 1035 section 4.1.1
NO_ERROR: Final = 0
NOT_IMPLEMENTED: Final = 4
NAME_ERROR: Final = 3  # "NXDOMAIN"
REFUSED: Final = 5

_QR: Final = 0x8000  # it is a response
_OPCODE: Final = 0x7800
_AA: Final = 0x0400  # from who knows, not from hearsay
_RD: Final = 0x0100
_RA: Final = 0x0080

_HEADER: Final = struct.Struct("!HHHHHH")
_QUESTION_TAIL: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHHIH")  # after the name: type, class, TTL, length of data
_NAME_OF_QUESTION: Final = 0xC000 | 12  # RFC 1035 section 4.1.4: a pointer to byte 12
_LABEL_MAX_BYTES: Final = 63
_NAME_MAX_BYTES: Final = 255


@dataclass(frozen=True, slots=True)
class Query:
    """One question, and what the answer has to repeat of it."""

    ident: int
    name: str  # in lower case, without the dot at its end; "" is the root
    kind: int
    klass: int
    is_standard: bool  # False: an update, a status request, ...
    recursion_desired: bool
    question: bytes  # as it stands in the message: the letters' case is the asker's own


def parse_query(data: bytes) -> Query:
    """Read a query. Raises WireError for anything else, answers included."""
    if len(data) < _HEADER.size:
        raise WireError("dns_truncated")
    ident, flags, questions, _, _, _ = _HEADER.unpack_from(data)
    if flags & _QR:
        raise WireError("dns_not_a_query")
    if questions != 1:
        raise WireError("dns_not_one_question")
    name, end = _parse_name(data, _HEADER.size)
    if len(data) < end + _QUESTION_TAIL.size:
        raise WireError("dns_truncated")
    kind, klass = _QUESTION_TAIL.unpack_from(data, end)
    question = bytes(data[_HEADER.size : end + _QUESTION_TAIL.size])
    return Query(ident, name, kind, klass, not flags & _OPCODE, bool(flags & _RD), question)


def pack_answer(query: Query, rcode: int, record: tuple[int, bytes] | None = None) -> bytes:
    """Return the answer to a query, with one record (its type and data) or none.

    It may not be kept: its time to live is 0 (RFC 1035 section 3.2.1).
    """
    flags = _QR | _AA | _RA | (_RD if query.recursion_desired else 0) | rcode
    message = _HEADER.pack(query.ident, flags, 1, 0 if record is None else 1, 0, 0)
    message += query.question
    if record is None:
        return message
    kind, data = record
    return message + _RECORD.pack(_NAME_OF_QUESTION, kind, IN, 0, len(data)) + data


def pack_name(name: str) -> bytes:
    """Return a name as records have it. Raises ValueError where it cannot be one."""
    labels = [label.encode("ascii") for label in name.rstrip(".").split(".") if name]
    if any(not 0 < len(label) <= _LABEL_MAX_BYTES for label in labels):
        raise ValueError(f"{name!r} is no name for DNS: a part has 1 to 63 letters")
    packed = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    if len(packed) > _NAME_MAX_BYTES:
        raise ValueError(f"{name!r} is too long for DNS")
    return packed


def reversed_address(name: str) -> Ip4 | None:
    """Return the address that "4.3.2.10.in-addr.arpa" asks for (RFC 1035 3.5); None for others."""
    labels = name.split(".")
    if len(labels) != 6 or labels[4:] != ["in-addr", "arpa"]:
        return None
    value = 0
    for label in reversed(labels[:4]):
        if not (label.isascii() and label.isdigit() and len(label) <= 3) or int(label) > 255:
            return None
        value = value << 8 | int(label)
    return Ip4(value)


def _parse_name(data: bytes, at: int) -> tuple[str, int]:
    """Return the name that begins there, and where it has ended."""
    labels: list[str] = []
    start = at
    while True:
        if at >= len(data):
            raise WireError("dns_truncated")
        size = data[at]
        at += 1
        if not size:
            return ".".join(labels), at
        if size > _LABEL_MAX_BYTES:
            raise WireError("dns_compressed_question")
        label = data[at : at + size]
        at += size
        if len(label) < size or at - start >= _NAME_MAX_BYTES:
            raise WireError("dns_truncated" if len(label) < size else "dns_long_name")
        # Of other alphabets than ASCII there are no names here; they are told apart all the same.
        labels.append(label.decode("latin-1").lower())
