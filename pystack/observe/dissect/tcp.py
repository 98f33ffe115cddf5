"""TCP (RFC 9293) and its options."""

from collections.abc import Callable
from typing import Final

from pystack.observe import amounts
from pystack.observe.dissect.layout import (
    Dissection,
    Field,
    Layer,
    decimal,
    flag,
    hex16,
)
from pystack.observe.dissect.ports import port_name
from pystack.observe.dissect.sums import pseudo, said_of_sum
from pystack.wire import ipv4, tcp, tcp_options
from pystack.wire.options import END, NO_OPERATION, walk

_TCP: Final = (
    Field("Source Port", 16, decimal, port_name),
    Field("Destination Port", 16, decimal, port_name),
    Field("Sequence Number", 32, decimal, "of the first byte of text here"),
    Field("Acknowledgment Number", 32),
    Field("Data Offset", 4, decimal, lambda words: f"the header has {amounts.size(4 * words)}"),
    Field("Reserved", 3),
    flag("AE", "accurate ECN: with the next two a count of marks modulo 8, or asked for by a SYN"),
    flag("CWR", "congestion window reduced: the sender has heard of a mark"),
    flag("ECE", "a packet came marked: slow down"),
    flag("URG", "the urgent pointer counts"),
    flag("ACK", "the acknowledgment number counts"),
    flag("PSH", "give it to the program without waiting for more"),
    flag("RST", "reset: the connection is over at once, or there is none"),
    flag("SYN", "synchronize: the sender's first sequence number"),
    flag("FIN", "finish: the sender has nothing more to say"),
    Field("Window", 16, decimal, "room at the sender, before scaling"),
    Field("Checksum", 16, hex16),
    Field("Urgent Pointer", 16),
)
_NAMES: Final = tuple(each.name for each in _TCP)
_ACK_AT: Final = _NAMES.index("Acknowledgment Number")
_OFFSET_AT: Final = _NAMES.index("Data Offset")
_HAS_ACK_AT: Final = _NAMES.index("ACK")
_SYN_AT: Final = _NAMES.index("SYN")

_KINDS: Final = {
    END: "End of Option List",
    NO_OPERATION: "No-Operation: aligns what follows",
    tcp_options.MSS: "Maximum Segment Size",
    tcp_options.WINDOW_SCALE: "Window Scale",
    tcp_options.SACK_PERMITTED: "SACK-Permitted: selective acknowledgments are welcome",
    tcp_options.SACK: "SACK: what has arrived beyond a gap",
    tcp_options.TIMESTAMPS: "Timestamps",
    tcp_options.FAST_OPEN: "Fast Open",
    19: "MD5 signature (RFC 2385)",
    28: "User Timeout (RFC 5482)",
    29: "TCP-AO (RFC 5925)",
    30: "Multipath TCP (RFC 8684)",
    tcp_options.ACCURATE_ECN_0: "Accurate ECN, order 0",
    tcp_options.ACCURATE_ECN_1: "Accurate ECN, order 1",
    253: "experiment (RFC 6994)",
    254: "experiment (RFC 6994)",
}
_KIND: Final = Field("Kind", 8, decimal, _KINDS)
_LENGTH: Final = Field("Length", 8, decimal, "bytes of the option")
_MSS: Final = Field("Maximum Segment Size", 16, decimal, "the most text it takes in a segment")
_SHIFT: Final = Field(
    "shift.cnt", 8, decimal, lambda shift: f"its windows count in units of {1 << min(shift, 14)}"
)
_TIMESTAMPS: Final = (
    Field("TSval", 32, decimal, "the sender's clock"),
    Field("TSecr", 32, decimal, "the other's clock, echoed"),
)
_EE0B: Final = Field("EE0B", 24, decimal, "bytes that came with ECT(0), and one, modulo 2**24")
_ECEB: Final = Field("ECEB", 24, decimal, "bytes that came marked, modulo 2**24")
_EE1B: Final = Field("EE1B", 24, decimal, "bytes that came with ECT(1), and one, modulo 2**24")
_ACCURATE_ECN: Final = {
    tcp_options.ACCURATE_ECN_0: (_EE0B, _ECEB, _EE1B),
    tcp_options.ACCURATE_ECN_1: (_EE1B, _ECEB, _EE0B),
}
_BLOCK: Final = (
    Field("Left Edge of Block", 32, decimal, "has arrived from here"),
    Field("Right Edge of Block", 32, decimal, "to before here"),
)


