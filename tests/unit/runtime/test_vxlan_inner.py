"""What a datagram has to know of the frame in it: ECN (RFC 6040), VLAN tags (RFC 7348), flows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import parse_ip
from pystack.runtime.vxlan.inner import (
    codepoint,
    decapsulated,
    flow_number,
    is_tagged,
    untagged,
)
from pystack.wire import arp, ethernet, ip, ipv4, ipv6, udp
from pystack.wire.ecn import CE, ECT_0, ECT_1, NOT_ECT

ENDS = {
    4: (parse_ip("10.0.0.1"), parse_ip("10.0.0.2")),
    6: (parse_ip("fd00::1"), parse_ip("fd00::2")),
}
VERSIONS = pytest.mark.parametrize("version", [4, 6], ids=["IPv4", "IPv6"])


def datagram(version: int, tos: int = 0, *, port: int = 6, flags_offset: int = 0) -> bytes:
    src, dst = ENDS[version]
    body = udp.pack(src, dst, 5, port, b"text")
    if version == 6:
        header = ipv6.pack_header(src, dst, ipv4.UDP, len(body), tos=tos)
        return ethernet.pack(bytes(6), bytes(6), ethernet.IPV6, header + body)
    header = ipv4.pack_header(src, dst, ipv4.UDP, len(body), tos=tos, flags_offset=flags_offset)
    return ethernet.pack(bytes(6), bytes(6), ethernet.IPV4, header + body)


@VERSIONS
@pytest.mark.parametrize(
    ("inner", "outer", "goes_on"),
    [
        # RFC 6040 figure 4
        (NOT_ECT, NOT_ECT, NOT_ECT),
        (NOT_ECT, ECT_0, NOT_ECT),
        (NOT_ECT, ECT_1, NOT_ECT),
        (NOT_ECT, CE, None),
        (ECT_0, NOT_ECT, ECT_0),
        (ECT_0, ECT_0, ECT_0),
        (ECT_0, ECT_1, ECT_1),
        (ECT_0, CE, CE),
        (ECT_1, NOT_ECT, ECT_1),
        (ECT_1, ECT_0, ECT_1),
        (ECT_1, ECT_1, ECT_1),
        (ECT_1, CE, CE),
        (CE, NOT_ECT, CE),
        (CE, ECT_0, CE),
        (CE, ECT_1, CE),
        (CE, CE, CE),
    ],
)
def test_marks_of_the_way_are_taken_over(
    version: int, inner: int, outer: int, goes_on: int | None
) -> None:
    data = datagram(version, 0b101000 << 2 | inner)
    assert codepoint(data) == inner
    found = decapsulated(data, outer)
    if goes_on is None:
        assert found is None
        return
    assert found is not None
    packet = ip.packet_of(found)  # its checksum is right
    assert packet.tos == 0b101000 << 2 | goes_on


@pytest.mark.parametrize("outer", [ECT_1, CE])
def test_what_is_not_ip_has_no_marks(outer: int) -> None:
    query = arp.pack(arp.REQUEST, bytes(6), ENDS[4][0], ENDS[4][1])
    data = ethernet.pack(b"\xff" * 6, bytes(6), ethernet.ARP, query)
    assert decapsulated(data, outer) == data
    assert codepoint(data) == NOT_ECT


@pytest.mark.parametrize("kind", ["8100", "88a8", "9100"])
def test_the_tag_of_vlan_0_is_taken_off_and_others_do_not_pass(kind: str) -> None:
    plain = datagram(4)

    def tagged(text: str) -> bytes:
        return plain[:12] + bytes.fromhex(kind + text) + plain[12:]

    assert not is_tagged(plain)
    assert is_tagged(tagged("0001"))
    assert untagged(plain) == plain
    assert untagged(tagged("a000")) == plain
    assert untagged(tagged("a001")) is None
    assert untagged(tagged("0100")) is None
    assert untagged(tagged("")[:14]) is None


def test_a_flow_has_one_number_and_flows_have_many() -> None:
    for version in (4, 6):
        numbers = {flow_number(datagram(version, port=port)) % 16 for port in range(1, 200)}
        assert numbers == set(range(16))
        assert flow_number(datagram(version, 3)) == flow_number(datagram(version))


def test_fragments_have_the_number_of_their_packet() -> None:
    parts = [datagram(4, port=port, flags_offset=part) for port, part in ((6, 0x2000), (7, 9))]
    assert flow_number(parts[0]) == flow_number(parts[1])


@given(
    st.binary(min_size=14, max_size=60), st.sampled_from([b"\x08\x00", b"\x86\xdd", b"\x81\x00"])
)
def test_any_frame_has_all_of_it(data: bytes, kind: bytes) -> None:
    hostile = data[:12] + kind + data[14:]
    assert codepoint(hostile) in range(4)
    assert flow_number(hostile) in range(2**32)
    plain = untagged(hostile)
    assert plain is None or hostile.endswith(plain[12:])
    for outer in range(4):
        inner = decapsulated(hostile, outer)
        assert inner is None or len(inner) == len(hostile)
