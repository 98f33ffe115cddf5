"""The UDP header (RFC 768)."""

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, address_sum, checksum
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
    """Read and verify a datagram."""
    data = packet.payload
    addresses = None if packet.checksum_good else address_sum(packet.src, packet.dst)
    src_port, dst_port, end = read(data, 0, len(data), addresses, v6=packet.version == 6)
    return UdpDatagram(src_port, dst_port, data[HEADER_BYTES:end])


def read(
    data: Buffer, start: int, end: int, addresses: int | None, *, v6: bool
) -> tuple[int, int, int]:
    """Return both ports, and the end, of the datagram that lies there (HOT).

    `addresses`: their sum, to verify the checksum with; None: it is known to be good. A checksum of
    0 means that the sender made none (RFC 768), which over IPv6 it must (RFC 8200 section 8.1).
    WireError: what is wrong with it.
    """
    if end - start < HEADER_BYTES:
        raise WireError("udp_truncated")
    src_port, dst_port, length, check = _HEADER.unpack_from(data, start)
    if not HEADER_BYTES <= length <= end - start:
        raise WireError("udp_bad_length")
    end = start + length
    if addresses is not None:
        if not check:
            if v6:
                raise WireError("udp_no_checksum")
        elif checksum(data[start:end], addresses + UDP + length):
            raise WireError("udp_bad_checksum")
    return src_port, dst_port, end


def pack_header(
    src_port: int, dst_port: int, payload: Buffer, addresses: int, *, partial: bool = False
) -> bytes:
    """Return the header of a datagram with its checksum (HOT). `addresses`: their sum.

    With `partial`, the field holds the sum over the pseudo-header alone.
    """
    length = HEADER_BYTES + len(payload)
    pseudo = addresses + UDP + length
    if partial:
        check = (pseudo - 1) % 0xFFFF + 1
    else:  # RFC 768: 0 would say that there is none
        check = checksum(payload, pseudo + src_port + dst_port + length) or 0xFFFF
    return _HEADER.pack(src_port, dst_port, length, check)


def pack(
    src: int, dst: int, src_port: int, dst_port: int, payload: Buffer, *, summed: bool = True
) -> bytes:
    """Return a datagram with its checksum; with `summed=False` without one (RFC 768: 0)."""
    length = HEADER_BYTES + len(payload)
    if not summed:
        return _HEADER.pack(src_port, dst_port, length, 0) + payload
    addresses = address_sum(src, dst)
    return pack_header(src_port, dst_port, payload, addresses) + payload
