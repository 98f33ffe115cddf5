"""TCP segments into frames, and out of them."""

from pystack.wire import headers, ip, tcp
from pystack.wire.frame import CHECKSUM_UNKNOWN, Frame
from pystack.wire.ipv4 import DONT_FRAGMENT, TCP
from pystack.wire.tcp import Segment


def headers_of(
    segment: Segment, src: int, dst: int, src_mac: bytes, dst_mac: bytes, *, partial: bool = False
) -> bytes:
    """Return all headers of a frame with this segment, whose text is to follow."""
    template = headers.template(src_mac, src, dst)
    header = tcp.pack_header(segment, src, dst, partial=partial)
    size = len(header) + segment.text_bytes
    return dst_mac + template.pack(TCP, size, segment.ecn, 64, 0, DONT_FRAGMENT) + header


def segment_in(frame: Frame) -> Segment:
    """Return the segment of a frame, which has to be right."""
    good = frame.checksum != CHECKSUM_UNKNOWN
    return tcp.parse(ip.packet_of(frame.data, checksum_good=good))
