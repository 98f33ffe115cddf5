"""The header before each frame of a TAP with offload: `struct virtio_net_hdr`.

It carries what a `Frame` knows beside its bytes: that the checksum is to be filled in, and into
pieces of which size a super-frame is to be cut (virtio 1.2, section 5.1.6). Super-frames, of either
IP version, are TCP segments (TSO) or datagrams of one size (USO), never one large datagram (UFO):
Linux makes none of those since 4.14.
"""

import struct
from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, ipv6, tcp, udp
from pystack.wire.checksum import checksum
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN, Frame, SuperFrame

_NEEDS_CSUM: Final = 1
_DATA_VALID: Final = 2
_GSO_TCPV4: Final = 1
_GSO_TCPV6: Final = 4
_GSO_UDP_L4: Final = 5
_GSO_ECN: Final = 0x80
# flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; in the machine's byte order, which is
# what a TAP wants unless it is told otherwise (TUNSETVNETLE)
_HEADER: Final = struct.Struct("=BBHHHH")

_IP: Final = ethernet.HEADER_BYTES
_TYPE: Final = ethernet.TYPE
_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6
# Where the text of TCP or UDP starts after a header without options, or extension headers
_TRANSPORT: Final = _IP + ipv4.HEADER_BYTES
_TRANSPORT6: Final = _IP + ipv6.HEADER_BYTES
_PROTO: Final = _IP + 9
_PROTO6: Final = _IP + 6
_UDP_CHECKSUM_OFFSET: Final = 6
_SHORTEST: Final = _TRANSPORT + udp.HEADER_BYTES  # of a frame with a checksum to be filled in
_MOST_GSO_BYTES: Final = 0xFFFF  # what the header has a number for
_CHECKSUM_OFFSET: Final = {ipv4.TCP: tcp.CHECKSUM_OFFSET, ipv4.UDP: _UDP_CHECKSUM_OFFSET}

_NOTHING: Final = bytes(_HEADER.size)
_TCP_CHECKSUM: Final = _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, _TRANSPORT, tcp.CHECKSUM_OFFSET)
_UDP_CHECKSUM: Final = _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, _TRANSPORT, _UDP_CHECKSUM_OFFSET)
# What a super-frame of TCP has to be like, to be taken as it is
_PLAIN_TCP: Final = {_GSO_TCPV4: (_TRANSPORT, _IPV4), _GSO_TCPV6: (_TRANSPORT6, _IPV6)}


def header_of(frame: Frame) -> bytes | None:
    """Return what to write before the frame; None if it has to be split first."""
    if frame.checksum != CHECKSUM_PARTIAL:
        # The kernel takes super-frames only with the checksum left to it.
        return None if frame.gso_bytes else _NOTHING
    data = frame.head
    if len(data) < _SHORTEST:
        return None  # whoever made it is told by `split` what is wrong
    if not frame.gso_bytes and data[_IP] == ipv4.PLAIN:
        return _TCP_CHECKSUM if data[_PROTO] == ipv4.TCP else _UDP_CHECKSUM
    proto, start = _transport(data)
    offset = _CHECKSUM_OFFSET.get(proto)
    if offset is None:
        return None
    if not frame.gso_bytes:
        return _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, start, offset)
    if not 0 < frame.gso_bytes <= _MOST_GSO_BYTES:
        return None
    if proto == ipv4.UDP:
        return _header_of_datagrams(data, start, frame.gso_bytes)
    if len(data) < start + tcp.HEADER_BYTES:
        return None
    gso_type = _GSO_TCPV6 if data[_TYPE] == _IPV6 else _GSO_TCPV4
    gso_type |= _GSO_ECN if data[start + 13] & tcp.CWR else 0
    headers_bytes = start + (data[start + 12] >> 4) * 4
    return _HEADER.pack(_NEEDS_CSUM, gso_type, headers_bytes, frame.gso_bytes, start, offset)


def header_without_uso(frame: Frame) -> bytes | None:
    """Return what `header_of` does, for a kernel that cuts no super-frames of datagrams."""
    if frame.gso_bytes and len(frame.head) >= _SHORTEST and _transport(frame.head)[0] == ipv4.UDP:
        return None
    return header_of(frame)


def _transport(data: bytes) -> tuple[int, int]:
    """Return a packet's protocol, and where that starts. It is not short."""
    if data[_TYPE] == _IPV6:
        return data[_PROTO6], _TRANSPORT6
    return data[_PROTO], _IP + (data[_IP] & 0xF) * 4


