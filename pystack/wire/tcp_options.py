"""TCP options: MSS (RFC 9293), window scale and timestamps (7323), SACK (2018), Fast Open (7413),
and the counters of accurate ECN (9768).

Reading is for ever lenient (RFC 9293 MUST-7): what is malformed ends the list, what is unknown is
stepped over, and neither is an error.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pystack.wire.checksum import Buffer
from pystack.wire.options import NO_OPERATION, walk

MSS: Final = 2
WINDOW_SCALE: Final = 3
SACK_PERMITTED: Final = 4
SACK: Final = 5
TIMESTAMPS: Final = 8
FAST_OPEN: Final = 34
ACCURATE_ECN_0: Final = 172  # EE0B, ECEB, EE1B
ACCURATE_ECN_1: Final = 174  # EE1B, ECEB, EE0B
EXPERIMENTS: Final = (253, 254)  # RFC 4727; the first two bytes say which (RFC 6994)
FAST_OPEN_EXPERIMENT: Final = 0xF989  # RFC 7413 appendix: what Fast Open was before it had a kind

# The timestamps option alone, aligned by two NOPs as RFC 7323 appendix A recommends and everybody
# sends it: NOP, NOP, kind and length as one word, TSval, TSecr.
ALIGNED_TIMESTAMPS: Final = struct.Struct("!III")
TIMESTAMPS_LEAD: Final = NO_OPERATION << 24 | NO_OPERATION << 16 | TIMESTAMPS << 8 | 10
MAX_BYTES: Final = 40  # what a header has room for

# The options of nearly every SYN and SYN-ACK, in the order of Linux: each with its kind and length
# before it, and NOPs so that they are aligned.
_SYN: Final = struct.Struct("!HHIII3sB")
_MSS_LEAD: Final = MSS << 8 | 4
_SACK_LEAD: Final = SACK_PERMITTED << 24 | 2 << 16 | TIMESTAMPS << 8 | 10
_WSCALE_LEAD: Final = bytes((NO_OPERATION, WINDOW_SCALE, 3))

_FAST_OPEN_MAGIC: Final = FAST_OPEN_EXPERIMENT.to_bytes(2, "big")
_TWO_WORDS: Final = struct.Struct("!II")


@dataclass(frozen=True, slots=True)
class FastOpenCookie:
    """A cookie of Fast Open (RFC 7413 section 4.1.1); without bytes, it asks for one."""

    value: bytes
    experimental: bool = False  # in the form from before it had a kind of its own


@dataclass(frozen=True, slots=True)
class AccurateEcn:
    """The bytes that came with each codepoint, modulo 2**24 (RFC 9768 section 3.2.3).

    None: the field is not there; what is last in the order may be left out.
    """

    e0b: int | None = None
    ceb: int | None = None
    e1b: int | None = None


@dataclass(slots=True)
class TcpOptions:
    """What a header's options said; None and () for what was not there."""

    mss: int | None = None
    wscale: int | None = None
    sack_permitted: bool = False
    timestamps: tuple[int, int] | None = None  # TSval, TSecr
    sack_blocks: tuple[tuple[int, int], ...] = ()
    fast_open: FastOpenCookie | None = None
    accurate_ecn: AccurateEcn | None = None

    def describe(self) -> str:
        """Return them in tcpdump's manner: "mss 1460, wscale 7"."""
        words = []
        if self.mss is not None:
            words.append(f"mss {self.mss}")
        if self.sack_permitted:
            words.append("sackOK")
        if self.timestamps is not None:
            words.append(f"TS val {self.timestamps[0]} ecr {self.timestamps[1]}")
        if self.wscale is not None:
            words.append(f"wscale {self.wscale}")
        if self.sack_blocks:
            blocks = "".join(f"{{{left}:{right}}}" for left, right in self.sack_blocks)
            words.append(f"sack {len(self.sack_blocks)} {blocks}")
        if self.fast_open is not None:
            value = self.fast_open.value
            words.append(f"tfo cookie {value.hex()}" if value else "tfo cookiereq")
        if self.accurate_ecn is not None:
            words.append(describe_accurate_ecn(self.accurate_ecn))
        return ", ".join(words)


def parse(data: Buffer) -> TcpOptions:
    """Read options up to their end, or up to the first that is malformed."""
    options = TcpOptions()
    if len(data) == _SYN.size:
        lead, mss, sack_lead, tsval, tsecr, wscale_lead, wscale = _SYN.unpack(data)
        if lead == _MSS_LEAD and sack_lead == _SACK_LEAD and wscale_lead == _WSCALE_LEAD:
            options.mss = mss
            options.sack_permitted = True
            options.timestamps = tsval, tsecr
            options.wscale = wscale
            return options
    for kind, at, length in walk(data):
        if length > 1:
            _take(options, kind, memoryview(data)[at + 2 : at + length])
    return options


