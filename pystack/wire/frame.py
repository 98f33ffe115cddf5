"""One Ethernet frame on its way, with what offload knows about it.

A port that can segment (`Port.gso_max_bytes`) carries *super-frames*: a TCP segment of up to 64 KiB
in one frame that says into which pieces it is to be cut, and whose transport checksum may be left
for the device to fill in; or a *burst*, the same for datagrams of one size (the last may be
shorter). Whatever cannot carry them calls `split`; whatever shows bytes to a stranger (a capture, a
device without offload) calls `completed`. Everybody else passes them on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from struct import Struct
from typing import Final

from pystack.core.errors import WireError
from pystack.wire import ethernet, ip, ipv4, ipv6, tcp, udp
from pystack.wire.checksum import Buffer, checksum, pseudo_header_sum, residue_of
from pystack.wire.packet import FRAGMENT, Packet

# Who answers for the transport checksum inside a frame
CHECKSUM_UNKNOWN: Final = 0  # it is in its place; whoever receives it has to verify it
CHECKSUM_GOOD: Final = 1  # it is in its place, and was verified already
CHECKSUM_PARTIAL: Final = 2  # only the pseudo-header's sum is in its place; the data can be trusted

# The largest text of a super-frame whose length IPv4 has a number for, whatever TCP's options are
SUPER_TEXT_BYTES: Final = ipv4.MAX_PACKET_BYTES - ipv4.HEADER_BYTES - 60

# The largest text of a super-frame beyond that ("BIG TCP"), where a port takes such: what fits into
# the 17 pieces of 32 KiB in which Linux lays a packet down, with room for the headers.
BIG_TEXT_BYTES: Final = 16 * 32768

_IP: Final = ethernet.HEADER_BYTES
_TYPE: Final = ethernet.TYPE
_IS_IPV6: Final = ethernet.IS_IPV6
_PROTOCOL4: Final = slice(_IP + 9, _IP + 10)
_PROTOCOL6: Final = slice(_IP + 6, _IP + 7)
_IS_UDP: Final = bytes((ipv4.UDP,))
_IS_TCP: Final = bytes((ipv4.TCP,))
_SUMMED: Final = (ipv4.TCP, ipv4.UDP)
# In an IPv4 packet without options
_IDENT: Final = slice(_IP + 4, _IP + 6)
_FRAGMENT: Final = slice(_IP + 6, _IP + 8)
_LENGTH: Final = slice(_IP + 2, _IP + 4)
_CHECK: Final = slice(_IP + 10, _IP + 12)
_LENGTH6: Final = slice(_IP + 4, _IP + 6)
_TCP: Final = _IP + ipv4.HEADER_BYTES
_TCP6: Final = _IP + ipv6.HEADER_BYTES
_FLAGS: Final = 13  # in a TCP header
# Headers of a piece, of which `_fields_of` says what stands between the numbers
_HEADS: Final = {
    (is_v6, start + size): Struct(
        f"!58sI8sH{size - 18}s" if is_v6 else f"!18sH4sH12sI8sH{size - 18}s"
    )
    for is_v6, start in ((False, _TCP), (True, _TCP6))
    for size in range(tcp.HEADER_BYTES, 61, 4)
}


# protocol, addresses and ports (of `wire/headers.py`), tos, ttl, where the payload starts and ends
Plain = tuple[int, bytes, int, int, int, int]


class Frame:
    """The bytes of one frame and its offload state. Frames are never changed once sent."""

    __slots__ = ("checksum", "data", "gso_bytes", "head", "headers")

    def __init__(
        self,
        data: bytes,
        checksum: int = CHECKSUM_UNKNOWN,
        gso_bytes: int = 0,
        headers: Plain | None = None,
    ) -> None:
        self.data = self.head = data  # `head`: all headers at least, see `SuperFrame`
        self.checksum = checksum
        self.gso_bytes = gso_bytes  # payload bytes of each piece; 0: an ordinary frame
        # What `wire/headers.py` would read, where who made the frame knows; None: it has to
        self.headers = headers

    def replaced(self, data: bytes, checksum: int = CHECKSUM_UNKNOWN, gso_bytes: int = 0) -> Frame:
        """Return the frame that goes on in this one's place, from whoever changes it on its way."""
        return Frame(data, checksum, gso_bytes)

    def again(self, now: float) -> Frame:
        """Return a copy, from whoever makes two of one on their way: `now` there are two."""
        return self

    def __len__(self) -> int:
        """Return its bytes, Ethernet header included."""
        return len(self.data)


