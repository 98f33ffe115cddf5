"""One IP packet of either version as it arrived, and what the layers above need to know of it."""

from typing import Final

from pystack.core.addresses import Ip
from pystack.wire.ipv6_ext import Chain

DONT_FRAGMENT: Final = 0x4000
MORE_FRAGMENTS: Final = 0x2000
OFFSET_MASK: Final = 0x1FFF
FRAGMENT: Final = MORE_FRAGMENTS | OFFSET_MASK  # a whole datagram has none of these bits

_V4_HEADER_BYTES: Final = 20
_V6_HEADER_BYTES: Final = 40
# The most of a packet that an ICMPv6 error quotes: what leaves it within the least MTU
_V6_QUOTED_BYTES: Final = 1280 - 40 - 8


class Packet:
    """One packet, read without copying. `raw` is the whole of it, without the link's padding."""

    __slots__ = (
        "chain",
        "checksum_good",
        "dst",
        "flags_offset",
        "flow_label",
        "header_bytes",
        "ident",
        "payload",
        "proto",
        "raw",
        "src",
        "to_many",
        "tos",
        "ttl",
        "version",
    )

    def __init__(
        self,
        version: int,
        src: Ip,
        dst: Ip,
        proto: int,
        raw: memoryview,
        header_bytes: int,
        *,
        tos: int = 0,
        ttl: int = 0,
        ident: int = 0,
        flags_offset: int = 0,
        flow_label: int = 0,
        chain: Chain | None = None,
        checksum_good: bool = False,
        to_many: bool = False,
    ) -> None:
        self.version = version  # 4 or 6
        self.src = src
        self.dst = dst
        self.proto = proto  # of the payload; in IPv6 that of the last header before it
        self.raw = raw
        self.header_bytes = header_bytes  # where the payload begins: options, extension headers
        self.payload = raw[header_bytes:]
        self.tos = tos  # DSCP and the two ECN bits (RFC 2474, 3168): IPv6's traffic class
        self.ttl = ttl  # IPv6's hop limit
        self.ident = ident  # of 16 bits; in a fragment of IPv6, of 32
        # The bits and the unit are IPv4's; of IPv6, where no router fragments, with DONT_FRAGMENT
        self.flags_offset = flags_offset
        self.flow_label = flow_label  # IPv6's; 0: none
        self.chain = chain  # IPv6's extension headers; None: there are none
        # Whoever carried the packet vouches for the transport checksum, which may not be filled in.
        self.checksum_good = checksum_good
        self.to_many = to_many  # it came by a broadcast or multicast, of the link or of IP

    @property
    def fragment_offset_bytes(self) -> int:
        """Return where in the datagram the payload belongs."""
        return (self.flags_offset & OFFSET_MASK) * 8

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
        if self.version == 4:
            return self.raw[2] << 8 | self.raw[3]
        return _V6_HEADER_BYTES + (self.raw[4] << 8 | self.raw[5])

    @property
    def options(self) -> memoryview:
        """Return the options of an IPv4 header, padding included; empty for nearly every packet."""
        return self.raw[_V4_HEADER_BYTES : self.header_bytes if self.version == 4 else 0]

    @property
    def quoted(self) -> bytes:
        """Return what an ICMP error about it quotes: header and 8 bytes (RFC 792), or much more.

        Of IPv6 as much as fits into the least MTU (RFC 4443 section 2.4).
        """
        end = self.header_bytes + 8 if self.version == 4 else _V6_QUOTED_BYTES
        return bytes(self.raw[:end])
