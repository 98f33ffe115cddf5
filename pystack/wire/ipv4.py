"""The IPv4 header (RFC 791), validated as RFC 1122 section 3.2.1 asks."""

import struct
from typing import Final

from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, checksum
from pystack.wire.packet import DONT_FRAGMENT as DONT_FRAGMENT
from pystack.wire.packet import FRAGMENT as FRAGMENT
from pystack.wire.packet import MORE_FRAGMENTS as MORE_FRAGMENTS
from pystack.wire.packet import Packet

ICMP: Final = 1
IGMP: Final = 2
TCP: Final = 6
UDP: Final = 17

HEADER_BYTES: Final = 20
MAX_PACKET_BYTES: Final = 65535
MIN_MTU_BYTES: Final = 68  # RFC 791 section 3.2: every module must forward that much whole
DEFAULT_TTL: Final = 64  # RFC 1700, as Linux

_HEADER: Final = struct.Struct("!BBHHHBBHII")
TTL_AT: Final = 8
_TTL_CHECKSUM: Final = struct.Struct("!HH")
_ONE_HOP: Final = 0x100  # of the TTL, in the word that it shares with the protocol
PLAIN: Final = 0x45  # version 4, five words: no options


def parse(data: memoryview, *, checksum_good: bool = False, to_many: bool = False) -> Packet:
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
    return Packet(
        4,
        src,
        dst,
        proto,
        data[:total_length],
        header_bytes,
        tos=tos,
        ttl=ttl,
        ident=ident,
        flags_offset=flags_offset,
        checksum_good=checksum_good,
        to_many=to_many,
    )


def parse_quoted(data: memoryview) -> Packet:
    """Read the start of a packet that an ICMP error quotes: shorter than it says it is."""
    if len(data) < HEADER_BYTES:
        raise WireError("icmp_quote_truncated")
    version_ihl, tos, _, ident, flags_offset, ttl, proto, _, src, dst = _HEADER.unpack_from(data)
    header_bytes = (version_ihl & 0xF) * 4
    if version_ihl >> 4 != 4 or not HEADER_BYTES <= header_bytes <= len(data):
        raise WireError("icmp_quote_malformed")
    return Packet(
        4,
        src,
        dst,
        proto,
        data,
        header_bytes,
        tos=tos,
        ttl=ttl,
        ident=ident,
        flags_offset=flags_offset,
    )


def aged(data: Buffer, start: int) -> bytes:
    """Return TTL, protocol and checksum of the header there, with one hop less to live (HOT)."""
    ttl_proto, check = _TTL_CHECKSUM.unpack_from(data, start + TTL_AT)
    # RFC 1624: the sum of all words stays what it was, so 0x100 less there is 0x100 more here.
    check += _ONE_HOP
    if check >= 0xFFFF:
        check -= 0xFFFF
    return _TTL_CHECKSUM.pack(ttl_proto - _ONE_HOP, check)


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
