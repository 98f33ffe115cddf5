"""Routes of random networks: each packet arrives, by a shortest way, and never goes in a circle."""

from collections import deque

from hypothesis import given, settings
from hypothesis import strategies as st

from pystack.core.addresses import Ip, parse_ip, parse_prefix
from pystack.core.scheduler import Scheduler
from pystack.link.link import Link
from pystack.stack.host import Host
from pystack.topology.topology import Topology

Graph = tuple[int, list[tuple[int, int]]]
OUTSIDE = parse_ip("192.0.2.1"), parse_ip("2001:db8::1")


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Draw a number of routers and links between them, all of it in one piece."""
    count = draw(st.integers(1, 7))
    tree = [(draw(st.integers(0, number - 1)), number) for number in range(1, count)]
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    more = draw(st.lists(pairs.filter(lambda pair: pair[0] < pair[1]), max_size=5, unique=True))
    return count, tree + [pair for pair in more if pair not in tree]


def built(graph: Graph) -> tuple[Topology, list[Host]]:
    """Return a network of the graph with a host on each router, and the hosts."""
    net = Topology(Scheduler(), 7, parse_prefix("10.0.0.0/16"), parse_prefix("fd00::/64"))
    count, links = graph
    for number in range(count):
        net.router(f"r{number}")
    for a, b in links:
        net.link(f"r{a}", f"r{b}", make=Link)
    hosts = []
    for number in range(count):
        hosts.append(net.host(f"h{number}"))
        net.link(f"h{number}", f"r{number}", make=Link)
    net.settle()
    return net, hosts


def walk(net: Topology, start: Host, dst: Ip) -> int:
    """Follow the routes to an address; return how many routers were passed, at most 20."""
    owner = {
        address: node.device
        for node in net.nodes.values()
        if isinstance(node.device, Host)
        for address, _ in node.given
    }
    at, passed = start, 0
    while dst not in at.addresses and passed < 20:
        route = at.routes.lookup(dst)
        assert route is not None
        at = owner[route.next_hop(dst)]
        passed += 1
    return passed - 1


def owner_of(net: Topology, address: Ip) -> Host:
    """Return the host or router that has an address."""
    for node in net.nodes.values():
        if address in [own for own, _ in node.given]:
            assert isinstance(node.device, Host)
            return node.device
    raise AssertionError(address)


def distances(graph: Graph, start: int) -> dict[int, int]:
    """Return the links from one router to each, as an independent count."""
    found, edge = {start: 0}, deque([start])
    while edge:
        at = edge.popleft()
        for a, b in graph[1]:
            for near, far in ((a, b), (b, a)):
                if near == at and far not in found:
                    found[far] = found[at] + 1
                    edge.append(far)
    return found


@settings(deadline=None, max_examples=60)
@given(graphs())
def test_every_host_reaches_every_other_by_a_shortest_way(graph: Graph) -> None:
    net, hosts = built(graph)
    for number, start in enumerate(hosts):
        far = distances(graph, number)
        for other in range(len(hosts)):
            if other != number:
                addresses = net.resolve_all(f"h{other}")
                assert len(addresses) == 2
                for address in addresses:
                    assert walk(net, start, address) == far[other] + 1


@settings(deadline=None, max_examples=30)
@given(graphs())
def test_the_same_network_has_the_same_routes(graph: Graph) -> None:
    first, second = (
        [str(route) for host in built(graph)[1] for route in host.routes] for _ in range(2)
    )
    assert first == second


@settings(deadline=None, max_examples=30)
@given(graphs())
def test_every_address_is_given_once(graph: Graph) -> None:
    net, _ = built(graph)
    addresses = [address for node in net.nodes.values() for address, _ in node.given]
    assert len(addresses) == len(set(addresses)) == 2 * 2 * len(net.cables)


@settings(deadline=None, max_examples=30)
@given(graphs(), st.data())
def test_what_is_in_no_block_goes_to_the_way_out_by_a_shortest_way(
    graph: Graph, data: st.DataObject
) -> None:
    net, hosts = built(graph)
    exit_at = data.draw(st.integers(0, len(hosts) - 1))
    name = data.draw(st.sampled_from((f"r{exit_at}", f"h{exit_at}")))
    net.lead_out(name)
    net.settle()
    way_out = net.node(name).device
    for number, start in enumerate(hosts):
        far = distances(graph, number)
        for address in OUTSIDE:
            hops = 0
            at: Host = start
            while (route := at.routes.lookup(address)) is not None and hops < 20:
                at = owner_of(net, route.next_hop(address))
                hops += 1
            assert at is way_out
            if start is not way_out:
                assert hops == far[exit_at] + (1 if name == f"r{exit_at}" else 2)
        for other in range(len(hosts)):  # and all else goes as before
            if other != number:
                for address in net.resolve_all(f"h{other}"):
                    assert walk(net, start, address) == far[other] + 1
    net.lead_out(name, leads=False)
    net.settle()
    routers = [net.node(f"r{number}").device for number in range(len(hosts))]
    for router in routers:
        assert isinstance(router, Host)
        assert all(router.routes.lookup(address) is None for address in OUTSIDE)
