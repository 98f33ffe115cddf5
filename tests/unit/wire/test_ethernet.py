"""Ethernet II headers."""

import dpkt
from hypothesis import given
from hypothesis import strategies as st

from pystack.wire import ethernet

macs = st.binary(min_size=6, max_size=6)


@given(macs, macs, st.integers(0x0600, 0xFFFF), st.binary(max_size=50))
def test_what_is_packed_is_what_dpkt_reads(
    dst: bytes, src: bytes, ethertype: int, payload: bytes
) -> None:
    frame = ethernet.pack(dst, src, ethertype, payload)
    assert ethernet.HEADER.unpack_from(frame) == (dst, src, ethertype)
    assert frame[ethernet.HEADER_BYTES :] == payload
    unknown = 0x88B5  # IEEE: for local experiments, so that dpkt looks no further
    read = dpkt.ethernet.Ethernet(ethernet.pack(dst, src, unknown, payload))
    assert (read.dst, read.src, read.type, read.data) == (dst, src, unknown, payload)
