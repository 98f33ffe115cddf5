"""The spanning tree, the segments, and who gets which block, without any packet."""

import pytest

from pystack.core.addresses import format_ip4, parse_prefix
from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.link import Link
from pystack.topology.router import Way, Ways, common_way
from pystack.topology.switch import Switch
from pystack.topology.topology import Topology


def topology(subnet: str = "10.0.0.0/24") -> Topology:
    return Topology(Scheduler(), 7, parse_prefix(subnet))


def switches(net: Topology, count: int) -> list[Switch]:
    return [net.switch(Switch(f"sw{number}")) for number in range(count)]


def join(net: Topology, *pairs: tuple[str, str]) -> None:
    for a, b in pairs:
        net.link(a, b, make=Link)


def blocked(net: Topology, nodes: list[Switch]) -> list[list[int]]:
    net.settle()
    return [sorted(switch.blocked) for switch in nodes]


def test_a_tree_of_switches_rests_nowhere() -> None:
    net = topology()
    nodes = switches(net, 4)
    join(net, ("sw0", "sw1"), ("sw0", "sw2"), ("sw2", "sw3"))
    assert blocked(net, nodes) == [[], [], [], []]


def test_of_two_parallel_links_the_second_rests() -> None:
    net = topology()
    nodes = switches(net, 2)
    join(net, ("sw1", "sw0"), ("sw0", "sw1"))
    assert blocked(net, nodes) == [[1], [1]]


def test_a_mesh_is_a_tree_of_shortest_ways_to_the_switch_made_first() -> None:
    net = topology()
    nodes = switches(net, 4)
    join(
        net,
        ("sw2", "sw3"),
        ("sw1", "sw3"),
        ("sw1", "sw2"),
        ("sw3", "sw0"),
        ("sw2", "sw0"),
        ("sw1", "sw0"),
    )
    assert blocked(net, nodes) == [[], [0, 1], [0, 1], [0, 1]]


def test_islands_of_switches_have_a_tree_each() -> None:
    net = topology()
    nodes = switches(net, 6)
    join(net, ("sw0", "sw1"), ("sw1", "sw2"), ("sw2", "sw0"))
    join(net, ("sw3", "sw4"), ("sw4", "sw5"), ("sw5", "sw3"))
    assert blocked(net, nodes) == [[], [1], [0], [], [1], [0]]


def test_the_links_of_parallel_cables_have_names_of_their_own() -> None:
    net = topology()
    switches(net, 2)
    join(net, ("sw0", "sw1"), ("sw0", "sw1"), ("sw1", "sw0"))
    assert [cable.link.name for cable in net.cables] == ["sw0-sw1", "sw0-sw1#2", "sw1-sw0"]
    assert len(net.links_between("sw1", "sw0")) == 3


@pytest.mark.parametrize(
    ("subnet", "blocks"),
    [
        ("10.0.0.0/24", ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]),
        ("172.16.0.0/12", ["172.16.0.0/24", "172.16.1.0/24", "172.16.2.0/24"]),
        ("192.168.1.64/28", ["192.168.1.64/28", "192.168.1.80/28", "192.168.1.96/28"]),
    ],
)
def test_several_segments_get_block_after_block(subnet: str, blocks: list[str]) -> None:
    net = topology(subnet)
    router = net.router("r")
    for number in range(3):
        net.host(f"h{number}")
        join(net, (f"h{number}", "r"))
    net.settle()
    assert [str(interface.addresses[0].prefix) for interface in router.interfaces[1:]] == blocks


def test_blocks_by_hand_are_left_out_of_those_given_automatically() -> None:
    net = topology()
    for name, address in (("a", "10.0.1.7/24"), ("b", None), ("c", "10.0.2.0/23"), ("d", None)):
        net.host(name, address if address != "10.0.2.0/23" else "10.0.2.1/23")
    net.router("r")
    join(net, ("a", "r"), ("b", "r"), ("c", "r"), ("d", "r"))
    addresses = [net.resolve(name) for name in "abcd"]
    assert [format_ip4(address or 0) for address in addresses] == [
        "10.0.1.7",
        "10.0.0.1",
        "10.0.2.1",
        "10.0.4.1",
    ]


def test_a_subnet_without_room_for_another_segment_is_refused() -> None:
    net = topology("10.0.0.0/23")
    net.router("r")
    for number in range(3):
        net.host(f"h{number}")
        join(net, (f"h{number}", "r"))
    for _ in range(2):  # refused again, not forgotten
        with pytest.raises(ConfigError, match="no block of /24 left"):
            net.settle()


def test_one_block_on_two_segments_is_refused() -> None:
    net = topology()
    net.host("a", "10.5.0.1/24")
    net.host("b", "10.5.0.2/24")
    net.router("r")
    join(net, ("a", "r"), ("b", "r"))
    with pytest.raises(ConfigError, match="two segments"):
        net.settle()


def test_a_station_is_told_its_address_and_its_gateway() -> None:
    net = topology()
    station = net.station("tap")
    router = net.router("r")
    net.host("h")
    join(net, ("tap", "r"), ("r", "h"))
    net.settle()
    assert station.address is not None
    assert format_ip4(station.address[0]) == "10.0.0.1"
    assert station.gateway == router.interfaces[1].address
    with pytest.raises(ConfigError, match="has a link already"):
        join(net, ("tap", "h"))


def test_a_router_takes_only_steps_that_bring_it_nearer() -> None:
    # Segments in a row, 0 - r1 - 1 - r2 - 2; and r3 on 1, from which nothing leads on.
    segments = [["a", "r1"], ["r1", "r2", "r3"], ["r2", "b"]]
    interfaces = {"a": [0], "b": [2], "r1": [0, 1], "r2": [1, 2], "r3": [1]}
    ways = Ways(segments, interfaces, ["r1", "r2", "r3"])
    steps = {name: dict(ways.steps(name)).get(2) for name in interfaces}
    assert steps == {
        "a": Way(0, "r1"),
        "b": None,  # it is there
        "r1": Way(1, "r2"),
        "r2": None,
        "r3": Way(0, "r2"),
    }


def test_a_segment_that_nobody_leads_to_is_no_way() -> None:
    ways = Ways([["a"], ["b"]], {"a": [0], "b": [1]}, [])
    assert not dict(ways.steps("a"))
    assert ways.only("a") is None


def test_the_default_is_the_way_that_most_blocks_take_and_of_equals_the_first() -> None:
    one, two = Way(0, "r1"), Way(1, "r2")
    blocks = [parse_prefix(f"10.0.{number}.0/24") for number in range(4)]
    assert common_way(dict(zip(blocks, (two, one, one, two), strict=True))) == two
    assert common_way({}) is None