def is_burst(frame: Frame) -> bool:
    """Tell whether a frame is a super-frame of datagrams."""
    if frame.gso_bytes <= 0:
        return False
    head = frame.head
    return head[_PROTOCOL6 if head[_TYPE] == _IS_IPV6 else _PROTOCOL4] == _IS_UDP


class SuperFrame(Frame):
    """A frame in parts: its headers, and text that nobody has copied yet (HOT).

    Whoever wants to see all of it reads `data`, which is put together then. Its packet may be
    larger than the 65,535 bytes that IPv4 has a number for; the total length is 0 then, as in Linux
    since 6.3 ("BIG TCP"). Only where a port says it takes such (`gso_max_bytes`) are there any.
    """

    __slots__ = ("more", "payload")

    def __init__(
        self,
        head: bytes,
        payload: Buffer,
        checksum: int,
        gso_bytes: int,
        more: Sequence[Buffer] = (),
    ) -> None:
        self.head = head
        self.payload = payload  # of bytes that never change, like those of `more`
        self.more = more  # what follows it
        self.checksum = checksum
        self.gso_bytes = gso_bytes
        self.headers = None

    def __getattr__(self, name: str) -> bytes:
        """Return `data`, the only attribute that may be missing, and keep it."""
        if name != "data":
            raise AttributeError(name)
        self.data = data = b"".join((self.head, self.payload, *self.more))
        return data

    def __len__(self) -> int:
        """Return its bytes, Ethernet header included."""
        return len(self.head) + len(self.payload) + sum(map(len, self.more))


def headers_bytes(frame: Frame, packet: Packet) -> int:
    """Return how many bytes the headers of a super-frame with this packet have, Ethernet's too.

    Whoever made it may have been wrong about it, or hostile: WireError (`frame_bad_gso`).
    """
    start = _IP + packet.header_bytes
    size = len(packet.payload)
    end = udp.HEADER_BYTES
    if packet.proto == ipv4.TCP:
        end = (packet.payload[12] >> 4) * 4 if size >= tcp.HEADER_BYTES else 0
    if (
        frame.gso_bytes < 1
        or packet.is_fragment
        or packet.proto not in _SUMMED
        or not (tcp.HEADER_BYTES if packet.proto == ipv4.TCP else end) <= end <= size
        or start + end + frame.gso_bytes > _IP + ipv4.MAX_PACKET_BYTES
    ):
        raise WireError("frame_bad_gso")
    return start + end


def cut_down(frame: SuperFrame, most_bytes: int) -> list[SuperFrame]:
    """Return super-frames of at most `most_bytes` of text each that carry what a larger one does.

    It is one of TCP, its IP header is a plain one, and its checksum is CHECKSUM_PARTIAL. WireError
    (`frame_bad_gso`): it is not.
    """
    head_bytes = len(frame.head)
    start = _plain_tcp_at(frame)
    if not start or head_bytes != start + (frame.head[start + 12] >> 4) * 4:
        raise WireError("frame_bad_gso")
    if frame.gso_bytes > most_bytes:
        raise WireError("frame_bad_gso")
    text = memoryview(b"".join((frame.payload, *frame.more)))
    step = most_bytes // frame.gso_bytes * frame.gso_bytes
    return [
        SuperFrame(
            _head_of(frame.head, start, text, at, step, frame.gso_bytes),
            text[at : at + step],
            frame.checksum,
            frame.gso_bytes,
        )
        for at in range(0, len(text), step)
    ]


def numbered(frame: Frame) -> Sequence[Frame]:
    """Return the frame; if no header has a number for its length, smaller ones in its place.

    One that is not what it says it is comes back as it is.
    """
    if isinstance(frame, SuperFrame) and len(frame) > ipv4.MAX_PACKET_BYTES:
        with suppress(WireError):
            return cut_down(frame, SUPER_TEXT_BYTES)
    return (frame,)


def cut_inside(frame: Frame) -> list[Frame]:
    """Return ordinary frames as `split` does, but with checksums left open where they were.

    For what carries frames inside this process. WireError: it is not what it says.
    """
    pieces = _cut_open(frame)
    return split(frame) if pieces is None else [Frame(data, CHECKSUM_PARTIAL) for data in pieces]


