"""What is aimed for, beside what was found. A miss is told, and is no error: this is no test.

An aim is for a figure itself, or for its ratio to that of the bare loop with the same offload or to
another figure, so that one which a machine is too slow for can be told from one that the code is.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from benchmark.row import Figure, Row
from benchmark.subjects import BARE, PYSTACK

WITH, WITHOUT = PYSTACK

Found = dict[str, dict[str, float]]  # figures in their units, by name and column


@dataclass(frozen=True, slots=True)
class Aim:
    """At least, or at most, so much of one figure in one column."""

    figure: str
    limit: float
    sign: str = ">="  # or "<=", "<"
    column: str = WITH
    of_bare: bool = False  # a ratio to the bare loop's figure
    of: str = ""  # a ratio to this figure, in the same column

    def word(self, value: float) -> str:
        """Return one word for a figure."""
        if self.sign == ">=":
            reached = value >= self.limit
        else:
            reached = value < self.limit or (self.sign == "<=" and value == self.limit)
        return "reached" if reached else "missed"

    def value(self, found: Found) -> float | None:
        """Return what was found; None: it was not measured."""
        columns = found.get(self.figure, {})
        mine = columns.get(self.column)
        if self.of:
            other = found.get(self.of, {}).get(self.column)
        elif self.of_bare:
            other = columns.get(BARE[PYSTACK.index(self.column)])
        else:
            return mine
        return mine / other if mine is not None and other else None

    def unit(self, figure: Figure) -> str:
        """Return what it is in."""
        return f"of {self.of}" if self.of else "of bare" if self.of_bare else figure.unit


AIMS: Final = (
    Aim("bulk-up", 0.7, of_bare=True),
    Aim("bulk-up", 6000),
    Aim("bulk-down", 0.5, of_bare=True),
    Aim("bulk-down", 10000),
    Aim("bulk-up", 300, column=WITHOUT),
    Aim("bulk-down", 300, column=WITHOUT),
    Aim("bulk-up-captured", 0.75, of="bulk-up"),
    Aim("bulk-down-captured", 0.75, of="bulk-down"),
    Aim("bulk-up-watched", 0.9, of="bulk-up"),
    Aim("bulk-down-watched", 0.9, of="bulk-down"),
    Aim("rr-1", 4000),
    Aim("rr-16", 15000),
    Aim("crr-1", 1200),
    Aim("crr-16", 4000),
    Aim("http", 4000),
    Aim("websocket", 0.7, of="rr-1"),
    Aim("ftp", 0.6, of="http-file"),
    Aim("https", 0.5, of_bare=True),
    Aim("smtp", 500),
    Aim("udp-echo", 0.5, of_bare=True),
    Aim("ping", 2, "<=", of_bare=True),
    Aim("ping-up-p99", 3000, "<"),
    Aim("ping-down-p99", 3000, "<"),
    Aim("memory-10000", 6144, "<="),  # the row fails where fewer are held at once
    Aim("idle-wakes", 0, "<="),
    Aim("idle", 0, "<="),
    Aim("virtual-bulk", 5, "<="),
    Aim("import", 150, "<"),
    Aim("start", 500, "<"),
)


@dataclass(frozen=True, slots=True)
class Judged:
    """An aim, and what became of it."""

    aim: Aim
    title: str
    unit: str
    value: float
    was: float | None  # in the run that this one is compared with; None: not measured, no such run

    def as_json(self) -> dict[str, object]:
        """Return it for the file."""
        return {
            **asdict(self.aim),
            "unit": self.unit,
            "value": self.value,
            "is": self.aim.word(self.value),
        }


def judge(rows: Sequence[Row], found: Found, before: Found | None = None) -> list[Judged]:
    """Return the aims whose figures were measured."""
    figures = {figure.name: figure for row in rows for figure in row.figures}
    judged = []
    for aim in AIMS:
        value = aim.value(found)
        figure = figures.get(aim.figure)
        if value is not None and figure is not None:
            was = None if before is None else aim.value(before)
            judged.append(Judged(aim, _title(aim, figure), aim.unit(figure), value, was))
    return judged


def lines(judged: Sequence[Judged], width: int, number: Callable[[float], str]) -> Iterable[str]:
    """Return the table; with what was there before, where anything is known of it."""
    if not judged:
        return
    compared = any(one.was is not None for one in judged)
    yield ""
    yield f"{'aim':{width}} {'':>12} {'aim':>10} {'is':>10}" + f"{'was':>19}" * compared
    for one in judged:
        aim, wanted = one.aim, f"{one.aim.sign} {number(one.aim.limit)}"
        line = f"{one.title:{width}} {one.unit:>12} {wanted:>10} {number(one.value):>10}"
        line += f"  {aim.word(one.value):8}"
        if one.was is not None:
            line += f" {number(one.was):>8}  {aim.word(one.was)}"
        yield line.rstrip()


def _title(aim: Aim, figure: Figure) -> str:
    return figure.title + (", no offload" if aim.column == WITHOUT else "")
