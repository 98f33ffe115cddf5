"""Distributions of many values, in bounded memory: quantiles, mean, least and greatest.

Up to `EXACT_VALUES` values are kept, and quantiles are exact: those of numpy's default, which go
between two values in a straight line. Beyond that, values are counted in bins of 1/1024 of their
size, so that a quantile is off by at most 0.1 %. Bins are cut from the bits of a number: the same
values give the same quantiles on each machine.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from typing import Final

EXACT_VALUES: Final = 1 << 20  # 8 MiB
_BINS: Final = 1 << 11  # of each power of 2: a mantissa is 0.5 to 1


class Distribution:
    """Values, each as heavy as the others."""

    def __init__(self, exact_values: int = EXACT_VALUES) -> None:
        self.values = array("d")  # not counted in bins yet; `add` of HOT callers: `values.append`
        self._exact_values = exact_values
        self._bins: dict[float, int] = {}  # by the middle of each; {}: all values are exact
        self._count = 0  # of those in bins, as are the following
        self._sums: list[float] = []
        self._least, self._greatest = math.inf, -math.inf

    def add(self, value: float) -> None:
        """Take a value, 0 or above."""
        self.values.append(value)
        if len(self.values) > self._exact_values:
            self._fold()

    def merge(self, other: Distribution) -> None:
        """Take all values of another one."""
        self.values.extend(other.values)
        for middle, count in other._bins.items():
            self._bins[middle] = self._bins.get(middle, 0) + count
        self._count += other._count
        self._sums.extend(other._sums)
        self._least = min(self._least, other._least)
        self._greatest = max(self._greatest, other._greatest)
        if self._bins or len(self.values) > self._exact_values:
            self._fold()

    def __len__(self) -> int:
        """Return how many values there are."""
        return self._count + len(self.values)

    def mean(self) -> float | None:
        """Return the mean; None of nothing."""
        if not len(self):
            return None
        least, greatest = min((self._least, *self.values)), max((self._greatest, *self.values))
        mean = math.fsum((*self._sums, *self.values)) / len(self)
        return min(max(mean, least), greatest)  # it may have been rounded

    def quantile(self, part: float) -> float | None:
        """Return the quantile of 0..1; None of nothing."""
        if not len(self):
            return None
        if not self._bins:
            return quantile(sorted(self.values), part)
        self._fold()
        if part in (0.0, 1.0):
            return self._greatest if part else self._least
        rank, seen = part * (self._count - 1), 0
        for middle in sorted(self._bins):
            seen += self._bins[middle]
            if seen > rank:
                return min(max(middle, self._least), self._greatest)
        return self._greatest

    def _fold(self) -> None:
        bins = self._bins
        for value in self.values:
            middle = _middle(value)
            bins[middle] = bins.get(middle, 0) + 1
        if self.values:
            self._count += len(self.values)
            self._sums.append(math.fsum(self.values))
            self._least = min(self._least, *self.values)
            self._greatest = max(self._greatest, *self.values)
            del self.values[:]


class Weighted:
    """Values, each with a weight: the time for which it held."""

    def __init__(self) -> None:
        self._weights: dict[float, float] = {}  # by value, or by the middle of its bin
        self._least, self._greatest = math.inf, -math.inf
        self._sums: list[float] = [0.0]  # of value x weight, kept short by `fsum`
        self._is_binned = False

    def add(self, value: float, weight: float) -> None:
        """Take a value, 0 or above, if its weight is above 0."""
        if weight <= 0:
            return
        self._least = min(self._least, value)
        self._greatest = max(self._greatest, value)
        self._sums.append(value * weight)
        if len(self._sums) > 1024:
            self._sums = [math.fsum(self._sums)]
        key = _middle(value) if self._is_binned else value
        self._weights[key] = self._weights.get(key, 0.0) + weight
        if len(self._weights) > EXACT_VALUES >> 3 and not self._is_binned:
            self._bin()

    def merge(self, other: Weighted) -> None:
        """Take all values of another one."""
        if other._is_binned and not self._is_binned:
            self._bin()
        for value, weight in other._weights.items():
            key = _middle(value) if self._is_binned else value
            self._weights[key] = self._weights.get(key, 0.0) + weight
        self._sums.extend(other._sums)
        self._least = min(self._least, other._least)
        self._greatest = max(self._greatest, other._greatest)

    def mean(self) -> float | None:
        """Return the weighted mean; None of nothing."""
        total = math.fsum(self._weights.values())
        if not total:
            return None
        mean = math.fsum(self._sums) / total
        return min(max(mean, self._least), self._greatest)  # it may have been rounded

    def quantile(self, part: float) -> float | None:
        """Return the least value that, with all below it, has that part of the weight."""
        if not self._weights:
            return None
        if part in (0.0, 1.0):
            return self._greatest if part else self._least
        wanted = part * math.fsum(self._weights.values())
        seen = 0.0
        for value in sorted(self._weights):
            seen += self._weights[value]
            if seen >= wanted:
                return min(max(value, self._least), self._greatest)
        return self._greatest

    def _bin(self) -> None:
        self._is_binned = True
        weights, self._weights = self._weights, {}
        for value, weight in weights.items():
            middle = _middle(value)
            self._weights[middle] = self._weights.get(middle, 0.0) + weight


def quantile(values: list[float], part: float) -> float:
    """Return a quantile of sorted values, as numpy's default: linear between two of them."""
    at = part * (len(values) - 1)
    below = math.floor(at)
    if below + 1 >= len(values):
        return values[-1]
    return values[below] + (values[below + 1] - values[below]) * (at - below)


def statistic(values: Iterable[float], word: str, part: float | None) -> float | None:
    """Return "sum", "mean" or a quantile (`part`) of a few values; None of none."""
    known = sorted(values)
    if not known:
        return None
    if part is not None:
        return quantile(known, part)
    return math.fsum(known) / (len(known) if word == "mean" else 1)


def _middle(value: float) -> float:
    if not value:
        return 0.0
    mantissa, exponent = math.frexp(value)
    return math.ldexp((math.floor(mantissa * _BINS) + 0.5) / _BINS, exponent)
