"""The header before each frame of a TAP with offload: `struct virtio_net_hdr`.

It carries what a `Frame` knows beside its bytes: that the checksum is to be filled in, and into
pieces of which size a super-frame is to be cut (virtio 1.2, section 5.1.6). Super-frames are TCP
segments (TSO) or datagrams of one size (USO), never one large datagram (UFO): Linux makes none of
those since 4.14.
"""

import struct
from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, tcp, udp
from pystack.wire.checksum import checksum
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN, Frame, SuperFrame

_NEEDS_CSUM: Final = 1
_DATA_VALID: Final = 2
_GSO_TCPV4: Final = 1
_GSO_UDP_L4: Final = 5
_GSO_ECN: Final = 0x80
# flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; in the machine's byte order, which is
# what a TAP wants unless it is told otherwise (TUNSETVNETLE)
_HEADER: Final = struct.Struct("=BBHHHH")

_IP: Final = ethernet.HEADER_BYTES
_TRANSPORT: Final = _IP + ipv4.HEADER_BYTES  # where it starts after a header without options
_PLAIN: Final = 0x45
_PROTO: Final = _IP + 9
_UDP_CHECKSUM_OFFSET: Final = 6
_IPV4: Final = ethernet.IPV4.to_bytes(2, "big")
_IPV6: Final = ethernet.IPV6.to_bytes(2, "big")
_TRANSPORT_6: Final = _IP + 40
_NEXT_HEADER: Final = _IP + 6
_IS_UDP: Final = bytes((ipv4.UDP,))
_SHORTEST: Final = _TRANSPORT + udp.HEADER_BYTES  # of a frame with a checksum to be filled in
_MOST_GSO_BYTES: Final = 0xFFFF  # what the header has a number for

_NOTHING: Final = bytes(_HEADER.size)
_TCP_CHECKSUM: Final = _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, _TRANSPORT, tcp.CHECKSUM_OFFSET)
_UDP_CHECKSUM: Final = _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, _TRANSPORT, _UDP_CHECKSUM_OFFSET)


def header_of(frame: Frame) -> bytes | None:
    """Return what to write before the frame; None if it has to be split first."""
    if frame.checksum != CHECKSUM_PARTIAL:
        # The kernel takes super-frames only with the checksum left to it.
        return None if frame.gso_bytes else _NOTHING
    data = frame.head
    if len(data) < _SHORTEST:
        return None  # whoever made it is told by `split` what is wrong
    is_tcp = data[_PROTO] == ipv4.TCP
    if not frame.gso_bytes and data[_IP] == _PLAIN:
        return _TCP_CHECKSUM if is_tcp else _UDP_CHECKSUM
    start = _IP + (data[_IP] & 0xF) * 4
    if not frame.gso_bytes:
        offset = tcp.CHECKSUM_OFFSET if is_tcp else _UDP_CHECKSUM_OFFSET
        return _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, start, offset)
    if not 0 < frame.gso_bytes <= _MOST_GSO_BYTES:
        return None
    if not is_tcp:
        return _header_of_datagrams(data, start, frame.gso_bytes)
    if len(data) < start + tcp.HEADER_BYTES:
        return None
    gso_type = _GSO_TCPV4 | (_GSO_ECN if data[start + 13] & tcp.CWR else 0)
    headers_bytes = start + (data[start + 12] >> 4) * 4
    return _HEADER.pack(
        _NEEDS_CSUM, gso_type, headers_bytes, frame.gso_bytes, start, tcp.CHECKSUM_OFFSET
    )


def header_without_uso(frame: Frame) -> bytes | None:
    """Return what `header_of` does, for a kernel that cuts no super-frames of datagrams."""
    if frame.gso_bytes and frame.head[_PROTO] == ipv4.UDP:
        return None
    return header_of(frame)


def _header_of_datagrams(data: bytes, start: int, gso_bytes: int) -> bytes | None:
    payload_bytes = len(data) - start - udp.HEADER_BYTES
    if data[_PROTO] != ipv4.UDP or payload_bytes > udp.MAX_BURST_DATAGRAMS * gso_bytes:
        return None
    if payload_bytes <= gso_bytes:  # nothing to cut, and the kernel would not
        return _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, start, _UDP_CHECKSUM_OFFSET)
    headers_bytes = start + udp.HEADER_BYTES
    return _HEADER.pack(
        _NEEDS_CSUM, _GSO_UDP_L4, headers_bytes, gso_bytes, start, _UDP_CHECKSUM_OFFSET
    )


