"""TCP options in a packet's line, and back: `<mss 1460,nop,nop,sackOK>`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

from pystack.testing.packetdrill.lexer import Cursor, Kind
from pystack.testing.packetdrill.script import TcpOption
from pystack.wire import tcp_options
from pystack.wire.options import END, NO_OPERATION, walk

MD5: Final = 19
FAST_OPEN: Final = 34  # RFC 7413
EXPERIMENT: Final = 254  # RFC 6994
FAST_OPEN_MAGIC: Final = b"\xf9\x89"
ACCURATE_ECN_0: Final = 172  # RFC 9768: counters in the order e0b ceb e1b
ACCURATE_ECN_1: Final = 174  # e1b ceb e0b
_MAX_BYTES: Final = 40


def parse_options(cursor: Cursor, *, inbound: bool) -> tuple[TcpOption, ...] | None:
    """Read the options, if there are any; None for `<...>`."""
    start = cursor.here
    if not cursor.is_symbol("<"):
        return ()
    cursor.take()
    if cursor.here.kind is Kind.ELLIPSIS:
        if inbound:
            raise cursor.fault("<...> is for segments that the host sends")
        cursor.take()
        cursor.expect(">", "after <...")
        return None
    options: list[TcpOption] = []
    while True:
        options.append(_option(cursor))
        if cursor.accept(">"):
            break
        cursor.expect(",", "or '>' after an option")
    if len(pack(options)) > _MAX_BYTES:
        raise cursor.fault(f"the options take more than {_MAX_BYTES} bytes", start)
    return tuple(options)


def pack(options: Iterable[TcpOption]) -> bytes:
    """Return options as a header has them, padded with zeros to whole words."""
    data = b"".join(
        bytes((option.kind,))
        if option.data is None
        else bytes((option.kind, 2 + len(option.data))) + option.data
        for option in options
    )
    return data + bytes(-len(data) % 4)


def unpack(data: bytes) -> list[TcpOption]:
    """Return a header's options up to their end; one that is cut short is the last."""
    found: list[TcpOption] = []
    end = 0
    for kind, at, length in walk(data):
        end = at + length
        found.append(TcpOption(kind, data[at + 2 : end] if length > 1 else None))
    rest = data[end:]
    if found and found[-1].kind == END:
        # Padding; what it is not made of is shown too.
        return [*found, *unpack(rest)] if any(rest) else found
    if rest:
        found.append(TcpOption(rest[0], rest[2 : rest[1] if len(rest) > 1 else 0]))
    return found


def describe(options: Iterable[TcpOption]) -> str:
    """Return options as a line has them."""
    return ",".join(_describe(option) for option in options)


def _describe(option: TcpOption) -> str:
    kind, data = option.kind, option.data
    if kind == END:
        return "eol"
    if data is None:
        return "nop"
    size = len(data)
    if kind == tcp_options.MSS and size == 2:
        return f"mss {int.from_bytes(data, 'big')}"
    if kind == tcp_options.WINDOW_SCALE and size == 1:
        return f"wscale {data[0]}"
    if kind == tcp_options.SACK_PERMITTED and not data:
        return "sackOK"
    if kind == tcp_options.SACK and size and size % 8 == 0:
        blocks = struct.iter_unpack("!II", data)
        return "sack " + " ".join(f"{left}:{right}" for left, right in blocks)
    if kind == tcp_options.TIMESTAMPS and size == 8:
        value, echo = struct.unpack("!II", data)
        return f"TS val {value} ecr {echo}"
    if kind == FAST_OPEN:
        return f"FO {data.hex()}".rstrip()
    if kind == EXPERIMENT and data.startswith(FAST_OPEN_MAGIC):
        return f"FOEXP {data[2:].hex()}".rstrip()
    if kind in _ACCURATE_ECN_ORDER:
        names = _ACCURATE_ECN_ORDER[kind]
        counters = [data[at : at + 3] for at in range(0, size, 3)]
        shown = (
            f"{name} {int.from_bytes(part, 'big')}"
            for name, part in zip(names, counters, strict=False)
        )
        return "ECN " + " ".join(shown)
    return f"kind {kind} {data.hex()}".rstrip()


