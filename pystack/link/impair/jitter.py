"""Jitter: how many jitters each frame's delay is off its mean.

Three sources. `draw_each`: each frame draws by itself, as in netem, and frames overtake each other.
`Copula`: the same with correlation. `Ordered`: the delay is a process in time that falls no faster
than time passes, so that nobody overtakes anybody, and that has the asked distribution at every
instant, however close together frames are (docs/decisions.md has the why and the measurements).

Ordered, in short. The delay falls along a slope, jumps up, falls again, as a queue that drains.
Where falls begin and end is drawn from the density of the delays: each end lies where the density
crosses a height that is even between 0 and its peak. A delay is then passed as often as its density
is high, and that is all that is needed for the share of time spent there to be that density. Where
a density has several peaks, falls follow the highest curve with one peak that is below it, and take
longer where the density is above that curve. Each fall has a slope of its own, lest the whole
swings with a period. Frames further apart than the widest fall draw anew.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from pystack.core.rng import Random
from pystack.link.impair.distribution import Table

# Idle seconds in which a delay falls by one second: even between the two, for each fall anew. Above
# 1 keeps frames apart; more is gentler on bursts, and takes longer to see the whole distribution.
_SLOWEST: Final = 1.9
_FASTEST: Final = 1.1
_PACES: Final = _SLOWEST - _FASTEST
_MEAN_PACE: Final = (_SLOWEST + _FASTEST) / 2

# From one fall to the next, height and pace turn by these parts of a circle (the plane's most even
# sequence, by powers of 1 / 1.3247) and a little chance: so two seconds of traffic have seen all of
# the distribution, and what comes next depends on the present fall alone, as it must if the process
# is to be the same at every instant.
_TURN: Final = 0.7548776662
_PACE_TURN: Final = 0.5698402910
_CHANCE: Final = 0.02

_CELLS: Final = 256  # of equal probability, into which a table is cut; finer at both ends
_FALLS: Final = 30  # a fall goes through a part of the whole width, of this size at the least
_FEW: Final = 64  # a table of so few entries is taken for single delays, not for samples
_RAMP: Final = 0.02  # the share of time between them: a delay that keeps the order cannot jump down
_TERMS: Final = 24  # of the series for a correlation


def draw_each(rng: Random, table: Table | None) -> Callable[[], float]:
    """Return what draws for each frame by itself; None for a table: even, -1 to 1."""
    random = rng.random
    if table is None:
        return lambda: 2.0 * random() - 1.0
    entries, size = table, len(table)
    return lambda: entries[int(random() * size)]


class Copula:
    """Draws with the table's distribution and a correlation from one number to the next.

    A normal random walk with that memory is mapped through the distribution's quantiles (a Gaussian
    copula), so that the numbers keep the distribution. The walk's own correlation is such that the
    numbers have the one that was asked for.
    """

    __slots__ = ("_gauss", "_rest", "_rho", "_table", "_z")

    def __init__(self, rng: Random, table: Table | None, correlation: float) -> None:
        self._gauss = rng.gauss
        self._table = None if table is None else _sorted(table)
        self._rho = rho = normal_correlation(table, correlation)
        self._rest = math.sqrt(max(1.0 - rho * rho, 0.0))
        self._z = rng.gauss(0.0, 1.0)

    def draw(self) -> float:
        """Return the next number, in jitters."""
        self._z = z = self._rho * self._z + self._rest * self._gauss(0.0, 1.0)
        number = _normal_cdf(z)
        table = self._table
        if table is None:
            return 2.0 * number - 1.0
        return table[min(int(number * len(table)), len(table) - 1)]


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z * math.sqrt(0.5))


@lru_cache(maxsize=64)
def _sorted(table: Table) -> Table:
    return tuple(sorted(table))


@lru_cache(maxsize=64)
def normal_correlation(table: Table | None, correlation: float) -> float:
    """Return the correlation of two normal numbers whose images in the table have `correlation`.

    By the series of the quantile function in Hermite polynomials: of its term k, the power k.
    """
    if table is None:
        return 2.0 * math.sin(math.pi * correlation / 6.0)
    if not 0.0 < correlation < 1.0 or min(table) == max(table):
        return correlation
    shares = _hermite_shares(_sorted(table))
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        reached = sum(share * middle**power for power, share in enumerate(shares, 1))
        low, high = (middle, high) if reached < correlation else (low, middle)
    return low


def _hermite_shares(table: Table) -> list[float]:
    """Return the share of the variance in each term from 1 on; the last one: all that is left."""
    from statistics import NormalDist  # 10 ms, for those who ask for a correlation

    size = min(len(table), 1024)
    middles = [(number + 0.5) / size for number in range(size)]
    values = [table[int(middle * len(table))] for middle in middles]
    mean = sum(values) / size
    variance = sum((value - mean) ** 2 for value in values) / size
    if not variance:
        return [1.0]
    quantile = NormalDist().inv_cdf
    z = [quantile(middle) for middle in middles]
    before, term = [0.0] * size, [1.0] * size
    shares: list[float] = []
    for power in range(1, _TERMS):
        root, rest = math.sqrt(power), math.sqrt(power - 1)
        before, term = (
            term,
            [(x * h - rest * b) / root for x, h, b in zip(z, term, before, strict=True)],
        )
        part = sum(value * h for value, h in zip(values, term, strict=True)) / size
        shares.append(part * part / variance)
    return [*shares, max(1.0 - sum(shares), 0.0)]


class Shape:
    """A distribution as falls need it: cells in order of delay, each with its share of the time."""

    __slots__ = ("falling", "height", "peak", "quantiles", "rising", "times", "values", "width")

    def __init__(self, table: Table | None) -> None:
        knots = [(0.0, -1.0), (1.0, 1.0)] if table is None else _knots(_sorted(table))
        self.quantiles = [quantile for quantile, _ in knots]
        self.values = [value for _, value in knots]  # in jitters, at the cells' ends
        self.width = self.values[-1] - self.values[0]
        cells = range(len(knots) - 1)
        shares = [self.quantiles[cell + 1] - self.quantiles[cell] for cell in cells]
        widths = [self.values[cell + 1] - self.values[cell] for cell in cells]
        # A delay that many frames have is no peak, or falls would be that short: they rest there.
        most = _FALLS / self.width if self.width else 1.0
        height = [
            share / width if share < most * width else most
            for share, width in zip(shares, widths, strict=True)
        ]
        self.peak = peak = max(cells, key=height.__getitem__)
        # The highest curve with one peak that is nowhere above the density
        for cell in range(peak - 1, -1, -1):
            height[cell] = min(height[cell], height[cell + 1])
        for cell in range(peak + 1, len(height)):
            height[cell] = min(height[cell], height[cell - 1])
        self.height = height
        self.rising = height[: peak + 1]
        self.falling = height[peak:][::-1]
        # How long a fall at slope 1 has taken when it is through all cells below this one
        self.times = [0.0]
        for share, high in zip(shares, height, strict=True):
            self.times.append(self.times[-1] + share / high)

    def lowest(self, height: float) -> int:
        """Return the first cell where the curve is above a height."""
        return min(bisect_right(self.rising, height), self.peak)

    def highest(self, height: float) -> int:
        """Return the last cell where it is."""
        return max(len(self.height) - 1 - bisect_right(self.falling, height), self.peak)


def _knots(table: Table) -> list[tuple[float, float]]:
    """Return points of the quantile function, so many that straight lines between them will do."""
    size = len(table)
    if table[0] == table[-1]:
        return [(0.0, table[0]), (1.0, table[0])]
    if size <= _FEW:
        points = [
            (quantile / size, value)
            for number, value in enumerate(table)
            for quantile in (number + _RAMP / 2, number + 1 - _RAMP / 2)
        ]
        return [(0.0, table[0]), *points[1:-1], (1.0, table[-1])]
    ends = [2.0**-power for power in range(14, 0, -1) if 1 / size <= 2.0**-power < 1.5 / _CELLS]
    inner = [cell / _CELLS for cell in range(2, _CELLS - 1)]
    quantiles = sorted({0.0, *ends, *inner, *[1.0 - end for end in ends], 1.0})
    return [(quantile, _quantile(table, quantile)) for quantile in quantiles]


def _quantile(table: Table, quantile: float) -> float:
    at = min(max(quantile * len(table) - 0.5, 0.0), len(table) - 1.0)
    number = min(int(at), len(table) - 2)
    return table[number] + (table[number + 1] - table[number]) * (at - number)


@lru_cache(maxsize=64)
def shape(table: Table | None) -> Shape:
    """Return the shape of a table: one for all links that have it."""
    return Shape(table)


class Ordered:
    """A delay that falls no faster than time passes. `after` is asked once for each frame."""

    __slots__ = (
        "_cell_at",
        "_cell_value",
        "_end",
        "_height",
        "_pace",
        "_place",
        "_rest",
        "_rho",
        "_rng",
        "_shape",
        "_slope",
        "_slower",
    )

    def __init__(self, rng: Random, table: Table | None, correlation: float) -> None:
        self._rng = rng
        self._shape = shape(table)
        self._rho = rho = normal_correlation(table, correlation)
        self._rest = math.sqrt(max(1.0 - rho * rho, 0.0))
        self._slower = _slower(self._shape, correlation)
        self._height = 0.0  # of the present fall's begin, in peaks of the density
        self._place = 0.0  # in the present fall, as `Shape.times` counts
        self._end = 0.0  # of the present fall
        self._pace = _MEAN_PACE  # of the present fall: idle time for each step down
        self._place_at(rng.random())

    def after(self, idle: float) -> float:
        """Return the delay's distance from its mean, in jitters, so many idle jitters later."""
        if idle >= self._shape.width:
            self._draw_anew()
        else:
            self._place -= idle * self._slower / self._pace
            if self._place < self._end:
                self._fall_on()
            if self._place < self._cell_at:
                self._find_cell()
        return self._cell_value + (self._place - self._cell_at) * self._slope

    def _fall_on(self) -> None:
        """Go on to the falls that come next."""
        known, random = self._shape, self._rng.random
        peak = known.height[known.peak]
        while self._place < self._end:
            late = (self._end - self._place) * self._pace
            height = (self._height + _TURN + _CHANCE * random()) % 1.0
            pace = (self._pace - _FASTEST) / _PACES + _PACE_TURN + _CHANCE * random()
            self._height, self._pace = height, _FASTEST + _PACES * (pace % 1.0)
            # The two ends at heights of their own: what is long on one side is short on the other.
            self._end = known.times[known.lowest((1.0 - height) * peak)]
            self._place = known.times[known.highest(height * peak) + 1] - late / self._pace
        self._find_cell()

    def _draw_anew(self) -> None:
        """Draw a place that order does not bind, as near the last one as the correlation says."""
        if not self._rho:
            self._place_at(self._rng.random())
            return
        from statistics import NormalDist

        known = self._shape
        cell = _cell(known.times, self._place)
        begin, end = known.times[cell], known.times[cell + 1]
        part = (self._place - begin) / (end - begin) if end > begin else 0.5
        low, high = known.quantiles[cell], known.quantiles[cell + 1]
        quantile = min(max(low + part * (high - low), 1e-12), 1.0 - 1e-12)
        z = self._rho * NormalDist().inv_cdf(quantile) + self._rest * self._rng.gauss(0.0, 1.0)
        self._place_at(_normal_cdf(z))

    def _place_at(self, quantile: float) -> None:
        """Be at a quantile of the distribution, in a fall that passes there."""
        known, random = self._shape, self._rng.random
        cell = _cell(known.quantiles, quantile)
        low, high = known.quantiles[cell], known.quantiles[cell + 1]
        begin, end = known.times[cell], known.times[cell + 1]
        self._place = begin + (end - begin) * (quantile - low) / (high - low)
        # Any of the falls that pass there, and a slow one more often, by what it takes longer
        peak = known.height[known.peak]
        part = random() * known.height[cell] / peak
        self._height = part if cell >= known.peak else 1.0 - part
        self._end = known.times[known.lowest((1.0 - self._height) * peak)]
        self._pace = math.sqrt(_FASTEST**2 + random() * (_SLOWEST**2 - _FASTEST**2))
        self._find_cell()

    def _find_cell(self) -> None:
        known = self._shape
        cell = _cell(known.times, self._place)
        begin, end = known.times[cell], known.times[cell + 1]
        self._cell_at, self._cell_value = begin, known.values[cell]
        rise = known.values[cell + 1] - known.values[cell]
        self._slope = rise / (end - begin) if end > begin else 0.0


def _cell(ends: list[float], at: float) -> int:
    return min(max(bisect_right(ends, at) - 1, 0), len(ends) - 2)


def _slower(known: Shape, correlation: float) -> float:
    """Return how fast the process runs, so that frames just too near to draw anew follow enough.

    Numbers on a saw's teeth, a part p of a tooth apart, have the correlation 1 - 6 p (1 - p).
    """
    if not correlation or not known.width:
        return 1.0
    part = (1.0 - math.sqrt(1.0 - 2.0 * (1.0 - correlation) / 3.0)) / 2.0
    teeth = known.width * known.height[known.peak] / _MEAN_PACE
    return min(part / teeth, 1.0)
