"""A measurement over a parameter that is a number: medians, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.experiments.model import Value
from pystack.experiments.plots.choices import (
    By,
    Chosen,
    Where,
    choose,
    intervals,
    one_measure,
    with_unit,
)
from pystack.experiments.plots.look import Paper, Picture, is_log, logarithmic, looks, named, style
from pystack.experiments.quantities import NumberAxis, axis_of, number_text, scale_of
from pystack.experiments.results.columns import find, unit_of
from pystack.experiments.results.summary import grouped, number_of
from pystack.experiments.statistics import Estimate, median

_MOST_TICKS: Final = 8


def curve(
    results: Where,
    of: str | None = None,
    *,
    x: str | None = None,
    by: By = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw the median of a measurement over a parameter, a line for each value of `by`.

    `x`: a parameter of numbers ("10ms" is one); default: the one with most values. Its axis is
    logarithmic where its steps are factors. Bands are confidence intervals. Raises ConfigError.
    """
    made = choose(results, by, where=where, lines=False)
    x, axis = _over(made, x, by)
    made = choose(results, made.by if by is not None or x not in made.by else (), where=where)
    if x in made.by:
        raise ConfigError(f"{x} is the axis of the picture: `by` is another parameter")
    measure = one_measure(of, made)
    lines: dict[str, list[tuple[float, Estimate]]] = {}
    for name, rows in made.groups.items():
        for (value,), same in grouped(rows, (x,)).items():
            estimate = median(number_of(row, measure) for row in same)
            if estimate is not None:
                lines.setdefault(name, []).append((axis.numbers[value], estimate))
    every = [estimate for line in lines.values() for _, estimate in line]
    across = scale_of(axis.unit or unit_of(x), axis.numbers.values())
    up = scale_of(unit_of(measure), (estimate.value for estimate in every))
    with looks():
        paper = Paper.of()
        (axes,) = paper.axes
        for at, (name, line) in enumerate(lines.items()):
            line.sort(key=lambda point: point[0])
            places = [across.of(place) for place, _ in line]
            look = style(at)
            axes.plot(
                places, [up.of(e.value) for _, e in line], label=named(name), **look._asdict()
            )
            low, high = (
                [up.of(e.value if end is None else end) for e, end in ends]
                for ends in ([(e, e.low) for _, e in line], [(e, e.high) for _, e in line])
            )
            axes.fill_between(places, low, high, color=look.color, alpha=0.15, linewidth=0)
        if axis.is_log:
            logarithmic(axes, "x")
            _ticks(axes, sorted(across.of(number) for number in set(axis.numbers.values())))
        if is_log(estimate.value for estimate in every):
            logarithmic(axes, "y")
        axes.set_xlabel(with_unit(x, across.unit))
        axes.set_ylabel(with_unit(measure, up.unit))
        what = f"median of {with_unit(measure, up.unit)} over {with_unit(x, across.unit)}"
        if bands := intervals(every, "bands"):
            what += f", {bands}"
        return paper.finish(made.title(title), made.caption(what, over=(x,)), made.legend)


def _ticks(axes: Any, numbers: Sequence[float]) -> None:  # noqa: ANN401 - matplotlib's
    """Name the values that were run, and not powers of ten, if there is room."""
    if len(numbers) <= _MOST_TICKS:
        axes.set_xticks(numbers, map(number_text, numbers))
        axes.set_xticks([], minor=True)


def _over(made: Chosen, x: str | None, by: By) -> tuple[str, NumberAxis]:
    """Return the parameter of the axis, and its numbers."""
    taken = {by} if isinstance(by, str) else set(by or ())
    found: dict[str, NumberAxis] = {}
    for name in made.varying():
        axis = axis_of([row.parameters[name] for row in made.rows])
        if axis is not None and name not in taken:
            found[name] = axis
    if x is not None:
        x = find(x, made.sheet.description.parameters, "parameter")
        axis = axis_of([row.parameters[x] for row in made.rows])
        if axis is None:
            raise ConfigError(f"the values of {x} are no numbers: see `box`, by = {x!r}")
        return x, axis
    if not found:
        there = ", ".join(made.varying()) or "none"
        raise ConfigError(f"no parameter that varies has numbers for an axis (vary: {there})")
    most = max(found, key=lambda name: len(found[name].numbers))
    return most, found[most]