def _header_of_datagrams(data: bytes, start: int, gso_bytes: int) -> bytes | None:
    payload_bytes = len(data) - start - udp.HEADER_BYTES
    if payload_bytes > udp.MAX_BURST_DATAGRAMS * gso_bytes:
        return None
    if payload_bytes <= gso_bytes:  # nothing to cut, and the kernel would not
        return _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, start, _UDP_CHECKSUM_OFFSET)
    headers_bytes = start + udp.HEADER_BYTES
    return _HEADER.pack(
        _NEEDS_CSUM, _GSO_UDP_L4, headers_bytes, gso_bytes, start, _UDP_CHECKSUM_OFFSET
    )


def frame_of(header: bytes | bytearray, data: bytes) -> Frame:
    """Return the frame that was read after this header.

    Raises WireError: tap_unknown_gso for a kind of super-frame that was not asked for, tap_bad_gso
    for a header that does not fit what follows it.
    """
    flags, gso_type, _, gso_bytes, start, offset = _HEADER.unpack(header)
    kind = gso_type & ~_GSO_ECN
    if not gso_type:
        gso_bytes = 0
    elif gso_type == _GSO_UDP_L4:
        if not flags & _NEEDS_CSUM or not _are_datagrams(data, gso_bytes, start):
            raise WireError("tap_bad_gso")
    elif kind not in _PLAIN_TCP:
        raise WireError("tap_unknown_gso")
    if flags & _NEEDS_CSUM:
        # Left open where a Frame knows the place: not of anything else (VLAN, extension headers).
        if data[_TYPE] == _IPV4 or (
            data[_TYPE] == _IPV6 and start == _TRANSPORT6 and data[_PROTO6] in _CHECKSUM_OFFSET
        ):
            return Frame(data, CHECKSUM_PARTIAL, gso_bytes)
        return Frame(_filled(data, start, offset))
    return Frame(data, CHECKSUM_GOOD if flags & _DATA_VALID else CHECKSUM_UNKNOWN, gso_bytes)


def _are_datagrams(data: bytes, gso_bytes: int, start: int) -> bool:
    """Tell whether the headers of IP and UDP are those of a super-frame of this kind."""
    payload_bytes = len(data) - start - udp.HEADER_BYTES
    if (
        start < _TRANSPORT
        or not 0 < gso_bytes < payload_bytes <= udp.MAX_LONG_BURST_DATAGRAMS * gso_bytes
        or _transport(data) != (ipv4.UDP, start)
        or _number(data, start + 4) != len(data) - start
    ):
        return False
    if data[_TYPE] == _IPV6:
        return _number(data, _IP + 4) == len(data) - start
    return (
        data[_TYPE] == _IPV4
        and not _number(data, _IP + 6) & ipv4.FRAGMENT
        and _number(data, _IP + 2) == len(data) - _IP
    )


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def super_frame_of(raw: bytes) -> SuperFrame | None:
    """Return the super-frame of TCP that was read with the header before it, without a copy (HOT).

    None: it is something else, for `frame_of`.
    """
    flags, gso_type, _, gso_bytes, start, _ = _HEADER.unpack_from(raw)
    at = _HEADER.size
    plain = (start, raw[at + 12 : at + _IP])
    if not flags & _NEEDS_CSUM or _PLAIN_TCP.get(gso_type & ~_GSO_ECN) != plain:
        return None
    headers_end = at + start + (raw[at + start + 12] >> 4) * 4
    payload = memoryview(raw)[headers_end:]
    return SuperFrame(raw[at:headers_end], payload, CHECKSUM_PARTIAL, gso_bytes)


def _filled(data: bytes, start: int, offset: int) -> bytes:
    # The field holds the pseudo-header's sum, so the sum over it all is right as it stands.
    at = start + offset
    check = checksum(memoryview(data)[start:]) or 0xFFFF
    return data[:at] + check.to_bytes(2, "big") + data[at + 2 :]


def moved(header: bytes, by_bytes: int) -> bytes:
    """Return the header for a frame before which so many bytes are put, or taken away."""
    flags, gso_type, headers_bytes, gso_bytes, start, offset = _HEADER.unpack(header)
    if not flags & _NEEDS_CSUM:
        return header
    headers_bytes = max(headers_bytes + by_bytes, 0) if headers_bytes else 0
    start = max(start + by_bytes, 0) & 0xFFFF
    return _HEADER.pack(flags, gso_type, headers_bytes & 0xFFFF, gso_bytes, start, offset)
