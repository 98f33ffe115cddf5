"""Address resolution for IPv4 over Ethernet (RFC 826)."""

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import ZERO_MAC, Ip4, Mac
from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer

REQUEST: Final = 1
REPLY: Final = 2

_PACKET: Final = struct.Struct("!HHBBH6sI6sI")
_ETHERNET: Final = 1  # ar$hrd
_IPV4: Final = 0x0800  # ar$pro


@dataclass(slots=True)
class ArpPacket:
    """The fields of RFC 826 by their names there: s for sender, t for target."""

    op: int
    sha: Mac
    spa: Ip4
    tha: Mac
    tpa: Ip4


def parse(data: Buffer) -> ArpPacket:
    """Read a packet; Ethernet's padding after it is ignored."""
    if len(data) < _PACKET.size:
        raise WireError("arp_truncated")
    hrd, pro, hln, pln, op, sha, spa, tha, tpa = _PACKET.unpack_from(data)
    if (hrd, pro, hln, pln) != (_ETHERNET, _IPV4, 6, 4):
        raise WireError("arp_other_protocol")
    if op not in (REQUEST, REPLY):
        raise WireError("arp_bad_operation")
    return ArpPacket(op, sha, spa, tha, tpa)


def pack(op: int, sha: Mac, spa: Ip4, tpa: Ip4, tha: Mac = ZERO_MAC) -> bytes:
    """Return the 28 bytes of a request or a reply."""
    return _PACKET.pack(_ETHERNET, _IPV4, 6, 4, op, sha, spa, tha, tpa)
