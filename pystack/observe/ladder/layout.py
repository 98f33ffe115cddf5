"""Where things stand in the drawing of a ladder: instants become heights.

Compressed, each thing that happens gets the room that its label needs, and no more; to scale, time
has a measure, and only what is idle for long is folded. Either way later is never higher up.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.observe.ladder.model import Arrow, Diagram, Note

ROW_PX: Final = 18
GAP_ROWS: Final = 12  # to scale: what is idle for longer is folded
# Compressed: so many times the usual step, and so much of all the time, are marked as a gap
GAP_FACTOR: Final = 10
GAP_PART: Final = 0.02
MAX_HEIGHT_PX: Final = 20_000  # to scale: then the scale is made coarser
_GAP_PX: Final = 42
_GAP_AT_PX: Final = 26  # where in that it is marked
_STEP_PX: Final = 5  # between two instants, at the least
_SLANT_PX: Final = 12  # of an arrow, at the least
_LABEL_PX: Final = 15  # what a line of a label takes


@dataclass(slots=True)
class Space:
    """What a label takes, around the height of its row."""

    left: float
    right: float
    above: float
    below: float


_ALL_ALONG: Final = Space(-math.inf, math.inf, 0.0, 2.0)


@dataclass(slots=True)
class Layout:
    """Heights of all rows, by their place in `Diagram.rows()`."""

    begin: list[float]
    end: list[float]
    shows_label: list[bool]
    gaps: list[tuple[float, float]] = field(default_factory=list)  # height, seconds
    instants: list[float] = field(default_factory=list)  # of `heights`, in order
    heights: list[float] = field(default_factory=list)
    bottom: float = 0.0
    scale_s: float | None = None  # a row's seconds as they were used in the end

    def height_at(self, at: float) -> float:
        """Return the height of an instant, between those of what happened."""
        number = bisect_right(self.instants, at)
        if not number:
            return self.heights[0] if self.heights else 0.0
        if number == len(self.instants):
            return self.heights[-1]
        t0, t1 = self.instants[number - 1 : number + 1]
        y0, y1 = self.heights[number - 1 : number + 1]
        return y0 if t1 <= t0 else y0 + (y1 - y0) * (at - t0) / (t1 - t0)


@dataclass(slots=True)
class _Moment:
    """A row begins, or an arrow ends."""

    at: float
    row: int
    is_end: bool


def lay_out(
    diagram: Diagram,
    spaces: Mapping[int, Space],
    tips: Mapping[int, Space],
    top: float,
    scale_s: float | None,
) -> Layout:
    """Return the heights.

    `spaces`: what the label of each row takes; `tips`: what the end of each arrow does.
    """
    rows = diagram.rows()
    moments = _moments(rows)
    layout = Layout([0.0] * len(rows), [0.0] * len(rows), [True] * len(rows))
    if not moments:
        layout.bottom = top
    elif scale_s is None:
        _compressed(layout, moments, spaces, tips, top)
    else:
        _to_scale(layout, moments, spaces, top, scale_s)
    return layout


def _moments(rows: Sequence[Arrow | Note]) -> list[_Moment]:
    """Return them in order: what arrives at an instant goes before what is sent then."""
    found: list[tuple[float, bool, int, bool]] = []
    for number, row in enumerate(rows):
        if isinstance(row, Note):
            found.append((row.at, True, number, False))
            continue
        found.append((row.sent_at, True, number, False))
        found.append((row.ends_at, row.ends_at <= row.sent_at, number, True))
    return [_Moment(at, number, is_end) for at, _, number, is_end in sorted(found)]


def _compressed(
    layout: Layout,
    moments: Sequence[_Moment],
    spaces: Mapping[int, Space],
    tips: Mapping[int, Space],
    top: float,
) -> None:
    longest = longest_step([moment.at for moment in moments])
    taken = _Taken()
    y = top
    for moment, (step, is_idle) in zip(moments, _steps(moments), strict=True):
        if is_idle and step > longest:
            layout.gaps.append((y + _GAP_AT_PX, step))
            taken.add(_ALL_ALONG, y + _GAP_AT_PX)
            y += _GAP_PX
        elif step > 0:
            y += _STEP_PX
        if moment.is_end:
            y = max(y, layout.begin[moment.row] + _SLANT_PX)
            layout.end[moment.row] = y
            if moment.row in tips:
                taken.add(tips[moment.row], y)
        else:
            space = spaces[moment.row]
            y = taken.below(space, y)
            taken.add(space, y)
            layout.begin[moment.row] = layout.end[moment.row] = y
        layout.instants.append(moment.at)
        layout.heights.append(y)
    layout.bottom = y


def _to_scale(
    layout: Layout,
    moments: Sequence[_Moment],
    spaces: Mapping[int, Space],
    top: float,
    scale_s: float,
) -> None:
    steps = _steps(moments)
    px_per_s = ROW_PX / scale_s
    busy_s = sum(seconds for seconds, is_idle in steps if not is_idle)
    if busy_s * px_per_s > MAX_HEIGHT_PX:
        px_per_s = MAX_HEIGHT_PX / busy_s
    layout.scale_s = ROW_PX / px_per_s
    taken = _Taken()
    y = top
    for moment, (seconds, is_idle) in zip(moments, steps, strict=True):
        if is_idle and seconds * px_per_s > GAP_ROWS * ROW_PX:
            layout.gaps.append((y + _GAP_AT_PX, seconds))
            taken.add(_ALL_ALONG, y + _GAP_AT_PX)
            y += _GAP_PX
        else:
            y += seconds * px_per_s
        if moment.is_end:
            layout.end[moment.row] = y
        else:
            layout.begin[moment.row] = layout.end[moment.row] = y
            space = spaces[moment.row]
            layout.shows_label[moment.row] = taken.below(space, y) <= y
            if layout.shows_label[moment.row]:
                taken.add(space, y)
        layout.instants.append(moment.at)
        layout.heights.append(y)
    layout.bottom = y


def longest_step(instants: Sequence[float]) -> float:
    """Return what more than that, with nothing under way, is to be marked as a gap."""
    steps = [after - before for before, after in itertools.pairwise(instants) if after > before]
    if len(steps) < 3:
        return math.inf
    return max(GAP_FACTOR * sorted(steps)[len(steps) // 2], GAP_PART * (instants[-1] - instants[0]))


def _steps(moments: Sequence[_Moment]) -> list[tuple[float, bool]]:
    """Return how long before each moment nothing happened, and whether nothing was under way."""
    steps = []
    ending = {moment.row for moment in moments if moment.is_end}  # a note has no end
    under_way: set[int] = set()
    before = moments[0].at
    for moment in moments:
        steps.append((moment.at - before, not under_way))
        before = moment.at
        if moment.is_end:
            under_way.discard(moment.row)
        elif moment.row in ending:
            under_way.add(moment.row)
    return steps


class _Taken:
    """The labels that are placed, as far as another may meet them."""

    def __init__(self) -> None:
        self._placed: list[tuple[float, float, float]] = []  # left, right, bottom

    def below(self, space: Space, y: float) -> float:
        """Return the least height from `y` on where a label has room."""
        for left, right, bottom in self._placed:
            if left < space.right and space.left < right:
                y = max(y, bottom + space.above)
        return y

    def add(self, space: Space, y: float) -> None:
        """Place one. Heights never go back, so what ends well above is forgotten."""
        self._placed = [each for each in self._placed if each[2] > y - 8 * _LABEL_PX]
        self._placed.append((space.left, space.right, y + space.below))


def label_space(left: float, right: float, lines: int) -> Space:
    """Return what the label of an arrow takes, above the line that begins at its height."""
    return Space(left, right, 4.0 + lines * _LABEL_PX, -3.0)


def tip_space(left: float, right: float) -> Space:
    """Return what the head of an arrow takes: no label is written over it."""
    return Space(left, right, 0.0, 2.0)


def note_space(left: float, right: float) -> Space:
    """Return what a note takes, beside its lifeline."""
    return Space(left, right, 11.0, 5.0)
