"""What a vxlan device of Linux leaves to a network card, where there is none.

On a machine of its own it hands a card frames whose checksum is to be filled in, that of the frame
inside, and which are to be cut. Between namespaces and containers (veth) nobody does: what arrives
has the sum of the pseudo-header in its place, and is up to 64 KiB long. A TAP would say so by a
header of its own; here it is seen by the sum.
"""

from typing import Final

from pystack.wire import ethernet
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame
from pystack.wire.headers import V4_END, V6_END
from pystack.wire.ipv4 import FRAGMENT, TCP, UDP

_IPV4: Final = ethernet.IS_IPV4
_IPV6: Final = ethernet.IS_IPV6
_FIELDS: Final = {TCP: 16, UDP: 6}  # where the checksum is in the transport header


def frame_of(data: bytes, mtu_bytes: int) -> Frame:
    """Return a frame that a vxlan device sent, with what nobody has done to it yet.

    `mtu_bytes`: of the path. A frame that has the pseudo-header's sum by chance passes as good: one
    of the damaged ones in 65,536, as with any checksum of that size.
    """
    start = open_at(data)
    if not start:
        return Frame(data)
    gso_bytes = 0
    proto = data[20 if start == V6_END else 23]
    if proto == TCP and len(data) - ethernet.HEADER_BYTES > mtu_bytes:
        # It was for the card to cut. How, nobody says: so that it fits the path.
        headers_bytes = start - ethernet.HEADER_BYTES + (data[start + 12] >> 4) * 4
        gso_bytes = max(mtu_bytes - headers_bytes, 1)
    return Frame(data, CHECKSUM_PARTIAL, gso_bytes)


def open_at(data: bytes) -> int:
    """Return where the transport header begins whose checksum is open; 0: none is seen."""
    kind, first = data[ethernet.TYPE], data[ethernet.HEADER_BYTES : ethernet.HEADER_BYTES + 1]
    if kind == _IPV4 and first == b"\x45" and not int.from_bytes(data[20:22], "big") & FRAGMENT:
        proto, start, addresses = data[23:24], V4_END, data[26:34]
        length = int.from_bytes(data[16:18], "big") - 20
    elif kind == _IPV6 and first and first[0] >> 4 == 6:
        proto, start, addresses = data[20:21], V6_END, data[22:54]
        length = int.from_bytes(data[18:20], "big")
    else:
        return 0
    field = _FIELDS.get(proto[0]) if proto else None
    if field is None or len(data) < start + field + 2:
        return 0
    found = int.from_bytes(data[start + field : start + field + 2], "big")
    # 2**16 is 1 modulo 0xFFFF, see `wire/checksum.py`.
    total = int.from_bytes(addresses, "big") + proto[0] + length
    return start if found and total % 0xFFFF == found % 0xFFFF else 0
