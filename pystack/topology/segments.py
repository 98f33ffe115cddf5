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


class Segments:
    """Which nodes share a segment, kept while links are made: each node may be there once."""

    def __init__(self) -> None:
        self._joined: dict[Node, Node] = {}  # switches to others of their segment
        self._members: dict[Node, dict[Node, End]] = {}  # by the switch that stands for a segment

    def join(self, one: End, other: End) -> None:
        """Take note of a link."""
        if one.node.is_switch and other.node.is_switch:
            mine, its = self._leader(one.node), self._leader(other.node)
            if mine is not its:
                few, many = sorted((mine, its), key=lambda node: len(self._of(node)))
                self._of(many).update(self._members.pop(few))
                self._joined[few] = many
        elif one.node.is_switch:
            self._of(self._leader(one.node))[other.node] = other
        elif other.node.is_switch:
            self._of(self._leader(other.node))[one.node] = one

    def twice(self, one: Node, other: Node) -> tuple[End, str] | None:
        """Return the node that would be on one segment twice if these were joined, if any.

        That is its end there, and the name of the other.
        """
        if one.is_switch and other.is_switch:
            mine, its = self._leader(one), self._leader(other)
            if mine is its:
                return None
            few, many = sorted((self._of(mine), self._of(its)), key=len)
            for node, end in few.items():
                if node in many:
                    first, second = sorted((end, many[node]), key=lambda end: end.number)
                    return first, second.name
        elif one.is_switch or other.is_switch:
            switch, node = (one, other) if one.is_switch else (other, one)
            known = self._of(self._leader(switch)).get(node)
            if known is not None:
                return known, f"eth{len(node.ends)}"
        return None

    def _leader(self, switch: Node) -> Node:
        while (up := self._joined.get(switch)) is not None:
            further = self._joined.get(up)
            if further is not None:
                self._joined[switch] = further
            switch = up
        return switch

    def _of(self, leader: Node) -> dict[Node, End]:
        return self._members.setdefault(leader, {})
