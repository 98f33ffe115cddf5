"""Where the boxes of a drawing go: the same for the same lab, from left to right.

Nodes with one link only are leaves. What remains is the core: its nodes stand in columns, counted
in links from one end of its longest way. Leaves stand outside of the outer columns, and above and
below those between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pystack.topology.drawing import Drawing

CHAR_PX: Final = 7.3  # of the drawing's fixed-width font
LINE_PX: Final = 16
LABEL_CHARS: Final = 28
_SPACE_X: Final = 46  # between a label and the boxes beside it
_SPACE_Y: Final = 30  # between boxes that are stacked
_MIN_GAP_X: Final = 110


@dataclass(slots=True)
class Placed:
    """A box by its middle, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(slots=True)
class _Column:
    """A column of core nodes with their leaves."""

    nodes: list[str]
    width: float = 0.0
    height: float = 0.0
    x: float = 0.0


@dataclass(slots=True)
class _Sides:
    """The leaves of a core node, by where they stand."""

    left: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    above: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)


def lay_out(drawing: Drawing) -> dict[str, Placed]:
    """Return where each box goes; the parts that are not joined stand below each other."""
    placed: dict[str, Placed] = {}
    top = 0.0
    for part in _parts(drawing):
        own = _Part(drawing, part).place()
        upper = min(box.y - box.height / 2 for box in own.values())
        left = min(box.x - box.width / 2 for box in own.values())
        for box in own.values():
            box.x -= left
            box.y += top - upper
        placed.update(own)
        top = max(box.y + box.height / 2 for box in own.values()) + 2 * _SPACE_Y
    return placed


def wrap(words: Sequence[str]) -> list[str]:
    """Return words put into lines of a label."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 2 <= LABEL_CHARS:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return lines


def label_size(drawing: Drawing, number: int) -> tuple[float, float]:
    """Return width and height of the label of a link, by the link's number."""
    line = drawing.lines[number]
    rows = [*wrap(line.words), *wrap(line.a_to_b), *wrap(line.b_to_a)]
    # Two characters for the arrow of one direction.
    return max((len(row) + 2 for row in rows), default=0) * CHAR_PX, len(rows) * LINE_PX


def _parts(drawing: Drawing) -> list[list[str]]:
    """Return the nodes in groups that are joined with each other."""
    parts: list[list[str]] = []
    seen: set[str] = set()
    for name in drawing.boxes:
        if name not in seen:
            distances = _distances(drawing, name, drawing.boxes)
            seen |= distances.keys()
            parts.append([node for node in drawing.boxes if node in distances])
    return parts


def _distances(
    drawing: Drawing, start: str, among: Mapping[str, object] | Sequence[str]
) -> dict[str, int]:
    """Return how many links each node is away from `start`, going over nodes of `among` only."""
    distances = {start: 0}
    edge = [start]
    while edge:
        following = []
        for name in edge:
            for _line, other in drawing.around(name):
                if other in among and other not in distances:
                    distances[other] = distances[name] + 1
                    following.append(other)
        edge = following
    return distances


