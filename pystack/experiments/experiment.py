"""An experiment, as Python code and files say it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pystack.experiments.model import (
    Base,
    Compare,
    LabBase,
    Limits,
    Point,
    SeriesSpec,
    Value,
)

if TYPE_CHECKING:
    from pystack.experiments.bundle import Bundle

# What a function of an experiment returns: measurements by name, one number, or nothing.
Measured = Mapping[str, Value | None] | float | None
Function = Callable[..., Measured] | Callable[..., Awaitable[Measured]]


class Experiment:
    """A base, the points that it is run at, and what is measured. It never changes."""

    base: Base
    parameters: tuple[str, ...]  # their names, in the order of columns
    constants: Mapping[str, Value]
    seeds: tuple[int, ...]
    measure: tuple[str, ...]  # words of the registry of measures: "rtt p50 p99"
    series: SeriesSpec | None
    flows: str  # which connections count, by the names of their hosts: "left*"; "": all
    link: tuple[str, str] | None  # whose queue is meant; None: the one that is a bottleneck
    limits: Limits
    compare: Compare | None
    name: str  # of the folder of results, if not told otherwise
    title: str  # for people; "": none
    bundle: Bundle  # the texts that it needs, by their names

    def __init__(
        self,
        base: Function | LabBase | str,
        parameters: object = (),
        *,
        constants: Mapping[str, Value] | None = None,
        seeds: int | Iterable[int] = 1,
        measure: Iterable[str] = (),
        series: SeriesSpec | None = None,
        flows: str = "",
        link: tuple[str, str] | None = None,
        limits: Limits | None = None,
        compare: Compare | None = None,
        name: str = "",
        title: str = "",
        files: Iterable[str | Path] = (),
    ) -> None:
        raise NotImplementedError

    def points(self) -> Iterator[Point]:
        """Yield the points in order: the last parameter varies fastest, and seeds within it."""
        raise NotImplementedError

    def point(self, number: int) -> Point:
        """Return one point by its place, without making the others. IndexError."""
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of runs, without making the points."""
        raise NotImplementedError

    @property
    def identity(self) -> str:
        """SHA-256 over all that its results depend on: with the bundle and pystack's version.

        Its name, its title, its limits and what it compares are not in it.
        """
        raise NotImplementedError

    def to_json(self) -> str:
        """Return all of it, with its bundle, as canonical JSON."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, text: str) -> Experiment:
        """Return what `to_json` has said. Raises ConfigError."""
        raise NotImplementedError
