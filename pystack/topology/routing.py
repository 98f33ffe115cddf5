"""Routes for all: from the shortest ways to entries in each node's routing table.

A host gets a default route over the router that leads to most blocks, and single routes to what is
nearer by another. A router gets a route to each block and no default, so that it can say of all
else that it is unreachable. What was given by hand stays, and stands in for a route to that block.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from pystack.core.addresses import Ip4, Prefix, parse_ip4
from pystack.core.errors import ConfigError
from pystack.stack.host import Host
from pystack.stack.routes import Route
from pystack.topology.nodes import End, Node, Station
from pystack.topology.router import Way, Ways, common_way

DEFAULT: Final = Prefix.of(0, 0)

_Wanted = dict[Prefix, tuple[End, Ip4]]


def fill(nodes: Mapping[str, Node], segments: Sequence[Sequence[End]]) -> None:
    """Give every node of the network its routes. Raises ConfigError for one by hand that fails."""
    number_of = {end: number for number, members in enumerate(segments) for end in members}
    speaking = [node for node in nodes.values() if not node.is_switch]
    interfaces = {node.name: [number_of[end] for end in node.ends] for node in speaking}
    ways = Ways(
        [[end.node.name for end in members] for members in segments],
        interfaces,
        [node.name for node in speaking if node.is_router],
    )
    blocks = [
        tuple(dict.fromkeys(prefix for end in members for _, prefix in end.addresses))
        for members in segments
    ]
    doors = [
        {end.node.name: end for end in reversed(members) if end.node.is_router}
        for members in segments
    ]
    shared: dict[tuple[int, ...], dict[Prefix, Way]] = {}  # by hosts that stand in one place
    for node in speaking:
        own = interfaces[node.name]
        steps: Iterable[tuple[Prefix, Way]] = ()
        if node.is_router:
            steps = _steps(ways, node.name, blocks)
        elif (way := ways.only(node.name)) is not None:
            steps = [(DEFAULT, way)]
        elif ways.has_choice(node.name):
            place = tuple(own)
            if place not in shared:
                shared[place] = _with_default(dict(_steps(ways, node.name, blocks)))
            steps = shared[place].items()
        wanted: _Wanted = {}
        last: Way | None = None
        through: tuple[End, Ip4] | None = None
        for block, way in steps:
            if way is not last:  # mostly it is: segments come by the router that they are behind
                last, end = way, node.ends[way.interface]
                gateway = _gateway(end, doors[own[way.interface]][way.router])
                through = None if gateway is None else (end, gateway)
            if through is not None:
                wanted[block] = through
        _apply(node, wanted)
        _add_given(nodes, node)


def _steps(
    ways: Ways, name: str, blocks: Sequence[Sequence[Prefix]]
) -> Iterator[tuple[Prefix, Way]]:
    for segment, way in ways.steps(name):
        for block in blocks[segment]:
            yield block, way


def _with_default(steps: dict[Prefix, Way]) -> dict[Prefix, Way]:
    common = common_way(steps)
    if common is None:
        return steps
    return {DEFAULT: common} | {block: way for block, way in steps.items() if way != common}


def _gateway(end: End, door: End) -> Ip4 | None:
    """Return the router's address on the segment of `end`; None: they have no block in common."""
    own = [prefix for _, prefix in end.addresses]
    for address, _ in door.addresses:
        if any(address in prefix for prefix in own):
            return address
    return None


def _apply(node: Node, wanted: _Wanted) -> None:
    """Change only what is different: a route that stays keeps its connections."""
    device = node.device
    if isinstance(device, Station):
        device.gateway = wanted[DEFAULT][1] if DEFAULT in wanted else None
        return
    assert isinstance(device, Host)
    own = {prefix for _, prefix in node.addresses}
    for block in node.given_routes | own:
        wanted.pop(block, None)
    old = node.filled_routes
    for block, known in old.items():
        if wanted.get(block) != known:
            device.routes.remove(block)
    added: list[Route] = []
    for block, (end, gateway) in wanted.items():
        if not old or old.get(block) != (end, gateway):
            assert end.interface is not None
            added.append(Route(block, end.interface, gateway, end.interface.address))
    device.routes.add_all(added)
    node.filled_routes = wanted


def _add_given(nodes: Mapping[str, Node], node: Node) -> None:
    device = node.device
    while node.pending_routes and isinstance(device, Host):
        prefix, via = node.pending_routes[0]
        gateway = _on_link(nodes, node, via)
        on_link = None if gateway is None else device.routes.lookup(gateway)
        if gateway is None or on_link is None or on_link.gateway is not None:
            # It is refused once, and then forgotten: what is right can still be built.
            del node.pending_routes[0]
            node.given_routes.discard(prefix)
            raise ConfigError(f"{node.name} has no link on which {via} is, to route {prefix} there")
        device.routes.add(Route(prefix, on_link.interface, gateway, on_link.source))
        del node.pending_routes[0]


def _on_link(nodes: Mapping[str, Node], node: Node, via: str) -> Ip4 | None:
    """Return the address that is meant by `via`; of a node, the one on a link of this one."""
    if via not in nodes:
        return parse_ip4(via)
    own = [prefix for _, prefix in node.addresses]
    for address, _ in nodes[via].addresses:
        if any(address in prefix for prefix in own):
            return address
    return None
