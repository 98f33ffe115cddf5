"""The points of an experiment: lists, ranges, zips and samples, and the product of them all.

Order is part of the meaning: the first parameter varies slowest, as in nested loops. Counting makes
no points, and a point is found by its place without making the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.experiments.model import Value
from pystack.experiments.spans import MOST, Span, is_whole
from pystack.experiments.values import WHOLE_MAX, check_name, check_value

Values = Span | Iterable[Value]  # of one parameter, as one says them


@dataclass(frozen=True)
class Axis:
    """Parameters that advance together, and what they are at each step."""

    columns: Mapping[str, Span | tuple[Value, ...]]
    is_drawn: bool = False  # by chance

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(self.columns)

    @cached_property
    def count(self) -> int:
        """The number of steps, without making them."""
        return next(_count(values) for values in self.columns.values())

    @cached_property
    def rows(self) -> Sequence[tuple[Value, ...]]:
        """The values at each step, in the order of the names."""
        return list(zip(*(_all(values) for values in self.columns.values()), strict=True))

    def steps(self, parameters: Mapping[str, Value]) -> Sequence[int]:
        """Return at which steps these are the values: () where they never are."""
        found = self._steps.get(_key(map(parameters.get, self.columns)), ())
        return (found,) if isinstance(found, int) else found

    @property
    def is_distinct(self) -> bool:
        """Whether no step has the values of another."""
        return len(self._steps) == self.count

    @cached_property
    def _steps(self) -> dict[str, int | list[int]]:
        found: dict[str, int | list[int]] = {}  # a list where there are several: few have them
        for step, row in enumerate(self.rows):
            there = found.setdefault(_key(row), step)
            if not isinstance(there, int):
                there.append(step)
            elif there != step:
                found[_key(row)] = [there, step]
        return found

    def to_json(self) -> dict[str, object]:
        """Return it as `space_of_json` takes it: its values, and not how they were said or drawn.

        Another version, or another machine's logarithm, might come to others.
        """
        columns = [[name, [row[at] for row in self.rows]] for at, name in enumerate(self.names)]
        return {"columns": columns, "is_drawn": self.is_drawn}


@dataclass(frozen=True)
class Sample(Axis):
    """A Latin hypercube: each parameter is drawn evenly, and all of them independently.

    Of each of `points` even slices of a parameter, one point lies in it.
    """

    is_drawn: bool = True
    points: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("points", self.points, 1, MOST),
            ("seed", self.seed, 0, WHOLE_MAX),
        ):
            if not is_whole(value) or not least <= value <= most:
                raise ConfigError(
                    f"{name} of a sample is a whole number, {least} to {most:,}, not {value!r}"
                )
        for name, values in self.columns.items():
            if isinstance(values, Span) and values.steps is not None:
                raise ConfigError(
                    f"{name}: a sample takes any value of a range, so that it has no steps"
                )

    @cached_property
    def count(self) -> int:
        """The number of points."""
        return self.points

    @cached_property
    def rows(self) -> Sequence[tuple[Value, ...]]:
        """The drawn points, in the order in which they were drawn. ConfigError without scipy."""
        qmc = need("scipy.stats.qmc", "a sample")
        numpy = need("numpy", "a sample")
        rng = numpy.random.default_rng(self.seed)
        cube = qmc.LatinHypercube(len(self.columns), seed=rng).random(self.points)
        drawn = [
            values.drawn(parts)
            if isinstance(values, Span)
            else tuple(values[min(int(part * len(values)), len(values) - 1)] for part in parts)
            for values, parts in zip(self.columns.values(), cube.T.tolist(), strict=True)
        ]
        return list(zip(*drawn, strict=True))


def zipped(columns: Mapping[str, Values] | None = None, /, **more: Values) -> Axis:
    """Return parameters that advance together: `zipped(rate=["1mbit", "9mbit"], limit=[5, 50])`.

    Each has as many values as the others. Raises ConfigError.
    """
    found = _columns({**(columns or {}), **more}, "a zip")
    counts = {name: _count(values) for name, values in found.items()}
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ConfigError(f"parameters that are zipped have as many values each, but {said}")
    return Axis(found)


def sample(
    points: int, columns: Mapping[str, Values] | None = None, /, *, seed: int = 1, **more: Values
) -> Sample:
    """Return a Latin hypercube sample: `sample(100, rate=log_span("1mbit", "1gbit"))`. Needs scipy.

    `points`: 1 to 1,000,000. A list takes part too, each of its values as often as the others.
    `seed`: of what is drawn, 0 or more. Raises ConfigError.
    """
    columns = _columns({**(columns or {}), **more}, "a sample")
    return Sample(columns, points=points, seed=seed)


class Space:
    """The product of axes."""

    def __init__(self, axes: Iterable[Axis]) -> None:
        """Raises ConfigError for a parameter that is there twice."""
        self.axes = tuple(axes)
        self.names: tuple[str, ...] = tuple(name for axis in self.axes for name in axis.names)
        for at, name in enumerate(self.names):
            if name in self.names[:at]:
                raise ConfigError(f"the parameter {name!r} is there twice")
        # How many combinations there are: 1 without any axis
        self.size: int = math.prod(axis.count for axis in self.axes)

    def at(self, number: int) -> dict[str, Value]:
        """Return one combination by its place. IndexError."""
        if not 0 <= number < self.size:
            raise IndexError(f"there is no combination {number} of {self.size}")
        found: list[tuple[Value, ...]] = []
        for axis in reversed(self.axes):
            number, step = divmod(number, axis.count)
            found.append(axis.rows[step])
        return self._named(reversed(found))

    def places(self, parameters: Mapping[str, Value]) -> Sequence[int]:
        """Return the places of a combination, in order: none where it is not one of these."""
        if len(parameters) != len(self.names):
            return ()
        found: Sequence[int] = (0,)
        for axis in self.axes:
            steps, count = axis.steps(parameters), axis.count
            if len(steps) == len(found) == 1:  # as nearly always, and quicker
                found = (found[0] * count + steps[0],)
            else:
                found = [at * count + step for at in found for step in steps]
        return found

    def first(self, parameters: Mapping[str, Value]) -> int:
        """Return the first place of one of these combinations."""
        found = 0
        for axis in self.axes:
            found = found * axis.count + axis.steps(parameters)[0]
        return found

    def __iter__(self) -> Iterator[dict[str, Value]]:
        """Yield all combinations, the last parameter fastest."""
        for rows in product(*(axis.rows for axis in self.axes)):
            yield self._named(rows)

    def corners(self, most: int) -> Iterator[dict[str, Value]]:
        """Yield combinations in which each value of each parameter is, as far as there is room."""
        firsts = [axis.rows[0] for axis in self.axes]
        yield self._named(firsts)
        for at, axis in enumerate(self.axes):
            for row in axis.rows[1:most]:
                most -= 1
                yield self._named([*firsts[:at], row, *firsts[at + 1 :]])

    def values_of(self, name: str) -> Iterator[Value]:
        """Yield the values of one parameter, in order."""
        for axis in self.axes:
            if name in axis.names:
                at = axis.names.index(name)
                yield from (row[at] for row in axis.rows)

    def _named(self, rows: Iterable[tuple[Value, ...]]) -> dict[str, Value]:
        return dict(zip(self.names, (value for row in rows for value in row), strict=True))

    def to_json(self) -> list[dict[str, object]]:
        """Return it as `space_of_json` takes it."""
        return [axis.to_json() for axis in self.axes]


def space_of(parameters: object) -> Space:
    """Return the product of what a user says: a mapping, a zip, a sample, or several of these."""
    match parameters:
        case None:
            return Space(())
        case Axis():
            return Space([parameters])
        case Mapping():
            columns = _columns(parameters, "")
            for name, values in columns.items():
                _check_distinct(name, values)
            return Space(Axis({name: values}) for name, values in columns.items())
        case str() | bytes():
            pass
        case Iterable():
            return Space(axis for part in parameters for axis in space_of(part).axes)
    raise ConfigError(
        "parameters are a mapping of names to values, zipped(...), sample(...) or a list of these, "
        f"not {parameters!r}"
    )


def space_of_json(axes: Iterable[Mapping[str, Any]]) -> Space:
    """Return what `Space.to_json` has said. Of something else, it raises all sorts of errors."""
    return Space(
        Axis(zipped(dict(axis["columns"])).columns, bool(axis["is_drawn"])) for axis in axes
    )


def _columns(said: Mapping[str, object], what: str) -> dict[str, Span | tuple[Value, ...]]:
    if what and not said:
        raise ConfigError(f"{what} needs a parameter at least")
    return {check_name(name): column(name, values) for name, values in said.items()}


def column(name: str, values: object) -> Span | tuple[Value, ...]:
    """Return the values of one parameter, checked. Raises ConfigError."""
    if isinstance(values, Span):
        return values
    if isinstance(values, str | bytes | Mapping) or not isinstance(values, Iterable):
        raise ConfigError(
            f"{name} has one value, {values!r}: give it as a constant, or a list of several values"
        )
    found = tuple(check_value(value, name) for value in values)
    if not found:
        raise ConfigError(f"{name} has no values, so that there is nothing to run")
    kinds = {_kind(value) for value in found}
    if len(kinds) > 1:
        raise ConfigError(
            f"{name} has {' and '.join(sorted(kinds))}: values of one parameter are of one kind, "
            f"{list(found)!r} are not"
        )
    return found


def _key(row: Iterable[Value | None]) -> str:
    """Return what tells values apart as results do: 1, 1.0 and true are three."""
    return "\n".join(map(repr, row))  # no text has a line's end in its own


def _check_distinct(name: str, values: Span | tuple[Value, ...]) -> None:
    if not isinstance(values, Span) and len(set(values)) < len(values):
        twice = next(value for at, value in enumerate(values) if value in values[:at])
        raise ConfigError(f"{name} has {twice!r} twice: the same runs would be made again")


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "texts" if isinstance(value, str) else "numbers"


def _count(values: Span | tuple[Value, ...]) -> int:
    return values.count if isinstance(values, Span) else len(values)


def _all(values: Span | tuple[Value, ...]) -> tuple[Value, ...]:
    return values.values() if isinstance(values, Span) else values
