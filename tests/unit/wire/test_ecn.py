"""ECN bits on whole frames (RFC 3168): read, set, and the checksum after it (RFC 1624)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.wire import ethernet, ipv4
from pystack.wire.checksum import checksum
from pystack.wire.ecn import CE, ECT_0, ECT_1, NOT_ECT, codepoint, mark_ce, tos
from pystack.wire.frame import CHECKSUM_GOOD, CHECKSUM_PARTIAL, Frame

MACS = b"\x02" * 6 + b"\x04" * 6


def ip_frame(tos_byte: int, src: int = 0x0A000001, ident: int = 7) -> Frame:
    header = ipv4.pack_header(src, 0x0A000002, ipv4.UDP, 8, ident=ident, tos=tos_byte)
    return Frame(MACS + b"\x08\x00" + header + bytes(8))


@pytest.mark.parametrize("bits", [NOT_ECT, ECT_1, ECT_0, CE])
def test_the_codepoint_is_the_two_low_bits_of_tos(bits: int) -> None:
    frame = ip_frame(0xB8 | bits)
    assert codepoint(frame) == bits
    assert tos(frame) == 0xB8 | bits


@pytest.mark.rfc("3168", "5")
def test_what_is_not_ecn_capable_cannot_be_marked() -> None:
    assert mark_ce(ip_frame(0xB8)) is None


def test_what_is_marked_already_stays_the_same_frame() -> None:
    frame = ip_frame(CE)
    assert mark_ce(frame) is frame


@given(
    st.sampled_from([ECT_0, ECT_1]),
    st.integers(0, 63),
    st.integers(0, 2**32 - 1),
    st.integers(0, 0xFFFF),
)
def test_a_mark_changes_two_bits_and_keeps_the_header_checksum_right(
    ect: int, dscp: int, src: int, ident: int
) -> None:
    frame = ip_frame(dscp << 2 | ect, src, ident)
    before = frame.data
    marked = mark_ce(frame)
    assert marked is not None
    assert frame.data == before
    assert codepoint(marked) == CE
    assert checksum(marked.data[14:34]) == 0
    # The same as if it had been sent with CE: the checksum, too.
    assert marked.data == ip_frame(dscp << 2 | CE, src, ident).data


@pytest.mark.parametrize("state", [CHECKSUM_GOOD, CHECKSUM_PARTIAL])
def test_a_mark_keeps_what_offload_knows(state: int) -> None:
    marked = mark_ce(Frame(ip_frame(ECT_0).data, state, 1448))
    assert marked is not None
    assert (marked.checksum, marked.gso_bytes) == (state, 1448)


def test_ipv6_has_its_traffic_class_across_two_bytes() -> None:
    packet = bytes([0x6B, 0xA0]) + bytes(38)  # version 6, class 0xBA: EF and ECT(0)
    frame = Frame(MACS + ethernet.IPV6.to_bytes(2, "big") + packet)
    assert tos(frame) == 0xBA
    marked = mark_ce(frame)
    assert marked is not None
    assert marked.data[14:] == bytes([0x6B, 0xB0]) + bytes(38)


@pytest.mark.parametrize(
    "data", [b"", MACS, MACS + b"\x08\x06" + b"\x03" * 28, MACS + b"\x08\x00\x45\x03"]
)
def test_what_is_not_ip_or_cut_short_is_not_ecn_capable(data: bytes) -> None:
    assert codepoint(Frame(data)) == NOT_ECT
    assert mark_ce(Frame(data)) is None