def pack(options: TcpOptions) -> bytes:
    """Return the options padded with NOPs to whole words, in the order that Linux uses."""
    if (
        options.mss is not None
        and options.sack_permitted
        and options.timestamps is not None
        and options.wscale is not None
        and not options.sack_blocks
        and options.fast_open is None
        and options.accurate_ecn is None
    ):
        return _SYN.pack(
            _MSS_LEAD, options.mss, _SACK_LEAD, *options.timestamps, _WSCALE_LEAD, options.wscale
        )
    parts = []
    if options.mss is not None:
        parts.append(struct.pack("!BBH", MSS, 4, options.mss))
    if options.timestamps is not None:
        lead = bytes((SACK_PERMITTED, 2)) if options.sack_permitted else b"\x01\x01"
        parts.append(lead + struct.pack("!BBII", TIMESTAMPS, 10, *options.timestamps))
    elif options.sack_permitted:
        parts.append(bytes((NO_OPERATION, NO_OPERATION, SACK_PERMITTED, 2)))
    if options.wscale is not None:
        parts.append(bytes((NO_OPERATION, WINDOW_SCALE, 3, options.wscale)))
    if options.sack_blocks:
        parts.append(pack_sack(options.sack_blocks))
    if options.fast_open is not None:
        parts.append(_pack_fast_open(options.fast_open))
    told = options.accurate_ecn
    if told is not None:
        parts.append(
            pack_accurate_ecn(told.e0b or 0, told.ceb or 0, told.e1b or 0, fields=3, order=0)
        )
    return b"".join(parts)


def pack_accurate_ecn(e0b: int, ceb: int, e1b: int, *, fields: int, order: int) -> bytes:
    """Return the option with its first so many fields in one of the two orders, padded by NOPs."""
    counters = (e0b, ceb, e1b) if order == 0 else (e1b, ceb, e0b)
    parts = [bytes((ACCURATE_ECN_0 if order == 0 else ACCURATE_ECN_1, 2 + 3 * fields))]
    parts += [(counter & 0xFFFFFF).to_bytes(3, "big") for counter in counters[:fields]]
    parts.append(bytes((NO_OPERATION,)) * (-(2 + 3 * fields) % 4))
    return b"".join(parts)


def describe_accurate_ecn(option: AccurateEcn) -> str:
    """Return "ECN e0b 1 ceb 0 e1b 1", with what is there."""
    told = (("e0b", option.e0b), ("ceb", option.ceb), ("e1b", option.e1b))
    return " ".join(["ECN", *(f"{name} {value}" for name, value in told if value is not None)])


def pack_sack(blocks: Sequence[tuple[int, int]]) -> bytes:
    """Return a SACK option after two NOPs; the numbers are cut to 32 bits."""
    parts = [bytes((NO_OPERATION, NO_OPERATION, SACK, 2 + 8 * len(blocks)))]
    parts += [_TWO_WORDS.pack(left & 0xFFFFFFFF, right & 0xFFFFFFFF) for left, right in blocks]
    return b"".join(parts)


def _pack_fast_open(cookie: FastOpenCookie) -> bytes:
    value = cookie.value
    if cookie.experimental:
        value = _FAST_OPEN_MAGIC + value
        kind = EXPERIMENTS[-1]  # as Linux
    else:
        kind = FAST_OPEN
    option = bytes((kind, 2 + len(value))) + value
    return option + bytes((NO_OPERATION,)) * (-len(option) % 4)


def _is_cookie(value: memoryview) -> bool:
    return not len(value) or (4 <= len(value) <= 16 and len(value) % 2 == 0)


def _accurate_ecn(kind: int, body: memoryview) -> AccurateEcn:
    # Of any other length, the whole fields in it count (section 3.2.3).
    found = [int.from_bytes(body[at : at + 3], "big") for at in range(0, min(len(body), 9) - 2, 3)]
    first, ceb, last = (*found, None, None, None)[:3]
    return (
        AccurateEcn(first, ceb, last) if kind == ACCURATE_ECN_0 else AccurateEcn(last, ceb, first)
    )


def _take(options: TcpOptions, kind: int, body: memoryview) -> None:
    # A known kind with the wrong length is treated as unknown: stepped over.
    length = len(body)
    if kind == MSS and length == 2:
        options.mss = body[0] << 8 | body[1]
    elif kind == WINDOW_SCALE and length == 1:
        options.wscale = body[0]
    elif kind == SACK_PERMITTED and length == 0:
        options.sack_permitted = True
    elif kind == TIMESTAMPS and length == 8:
        options.timestamps = _TWO_WORDS.unpack(body)
    elif kind == SACK and length in (8, 16, 24, 32):
        options.sack_blocks = tuple(_TWO_WORDS.iter_unpack(body))
    elif kind in (ACCURATE_ECN_0, ACCURATE_ECN_1):
        options.accurate_ecn = _accurate_ecn(kind, body)
    elif kind == FAST_OPEN and _is_cookie(body):
        options.fast_open = FastOpenCookie(bytes(body))
    elif kind in EXPERIMENTS and body[:2] == _FAST_OPEN_MAGIC and _is_cookie(body[2:]):
        options.fast_open = FastOpenCookie(bytes(body[2:]), experimental=True)
