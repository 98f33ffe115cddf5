"""What was built since all was settled, where nothing of it touches what was there before.

To settle all takes as long as there are nodes, and most of what is built later (a lane of a proxy)
has its blocks by hand, and leads nowhere. Its addresses and routes are the same if it is settled
alone: no way leads between the two, and no block is looked for.
"""

from __future__ import annotations

from bisect import bisect, insort
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pystack.topology import addressing
from pystack.topology.segments import segments

if TYPE_CHECKING:
    from pystack.core.addresses import Prefix
    from pystack.topology.nodes import Cable, Node


class Apart:
    """What there was when all was settled last."""

    __slots__ = ("_blocks", "_cables", "whole")

    def __init__(self) -> None:
        self.whole = True  # something has changed that may touch everything
        self._cables = 0  # how many there were
        self._blocks: list[tuple[int, int]] = []  # the first and last address of each, in order

    def new(
        self, cables: Sequence[Cable], subnets: Sequence[Prefix]
    ) -> tuple[dict[str, Node], Sequence[Cable]] | None:
        """Return the nodes and links that can be settled alone; None: all is to be settled."""
        if self.whole:
            return None
        more = cables[self._cables :]
        nodes = {end.node.name: end.node for cable in more for end in (cable.a, cable.b)}
        if any(node.is_switch for node in nodes.values()):
            return None
        # Who was there before has a block there, which is taken.
        found = segments(nodes.values(), [(cable.a, cable.b) for cable in more])
        blocks = addressing.fixed_blocks(found, subnets)
        if blocks is None or any(not self._is_free(block) for block in blocks):
            return None
        return nodes, more

    def settled(self, nodes: Iterable[Node], cables: Sequence[Cable]) -> None:
        """Take note of what was settled: `nodes` of all those `cables`, or of the last of them."""
        blocks = {
            (block.network, addressing.last_of(block)) for node in nodes for _, block in node.given
        }
        if self.whole:
            self._blocks = sorted(blocks)
        else:
            for block in blocks:
                insort(self._blocks, block)
        self.whole = False
        self._cables = len(cables)

    def _is_free(self, block: Prefix) -> bool:
        first, last = block.network, addressing.last_of(block)
        place = bisect(self._blocks, (first, last))
        before, after = self._blocks[max(place - 1, 0) : place], self._blocks[place : place + 1]
        return all(its_last < first for _, its_last in before) and all(
            last < its_first for its_first, _ in after
        )
