"""Frames with offload: cut into ordinary ones, and with their checksums filled in."""

from collections.abc import Callable
from functools import partial

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tcp_frames import headers_of

from pystack.core.addresses import parse_ip
from pystack.core.errors import WireError
from pystack.wire import ethernet, ipv4, ipv6, tcp, udp
from pystack.wire.frame import (
    CHECKSUM_GOOD,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    SuperFrame,
    completed,
    cut,
    cut_down,
    cut_inside,
    split,
)
from pystack.wire.packet import Packet

SRC, DST = 0x0A000001, 0x0A000002
SRC6, DST6 = parse_ip("fd00::1"), parse_ip("fd00::2")
DST_MAC, SRC_MAC = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
SEQ = 2**32 - 100  # so that every super-frame wraps
ALL_FLAGS = tcp.FIN | tcp.PSH | tcp.ACK | tcp.CWR | tcp.ECE


def tcp_frame(
    payload: bytes,
    *,
    gso_bytes: int,
    flags: int = tcp.ACK,
    options: bytes = b"",
    ident: int = 0xFFFE,
    partial: bool = True,
    version: int = 4,
) -> Frame:
    segment = tcp.Segment(1, 2, SEQ, 4, flags, 5, options, payload)
    src, dst = (SRC6, DST6) if version == 6 else (SRC, DST)
    body = tcp.pack_header(segment, src, dst, partial=partial) + payload
    if version == 6:
        header = ipv6.pack_header(src, dst, 6, len(body), tos=2)
        kind = ethernet.IPV6
    else:
        header = ipv4.pack_header(
            src, dst, 6, len(body), ident=ident, flags_offset=ipv4.DONT_FRAGMENT, ttl=9, tos=2
        )
        kind = ethernet.IPV4
    data = ethernet.pack(DST_MAC, SRC_MAC, kind, header + body)
    return Frame(data, CHECKSUM_PARTIAL if partial else CHECKSUM_UNKNOWN, gso_bytes)


def udp_frame(payload: bytes, *, gso_bytes: int, checksum: bytes | None = None) -> Frame:
    body = udp.pack(SRC, DST, 5, 6, payload)
    if checksum is not None:
        body = body[:6] + checksum + body[8:]
    header = ipv4.pack_header(SRC, DST, 17, len(body), ident=0xFFFF)
    data = ethernet.pack(DST_MAC, SRC_MAC, ethernet.IPV4, header + body)
    return Frame(data, CHECKSUM_UNKNOWN if checksum is None else CHECKSUM_PARTIAL, gso_bytes)


def packet_in(frame: Frame) -> Packet:
    """Read what is in a frame as a stranger would: all checksums are verified."""
    assert frame.data[:14] == DST_MAC + SRC_MAC + b"\x08\x00"
    return ipv4.parse(memoryview(frame.data)[14:])


