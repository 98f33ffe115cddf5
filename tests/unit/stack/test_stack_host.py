"""A host put together, and taken apart again."""

import pytest
from stack_bench import HERE, HERE_MAC, OTHER_MAC, PEER, Bench, FakePort, frame_of, ip_packet

from pystack.core.addresses import LOOPBACK, parse_interface_address, parse_ip4, parse_prefix
from pystack.core.errors import ConfigError
from pystack.wire import ipv4


@pytest.fixture
def bench() -> Bench:
    return Bench()


def plug(bench: Bench, name: str, address: str, mtu_bytes: int = 1500) -> None:
    port = FakePort(mtu_bytes)
    bench.host.add_interface(name, port, *parse_interface_address(address), OTHER_MAC)


@pytest.mark.parametrize(
    ("name", "address", "mtu", "reason"),
    [
        ("eth0", "10.9.0.1/24", 1500, "has an interface eth0 already"),
        ("eth1", "10.0.0.1/16", 1500, "has the address 10.0.0.1 already"),
        ("eth1", "10.0.0.7/24", 1500, "there is a route to 10.0.0.0/24 already"),
        ("eth1", "10.9.0.1/24", 67, "68 .* to 65,535 bytes, not 67"),
        ("eth1", "10.9.0.1/24", 65536, "not 65536"),
    ],
)
def test_an_interface_that_cannot_be_is_refused_and_leaves_nothing(
    bench: Bench, name: str, address: str, mtu: int, reason: str
) -> None:
    before = (list(bench.host.interfaces), dict(bench.host.addresses), list(bench.host.routes))
    with pytest.raises(ConfigError, match=reason):
        plug(bench, name, address, mtu)
    after = (list(bench.host.interfaces), dict(bench.host.addresses), list(bench.host.routes))
    assert after == before


def test_an_interface_may_have_two_addresses_in_one_block(bench: Bench) -> None:
    second = parse_ip4("10.0.0.7")
    bench.host.add_address(bench.interface, second, parse_prefix("10.0.0.0/24"))
    route = bench.host.routes.lookup(PEER)
    assert route is not None
    assert route.source == HERE  # the first is preferred
    own = bench.host.routes.lookup(second)
    assert own is not None
    assert own.interface.name == "lo"


@pytest.mark.parametrize("address", ["10.0.0.1/32", "10.0.0.1/31"])
def test_a_host_alone_in_its_block_talks_to_itself_over_the_loopback(address: str) -> None:
    bench = Bench(address)
    route = bench.host.routes.lookup(HERE)
    assert route is not None
    assert route.interface.name == "lo"


@pytest.mark.parametrize("mtu", [68, 65535])
def test_the_smallest_and_the_largest_mtu_are_taken(bench: Bench, mtu: int) -> None:
    plug(bench, "eth1", "10.9.0.1/24", mtu)


def test_a_closed_host_leaves_no_timer_and_sends_nothing(bench: Bench) -> None:
    host = bench.host
    host.announce(0.0)
    host.udp.bind(HERE, 9).send_to(b"data", PEER, 7, 0.0)
    connection = host.tcp.connect(PEER, 80, 0.0)
    host.tcp.pump(connection, 0.0)
    bench.arrive(frame_of(ip_packet(bytes(8), flags_offset=ipv4.MORE_FRAGMENTS)))
    bench.taken()
    host.close()
    assert bench.port.closed
    assert bench.scheduler.next_at() == float("inf")
    bench.run(1000.0)
    assert bench.taken() == []


def test_observers_of_a_closed_host_are_told_nothing_more(bench: Bench) -> None:
    socket = bench.host.udp.bind(HERE, 9)
    bench.know_peer()
    bench.host.close()
    bench.events.clear()
    socket.send_to(b"data", PEER, 7, 0.0)
    assert bench.events == []


def test_the_addresses_that_mean_many_are_those_of_all_links(bench: Bench) -> None:
    plug(bench, "eth1", "10.9.0.1/24")
    for text in ("10.0.0.255", "10.9.0.255", "255.255.255.255", "224.0.0.1"):
        assert bench.host.is_many(parse_ip4(text))
    for text in ("10.0.0.0", "10.1.0.255", "10.0.0.1"):
        assert not bench.host.is_many(parse_ip4(text))


def test_it_shows_itself_by_name_and_address(bench: Bench) -> None:
    assert repr(bench.host) == "<Host here 127.0.0.1 10.0.0.1>"
    assert bench.host.addresses == {
        LOOPBACK: bench.host.interfaces[0],
        HERE: bench.interface,
    }
    assert bench.interface.mac == HERE_MAC
