"""IPv4 headers."""

import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import ipv4
from pystack.wire.checksum import checksum

addresses = st.integers(0, 2**32 - 1)
bytes_ = st.integers(0, 255)
words = st.integers(0, 0xFFFF)

SRC, DST = 0x0A000001, 0x0A000002


def header_with_options(options: bytes, payload: bytes = b"", *, total: int | None = None) -> bytes:
    length = 20 + len(options)
    total = length + len(payload) if total is None else total
    fields = (0x40 | length // 4, 0, total, 1, 0, 64, 17)
    head = struct.pack("!BBHHHBBHII", *fields, 0, SRC, DST) + options
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


@given(addresses, addresses, bytes_, st.binary(max_size=64), words, words, bytes_, bytes_)
def test_a_packet_reads_as_it_was_packed_here_and_in_dpkt(
    src: int, dst: int, proto: int, payload: bytes, ident: int, flags: int, ttl: int, tos: int
) -> None:
    header = ipv4.pack_header(
        src, dst, proto, len(payload), ident=ident, flags_offset=flags, ttl=ttl, tos=tos
    )
    packet = ipv4.parse(memoryview(header + payload + b"padding"))
    assert (packet.src, packet.dst, packet.proto, packet.ident) == (src, dst, proto, ident)
    assert (packet.flags_offset, packet.ttl, packet.tos) == (flags, ttl, tos)
    assert packet.header_bytes == 20
    assert (packet.payload, packet.raw) == (payload, header + payload)
    assert packet.more_fragments is bool(flags & 0x2000)
    assert packet.fragment_offset_bytes == (flags & 0x1FFF) * 8
    assert packet.is_fragment is bool(flags & 0x3FFF)
    read = dpkt.ip.IP()
    read.unpack(header)  # the header alone: dpkt would go on into the payload
    assert (read.hl, read.v, read.len, read.id, read.tos) == (5, 4, 20 + len(payload), ident, tos)
    assert (read.ttl, read.p) == (ttl, proto)
    assert (read.src, read.dst) == (src.to_bytes(4, "big"), dst.to_bytes(4, "big"))
    assert read.sum == dpkt.in_cksum(header[:10] + b"\0\0" + header[12:])


def test_options_are_stepped_over_and_counted_in_the_header() -> None:
    data = header_with_options(bytes.fromhex("94040000"), b"payload")
    packet = ipv4.parse(memoryview(data))
    assert (packet.header_bytes, bytes(packet.payload)) == (24, b"payload")
    assert packet.quoted == data[:32][: 24 + 8]


def refused(data: bytes, reason: str) -> None:
    with pytest.raises(WireError) as caught:
        ipv4.parse(memoryview(data))
    assert caught.value.reason == reason


def test_every_reason_to_refuse_a_packet_has_its_name() -> None:
    good = ipv4.pack_header(SRC, DST, 17, 4) + b"data"
    refused(good[:19], "ip_truncated")
    refused(b"\x65" + good[1:], "ip_bad_version")
    refused(b"\x44" + good[1:], "ip_bad_header_length")
    refused(good[:-1], "ip_bad_total_length")
    refused(good[:11] + bytes([good[11] ^ 1]) + good[12:], "ip_bad_checksum")
    refused(header_with_options(bytes(4), total=20), "ip_bad_total_length")
    refused(b"\x4f" + good[1:], "ip_bad_total_length")  # 60 bytes of header, 24 in all


@given(st.binary(max_size=80))
def test_hostile_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    for parse in (ipv4.parse, ipv4.parse_quoted):
        try:
            packet = parse(memoryview(data))
        except WireError:
            continue
        assert 20 <= packet.header_bytes <= len(packet.raw) <= len(data)


@given(st.integers(0, 159), bytes_)
def test_a_header_with_a_wrong_bit_is_never_taken(bit: int, ttl: int) -> None:
    header = bytearray(ipv4.pack_header(SRC, DST, 17, 0, ttl=ttl))
    header[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        ipv4.parse(memoryview(header))


def test_a_quoted_packet_may_be_cut_short() -> None:
    whole = ipv4.pack_header(SRC, DST, 6, 1400, ident=5) + bytes(range(8))
    packet = ipv4.parse_quoted(memoryview(whole))
    assert (packet.src, packet.dst, packet.proto, packet.ident) == (SRC, DST, 6, 5)
    assert bytes(packet.payload) == bytes(range(8))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bytes(19), "icmp_quote_truncated"),
        (bytes(20), "icmp_quote_malformed"),
        (b"\x4f" + bytes(30), "icmp_quote_malformed"),
    ],
)
def test_what_is_no_packet_cannot_be_quoted(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        ipv4.parse_quoted(memoryview(data))
