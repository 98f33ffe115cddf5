"""Where there is more than can be shown: arrows that are alike become one that counts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pystack.observe.ladder.sight import Sight

# Into how many parts time is cut, in each of which arrows are counted together: as many as fit
_PARTS: Final = (512, 128, 32, 8, 2, 1)


def fold(sights: Sequence[Sight], most: int) -> tuple[list[list[Sight]], int]:
    """Return groups of passages, each of which is to be one arrow, and how many had no room.

    As little as possible is folded: first what follows one another with nothing of note between
    them, in short stretches of time; at last whatever is alike. Those without room are the oldest.
    """
    if len(sights) <= most:
        return [[sight] for sight in sights], 0
    groups: list[list[Sight]] = []
    for is_cut in (True, False):
        for parts in _PARTS:
            groups = _grouped(sights, parts, is_cut=is_cut)
            if len(groups) <= most:
                return groups, 0
    rest = groups[len(groups) - most :]
    return rest, len(sights) - sum(map(len, rest))


def _grouped(sights: Sequence[Sight], parts: int, *, is_cut: bool) -> list[list[Sight]]:
    """Return groups. `is_cut`: whatever is not plain ends all groups that are open."""
    begin = sights[0].at
    step = (max(sight.at for sight in sights) - begin) / parts
    groups: list[list[Sight]] = []
    open_groups: dict[object, list[Sight]] = {}
    for sight in sights:
        if not sight.is_plain:
            groups.append([sight])
            if is_cut:
                open_groups.clear()
            continue
        part = min(int((sight.at - begin) / step), parts - 1) if step > 0 else 0
        look, passage = sight.look, sight.passage
        has_ended = passage.end
        key = (part, passage.place, sight.sender, sight.receiver, look.ends, look.kind, has_ended)
        group = open_groups.get(key)
        if group is None:
            group = open_groups[key] = []
            groups.append(group)
        group.append(sight)
    return groups
