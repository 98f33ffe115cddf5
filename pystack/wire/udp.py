"""The UDP header (RFC 768)."""

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, checksum, pseudo_header_sum
from pystack.wire.ipv4 import UDP
from pystack.wire.packet import Packet

HEADER_BYTES: Final = 8
MAX_PAYLOAD_BYTES: Final = 65507  # 65,535 less the IPv4 and UDP headers
# How many datagrams a burst has at most: Linux's UDP_MAX_SEGMENTS, before and since 6.9
MAX_BURST_DATAGRAMS: Final = 64
MAX_LONG_BURST_DATAGRAMS: Final = 128
_HEADER: Final = struct.Struct("!HHHH")


@dataclass(slots=True)
class UdpDatagram:
    """One datagram as it arrived."""

    src_port: int
    dst_port: int
    payload: memoryview


def parse(packet: Packet) -> UdpDatagram:
    """Read and verify a datagram. A checksum of 0 means that the sender made none (RFC 768)."""
    data = packet.payload
    if len(data) < HEADER_BYTES:
        raise WireError("udp_truncated")
    src_port, dst_port, length, check = _HEADER.unpack_from(data)
    if not HEADER_BYTES <= length <= len(data):
        raise WireError("udp_bad_length")
    if check and not packet.checksum_good:
        pseudo = pseudo_header_sum(packet.src, packet.dst, UDP, length)
        if checksum(data[:length], pseudo):
            raise WireError("udp_bad_checksum")
    return UdpDatagram(src_port, dst_port, data[HEADER_BYTES:length])


def pack(
    src: int, dst: int, src_port: int, dst_port: int, payload: Buffer, *, summed: bool = True
) -> bytes:
    """Return a datagram with its checksum; with `summed=False` without one (RFC 768: 0)."""
    length = HEADER_BYTES + len(payload)
    if not summed:
        return _HEADER.pack(src_port, dst_port, length, 0) + payload
    sums = pseudo_header_sum(src, dst, UDP, length) + src_port + dst_port + length
    check = checksum(payload, sums) or 0xFFFF  # RFC 768: 0 would say that there is none
    return _HEADER.pack(src_port, dst_port, length, check) + payload
