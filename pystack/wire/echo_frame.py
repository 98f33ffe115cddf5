"""An echo request in an IPv4 packet in an Ethernet frame: read, and turned round, as one.

HOT, as `datagram_frame` is for UDP: whatever does not look as nearly all do (IP options, a
fragment, a checksum that does not add up) is left to the modules of the layers, and `parse` says
None.
"""

import struct
from typing import Final

from pystack.core.addresses import Ip4, Mac
from pystack.wire import ethernet, icmp, ipv4
from pystack.wire.checksum import checksum
from pystack.wire.frame import Frame

_HEADERS: Final = struct.Struct("!6s6sHBBHHHBBHIIHH")
_IP: Final = ethernet.HEADER_BYTES
_ICMP: Final = _IP + ipv4.HEADER_BYTES
_REST: Final = _ICMP + 4
_PLAIN: Final = ipv4.PLAIN
_FRAGMENT: Final = ipv4.FRAGMENT
_REQUEST: Final = icmp.ECHO << 8  # type and code as one number
_REPLY: Final = icmp.ECHO_REPLY << 8
_PROTOCOL: Final = slice(_IP + 9, _IP + 10)
_IS_ICMP: Final = bytes((ipv4.ICMP,))


def may_be(data: bytes) -> bool:
    """Tell whether it is worth while to look closer."""
    return data[_PROTOCOL] == _IS_ICMP


def parse(frame: Frame, mac: Mac) -> tuple[Ip4, Ip4, int, int, int] | None:
    """Read (source, destination, TOS, IP packet's length, answer's checksum) of an echo request.

    None: it is for the layers to look at, or none for the station `mac`.
    """
    data = frame.data
    if len(data) < _ICMP + icmp.HEADER_BYTES:
        return None
    (
        dst_mac,
        src_mac,
        ethertype,
        version_ihl,
        tos,
        total_bytes,
        _,
        flags_offset,
        _,
        proto,
        _,
        src,
        dst,
        kind_code,
        check,
    ) = _HEADERS.unpack_from(data)
    # RFC 1624: type and code become less by as much as the checksum becomes more. 0 has two forms.
    answer_check = (check + _REQUEST - _REPLY) % 0xFFFF
    if (
        dst_mac != mac
        or ethertype != ethernet.IPV4
        or version_ihl != _PLAIN
        or proto != ipv4.ICMP
        or kind_code != _REQUEST
        or flags_offset & _FRAGMENT
        or not _ICMP + icmp.HEADER_BYTES <= _IP + total_bytes <= len(data)
        or src_mac[0] & 1
        or not answer_check
        or int.from_bytes(data[_IP:_ICMP], "big") % 0xFFFF
        or checksum(data[_ICMP : _IP + total_bytes])
    ):
        return None
    return src, dst, tos, total_bytes, answer_check


def answer(
    data: bytes,
    request: tuple[Ip4, Ip4, int, int, int],
    src_mac: Mac,
    dst_mac: Mac,
    ident: int,
) -> bytes:
    """Return the frame of the reply to what `parse` has read of `data`."""
    src, dst, tos, total_bytes, check = request
    ttl_proto = ipv4.DEFAULT_TTL << 8 | ipv4.ICMP
    ip_sum = (_PLAIN << 8) + tos + total_bytes + ident + ttl_proto + src + dst
    headers = _HEADERS.pack(
        dst_mac,
        src_mac,
        ethernet.IPV4,
        _PLAIN,
        tos,
        total_bytes,
        ident,
        0,
        ipv4.DEFAULT_TTL,
        ipv4.ICMP,
        (0xFFFF - ip_sum % 0xFFFF) % 0xFFFF,
        dst,
        src,
        _REPLY,
        check,
    )
    return headers + data[_REST : _IP + total_bytes]
