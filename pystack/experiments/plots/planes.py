"""Two parameters, or two measurements, against each other: heat maps, delay against throughput."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.experiments.model import Value
from pystack.experiments.plots.choices import (
    By,
    Chosen,
    Where,
    choose,
    delay_and_rate,
    in_order,
    intervals,
    label,
    one_measure,
    ranks_of,
    with_unit,
    words,
)
from pystack.experiments.plots.look import (
    MAP,
    Paper,
    Picture,
    is_log,
    logarithmic,
    looks,
    named,
    style,
)
from pystack.experiments.quantities import Scale, axis_of, number_text, scale_of, value_text
from pystack.experiments.results.columns import find, unit_of
from pystack.experiments.results.journal import Row
from pystack.experiments.results.summary import grouped, number_of
from pystack.experiments.statistics import Estimate, median

_MOST_CELLS: Final = 40  # along an axis
_MOST_PANELS: Final = 6
_NUMBERS_UP_TO: Final = 12  # columns: numbers have no room in narrower cells
_PANEL_IN: Final = 2.9
_COLUMNS: Final = 3
_MOST_SAID: Final = 24  # points that have room for a word each
_UNBEATEN: Final = "unbeaten in both"


def heatmap(
    results: Where,
    of: str | None = None,
    *,
    x: str | None = None,
    y: str | None = None,
    by: By = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw the median of a measurement over two parameters; `by`: a map for each of its values.

    `x`, `y`: the parameters; default: the two that have most values. Raises ConfigError.
    """
    first = choose(results, (), where=where, lines=False)
    x, y = _two(first, x, y, by)
    if by is None:
        left = [name for name in first.varying() if name not in (x, y)]
        compare = first.sheet.description.compare
        by = [compare.between] if compare is not None and compare.between in left else []
    made = choose(results, by, where=where, lines=False)
    if set(made.by) & {x, y}:
        raise ConfigError(f"{', '.join(made.by)} is an axis of the map: `by` is another parameter")
    measure = one_measure(of, made)
    panels = made.groups
    if len(panels) > _MOST_PANELS:
        raise ConfigError(
            f"by {', '.join(made.by)} there are {len(panels)} maps, and {_MOST_PANELS} have room: "
            "use some of the runs with `where`"
        )
    columns, lines = _ordered(made.rows, x), _ordered(made.rows, y)
    cells = {name: _cells(rows, x, y, measure) for name, rows in panels.items()}
    every = [value for each in cells.values() for value in each.values()]
    scale = scale_of(unit_of(measure), every)
    is_whole = len(every) == len(columns) * len(lines) * len(panels)
    with looks():
        paper = _panels(len(panels))
        image = None
        norm = _norm([scale.of(value) for value in every])
        for at, (axes, (name, found)) in enumerate(zip(paper.axes, cells.items(), strict=False)):
            grid = [[found.get((c, line)) for c in columns] for line in lines]
            image = _map(axes, grid, scale, norm, is_narrow=len(panels) > 1)
            axes.set_xticks(range(len(columns)), map(value_text, columns))
            axes.set_yticks(range(len(lines)), map(value_text, lines))
            _lean(axes, columns, len(panels))
            axes.set_xlabel(with_unit(x, unit_of(x)))
            if at % _COLUMNS == 0:
                axes.set_ylabel(with_unit(y, unit_of(y)))
            if made.by:
                axes.set_title(f"{made.legend}: {name}")
        for axes in paper.axes[len(panels) :]:
            axes.set_visible(False)
        bar = paper.figure.colorbar(image, ax=paper.axes[: len(panels)], shrink=0.9, pad=0.02)
        if norm.vmin and is_log([norm.vmin, norm.vmax]):
            logarithmic(bar.ax, "y")
        bar.outline.set_visible(False)
        bar.set_label(with_unit(measure, scale.unit))
        what = f"median of {with_unit(measure, scale.unit)}"
        what += "" if is_whole else " (hatched: no run has it)"
        return paper.finish(made.title(title), made.caption(what, over=(x, y)))