def lay_tcp(
    whole: Dissection,
    start: int,
    end: int,
    ends: tuple[int, int] | None,
    inside: Callable[[Dissection, int, int, int, int], None],
    *,
    complete: bool,
) -> None:
    """Take apart a segment; `inside` its text, by ports. `complete`: all of it is here."""
    layer = whole.layer("transport", (4,), "TCP segment", start, end)
    numbers = layer.lay(_TCP)
    if numbers is None:
        return
    header_bytes = numbers[_OFFSET_AT] * 4
    if header_bytes < tcp.HEADER_BYTES:
        layer.explain("Data Offset", "impossible: the header is larger")
        header_bytes = tcp.HEADER_BYTES
    _lay_options(layer, min(start + header_bytes, layer.end))
    layer.close()
    data = whole.data[start : layer.end]
    total = pseudo(ends, ipv4.TCP, len(data))
    if total is not None:
        layer.explain("Checksum", said_of_sum(data, tcp.CHECKSUM_OFFSET, total, whole=complete))
    if numbers[_HAS_ACK_AT]:
        meaning = f"all before byte {numbers[_ACK_AT]} has arrived; this one is expected"
        layer.explain("Acknowledgment Number", meaning)
    else:
        layer.explain("Acknowledgment Number", "does not count: the flag ACK is not set")
    if numbers[_SYN_AT]:
        layer.explain("Sequence Number", "the initial one: text begins one above it")
        layer.explain("Window", "room at the sender; never scaled in a SYN")
    if layer.at < layer.end:
        inside(whole, layer.at, layer.end, numbers[0], numbers[1])


def _lay_options(layer: Layer, end: int) -> None:
    start = layer.at
    data = layer.data[start:end]
    for kind, at, length in walk(data):
        layer.one(_KIND)
        if length == 1:
            continue
        layer.one(_LENGTH)
        stop = start + at + length
        _lay_option(layer, kind, length - 2, data[at + 2 : at + length])
        layer.take("option data", stop - layer.at)
    ended = END in (kind for kind, _, _ in walk(data))
    meaning = "padding up to whole words" if ended or not any(data) else "malformed option"
    layer.take("Padding" if ended else "options", end - layer.at, meaning=meaning)


def _lay_option(layer: Layer, kind: int, size: int, body: bytes) -> None:
    if kind == tcp_options.MSS and size == 2:
        layer.one(_MSS)
    elif kind == tcp_options.WINDOW_SCALE and size == 1:
        layer.one(_SHIFT)
    elif kind == tcp_options.TIMESTAMPS and size == 8:
        layer.lay(_TIMESTAMPS)
    elif kind == tcp_options.SACK and size and not size % 8:
        for _ in range(size // 8):
            layer.lay(_BLOCK)
    elif kind in _ACCURATE_ECN and size in (3, 6, 9):
        layer.lay(_ACCURATE_ECN[kind][: size // 3])
    elif kind == tcp_options.FAST_OPEN:
        layer.take("Fast Open Cookie", size)
        if not size:
            layer.explain("Length", "bytes of the option: no cookie, it asks for one")
    elif kind in tcp_options.EXPERIMENTS and size >= 2:
        is_cookie = int.from_bytes(body[:2], "big") == tcp_options.FAST_OPEN_EXPERIMENT
        layer.one(Field("ExID", 16, hex16, "Fast Open, in its old form" if is_cookie else ""))
        layer.take("Fast Open Cookie" if is_cookie else "experiment", size - 2)
    elif kind == 28 and size == 2:
        layer.lay(
            (Field("G", 1, decimal, {0: "in seconds", 1: "in minutes"}), Field("User Timeout", 15))
        )