def cut(frame: Frame, *, inside: bool = False) -> list[bytes]:
    """Return the bytes of what `split`, or `cut_inside`, makes of a frame (HOT).

    All have the same length, but for the last, which may be shorter. WireError: see there.
    """
    pieces = None
    if inside:
        pieces = _cut_open(frame)
    elif frame.gso_bytes and frame.checksum != CHECKSUM_UNKNOWN:
        pieces = _cut_plain(frame)
    return [piece.data for piece in split(frame)] if pieces is None else pieces


def _cut_open(frame: Frame) -> list[bytes] | None:
    """Return what `cut_inside` does of TCP with a plain IP header (HOT); None: it is not such."""
    start = _plain_tcp_at(frame) if frame.checksum == CHECKSUM_PARTIAL else 0
    if not start:
        return None
    step, whole = frame.gso_bytes, frame.data
    head_bytes = start + (whole[start + 12] >> 4) * 4
    text = memoryview(whole)[head_bytes:]
    if len(text) <= step or head_bytes < start + tcp.HEADER_BYTES:
        return None
    head = whole[:head_bytes]
    last = (len(text) - 1) // step * step
    if head[_TYPE] != _IS_IPV6 and any(head[_IDENT]):
        return [
            _head_of(head, start, text, at, step, step) + text[at : at + step]
            for at in range(0, len(text), step)
        ]
    pieces = [_head_of(head, start, text, 0, step, step) + text[:step]]
    if last > step:
        # Those in the middle differ in their numbers alone.
        middle = _head_of(head, start, text, step, step, step)
        before, after = middle[: start + 4], middle[start + 8 :]
        seq = int.from_bytes(head[start + 4 : start + 8], "big")
        join = b"".join
        pieces += [
            join(
                (
                    before,
                    (seq + at & 0xFFFFFFFF).to_bytes(4, "big"),
                    after,
                    text[at : at + step],
                )
            )
            for at in range(step, last, step)
        ]
    pieces.append(_head_of(head, start, text, last, step, step) + text[last:])
    return pieces


def _plain_tcp_at(frame: Frame) -> int:
    """Return where TCP's header begins in a super-frame with a plain IP header; 0: it is none."""
    head = frame.head
    if len(head) < _TCP + tcp.HEADER_BYTES or frame.gso_bytes < 1:
        return 0
    if head[_TYPE] == _IS_IPV6:
        is_tcp = head[_PROTOCOL6] == _IS_TCP and len(head) >= _TCP6 + tcp.HEADER_BYTES
        return _TCP6 if is_tcp and head[_IP] >> 4 == 6 else 0
    is_part = int.from_bytes(head[_FRAGMENT], "big") & FRAGMENT
    is_plain = head[_IP] == ipv4.PLAIN and not is_part
    return _TCP if head[_PROTOCOL4] == _IS_TCP and is_plain else 0


