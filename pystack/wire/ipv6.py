"""The IPv6 header (RFC 8200 section 3), and packets as it and the headers behind it describe them.

What is wrong with an extension header does not make a packet unreadable: `Packet.chain` says it,
and whoever the packet is for decides. Jumbograms (RFC 2675) are refused there.
"""

import struct
from typing import Final

from pystack.core.addresses import V6, Ip
from pystack.core.errors import WireError
from pystack.wire import ipv6_ext
from pystack.wire.packet import DONT_FRAGMENT, MORE_FRAGMENTS, Packet

ICMPV6: Final = ipv6_ext.ICMPV6
HEADER_BYTES: Final = ipv6_ext.HEADER_BYTES
MIN_MTU_BYTES: Final = 1280  # RFC 8200 section 5: of every link
MAX_PAYLOAD_BYTES: Final = 65535
DEFAULT_HOP_LIMIT: Final = 64  # as Linux
HOPS_AT: Final = 7

# Version, traffic class and flow label; payload length, next header, hop limit; both addresses
_HEADER: Final = struct.Struct("!IHBBQQQQ")
_FRAGMENT: Final = struct.Struct("!BxHI")
_VERSION: Final = 6 << 28
_LOW: Final = (1 << 64) - 1


def parse(data: memoryview, *, checksum_good: bool = False, to_many: bool = False) -> Packet:
    """Read a packet without copying; padding behind its payload is cut off."""
    if len(data) < HEADER_BYTES:
        raise WireError("ip6_truncated")
    if data[0] >> 4 != 6:
        raise WireError("ip6_bad_version")
    end = HEADER_BYTES + (data[4] << 8 | data[5])
    if end > len(data):
        raise WireError("ip6_bad_payload_length")
    if end == HEADER_BYTES and (
        data[6] == ipv6_ext.HOP_BY_HOP or len(data) > HEADER_BYTES + MAX_PAYLOAD_BYTES
    ):
        # A jumbogram, whose option is to be found and refused; or a super-frame larger than the
        # field can say, as `SuperFrame` has them.
        end = len(data)
    return _read(data[:end], checksum_good=checksum_good, to_many=to_many)


def parse_quoted(data: memoryview) -> Packet:
    """Read the start of a packet that an ICMPv6 error quotes: shorter than it says it is.

    Of a first fragment the payload is the upper layer's, as of a whole packet.
    """
    if len(data) < HEADER_BYTES:
        raise WireError("icmp6_quote_truncated")
    if data[0] >> 4 != 6:
        raise WireError("icmp6_quote_malformed")
    packet = _read(data)
    chain = packet.chain
    if chain is not None:
        if chain.upper is None and not packet.fragment_offset_bytes:
            raise WireError("icmp6_quote_truncated")
        if chain.upper is not None:
            packet.proto, packet.header_bytes = chain.upper, chain.upper_at
            packet.payload = data[chain.upper_at :]
    return packet


def _read(data: memoryview, *, checksum_good: bool = False, to_many: bool = False) -> Packet:
    start, _, proto, ttl, src_high, src_low, dst_high, dst_low = _HEADER.unpack_from(data)
    chain = ipv6_ext.walk(data, proto) if proto in ipv6_ext.EXTENSIONS else None
    return Packet(
        6,
        Ip(V6 | src_high << 64 | src_low),
        Ip(V6 | dst_high << 64 | dst_low),
        proto if chain is None else chain.proto,
        data,
        HEADER_BYTES if chain is None else chain.proto_at,
        tos=start >> 20 & 0xFF,
        ttl=ttl,
        ident=0 if chain is None else chain.ident,
        flags_offset=DONT_FRAGMENT if chain is None else DONT_FRAGMENT | chain.flags_offset,
        flow_label=start & 0xFFFFF,
        chain=chain,
        checksum_good=checksum_good,
        to_many=to_many,
    )


def pack_header(
    src: int,
    dst: int,
    proto: int,
    payload_bytes: int,
    *,
    ttl: int = DEFAULT_HOP_LIMIT,
    tos: int = 0,
    flow_label: int = 0,
) -> bytes:
    """Return a header of 40 bytes. `payload_bytes`: all behind it, extension headers too.

    More than the field can say is 0 there, see `SuperFrame`.
    """
    return _HEADER.pack(
        _VERSION | tos << 20 | flow_label,
        payload_bytes if payload_bytes <= MAX_PAYLOAD_BYTES else 0,
        proto,
        ttl,
        src >> 64 & _LOW,
        src & _LOW,
        dst >> 64 & _LOW,
        dst & _LOW,
    )


def pack_fragment_header(proto: int, flags_offset: int, ident: int) -> bytes:
    """Return the header of a fragment; `flags_offset` is in IPv4's form, as `Packet` has it."""
    more = 1 if flags_offset & MORE_FRAGMENTS else 0
    return _FRAGMENT.pack(proto, (flags_offset & MORE_FRAGMENTS - 1) << 3 | more, ident)
