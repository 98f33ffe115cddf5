"""The routing table."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stack_bench import FAR, GATEWAY, GROUP, HERE, PEER, SUBNET_BROADCAST, Bench

from pystack.core.addresses import LOOPBACK, Ip4, Prefix, parse_ip4, parse_prefix
from pystack.core.errors import ConfigError
from pystack.stack.routes import CACHE_LIMIT, Route, RouteTable


@pytest.fixture
def bench() -> Bench:
    return Bench()


def route(bench: Bench, block: str, gateway: Ip4 | None = None) -> Route:
    return Route(parse_prefix(block), bench.interface, gateway, HERE)


@pytest.mark.rfc("1812", "5.2.4.3")
def test_the_longest_prefix_decides_whatever_the_order_of_adding(bench: Bench) -> None:
    for block in ("10.0.0.0/8", "10.1.2.3/32", "10.1.0.0/16", "10.1.2.0/24"):
        bench.host.routes.add(route(bench, block))
    for address, block in {
        "10.1.2.3": "10.1.2.3/32",
        "10.1.2.4": "10.1.2.0/24",
        "10.1.3.1": "10.1.0.0/16",
        "10.2.0.1": "10.0.0.0/8",
        "10.0.0.2": "10.0.0.0/24",
    }.items():
        found = bench.host.routes.lookup(parse_ip4(address))
        assert found is not None
        assert str(found.prefix) == block
    assert bench.host.routes.lookup(FAR) is None


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)), max_size=20),
    st.lists(st.integers(0, 2**32 - 1), max_size=20),
)
def test_lookup_is_that_of_a_plain_search(
    blocks: list[tuple[int, int]], addresses: list[int]
) -> None:
    interface = Bench().interface
    table = RouteTable()
    networks = {ipaddress.ip_network(block, strict=False) for block in blocks}
    for network in sorted(networks):
        prefix = Prefix.of(int(network.network_address), network.prefixlen)
        table.add(Route(prefix, interface, None, HERE))
    for value in addresses + [address for address, _ in blocks]:
        matching = [known for known in networks if ipaddress.IPv4Address(value) in known]
        best = max(matching, key=lambda known: known.prefixlen, default=None)
        found = table.lookup(Ip4(value))
        assert (None if found is None else str(found.prefix)) == (best and str(best))


def test_the_gateway_gets_the_frames_for_other_networks(bench: Bench) -> None:
    bench.host.set_gateway(GATEWAY)
    far, near = bench.host.routes.lookup(FAR), bench.host.routes.lookup(PEER)
    assert far is not None
    assert near is not None
    assert (far.next_hop(FAR), near.next_hop(PEER)) == (GATEWAY, PEER)
    assert far.source == HERE
    assert str(far) == "default via 10.0.0.254 dev eth0 src 10.0.0.1"
    assert str(near) == "10.0.0.0/24 dev eth0 src 10.0.0.1"


@pytest.mark.parametrize(
    "gateway", [FAR, HERE, LOOPBACK, parse_ip4("127.0.0.5"), SUBNET_BROADCAST, GROUP]
)
def test_what_cannot_be_a_gateway_is_refused(bench: Bench, gateway: Ip4) -> None:
    with pytest.raises(ConfigError, match="gateway"):
        bench.host.set_gateway(gateway)


def test_a_gateway_behind_a_gateway_is_refused(bench: Bench) -> None:
    bench.host.routes.add(route(bench, "172.16.0.0/12", GATEWAY))
    with pytest.raises(ConfigError, match="not on a link"):
        bench.host.routes.add(route(bench, "192.0.2.0/24", parse_ip4("172.16.0.1")))


def test_a_second_route_for_a_block_is_refused(bench: Bench) -> None:
    before = list(bench.host.routes)
    with pytest.raises(ConfigError, match=r"10\.0\.0\.0/24 already"):
        bench.host.routes.add(route(bench, "10.0.0.0/24", GATEWAY))
    assert list(bench.host.routes) == before


def test_what_was_looked_up_before_follows_later_changes(bench: Bench) -> None:
    assert bench.host.routes.lookup(FAR) is None
    bench.host.set_gateway(GATEWAY)
    assert bench.host.routes.lookup(FAR) is not None
    bench.host.routes.add(route(bench, "192.0.2.0/24"))
    found = bench.host.routes.lookup(FAR)
    assert found is not None
    assert found.gateway is None
    bench.host.routes.remove(parse_prefix("192.0.2.0/24"))
    bench.host.routes.remove(parse_prefix("0.0.0.0/0"))
    assert bench.host.routes.lookup(FAR) is None


def test_removing_what_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="no route"):
        bench.host.routes.remove(parse_prefix("192.0.2.0/24"))


def test_answers_are_remembered_within_bounds(bench: Bench) -> None:
    for number in range(2 * CACHE_LIMIT):
        bench.host.routes.lookup(Ip4(FAR + number))
        assert len(bench.host.routes._cache) <= CACHE_LIMIT


def test_the_way_to_oneself_is_the_loopback(bench: Bench) -> None:
    found = bench.host.routes.lookup(HERE)
    assert found is not None
    assert (found.interface.name, found.source) == ("lo", HERE)
    assert len(bench.host.routes) == 3