class _Part:
    """The layout of nodes that are joined."""

    def __init__(self, drawing: Drawing, names: Sequence[str]) -> None:
        self._drawing = drawing
        neighbors = {
            name: {other for _line, other in drawing.around(name)} & set(names) for name in names
        }
        core = [name for name in names if len(neighbors[name]) > 1] or [names[0]]
        self._columns = self._in_columns(core)
        self._sides = {name: _Sides() for name in core}
        for number, column in enumerate(self._columns):
            for name in column.nodes:
                leaves = [leaf for leaf in names if leaf in neighbors[name] and leaf not in core]
                self._spread(name, leaves, number)
        self._placed: dict[str, Placed] = {}

    def place(self) -> dict[str, Placed]:
        """Return where the boxes go."""
        for column in self._columns:
            sizes = [self._block(name) for name in column.nodes]
            column.width = max(width for width, _height in sizes)
            column.height = sum(height for _width, height in sizes) + 2 * _SPACE_Y * (
                len(sizes) - 1
            )
        x = 0.0
        for number, column in enumerate(self._columns):
            if number:
                before = self._columns[number - 1]
                gap = self._gap(before.nodes, column.nodes)
                x += before.width / 2 + gap + column.width / 2
            column.x = x
            self._place_column(column)
        return self._placed

    def _in_columns(self, core: list[str]) -> list[_Column]:
        one = _farthest(_distances(self._drawing, core[0], core), core)
        other = _farthest(_distances(self._drawing, one, core), core)
        start = min(one, other, key=core.index)
        distances = _distances(self._drawing, start, core)
        columns = [_Column([]) for _ in range(max(distances.values()) + 1)]
        rank: dict[str, float] = {}
        for number, column in enumerate(columns):
            column.nodes = [name for name in core if distances.get(name) == number]
            if number:
                # Beside those of the column before that they are linked with: fewer lines cross.
                for name in column.nodes:
                    known = [
                        rank[node]
                        for _line, node in self._drawing.around(name)
                        if node in rank and distances.get(node) == number - 1
                    ]
                    rank[name] = sum(known) / max(len(known), 1)
                column.nodes.sort(key=lambda name: (rank[name], core.index(name)))
            rank.update({name: float(at) for at, name in enumerate(column.nodes)})
        return columns

    def _spread(self, name: str, leaves: list[str], column: int) -> None:
        sides = self._sides[name]
        half = (len(leaves) + 1) // 2
        if len(self._columns) == 1:
            # A star of one host and its peer reads from left to right, as it is written.
            half = half if len(leaves) > 1 else 0
            sides.left, sides.right = leaves[:half], leaves[half:]
        elif column == 0:
            sides.left = leaves
        elif column == len(self._columns) - 1:
            sides.right = leaves
        else:
            sides.above, sides.below = leaves[:half], leaves[half:]

    def _block(self, name: str) -> tuple[float, float]:
        """Return the size of a core node with all its leaves above and below, or beside it."""
        width, height = box_size(self._drawing, name)
        sides = self._sides[name]
        for row in (sides.above, sides.below):
            if row:
                sizes = [self._slot(leaf) for leaf in row]
                width = max(width, sum(size[0] + 20 for size in sizes))
                height += max(size[1] for size in sizes) + self._rise(row)
        for stack in (sides.left, sides.right):
            height = max(height, sum(self._slot(leaf)[1] for leaf in stack))
        return width, height

    def _slot(self, leaf: str) -> tuple[float, float]:
        """Return the room that a leaf needs, with its link's label beside its neighbours'."""
        width, height = box_size(self._drawing, leaf)
        label_width, label_height = self._label_of(leaf)
        return max(width, label_width), max(height, label_height * 1.4) + _SPACE_Y

    def _rise(self, row: Sequence[str]) -> float:
        """Return how far above a core node the row of its leaves stands."""
        return 30 + max(self._label_of(leaf)[1] for leaf in row) * 1.2

    def _label_of(self, leaf: str) -> tuple[float, float]:
        sizes = [
            label_size(self._drawing, number)
            for number, line in enumerate(self._drawing.lines)
            if leaf in (line.a, line.b)
        ]
        # Parallel links have their labels below each other.
        widest = max((width for width, _height in sizes), default=0.0)
        return widest, sum(height for _width, height in sizes)

    def _gap(self, left: Sequence[str], right: Sequence[str]) -> float:
        """Return the room between two columns: for the widest label between them."""
        widest = max(
            (
                label_size(self._drawing, number)[0]
                for number, line in enumerate(self._drawing.lines)
                if (line.a in left and line.b in right) or (line.b in left and line.a in right)
            ),
            default=0.0,
        )
        return max(widest + _SPACE_X, _MIN_GAP_X)

    def _place_column(self, column: _Column) -> None:
        if len(column.nodes) == 1:
            # Columns of one node each stand on one line, whatever their leaves are.
            (name,) = column.nodes
            before = set(self._placed)
            self._place_block(name, column.x, 0.0, self._block(name)[1])
            height = self._placed[name].y
            for leaf in self._placed.keys() - before:
                self._placed[leaf].y -= height
            return
        y = -column.height / 2
        for name in column.nodes:
            _width, height = self._block(name)
            self._place_block(name, column.x, y, height)
            y += height + 2 * _SPACE_Y

    def _place_block(self, name: str, x: float, top: float, height: float) -> None:
        sides = self._sides[name]
        width, own_height = box_size(self._drawing, name)
        y = top + height / 2
        if sides.above or sides.below:
            y = top + own_height / 2
            if sides.above:
                rows = max(self._slot(leaf)[1] for leaf in sides.above)
                y += rows + self._rise(sides.above)
        self._placed[name] = Placed(x, y, width, own_height)
        for row, away in ((sides.above, -1), (sides.below, 1)):
            if row:
                rows = max(self._slot(leaf)[1] for leaf in row)
                distance = own_height / 2 + self._rise(row) + rows / 2
                self._place_row(row, x, y + away * distance)
        for stack, away in ((sides.left, -1), (sides.right, 1)):
            if stack:
                gap = self._gap([name], stack)
                widest = max(box_size(self._drawing, leaf)[0] for leaf in stack)
                self._place_stack(stack, x + away * (width / 2 + gap + widest / 2), y)

    def _place_row(self, row: Sequence[str], x: float, y: float) -> None:
        sizes = [self._slot(leaf)[0] + 20 for leaf in row]
        at = x - sum(sizes) / 2
        for leaf, room in zip(row, sizes, strict=True):
            self._placed[leaf] = Placed(at + room / 2, y, *box_size(self._drawing, leaf))
            at += room

    def _place_stack(self, stack: Sequence[str], x: float, y: float) -> None:
        sizes = [self._slot(leaf)[1] for leaf in stack]
        at = y - sum(sizes) / 2
        for leaf, room in zip(stack, sizes, strict=True):
            self._placed[leaf] = Placed(x, at + room / 2, *box_size(self._drawing, leaf))
            at += room


def box_size(drawing: Drawing, name: str) -> tuple[float, float]:
    """Return width and height of a box: for its name and kind, its addresses, its notes."""
    box = drawing.boxes[name]
    rows = [f"{box.kind} {name}", *box.addresses, *box.notes]
    width = max(len(row) for row in rows) * CHAR_PX + 24
    return max(width, 84.0), len(rows) * LINE_PX + 16.0


def _farthest(distances: Mapping[str, int], order: Sequence[str]) -> str:
    return min(distances, key=lambda name: (-distances[name], order.index(name)))
