"""The spanning tree, the segments, and who gets which block, without any packet."""

import re

import pytest

from pystack.core.addresses import eui64, format_ip, link_local, parse_prefix
from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.link import Link
from pystack.topology.addressing import parse_subnets
from pystack.topology.router import Way, Ways, common_way
from pystack.topology.switch import Switch
from pystack.topology.topology import Topology


def topology(*subnets: str) -> Topology:
    return Topology(Scheduler(), 7, *map(parse_prefix, subnets or ("10.0.0.0/24",)))


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
        ("fd00::/64", ["fd00::/64", "fd00:0:0:1::/64", "fd00:0:0:2::/64"]),
        ("2001:db8::/32", ["2001:db8::/64", "2001:db8:0:1::/64", "2001:db8:0:2::/64"]),
        ("fd00::40/124", ["fd00::40/124", "fd00::50/124", "fd00::60/124"]),
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
    net = topology("10.0.0.0/24", "fd00::/64")
    net.host("a", "10.0.1.7/24", "fd00:0:0:1::7/64")
    net.host("b")
    net.host("c", "10.0.2.1/23", "fd00:0:0:2::1/63")
    net.host("d")
    net.router("r")
    join(net, ("a", "r"), ("b", "r"), ("c", "r"), ("d", "r"))
    assert [list(map(format_ip, net.resolve_all(name))) for name in "abcd"] == [
        ["10.0.1.7", "fd00:0:0:1::7"],
        ["10.0.0.1", "fd00::1"],
        ["10.0.2.1", "fd00:0:0:2::1"],
        ["10.0.4.1", "fd00:0:0:4::1"],
    ]


@pytest.mark.parametrize(
    ("subnet", "block"),
    [("10.0.0.0/23", "/24"), ("fd00::/63", "/64"), ("fe7f:ffff:ffff:fffe::/64", "/64")],
)
def test_a_subnet_without_room_for_another_segment_is_refused(subnet: str, block: str) -> None:
    net = topology(subnet)
    net.router("r")
    for number in range(3):
        net.host(f"h{number}")
        join(net, (f"h{number}", "r"))
    for _ in range(2):  # refused again, not forgotten
        with pytest.raises(ConfigError, match=f"no block of {block} left"):
            net.settle()


@pytest.mark.parametrize(
    ("word", "a", "b"),
    [("address", "10.5.0.1/24", "10.5.0.2/24"), ("address6", "fd05::1/64", "fd05::2/48")],
)
def test_one_block_on_two_segments_is_refused(word: str, a: str, b: str) -> None:
    net = topology("10.0.0.0/24", "fd00::/64")
    net.host("a", **{word: a})
    net.host("b", **{word: b})
    net.router("r")
    join(net, ("a", "r"), ("b", "r"))
    with pytest.raises(ConfigError, match="two segments"):
        net.settle()


@pytest.mark.parametrize(
    ("subnet", "problem"),
    [
        ({"ip": "5"}, "ip is one of both, 4, 6, and not '5'"),
        ({"ip": "4", "subnet6": "fd00::/64"}, "subnet6 is of IPv6, and the network has IPv4 alone"),
        ({"ip": "6", "subnet": "10.0.0.0/24"}, "subnet is of IPv4, and the network has IPv6 alone"),
        ({"ip": "both", "subnet": "fd00::/64"}, "subnet is of IPv4; fd00::/64 belongs to subnet6"),
        ({"ip": "both", "subnet6": "10.0.0.0/8"}, "subnet6 is of IPv6; 10.0.0.0/8 belongs to sub"),
        ({"ip": "6", "subnet6": "ff00::/64"}, "no host can have an address of the subnet"),
        ({"ip": "6", "subnet6": "::/64"}, "no host can have an address of the subnet"),
        ({"ip": "6", "subnet6": "fe80::/64"}, "for a link alone"),
    ],
)
def test_a_subnet_that_cannot_be_is_refused(subnet: dict[str, str], problem: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(problem)):
        parse_subnets(**subnet)


