"""Random numbers with a memory: the correlation of tc-netem(8).

Each number is a mixture of a fresh one and of the one before, x' = (1 - rho) u + rho x. Numbers so
made have the autocorrelation rho, but are not uniform any more: they crowd around 1/2, so that the
share of them below a small p is much less than p. That is netem's doing too; for bursts of losses
at a rate that can be relied on, take `loss gemodel`.
"""

from collections.abc import Callable

from pystack.core.rng import Random

# Draws a number from 0 to below 1.
Chance = Callable[[], float]


class Correlated:
    """A source whose numbers follow each other with the autocorrelation `correlation`, 0..1."""

    __slots__ = ("_correlation", "_last", "_random")

    def __init__(self, rng: Random, correlation: float) -> None:
        self._random = rng.random
        self._correlation = correlation
        self._last = rng.random()

    def draw(self) -> float:
        """Return the next number, from 0 to below 1."""
        last = self._last
        self._last = last = last + (self._random() - last) * (1.0 - self._correlation)
        return last


def chance(rng: Random, correlation: float) -> Chance:
    """Return what draws: the source itself where there is no correlation."""
    return Correlated(rng, correlation).draw if correlation else rng.random
