"""A TCP segment in an IPv4 packet in an Ethernet frame, its three headers read or written as one.

HOT: this is how nearly every frame looks. Whatever is not so (IP options, a fragment, a checksum
that does not add up, another protocol) is left to the modules of the layers, one after the other,
which know the reason for each drop; `parse` then says None, and has changed nothing.
"""

import struct
from typing import Final

from pystack.core.addresses import Ip4, Mac
from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.checksum import Buffer, checksum
from pystack.wire.frame import CHECKSUM_UNKNOWN, Frame, SuperFrame
from pystack.wire.tcp import Segment

_HEADERS: Final = struct.Struct("!6s6sHBBHHHBBHIIHHIIHHHH")
_HEADERS_OUT: Final = struct.Struct("!6s6sHHHHHHHIIHHIIHHHH")  # bytes in pairs
_IP: Final = ethernet.HEADER_BYTES
_TCP: Final = _IP + ipv4.HEADER_BYTES
_PLAIN: Final = ipv4.PLAIN
_VERSION: Final = _PLAIN << 8
_FRAGMENT: Final = ipv4.FRAGMENT


def ends(data: bytes) -> bytes:
    """Return what names the connection of a frame: source and destination, addresses and ports."""
    return data[26:38]


def pack_ends(src: int, dst: int, src_port: int, dst_port: int) -> bytes:
    """Return `ends` of the frames from `src` and `src_port` to `dst` and `dst_port`."""
    return struct.pack("!IIHH", src, dst, src_port, dst_port)


def parse(frame: Frame, mac: Mac) -> Segment | None:
    """Read a frame for the station `mac` without copying; None: it is for the layers to look at."""
    data = frame.head
    size = len(data)
    if size < _HEADERS.size:
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
        src_port,
        dst_port,
        seq,
        ack,
        offset_flags,
        wnd,
        _,
        up,
    ) = _HEADERS.unpack_from(data)
    header_bytes = offset_flags >> 10 & 0x3C
    end = _IP + total_bytes
    start = _TCP + header_bytes
    if (
        dst_mac != mac
        or ethertype != ethernet.IPV4
        or version_ihl != _PLAIN
        or proto != ipv4.TCP
        or flags_offset & _FRAGMENT
        or header_bytes < tcp.HEADER_BYTES
        or not start <= end
        or src_mac[0] & 1
        or int.from_bytes(data[_IP:_TCP], "big") % 0xFFFF
    ):
        return None
    view = memoryview(data)
    payload = view[start:end] if end <= size else _payload_apart(frame, start, end)
    if payload is None:
        return None
    if frame.checksum == CHECKSUM_UNKNOWN:
        # src and dst as they are: 2**16 is 1 modulo 0xFFFF, so their halves need no adding up.
        pseudo = src + dst + ipv4.TCP + end - _TCP
        if checksum(view[_TCP:end], pseudo):
            return None
    options = view[_TCP + tcp.HEADER_BYTES : start] if header_bytes > tcp.HEADER_BYTES else b""
    segment = Segment(
        src_port, dst_port, seq, ack, offset_flags & 0x1FF, wnd, options, payload, up=up
    )
    segment.ecn = tos & 3
    return segment


def _payload_apart(frame: Frame, start: int, end: int) -> memoryview | None:
    """Return the text of a super-frame whose headers are in front of it; None: of anything else."""
    if (
        isinstance(frame, SuperFrame)
        and frame.checksum != CHECKSUM_UNKNOWN
        and start == len(frame.head)
        and end == len(frame)
        and not frame.more
    ):
        return memoryview(frame.payload)
    return None


def pack(
    segment: Segment,
    src: Ip4,
    dst: Ip4,
    src_mac: Mac,
    dst_mac: Mac,
    *,
    partial: bool,
    tos: int = 0,
    ttl: int = ipv4.DEFAULT_TTL,
    ident: int = 0,
) -> tuple[bytes, Buffer, Buffer]:
    """Return the frame of a segment in its parts: headers, TCP's options, and the payload.

    `segment.more` is to follow it: only with `partial`, where TCP's checksum is the sum over the
    pseudo-header alone. The ECN bits are the segment's. Routers may cut what has an `ident`.
    """
    payload, options = segment.payload, segment.options
    tcp_bytes = tcp.HEADER_BYTES + len(options)
    tcp_bytes += segment.text_bytes if segment.more else len(payload)
    total_bytes = ipv4.HEADER_BYTES + tcp_bytes
    if total_bytes > ipv4.MAX_PACKET_BYTES:
        total_bytes = 0  # see `SuperFrame`
    version_tos, ttl_proto = _VERSION | tos | segment.ecn, ttl << 8 | ipv4.TCP
    # RFC 1191: never in fragments; with that, the identification may be 0 (RFC 6864).
    flags_offset = 0 if ident else ipv4.DONT_FRAGMENT
    ip_sum = version_tos + total_bytes + ident + flags_offset + ttl_proto + src + dst
    seq, ack = segment.seq & 0xFFFFFFFF, segment.ack & 0xFFFFFFFF
    src_port, dst_port, wnd, up = segment.src_port, segment.dst_port, segment.wnd, segment.up
    offset_flags = tcp.HEADER_BYTES + len(options) << 10 | segment.flags
    pseudo = src + dst + ipv4.TCP + tcp_bytes
    if partial:
        check = (pseudo - 1) % 0xFFFF + 1
    else:
        sums = pseudo + src_port + dst_port + seq + ack + offset_flags + wnd + up
        if options:
            sums += int.from_bytes(options, "big")
        check = checksum(payload, sums)
    headers = _HEADERS_OUT.pack(
        dst_mac,
        src_mac,
        ethernet.IPV4,
        version_tos,
        total_bytes,
        ident,
        flags_offset,
        ttl_proto,
        (0xFFFF - ip_sum % 0xFFFF) % 0xFFFF,
        src,
        dst,
        src_port,
        dst_port,
        seq,
        ack,
        offset_flags,
        wnd,
        check,
        up,
    )
    return headers, options, payload
