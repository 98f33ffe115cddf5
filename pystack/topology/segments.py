"""Segments: which nodes hear each other's broadcasts, and which links between switches rest.

A segment is all that links and switches join without a router between. Where switches form a ring,
a broadcast would go round for ever; a spanning tree (in the manner of IEEE 802.1D: shortest ways to
a root, here the switch that was made first) says which links carry nothing.
"""

from collections.abc import Iterable, Sequence

from pystack.topology.nodes import End, Node

Pair = tuple[End, End]


def segments(nodes: Iterable[Node], pairs: Iterable[Pair]) -> list[list[End]]:
    """Return the ends of hosts, routers and stations in each segment, in the order of nodes.

    The segments come in the order of their first links.
    """
    leader: dict[End, End] = {end: end for node in nodes for end in node.ends}

    def find(end: End) -> End:
        while leader[end] is not end:
            leader[end] = leader[leader[end]]
            end = leader[end]
        return end

    def join(one: End, other: End) -> None:
        leader[find(other)] = find(one)

    for one, other in pairs:
        join(one, other)
    for node in {end.node: None for end in leader if end.node.is_switch}:
        for end in node.ends[1:]:
            join(node.ends[0], end)
    found: dict[End, list[End]] = {}
    for end in leader:
        if not end.node.is_switch:
            found.setdefault(find(end), []).append(end)
    for members in found.values():
        members.sort(key=lambda end: (end.node.order, end.number))
    return sorted(found.values(), key=lambda members: min(end.order for end in members))


def resting_ports(switches: Sequence[Node], pairs: Iterable[Pair]) -> dict[Node, set[int]]:
    """Return for each switch the numbers of the ports to block, so that no ring is left."""
    ways: dict[Node, list[Pair]] = {switch: [] for switch in switches}
    for one, other in pairs:
        if one.node in ways and other.node in ways:
            ways[one.node].append((one, other))
            ways[other.node].append((other, one))
    blocked: dict[Node, set[int]] = {switch: set() for switch in switches}
    reached: set[Node] = set()
    for root in switches:
        if root in reached:
            continue
        reached.add(root)
        tree: set[End] = set()
        edge = [root]
        while edge:
            nearer, edge = edge, []
            for switch in nearer:
                for near, far in ways[switch]:
                    if far.node not in reached:
                        reached.add(far.node)
                        tree.update((near, far))
                        edge.append(far.node)
                    elif near not in tree:
                        blocked[switch].add(near.number)
                        blocked[far.node].add(far.number)
    return blocked