def _head_of(
    whole: bytes, start: int, text: memoryview, at: int, step: int, gso_bytes: int
) -> bytes:
    """Return the headers of the piece of `step` bytes from `at` on; `start`: where TCP's is."""
    is_v6 = whole[_TYPE] == _IS_IPV6
    size = min(step, len(text) - at)
    head = bytearray(whole)
    tcp_bytes = len(whole) - start + size
    if is_v6:
        head[_IP + 4 : _IP + 6] = tcp_bytes.to_bytes(2, "big")
    else:
        _say_length(head, tcp_bytes, at // gso_bytes)
    seq = int.from_bytes(whole[start + 4 : start + 8], "big")
    head[start + 4 : start + 8] = (seq + at & 0xFFFFFFFF).to_bytes(4, "big")
    at_sum = start + tcp.CHECKSUM_OFFSET
    # Source and destination end the IP header; 2**16 is 1 modulo 0xFFFF.
    addresses = int.from_bytes(whole[start - (32 if is_v6 else 8) : start], "big")
    pseudo = addresses + ipv4.TCP + tcp_bytes
    head[at_sum : at_sum + 2] = ((pseudo - 1) % 0xFFFF + 1).to_bytes(2, "big")
    if at:
        head[start + _FLAGS] &= ~tcp.CWR
    if at + size < len(text):
        head[start + _FLAGS] &= ~(tcp.FIN | tcp.PSH)
    return bytes(head)


def _say_length(head: bytearray, payload_bytes: int, number: int) -> None:
    """Write into an IPv4 header how much it carries, as that many pieces after the first."""
    head[_IP + 2 : _IP + 4] = (ipv4.HEADER_BYTES + payload_bytes).to_bytes(2, "big")
    if any(head[_IDENT]):  # routers may cut it: each of its pieces has an identification
        ident = int.from_bytes(head[_IDENT], "big") + number
        head[_IDENT] = (ident & 0xFFFF or 1).to_bytes(2, "big")
    head[_IP + 10 : _IP + 12] = bytes(2)
    head[_IP + 10 : _IP + 12] = checksum(head[_IP:_TCP]).to_bytes(2, "big")


def completed(frame: Frame) -> Frame:
    """Return the frame with its transport checksum in place (the same one if it was)."""
    if frame.checksum != CHECKSUM_PARTIAL:
        return frame
    data = bytearray(frame.data)
    packet = ip.packet_of(data)
    at = 16 if packet.proto == ipv4.TCP else 6
    payload = packet.payload
    if packet.proto not in _SUMMED or packet.is_fragment or at + 2 > len(payload):
        raise WireError("frame_no_checksum_field")
    payload[at : at + 2] = b"\0\0"
    pseudo = pseudo_header_sum(packet.src, packet.dst, packet.proto, len(payload))
    check = checksum(payload, pseudo)
    if packet.proto == ipv4.UDP:
        check = check or 0xFFFF
    payload[at : at + 2] = check.to_bytes(2, "big")
    return Frame(bytes(data), CHECKSUM_GOOD, frame.gso_bytes)


def split(frame: Frame) -> list[Frame]:
    """Return ordinary frames with checksums in place that carry what the super-frame does.

    WireError: it is not what it says.

    As a device's TSO does it: FIN and PSH stay with the last piece and CWR with the first, and the
    IP identification counts up (RFC 6864 lets it repeat; that it counts helps whoever reads along).
    """
    if not frame.gso_bytes:
        return [completed(frame)]
    pieces = _cut_plain(frame) if frame.checksum != CHECKSUM_UNKNOWN else None
    if pieces is not None:
        return [Frame(data, CHECKSUM_GOOD) for data in pieces]
    # Its pieces get checksums of their own: what was in it has to be right, or it would be no more.
    packet = ip.packet_of(frame.data, checksum_good=frame.checksum != CHECKSUM_UNKNOWN)
    headers_bytes(frame, packet)
    bodies = (_datagrams if packet.proto == ipv4.UDP else _segments)(packet, frame.gso_bytes)
    link_header = frame.data[:_IP]
    return [_piece(link_header, packet, body, number) for number, body in enumerate(bodies)]


def _cut_plain(frame: Frame) -> list[bytes] | None:
    """Return what `split` does of TCP with a plain IP header, by sums (HOT); None: it is not such.

    The pieces differ in a few numbers, which are added to the sum of all the rest: that takes a
    fifth of the time of reading, and writing, each one's headers.
    """
    start, step, whole = _plain_tcp_at(frame), frame.gso_bytes, frame.data
    head_bytes = start + (whole[start + 12] >> 4) * 4 if start else 0
    text_bytes = len(whole) - head_bytes
    is_v6 = start == _TCP6
    if (
        head_bytes < start + tcp.HEADER_BYTES
        or text_bytes <= step
        or head_bytes + step > _IP + ipv4.MAX_PACKET_BYTES
        or int.from_bytes(whole[_LENGTH6 if is_v6 else _LENGTH], "big")
        != len(whole) - (start if is_v6 else _IP)
        or (not is_v6 and checksum(whole[_IP:_TCP]))
    ):
        return None
    head = bytearray(whole[:head_bytes])
    seq, flags = int.from_bytes(head[start + 4 : start + 8], "big"), head[start + _FLAGS]
    ident = 0 if is_v6 else int.from_bytes(head[_IDENT], "big")
    pack = _HEADS[is_v6, head_bytes].pack
    pieces: list[bytes] = []
    last = (text_bytes - 1) // step * step
    for at in range(0, text_bytes, step):
        text = whole[head_bytes + at : head_bytes + at + step]
        if at <= step or at == last:  # the first; those in the middle; the last
            gone = (tcp.CWR if at else 0) | (tcp.FIN | tcp.PSH if at != last else 0)
            head[start + _FLAGS] = flags & ~gone
            lead, fragment, ends, ip_sum, middle, behind, tcp_sum = _fields_of(
                head, start, len(text)
            )
        number = seq + at & 0xFFFFFFFF
        rest = tcp_sum + number + residue_of(text, 0, len(text))
        check = (0xFFFF - rest % 0xFFFF) % 0xFFFF
        if is_v6:
            pieces.append(pack(lead, number, middle, check, behind) + text)
        else:
            own = ident & 0xFFFF
            ident += 1
            own_check = (0xFFFF - (ip_sum + own) % 0xFFFF) % 0xFFFF
            numbers = lead, own, fragment, own_check, ends, number, middle, check, behind
            pieces.append(pack(*numbers) + text)
    return pieces


def _fields_of(
    head: bytearray, start: int, size: int
) -> tuple[bytes, bytes, bytes, int, bytes, bytes, int]:
    """Return what is between the numbers in which pieces of one length differ, and its sums.

    That is: what is before the identification (IPv6: TCP's sequence number), between it and the
    checksum, then up to the sequence number; the sum of that; what is before TCP's checksum, and
    behind it; the sum of that, with the pseudo-header's. Sums are modulo 0xFFFF.
    """
    is_v6 = start == _TCP6
    tcp_bytes = len(head) - start + size
    zeroed = bytearray(head)
    zeroed[start + 4 : start + 8] = bytes(4)
    zeroed[start + 16 : start + 18] = bytes(2)
    # Source and destination end the IP header; 2**16 is 1 modulo 0xFFFF.
    addresses = int.from_bytes(head[start - (32 if is_v6 else 8) : start], "big")
    tcp_sum = addresses + ipv4.TCP + tcp_bytes + int.from_bytes(zeroed[start:], "big")
    tcp_sum %= 0xFFFF
    middle, behind = bytes(head[start + 8 : start + 16]), bytes(head[start + 18 :])
    if is_v6:
        zeroed[_LENGTH6] = tcp_bytes.to_bytes(2, "big")
        return bytes(zeroed[: start + 4]), b"", b"", 0, middle, behind, tcp_sum
    zeroed[_LENGTH] = (ipv4.HEADER_BYTES + tcp_bytes).to_bytes(2, "big")
    zeroed[_IDENT] = zeroed[_CHECK] = bytes(2)
    ip_sum = int.from_bytes(zeroed[_IP:_TCP], "big") % 0xFFFF
    lead, fragment = bytes(zeroed[: _IP + 4]), bytes(zeroed[_IP + 6 : _IP + 10])
    return lead, fragment, bytes(zeroed[_IP + 12 : start + 4]), ip_sum, middle, behind, tcp_sum


def _segments(packet: Packet, each_bytes: int) -> Iterator[bytes]:
    segment = tcp.parse(packet)
    total = len(segment.payload)
    for at in range(0, total, each_bytes) or (0,):
        payload = segment.payload[at : at + each_bytes]
        flags = segment.flags
        if at:
            flags &= ~tcp.CWR
        if at + len(payload) < total:
            flags &= ~(tcp.FIN | tcp.PSH)
        piece = tcp.Segment(
            segment.src_port,
            segment.dst_port,
            segment.seq + at,
            segment.ack,
            flags,
            segment.wnd,
            segment.options,
            payload,
            up=segment.up,
        )
        yield tcp.pack_header(piece, packet.src, packet.dst) + payload


def _datagrams(packet: Packet, each_bytes: int) -> Iterator[bytes]:
    datagram = udp.parse(packet)
    payload, ports = datagram.payload, (datagram.src_port, datagram.dst_port)
    for at in range(0, len(payload), each_bytes) or (0,):
        yield udp.pack(packet.src, packet.dst, *ports, payload[at : at + each_bytes])


def _piece(link_header: bytes, packet: Packet, body: bytes, number: int) -> Frame:
    if packet.version == 6:
        header = bytearray(packet.raw[: packet.header_bytes])
        behind = len(header) - ipv6.HEADER_BYTES + len(body)
        header[4:6] = behind.to_bytes(2, "big")
        return Frame(link_header + header + body, CHECKSUM_GOOD)
    header4 = ipv4.pack_header(
        packet.src,
        packet.dst,
        packet.proto,
        len(body),
        ident=packet.ident + number & 0xFFFF,
        flags_offset=packet.flags_offset,
        ttl=packet.ttl,
        tos=packet.tos,
        options=bytes(packet.options),
    )
    return Frame(link_header + header4 + body, CHECKSUM_GOOD)
