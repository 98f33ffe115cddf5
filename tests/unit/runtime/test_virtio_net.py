"""The header of a TAP with offload, against what virtio 1.2 section 5.1.6 says."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import parse_ip4
from pystack.runtime.virtio_net import frame_of, header_of
from pystack.wire import ethernet, ipv4, tcp, udp
from pystack.wire.checksum import pseudo_header_sum
from pystack.wire.frame import (
    CHECKSUM_GOOD,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    completed,
)

A, B = parse_ip4("10.77.0.1"), parse_ip4("10.77.0.2")
NEEDS_CSUM, DATA_VALID, TCPV4, ECN = 1, 2, 1, 0x80


def header(
    flags: int = 0, gso: int = 0, length: int = 0, size: int = 0, start: int = 0, offset: int = 0
) -> bytes:
    return struct.pack("=BBHHHH", flags, gso, length, size, start, offset)


def ip_frame(proto: int, body: bytes) -> bytes:
    packet = ipv4.pack_header(A, B, proto, len(body)) + body
    return ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, packet)


def tcp_frame(payload: bytes, flags: int = tcp.ACK, options: bytes = b"") -> bytes:
    segment = tcp.Segment(1, 2, 3, 4, flags, 5, options, payload)
    return ip_frame(ipv4.TCP, tcp.pack_header(segment, A, B, partial=True) + payload)


def with_ip_option(frame: bytes) -> bytes:
    """Return the frame with a word of NOPs in its IP header (whose checksum nobody looks at)."""
    return frame[:14] + b"\x46" + frame[15:34] + b"\1\1\1\0" + frame[34:]


def test_a_frame_that_is_complete_needs_nothing() -> None:
    for state in (CHECKSUM_GOOD, CHECKSUM_UNKNOWN):
        assert header_of(Frame(b"anything", state)) == bytes(10)


def test_an_open_checksum_is_to_be_filled_where_its_protocol_has_it() -> None:
    of_tcp, of_udp = tcp_frame(b"x"), ip_frame(ipv4.UDP, udp.pack(A, B, 1, 2, b"x"))
    assert header_of(Frame(of_tcp, CHECKSUM_PARTIAL)) == header(NEEDS_CSUM, start=34, offset=16)
    assert header_of(Frame(of_udp, CHECKSUM_PARTIAL)) == header(NEEDS_CSUM, start=34, offset=6)
    assert header_of(Frame(with_ip_option(of_tcp), CHECKSUM_PARTIAL)) == header(
        NEEDS_CSUM, start=38, offset=16
    )


def test_a_super_frame_says_where_its_headers_end_and_how_to_cut_it() -> None:
    data = tcp_frame(bytes(5000), tcp.ACK | tcp.CWR, b"\1" * 12)
    assert header_of(Frame(data, CHECKSUM_PARTIAL, 1448)) == header(
        NEEDS_CSUM, TCPV4 | ECN, 66, 1448, 34, 16
    )
    data = with_ip_option(tcp_frame(bytes(5000)))
    assert header_of(Frame(data, CHECKSUM_PARTIAL, 1460)) == header(
        NEEDS_CSUM, TCPV4, 58, 1460, 38, 16
    )


def test_what_the_kernel_would_not_cut_has_to_be_split_first() -> None:
    datagram = ip_frame(ipv4.UDP, udp.pack(A, B, 1, 2, bytes(5000)))
    assert header_of(Frame(datagram, CHECKSUM_PARTIAL, 1000)) is None
    assert header_of(Frame(tcp_frame(bytes(5000)), CHECKSUM_GOOD, 1460)) is None


def test_a_header_without_flags_leaves_the_checksum_to_us() -> None:
    frame = frame_of(header(length=54), b"data")
    assert frame is not None
    assert (frame.data, frame.checksum, frame.gso_bytes) == (b"data", CHECKSUM_UNKNOWN, 0)


def test_a_checksum_that_the_kernel_has_verified_is_good() -> None:
    frame = frame_of(header(DATA_VALID), b"data")
    assert frame is not None
    assert frame.checksum == CHECKSUM_GOOD


def test_an_open_checksum_over_ipv6_is_filled_in_when_it_arrives() -> None:
    body = bytearray(udp.pack(0, 0, 1, 2, b"abc"))
    body[6:8] = pseudo_header_sum(0, 0, ipv4.UDP, len(body)).to_bytes(2, "big")
    before = ethernet.pack(bytes(6), bytes(6), ethernet.IPV6, bytes(40))
    frame = frame_of(header(NEEDS_CSUM, start=54, offset=6), before + body)
    assert frame is not None
    assert frame.checksum == CHECKSUM_UNKNOWN
    assert frame.data == before + udp.pack(0, 0, 1, 2, b"abc")


@pytest.mark.parametrize("gso", [3, 4, 5, 4 | ECN])
def test_kinds_of_super_frames_that_were_not_asked_for_are_none(gso: int) -> None:
    assert frame_of(header(NEEDS_CSUM, gso, 54, 1000, 34, 16), bytes(3000)) is None


@given(st.binary(max_size=4000), st.sampled_from([0, 536, 1448]), st.integers(0, 0x1FF))
def test_what_is_sent_arrives_as_it_was(payload: bytes, gso_bytes: int, flags: int) -> None:
    sent = Frame(tcp_frame(payload, flags), CHECKSUM_PARTIAL, gso_bytes)
    lead = header_of(sent)
    assert lead is not None
    got = frame_of(lead, sent.data)
    assert got is not None
    assert (got.data, got.checksum, got.gso_bytes) == (sent.data, CHECKSUM_PARTIAL, gso_bytes)
    tcp.parse(ipv4.parse(memoryview(completed(got).data)[14:]))  # raises if the checksum is wrong
