"""What a vxlan device of Linux leaves to a network card, where there is none.

On a machine of its own it hands a card frames whose checksum is to be filled in, that of the frame
inside, and which are to be cut. Between namespaces and containers (veth) nobody does: what arrives
has the sum of the pseudo-header in its place, and is up to 64 KiB long. A TAP would say so by a
header of its own; here it is seen by the sum.
"""

from typing import Final

from pystack.wire import ethernet
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame
from pystack.wire.ipv4 import TCP, UDP

_IPV4: Final = b"\x08\x00\x45"  # type, version and length of a header without options
_IPV6: Final = b"\x86\xdd\x60"
_FIELDS: Final = {TCP: 16, UDP: 6}  # where the checksum is in the transport header


def frame_of(data: bytes, mtu_bytes: int) -> Frame:
    """Return a frame that a vxlan device sent, with what nobody has done to it yet.

    `mtu_bytes`: of the path. A frame that has the pseudo-header's sum by chance passes as good: one
    of the damaged ones in 65,536, as with any checksum of that size.
    """
    if data[12:15] == _IPV4:
        proto, start, addresses = data[23:24], 34, data[26:34]
        length = int.from_bytes(data[16:18], "big") - 20
    elif data[12:15] == _IPV6:
        proto, start, addresses = data[20:21], 54, data[22:54]
        length = int.from_bytes(data[18:20], "big")
    else:
        return Frame(data)
    field = _FIELDS.get(proto[0]) if proto else None
    if field is None or len(data) < start + field + 2:
        return Frame(data)
    found = int.from_bytes(data[start + field : start + field + 2], "big")
    # 2**16 is 1 modulo 0xFFFF, see `wire/checksum.py`.
    total = int.from_bytes(addresses, "big") + proto[0] + length
    if not found or total % 0xFFFF != found % 0xFFFF:
        return Frame(data)
    gso_bytes = 0
    if proto[0] == TCP and len(data) - ethernet.HEADER_BYTES > mtu_bytes:
        # It was for the card to cut. How, nobody says: so that it fits the path.
        headers_bytes = start - ethernet.HEADER_BYTES + (data[start + 12] >> 4) * 4
        gso_bytes = max(mtu_bytes - headers_bytes, 1)
    return Frame(data, CHECKSUM_PARTIAL, gso_bytes)
