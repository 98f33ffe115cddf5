"""ICMP messages (RFC 792, and RFC 1191 for the next-hop MTU)."""

import errno
import struct
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, checksum

ECHO_REPLY: Final = 0
DESTINATION_UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4  # obsolete, RFC 6633
ECHO: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12
TIMESTAMP: Final = 13
TIMESTAMP_REPLY: Final = 14

# The errors of RFC 792 and 1122: never answered with an error themselves.
ERRORS: Final = frozenset(
    {DESTINATION_UNREACHABLE, SOURCE_QUENCH, 5, TIME_EXCEEDED, PARAMETER_PROBLEM}
)

REQUESTS: Final = frozenset({ECHO, TIMESTAMP})

# codes of DESTINATION_UNREACHABLE
NET_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
PORT_UNREACHABLE: Final = 3
FRAGMENTATION_NEEDED: Final = 4
SOURCE_ROUTE_FAILED: Final = 5
COMMUNICATION_PROHIBITED: Final = 13  # RFC 1812 section 5.2.7.1
# codes of TIME_EXCEEDED
TTL_EXCEEDED: Final = 0
REASSEMBLY_TIME_EXCEEDED: Final = 1

HEADER_BYTES: Final = 8
TIMESTAMP_BYTES: Final = 12  # originate, receive, transmit: behind a timestamp message's header
HEADER: Final = struct.Struct("!BBHI")


@dataclass(slots=True)
class IcmpMessage:
    """Type, code, the four bytes whose meaning is the type's, and what follows."""

    kind: int
    code: int
    rest: int
    payload: memoryview

    @property
    def ident(self) -> int:
        """Return the identifier of an echo message."""
        return self.rest >> 16

    @property
    def seq(self) -> int:
        """Return the sequence number of an echo message."""
        return self.rest & 0xFFFF


def parse(data: memoryview) -> IcmpMessage:
    """Read a message and verify its checksum."""
    if len(data) < HEADER_BYTES:
        raise WireError("icmp_truncated")
    if checksum(data):
        raise WireError("icmp_bad_checksum")
    kind, code, _, rest = HEADER.unpack_from(data)
    return IcmpMessage(kind, code, rest, data[HEADER_BYTES:])


def pack(kind: int, code: int, rest: int, payload: Buffer) -> bytes:
    """Return a message with its checksum."""
    message = bytearray(HEADER.pack(kind, code, 0, rest))
    message += payload
    message[2:4] = checksum(message).to_bytes(2, "big")
    return bytes(message)


def timestamp_reply(request: IcmpMessage, stamp: bytes) -> bytes:
    """Return the answer to a timestamp request that came, and goes, at the instant of `stamp`."""
    if len(request.payload) < TIMESTAMP_BYTES:
        raise WireError("icmp_truncated")
    originate = bytes(request.payload[: len(stamp)])
    return pack(TIMESTAMP_REPLY, 0, request.rest, originate + 2 * stamp)


def quoted_ports(payload: memoryview) -> tuple[int, int]:
    """Return source and destination port from the 8 bytes that an error quotes of TCP or UDP."""
    if len(payload) < 8:
        raise WireError("icmp_quote_truncated")
    return payload[0] << 8 | payload[1], payload[2] << 8 | payload[3]


def error_number(kind: int, code: int) -> int | None:
    """Return the errno that Linux gives a socket for an ICMP error; None where it gives none."""
    if kind == DESTINATION_UNREACHABLE:
        return _UNREACHABLE_ERRNO.get(code)
    if kind == TIME_EXCEEDED:
        return errno.EHOSTUNREACH
    if kind == PARAMETER_PROBLEM:
        return errno.EPROTO
    return None


def is_hard(kind: int, code: int) -> bool:
    """Tell whether an error ends what it is about, as Linux sees it; a soft one may pass.

    FRAGMENTATION_NEEDED is neither: path MTU discovery decides.
    """
    if kind == DESTINATION_UNREACHABLE:
        return code not in _SOFT_CODES
    return kind == PARAMETER_PROBLEM


# Of networks and hosts, which may be reached again, and by way of this or that
_SOFT_CODES: Final = frozenset(
    {NET_UNREACHABLE, HOST_UNREACHABLE, FRAGMENTATION_NEEDED, SOURCE_ROUTE_FAILED, 11, 12}
)

_UNREACHABLE_ERRNO: Final = {
    NET_UNREACHABLE: errno.ENETUNREACH,
    HOST_UNREACHABLE: errno.EHOSTUNREACH,
    PROTOCOL_UNREACHABLE: errno.ENOPROTOOPT,
    PORT_UNREACHABLE: errno.ECONNREFUSED,
    FRAGMENTATION_NEEDED: errno.EMSGSIZE,
    SOURCE_ROUTE_FAILED: errno.EOPNOTSUPP,
    6: errno.ENETUNREACH,
    7: errno.EHOSTDOWN,
    8: errno.ENONET,  # the source is isolated
    9: errno.ENETUNREACH,  # administratively prohibited
    10: errno.EHOSTUNREACH,
    11: errno.ENETUNREACH,  # for this type of service
    12: errno.EHOSTUNREACH,
    COMMUNICATION_PROHIBITED: errno.EHOSTUNREACH,
    14: errno.EHOSTUNREACH,  # precedence
    15: errno.EHOSTUNREACH,
}
