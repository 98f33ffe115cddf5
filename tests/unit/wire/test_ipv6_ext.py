"""Extension headers of IPv6: what is passed over, what is refused, and what its sender is told."""

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets6 import LAST, Header, destination, fragment, hop_by_hop, packet6, parsed, routing

from pystack.wire import ipv6_ext
from pystack.wire.ipv6_ext import (
    DESTINATION_OPTIONS,
    ERRONEOUS_FIELD,
    HOP_BY_HOP,
    INCOMPLETE_CHAIN,
    MAX_HEADERS,
    MAX_OPTIONS,
    UNKNOWN_NEXT_HEADER,
    UNKNOWN_OPTION,
    HeaderFault,
)

UDP = 17


def fault_of(headers: list[Header], proto: int = UDP, payload: bytes = b"x" * 8) -> object:
    chain = parsed(packet6(headers, proto, payload)).chain
    assert chain is not None
    return chain.fault


def option(kind: int, body: bytes = b"") -> bytes:
    return bytes((kind, len(body))) + body


headers = st.lists(
    st.sampled_from(
        [destination(), destination(option(4, b"\5")), routing(0, 0), routing(4, 0, 2)]
    ),
    max_size=MAX_HEADERS - 2,
)


@given(st.booleans(), headers, st.binary(max_size=30))
def test_a_good_chain_leads_to_the_upper_layer(
    first: bool, following: list[Header], payload: bytes
) -> None:
    chained = [hop_by_hop(option(5, b"\0\0"))] * first + following
    data = packet6(chained, UDP, payload)
    packet = parsed(data)
    assert (packet.proto, packet.payload) == (UDP, payload)
    assert packet.header_bytes == len(data) - len(payload)
    if not chained:
        assert packet.chain is None
        return
    assert packet.chain is not None
    assert packet.chain.fault is None
    assert packet.chain.router_alert == (0 if first else None)
    assert data[packet.chain.proto_named_at] == UDP
    assert dpkt.ip6.IP6(data).p == UDP


@pytest.mark.rfc("8200", "4.2")
@pytest.mark.parametrize("hops", [False, True])
@pytest.mark.parametrize(
    ("kind", "code", "to_many"),
    [(0x1E, None, None), (0x5E, None, False), (0x9E, 2, True), (0xDE, 2, False)],
)
def test_what_an_unknown_option_asks_for_is_in_its_two_high_bits(
    kind: int, code: int | None, to_many: bool | None, hops: bool
) -> None:
    make, at = (hop_by_hop, 42) if hops else (destination, 42)
    fault = fault_of([make(option(kind, b"abc"))])
    if to_many is None:
        assert fault is None
    elif code is None:
        assert fault == HeaderFault("ip6_unknown_option", None, at, every_hop=hops)
    else:
        assert fault == HeaderFault(
            "ip6_unknown_option", UNKNOWN_OPTION, at, every_hop=hops, to_many=to_many
        )


@pytest.mark.parametrize(
    ("chained", "fault"),
    [
        (
            [destination(), hop_by_hop()],
            HeaderFault("ip6_late_hop_by_hop", UNKNOWN_NEXT_HEADER, 40),
        ),
        ([routing(0, 1)], HeaderFault("ip6_routing_header", ERRONEOUS_FIELD, 42)),
        ([routing(2, 1)], HeaderFault("ip6_routing_header", ERRONEOUS_FIELD, 42)),
        ([destination(), routing(4, 3)], HeaderFault("ip6_routing_header", ERRONEOUS_FIELD, 50)),
        ([routing(0, 0)], None),
        ([destination()] * MAX_HEADERS, None),
        ([destination()] * (MAX_HEADERS + 1), HeaderFault("ip6_extensions_too_many")),
        ([destination(option(0x1E) * MAX_OPTIONS)], None),
        (
            [destination(option(0x1E) * (MAX_OPTIONS + 1))],
            HeaderFault("ip6_options_too_many"),
        ),
        (
            [hop_by_hop(option(0x1E) * (MAX_OPTIONS + 1))],
            HeaderFault("ip6_options_too_many", every_hop=True),
        ),
        ([(DESTINATION_OPTIONS, b"\0\x1e\x09" + bytes(4))], HeaderFault("ip6_option_malformed")),
        ([(DESTINATION_OPTIONS, b"\0" + bytes(5) + b"\x1e")], HeaderFault("ip6_option_malformed")),
        ([(DESTINATION_OPTIONS, b"\1" + bytes(14))], HeaderFault("ip6_bad_padding")),
        ([(DESTINATION_OPTIONS, b"\0\1\4abcd")], HeaderFault("ip6_bad_padding")),
        ([(DESTINATION_OPTIONS, b"\7" + bytes(6))], HeaderFault("ip6_extension_truncated")),
        (
            [(HOP_BY_HOP, b"\7" + bytes(6))],
            HeaderFault("ip6_extension_truncated", every_hop=True),
        ),
        (
            [fragment(0, more=False), fragment(0, more=False)],
            HeaderFault("ip6_fragment_twice"),
        ),
        (
            [
                (
                    DESTINATION_OPTIONS,
                    bytes((129, 0x1E, 255))
                    + bytes(255)
                    + bytes((0x1E, 255))
                    + bytes(255)
                    + bytes((0x1E, 255))
                    + bytes(255)
                    + bytes((0x1E, 255))
                    + bytes(255)
                    + bytes((0x1E, 8))
                    + bytes(8),
                )
            ],
            HeaderFault("ip6_extensions_too_long"),
        ),
    ],
)
def test_each_fault_has_its_name_and_its_answer(
    chained: list[Header], fault: HeaderFault | None
) -> None:
    assert fault_of(chained) == fault


