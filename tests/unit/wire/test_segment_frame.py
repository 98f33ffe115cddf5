"""The short cut over three headers sees and writes exactly what the layers do, or says None."""

from hypothesis import given
from hypothesis import strategies as st
from layered import whole_packet

from pystack.core.addresses import Ip4, Mac
from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, segment_frame, tcp
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, CHECKSUM_UNKNOWN, Frame
from pystack.wire.tcp import Segment

HERE, THERE = Mac(b"\x02\0\0\0\0\x01"), Mac(b"\x02\0\0\0\0\x02")
SRC, DST = Ip4(0x0A4D0001), Ip4(0x0A4D0002)

words = st.integers(0, 0xFFFF)
numbers = st.integers(0, 2**32 - 1)
segments = st.builds(
    Segment,
    words,
    words,
    numbers,
    numbers,
    st.integers(0, 0x1FF),
    words,
    st.integers(0, 10).flatmap(lambda count: st.binary(min_size=4 * count, max_size=4 * count)),
    st.binary(max_size=100),
    up=words,
    ecn=st.integers(0, 3),
)


def by_the_layers(frame: Frame) -> Segment | None:
    """Read a frame one header after the other; None where a layer would drop it."""
    packet = whole_packet(frame, HERE, ipv4.TCP)
    try:
        return None if packet is None else tcp.parse(packet)
    except WireError:
        return None


def fields(segment: Segment) -> tuple[object, ...]:
    return (
        *(segment.src_port, segment.dst_port, segment.seq, segment.ack, segment.flags),
        *(segment.wnd, segment.up, bytes(segment.options), bytes(segment.payload), segment.ecn),
    )


@given(segments, st.booleans(), st.integers(0, 63), st.integers(1, 255))
def test_a_frame_is_packed_as_the_layers_pack_it(
    segment: Segment, partial: bool, dscp: int, ttl: int
) -> None:
    tos = dscp << 2
    header = tcp.pack_header(segment, SRC, DST, partial=partial)
    size = len(header) + len(segment.payload)
    packet = ipv4.pack_header(
        SRC,
        DST,
        ipv4.TCP,
        size,
        flags_offset=ipv4.DONT_FRAGMENT,
        tos=tos | segment.ecn,
        ttl=ttl,
    )
    expected = ethernet.pack(HERE, THERE, ethernet.IPV4, packet + header + bytes(segment.payload))
    packed = b"".join(
        segment_frame.pack(segment, SRC, DST, THERE, HERE, partial=partial, tos=tos, ttl=ttl)
    )
    assert packed == expected


@given(segments)
def test_what_was_packed_is_read_back(segment: Segment) -> None:
    frame = Frame(b"".join(segment_frame.pack(segment, SRC, DST, THERE, HERE, partial=False)))
    read = segment_frame.parse(frame, HERE)
    assert read is not None
    assert fields(read) == fields(segment)
    assert segment_frame.ends(frame.data) == segment_frame.pack_ends(
        SRC, DST, segment.src_port, segment.dst_port
    )


@given(
    segments, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3), st.data()
)
def test_a_damaged_frame_is_read_as_the_layers_read_it_or_left_to_them(
    segment: Segment, damage: list[tuple[int, int]], data: st.DataObject
) -> None:
    state = data.draw(st.sampled_from((CHECKSUM_UNKNOWN, CHECKSUM_GOOD, CHECKSUM_PARTIAL)))
    raw = bytearray(b"".join(segment_frame.pack(segment, SRC, DST, THERE, HERE, partial=False)))
    for at, value in damage:
        raw[at % len(raw)] = value
    raw = raw[: len(raw) - data.draw(st.integers(0, 3))] + bytes(data.draw(st.integers(0, 8)))
    if len(raw) < ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + tcp.HEADER_BYTES:
        return
    frame = Frame(bytes(raw), state)
    read, expected = segment_frame.parse(frame, HERE), by_the_layers(frame)
    if read is not None:
        assert expected is not None
        assert fields(read) == fields(expected)
    elif raw[ethernet.HEADER_BYTES] == 0x45:
        assert expected is None


def test_what_is_too_short_names_no_connection_and_is_no_segment() -> None:
    for size in (0, 13, 33, 53):
        frame = Frame(bytes(size))
        assert len(segment_frame.ends(frame.data)) <= 12
        assert segment_frame.parse(frame, HERE) is None