@given(st.binary(min_size=1, max_size=5000), st.integers(1, 1460), st.integers(0, 10))
def test_the_pieces_of_a_super_frame_carry_exactly_its_payload(
    payload: bytes, gso_bytes: int, option_words: int
) -> None:
    gso_bytes = max(gso_bytes, len(payload) // 100 + 1)
    options = b"\x01" * 4 * option_words
    pieces = split(tcp_frame(payload, gso_bytes=gso_bytes, flags=ALL_FLAGS, options=options))
    segments = []
    for number, piece in enumerate(pieces):
        assert (piece.gso_bytes, piece.checksum) == (0, CHECKSUM_GOOD)
        packet = packet_in(piece)
        assert packet.ident == 0xFFFE + number & 0xFFFF
        assert (packet.flags_offset, packet.ttl, packet.tos) == (ipv4.DONT_FRAGMENT, 9, 2)
        segments.append(tcp.parse(packet))
    assert b"".join(bytes(segment.payload) for segment in segments) == payload
    assert all(len(segment.payload) == gso_bytes for segment in segments[:-1])
    at = SEQ
    for segment in segments:
        assert segment.seq == at & 0xFFFFFFFF
        assert (segment.src_port, segment.dst_port, segment.ack, segment.wnd) == (1, 2, 4, 5)
        assert bytes(segment.options) == options
        at += len(segment.payload)


@given(
    st.binary(min_size=1, max_size=9000),
    st.integers(100, 1460),
    st.integers(0, 10),
    st.integers(0, 0x1FF).map(lambda flags: flags & ~tcp.SYN & ~tcp.RST),
    st.integers(0, 0xFFFF),
    st.sampled_from([4, 6]),
)
def test_those_cut_by_sums_are_those_cut_by_reading(
    payload: bytes, gso_bytes: int, option_words: int, flags: int, ident: int, version: int
) -> None:
    options = b"\x01" * 4 * option_words
    whole, read = (
        tcp_frame(
            payload,
            gso_bytes=gso_bytes,
            flags=flags,
            options=options,
            ident=ident,
            partial=partial,
            version=version,
        )
        for partial in (True, False)  # what nobody vouches for is read
    )
    by_reading = [piece.data for piece in split(read)]
    assert [piece.data for piece in split(whole)] == by_reading
    assert cut(whole) == cut(read) == by_reading
    inside = [piece.data for piece in cut_inside(whole)]
    assert cut(whole, inside=True) == inside
    if version == 6 and len(inside) > 1:  # by IPv4 an identification of 0 stays 0
        assert [completed(Frame(data, CHECKSUM_PARTIAL)).data for data in inside] == by_reading


def test_fin_and_psh_stay_with_the_last_piece_and_cwr_with_the_first() -> None:
    pieces = split(tcp_frame(bytes(3000), gso_bytes=1000, flags=ALL_FLAGS))
    flags = [tcp.parse(packet_in(piece)).flags for piece in pieces]
    both = tcp.ACK | tcp.ECE
    assert flags == [both | tcp.CWR, both, both | tcp.FIN | tcp.PSH]


def test_a_super_frame_of_one_piece_keeps_all_its_flags() -> None:
    (piece,) = split(tcp_frame(b"short", gso_bytes=1000, flags=ALL_FLAGS))
    assert tcp.parse(packet_in(piece)).flags == ALL_FLAGS


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_a_super_frame_with_next_to_nothing_in_it_is_not_lost(payload: bytes) -> None:
    (piece,) = split(tcp_frame(payload, gso_bytes=1000))
    assert bytes(tcp.parse(packet_in(piece)).payload) == payload
    (piece,) = split(udp_frame(payload, gso_bytes=1000))
    assert bytes(udp.parse(packet_in(piece)).payload) == payload


def test_dpkt_finds_the_pieces_right() -> None:
    for piece in split(tcp_frame(bytes(range(250)) * 16, gso_bytes=1460)):
        read = dpkt.ethernet.Ethernet(piece.data).data
        check, read.data.sum, read.sum = read.data.sum, 0, 0
        assert dpkt.ip.IP(bytes(read)).data.sum == check


@given(st.binary(min_size=1, max_size=4000), st.integers(100, 1472))
def test_a_udp_super_frame_becomes_datagrams_of_their_own(payload: bytes, gso_bytes: int) -> None:
    pieces = split(udp_frame(payload, gso_bytes=gso_bytes))
    found = []
    for number, piece in enumerate(pieces):
        packet = packet_in(piece)
        assert packet.ident == 0xFFFF + number & 0xFFFF
        datagram = udp.parse(packet)
        assert (datagram.src_port, datagram.dst_port) == (5, 6)
        found.append(bytes(datagram.payload))
    assert b"".join(found) == payload
    assert all(len(piece) == gso_bytes for piece in found[:-1])


def test_an_ordinary_frame_is_not_cut() -> None:
    frame = tcp_frame(b"payload", gso_bytes=0, partial=False)
    assert split(frame) == [frame]
    assert completed(frame) is frame


@given(st.binary(max_size=300), st.integers(0, 10))
def test_a_partial_checksum_is_filled_in(payload: bytes, option_words: int) -> None:
    frame = tcp_frame(payload, gso_bytes=0, options=b"\x01" * 4 * option_words)
    filled = completed(frame)
    assert filled.checksum == CHECKSUM_GOOD
    assert bytes(tcp.parse(packet_in(filled)).payload) == payload
    same = tcp_frame(payload, gso_bytes=0, options=b"\x01" * 4 * option_words, partial=False)
    assert filled.data == same.data
    assert frame.checksum == CHECKSUM_PARTIAL  # frames are never changed


@given(st.binary(max_size=300))
def test_a_partial_udp_checksum_is_filled_in(payload: bytes) -> None:
    filled = completed(udp_frame(payload, gso_bytes=0, checksum=b"\x12\x34"))
    assert filled.data == udp_frame(payload, gso_bytes=0).data


def test_padding_is_no_part_of_the_checksum() -> None:
    frame = tcp_frame(b"abc", gso_bytes=0)
    padded = Frame(frame.data + b"padding", CHECKSUM_PARTIAL)
    assert completed(padded).data == completed(frame).data + b"padding"


@given(st.binary(max_size=80), st.integers(1, 100))
def test_hostile_super_frames_raise_nothing_but_wire_errors(data: bytes, gso_bytes: int) -> None:
    header = ipv4.pack_header(SRC, DST, 6, len(data))
    for frame_bytes in (data, bytes(12) + b"\x08\x00" + header + data):
        for read in (split, completed):
            try:
                read(Frame(frame_bytes, CHECKSUM_PARTIAL, gso_bytes))
            except WireError:
                continue


def test_a_super_frame_in_two_parts_is_put_together_when_somebody_looks() -> None:
    frame = SuperFrame(b"head", memoryview(b"payload"), CHECKSUM_PARTIAL, 3)
    assert len(frame) == 11
    assert frame.data == b"headpayload"
    assert frame.data is frame.data
    with pytest.raises(AttributeError):
        frame.other  # type: ignore[attr-defined]  # noqa: B018


BIG = bytes(range(251)) * 1000


def big_frame(flags: int) -> SuperFrame:
    """Return a super-frame of 251,000 bytes in three pieces, as a host makes it."""
    options = b"\1\1" + b"\x08\x0a" + bytes(range(8))
    text = memoryview(BIG)
    segment = tcp.Segment(1, 2, 2**32 - 70_000, 4, flags, 5, options, text[:100_000])
    segment.more = (text[100_000:100_001], text[100_001:])
    head = headers_of(segment, SRC, DST, SRC_MAC, DST_MAC, partial=True)
    return SuperFrame(head, segment.payload, CHECKSUM_PARTIAL, 1448, segment.more)


def test_a_packet_beyond_64_kib_has_no_length_and_is_read_all_the_same() -> None:
    frame = big_frame(tcp.ACK)
    assert frame.data[16:18] == b"\0\0"
    packet = ipv4.parse(memoryview(frame.data)[14:])
    assert len(packet.raw) == len(frame) - 14 == 20 + 32 + len(BIG)
    with pytest.raises(WireError, match="ip_bad_total_length"):
        ipv4.parse(memoryview(frame.data)[14:60_000])


def test_one_that_is_cut_down_is_sent_as_the_same_ordinary_frames() -> None:
    flags = tcp.ACK | tcp.PSH | tcp.FIN | tcp.CWR
    whole = split(big_frame(flags))
    pieces = cut_down(big_frame(flags), 65_000)
    assert [len(piece.payload) for piece in pieces] == [63_712] * 3 + [251_000 - 3 * 63_712]
    for piece in pieces:  # lengths and checksums are good
        packet = ipv4.parse(memoryview(piece.data)[14:])
        assert len(packet.raw) == len(piece) - 14
        done = ipv4.parse(memoryview(completed(piece).data)[14:])
        tcp.parse(done)
    cut_twice = [frame for piece in pieces for frame in split(piece)]
    blank = [(f.data[:18], f.data[20:24], f.data[26:]) for f in whole]  # all but the IP ident
    assert [(f.data[:18], f.data[20:24], f.data[26:]) for f in cut_twice] == blank


@given(
    st.integers(1, 5000),
    st.integers(1, 1460),
    st.integers(0, 10),
    st.sampled_from([0, 7, 0xFFFE]),
    st.booleans(),
)
def test_one_that_is_cut_inside_is_the_same_with_its_checksums_left_open(
    size: int, gso_bytes: int, option_words: int, ident: int, apart: bool
) -> None:
    payload = bytes(number % 251 for number in range(size))
    gso_bytes = max(gso_bytes, size // 100 + 1)
    options = b"\x01" * 4 * option_words
    frame = tcp_frame(payload, gso_bytes=gso_bytes, flags=ALL_FLAGS, options=options, ident=ident)
    if apart:
        head = frame.data[:-size]
        frame = SuperFrame(head, payload[:1], CHECKSUM_PARTIAL, gso_bytes, (payload[1:],))
    pieces = cut_inside(frame)
    wanted = [packet_in(piece) for piece in split(frame)]
    got = [packet_in(completed(piece)) for piece in pieces]
    assert {piece.gso_bytes for piece in pieces} == {0}
    assert [bytes(packet.payload) for packet in got] == [bytes(packet.payload) for packet in wanted]
    for number, packet in enumerate(got):
        assert packet.ident == (ident + number & 0xFFFF or 1 if ident else packet.ident)
        assert (packet.flags_offset, packet.ttl, packet.tos) == (ipv4.DONT_FRAGMENT, 9, 2)


def test_one_of_ipv6_is_cut_inside_into_the_same_frames() -> None:
    segment = tcp.Segment(1, 2, SEQ, 4, ALL_FLAGS, 5, b"", b"x" * 4000)
    body = tcp.pack_header(segment, SRC6, DST6, partial=True) + segment.payload
    header = ipv6.pack_header(SRC6, DST6, ipv4.TCP, len(body))
    data = ethernet.pack(DST_MAC, SRC_MAC, ethernet.IPV6, header + body)
    frame = Frame(data, CHECKSUM_PARTIAL, 1000)
    assert [completed(piece).data for piece in cut_inside(frame)] == [
        piece.data for piece in split(frame)
    ]


@pytest.mark.parametrize("make", [partial(tcp_frame, partial=False), udp_frame])
def test_a_super_frame_whose_checksum_is_wrong_is_not_made_right_by_cutting_it(
    make: Callable[..., Frame],
) -> None:
    frame = make(bytes(3000), gso_bytes=1000)
    assert len(split(frame)) == 3
    damaged = bytearray(frame.data)
    damaged[-1] ^= 1
    with pytest.raises(WireError, match="bad_checksum"):
        split(Frame(bytes(damaged), CHECKSUM_UNKNOWN, 1000))


def test_what_is_cut_down_and_may_be_cut_on_the_way_has_identifications_of_its_own() -> None:
    frame = tcp_frame(bytes(200), gso_bytes=10, partial=True)
    head = bytearray(frame.data[:-200])
    for start, idents in ((0, [0, 0]), (7, [7, 17]), (0xFFFA, [0xFFFA, 4])):
        head[18:20] = start.to_bytes(2, "big")
        whole = SuperFrame(bytes(head), bytes(200), CHECKSUM_PARTIAL, 10)
        pieces = cut_down(whole, 100)
        assert [int.from_bytes(piece.head[18:20], "big") for piece in pieces] == idents
        for piece in pieces:
            ipv4.parse(memoryview(piece.data)[14:])
