"""The points of an experiment: lists, ranges, zips and samples, and the product of them all.

Order is part of the meaning: the first parameter varies slowest, as in nested loops. Counting makes
no points, and a point is found by its place without making the others.

A range of texts such as "10ms" to "100ms" has texts that read well: at both ends what was written,
between them few digits, as many as keep neighbours apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import product
from typing import ClassVar, Final, NamedTuple

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.units import ratio_of_units
from pystack.experiments.model import Value

_NUMBER_AND_UNIT: Final = re.compile(
    r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*", re.I | re.ASCII
)
_MOST: Final = 1_000_000  # steps of a range, and points of a sample: more is a slip
_DIGITS: Final = (6, 9, 12, 17)  # significant ones of a text; the fewest that do
_CLEAN_DIGITS: Final = 12  # of a number: 0.3 and not 0.30000000000000004
_WHOLE_MAX: Final = 2**63  # Parquet has 64 bits for them

# What a column of results is called, so no parameter and no measurement can be.
RESERVED: Final = (
    *("number", "repetition", "seed", "ended", "error", "version", "digest", "identity"),
    *("results", "run"),
)


def check_value(value: object, what: str) -> Value:
    """Return what a parameter or a constant can be. Raises ConfigError."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if not -_WHOLE_MAX <= value < _WHOLE_MAX:
            raise ConfigError(f"{what}: {value} does not fit into 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigError(f"{what}: {value} is not finite")
        return value
    raise ConfigError(
        f"{what} can be a text, a number, true or false, not {type(value).__name__} ({value!r})"
    )


def check_name(name: object, what: str = "parameter") -> str:
    """Return what a parameter can be called. Raises ConfigError."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ConfigError(f"{name!r} is no name of a {what}: letters, digits and _ make one")
    if name in RESERVED:
        raise ConfigError(
            f"no {what} can be called {name!r}, for results have that: call it otherwise"
        )
    return name


class _Quantity(NamedTuple):
    """The end of a range."""

    number: float
    unit: str | None  # as it is written; None: it is a number


@dataclass(frozen=True, slots=True)
class Span:
    """Values from one end to the other, both in; of a sample, any between them.

    Texts have units, which may differ: "500us" to "5ms". Whole numbers give whole numbers if all of
    the values are.
    """

    low: float | str
    high: float | str
    steps: int | None = None  # None: each whole number, or (of a sample) any value
    is_log: bool = False  # even steps of the logarithm

    def __post_init__(self) -> None:
        low, high = _ends(self.low, self.high)
        if self.steps is not None:
            if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 2:
                raise ConfigError(f"a range has 2 steps at least, both ends, not {self.steps!r}")
            if low == high:
                raise ConfigError(f"both ends of the range are {self.low!r}: that is one value")
        if self.is_log and low * high <= 0:
            raise ConfigError(
                f"{self.low!r} to {self.high!r} has no logarithm: both ends must be above 0"
            )

    @property
    def count(self) -> int:
        """How many values it has. Raises ConfigError where it does not say, or has too many."""
        count = self.steps
        if count is None and self._is_even_and_whole:
            count = abs(int(self.high) - int(self.low)) + 1
        ends = f"a range from {self.low!r} to {self.high!r}"
        if count is None:
            raise ConfigError(f"{ends} needs steps: how many values it has")
        if count > _MOST:
            raise ConfigError(
                f"{ends} has {count:,} values: {_MOST:,} are the most, say fewer steps"
            )
        return count

    def values(self) -> tuple[Value, ...]:
        """Return all of them, in order."""
        last = max(self.count - 1, 1)
        if self._is_even_and_whole:
            low, high = int(self.low), int(self.high)
            if (high - low) % last == 0:
                return tuple(low + step * ((high - low) // last) for step in range(self.count))
        numbers = self._between(step / last for step in range(self.count))
        if isinstance(self.low, str):
            return self._texts(numbers)
        clean = [_clean(number) for number in numbers]
        if len(set(clean)) < len(clean):
            clean = numbers
        if _is_whole(self.low) and _is_whole(self.high) and all(map(float.is_integer, clean)):
            return (self.low, *map(int, clean[1:-1]), self.high)
        return (float(self.low), *clean[1:-1], float(self.high))

    def drawn(self, parts: Iterable[float]) -> tuple[Value, ...]:
        """Return a value for each part of the way, 0..1, from the low end to the high one."""
        if self._is_even_and_whole:
            low, high = sorted((int(self.low), int(self.high)))
            return tuple(low + min(int(part * (high - low + 1)), high - low) for part in parts)
        numbers = self._between(parts)
        if isinstance(self.low, str):
            units = self._units
            return tuple(units.text(number, _DIGITS[0]) for number in numbers)
        if _is_whole(self.low) and _is_whole(self.high):
            return tuple(map(round, numbers))
        return tuple(map(_clean, numbers))

    @property
    def _is_even_and_whole(self) -> bool:
        return _is_whole(self.low) and _is_whole(self.high) and not self.is_log

    @property
    def _units(self) -> _Units:
        low, high = _quantity(self.low), _quantity(self.high)
        assert low.unit is not None
        assert high.unit is not None
        return _Units(low.unit or high.unit, high.unit or low.unit)

    def _between(self, parts: Iterable[float]) -> list[float]:
        """Return the numbers at parts of the way, in the unit of the low end."""
        low, high = _ends(self.low, self.high)
        least, most = sorted((low, high))
        if self.is_log:
            return [min(max(low * (high / low) ** part, least), most) for part in parts]
        return [min(max(low + (high - low) * part, least), most) for part in parts]

    def _texts(self, numbers: list[float]) -> tuple[Value, ...]:
        """Return numbers as texts that read well and differ, both ends as they were written."""
        units = self._units
        texts: list[str] = []
        for digits in _DIGITS:
            between = [units.text(number, digits) for number in numbers[1:-1]]
            texts = [str(self.low).strip(), *between, str(self.high).strip()]
            if len(set(texts)) == len(texts):
                break
        return tuple(texts)


class _Units:
    """The units of the two ends of a range."""

    def __init__(self, low: str, high: str) -> None:
        self._low, self._high = low, high
        is_one = low.lower() == high.lower()
        self._ratio = (
            1.0 if is_one else ratio_of_units(high, low)
        )  # of the high end's to the low end's

    def text(self, number: float, digits: int) -> str:
        """Return a number in the unit of the low end as a text, in the unit that reads better."""
        larger = self._ratio > 1
        in_high = number / self._ratio
        # the larger one of the two, where it is one at least
        if self._ratio != 1 and (abs(in_high) >= 1 if larger else abs(number) < 1):
            return f"{_plain(in_high, digits)}{self._high}"
        return f"{_plain(number, digits)}{self._low}"


def _clean(number: float) -> float:
    return float(f"{number:.{_CLEAN_DIGITS}g}")


def _plain(number: float, digits: int) -> str:
    """Return a number without an exponent."""
    return format(Decimal(f"{number:.{digits}g}"), "f")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _quantity(end: object) -> _Quantity:
    check_value(end, "the end of a range")
    if isinstance(end, str):
        match = _NUMBER_AND_UNIT.fullmatch(end)
        if match is None or not math.isfinite(float(match[1])):
            raise ConfigError(f"{end!r} cannot be the end of a range: it is no number with a unit")
        return _Quantity(float(match[1]), match[2])
    if isinstance(end, bool):
        raise ConfigError("true and false make no range: give a list of them")
    assert isinstance(end, int | float)
    return _Quantity(float(end), None)


def _ends(first: object, last: object) -> tuple[float, float]:
    """Return both ends in the unit of the first. Raises ConfigError."""
    low, high = _quantity(first), _quantity(last)
    if (low.unit is None) != (high.unit is None):
        raise ConfigError(f"{first!r} to {last!r} is no range: one of the two is a text")
    if low.unit is None or high.unit is None or low.unit.lower() == high.unit.lower():
        return low.number, high.number
    if not (low.unit or low.number) or not (high.unit or high.number):  # 0 is 0 in each unit
        return low.number, high.number
    try:
        return low.number, high.number * ratio_of_units(high.unit, low.unit)
    except ConfigError:
        raise ConfigError(
            f"{first!r} to {last!r} is no range: the two have different kinds of units"
        ) from None


def span(low: float | str, high: float | str, *, steps: int | None = None) -> Span:
    """Return evenly spaced values, both ends in: `span("10ms", "100ms", steps=5)`.

    Without `steps`, every whole number between two of them; in a `sample`, any value.
    """
    return Span(low, high, steps)


def log_span(low: float | str, high: float | str, *, steps: int | None = None) -> Span:
    """Return values with even steps of their logarithm, both ends in."""
    return Span(low, high, steps, is_log=True)


Values = Span | Iterable[Value]  # of one parameter, as one says them


@dataclass(frozen=True)
class Axis:
    """Parameters that advance together, and what they are at each step."""

    columns: Mapping[str, Span | tuple[Value, ...]]
    is_drawn: ClassVar[bool] = False  # by chance

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""
        return tuple(self.columns)

    @property
    def count(self) -> int:
        """The number of steps, without making them."""
        return next(_count(values) for values in self.columns.values())

    @cached_property
    def rows(self) -> Sequence[tuple[Value, ...]]:
        """The values at each step, in the order of the names."""
        return list(zip(*(_all(values) for values in self.columns.values()), strict=True))

    def to_json(self) -> dict[str, object]:
        """Return it as `axis_of_json` takes it."""
        return {"zip": _columns_to_json(self.columns)}


@dataclass(frozen=True)
class Sample(Axis):
    """A Latin hypercube: each parameter is drawn evenly, and all of them independently.

    Of each of `points` even slices of a parameter, one point lies in it.
    """

    is_drawn: ClassVar[bool] = True
    points: int = 1
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("points", self.points, 1, _MOST),
            ("seed", self.seed, 0, _WHOLE_MAX),
        ):
            if not _is_whole(value) or not least <= value <= most:
                raise ConfigError(
                    f"{name} of a sample is a whole number, {least} to {most:,}, not {value!r}"
                )
        for name, values in self.columns.items():
            if isinstance(values, Span) and values.steps is not None:
                raise ConfigError(
                    f"{name}: a sample takes any value of a range, so that it has no steps"
                )

    @property
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

    def to_json(self) -> dict[str, object]:
        """Return it as `axis_of_json` takes it."""
        return {
            "sample": _columns_to_json(self.columns),
            "points": self.points,
            "seed": self.seed,
        }


def zipped(columns: Mapping[str, Values] | None = None, /, **more: Values) -> Axis:
    """Return parameters that advance together: `zipped(rate=["1mbit", "9mbit"], limit=[5, 50])`."""
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

    A list takes part too, each of its values as often as the others.
    """
    return Sample(_columns({**(columns or {}), **more}, "a sample"), points, seed)


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


def space_of_json(axes: Iterable[Mapping[str, object]]) -> Space:
    """Return what `Space.to_json` has said."""
    return Space(_axis_of_json(axis) for axis in axes)


def _axis_of_json(said: Mapping[str, object]) -> Axis:
    columns = said.get("zip", said.get("sample"))
    assert isinstance(columns, list)
    found: dict[str, Span | tuple[Value, ...]] = {}
    for name, values in columns:
        found[name] = Span(**values) if isinstance(values, dict) else tuple(values)
    if "sample" in said:
        points, seed = said["points"], said["seed"]
        assert isinstance(points, int)
        assert isinstance(seed, int)
        return Sample(found, points, seed)
    return Axis(found)


def _columns_to_json(columns: Mapping[str, Span | tuple[Value, ...]]) -> list[object]:
    return [
        [name, {word: getattr(values, word) for word in ("low", "high", "steps", "is_log")}]
        if isinstance(values, Span)
        else [name, list(values)]
        for name, values in columns.items()
    ]


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
