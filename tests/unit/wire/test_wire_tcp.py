"""TCP headers."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import ipv4, tcp
from pystack.wire.checksum import pseudo_header_sum
from pystack.wire.packet import Packet

addresses = st.integers(0, 2**32 - 1)
ports = st.integers(0, 0xFFFF)
words = st.integers(0, 0xFFFF)

SRC, DST = 0x0A000001, 0x0A000002

segments = st.builds(
    tcp.Segment,
    ports,
    ports,
    addresses,
    addresses,
    st.integers(0, 0x1FF),
    words,
    st.integers(0, 10).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
    st.binary(max_size=60),
    up=words,
)


def packet_of(data: bytes, *, src: int = SRC, dst: int = DST) -> Packet:
    return ipv4.parse(memoryview(ipv4.pack_header(src, dst, ipv4.TCP, len(data)) + data))


def packed(segment: tcp.Segment, src: int = SRC, dst: int = DST) -> bytes:
    return tcp.pack_header(segment, src, dst) + bytes(segment.payload)


def fields(segment: tcp.Segment) -> tuple[object, ...]:
    numbers = (segment.src_port, segment.dst_port, segment.seq, segment.ack, segment.flags)
    return *numbers, segment.wnd, segment.up, bytes(segment.options), bytes(segment.payload)


@pytest.mark.rfc("9293", "MUST-2")
@given(segments, addresses, addresses)
def test_a_segment_reads_as_it_was_packed_here_and_in_dpkt(
    segment: tcp.Segment, src: int, dst: int
) -> None:
    data = packed(segment, src, dst)
    assert fields(tcp.parse(packet_of(data, src=src, dst=dst))) == fields(segment)
    read = dpkt.tcp.TCP(data)
    assert (read.sport, read.dport, read.seq, read.ack) == fields(segment)[:4]
    assert (read.flags | (data[12] & 1) << 8, read.win, read.urp) == fields(segment)[4:7]
    assert (read.opts, read.data) == fields(segment)[7:]
    ip = dpkt.ip.IP(src=src.to_bytes(4, "big"), dst=dst.to_bytes(4, "big"), p=6, data=read)
    read.sum = 0  # dpkt fills it in where it is 0
    assert bytes(ip)[36:38] in (data[16:18], bytes(b ^ 0xFF for b in data[16:18]))


@given(segments)
def test_sequence_numbers_are_cut_to_32_bits(segment: tcp.Segment) -> None:
    plain = packed(segment)
    segment.seq += 1 << 32
    segment.ack += 3 << 32
    assert packed(segment) == plain


@given(segments)
def test_a_partial_checksum_is_the_sum_over_the_pseudo_header(segment: tcp.Segment) -> None:
    header = tcp.pack_header(segment, SRC, DST, partial=True)
    length = len(header) + len(segment.payload)
    found = int.from_bytes(header[16:18], "big")
    assert 0 < found <= 0xFFFF
    assert (found - pseudo_header_sum(SRC, DST, 6, length)) % 0xFFFF == 0
    whole = tcp.pack_header(segment, SRC, DST)
    assert header[:16] + header[18:] == whole[:16] + whole[18:]


def test_a_partial_checksum_is_never_zero() -> None:
    # virtio's device adds to what is there; a field of 0 would be a sum that cannot be.
    header = tcp.pack_header(tcp.Segment(1, 2, 3, 4, 0, 5), 0, 0xFFFF - 6 - 20, partial=True)
    assert header[16:18] == b"\xff\xff"


@pytest.mark.parametrize("words_", [0, 4, 6])
def test_a_data_offset_that_cannot_be_is_refused(words_: int) -> None:
    data = bytearray(packed(tcp.Segment(1, 2, 3, 4, tcp.ACK, 5)))
    data[12] = words_ << 4
    with pytest.raises(WireError, match="tcp_bad_offset"):
        tcp.parse(packet_of(bytes(data)))


def test_a_short_header_is_refused() -> None:
    with pytest.raises(WireError, match="tcp_truncated"):
        tcp.parse(packet_of(bytes(19)))


@pytest.mark.rfc("9293", "MUST-3")
@given(segments, st.integers(0, 159))
def test_every_wrong_bit_of_the_header_is_found(segment: tcp.Segment, bit: int) -> None:
    data = bytearray(packed(segment))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        tcp.parse(packet_of(bytes(data)))


@given(st.binary(max_size=70), st.booleans())
def test_hostile_bytes_raise_nothing_but_wire_errors(data: bytes, good: bool) -> None:
    packet = packet_of(data)
    packet.checksum_good = good
    try:
        segment = tcp.parse(packet)
    except WireError:
        return
    assert len(segment.options) + len(segment.payload) == len(data) - 20


@pytest.mark.parametrize(
    ("flags", "length"),
    [(0, 3), (tcp.SYN, 4), (tcp.FIN | tcp.ACK, 4), (tcp.SYN | tcp.FIN, 5), (tcp.RST, 3)],
)
def test_the_length_of_a_segment_counts_syn_and_fin(flags: int, length: int) -> None:
    assert tcp.Segment(1, 2, 3, 4, flags, 5, b"", b"abc").seg_len == length


def test_flags_are_named_as_people_say_them() -> None:
    assert tcp.flag_names(0) == "none"
    assert tcp.flag_names(tcp.SYN | tcp.ACK) == "SYN ACK"
    assert tcp.flag_names(0x1FF) == "SYN RST FIN PSH ACK URG ECE CWR AE"
