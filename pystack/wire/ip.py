"""The IP packet of a frame, whichever its version."""

from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, ipv6
from pystack.wire.packet import Packet

_TYPE: Final = slice(12, 14)
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
