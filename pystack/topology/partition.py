"""Partition: groups of nodes that cannot reach each other for a while.

Packets between hosts of different groups are lost at the doors of both, whatever lies between: on
leaving by where they go, on arriving by where they come from. What was on its way when it began is
lost as well, as by a cut. A link that joins nodes of two groups carries nothing at all, so that
switches and routers can be members. A node in no group reaches, and is reached by, all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from pystack.core.errors import ConfigError
from pystack.topology.nodes import Node


class Partition:
    """Lasts from its creation until `heal`, or until the end of a `with` or `async with` block."""

    def __init__(self, groups: Sequence[Sequence[Node]], changed: Callable[[], None]) -> None:
        if len(groups) < 2 or not all(groups):
            raise ConfigError("a partition separates two or more groups, none of them empty")
        self.groups = [tuple(group) for group in groups]
        self.active = True
        self._changed = changed
        self._group_of: dict[Node, int] = {}
        for number, group in enumerate(groups):
            for node in group:
                if self._group_of.setdefault(node, number) != number:
                    raise ConfigError(f"{node.name} is in two groups of a partition")

    def heal(self) -> None:
        """End it. A second call does nothing."""
        if self.active:
            self.active = False
            self._changed()

    def parts(self, one: Node, other: Node) -> bool:
        """Tell whether two nodes are in different groups."""
        mine, its = self._group_of.get(one), self._group_of.get(other)
        return mine is not None and its is not None and mine != its

    def others(self, node: Node) -> Iterator[Node]:
        """Iterate over the nodes that it keeps this one from."""
        own = self._group_of.get(node)
        if own is not None:
            for number, group in enumerate(self.groups):
                if number != own:
                    yield from group

    def __enter__(self) -> Partition:
        """It holds already."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Heal it."""
        self.heal()

    async def __aenter__(self) -> Partition:
        """It holds already."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Heal it."""
        self.heal()
