"""The IPv6 header, beside dpkt's reading of it."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets6 import A, B, destination, fragment, packet6, parsed

from pystack.core.addresses import V6, pack_ip6, with_zone
from pystack.core.errors import WireError
from pystack.wire import ipv6

address = st.integers(0, 2**128 - 1).map(lambda value: V6 | value)


@given(address, address, st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**20 - 1))
def test_a_header_reads_as_it_was_packed_and_as_dpkt_reads_it(
    src: int, dst: int, ttl: int, tos: int, flow_label: int
) -> None:
    data = ipv6.pack_header(src, dst, 17, 5, ttl=ttl, tos=tos, flow_label=flow_label) + b"hello"
    packet = parsed(data + b"padding")
    assert (packet.version, packet.src, packet.dst, packet.proto) == (6, src, dst, 17)
    assert (packet.ttl, packet.tos, packet.flow_label) == (ttl, tos, flow_label)
    assert (packet.raw, packet.payload, packet.total_length) == (data, b"hello", 45)
    assert (packet.ident, packet.is_fragment, packet.chain) == (0, False, None)
    read = dpkt.ip6.IP6(data)
    assert (read.src, read.dst, read.nxt, read.hlim) == (pack_ip6(src), pack_ip6(dst), 17, ttl)
    assert (read.fc, read.flow, read.plen) == (tos, flow_label, 5)


def test_a_zone_is_ours_alone_and_not_on_the_wire() -> None:
    assert ipv6.pack_header(with_zone(A, 3), with_zone(B, 3), 17, 0) == ipv6.pack_header(
        A, B, 17, 0
    )


WHOLE = packet6([], 17, b"hello")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ip6_truncated"),
        (WHOLE[:39], "ip6_truncated"),
        (b"\x45" + WHOLE[1:], "ip6_bad_version"),
        (WHOLE[:44], "ip6_bad_payload_length"),
    ],
)
def test_what_is_no_packet_is_refused_by_name(data: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=f"^{reason}$"):
        parsed(data)


@given(st.binary(max_size=100), st.sampled_from([0, 6, 17, 43, 44, 58, 59, 60, 255]))
def test_hostile_bytes_raise_nothing_but_wire_errors(data: bytes, following: int) -> None:
    shaped = ipv6.pack_header(A, B, following, max(len(data) - 3, 0)) + data
    for given_ in (data, shaped, b"\x60" + data[1:]):
        for parse in (ipv6.parse, ipv6.parse_quoted):
            try:
                packet = parse(memoryview(given_))
            except WireError:
                continue
            assert packet.payload == packet.raw[packet.header_bytes :]
            assert 40 <= packet.header_bytes <= max(len(packet.raw), 40)


def test_a_quoted_packet_may_be_cut_short() -> None:
    data = packet6([destination()], 17, bytes(range(100)))
    packet = ipv6.parse_quoted(memoryview(data)[:60])
    assert (packet.proto, packet.payload, packet.total_length) == (17, data[48:60], len(data))
    with pytest.raises(WireError, match="icmp6_quote_truncated"):
        ipv6.parse_quoted(memoryview(data)[:44])
    with pytest.raises(WireError, match="icmp6_quote_truncated"):
        ipv6.parse_quoted(memoryview(data)[:39])
    with pytest.raises(WireError, match="icmp6_quote_malformed"):
        ipv6.parse_quoted(memoryview(b"\x45" + data[1:]))


def test_the_quote_of_a_first_fragment_has_the_ports_as_payload() -> None:
    first = packet6([fragment(0, more=True)], 17, bytes(range(8)))
    packet = ipv6.parse_quoted(memoryview(first))
    assert (packet.proto, packet.payload, packet.fragment_offset_bytes) == (17, bytes(range(8)), 0)
    later = ipv6.parse_quoted(memoryview(packet6([fragment(5, more=False)], 17, bytes(range(8)))))
    assert later.fragment_offset_bytes == 40


def test_a_super_frame_larger_than_the_length_field_is_read_whole() -> None:
    payload = bytes(70_000)
    data = ipv6.pack_header(A, B, 6, len(payload)) + payload
    assert data[4:6] == b"\0\0"
    assert len(parsed(data).payload) == 70_000
