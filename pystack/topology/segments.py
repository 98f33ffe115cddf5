"""Segments: which nodes hear each other's broadcasts.

A segment is all that links and switches join without a router between. Where switches form a ring,
a broadcast would go round for ever: see `spanning.py`.
"""

from collections.abc import Iterable

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