@pytest.mark.parametrize(
    ("ip", "word", "said", "problem"),
    [
        ("both", "address", "fd00::9/64", "fd00::9/64 is an address of IPv6: say it by address6"),
        ("both", "address6", "10.0.0.9/24", "10.0.0.9/24 is an address of IPv4: say it by address"),
        ("6", "address", "10.0.0.9/24", "a cannot have 10.0.0.9/24: the network has IPv6 alone"),
        ("4", "address6", "fd00::9/64", "a cannot have fd00::9/64: the network has IPv4 alone"),
        (
            "6",
            "address6",
            "fe80::9/64",
            "a makes its link-local addresses itself: fe80::9/64 cannot be given",
        ),
        ("6", "address6", "ff02::9/64", "cannot be the address of a host"),
    ],
)
def test_an_address_that_cannot_be_is_refused(ip: str, word: str, said: str, problem: str) -> None:
    net = Topology(Scheduler(), 7, *parse_subnets(ip))
    with pytest.raises(ConfigError, match=re.escape(problem)):
        net.host("a", **{word: said})


def test_an_address_is_given_to_one_host_alone() -> None:
    net = topology("10.0.0.0/24", "fd00::/64")
    net.host("a", address6="fd00::9/64")
    with pytest.raises(ConfigError, match="b cannot have fd00::9: a has it"):
        net.host("b", address6="fd00::9/64")


def test_a_host_has_an_address_for_each_link_alone_and_one_for_itself() -> None:
    net = topology("10.0.0.0/24", "fd00::/64")
    host = net.host("h")
    net.router("r")
    net.host("other")
    join(net, ("h", "r"), ("r", "other"))
    net.settle()
    lo, eth0 = host.interfaces
    assert [str(own) for own in lo.addresses] == ["127.0.0.1/8", "::1/128"]
    first, second, link = eth0.addresses
    assert [str(first), str(second)] == ["10.0.0.1/24", "fd00::1/64"]
    assert str(link) == f"{format_ip(link_local(eui64(eth0.mac)))}%{eth0.index}/64"
    assert [str(route) for route in host.routes if route.gateway is not None] == [
        "default via 10.0.0.2 dev eth0 src 10.0.0.1",
        "default via fd00::2 dev eth0 src fd00::1",
    ]


def test_a_route_over_a_node_is_one_of_each_version_and_one_over_an_address_of_its_own() -> None:
    net = topology("10.0.0.0/24", "fd00::/64")
    host = net.host("h")
    net.router("r")
    net.host("other")
    join(net, ("h", "r"), ("r", "other"))
    net.route("h", "10.9.0.0/16", "r")
    net.route("h", "fd09::/32", "fd00::2")
    net.route("other", "default", "r")
    net.settle()
    shown = [str(route) for route in host.routes]
    assert "10.9.0.0/16 via 10.0.0.2 dev eth0 src 10.0.0.1" in shown
    assert "fd09::/32 via fd00::2 dev eth0 src fd00::1" in shown
    with pytest.raises(ConfigError, match="a route to fd09::/32 already"):
        net.route("h", "fd09::/32", "r")
    with pytest.raises(ConfigError, match="a route to default already"):
        net.route("other", "default", "fd00:0:0:1::1")


def test_a_station_is_told_its_addresses_and_its_gateways() -> None:
    net = topology("10.0.0.0/24", "fd00::/64")
    station = net.station("tap")
    router = net.router("r")
    net.host("h")
    join(net, ("tap", "r"), ("r", "h"))
    net.settle()
    assert [f"{format_ip(own)} {prefix}" for own, prefix in station.addresses] == [
        "10.0.0.1 10.0.0.0/24",
        "fd00::1 fd00::/64",
    ]
    own = [known.address for known in router.interfaces[1].addresses]
    assert list(station.gateways) == own[:2]
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
