"""Ethernet II (RFC 894): destination, source, type. No 802.3 lengths; hosts know no VLAN tags."""

import struct
from typing import Final

HEADER: Final = struct.Struct("!6s6sH")
HEADER_BYTES: Final = 14
# Where they lie in a frame
DST: Final = slice(0, 6)
SRC: Final = slice(6, 12)
TYPE: Final = slice(12, 14)

ARP: Final = 0x0806
IPV4: Final = 0x0800
IPV6: Final = 0x86DD
VLAN: Final = 0x8100
TAGS: Final = frozenset({VLAN, 0x88A8, 0x9100})  # IEEE 802.1Q; 802.1ad, and what was before it
IS_ARP: Final = ARP.to_bytes(2, "big")  # as they lie there
IS_IPV4: Final = IPV4.to_bytes(2, "big")
IS_IPV6: Final = IPV6.to_bytes(2, "big")
MIN_ETHERTYPE: Final = 0x0600  # below it, the field is an 802.3 length


def pack(dst: bytes, src: bytes, ethertype: int, payload: bytes) -> bytes:
    """Return a frame without padding: a TAP and an emulated link need none."""
    return HEADER.pack(dst, src, ethertype) + payload
