"""UDP headers."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import ipv4, udp
from pystack.wire.checksum import checksum, pseudo_header_sum
from pystack.wire.packet import Packet

addresses = st.integers(0, 2**32 - 1)
ports = st.integers(0, 0xFFFF)

SRC, DST = 0x0A000001, 0x0A000002


def packet_of(datagram: bytes, *, src: int = SRC, dst: int = DST) -> Packet:
    header = ipv4.pack_header(src, dst, ipv4.UDP, len(datagram))
    return ipv4.parse(memoryview(header + datagram))


@given(addresses, addresses, ports, ports, st.binary(max_size=60))
def test_a_datagram_reads_as_it_was_packed_here_and_in_dpkt(
    src: int, dst: int, src_port: int, dst_port: int, payload: bytes
) -> None:
    data = udp.pack(src, dst, src_port, dst_port, payload)
    datagram = udp.parse(packet_of(data, src=src, dst=dst))
    assert (datagram.src_port, datagram.dst_port) == (src_port, dst_port)
    assert datagram.payload == payload
    read = dpkt.udp.UDP(data)
    assert (read.sport, read.dport, read.ulen, read.data) == (
        src_port,
        dst_port,
        8 + len(payload),
        payload,
    )
    ip = dpkt.ip.IP(src=src.to_bytes(4, "big"), dst=dst.to_bytes(4, "big"), p=17, data=read)
    read.sum = 0  # dpkt fills it in where it is 0
    assert bytes(ip)[26:28] == data[6:8]


def test_a_checksum_that_comes_to_zero_is_sent_as_all_ones() -> None:
    found = 0
    for number in range(0x10000):
        payload = number.to_bytes(2, "big")
        if checksum(payload, pseudo_header_sum(1, 2, 17, 10) + 3 + 4 + 10) == 0:
            data = udp.pack(1, 2, 3, 4, payload)
            assert data[6:8] == b"\xff\xff"
            assert udp.parse(packet_of(data, src=1, dst=2)).payload == payload
            found += 1
    assert found == 1


def test_no_checksum_is_no_fault() -> None:
    data = bytearray(udp.pack(SRC, DST, 5, 6, b"data"))
    data[6:8] = b"\0\0"
    assert udp.parse(packet_of(bytes(data))).payload == b"data"


def test_a_wrong_checksum_is_refused_unless_the_carrier_vouches_for_it() -> None:
    data = bytearray(udp.pack(SRC, DST, 5, 6, b"data"))
    data[-1] ^= 1
    packet = packet_of(bytes(data))
    with pytest.raises(WireError, match="udp_bad_checksum"):
        udp.parse(packet)
    packet.checksum_good = True
    assert udp.parse(packet).src_port == 5


@pytest.mark.parametrize("length", [0, 7, 13, 0xFFFF])
def test_a_length_that_cannot_be_is_refused(length: int) -> None:
    data = bytearray(udp.pack(SRC, DST, 5, 6, b"data"))
    data[4:6] = length.to_bytes(2, "big")
    with pytest.raises(WireError, match="udp_bad_length"):
        udp.parse(packet_of(bytes(data)))


def test_what_follows_the_length_is_not_payload() -> None:
    data = udp.pack(SRC, DST, 5, 6, b"data") + b"trailer"
    assert udp.parse(packet_of(data)).payload == b"data"


def test_a_short_header_is_refused() -> None:
    with pytest.raises(WireError, match="udp_truncated"):
        udp.parse(packet_of(bytes(7)))


@given(st.binary(max_size=40), st.booleans())
def test_hostile_bytes_raise_nothing_but_wire_errors(data: bytes, good: bool) -> None:
    packet = packet_of(data)
    packet.checksum_good = good
    try:
        datagram = udp.parse(packet)
    except WireError:
        return
    assert len(datagram.payload) <= len(data) - 8


@given(st.integers(0, 63), st.binary(max_size=20))
def test_every_wrong_bit_of_the_header_but_the_checksum_is_found(bit: int, payload: bytes) -> None:
    data = bytearray(udp.pack(SRC, DST, 5, 6, payload))
    data[bit // 8] ^= 1 << bit % 8
    if data[6:8] != b"\0\0":
        with pytest.raises(WireError):
            udp.parse(packet_of(bytes(data)))
