"""IPv4 options: source routes, recorded routes and times, and all that hostile bytes do."""

import contextlib

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import Ip4
from pystack.wire import ipv4
from pystack.wire.ip_options import (
    MAX_HOPS,
    OptionError,
    SourceRoute,
    copied,
    find_source_route,
    only_records,
    pack_source_route,
    recorded,
    records,
)

addresses = st.integers(0, 2**32 - 1).map(Ip4)
routes = st.builds(
    SourceRoute,
    st.lists(addresses, min_size=1, max_size=MAX_HOPS).map(tuple),
    st.booleans(),
)


@given(routes, addresses)
def test_a_route_that_begins_is_read_as_what_is_left_of_it(route: SourceRoute, dst: Ip4) -> None:
    data = pack_source_route(route, dst)
    assert len(data) % 4 == 0
    assert len(data) <= 40
    found = find_source_route(memoryview(data))
    assert found == SourceRoute((*route.hops[1:], dst), route.strict, done=False)


@given(routes)
def test_the_way_back_is_the_way_there_from_its_end(route: SourceRoute) -> None:
    assert route.back.back == route
    assert route.back.hops == route.hops[::-1]


@given(st.binary(max_size=40))
def test_hostile_bytes_raise_nothing(data: bytes) -> None:
    found = find_source_route(data)
    assert found is None or len(found.hops) <= MAX_HOPS


@given(routes, addresses, st.integers(0, 1000), st.integers(0, 255), st.integers(1, 255))
def test_a_header_with_options_reads_as_it_was_packed_here_and_in_dpkt(
    route: SourceRoute, dst: Ip4, payload_bytes: int, tos: int, ttl: int
) -> None:
    options = pack_source_route(route, dst)
    header = ipv4.pack_header(
        1, route.hops[0], ipv4.TCP, payload_bytes, tos=tos, ttl=ttl, options=options
    )
    data = header + bytes(payload_bytes)
    packet = ipv4.parse(memoryview(data))
    assert bytes(packet.options) == options
    assert (packet.tos, packet.ttl, len(packet.payload)) == (tos, ttl, payload_bytes)
    read = dpkt.ip.IP(data)
    assert (read.opts, read.tos, read.ttl, read.len) == (options, tos, ttl, len(data))


HERE = Ip4(0x0A000001)
STAMP = (2**31 + 5000).to_bytes(4, "big")  # the first bit: not since midnight


def option(kind: int, *rest: bytes | int) -> bytes:
    body = b"".join(part if isinstance(part, bytes) else bytes([part]) for part in rest)
    found = bytes([kind, 2 + len(body)]) + body
    return found + bytes(-len(found) % 4)


RECORDED = {
    "the first place of a route": (option(7, 4, bytes(8)), option(7, 8, b"\x0a\0\0\1", bytes(4))),
    "the last place": (option(7, 8, bytes(8)), option(7, 12, bytes(4), b"\x0a\0\0\1")),
    "a full route": (option(7, 12, bytes(8)), option(7, 12, bytes(8))),
    "a time": (option(68, 5, 0, bytes(8)), option(68, 9, 0, STAMP, bytes(4))),
    "a station and its time": (
        option(68, 5, 1, bytes(8)),
        option(68, 13, 1, b"\x0a\0\0\1", STAMP),
    ),
    "a time that is asked of this station": (
        option(68, 5, 3, b"\x0a\0\0\1", bytes(4)),
        option(68, 13, 3, b"\x0a\0\0\1", STAMP),
    ),
    "a time that is asked of another": (
        option(68, 5, 3, b"\x0a\0\0\2", bytes(4)),
        option(68, 5, 3, b"\x0a\0\0\2", bytes(4)),
    ),
    "no room for a time: counted": (option(68, 9, 0, bytes(4)), option(68, 9, 0x10, bytes(4))),
    "all that were asked have answered": (
        option(68, 13, 3, bytes(8)),
        option(68, 13, 3, bytes(8)),
    ),
    "both, among others": (
        b"\1\1" + option(7, 4, bytes(4))[:7] + b"\x82\3\0" + option(68, 5, 0, bytes(4)),
        b"\1\1" + option(7, 8, b"\x0a\0\0\1")[:7] + b"\x82\3\0" + option(68, 9, 0, STAMP),
    ),
    "none": (b"\1\1\1\0", b"\1\1\1\0"),
}


@pytest.mark.rfc("791", "3.1")
@pytest.mark.parametrize(("before", "after"), RECORDED.values(), ids=RECORDED)
def test_a_station_writes_itself_into(before: bytes, after: bytes) -> None:
    assert recorded(before, HERE, {HERE}, 5000) == after


@pytest.mark.rfc("791", "3.1")
@pytest.mark.parametrize(
    ("options", "at"),
    [
        (option(7, 4, bytes(3)), 2),  # some room, but not enough
        (option(7, 8, bytes(7)), 2),
        (option(7, 3, bytes(4)), 2),  # a pointer into itself, or between two addresses
        (option(7, 5, bytes(4)), 2),
        (option(7), 2),  # none
        (option(68, 5), 1),
        (option(68, 4, 0, bytes(4)), 2),
        (option(68, 5, 1, bytes(4)), 2),
        (option(68, 5, 2, bytes(8)), 3),  # no such flag
        (option(68, 9, 0xF0, bytes(4)), 3),  # nobody can count further
        (b"\1" + option(7, 0, bytes(4)), 3),
    ],
)
def test_what_cannot_be_filled_in_is_told_with_its_place(options: bytes, at: int) -> None:
    with pytest.raises(OptionError) as caught:
        recorded(options, HERE, {HERE}, 0)
    assert caught.value.at == at


@given(st.binary(max_size=40), st.integers(0, 2**40))
def test_any_bytes_are_filled_in_or_refused(data: bytes, time_ms: int) -> None:
    with contextlib.suppress(OptionError):
        found = recorded(data, HERE, {HERE}, time_ms)
        assert len(found) == len(data)
        if not records(data):
            assert found == data
    for part in (only_records(data), copied(data)):
        assert len(part) % 4 == 0
        assert len(part) <= 40


@given(routes, addresses)
def test_a_source_route_is_in_every_fragment_and_a_record_in_the_first(
    route: SourceRoute, dst: Ip4
) -> None:
    source = pack_source_route(route, dst)[1:]
    record = option(7, 4, bytes(4))
    assert copied(record[:7] + source) == source + bytes(-len(source) % 4)
    assert only_records(source + record) == record
