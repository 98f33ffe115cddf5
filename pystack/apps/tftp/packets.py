"""The packets of TFTP (RFC 1350), with options (RFC 2347).

Block numbers are those on the wire, 16 bits; where they begin anew is the transfer's business.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from pystack.core.errors import WireError

MAX_REQUEST_BYTES: Final = 512  # RFC 2347
_HEADER_BYTES: Final = 4
_READ, _WRITE, _DATA, _ACK, _ERROR, _OPTION_ACK = range(1, 7)

UNDEFINED, NOT_FOUND, ACCESS_VIOLATION, DISK_FULL, ILLEGAL, UNKNOWN_ID, EXISTS = range(7)


class Request(NamedTuple):
    """Asks for a file, or to take one."""

    is_write: bool
    name: bytes
    mode: str  # "octet", "netascii"; in lower case
    options: Mapping[str, str]  # names in lower case


class Data(NamedTuple):
    """One block."""

    block: int
    payload: bytes


class Ack(NamedTuple):
    """All blocks up to this one have come."""

    block: int


class Error(NamedTuple):
    """The end of a transfer."""

    code: int
    text: str


class OptionAck(NamedTuple):
    """The options that a server takes, as it takes them."""

    options: Mapping[str, str]


Packet: TypeAlias = Request | Data | Ack | Error | OptionAck


def parse(packet: bytes) -> Packet:
    """Read a packet. Raises WireError."""
    if len(packet) < 2:
        raise WireError("tftp_truncated")
    kind, rest = int.from_bytes(packet[:2], "big"), packet[2:]
    if kind in (_READ, _WRITE):
        if len(packet) > MAX_REQUEST_BYTES:
            raise WireError("tftp_bad_request")
        name, mode, *words = _texts(rest, least=2)
        return Request(kind == _WRITE, name, _word(mode), _options(words))
    if kind == _OPTION_ACK:
        return OptionAck(_options(_texts(rest, least=0)))
    if not _DATA <= kind <= _ERROR:
        raise WireError("tftp_bad_opcode")
    if len(packet) < _HEADER_BYTES:
        raise WireError("tftp_truncated")
    number = int.from_bytes(rest[:2], "big")
    if kind == _DATA:
        return Data(number, rest[2:])
    if kind == _ACK:
        return Ack(number)
    return Error(number, rest[2:].partition(b"\0")[0].decode("ascii", "backslashreplace"))


def pack_request(request: Request) -> bytes:
    """Return what asks for it."""
    kind = _WRITE if request.is_write else _READ
    head = kind.to_bytes(2, "big") + request.name + b"\0" + request.mode.encode("ascii") + b"\0"
    return head + _pack_options(request.options)


def pack_data(block: int, payload: bytes) -> bytes:
    """Return a block."""
    return b"\0\3" + (block & 0xFFFF).to_bytes(2, "big") + payload


def pack_ack(block: int) -> bytes:
    """Return the acknowledgment of a block and of all before it."""
    return b"\0\4" + (block & 0xFFFF).to_bytes(2, "big")


def pack_error(code: int, text: str) -> bytes:
    """Return what ends a transfer."""
    return b"\0\5" + code.to_bytes(2, "big") + text.encode("ascii", "replace") + b"\0"


def pack_option_ack(options: Mapping[str, str]) -> bytes:
    """Return the options that are taken."""
    return b"\0\6" + _pack_options(options)


def _texts(data: bytes, *, least: int) -> list[bytes]:
    """Return the strings, each of which ends with a NUL."""
    *texts, end = data.split(b"\0")
    if end or len(texts) < least or (len(texts) - least) % 2:
        raise WireError("tftp_bad_request")
    return texts


def _options(words: list[bytes]) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        # "An option may only be specified once" (RFC 2347): the first one holds.
        options.setdefault(_word(name), _word(value))
    return options


def _word(text: bytes) -> str:
    return text.decode("ascii", "backslashreplace").lower()


def _pack_options(options: Mapping[str, str]) -> bytes:
    return b"".join(f"{name}\0{value}\0".encode("ascii") for name, value in options.items())
