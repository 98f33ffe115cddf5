"""The IP packet of a frame, whichever its version."""

import struct
from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, ipv6
from pystack.wire.checksum import update
from pystack.wire.packet import Packet

_TYPE: Final = slice(12, 14)
_TTL_CHECKSUM: Final = struct.Struct("!HH")
_TTL_AT: Final = 8
_HOPS_AT: Final = 7
_ONE_HOP: Final = 0x100  # of the TTL, in the word that it shares with the protocol
_IPV4: Final = ethernet.IPV4.to_bytes(2, "big")
_IPV6: Final = ethernet.IPV6.to_bytes(2, "big")


def packet_of(
    frame: bytes | bytearray | memoryview, *, checksum_good: bool = False, to_many: bool = False
) -> Packet:
    """Read the packet of a frame without copying. WireError: it is none, or malformed."""
    data = memoryview(frame)[ethernet.HEADER_BYTES :]
    kind = frame[_TYPE]
    if kind == _IPV4:
        return ipv4.parse(data, checksum_good=checksum_good, to_many=to_many)
    if kind == _IPV6:
        return ipv6.parse(data, checksum_good=checksum_good, to_many=to_many)
    raise WireError("ip_bad_version")


def parse(packet: bytes | memoryview) -> Packet:
    """Read a packet that stands alone, by the version that its first bits tell."""
    data = memoryview(packet)
    return ipv6.parse(data) if data[:1] and data[0] >> 4 == 6 else ipv4.parse(data)


def aged(packet: Packet, options: bytes) -> bytes:
    """Return the packet's headers with one hop less to live.

    `options` are IPv4's as they are to be now; the checksum is brought up to date (RFC 1624).
    """
    patched = bytearray(packet.raw[: packet.header_bytes])
    if packet.version == 6:
        patched[_HOPS_AT] -= 1
        return bytes(patched)
    old, check = _TTL_CHECKSUM.unpack_from(patched, _TTL_AT)
    word = old - _ONE_HOP
    was = bytes(packet.options)
    if options != was:
        patched[ipv4.HEADER_BYTES :] = options
        check = update(check, _sum(was), _sum(options))
    _TTL_CHECKSUM.pack_into(patched, _TTL_AT, word, update(check, old, word))
    return bytes(patched)


def _sum(words: bytes) -> int:
    return int.from_bytes(words, "big") % 0xFFFF
