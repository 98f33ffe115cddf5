"""ARP packets."""

import struct

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import arp

macs = st.binary(min_size=6, max_size=6)
addresses = st.integers(0, 2**32 - 1)


@given(st.sampled_from([arp.REQUEST, arp.REPLY]), macs, addresses, addresses, macs)
def test_a_packet_reads_as_it_was_packed_here_and_in_dpkt(
    op: int, sha: bytes, spa: int, tpa: int, tha: bytes
) -> None:
    data = arp.pack(op, sha, spa, tpa, tha)
    assert arp.parse(data + bytes(18)) == arp.ArpPacket(op, sha, spa, tha, tpa)
    read = dpkt.arp.ARP(data)
    assert (read.hrd, read.pro, read.hln, read.pln, read.op) == (1, 0x0800, 6, 4, op)
    assert (read.sha, read.tha) == (sha, tha)
    assert (read.spa, read.tpa) == (spa.to_bytes(4, "big"), tpa.to_bytes(4, "big"))


@pytest.mark.parametrize("at", [0, 2, 4, 5])
def test_another_hardware_or_protocol_is_not_ours(at: int) -> None:
    data = bytearray(arp.pack(arp.REQUEST, bytes(6), 1, 2))
    data[at] ^= 0x40
    with pytest.raises(WireError, match="arp_other_protocol"):
        arp.parse(data)


@pytest.mark.parametrize("op", [0, 3, 8, 0xFFFF])
def test_an_operation_that_is_neither_request_nor_reply_is_refused(op: int) -> None:
    data = struct.pack("!HHBBH20x", 1, 0x0800, 6, 4, op)
    with pytest.raises(WireError, match="arp_bad_operation"):
        arp.parse(data)


def test_a_short_packet_is_refused() -> None:
    with pytest.raises(WireError, match="arp_truncated"):
        arp.parse(arp.pack(arp.REQUEST, bytes(6), 1, 2)[:-1])


@given(st.binary(max_size=40))
def test_hostile_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    try:
        packet = arp.parse(data)
    except WireError:
        return
    assert packet.op in (arp.REQUEST, arp.REPLY)
