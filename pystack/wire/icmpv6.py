"""ICMPv6 messages (RFC 4443): errors and echo. What `nd` and `mld` say is in such messages too."""

import errno
from typing import Final

from pystack.core.addresses import without_zone
from pystack.core.errors import WireError
from pystack.wire.checksum import Buffer, checksum
from pystack.wire.icmp import HEADER, HEADER_BYTES, IcmpMessage
from pystack.wire.ipv6_ext import ICMPV6
from pystack.wire.packet import Packet

DESTINATION_UNREACHABLE: Final = 1
PACKET_TOO_BIG: Final = 2
TIME_EXCEEDED: Final = 3
PARAMETER_PROBLEM: Final = 4
ECHO: Final = 128
ECHO_REPLY: Final = 129
# Of MLD (RFC 2710, RFC 3810) and Neighbor Discovery (RFC 4861)
MLD_QUERY: Final = 130
MLD_REPORT: Final = 131
MLD_DONE: Final = 132
ROUTER_SOLICITATION: Final = 133
ROUTER_ADVERTISEMENT: Final = 134
NEIGHBOR_SOLICITATION: Final = 135
NEIGHBOR_ADVERTISEMENT: Final = 136
REDIRECT: Final = 137
MLD_REPORT_2: Final = 143
FIRST_INFORMATIONAL: Final = 128  # all below it are errors (RFC 4443 section 2.1)

# codes of DESTINATION_UNREACHABLE (RFC 4443 section 3.1)
NO_ROUTE: Final = 0
PROHIBITED: Final = 1
BEYOND_SCOPE: Final = 2
ADDRESS_UNREACHABLE: Final = 3
PORT_UNREACHABLE: Final = 4
POLICY_FAILED: Final = 5
ROUTE_REJECTED: Final = 6
# codes of TIME_EXCEEDED
HOP_LIMIT_EXCEEDED: Final = 0
REASSEMBLY_TIME_EXCEEDED: Final = 1
# codes of PARAMETER_PROBLEM: see `ipv6_ext`

# What Linux gives a socket (icmpv6_err_convert)
_UNREACHABLE_ERRNO: Final = {
    NO_ROUTE: errno.ENETUNREACH,
    PROHIBITED: errno.EACCES,
    BEYOND_SCOPE: errno.EHOSTUNREACH,
    ADDRESS_UNREACHABLE: errno.EHOSTUNREACH,
    PORT_UNREACHABLE: errno.ECONNREFUSED,
    POLICY_FAILED: errno.EACCES,
    ROUTE_REJECTED: errno.EACCES,
}
# Of networks and hosts, which may be reached again
_SOFT_UNREACHABLE: Final = frozenset({NO_ROUTE, BEYOND_SCOPE, ADDRESS_UNREACHABLE})


def parse(packet: Packet) -> IcmpMessage:
    """Read a message and verify its checksum, which is over the addresses too."""
    data = packet.payload
    if len(data) < HEADER_BYTES:
        raise WireError("icmp6_truncated")
    if not packet.checksum_good and checksum(data, _pseudo(packet.src, packet.dst, len(data))):
        raise WireError("icmp6_bad_checksum")
    kind, code, _, rest = HEADER.unpack_from(data)
    return IcmpMessage(kind, code, rest, data[HEADER_BYTES:])


def pack(src: int, dst: int, kind: int, code: int, rest: int, payload: Buffer) -> bytes:
    """Return a message with its checksum."""
    message = bytearray(HEADER.pack(kind, code, 0, rest))
    message += payload
    message[2:4] = checksum(message, _pseudo(src, dst, len(message))).to_bytes(2, "big")
    return bytes(message)


def error_number(kind: int, code: int) -> int | None:
    """Return the errno that Linux gives a socket for an ICMPv6 error; None where it gives none."""
    if kind == DESTINATION_UNREACHABLE:
        return _UNREACHABLE_ERRNO.get(code, errno.EPROTO)
    if kind == PACKET_TOO_BIG:
        return errno.EMSGSIZE
    if kind == TIME_EXCEEDED:
        return errno.EHOSTUNREACH
    if kind == PARAMETER_PROBLEM:
        return errno.EPROTO
    return None


def is_hard(kind: int, code: int) -> bool:
    """Tell whether an error ends what it is about, as Linux sees it; a soft one may pass.

    PACKET_TOO_BIG is neither: path MTU discovery decides.
    """
    if kind == DESTINATION_UNREACHABLE:
        return code not in _SOFT_UNREACHABLE
    return kind == PARAMETER_PROBLEM


def _pseudo(src: int, dst: int, length: int) -> int:
    """Return the sum over the pseudo-header (RFC 8200 section 8.1): one of numbers, not of words.

    2**16 is 1 modulo 0xFFFF, so each number stands for the sum of its own words.
    """
    # The bit `V6` is 1 too, and a zone would count double.
    return without_zone(src) + without_zone(dst) - 2 + length + ICMPV6