def _option(cursor: Cursor) -> TcpOption:
    token = cursor.take()
    reader = _READERS.get(token.text) if token.kind is Kind.WORD else None
    if reader is None:
        raise cursor.fault(f"{token} is none of the TCP options {' '.join(_READERS)}", token)
    return reader(cursor)


def _mss(cursor: Cursor) -> TcpOption:
    return TcpOption(tcp_options.MSS, cursor.integer("mss", 0xFFFF).to_bytes(2, "big"))


def _wscale(cursor: Cursor) -> TcpOption:
    return TcpOption(tcp_options.WINDOW_SCALE, bytes((cursor.integer("wscale", 0xFF),)))


def _sack(cursor: Cursor) -> TcpOption:
    data = b""
    while True:
        left = cursor.integer("a SACK block's left edge")
        cursor.expect(":", "between the edges of a SACK block")
        data += struct.pack("!II", left, cursor.integer("a SACK block's right edge"))
        if cursor.here.kind is not Kind.INTEGER:
            return TcpOption(tcp_options.SACK, data)


def _timestamps(cursor: Cursor) -> TcpOption:
    words = []
    for name in ("val", "ecr"):
        if not cursor.accept_word(name):
            raise cursor.fault(f"{name} is missing: TS val NUMBER ecr NUMBER")
        words.append(cursor.integer(f"TS {name}"))
    return TcpOption(tcp_options.TIMESTAMPS, struct.pack("!II", *words))


def _hexadecimal(cursor: Cursor) -> bytes:
    if cursor.here.kind not in (Kind.WORD, Kind.INTEGER, Kind.HEX):
        return b""
    token = cursor.take()
    try:
        return bytes.fromhex(token.text.removeprefix("0x"))
    except ValueError:
        raise cursor.fault(f"{token} is not an even number of hex digits", token) from None


def _accurate_ecn(cursor: Cursor) -> TcpOption:
    start = cursor.here
    names: list[str] = []
    data = b""
    while cursor.is_word("e0b", "e1b", "ceb"):
        names.append(cursor.take().text)
        data += cursor.integer(names[-1], 0xFFFFFF).to_bytes(3, "big")
    for kind, order in _ACCURATE_ECN_ORDER.items():
        if tuple(names) == order[: len(names)]:
            return TcpOption(kind, data)
    raise cursor.fault("the counters of ECN are e0b ceb e1b, or e1b ceb e0b", start)


def _any_kind(cursor: Cursor) -> TcpOption:
    kind = cursor.integer("an option's kind", 0xFF)
    if kind in (END, NO_OPERATION):
        return TcpOption(kind, None)
    return TcpOption(kind, _hexadecimal(cursor))


_ACCURATE_ECN_ORDER: Final = {
    ACCURATE_ECN_0: ("e0b", "ceb", "e1b"),
    ACCURATE_ECN_1: ("e1b", "ceb", "e0b"),
}
_READERS: Final[dict[str, Callable[[Cursor], TcpOption]]] = {
    "nop": lambda _: TcpOption(NO_OPERATION, None),
    "eol": lambda _: TcpOption(END, None),
    "mss": _mss,
    "wscale": _wscale,
    "sackOK": lambda _: TcpOption(tcp_options.SACK_PERMITTED, b""),
    "sack": _sack,
    "TS": _timestamps,
    "FO": lambda cursor: TcpOption(FAST_OPEN, _hexadecimal(cursor)),
    "FOEXP": lambda cursor: TcpOption(EXPERIMENT, FAST_OPEN_MAGIC + _hexadecimal(cursor)),
    "md5": lambda cursor: TcpOption(MD5, _hexadecimal(cursor)),
    "ECN": _accurate_ecn,
    "kind": _any_kind,
}
