"""The header of a TAP with offload, against what virtio 1.2 section 5.1.6 says."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import parse_ip
from pystack.core.errors import WireError
from pystack.runtime.device.virtio_net import (
    frame_of,
    header_of,
    header_without_uso,
    super_frame_of,
)
from pystack.wire import ethernet, ip, ipv4, ipv6, tcp, udp
from pystack.wire.checksum import pseudo_header_sum
from pystack.wire.frame import (
    CHECKSUM_GOOD,
    CHECKSUM_PARTIAL,
    CHECKSUM_UNKNOWN,
    Frame,
    completed,
)

ENDS = {
    4: (parse_ip("10.77.0.1"), parse_ip("10.77.0.2")),
    6: (parse_ip("fd77::1"), parse_ip("fd77::2")),
}
NEEDS_CSUM, DATA_VALID, TCPV4, TCPV6, UDP_L4, ECN = 1, 2, 1, 4, 5, 0x80
TCP_OF = {4: TCPV4, 6: TCPV6}
START = {4: 34, 6: 54}

both_versions = pytest.mark.parametrize("version", [4, 6])


def header(
    flags: int = 0, gso: int = 0, length: int = 0, size: int = 0, start: int = 0, offset: int = 0
) -> bytes:
    return struct.pack("=BBHHHH", flags, gso, length, size, start, offset)


def ip_frame(proto: int, body: bytes, version: int = 4) -> bytes:
    module, ethertype = (ipv6, ethernet.IPV6) if version == 6 else (ipv4, ethernet.IPV4)
    packet = module.pack_header(*ENDS[version], proto, len(body)) + body
    return ethernet.pack(bytes(6), bytes(6), ethertype, packet)


def tcp_frame(
    payload: bytes, flags: int = tcp.ACK, options: bytes = b"", version: int = 4
) -> bytes:
    segment = tcp.Segment(1, 2, 3, 4, flags, 5, options, payload)
    body = tcp.pack_header(segment, *ENDS[version], partial=True) + payload
    return ip_frame(ipv4.TCP, body, version)


def udp_frame(payload: bytes, version: int = 4) -> bytes:
    return ip_frame(ipv4.UDP, udp.pack(*ENDS[version], 1, 2, payload), version)


def with_ip_option(frame: bytes) -> bytes:
    """Return the frame with a word of NOPs in its IP header (whose checksum nobody looks at)."""
    return frame[:14] + b"\x46" + frame[15:34] + b"\1\1\1\0" + frame[34:]


def test_a_frame_that_is_complete_needs_nothing() -> None:
    for state in (CHECKSUM_GOOD, CHECKSUM_UNKNOWN):
        assert header_of(Frame(b"anything", state)) == bytes(10)


def test_an_open_checksum_is_to_be_filled_where_its_protocol_has_it() -> None:
    for version, start in START.items():
        of_tcp, of_udp = tcp_frame(b"x", version=version), udp_frame(b"x", version)
        assert header_of(Frame(of_tcp, CHECKSUM_PARTIAL)) == header(
            NEEDS_CSUM, start=start, offset=16
        )
        assert header_of(Frame(of_udp, CHECKSUM_PARTIAL)) == header(
            NEEDS_CSUM, start=start, offset=6
        )
    assert header_of(Frame(with_ip_option(tcp_frame(b"x")), CHECKSUM_PARTIAL)) == header(
        NEEDS_CSUM, start=38, offset=16
    )


def test_a_super_frame_says_where_its_headers_end_and_how_to_cut_it() -> None:
    for version, start in START.items():
        data = tcp_frame(bytes(5000), tcp.ACK | tcp.CWR, b"\1" * 12, version)
        assert header_of(Frame(data, CHECKSUM_PARTIAL, 1448)) == header(
            NEEDS_CSUM, TCP_OF[version] | ECN, start + 32, 1448, start, 16
        )
    data = with_ip_option(tcp_frame(bytes(5000)))
    assert header_of(Frame(data, CHECKSUM_PARTIAL, 1460)) == header(
        NEEDS_CSUM, TCPV4, 58, 1460, 38, 16
    )


@both_versions
def test_what_the_kernel_would_not_cut_has_to_be_split_first(version: int) -> None:
    datagrams = udp_frame(bytes(5000), version)
    assert header_without_uso(Frame(datagrams, CHECKSUM_PARTIAL, 1000)) is None
    assert header_of(Frame(datagrams, CHECKSUM_PARTIAL, 78)) is None  # 65 of them
    assert header_of(Frame(datagrams, CHECKSUM_GOOD, 1000)) is None
    assert (
        header_of(Frame(ip_frame(ipv4.ICMP, bytes(5000), version), CHECKSUM_PARTIAL, 1000)) is None
    )
    data = tcp_frame(bytes(5000), version=version)
    assert header_of(Frame(data, CHECKSUM_GOOD, 1460)) is None


def test_a_burst_of_datagrams_says_where_its_headers_end_and_how_to_cut_it() -> None:
    for version, start in START.items():
        data = udp_frame(bytes(5000), version)
        assert header_of(Frame(data, CHECKSUM_PARTIAL, 1000)) == header(
            NEEDS_CSUM, UDP_L4, start + 8, 1000, start, 6
        )
    data = udp_frame(bytes(5000))
    assert header_of(Frame(data, CHECKSUM_PARTIAL, 79)) is not None  # 64 of them
    with_option = Frame(with_ip_option(data), CHECKSUM_PARTIAL, 1000)
    assert header_of(with_option) == header(NEEDS_CSUM, UDP_L4, 46, 1000, 38, 6)


def test_a_burst_of_one_datagram_is_one_datagram() -> None:
    for size in (4999, 5000):
        frame = Frame(udp_frame(bytes(size)), CHECKSUM_PARTIAL, 5000)
        assert header_of(frame) == header(NEEDS_CSUM, start=34, offset=6)


def test_what_is_no_burst_needs_no_uso() -> None:
    for frame in (
        Frame(tcp_frame(bytes(5000)), CHECKSUM_PARTIAL, 1460),
        Frame(udp_frame(bytes(1000)), CHECKSUM_PARTIAL),
    ):
        assert header_without_uso(frame) == header_of(frame) is not None


def test_a_header_without_flags_leaves_the_checksum_to_us() -> None:
    frame = frame_of(header(length=54), b"data")
    assert (frame.data, frame.checksum, frame.gso_bytes) == (b"data", CHECKSUM_UNKNOWN, 0)


def test_a_checksum_that_the_kernel_has_verified_is_good() -> None:
    frame = frame_of(header(DATA_VALID), b"data")
    assert frame.checksum == CHECKSUM_GOOD


@pytest.mark.parametrize("proto", [0, 58])
def test_an_open_checksum_where_no_frame_knows_its_place_is_filled_in(proto: int) -> None:
    body = bytearray(udp.pack(0, 0, 1, 2, b"abc"))
    body[6:8] = pseudo_header_sum(0, 0, ipv4.UDP, len(body)).to_bytes(2, "big")
    packet = bytes((0x60, 0, 0, 0, 0, 0, proto)) + bytes(33)
    before = ethernet.pack(bytes(6), bytes(6), ethernet.IPV6, packet)
    frame = frame_of(header(NEEDS_CSUM, start=54, offset=6), before + body)
    assert frame.checksum == CHECKSUM_UNKNOWN
    assert frame.data == before + udp.pack(0, 0, 1, 2, b"abc")


@pytest.mark.parametrize("gso", [2, 3, 6, 2 | ECN, UDP_L4 | ECN])
def test_kinds_of_super_frames_that_were_not_asked_for_are_named(gso: int) -> None:
    lead = header(NEEDS_CSUM, gso, 54, 1000, 34, 16)
    with pytest.raises(WireError, match="tap_unknown_gso"):
        frame_of(lead, bytes(3000))


BURST, BURST6 = udp_frame(bytes(3000)), udp_frame(bytes(3000), 6)


@pytest.mark.parametrize(
    ("lead", "data"),
    [
        (header(NEEDS_CSUM, UDP_L4, 42, 0, 34, 6), BURST),
        (header(NEEDS_CSUM, UDP_L4, 42, 3000, 34, 6), BURST),  # nothing to cut
        (header(NEEDS_CSUM, UDP_L4, 42, 65535, 34, 6), BURST),
        (header(NEEDS_CSUM, UDP_L4, 42, 23, 34, 6), BURST),  # 131 datagrams
        (header(0, UDP_L4, 42, 1000, 34, 6), BURST),  # and who answers for the checksum?
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 0, 6), BURST),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 38, 6), BURST),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 65535, 6), BURST),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), BURST[:-1]),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), BURST + b"\0"),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), BURST[:38] + b"\0\1" + BURST[40:]),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), BURST[:20] + b"\x20" + BURST[21:]),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), tcp_frame(bytes(3000))),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), BURST[:12] + b"\x81\0" + BURST[14:]),
        (header(NEEDS_CSUM, UDP_L4, 42, 1000, 34, 6), BURST[:42]),
        (header(NEEDS_CSUM, UDP_L4, 42, 1, 34, 6), b""),
        (header(NEEDS_CSUM, UDP_L4, 62, 1000, 54, 6), BURST[:12] + b"\x86\xdd" + bytes(40)),
        (header(NEEDS_CSUM, UDP_L4, 62, 1000, 34, 6), BURST6),
        (header(NEEDS_CSUM, UDP_L4, 62, 1000, 54, 6), BURST6[:-1]),
        (header(NEEDS_CSUM, UDP_L4, 62, 1000, 54, 6), BURST6[:20] + b"\0" + BURST6[21:]),
        (header(NEEDS_CSUM, UDP_L4, 62, 23, 54, 6), BURST6),
    ],
)
def test_a_header_that_does_not_fit_what_follows_is_named(lead: bytes, data: bytes) -> None:
    with pytest.raises(WireError, match="tap_bad_gso"):
        frame_of(lead, data)


@given(st.binary(min_size=10, max_size=10), st.binary(max_size=100))
def test_any_bytes_are_frames_or_have_a_name(lead: bytes, data: bytes) -> None:
    for start in (data, BURST, BURST6):
        with suppress(WireError):
            frame_of(lead, start)
            continue
        with pytest.raises(WireError, match=r"tap_(unknown|bad)_gso"):
            frame_of(lead, start)


@given(st.binary(min_size=2, max_size=2000), st.integers(20, 1448), st.sampled_from([4, 6]))
def test_a_burst_arrives_as_it_was_sent(payload: bytes, gso_bytes: int, version: int) -> None:
    sent = Frame(udp_frame(payload, version), CHECKSUM_PARTIAL, min(gso_bytes, len(payload) - 1))
    if len(payload) > 64 * sent.gso_bytes:
        return
    lead = header_of(sent)
    assert lead is not None
    got = frame_of(lead, sent.data)
    assert (got.data, got.checksum, got.gso_bytes) == (
        sent.data,
        CHECKSUM_PARTIAL,
        sent.gso_bytes,
    )


@given(
    st.binary(max_size=4000),
    st.sampled_from([0, 536, 1448]),
    st.integers(0, 0x1FF),
    st.sampled_from([4, 6]),
)
def test_what_is_sent_arrives_as_it_was(
    payload: bytes, gso_bytes: int, flags: int, version: int
) -> None:
    sent = Frame(tcp_frame(payload, flags, version=version), CHECKSUM_PARTIAL, gso_bytes)
    lead = header_of(sent)
    assert lead is not None
    got = frame_of(lead, sent.data)
    assert (got.data, got.checksum, got.gso_bytes) == (sent.data, CHECKSUM_PARTIAL, gso_bytes)
    tcp.parse(ip.packet_of(completed(got).data))  # raises if the checksum is wrong


@both_versions
def test_a_super_frame_of_tcp_is_read_in_two_parts_without_a_copy(version: int) -> None:
    data = tcp_frame(bytes(range(200)) * 20, options=b"\1\1\1\0", version=version)
    start = START[version]
    raw = header(NEEDS_CSUM, TCP_OF[version] | ECN, start + 24, 1448, start, 16) + data
    frame = super_frame_of(raw)
    assert frame is not None
    assert (frame.checksum, frame.gso_bytes) == (CHECKSUM_PARTIAL, 1448)
    assert len(frame.head) == start + 24
    assert isinstance(frame.payload, memoryview)
    assert frame.payload.obj is raw
    assert frame.data == data


@pytest.mark.parametrize(
    "lead",
    [
        header(),  # an ordinary frame
        header(0, TCPV4, 54, 1448, 34, 16),  # its checksum is not left open
        header(NEEDS_CSUM, TCPV4, 54, 1448, 38, 16),  # IP options
        header(NEEDS_CSUM, TCPV6, 74, 1448, 54, 16),  # which it is not
    ],
)
def test_anything_else_is_not_read_so(lead: bytes) -> None:
    assert super_frame_of(lead + tcp_frame(bytes(4000))) is None
    vlan = tcp_frame(bytes(4000))[:12] + b"\x81\0" + tcp_frame(bytes(4000))[14:]
    assert super_frame_of(header(NEEDS_CSUM, TCPV4, 54, 1448, 34, 16) + vlan) is None
