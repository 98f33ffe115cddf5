"""Which of its addresses a host sends from (RFC 6724 section 5), of both versions."""

import pytest
from discovery_bench import DiscoveryBench, zoned

from pystack.core.addresses import LINK_LOCAL6, UNSPECIFIED6, format_ip, parse_ip, parse_prefix
from pystack.stack.interface import AddressState
from pystack.stack.routes import Route

LINK = (parse_ip("fe80::1"), LINK_LOCAL6)
ULA = (parse_ip("fd00::1"), parse_prefix("fd00::/64"))
GLOBAL = (parse_ip("2001:db8:1::1"), parse_prefix("2001:db8:1::/64"))
NEARER = (parse_ip("2001:db8:2::1"), parse_prefix("2001:db8:2::/64"))


def source(bench: DiscoveryBench, dst: str) -> str:
    address = parse_ip(dst)
    route = bench.host.routes.lookup(address)
    if route is None:
        route = Route(parse_prefix("::/0"), bench.interface, None, UNSPECIFIED6)
    return format_ip(bench.host.source_towards(address, route))


@pytest.mark.rfc("6724", "5")
@pytest.mark.parametrize(
    ("dst", "expected"),
    [
        ("2001:db8:1::1", "2001:db8:1::1"),  # rule 1: itself
        ("fe80::9%2", "fe80::1%2"),  # rule 2: of its scope
        ("ff02::1", "fe80::1%2"),
        ("ff05::1", "2001:db8:1::1"),
        ("2001:db8:9::9", "2001:db8:1::1"),  # rule 6: of its label
        ("fd00:9::1", "fd00::1"),
        ("2001:db8:2::7", "2001:db8:2::1"),  # rule 8: the longest prefix in common
        ("2001:db8:1::7", "2001:db8:1::1"),
        ("10.0.0.2", "10.0.0.1"),
    ],
)
def test_the_source_towards(dst: str, expected: str) -> None:
    assert source(DiscoveryBench((LINK, ULA, GLOBAL, NEARER)), dst) == expected


def test_a_deprecated_address_is_the_last_choice() -> None:
    bench = DiscoveryBench((LINK, GLOBAL, NEARER))
    for own in bench.interface.addresses:
        if own.address == NEARER[0]:
            own.state = AddressState.DEPRECATED
    assert source(bench, "2001:db8:2::7") == "2001:db8:1::1"  # rule 3 is before 8
    bench.host.remove_address(
        bench.interface,
        next(own for own in bench.interface.addresses if own.address == GLOBAL[0]),
    )
    assert source(bench, "2001:db8:2::7") == "2001:db8:2::1"


def test_what_is_tried_out_is_no_source() -> None:
    bench = DiscoveryBench((), dad_transmits=1)
    bench.discovery.start(0.0)
    assert source(bench, "ff02::1") == "::"
    bench.run(10.0)
    (own,) = [own for own in bench.interface.addresses if own.prefix.is_v6]
    assert source(bench, "ff02::1") == format_ip(own.address)


def test_a_link_that_has_only_link_local_addresses_borrows() -> None:
    bench = DiscoveryBench((LINK,))
    loopback = bench.host.interfaces[0]
    bench.host.add_address(loopback, parse_ip("2001:db8:7::1"), parse_prefix("2001:db8:7::1/128"))
    assert source(bench, "2001:db8:9::9") == "2001:db8:7::1"
    assert source(bench, "fe80::9%2") == "fe80::1%2"


def test_an_address_that_is_taken_away_leaves_nothing_behind() -> None:
    bench = DiscoveryBench((LINK, ULA))
    before = bench.routes()
    bench.host.add_address(bench.interface, *GLOBAL)
    (own,) = [own for own in bench.interface.addresses if own.address == GLOBAL[0]]
    bench.host.remove_address(bench.interface, own)
    assert bench.routes() == before
    assert GLOBAL[0] not in bench.host.addresses
    bench.host.add_address(bench.interface, *GLOBAL)
    assert source(bench, "2001:db8:1::7") == "2001:db8:1::1"


def test_link_local_addresses_mean_another_station_on_each_link() -> None:
    bench = DiscoveryBench((LINK,))
    routes = bench.host.routes
    route = routes.lookup(zoned(parse_ip("fe80::9")))
    assert route is not None
    assert route.interface is bench.interface
    own = routes.lookup(zoned(LINK[0]))
    assert own is not None
    assert own.interface.name == "lo"
    assert routes.lookup(parse_ip("fe80::9")) is None
    assert routes.lookup(parse_ip("fe80::9%3")) is None