def test_a_jumbogram_is_refused_by_name() -> None:
    header = bytes((UDP, 0)) + option(0xC2, (70_000).to_bytes(4, "big"))
    data = bytearray(packet6([], HOP_BY_HOP, header + bytes(70_000 - 8)))
    assert data[4:6] == b"\0\0"
    for kept in (len(data), 300):
        chain = parsed(bytes(data[:kept])).chain
        assert chain is not None
        assert chain.fault == HeaderFault("ip6_jumbo", UNKNOWN_OPTION, 42, every_hop=True)


def test_what_is_wrong_behind_is_found_though_hop_by_hop_comes_late() -> None:
    late = parsed(packet6([destination(), hop_by_hop()], UDP, b"text"))
    assert (late.proto, late.payload) == (UDP, b"text")  # a router, say, passes it on as it is


def test_of_several_faults_the_first_counts() -> None:
    fault = fault_of([hop_by_hop(option(0xDE)), routing(0, 1)])
    assert isinstance(fault, HeaderFault)
    assert (fault.reason, fault.every_hop) == ("ip6_unknown_option", True)


@pytest.mark.parametrize(("more", "offset"), [(True, 0), (True, 3), (False, 3)])
def test_a_fragment_says_where_it_belongs(more: bool, offset: int) -> None:
    data = packet6([hop_by_hop(), fragment(offset, more=more, ident=0x01020304)], UDP, bytes(16))
    packet = parsed(data)
    assert packet.is_fragment
    assert (packet.fragment_offset_bytes, packet.more_fragments) == (8 * offset, more)
    assert (packet.ident, packet.proto, packet.payload) == (0x01020304, UDP, bytes(16))
    chain = packet.chain
    assert chain is not None
    assert (chain.fragment_named_at, chain.fragment_at) == (40, 48)
    assert (chain.upper, chain.fault) == (None if offset else UDP, None)


@pytest.mark.rfc("6946", "4")
def test_an_atomic_fragment_is_no_fragment() -> None:
    packet = parsed(packet6([fragment(0, more=False)], UDP, b"whole"))
    assert (packet.is_fragment, packet.proto, packet.payload) == (False, UDP, b"whole")
    assert packet.chain is not None
    assert packet.chain.fragmented


def test_a_fragment_header_that_is_cut_off_is_told_to_its_sender() -> None:
    data = packet6([], ipv6_ext.FRAGMENT, bytes(7))
    chain = parsed(data).chain
    assert chain is not None
    assert chain.fault == HeaderFault("ip6_extension_truncated", ERRONEOUS_FIELD, 40)


@pytest.mark.rfc("7112", "5")
@pytest.mark.parametrize(
    ("behind", "proto", "payload", "whole"),
    [
        ([], UDP, bytes(8), True),
        ([], UDP, b"", False),
        ([], 6, bytes(16), False),
        ([], 6, bytes(24), True),
        ([destination()], UDP, bytes(8), True),
        ([destination()], UDP, b"", False),
        ([], DESTINATION_OPTIONS, bytes((UDP, 5)) + bytes(6), False),
        ([], LAST, b"", True),
        ([], 132, b"", False),
        ([], 132, bytes(8), True),
    ],
)
def test_a_first_fragment_has_all_headers(
    behind: list[Header], proto: int, payload: bytes, whole: bool
) -> None:
    fault = fault_of([fragment(0, more=True), *behind], proto, payload)
    assert fault == (None if whole else HeaderFault("ip6_incomplete_chain", INCOMPLETE_CHAIN))


@given(st.binary(max_size=200), st.sampled_from(sorted(ipv6_ext.EXTENSIONS)))
def test_the_walk_is_bounded_and_never_leaves_the_packet(body: bytes, proto: int) -> None:
    packet = parsed(packet6([], proto, body))
    assert packet.chain is not None
    assert packet.chain.proto_at <= len(packet.raw)
    assert packet.chain.proto_named_at < len(packet.raw)
    assert packet.raw[packet.chain.proto_named_at] == packet.proto
