"""ICMPv6 messages, beside dpkt's checksum."""

import errno

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets6 import A, B, message, packet6, parsed

from pystack.core.addresses import V6, with_zone
from pystack.core.errors import WireError
from pystack.wire import icmpv6

bytes_ = st.integers(0, 255)
address = st.integers(0, 2**128 - 1).map(lambda value: V6 | value)


@given(address, address, bytes_, bytes_, st.integers(0, 2**32 - 1), st.binary(max_size=60))
def test_a_message_reads_as_it_was_packed_and_dpkt_makes_the_same_checksum(
    src: int, dst: int, kind: int, code: int, rest: int, payload: bytes
) -> None:
    data = icmpv6.pack(src, dst, kind, code, rest, payload)
    _, read = message(data, src=src, dst=dst)
    assert (read.kind, read.code, read.rest, read.payload) == (kind, code, rest, payload)
    whole = dpkt.ip6.IP6(packet6([], 58, data, src=src, dst=dst))
    whole.data = dpkt.icmp6.ICMP6(type=kind, code=code, data=data[4:])
    assert bytes(whole)[40:44] == data[:4]


def test_zones_are_not_in_the_checksum() -> None:
    data = icmpv6.pack(A, B, icmpv6.ECHO, 0, 1, b"abc")
    assert icmpv6.pack(with_zone(A, 5), with_zone(B, 5), icmpv6.ECHO, 0, 1, b"abc") == data
    packet = parsed(packet6([], 58, data))
    packet.src, packet.dst = with_zone(A, 5), with_zone(B, 5)
    assert icmpv6.parse(packet).payload == b"abc"


def test_short_and_wrong_messages_are_refused_by_name() -> None:
    data = icmpv6.pack(A, B, icmpv6.ECHO, 0, 1, b"abc")
    with pytest.raises(WireError, match="icmp6_truncated"):
        message(data[:7])
    with pytest.raises(WireError, match="icmp6_bad_checksum"):
        message(data + b"x")
    with pytest.raises(WireError, match="icmp6_bad_checksum"):
        message(data, dst=A + 9)  # RFC 4443 section 2.3: the addresses are in it


@pytest.mark.parametrize(
    ("kind", "code", "number", "hard"),
    [
        (icmpv6.DESTINATION_UNREACHABLE, icmpv6.NO_ROUTE, errno.ENETUNREACH, False),
        (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PROHIBITED, errno.EACCES, True),
        (icmpv6.DESTINATION_UNREACHABLE, icmpv6.ADDRESS_UNREACHABLE, errno.EHOSTUNREACH, False),
        (icmpv6.DESTINATION_UNREACHABLE, icmpv6.PORT_UNREACHABLE, errno.ECONNREFUSED, True),
        (icmpv6.DESTINATION_UNREACHABLE, 200, errno.EPROTO, True),
        (icmpv6.PACKET_TOO_BIG, 0, errno.EMSGSIZE, False),
        (icmpv6.TIME_EXCEEDED, 0, errno.EHOSTUNREACH, False),
        (icmpv6.PARAMETER_PROBLEM, 1, errno.EPROTO, True),
        (icmpv6.ECHO, 0, None, False),
    ],
)
def test_errors_have_the_numbers_that_linux_gives_them(
    kind: int, code: int, number: int | None, hard: bool
) -> None:
    assert icmpv6.error_number(kind, code) == number
    assert icmpv6.is_hard(kind, code) is hard
