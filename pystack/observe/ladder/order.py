"""Who stands where: nodes from left to right, in the order in which frames come by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def along_the_way(names: Sequence[str], pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return nodes so that neighbors stand side by side, as far as that can be."""
    beside: dict[str, list[str]] = {name: [] for name in names}
    for a, b in dict.fromkeys(pairs):
        if a and b and b not in beside[a]:
            beside[a].append(b)
            beside[b].append(a)
    found: list[str] = []
    # From one that has a single neighbor, so that all others stand to its right.
    for start in sorted(names, key=lambda name: len(beside[name]) != 1):
        if start not in found:
            _branch(start, beside, found)
    return found


def _branch(start: str, beside: Mapping[str, list[str]], found: list[str]) -> None:
    """Add a node and all behind it, short branches first: the long one goes on to the right."""
    parent: dict[str, str] = {start: ""}
    for name in (queue := [start]):
        for other in beside[name]:
            if other not in parent:
                parent[other] = name
                queue.append(other)
    size = dict.fromkeys(queue, 1)
    for name in reversed(queue):
        if parent[name]:
            size[parent[name]] += size[name]
    stack = [start]
    while stack:
        name = stack.pop()
        found.append(name)
        behind = [other for other in beside[name] if parent[other] == name]
        stack += sorted(behind, key=lambda other: (-size[other], -behind.index(other)))
