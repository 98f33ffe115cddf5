"""The little of statistics that the tests of chance need, each at a significance of 0.001."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import Final

_Z_ONE_SIDED: Final = 3.0902  # a normal variable is above it once in a thousand times
Z_TWO_SIDED: Final = 3.2905
_KOLMOGOROV: Final = 1.9495


def chi_square_holds(observed: Sequence[float], expected: Sequence[float]) -> bool:
    """Tell whether counts agree with what is expected, cell by cell (5 or more in each)."""
    assert abs(sum(observed) - sum(expected)) < 1e-6 * sum(observed) + 1e-6
    assert min(expected) >= 5
    value = sum((o - e) ** 2 / e for o, e in zip(observed, expected, strict=True))
    degrees = len(observed) - 1
    # Wilson and Hilferty's approximation of the quantile
    part = 2 / (9 * degrees)
    return value < degrees * (1 - part + _Z_ONE_SIDED * math.sqrt(part)) ** 3


def rate_holds(hits: int, total: int, probability: float) -> bool:
    """Tell whether so many independent hits agree with a probability (chi-square, two cells)."""
    expected = total * probability
    return chi_square_holds([hits, total - hits], [expected, total - expected])


def geometric_holds(lengths: Sequence[int], stop: float) -> bool:
    """Tell whether lengths from 1 on are geometric: each step is the last with chance `stop`.

    Lengths are put together into cells in which 10 and a fortieth of all, or more, are expected.
    """
    total = len(lengths)
    least = max(10.0, total / 40)
    counts = Counter(lengths)
    observed: list[float] = []
    expected: list[float] = []
    length, left, begun, seen = 0, float(total), float(total), 0
    while left >= 2 * least:
        length += 1
        seen += counts[length]
        left *= 1 - stop
        if begun - left >= least:
            observed.append(seen)
            expected.append(begun - left)
            begun, seen = left, 0
    observed.append(total - sum(observed))
    expected.append(begun)
    return chi_square_holds(observed, expected)


def kolmogorov_smirnov_holds(values: Sequence[float], cdf: Callable[[float], float]) -> bool:
    """Tell whether values are drawn from a distribution; looks at a thousand of them in order."""
    ordered, total = sorted(values), len(values)
    step = max(total // 1000, 1)
    largest = max(abs(bisect_right(ordered, x) / total - cdf(x)) for x in ordered[::step])
    return largest < _KOLMOGOROV / math.sqrt(total)


def autocorrelation(values: Sequence[float]) -> float:
    """Return how much each value follows the one before it."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values)
    return sum((one - mean) * (two - mean) for one, two in pairwise(values)) / variance


def runs(flags: Sequence[bool]) -> tuple[list[int], list[int]]:
    """Return the lengths of the runs of True and of False, without the first and the last run."""
    lengths = [(flag, sum(1 for _ in run)) for flag, run in groupby(flags)][1:-1]
    return [n for flag, n in lengths if flag], [n for flag, n in lengths if not flag]


def normal_cdf(x: float) -> float:
    """Return the share of a standard normal variable that is below x."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def inverse(quantile: Callable[[float], float]) -> Callable[[float], float]:
    """Return the distribution function to a rising quantile function, by bisection."""

    def cdf(x: float) -> float:
        low, high = 1e-12, 1 - 1e-12
        for _ in range(50):
            middle = (low + high) / 2
            if quantile(middle) < x:
                low = middle
            else:
                high = middle
        return low

    return cdf
