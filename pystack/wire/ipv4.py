"""The IPv4 header (RFC 791), validated as RFC 1122 section 3.2.1 asks."""

import struct
from typing import Final

from pystack.core.addresses import Ip4
from pystack.core.errors import WireError
from pystack.wire.checksum import checksum

ICMP: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17

HEADER_BYTES: Final = 20
MAX_PACKET_BYTES: Final = 65535
MIN_MTU_BYTES: Final = 68  # RFC 791 section 3.2: every module must forward that much whole
DEFAULT_TTL: Final = 64  # RFC 1700, as Linux

DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
_OFFSET_MASK: Final = 0x1FFF
FRAGMENT: Final = MORE_FRAGMENTS | _OFFSET_MASK  # a whole datagram has none of these bits

_HEADER: Final = struct.Struct("!BBHHHBBHII")
PLAIN: Final = 0x45  # version 4, five words: no options


class Ipv4Packet:
    """One packet as it arrived. `raw` is the whole of it, without the link's padding."""

    __slots__ = (
        "checksum_good",
        "dst",
        "flags_offset",
        "header_bytes",
        "ident",
        "payload",
        "proto",
        "raw",
        "src",
        "to_many",
        "tos",
        "ttl",
    )

    src: Ip4
    dst: Ip4
    proto: int
    tos: int  # DSCP and the two ECN bits (RFC 2474, 3168)
    ttl: int
    ident: int
    flags_offset: int
    header_bytes: int
    raw: memoryview
    payload: memoryview
    # True: whoever carried the packet vouches for the transport checksum, which may not be filled.
    checksum_good: bool
    to_many: bool  # it came by a broadcast or multicast, of the link or of IP

    @property
    def fragment_offset_bytes(self) -> int:
        """Return where in the datagram the payload belongs."""
        return (self.flags_offset & _OFFSET_MASK) * 8

    @property
    def more_fragments(self) -> bool:
        """Tell whether this is not the datagram's last fragment."""
        return bool(self.flags_offset & MORE_FRAGMENTS)

    @property
    def is_fragment(self) -> bool:
        """Tell whether this is less than a whole datagram."""
        return bool(self.flags_offset & FRAGMENT)

    @property
    def total_length(self) -> int:
        """Return what the header says of the packet's bytes; a quoted one is cut short of it."""
        return self.raw[2] << 8 | self.raw[3]

    @property
    def options(self) -> memoryview:
        """Return the header's options, padding included; empty for nearly every packet."""
        return self.raw[HEADER_BYTES : self.header_bytes]

    @property
    def quoted(self) -> bytes:
        """Return what an ICMP error about it quotes: the header and 8 bytes (RFC 792)."""
        return bytes(self.raw[: self.header_bytes + 8])


def parse(data: memoryview, *, checksum_good: bool = False, to_many: bool = False) -> Ipv4Packet:
    """Read a packet without copying; padding after its total length is cut off."""
    if len(data) < HEADER_BYTES:
        raise WireError("ip_truncated")
    fields = _HEADER.unpack_from(data)
    version_ihl, tos, total_length, ident, flags_offset, ttl, proto, _, src, dst = fields
    if version_ihl == PLAIN:
        header_bytes = HEADER_BYTES
    else:
        if version_ihl >> 4 != 4:
            raise WireError("ip_bad_version")
        header_bytes = (version_ihl & 0xF) * 4
        if header_bytes < HEADER_BYTES:
            raise WireError("ip_bad_header_length")
    if not header_bytes <= total_length <= len(data):
        if total_length or len(data) <= MAX_PACKET_BYTES:
            raise WireError("ip_bad_total_length")
        total_length = len(data)  # a super-frame larger than the field can say, `SuperFrame`
    if checksum(data[:header_bytes]):
        raise WireError("ip_bad_checksum")
    packet = Ipv4Packet()
    packet.src = src
    packet.dst = dst
    packet.proto = proto
    packet.tos = tos
    packet.ttl = ttl
    packet.ident = ident
    packet.flags_offset = flags_offset
    packet.header_bytes = header_bytes
    packet.raw = data[:total_length]
    packet.payload = data[header_bytes:total_length]
    packet.checksum_good = checksum_good
    packet.to_many = to_many
    return packet


def parse_quoted(data: memoryview) -> Ipv4Packet:
    """Read the start of a packet that an ICMP error quotes: shorter than it says it is."""
    if len(data) < HEADER_BYTES:
        raise WireError("icmp_quote_truncated")
    version_ihl, tos, _, ident, flags_offset, ttl, proto, _, src, dst = _HEADER.unpack_from(data)
    header_bytes = (version_ihl & 0xF) * 4
    if version_ihl >> 4 != 4 or not HEADER_BYTES <= header_bytes <= len(data):
        raise WireError("icmp_quote_malformed")
    packet = Ipv4Packet()
    packet.src, packet.dst, packet.proto = src, dst, proto
    packet.tos, packet.ttl, packet.ident, packet.flags_offset = tos, ttl, ident, flags_offset
    packet.header_bytes = header_bytes
    packet.raw = data
    packet.payload = data[header_bytes:]
    packet.checksum_good = packet.to_many = False
    return packet


def pack_header(
    src: int,
    dst: int,
    proto: int,
    payload_bytes: int,
    *,
    ident: int = 0,
    flags_offset: int = 0,
    ttl: int = DEFAULT_TTL,
    tos: int = 0,
    options: bytes = b"",
) -> bytes:
    """Return a header with its checksum: 20 bytes, and options, which are whole words."""
    version_ihl = PLAIN + len(options) // 4
    total_length = HEADER_BYTES + len(options) + payload_bytes
    # The checksum is 0xFFFF minus the sum of the words, which are at hand: no second pass.
    total = (
        (version_ihl << 8 | tos)
        + total_length
        + ident
        + flags_offset
        + (ttl << 8 | proto)
        + (src >> 16)
        + (src & 0xFFFF)
        + (dst >> 16)
        + (dst & 0xFFFF)
    )
    if options:
        total += int.from_bytes(options, "big")
    header = _HEADER.pack(
        version_ihl,
        tos,
        total_length,
        ident,
        flags_offset,
        ttl,
        proto,
        (0xFFFF - total % 0xFFFF) % 0xFFFF,
        src,
        dst,
    )
    return header + options if options else header
