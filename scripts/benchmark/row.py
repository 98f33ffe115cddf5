"""What a row of the table is."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmark.subjects import Subjects

Measure = Callable[[Subjects, str, float], dict[str, float]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure out of a measurement, and how it is to be read."""

    name: str
    title: str
    unit: str
    key: str  # what the measurement calls it
    scale: float = 1.0  # what it is divided by to be in this unit
    less_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement, for one or several columns."""

    name: str  # as --only takes it
    columns: Sequence[str]
    measure: Measure  # for a column, for about so many seconds
    figures: Sequence[Figure]
    needs: Sequence[str] = ()  # programs

    def missing(self) -> str:
        """Return a program that it needs and that is not there; empty for none."""
        return next((name for name in self.needs if not shutil.which(name)), "")
