"""The blocks of a pcapng file (draft-ietf-opsawg-pcapng), as bytes.

One section, little-endian, with nanoseconds. Nothing of the machine is in it, so that a run that is
the same is so to the byte.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from pystack.core.addresses import is_v6, pack_ip6, parse_ip

SECTION: Final = 0x0A0D0D0A
INTERFACE: Final = 1
NAMES: Final = 4
STATISTICS: Final = 5
PACKET: Final = 6
SECRETS: Final = 10

_HEAD: Final = struct.Struct("<II")  # type and total length, which is repeated at the end
_LENGTH: Final = struct.Struct("<I")
_OPTION: Final = struct.Struct("<HH")
_SECTION: Final = struct.Struct("<IHHq")
_INTERFACE: Final = struct.Struct("<HHI")
_PACKET_HEAD: Final = struct.Struct("<IIIIIII")
_STATISTICS: Final = struct.Struct("<III")
_SECRETS: Final = struct.Struct("<II")
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_INSTANT: Final = struct.Struct("<II")

_BYTE_ORDER: Final = 0x1A2B3C4D
_TLS_KEY_LOG: Final = 0x544C534B
_IPV4, _IPV6 = 1, 2  # records of a block of names
# Options, by the names that the draft gives them
_COMMENT: Final = 1
_SHB_USERAPPL: Final = 4
_IF_NAME, _IF_DESCRIPTION, _IF_TSRESOL = 2, 3, 9
_EPB_FLAGS, _EPB_DROPCOUNT = 2, 4
_ISB_STARTTIME, _ISB_ENDTIME, _ISB_IFRECV, _ISB_OSDROP = 2, 3, 4, 7
_NANOSECONDS: Final = b"\x09"
INBOUND, OUTBOUND = 1, 2  # in the flags of a packet
_MOST_OPTION_BYTES: Final = 0xFFFF

Options = Iterable[tuple[int, bytes]]


def section(program: str) -> bytes:
    """Return what a file begins with."""
    fixed = _SECTION.pack(_BYTE_ORDER, 1, 0, -1)
    return _block(SECTION, fixed, [(_SHB_USERAPPL, program.encode())])


def interface(name: str, description: str, link_type: int, snaplen_bytes: int) -> bytes:
    """Return what introduces a place where frames are seen; they are numbered from 0."""
    options = [(_IF_NAME, _text(name)), (_IF_TSRESOL, _NANOSECONDS)]
    if description:
        options.insert(1, (_IF_DESCRIPTION, _text(description)))
    return _block(INTERFACE, _INTERFACE.pack(link_type, 0, snaplen_bytes), options)


def packet(
    number: int,
    at_ns: int,
    size: int,
    original_bytes: int,
    *,
    comment: str = "",
    flags: int = 0,
    dropped: int = 0,
) -> tuple[bytes, bytes]:
    """Return what is before and behind the `size` bytes of a frame, seen at interface `number`.

    `dropped`: frames that are missing before it (HOT).
    """
    padding = -size % 4
    if not (comment or dropped):
        behind = _FLAGS[flags]
        length = 32 + size + padding + len(behind)
        return (
            _PACKET_HEAD.pack(
                PACKET, length, number, at_ns >> 32, at_ns & 0xFFFFFFFF, size, original_bytes
            ),
            bytes(padding) + behind + _LENGTH.pack(length),
        )
    options: list[tuple[int, bytes]] = []
    if comment:
        options.append((_COMMENT, _text(comment)))
    if flags:
        options.append((_EPB_FLAGS, _U32.pack(flags)))
    if dropped:
        options.append((_EPB_DROPCOUNT, _U64.pack(dropped)))
    behind = bytes(padding) + _options(options)
    length = 32 + size + len(behind)
    return (
        _PACKET_HEAD.pack(
            PACKET, length, number, at_ns >> 32, at_ns & 0xFFFFFFFF, size, original_bytes
        ),
        behind + _LENGTH.pack(length),
    )


def names(by_address: Mapping[str, str]) -> bytes:
    """Return the names of hosts by their addresses, in text."""
    records = []
    for text, name in by_address.items():
        address = parse_ip(text.partition("%")[0])
        v6 = is_v6(address)
        raw = pack_ip6(address) if v6 else address.to_bytes(4, "big")
        kind, value = _IPV6 if v6 else _IPV4, raw + name.encode() + b"\0"
        records.append(_padded(_OPTION.pack(kind, len(value)), value))
    return _block(NAMES, b"".join(records) + bytes(4), ())


def secrets(key_log: bytes) -> bytes:
    """Return what decrypts TLS, in NSS' key log format; it has to come before what needs it."""
    fixed = _padded(_SECRETS.pack(_TLS_KEY_LOG, len(key_log)), key_log)
    return _block(SECRETS, fixed, ())


def statistics(number: int, began_ns: int, ended_ns: int, received: int, dropped: int) -> bytes:
    """Return the counts of an interface: frames that are in the file, and that are missing."""
    return _block(
        STATISTICS,
        _STATISTICS.pack(number, ended_ns >> 32, ended_ns & 0xFFFFFFFF),
        [
            (_ISB_STARTTIME, _INSTANT.pack(began_ns >> 32, began_ns & 0xFFFFFFFF)),
            (_ISB_ENDTIME, _INSTANT.pack(ended_ns >> 32, ended_ns & 0xFFFFFFFF)),
            (_ISB_IFRECV, _U64.pack(received + dropped)),
            (_ISB_OSDROP, _U64.pack(dropped)),
        ],
    )


def _block(kind: int, fixed: bytes, options: Options) -> bytes:
    body = fixed + _options(options)
    length = 12 + len(body)
    return b"".join((_HEAD.pack(kind, length), body, _LENGTH.pack(length)))


def _options(options: Options) -> bytes:
    parts = [_padded(_OPTION.pack(code, len(value)), value) for code, value in options]
    if parts:
        parts.append(bytes(4))  # opt_endofopt
    return b"".join(parts)


def _padded(head: bytes, value: bytes) -> bytes:
    return b"".join((head, value, bytes(-len(value) % 4)))


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace")[:_MOST_OPTION_BYTES]


# The options of most frames: none, or the direction alone
_FLAGS: Final = (
    b"",
    _options([(_EPB_FLAGS, _U32.pack(INBOUND))]),
    _options([(_EPB_FLAGS, _U32.pack(OUTBOUND))]),
)
