"""Lines of text in pieces that know what they are: plain when joined, coloured by who can colour.

The styles are names (of a layer, or `title`, `dim`, `bold`, `trouble`); `cli/explain_text.py` says
which colours they get.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Final, TypeVar

from pystack.core.texts import harmless
from pystack.observe.explain.wording import cells

Piece = tuple[str, str]  # text and style
Line = list[Piece]

MIN_WIDTH: Final = 60  # less has no room for boxes in boxes
MAX_WIDTH: Final = 100  # longer lines are hard to read
_ASCII: Final = str.maketrans(
    dict(zip("┌┐└┘─│┃█▏→←·…µ═", "++++-||#|><-~u=", strict=True))
    | {"\u00d7": "x", "\u2013": "-", "\u2019": "'", "\u202f": " "}
)


@dataclass(frozen=True, slots=True)
class Paper:
    """What is written on: how wide, and with which characters."""

    width: int = 80
    ascii_only: bool = False

    @property
    def columns(self) -> int:
        """Return how much of the width is used."""
        return min(max(self.width, MIN_WIDTH), MAX_WIDTH)


_Told = TypeVar("_Told")


def fit(told: _Told, paper: Paper) -> _Told:
    """Return what is told with nothing in its words that a terminal would obey or cannot show.

    Done first and to all of it: what is laid out afterwards is as wide as it looks.
    """
    value: object = told
    if isinstance(told, str):
        value = harmless(told)
        if paper.ascii_only:
            value = value.translate(_ASCII).encode("ascii", "backslashreplace").decode()
    elif is_dataclass(told) and not isinstance(told, type):
        changed = {one.name: fit(getattr(told, one.name), paper) for one in fields(told)}
        value = type(told)(**changed)
    elif isinstance(told, list | tuple):
        value = type(told)(fit(one, paper) for one in told)
    elif isinstance(told, dict):
        value = {fit(name, paper): fit(one, paper) for name, one in told.items()}
    return value  # type: ignore[return-value] # of the type that it had


def drawn(text: str, paper: Paper) -> str:
    """Return our own text with lines and boxes in the characters of the paper."""
    return text.translate(_ASCII) if paper.ascii_only else text


def plain(lines: Iterable[Line], paper: Paper) -> str:
    """Return lines as text without colours."""
    return "".join(f"{drawn(''.join(t for t, _ in line), paper).rstrip()}\n" for line in lines)


def length(line: Line) -> int:
    """Return how many columns a line takes."""
    return sum(cells(text) for text, _ in line)


def wrap(text: str, columns: int, style: str = "") -> list[Line]:
    """Return text as lines of at most so many columns."""
    lines, row, used = list[Line](), "", 0
    columns = max(columns, 2)
    for word in text.split():
        for part in _cut(word, columns):
            size = cells(part)
            if row and used + 1 + size > columns:
                lines.append([(row, style)])
                row, used = "", 0
            row, used = (f"{row} {part}", used + 1 + size) if row else (part, size)
    return [*lines, [(row, style)]] if row else lines


def _cut(word: str, columns: int) -> Iterator[str]:
    """Yield a word in pieces that are not wider than that."""
    columns = max(columns, 2)
    step = columns if word.isascii() else columns // 2  # none takes more than two
    at = 0
    while len(word) - at > step and (len(word) - at > 2 * columns or cells(word[at:]) > columns):
        yield word[at : at + step]
        at += step
    yield word[at:]


def clip(text: str, columns: int) -> str:
    """Return text that is no wider than that, with a mark where something was left out."""
    if cells(text) <= columns:
        return text
    return next(_cut(text, columns - 1)) + "…"


def flow(items: Sequence[Line], columns: int, between: str = " · ") -> list[Line]:
    """Return items one after the other, in as few lines as they need; a long one is wrapped."""
    lines: list[Line] = []
    for item in items:
        if lines and length(lines[-1]) + cells(between) + length(item) <= columns:
            lines[-1] += [(between, "dim"), *item]
        elif length(item) <= columns:
            lines.append(list(item))
        else:
            lines += wrap("".join(text for text, _ in item), columns, item[-1][1])
    return lines


def ends(left: Line, right: Line, columns: int) -> list[Line]:
    """Return one line with `right` at the right edge, or two where there is no room."""
    gap = columns - length(left) - length(right)
    if gap >= 1:
        return [[*left, (" " * gap, ""), *right]]
    rows = wrap("".join(text for text, _ in left), columns, left[-1][1] if left else "")
    return [*rows, right]


def table(rows: Sequence[tuple[str, str, str]], columns: int) -> Iterator[Line]:
    """Yield names, values and meanings as three columns; what is too long goes on below."""
    names = min(max((cells(name) for name, _, _ in rows), default=0), columns // 3)
    room = columns - names - 2
    columns_used = 2 + any(meaning for _, _, meaning in rows)
    if columns_used == 3:
        room = min(max((cells(value) for _, value, _ in rows), default=0), (columns - names) // 2)
    widths = [names, room, max(columns - names - room - 4, 0)]
    for name, value, meaning in rows:
        cut = [wrap(name, names, "dim"), wrap(value, room, "bold"), wrap(meaning, widths[2])]
        yield from beside(cut[:columns_used], widths[:columns_used])


def beside(cut: Sequence[Sequence[Line]], widths: Sequence[int]) -> Iterator[Line]:
    """Yield columns of lines side by side, two spaces between them."""
    for number in range(max((len(column) for column in cut), default=0)):
        line: Line = []
        for place, (column, width) in enumerate(zip(cut, widths, strict=True)):
            part = column[number] if number < len(column) else []
            line += part
            if place < len(widths) - 1:
                line.append((" " * (width - length(part) + 2), ""))
        yield line
