"""IPv4 options: source routes, and that nothing in there raises anything."""

import dpkt
from hypothesis import given
from hypothesis import strategies as st

from pystack.core.addresses import Ip4
from pystack.wire import ipv4
from pystack.wire.ip_options import MAX_HOPS, SourceRoute, find_source_route, pack_source_route

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
