"""Numbers with units for people: "9.41 Mbit/s" in tables, axes of pictures in Mbit/s.

A parameter is what its file has: a number, or a text such as "10ms", which is one too.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.units import (
    parse_fraction,
    parse_rate_bps,
    parse_size_bytes,
    parse_time_s,
)
from pystack.experiments.model import Value

# Unit -> what is written for which factor, the largest first. A unit that is not here is not
# scaled; the names of units in columns and series ("bps") are those that people write, too.
_SCALES: Final = {
    "bit/s": ((1e9, "Gbit/s"), (1e6, "Mbit/s"), (1e3, "kbit/s"), (1.0, "bit/s")),
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")),
}
_CALLED: Final = {"bps": "bit/s", "byte": "bytes", "B": "bytes", "seconds": "s", "pps": "packets/s"}
_KINDS: Final[tuple[tuple[str, Callable[[str], float]], ...]] = (
    ("s", parse_time_s),
    ("bit/s", parse_rate_bps),
    # A bare number is one of bytes where bytes are asked for, and here nobody has.
    ("bytes", lambda text: math.nan if text[-1:].isdigit() else parse_size_bytes(text)),
    ("%", lambda text: parse_fraction(text) * 100 if text.endswith("%") else math.nan),
)
# Of any other kind, if all have the same: "0.5bdp", "4bdp"
_QUANTITY: Final = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", re.ASCII)
_ALIKE: Final = 1.05  # by how much steps of a range may differ, for rounding


@dataclass(frozen=True, slots=True)
class Scale:
    """What numbers are divided by to be shown, and the unit that they have then."""

    factor: float = 1.0
    unit: str = ""

    def of(self, value: float) -> float:
        """Return a number as it is shown."""
        return value / self.factor


@dataclass(frozen=True, slots=True)
class NumberAxis:
    """The values of a parameter as numbers, for an axis of a picture."""

    numbers: dict[Value, float]
    unit: str
    is_log: bool  # its steps are factors


def scale_of(unit: str, values: Iterable[float | None]) -> Scale:
    """Return how to show values of a unit, by the largest of them."""
    unit = _CALLED.get(unit, unit)
    there = [abs(value) for value in values if value is not None and math.isfinite(value)]
    most = max(there, default=0.0)
    for factor, name in _SCALES.get(unit, ()):
        if most >= factor:
            return Scale(factor, name)
    return Scale(*_SCALES[unit][-1]) if most and unit in _SCALES else Scale(1.0, unit)


def number_text(value: float) -> str:
    """Return a number in four digits, and whole ones as they are: "9.412", "12340", "1.2e-07"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = abs(value)
    if size >= 1e7 or size < 1e-4:
        return f"{value:.3g}"
    digits = max(0, 3 - math.floor(math.log10(size)))
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def value_text(value: Value) -> str:
    """Return the value of a parameter as tables have it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return number_text(value) if isinstance(value, float) else str(value)


def seeds_text(seeds: Sequence[int]) -> str:
    """Return "seeds 1-5", "seed 7", "seeds 3, 7"."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]}-{seeds[-1]}"
    if len(seeds) > 6:
        return f"{len(seeds)} seeds"
    return f"seeds {', '.join(map(str, seeds))}"


def axis_of(values: Sequence[Value]) -> NumberAxis | None:
    """Return the values of a parameter as numbers; None: they are words."""
    if not values or any(isinstance(value, bool) for value in values):
        return None
    if all(isinstance(value, int | float) for value in values):
        return _axis({value: float(value) for value in values}, "")
    if not all(isinstance(value, str) for value in values):
        return None
    for unit, parse in _KINDS:
        try:
            numbers: dict[Value, float] = {value: parse(str(value)) for value in values}
        except ConfigError:
            continue
        if all(map(math.isfinite, numbers.values())):
            return _axis(numbers, unit)
    parts = {value: _QUANTITY.fullmatch(str(value)) for value in values}
    units = {None if part is None else str(part[2]) for part in parts.values()}
    same = units.pop() if len(units) == 1 else None
    if same is None:
        return None
    return _axis({value: float(part[1]) for value, part in parts.items() if part}, same)


def _axis(numbers: dict[Value, float], unit: str) -> NumberAxis:
    return NumberAxis(numbers, unit, _has_factors(sorted(set(numbers.values()))))


def _has_factors(numbers: Sequence[float]) -> bool:
    """Tell whether numbers are the steps of a log range, more or less: 1, 10, 100, or 1, 3, 10."""
    if len(numbers) < 3 or numbers[0] <= 0 or numbers[-1] / numbers[0] < 8:
        return False
    factors = [math.log(b / a) for a, b in itertools.pairwise(numbers)]
    steps = [b - a for a, b in itertools.pairwise(numbers)]
    if max(steps) <= min(steps) * _ALIKE:
        return False  # 1, 2, .. 9
    # Factors are more alike than differences.
    return max(factors) / min(factors) < max(steps) / min(steps)
