"""The spanning tree of a network's switches, and what each change of it means for them.

Shortest ways to a root, in the manner of IEEE 802.1D; the root is here the switch that was made
first. It is worked out at once and not negotiated by messages, so a bridge's waiting for frames of
the old tree to die out (its forward delay) is not there. In its place: where the way between two
switches has changed, both forget what they learned by the links in question, and a frame that was
put on one of these before the change is dropped when it arrives. It might be a second copy of one
that took the new way, and would teach where its sender no longer is.

Which links those are: those on a ring of the tree as it is and the links that it has used since
such a ring was last there. Where links only go, or only come, no way between two switches that
still, or already, reached each other has changed, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pystack.topology.nodes import End, Node

Pair = tuple[End, End]


@dataclass(slots=True)
class Change:
    """What switches have to be told."""

    blocked: dict[Node, set[int]]  # the numbers of the ports that carry nothing
    changed: list[End] = field(default_factory=list)  # behind which there are others now


class SpanningTree:
    """Remembers which links it has used: the past of frames that are still under way."""

    def __init__(self) -> None:
        self._used: dict[End, Pair] = {}  # by their first ends; never a ring

    def renew(
        self, switches: Sequence[Node], whole: Iterable[Pair], one_way: Iterable[Pair]
    ) -> Change:
        """Return what is different, where `switches` have power and `whole` links carry frames.

        `one_way` has those that carry them in one direction: the tree takes one only where it
        leads to switches that no other link leads to.
        """
        tree, blocked = _tree(switches, whole, one_way)
        change = Change(blocked)
        if tree.keys() <= self._used.keys():
            return change
        old = {key: pair for key, pair in self._used.items() if key not in tree}
        # Links of the past may lead over switches that have no power now.
        forest, closing = _forest(tree, old)
        above = _parents(forest)
        on_ring: dict[End, Pair] = {}
        for key, (one, other) in closing.items():
            on_ring[key] = (one, other)
            on_ring.update((pair[0], pair) for pair in _way(above, one.node, other.node))
        change.changed = [end for pair in on_ring.values() for end in pair]
        self._used = tree | {key: pair for key, pair in old.items() if key not in on_ring}
        return change


def _tree(
    switches: Sequence[Node], whole: Iterable[Pair], one_way: Iterable[Pair]
) -> tuple[dict[End, Pair], dict[Node, set[int]]]:
    """Return the links of the tree by their first ends, and the ports to block."""
    ways: dict[Node, list[tuple[End, End, Pair]]] = {switch: [] for switch in switches}
    for pair in whole:
        one, other = pair
        if one.node in ways and other.node in ways:
            ways[one.node].append((one, other, pair))
            ways[other.node].append((other, one, pair))
    blocked: dict[Node, set[int]] = {switch: set() for switch in switches}
    island: dict[Node, Node] = {}  # of each switch: the root that it has a way to
    tree: dict[End, Pair] = {}
    for root in switches:
        if root in island:
            continue
        island[root] = root
        edge = [root]
        while edge:
            nearer, edge = edge, []
            for switch in nearer:
                for near, far, pair in ways[switch]:
                    if far.node not in island:
                        island[far.node] = root
                        tree[pair[0]] = pair
                        edge.append(far.node)
                    elif pair[0] not in tree:
                        blocked[switch].add(near.number)
                        blocked[far.node].add(far.number)
    joined: dict[Node, Node] = {}

    def find(switch: Node) -> Node:
        root = island[switch]
        while root in joined:
            root = joined[root]
        return root

    for pair in one_way:
        one, other = pair
        if one.node not in ways or other.node not in ways:
            continue
        mine, its = find(one.node), find(other.node)
        if mine is its:
            blocked[one.node].add(one.number)
            blocked[other.node].add(other.number)
        else:
            joined[its] = mine
            tree[one] = pair
    return tree, blocked


def _forest(
    tree: Mapping[End, Pair], old: Mapping[End, Pair]
) -> tuple[dict[End, Pair], dict[End, Pair]]:
    """Return the tree with as many old links as make no ring, and those that would close one."""
    leader: dict[Node, Node] = {}

    def find(switch: Node) -> Node:
        while (up := leader.get(switch, switch)) is not switch:
            leader[switch] = leader.get(up, up)
            switch = up
        return switch

    forest: dict[End, Pair] = {}
    closing: dict[End, Pair] = {}
    for key, pair in (*tree.items(), *old.items()):
        mine, its = find(pair[0].node), find(pair[1].node)
        if mine is its:
            closing[key] = pair
        else:
            leader[its] = mine
            forest[key] = pair
    return forest, closing


# The node above, the link to it, and how far it is from the root; None: it is the root
_Above = dict[Node, tuple[Node, Pair, int] | None]


def _parents(forest: Mapping[End, Pair]) -> _Above:
    ways: dict[Node, list[tuple[Node, Pair]]] = {}
    for pair in forest.values():
        one, other = pair
        ways.setdefault(one.node, []).append((other.node, pair))
        ways.setdefault(other.node, []).append((one.node, pair))
    above: _Above = {}
    for root in ways:
        if root in above:
            continue
        above[root] = None
        edge, depth = [root], 1
        while edge:
            nearer, edge = edge, []
            for switch in nearer:
                for far, pair in ways[switch]:
                    if far not in above:
                        above[far] = (switch, pair, depth)
                        edge.append(far)
            depth += 1
    return above


def _way(above: _Above, one: Node, other: Node) -> list[Pair]:
    """Return the links of the forest between two switches of one tree of it."""
    way: list[Pair] = []
    while one is not other:
        up, its_up = above[one], above[other]
        if its_up is None or (up is not None and up[2] >= its_up[2]):
            assert up is not None
            one = up[0]
            way.append(up[1])
        else:
            other = its_up[0]
            way.append(its_up[1])
    return way
