"""Routes for all: from the shortest ways to entries in each node's routing table.

A host gets a default route over the router that leads to most blocks, and single routes to what is
nearer by another. A router gets a route to each block and no default, so that it can say of all
else that it is unreachable. What was given by hand stays, and stands in for a route to that block.
"""

from collections.abc import Mapping, Sequence
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
    ways = Ways(
        [[end.node.name for end in members] for members in segments],
        {node.name: [number_of[end] for end in node.ends] for node in speaking},
        [node.name for node in speaking if node.is_router],
    )
    steps: dict[str, dict[Prefix, Way]] = {node.name: {} for node in speaking}
    for number, members in enumerate(segments):
        blocks = dict.fromkeys(prefix for end in members for _, prefix in end.addresses)
        for name, way in ways.to(number).items():
            steps[name].update(dict.fromkeys(blocks, way))
    for node in speaking:
        wanted: _Wanted = {}
        for block, way in _with_default(node, steps[node.name]).items():
            end = node.ends[way.interface]
            gateway = _gateway(end, segments[number_of[end]], way.router)
            if gateway is not None:
                wanted[block] = (end, gateway)
        _apply(node, wanted)
        _add_given(nodes, node)


def _with_default(node: Node, steps: dict[Prefix, Way]) -> dict[Prefix, Way]:
    common = None if node.is_router else common_way(steps)
    if common is None:
        return steps
    return {DEFAULT: common} | {block: way for block, way in steps.items() if way != common}


def _gateway(end: End, members: Sequence[End], router: str) -> Ip4 | None:
    """Return the router's address on the segment of `end`; None: they have no block in common."""
    own = [prefix for _, prefix in end.addresses]
    for other in members:
        if other.node.name == router:
            for address, _ in other.addresses:
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
    taken = node.given_routes | own
    new = {
        block: (end.name, gateway) for block, (end, gateway) in wanted.items() if block not in taken
    }
    for block, known in list(node.filled_routes.items()):
        if new.get(block) != known:
            del node.filled_routes[block]
            device.routes.remove(block)
    for block, route in new.items():
        if block not in node.filled_routes:
            node.filled_routes[block] = route
            interface = wanted[block][0].interface
            assert interface is not None
            device.routes.add(Route(block, interface, route[1], interface.address))


def _add_given(nodes: Mapping[str, Node], node: Node) -> None:
    device = node.device
    while node.pending_routes and isinstance(device, Host):
        prefix, via = node.pending_routes[0]
        gateway = _on_link(nodes, node, via)
        on_link = None if gateway is None else device.routes.lookup(gateway)
        if gateway is None or on_link is None or on_link.gateway is not None:
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