def frame_of(header: bytes | bytearray, data: bytes) -> Frame | None:
    """Return the frame that was read after this header; None: it is one for `frames_of`."""
    flags, gso_type, _, gso_bytes, start, offset = _HEADER.unpack(header)
    if not gso_type:
        gso_bytes = 0
    elif gso_type & ~_GSO_ECN != _GSO_TCPV4 and (
        gso_type != _GSO_UDP_L4
        or not flags & _NEEDS_CSUM
        or not _are_datagrams(data, gso_bytes, start)
    ):
        return None
    if flags & _NEEDS_CSUM:
        # Only IPv4's is left open: of anything else (IPv6, VLAN) a Frame does not know the place.
        if data[12:_IP] == _IPV4:
            return Frame(data, CHECKSUM_PARTIAL, gso_bytes)
        return Frame(_filled(data, start, offset))
    return Frame(data, CHECKSUM_GOOD if flags & _DATA_VALID else CHECKSUM_UNKNOWN, gso_bytes)


def frames_of(header: bytes | bytearray, data: bytes) -> list[Frame]:
    """Return the frames of a super-frame over IPv6, which a `Frame` cannot be.

    Raises WireError: tap_unknown_gso for a kind that was not asked for, tap_bad_gso for a header
    that does not fit what follows it.
    """
    flags, gso_type, _, gso_bytes, start, _ = _HEADER.unpack(header)
    if gso_type != _GSO_UDP_L4:
        raise WireError("tap_unknown_gso")
    payload = memoryview(data)[_TRANSPORT_6 + udp.HEADER_BYTES :]
    if (
        not flags & _NEEDS_CSUM
        or data[12:_IP] != _IPV6
        or data[_NEXT_HEADER : _NEXT_HEADER + 1] != _IS_UDP
        or start != _TRANSPORT_6
        or not 0 < gso_bytes < len(payload) <= udp.MAX_LONG_BURST_DATAGRAMS * gso_bytes
    ):
        raise WireError("tap_bad_gso")
    return [
        Frame(_datagram_6(data, payload[at : at + gso_bytes]), CHECKSUM_GOOD)
        for at in range(0, len(payload), gso_bytes)
    ]


def _are_datagrams(data: bytes, gso_bytes: int, start: int) -> bool:
    """Tell whether the headers of IPv4 and UDP are those of a super-frame of this kind."""
    payload_bytes = len(data) - start - udp.HEADER_BYTES
    return (
        start >= _TRANSPORT
        and 0 < gso_bytes < payload_bytes <= udp.MAX_LONG_BURST_DATAGRAMS * gso_bytes
        and data[12:_IP] == _IPV4
        and data[_PROTO] == ipv4.UDP
        and start == _IP + (data[_IP] & 0xF) * 4
        and not int.from_bytes(data[_IP + 6 : _IP + 8], "big") & ipv4.FRAGMENT
        and int.from_bytes(data[_IP + 2 : _IP + 4], "big") == len(data) - _IP
        and int.from_bytes(data[start + 4 : start + 6], "big") == len(data) - start
    )


def _datagram_6(data: bytes, payload: memoryview) -> bytes:
    """Return the frame of one datagram, with the headers of a super-frame over IPv6."""
    size = (udp.HEADER_BYTES + len(payload)).to_bytes(2, "big")
    ports = data[_TRANSPORT_6 : _TRANSPORT_6 + 4]
    addresses = data[_IP + 8 : _TRANSPORT_6]
    pseudo = b"".join((addresses, size, b"\0", _IS_UDP, ports, size, payload))
    check = (checksum(pseudo) or 0xFFFF).to_bytes(2, "big")
    ip = (data[: _IP + 4], size, data[_NEXT_HEADER:_TRANSPORT_6])
    return b"".join((*ip, ports, size, check, payload))


def super_frame_of(raw: bytes) -> SuperFrame | None:
    """Return the super-frame of TCP that was read with the header before it, without a copy (HOT).

    None: it is something else, for `frame_of`.
    """
    flags, gso_type, _, gso_bytes, start, _ = _HEADER.unpack_from(raw)
    at = _HEADER.size
    if (
        gso_type & ~_GSO_ECN != _GSO_TCPV4
        or not flags & _NEEDS_CSUM
        or start != _TRANSPORT
        or raw[at + 12 : at + _IP] != b"\x08\x00"
    ):
        return None
    headers_end = at + _TRANSPORT + (raw[at + _TRANSPORT + 12] >> 4) * 4
    payload = memoryview(raw)[headers_end:]
    return SuperFrame(raw[at:headers_end], payload, CHECKSUM_PARTIAL, gso_bytes)


def _filled(data: bytes, start: int, offset: int) -> bytes:
    # The field holds the pseudo-header's sum, so the sum over it all is right as it stands.
    at = start + offset
    check = checksum(memoryview(data)[start:]) or 0xFFFF
    return data[:at] + check.to_bytes(2, "big") + data[at + 2 :]
