"""The header before each frame of a TAP with offload: `struct virtio_net_hdr`.

It carries what a `Frame` knows beside its bytes: that the checksum is to be filled in, and into
pieces of which size a super-frame is to be cut (virtio 1.2, section 5.1.6).
"""

import struct
from typing import Final

from pystack.wire import ethernet, ipv4, tcp
from pystack.wire.checksum import checksum
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN, Frame

_NEEDS_CSUM: Final = 1
_DATA_VALID: Final = 2
_GSO_TCPV4: Final = 1
_GSO_ECN: Final = 0x80
# flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; in the machine's byte order, which is
# what a TAP wants unless it is told otherwise (TUNSETVNETLE)
_HEADER: Final = struct.Struct("=BBHHHH")

_IP: Final = ethernet.HEADER_BYTES
_TRANSPORT: Final = _IP + ipv4.HEADER_BYTES  # where it starts after a header without options
_PLAIN: Final = 0x45
_PROTO: Final = _IP + 9
_UDP_CHECKSUM_OFFSET: Final = 6

_NOTHING: Final = bytes(_HEADER.size)
_TCP_CHECKSUM: Final = _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, _TRANSPORT, tcp.CHECKSUM_OFFSET)
_UDP_CHECKSUM: Final = _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, _TRANSPORT, _UDP_CHECKSUM_OFFSET)


def header_of(frame: Frame) -> bytes | None:
    """Return what to write before the frame; None if it has to be split first."""
    if frame.checksum != CHECKSUM_PARTIAL:
        # The kernel takes super-frames only with the checksum left to it.
        return None if frame.gso_bytes else _NOTHING
    data = frame.data
    is_tcp = data[_PROTO] == ipv4.TCP
    if not frame.gso_bytes and data[_IP] == _PLAIN:
        return _TCP_CHECKSUM if is_tcp else _UDP_CHECKSUM
    start = _IP + (data[_IP] & 0xF) * 4
    if not frame.gso_bytes:
        offset = tcp.CHECKSUM_OFFSET if is_tcp else _UDP_CHECKSUM_OFFSET
        return _HEADER.pack(_NEEDS_CSUM, 0, 0, 0, start, offset)
    if not is_tcp:
        return None
    gso_type = _GSO_TCPV4 | (_GSO_ECN if data[start + 13] & tcp.CWR else 0)
    headers_bytes = start + (data[start + 12] >> 4) * 4
    return _HEADER.pack(
        _NEEDS_CSUM, gso_type, headers_bytes, frame.gso_bytes, start, tcp.CHECKSUM_OFFSET
    )


def frame_of(header: bytes | bytearray, data: bytes) -> Frame | None:
    """Return the frame that was read after this header; None if it is none that we asked for."""
    flags, gso_type, _, gso_bytes, start, offset = _HEADER.unpack(header)
    if not gso_type:
        gso_bytes = 0
    elif gso_type & ~_GSO_ECN != _GSO_TCPV4:
        return None
    if flags & _NEEDS_CSUM:
        # Only IPv4's is left open: of anything else (IPv6, VLAN) a Frame does not know the place.
        if data[12:_IP] == b"\x08\x00":
            return Frame(data, CHECKSUM_PARTIAL, gso_bytes)
        return Frame(_filled(data, start, offset))
    return Frame(data, CHECKSUM_GOOD if flags & _DATA_VALID else CHECKSUM_UNKNOWN, gso_bytes)


def _filled(data: bytes, start: int, offset: int) -> bytes:
    # The field holds the pseudo-header's sum, so the sum over it all is right as it stands.
    at = start + offset
    check = checksum(memoryview(data)[start:]) or 0xFFFF
    return data[:at] + check.to_bytes(2, "big") + data[at + 2 :]
