"""A frame read one header after the other, as what the short cuts are held against."""

from pystack.core.addresses import Mac
from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4
from pystack.wire.frame import CHECKSUM_UNKNOWN, Frame
from pystack.wire.packet import Packet


def whole_packet(frame: Frame, mac: Mac, proto: int) -> Packet | None:
    """Return a frame's packet, for the station `mac`; None where a layer would not take it."""
    dst, src, ethertype = ethernet.HEADER.unpack_from(frame.data)
    if dst != mac or src[0] & 1 or ethertype != ethernet.IPV4:
        return None
    good = frame.checksum != CHECKSUM_UNKNOWN
    try:
        packet = ipv4.parse(memoryview(frame.data)[ethernet.HEADER_BYTES :], checksum_good=good)
    except WireError:
        return None
    return None if packet.is_fragment or packet.proto != proto else packet
