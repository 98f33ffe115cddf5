"""A UDP datagram in an IPv4 packet in an Ethernet frame, its three headers read or written as one.

HOT, as `segment_frame` is for TCP: whatever does not look as nearly all do (IP options, a fragment,
a checksum that does not add up) is left to the modules of the layers, and `parse` says None.
"""

import struct
from typing import Final

from pystack.core.addresses import Ip4, Mac
from pystack.wire import ethernet, ipv4, udp
from pystack.wire.checksum import Buffer, checksum
from pystack.wire.frame import CHECKSUM_UNKNOWN, Frame

_HEADERS: Final = struct.Struct("!6s6sHBBHHHBBHIIHHHH")
_IP: Final = ethernet.HEADER_BYTES
_UDP: Final = _IP + ipv4.HEADER_BYTES
_PLAIN: Final = ipv4.PLAIN
_FRAGMENT: Final = ipv4.FRAGMENT
_PROTOCOL: Final = slice(_IP + 9, _IP + 10)
_IS_UDP: Final = bytes((ipv4.UDP,))


def may_be(data: bytes) -> bool:
    """Tell whether it is worth while to look closer."""
    return data[_PROTOCOL] == _IS_UDP


def parse(frame: Frame, mac: Mac) -> tuple[Ip4, Ip4, int, int, bytes] | None:
    """Read source, destination, their ports and the payload of a frame for the station `mac`.

    Of a burst it is the payload of all of them. None: it is for the layers to look at.
    """
    data = frame.data
    if len(data) < _HEADERS.size:
        return None
    (
        dst_mac,
        src_mac,
        ethertype,
        version_ihl,
        _,
        total_bytes,
        _,
        flags_offset,
        _,
        proto,
        _,
        src,
        dst,
        src_port,
        dst_port,
        udp_bytes,
        check,
    ) = _HEADERS.unpack_from(data)
    end = _UDP + udp_bytes
    if (
        dst_mac != mac
        or ethertype != ethernet.IPV4
        or version_ihl != _PLAIN
        or proto != ipv4.UDP
        or flags_offset & _FRAGMENT
        or udp_bytes < udp.HEADER_BYTES
        or not end <= _IP + total_bytes <= len(data)
        or src_mac[0] & 1
        or int.from_bytes(data[_IP:_UDP], "big") % 0xFFFF
    ):
        return None
    # src and dst as they are: 2**16 is 1 modulo 0xFFFF, so their halves need no adding up.
    pseudo = src + dst + ipv4.UDP + udp_bytes
    if check and frame.checksum == CHECKSUM_UNKNOWN and checksum(data[_UDP:end], pseudo):
        return None
    return src, dst, src_port, dst_port, data[_UDP + udp.HEADER_BYTES : end]


def pack(
    payload: Buffer,
    src: Ip4,
    dst: Ip4,
    src_port: int,
    dst_port: int,
    src_mac: Mac,
    dst_mac: Mac,
    *,
    ident: int,
    ttl: int,
    partial: bool,
) -> bytes:
    """Return the frame of a datagram: the one copy of its payload.

    With `partial`, the checksum's field holds the sum over the pseudo-header alone.
    """
    udp_bytes = udp.HEADER_BYTES + len(payload)
    total_bytes = ipv4.HEADER_BYTES + udp_bytes
    addresses = src + dst
    ip_sum = (_PLAIN << 8) + total_bytes + ident + (ttl << 8 | ipv4.UDP) + addresses
    pseudo = addresses + ipv4.UDP + udp_bytes
    if partial:
        check = (pseudo - 1) % 0xFFFF + 1
    else:
        # RFC 768: 0 would say that there is no checksum
        check = checksum(payload, pseudo + src_port + dst_port + udp_bytes) or 0xFFFF
    headers = _HEADERS.pack(
        dst_mac,
        src_mac,
        ethernet.IPV4,
        _PLAIN,
        0,
        total_bytes,
        ident,
        0,
        ttl,
        ipv4.UDP,
        (0xFFFF - ip_sum % 0xFFFF) % 0xFFFF,
        src,
        dst,
        src_port,
        dst_port,
        udp_bytes,
        check,
    )
    return b"".join((headers, payload))
