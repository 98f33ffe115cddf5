"""Routes for all: from the shortest ways to entries in each node's routing table.

A host gets a default route over the router that leads to most blocks, and single routes to what is
nearer by another. A router gets a route to each block and no default, so that it can say of all
else that it is unreachable; where a node is a way out of the network, all that is in no block goes
there, and the default routes of routers lead to it too. The ways are the same for both IP versions,
and worked out once. What was given by hand stays, and stands in for a route to that block.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Final

from pystack.core.addresses import V6, Ip, Prefix, has_zone, is_v6, parse_ip, split_zone
from pystack.core.errors import ConfigError
from pystack.stack.host import Host
from pystack.stack.routes import Route
from pystack.stack.zones import parse_on
from pystack.topology.nodes import End, Node, Station
from pystack.topology.router import Way, Ways, common_way

DEFAULT: Final = Prefix.of(0, 0)
DEFAULT6: Final = Prefix.of(V6, 0)

_Wanted = dict[Prefix, tuple[End, Ip]]


def fill(
    nodes: Mapping[str, Node],
    segments: Sequence[Sequence[End]],
    subnets: Sequence[Prefix],
    exits: Sequence[str] = (),
) -> None:
    """Give every node of the network its routes. Raises ConfigError for one by hand that fails.

    `exits`: nodes that lead out of the network.
    """
    number_of = {end: number for number, members in enumerate(segments) for end in members}
    speaking = [node for node in nodes.values() if not node.is_switch]
    interfaces = {node.name: [number_of[end] for end in node.ends] for node in speaking}
    # What is outside is one more segment, with the exit alone on it, whose blocks are the defaults.
    for number, name in enumerate(exits, len(segments)):
        interfaces[name].append(number)
    leading = {node.name for node in speaking if node.is_router} | set(exits)
    ways = Ways(
        [[end.node.name for end in members] for members in segments] + [[name] for name in exits],
        interfaces,
        [node.name for node in speaking if node.name in leading],
    )
    blocks = [
        tuple(dict.fromkeys(prefix for end in members for _, prefix in end.given))
        for members in segments
    ]
    doors = [
        {end.node.name: end for end in reversed(members) if end.node.name in leading}
        for members in segments
    ]
    defaults = [DEFAULT6 if subnet.is_v6 else DEFAULT for subnet in subnets]
    blocks += [tuple(defaults)] * len(exits)
    shared: dict[tuple[int, ...], dict[Prefix, Way]] = {}  # by hosts that stand in one place
    for node in speaking:
        own = interfaces[node.name]
        steps: Iterable[tuple[Prefix, Way]] = ()
        if node.name in leading:
            steps = _steps(ways, node.name, blocks)
        elif (way := ways.only(node.name)) is not None:
            steps = [(default, way) for default in defaults]
        elif ways.has_choice(node.name):
            place = tuple(own)
            if place not in shared:
                found = dict(_steps(ways, node.name, blocks))
                shared[place] = _with_defaults(found, defaults)
            steps = shared[place].items()
        wanted: _Wanted = {}
        last: Way | None = None
        through: dict[bool, tuple[End, Ip]] = {}
        for block, way in steps:
            if way is not last:  # mostly it is: segments come by the router that they are behind
                last, end = way, node.ends[way.interface]
                through = dict(_gateways(end, doors[own[way.interface]][way.router]))
            if block.is_v6 in through:
                wanted[block] = through[block.is_v6]
        _apply(node, wanted)
        _add_given(nodes, node)


def _steps(
    ways: Ways, name: str, blocks: Sequence[Sequence[Prefix]]
) -> Iterator[tuple[Prefix, Way]]:
    for segment, way in ways.steps(name):
        for block in blocks[segment]:
            yield block, way


def _with_defaults(steps: dict[Prefix, Way], defaults: Sequence[Prefix]) -> dict[Prefix, Way]:
    common = common_way(steps)
    if common is None or not steps.keys().isdisjoint(defaults):
        return steps
    others = {block: way for block, way in steps.items() if way != common}
    return dict.fromkeys(defaults, common) | others


def _gateways(end: End, door: End) -> Iterator[tuple[bool, tuple[End, Ip]]]:
    """Go through the router's addresses on the segment of `end`, one of each version at most.

    Of a version in which they have no block in common there is none.
    """
    own = [prefix for _, prefix in end.given]
    for address, _ in door.given:
        if any(address in prefix for prefix in own):
            yield is_v6(address), (end, address)


def _apply(node: Node, wanted: _Wanted) -> None:
    """Change only what is different: a route that stays keeps its connections."""
    device = node.device
    if isinstance(device, Station):
        defaults = [wanted[default] for default in (DEFAULT, DEFAULT6) if default in wanted]
        device.gateways = tuple(gateway for _, gateway in defaults)
        return
    assert isinstance(device, Host)
    own = {prefix for end in node.ends for _, prefix in end.given}
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
            source = end.given_of(v6=block.is_v6)
            assert source is not None
            added.append(Route(block, end.interface, gateway, source[0]))
    device.routes.add_all(added)
    node.filled_routes = wanted


def _add_given(nodes: Mapping[str, Node], node: Node) -> None:
    device = node.device
    while node.pending_routes and isinstance(device, Host):
        prefix, via = node.pending_routes[0]
        gateway = _on_link(nodes, node, via, v6=prefix.is_v6)
        on_link = None if gateway is None else device.routes.lookup(gateway)
        if (
            gateway is None
            or on_link is None
            or on_link.gateway is not None
            or on_link.interface.neighbors is None  # it is the node itself
        ):
            # It is refused once, and then forgotten: what is right can still be built.
            del node.pending_routes[0]
            node.given_routes.discard(prefix)
            raise ConfigError(f"{node.name} has no link on which {via} is, to route {prefix} there")
        device.routes.add(Route(prefix, on_link.interface, gateway, on_link.source))
        del node.pending_routes[0]


def gateway_of(via: str) -> Ip:
    """Read a gateway's address, as far as it can be before its links are there. ConfigError."""
    bare, zone = split_zone(via) if isinstance(via, str) else (via, None)
    address = parse_ip(bare)
    if zone is not None and not has_zone(address):
        raise ConfigError(f"{via!r}: only a link-local address has a zone")
    return address


def _on_link(nodes: Mapping[str, Node], node: Node, via: str, *, v6: bool) -> Ip | None:
    """Return the address that is meant by `via`; of a node, the one on a link of this one.

    None: there is none.
    """
    if via not in nodes:
        assert isinstance(node.device, Host)
        with suppress(ConfigError):  # there is no such interface
            return parse_on(node.device, via)
        return None
    own = [prefix for _, prefix in node.given]
    for address, _ in nodes[via].given:
        if is_v6(address) == v6 and any(address in prefix for prefix in own):
            return address
    return None
