"""VXLAN headers (RFC 7348 section 5), and those of the keyed format."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import vxlan

VNIS = st.integers(0, vxlan.MAX_VNI)


def test_the_header_is_the_one_of_the_rfc() -> None:
    assert vxlan.pack_header(0x123456) == bytes.fromhex("0800000012345600")
    assert vxlan.parse(bytes.fromhex("0800000012345600") + b"frame") == (0x123456, False)


def test_other_reserved_bits_are_ignored() -> None:
    assert vxlan.parse(bytes.fromhex("ffffffff000001ff")) == (1, False)


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"", "vxlan_truncated"),
        (bytes.fromhex("08000000000001"), "vxlan_truncated"),
        (bytes.fromhex("0000000000000100"), "vxlan_bad_flags"),
        (bytes.fromhex("8700000000000100"), "vxlan_bad_flags"),
    ],
)
def test_what_is_no_vxlan_is_refused_by_name(datagram: bytes, reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        vxlan.parse(datagram)


@given(VNIS, st.binary(max_size=40))
def test_parse_undoes_pack(vni: int, frame: bytes) -> None:
    assert vxlan.parse(vxlan.pack_header(vni) + frame) == (vni, False)


@given(VNIS, st.sampled_from([vxlan.DATA, vxlan.HELLO]), st.binary(min_size=8, max_size=8), VNIS)
def test_parse_undoes_pack_of_keyed_headers(
    vni: int, kind: int, session: bytes, counter: int
) -> None:
    header = vxlan.pack_keyed(vni, kind, session, counter)
    assert vxlan.parse(header) == (vni, True)
    assert vxlan.parse_keyed(header + bytes(16)) == vxlan.Keyed(kind, session, counter)


def test_no_other_end_of_vxlan_takes_a_keyed_datagram() -> None:
    # It has no I flag, which MUST be set for a valid VNI.
    assert not vxlan.pack_keyed(1, vxlan.DATA, bytes(8), 1)[0] & 0x08


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(datagram: bytes) -> None:
    for read in (vxlan.parse, vxlan.parse_keyed, vxlan.parse_hello):
        with suppress(WireError):
            read(datagram)
