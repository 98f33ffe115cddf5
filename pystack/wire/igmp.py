"""IGMP as a host speaks it (RFC 2236): membership of IPv4 groups, told to the routers of a link."""

import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Ip4
from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, checksum

QUERY: Final = 0x11
REPORT_V1: Final = 0x12
REPORT_V2: Final = 0x16
LEAVE: Final = 0x17

_MESSAGE: Final = struct.Struct("!BBHI")
ROUTER_ALERT: Final = bytes((148, 4, 0, 0))  # RFC 2113; RFC 2236 section 2: in every message


@dataclass(slots=True)
class IgmpMessage:
    """What all versions have in common; a query of version 3 goes on behind it."""

    kind: int
    max_response_tenths: int  # of a second; 0: whoever asks knows version 1 alone
    group: Ip4  # 0: of a query, all groups


def parse(data: Buffer) -> IgmpMessage:
    """Read a message and verify its checksum, which is over all of it."""
    if len(data) < _MESSAGE.size:
        raise WireError("igmp_truncated")
    if checksum(data):
        raise WireError("igmp_bad_checksum")
    kind, max_response_tenths, _, group = _MESSAGE.unpack_from(data)
    return IgmpMessage(kind, max_response_tenths, group)


def pack(kind: int, group: Ip4, max_response_tenths: int = 0) -> bytes:
    """Return a message with its checksum."""
    check = checksum(_MESSAGE.pack(kind, max_response_tenths, 0, group))
    return _MESSAGE.pack(kind, max_response_tenths, check, group)
