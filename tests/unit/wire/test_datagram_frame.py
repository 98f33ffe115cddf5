"""The short cut over a datagram's headers sees and writes what the layers do, or says None."""

from hypothesis import given
from hypothesis import strategies as st
from layered import whole_packet

from pystack.core.addresses import Ip4, Mac
from pystack.core.errors import WireError
from pystack.wire import datagram_frame, ethernet, ipv4, udp
from pystack.wire.frame import (
    CHECKSUM_GOOD,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    completed,
)

HERE, THERE = Mac(b"\x02\0\0\0\0\x01"), Mac(b"\x02\0\0\0\0\x02")
SRC, DST = Ip4(0x0A4D0001), Ip4(0x0A4D0002)

words = st.integers(0, 0xFFFF)
payloads = st.binary(max_size=100)


def packed(payload: bytes, ports: tuple[int, int], *, partial: bool = False) -> bytes:
    headers = datagram_frame.Headers(SRC, DST, *ports, THERE)
    return headers.frame(payload, HERE, 7, 64 << 8 | ipv4.UDP, partial=partial)


def by_the_layers(frame: Frame) -> tuple[int, int, int, int, bytes] | None:
    """Read a frame one header after the other; None where a layer would drop it."""
    packet = whole_packet(frame, HERE, ipv4.UDP)
    if packet is None:
        return None
    try:
        datagram = udp.parse(packet)
    except WireError:
        return None
    payload = bytes(datagram.payload)
    return packet.src, packet.dst, datagram.src_port, datagram.dst_port, payload


@given(payloads, words, words, words, st.integers(1, 255))
def test_a_frame_is_packed_as_the_layers_pack_it(
    payload: bytes, src_port: int, dst_port: int, ident: int, ttl: int
) -> None:
    datagram = udp.pack(SRC, DST, src_port, dst_port, payload)
    header = ipv4.pack_header(SRC, DST, ipv4.UDP, len(datagram), ident=ident, ttl=ttl)
    expected = ethernet.pack(HERE, THERE, ethernet.IPV4, header + datagram)
    headers = datagram_frame.Headers(SRC, DST, src_port, dst_port, THERE)
    ttl_proto = ttl << 8 | ipv4.UDP
    whole = headers.frame(payload, HERE, ident, ttl_proto, partial=False)
    assert whole == expected
    partial = headers.frame(payload, HERE, ident, ttl_proto, partial=True)
    assert completed(Frame(partial, CHECKSUM_PARTIAL)).data == expected


@given(payloads, words, words)
def test_what_was_packed_is_read_back(payload: bytes, src_port: int, dst_port: int) -> None:
    data = packed(payload, (src_port, dst_port))
    assert datagram_frame.may_be(data)
    found = datagram_frame.parse(Frame(data), HERE)
    assert found == (SRC, DST, src_port, dst_port, payload)


def test_a_datagram_may_have_no_checksum() -> None:
    data = bytearray(packed(b"data", (1, 2)))
    data[40:42] = b"\0\0"
    assert datagram_frame.parse(Frame(bytes(data)), HERE) == (SRC, DST, 1, 2, b"data")
    data[41] = 1
    assert datagram_frame.parse(Frame(bytes(data)), HERE) is None


@given(
    payloads, st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=3), st.data()
)
def test_a_damaged_frame_is_read_as_the_layers_read_it_or_left_to_them(
    payload: bytes, damage: list[tuple[int, int]], data: st.DataObject
) -> None:
    state = data.draw(st.sampled_from((CHECKSUM_UNKNOWN, CHECKSUM_GOOD, CHECKSUM_PARTIAL)))
    raw = bytearray(packed(payload, (1, 2)))
    for at, value in damage:
        raw[at % len(raw)] = value
    raw = raw[: len(raw) - data.draw(st.integers(0, 3))] + bytes(data.draw(st.integers(0, 8)))
    if len(raw) < ethernet.HEADER_BYTES + ipv4.HEADER_BYTES + udp.HEADER_BYTES:
        return
    frame = Frame(bytes(raw), state)
    read, expected = datagram_frame.parse(frame, HERE), by_the_layers(frame)
    if read is not None:
        assert read == expected
    elif raw[ethernet.HEADER_BYTES] == 0x45:
        assert expected is None


def test_what_is_too_short_is_left_to_the_layers() -> None:
    for size in (0, 13, 33, 41):
        frame = Frame(bytes(size))
        assert not datagram_frame.may_be(frame.data)
        assert datagram_frame.parse(frame, HERE) is None


def test_of_a_burst_the_payload_is_that_of_all() -> None:
    data = packed(bytes(100), (1, 2))
    read = datagram_frame.parse(Frame(data, CHECKSUM_PARTIAL, 50), HERE)
    assert read is not None
    assert read[4] == bytes(100)
