"""The points that an experiment asks for, in order: each combination of parameters, each seed.

A point is what it is run with: parameters and a seed. Its number is no more than its place in the
order of whoever asks, so that what it came to holds in each experiment that asks for it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from pystack.experiments.model import Point, Value
from pystack.experiments.parameters import Space, space_of_json


class Order:
    """All points of an experiment, without making them: by their places, and the other way."""

    def __init__(self, space: Space, seeds: Sequence[int]) -> None:
        self.space = space
        self.seeds = tuple(seeds)
        self.size: int = space.size * len(self.seeds)

    def __iter__(self) -> Iterator[Point]:
        """Yield the points: the last parameter varies fastest, and seeds within it."""
        number = 0
        for values in self.space:
            for repetition, seed in enumerate(self.seeds):
                yield Point(number, values, repetition, seed)
                number += 1

    def at(self, number: int) -> Point:
        """Return a point by its place. IndexError."""
        at, repetition = divmod(number, len(self.seeds))
        return Point(number, self.space.at(at), repetition, self.seeds[repetition])

    def each(self, numbers: Iterable[int]) -> Iterator[Point]:
        """Yield points by their places. Neighbours of one combination share its parameters."""
        there, values = -1, {}
        for number in numbers:
            at, repetition = divmod(number, len(self.seeds))
            if at != there:
                there, values = at, self.space.at(at)
            yield Point(number, values, repetition, self.seeds[repetition])

    def numbers(self, parameters: Mapping[str, Value], seed: int) -> Sequence[int]:
        """Return the places of a point: none where it is not asked for.

        There are several where a zip or a sample has the same values twice.
        """
        repetition = self._repetitions.get(seed)
        if repetition is None:
            return ()
        return [at * len(self.seeds) + repetition for at in self.space.places(parameters)]

    def places_of(self, point: Point) -> Sequence[int]:
        """Return the places of one of these points, its own among them."""
        if self._is_distinct:
            return (point.number,)
        return self.numbers(point.parameters, point.seed)

    def is_first(self, point: Point) -> bool:
        """Tell whether no place before that of one of these points has the same."""
        if self._is_distinct:
            return True
        return point.number // len(self.seeds) == self.space.first(point.parameters)

    @cached_property
    def _is_distinct(self) -> bool:
        return all(axis.is_distinct for axis in self.space.axes)

    @cached_property
    def _repetitions(self) -> dict[int, int]:
        return {seed: repetition for repetition, seed in enumerate(self.seeds)}

    def to_json(self) -> dict[str, object]:
        """Return it as `from_json` takes it, with what was drawn."""
        return {"parameters": self.space.to_json(), "seeds": list(self.seeds)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Order:
        """Return what `to_json` has said. Of something else, it raises all sorts of errors."""
        seeds = list(said["seeds"])
        if not all(type(seed) is int for seed in seeds) or len(set(seeds)) < len(seeds):
            raise ValueError(seeds)
        return cls(space_of_json(said["parameters"]), seeds)
