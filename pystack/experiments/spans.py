"""Ranges of values: numbers, or texts with units such as "10ms" to "100ms".

Texts read well: at both ends is what was written, between them are few digits, as many as keep
neighbours apart.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from pystack.core.errors import ConfigError
from pystack.core.units import ratio_of_units
from pystack.experiments.model import Value
from pystack.experiments.values import check_value

MOST: Final = 1_000_000  # steps of a range, and points of a sample: more is a slip
_NUMBER_AND_UNIT: Final = re.compile(
    r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([a-z%]*)\s*", re.I | re.ASCII
)
_DIGITS: Final = (6, 9, 12, 17)  # significant ones of a text; the fewest that do
_CLEAN_DIGITS: Final = 12  # of a number: 0.3 and not 0.30000000000000004


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
        if count > MOST:
            raise ConfigError(
                f"{ends} has {count:,} values: {MOST:,} are the most, say fewer steps"
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
        if is_whole(self.low) and is_whole(self.high) and all(map(float.is_integer, clean)):
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
        if is_whole(self.low) and is_whole(self.high):
            return tuple(map(round, numbers))
        return tuple(map(_clean, numbers))

    @property
    def _is_even_and_whole(self) -> bool:
        return is_whole(self.low) and is_whole(self.high) and not self.is_log

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
        self._ratio = 1.0 if is_one else ratio_of_units(high, low)  # the high end's to the low's

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


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number, and no switch."""
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

    Ends are numbers, or texts of one kind of unit. `steps`: how many values, 2 to 1,000,000; None:
    every whole number between two of them; in a `sample`, any value. Raises ConfigError.
    """
    return Span(low, high, steps)


def log_span(low: float | str, high: float | str, *, steps: int | None = None) -> Span:
    """Return values with even steps of their logarithm: `log_span("1mbit", "1gbit", steps=4)`.

    As `span`; both ends are above 0.
    """
    return Span(low, high, steps, is_log=True)
