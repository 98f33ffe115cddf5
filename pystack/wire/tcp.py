"""The TCP header (RFC 9293 section 3.1). Options are in `tcp_options.py`."""

import struct
from collections.abc import Sequence
from typing import Final

from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, address_sum, checksum
from pystack.wire.ipv4 import TCP
from pystack.wire.packet import Packet

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10
URG: Final = 0x20
ECE: Final = 0x40
CWR: Final = 0x80
AE: Final = 0x100  # once NS

HEADER_BYTES: Final = 20
CHECKSUM_OFFSET: Final = 16
_HEADER: Final = struct.Struct("!HHIIHHHH")


class Segment:
    """One segment. On the wire `seq` and `ack` are 32 bits; `tcp/seq.py` unwraps them."""

    __slots__ = (
        "ack",
        "dst_port",
        "ecn",
        "flags",
        "gso_bytes",
        "more",
        "options",
        "payload",
        "sack_blocks",
        "seq",
        "src_port",
        "tsecr",
        "tsval",
        "up",
        "wnd",
    )

    def __init__(
        self,
        src_port: int,
        dst_port: int,
        seq: int,
        ack: int,
        flags: int,
        wnd: int,
        options: Buffer = b"",
        payload: Buffer = b"",
        *,
        up: int = 0,
        gso_bytes: int = 0,
        ecn: int = 0,
    ) -> None:
        self.src_port = src_port
        self.dst_port = dst_port
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.wnd = wnd
        self.up = up
        self.options = options
        self.payload = payload
        # More text, where it does not lie in one piece; see `in_one_piece`.
        self.more: Sequence[Buffer] = ()
        self.gso_bytes = gso_bytes  # > 0: the port is to cut the payload into pieces of this size
        self.ecn = ecn  # the two ECN bits of the IP header that it came, or is to go, with
        # What the options said; `tcp/arrives.py` fills it in, as far as it was agreed on.
        self.tsval: int | None = None  # None: there is no timestamp
        self.tsecr = 0
        self.sack_blocks: tuple[tuple[int, int], ...] = ()  # unwrapped, like `seq`

    @property
    def text_bytes(self) -> int:
        """Return how much text there is, `more` included."""
        return len(self.payload) + sum(map(len, self.more))

    def in_one_piece(self) -> None:
        """Put all text into `payload`, which is all that most look at."""
        if self.more:
            self.payload = b"".join((self.payload, *self.more))
            self.more = ()

    @property
    def seg_len(self) -> int:
        """Return SEG.LEN: the payload, in one piece, and one each for SYN and FIN."""
        flags = self.flags
        return len(self.payload) + (flags & FIN) + (flags >> 1 & 1)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return (
            f"<Segment {flag_names(self.flags)} seq={self.seq} ack={self.ack} wnd={self.wnd} "
            f"payload={len(self.payload)}>"
        )


def parse(packet: Packet) -> Segment:
    """Read a segment without copying and verify its checksum."""
    text = packet.payload
    addresses = None if packet.checksum_good else address_sum(packet.src, packet.dst)
    return read(text, 0, len(text), addresses, packet.tos)


def read(data: memoryview, start: int, end: int, addresses: int | None, tos: int) -> Segment:
    """Read the segment that lies there, without copying (HOT).

    `addresses`: their sum, to verify the checksum with; None: it is known to be good. `tos`: of the
    IP header. WireError: what is wrong with it.
    """
    length = end - start
    if length < HEADER_BYTES:
        raise WireError("tcp_truncated")
    src_port, dst_port, seq, ack, offset_flags, wnd, _, up = _HEADER.unpack_from(data, start)
    header_bytes = offset_flags >> 10 & 0x3C
    if not HEADER_BYTES <= header_bytes <= length:
        raise WireError("tcp_bad_offset")
    if addresses is not None and checksum(data[start:end], addresses + TCP + length):
        raise WireError("tcp_bad_checksum")
    text_at = start + header_bytes
    options = data[start + HEADER_BYTES : text_at] if header_bytes > HEADER_BYTES else b""
    segment = Segment(
        src_port,
        dst_port,
        seq,
        ack,
        offset_flags & 0x1FF,
        wnd,
        options,
        data[text_at:end],
        up=up,
    )
    segment.ecn = tos & 3
    return segment


def pack_header(segment: Segment, src: int, dst: int, *, partial: bool = False) -> bytes:
    """Return the header of a segment with its checksum.

    With `partial`, the field holds the sum over the pseudo-header alone, which is what a device
    that fills checksums in expects (virtio's NEEDS_CSUM); only so may there be `segment.more`.
    """
    return pack(segment, address_sum(src, dst), partial=partial)


def pack(segment: Segment, addresses: int, *, partial: bool) -> bytes:
    """Return what `pack_header` does, by the sum of the two addresses (HOT)."""
    options = segment.options
    header_bytes = HEADER_BYTES + len(options)
    seq, ack = segment.seq & 0xFFFFFFFF, segment.ack & 0xFFFFFFFF
    src_port, dst_port, wnd, up = segment.src_port, segment.dst_port, segment.wnd, segment.up
    offset_flags = header_bytes << 10 | segment.flags
    length = header_bytes + (segment.text_bytes if segment.more else len(segment.payload))
    pseudo = addresses + TCP + length
    if partial:
        check = (pseudo - 1) % 0xFFFF + 1
    else:
        # seq and ack as they are: 2**16 is 1 modulo 0xFFFF, so their halves need no adding up.
        sums = pseudo + src_port + dst_port + seq + ack + offset_flags + wnd + up
        if options:
            sums += int.from_bytes(options, "big")
        check = checksum(segment.payload, sums)
    header = _HEADER.pack(src_port, dst_port, seq, ack, offset_flags, wnd, check, up)
    return header + options if options else header


def quoted_seq(payload: memoryview) -> int:
    """Return the sequence number of a segment of which an ICMP error quotes 8 bytes at least."""
    return int.from_bytes(payload[4:8], "big")


def ecn_asked(syn_flags: int) -> str:
    """Return what a SYN asks for: "accurate ECN" (RFC 9768), "ECN" (RFC 3168), or ""."""
    flags = syn_flags & (AE | CWR | ECE)
    if flags == AE | CWR | ECE:
        return "accurate ECN"
    return "ECN" if flags == CWR | ECE else ""


def ecn_agreed(syn_flags: int, syn_ack_flags: int) -> str:
    """Return what the answer to a SYN agrees to, in the same words."""
    asked, flags = ecn_asked(syn_flags), syn_ack_flags & (AE | CWR | ECE)
    if not asked or flags == ECE:
        return asked and "ECN"
    return asked if asked == "accurate ECN" and flags not in (0, AE | CWR | ECE) else ""


def flag_names(flags: int) -> str:
    """Return "SYN ACK" and the like."""
    names = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE")
    order = (1, 2, 0, 3, 4, 5, 6, 7, 8)  # SYN and RST first, as people say it
    return " ".join(names[bit] for bit in order if flags >> bit & 1) or "none"
