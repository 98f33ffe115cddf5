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
# What of them differs from one datagram between two ports to the next, and what does not
_VARYING: Final = struct.Struct("!HHHHH")
_ENDS: Final = struct.Struct("!IIHH")
_LENGTH_CHECK: Final = struct.Struct("!HH")
_PLAIN_IPV4: Final = struct.pack("!HBB", ethernet.IPV4, ipv4.PLAIN, 0)
_VERSION_SUM: Final = ipv4.PLAIN << 8
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


class Headers:
    """What the headers of all datagrams from one port to another have in common (HOT)."""

    __slots__ = ("_addresses", "_between", "_ports", "_start")

    def __init__(self, src: Ip4, dst: Ip4, src_port: int, dst_port: int, src_mac: Mac) -> None:
        self._start = src_mac + _PLAIN_IPV4
        self._between = _ENDS.pack(src, dst, src_port, dst_port)
        self._addresses = src + dst  # as they are: see `parse`
        self._ports = src_port + dst_port

    def frame(
        self, payload: Buffer, dst_mac: Mac, ident: int, ttl_proto: int, *, partial: bool
    ) -> bytes:
        """Return the frame of a datagram: the one copy of its payload.

        `ttl_proto`: the TTL and the protocol, as IP's header has them. With `partial`, the
        checksum's field holds the sum over the pseudo-header alone.
        """
        udp_bytes = udp.HEADER_BYTES + len(payload)
        total_bytes = ipv4.HEADER_BYTES + udp_bytes
        addresses = self._addresses
        pseudo = addresses + ipv4.UDP + udp_bytes
        if partial:
            check = (pseudo - 1) % 0xFFFF + 1
        else:
            # RFC 768: 0 would say that there is no checksum
            check = checksum(payload, pseudo + self._ports + udp_bytes) or 0xFFFF
        ip_sum = _VERSION_SUM + total_bytes + ident + ttl_proto + addresses
        ip_check = (0xFFFF - ip_sum % 0xFFFF) % 0xFFFF
        return b"".join(
            (
                dst_mac,
                self._start,
                _VARYING.pack(total_bytes, ident, 0, ttl_proto, ip_check),
                self._between,
                _LENGTH_CHECK.pack(udp_bytes, check),
                payload,
            )
        )
