"""The Internet checksum: the RFCs' own examples, dpkt, and arithmetic."""

import random

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import unpack_ip6, with_zone
from pystack.wire.checksum import address_sum, checksum, pseudo_header_sum, residue_of, update

words = st.integers(0, 0xFFFF)


@pytest.mark.rfc("1071", "section 3")
def test_the_example_of_the_rfc() -> None:
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert checksum(data) == ~0xDDF2 & 0xFFFF


@pytest.mark.rfc("1624", "section 4")
def test_the_example_of_the_incremental_rfc() -> None:
    assert update(0xDD2F, 0x5555, 0x3285) == 0x0000


@given(st.binary(max_size=200))
def test_it_is_that_of_dpkt(data: bytes) -> None:
    assert checksum(data) == dpkt.in_cksum(data)


@given(st.binary(max_size=200))
def test_data_with_its_checksum_in_place_sums_to_zero(data: bytes) -> None:
    padded = data + bytes(len(data) % 2)
    assert checksum(padded + checksum(data).to_bytes(2, "big")) == 0


@given(st.integers(0, 70_000), st.integers(0, 40), st.integers(0, 2**32))
def test_the_residue_of_a_part_is_its_sum(size: int, start: int, seed: int) -> None:
    data = bytes(start) + random.Random(seed).randbytes(size) + b"\xff"
    part = data[start : start + size]
    whole = int.from_bytes(part + bytes(size % 2), "big")
    assert residue_of(data, start, start + size) == whole % 0xFFFF


@given(st.binary(max_size=100))
def test_the_kind_of_buffer_does_not_matter(data: bytes) -> None:
    assert checksum(data) == checksum(bytearray(data)) == checksum(memoryview(data))


@given(st.binary(min_size=2, max_size=60), st.integers(0, 29), words)
@pytest.mark.rfc("1624", "section 3")
def test_the_update_of_one_word_is_the_whole_computation(data: bytes, index: int, new: int) -> None:
    data += bytes(len(data) % 2)
    at = index * 2 % len(data)
    old = int.from_bytes(data[at : at + 2], "big")
    changed = data[:at] + new.to_bytes(2, "big") + data[at + 2 :]
    if any(changed) and any(data):  # a header is never all zero
        assert update(checksum(data), old, new) == checksum(changed)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), words, words)
def test_the_pseudo_header_is_that_of_the_rfc(src: int, dst: int, proto: int, length: int) -> None:
    proto &= 0xFF
    header = src.to_bytes(4, "big") + dst.to_bytes(4, "big") + bytes((0, proto))
    header += length.to_bytes(2, "big")
    total = pseudo_header_sum(src, dst, proto, length)
    assert checksum(b"", total) == checksum(header)


@given(st.binary(min_size=32, max_size=32), words, words)
@pytest.mark.rfc("8200", "section 8.1")
def test_the_pseudo_header_of_ipv6_has_no_tag_and_no_zone(
    pair: bytes, proto: int, length: int
) -> None:
    proto &= 0xFF
    src, dst = unpack_ip6(pair[:16]), with_zone(unpack_ip6(pair[16:]), 3)
    header = pair + length.to_bytes(4, "big") + bytes((0, 0, 0, proto))
    assert checksum(b"", pseudo_header_sum(src, dst, proto, length)) == checksum(header)
    assert address_sum(src, dst) + proto + length == pseudo_header_sum(src, dst, proto, length)
