"""ICMP messages."""

import errno

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.errors import WireError
from pystack.wire import icmp

bytes_ = st.integers(0, 255)


@given(bytes_, bytes_, st.integers(0, 2**32 - 1), st.binary(max_size=60))
def test_a_message_reads_as_it_was_packed_and_dpkt_makes_the_same_checksum(
    kind: int, code: int, rest: int, payload: bytes
) -> None:
    data = icmp.pack(kind, code, rest, payload)
    message = icmp.parse(memoryview(data))
    assert (message.kind, message.code, message.rest) == (kind, code, rest)
    assert message.payload == payload
    assert (message.ident, message.seq) == (rest >> 16, rest & 0xFFFF)
    assert int.from_bytes(data[2:4], "big") == dpkt.in_cksum(data[:2] + b"\0\0" + data[4:])


def test_dpkt_reads_an_echo_request() -> None:
    read = dpkt.icmp.ICMP(icmp.pack(icmp.ECHO, 0, 0x12345678, b"abc"))
    assert (read.type, read.code) == (dpkt.icmp.ICMP_ECHO, 0)
    assert (read.data.id, read.data.seq, read.data.data) == (0x1234, 0x5678, b"abc")


def test_short_and_wrong_messages_are_refused_by_name() -> None:
    data = icmp.pack(icmp.ECHO, 0, 1, b"")
    with pytest.raises(WireError, match="icmp_truncated"):
        icmp.parse(memoryview(data)[:7])
    with pytest.raises(WireError, match="icmp_bad_checksum"):
        icmp.parse(memoryview(data + b"x"))
    with pytest.raises(WireError, match="icmp_quote_truncated"):
        icmp.quoted_ports(memoryview(bytes(7)))


@given(st.binary(max_size=40))
def test_hostile_bytes_raise_nothing_but_wire_errors(data: bytes) -> None:
    for parse in (icmp.parse, icmp.quoted_ports):
        try:
            parse(memoryview(data))
        except WireError:
            continue


def test_the_quoted_ports_are_the_first_four_bytes() -> None:
    assert icmp.quoted_ports(memoryview(bytes.fromhex("1f900035ffffffff"))) == (8080, 53)


@pytest.mark.parametrize(
    ("kind", "code", "number"),
    [
        (icmp.DESTINATION_UNREACHABLE, icmp.NET_UNREACHABLE, errno.ENETUNREACH),
        (icmp.DESTINATION_UNREACHABLE, icmp.HOST_UNREACHABLE, errno.EHOSTUNREACH),
        (icmp.DESTINATION_UNREACHABLE, icmp.PROTOCOL_UNREACHABLE, errno.ENOPROTOOPT),
        (icmp.DESTINATION_UNREACHABLE, icmp.PORT_UNREACHABLE, errno.ECONNREFUSED),
        (icmp.DESTINATION_UNREACHABLE, icmp.FRAGMENTATION_NEEDED, errno.EMSGSIZE),
        (icmp.DESTINATION_UNREACHABLE, 13, errno.EHOSTUNREACH),
        (icmp.DESTINATION_UNREACHABLE, 200, None),
        (icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, errno.EHOSTUNREACH),
        (icmp.PARAMETER_PROBLEM, 0, errno.EPROTO),
        (icmp.ECHO, 0, None),
    ],
)
def test_errors_have_the_numbers_that_linux_gives_them(
    kind: int, code: int, number: int | None
) -> None:
    assert icmp.error_number(kind, code) == number