def pareto(
    results: Where,
    *,
    x: str | None = None,
    y: str | None = None,
    by: By = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw a throughput (`y`) against a delay (`x`), and who cannot be beaten in both.

    A point is the median over seeds at one value of each parameter, with its interval; points of a
    value of `by` look alike, and say which values of names they have beside. Raises ConfigError.
    """
    made = choose(results, by, where=where)
    delay, rate = delay_and_rate(x, y, made)
    rest = [name for name in made.varying() if name not in made.by]
    points = _points(made, rest, delay, rate)
    if not points:
        raise ConfigError(f"no run has both {delay} and {rate}")
    across = scale_of(unit_of(delay), (point.delay.value for point in points))
    up = scale_of(unit_of(rate), (point.rate.value for point in points))
    with looks():
        paper = Paper.of()
        (axes,) = paper.axes
        # Names are no way, and no choice: a line of access is not better than another.
        is_way = all(axis_of([row.parameters[name] for row in made.rows]) for name in rest)
        for point in points:
            _draw_point(axes, point, (across, up), says=not is_way and len(points) <= _MOST_SAID)
        if len(rest) == 1 and is_way:
            _draw_ways(axes, points, (across, up))
        best = _unbeaten([(p.delay.value, p.rate.value) for p in points]) if is_way else []
        axes.plot(
            [across.of(a) for a, _ in best],
            [up.of(b) for _, b in best],
            color="#777777",
            linewidth=1,
            linestyle=(0, (2, 2)),
            zorder=1,
            label=_UNBEATEN if best else None,
        )
        if is_log(point.delay.value for point in points):
            logarithmic(axes, "x")
        axes.margins(0.08)
        axes.set_xlabel(f"{with_unit(delay, across.unit)}   (less is better)")
        axes.set_ylabel(f"{with_unit(rate, up.unit)}   (more is better)")
        what = (
            f"{with_unit(rate, up.unit)} against {with_unit(delay, across.unit)}: medians over "
            f"seeds{' at each ' + ', '.join(map(words, rest)) if rest else ''}, "
            f"{intervals((point.delay for point in points), 'bars') or 'one run each'}"
        )
        return paper.finish(
            made.title(title), made.caption(what, over=rest), made.legend or "", last=(_UNBEATEN,)
        )


class _Point(NamedTuple):
    """What one combination of parameters came to."""

    at: int  # the number of its look
    name: str  # of that
    where: str  # the values of what is not told by its look: "dsl, 60ms"
    delay: Estimate
    rate: Estimate


def _points(made: Chosen, rest: Sequence[str], delay: str, rate: str) -> list[_Point]:
    """Return all points; those of a look in order of the rest."""
    points = []
    for at, (name, rows) in enumerate(made.groups.items()):
        places = grouped(rows, rest)
        for values in in_order(places, rest, made.rows):
            a, b = (median(number_of(row, of) for row in places[values]) for of in (delay, rate))
            if a is not None and b is not None:
                points.append(_Point(at, name, label(values), a, b))
    return points


def _draw_point(
    axes: Any,  # noqa: ANN401 - matplotlib's
    point: _Point,
    scales: tuple[Scale, Scale],
    *,
    says: bool,
) -> None:
    """Draw a point with its bars; `says`: where it is, in words beside it."""
    look, both = style(point.at), (point.delay, point.rate)
    place = [scale.of(each.value) for each, scale in zip(both, scales, strict=True)]
    bars = [_bar(each, scale) for each, scale in zip(both, scales, strict=True)]
    axes.errorbar(
        *place,
        xerr=bars[0],
        yerr=bars[1],
        label=named(point.name),
        color=look.color,
        marker=look.marker,
        markersize=6.5,
        linestyle="none",
        elinewidth=0.9,
        capsize=0,
    )
    if says:
        beside = {"xytext": (5, 4), "textcoords": "offset points"}
        axes.annotate(point.where, place, **beside, fontsize=7, color="#444444")


def _draw_ways(
    axes: Any,  # noqa: ANN401 - matplotlib's
    points: Sequence[_Point],
    scales: tuple[Scale, Scale],
) -> None:
    """Join the points of each look, which are in order."""
    for at in {point.at for point in points}:
        way = [(point.delay, point.rate) for point in points if point.at == at]
        places = [[scales[k].of(both[k].value) for both in way] for k in (0, 1)]
        axes.plot(*places, color=style(at).color, linewidth=0.8, alpha=0.6)


def _bar(estimate: Estimate, scale: Scale) -> list[list[float]] | None:
    if estimate.low is None or estimate.high is None:
        return None
    below, above = estimate.value - estimate.low, estimate.high - estimate.value
    return [[scale.of(below)], [scale.of(above)]]


def _unbeaten(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that no other has less delay and more throughput than, by delay."""
    best: list[tuple[float, float]] = []
    for delay, rate in sorted(set(points), key=lambda point: (point[0], -point[1])):
        if not best or rate > best[-1][1]:
            best.append((delay, rate))
    return best


def _two(made: Chosen, x: str | None, y: str | None, by: By) -> tuple[str, str]:
    """Return the parameters of a map."""
    parameters = made.sheet.description.parameters
    given = [None if name is None else find(name, parameters, "parameter") for name in (x, y)]
    taken = {*given, *([by] if isinstance(by, str) else by or [])}
    counts = {
        name: len({row.parameters[name] for row in made.rows})
        for name in made.varying()
        if name not in taken
    }
    # Numbers before words, then by how many values there are.
    free = sorted(
        counts,
        key=lambda name: (axis_of([r.parameters[name] for r in made.rows]) is None, -counts[name]),
    )
    first, second = (name if name is not None else (free.pop(0) if free else "") for name in given)
    if not first or not second:
        there = ", ".join(made.varying()) or "none"
        raise ConfigError(
            f"a heat map is over two parameters that vary, and there are not two (vary: {there})"
        )
    if first == second:
        raise ConfigError(f"x and y are both {first}: a heat map is over two parameters")
    for name in (first, second):
        many = len({row.parameters[name] for row in made.rows})
        if many > _MOST_CELLS:
            raise ConfigError(
                f"{name} has {many} values, and a heat map has room for {_MOST_CELLS}: use some of "
                "the runs with `where`; for samples of a space see `pareto`"
            )
    return first, second


def _ordered(rows: Sequence[Row], name: str) -> list[Value]:
    ranks = ranks_of([row.parameters[name] for row in rows])
    return sorted(ranks, key=ranks.__getitem__)


def _cells(rows: Sequence[Row], x: str, y: str, measure: str) -> dict[tuple[Value, ...], float]:
    found = {}
    for place, same in grouped(rows, (x, y)).items():
        estimate = median(number_of(row, measure) for row in same)
        if estimate is not None:
            found[place] = estimate.value
    return found


def _panels(count: int) -> Paper:
    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    height = 4.2 if count == 1 else _PANEL_IN * rows + 0.6
    return Paper.of(rows, columns, height_in=height, sharey=True)


def _map(
    axes: Any,  # noqa: ANN401 - matplotlib's
    grid: Sequence[Sequence[float | None]],
    scale: Scale,
    norm: Any,  # noqa: ANN401 - the same
    *,
    is_narrow: bool,
) -> Any:  # noqa: ANN401 - the same
    np = need("numpy", "pystack plot")
    values = np.array(
        [[np.nan if value is None else scale.of(value) for value in line] for line in grid]
    )
    axes.patch.set(hatch="////", edgecolor="#bbbbbb")
    image = axes.imshow(values, cmap=MAP, norm=norm, aspect="auto", origin="lower")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if len(grid[0]) > (_NUMBERS_UP_TO // 2 if is_narrow else _NUMBERS_UP_TO):
        return image
    for (line, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            # Whichever can be read better: the two are even at 0.43 of the map.
            colour = "white" if norm(value) < 0.43 else "black"
            text = f"{value:.3g}" if is_narrow else number_text(float(value))
            axes.text(column, line, text, ha="center", va="center", color=colour, fontsize=8)
    return image


def _norm(shown: Sequence[float]) -> Any:  # noqa: ANN401 - matplotlib's
    colors = need("matplotlib.colors", "pystack plot")
    kind = colors.LogNorm if is_log(shown) else colors.Normalize
    return kind(min(shown), max(shown))


def _lean(axes: Any, columns: Sequence[Value], panels: int) -> None:  # noqa: ANN401
    letters = sum(len(value_text(value)) + 2 for value in columns)
    if letters * min(panels, _COLUMNS) > 70:
        axes.tick_params(axis="x", rotation=60)
