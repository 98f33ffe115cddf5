"""How measurements are spread over runs: cumulative distributions and boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import counted
from pystack.experiments.model import Value
from pystack.experiments.plots.choices import (
    By,
    Chosen,
    Where,
    choose,
    one_measure,
    with_unit,
)
from pystack.experiments.plots.look import (
    Paper,
    Picture,
    Style,
    is_log,
    logarithmic,
    looks,
    named,
    style,
)
from pystack.experiments.quantities import scale_of
from pystack.experiments.results.columns import unit_of
from pystack.experiments.results.summary import number_of

_MOST_BOXES: Final = 24
_FEW: Final = 5  # fewer runs make no box: they are shown as they are
_ROOM_IN: Final = 6.4  # for the names of all boxes
_GAP_IN: Final = 0.06  # between two


def cdf(
    results: Where,
    of: str | None = None,
    *,
    by: By = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw which part of the runs has at most a value, a line for each value of `by`.

    `of`: a measurement (its unit may be left out); default: what the experiment compares. `where`:
    values of parameters that runs must have. Raises ConfigError.
    """
    made = choose(results, by, where=where)
    measure = one_measure(of, made)
    groups = _values(made, measure)
    scale = scale_of(unit_of(measure), _all(groups))
    with looks():
        paper = Paper.of()
        (axes,) = paper.axes
        for at, (name, values) in enumerate(groups.items()):
            shown = sorted(map(scale.of, values))
            # From 0 at the first value, and a step at each: no value is made up between them.
            heights = [0.0, *((count + 1) / len(shown) for count in range(len(shown)))]
            look = style(at)
            axes.step(
                [shown[0], *shown],
                heights,
                where="post",
                label=named(name),
                **look._asdict(),
                markevery=(1, max(1, len(shown) // 8)),
            )
        axes.set_ylim(0, 1.03)
        if is_log(_all(groups)):
            logarithmic(axes, "x")
        axes.set_xlabel(with_unit(measure, scale.unit))
        axes.set_ylabel("part of the runs")
        caption = made.caption(
            _of_runs(f"distribution of {with_unit(measure, scale.unit)}", groups)
        )
        return paper.finish(made.title(title), caption, made.legend)


def box(
    results: Where,
    of: str | None = None,
    *,
    by: By = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw a box for each value of `by`: quartiles, median and every run as a point.

    Whiskers reach to the last run within 1.5 times the box. Fewer than 5 runs make no box, only
    points and the median. Raises ConfigError.
    """
    made = choose(results, by, where=where, lines=False)
    measure = one_measure(of, made)
    groups = _values(made, measure)
    if len(groups) > _MOST_BOXES:
        raise ConfigError(
            f"by {', '.join(made.by)} there are {len(groups)} boxes, and {_MOST_BOXES} have room: "
            "use fewer with `by`, or some of the runs with `where`"
        )
    scale = scale_of(unit_of(measure), _all(groups))
    with looks():
        paper = Paper.of()
        (axes,) = paper.axes
        first = [name.split(", ")[0] for name in groups]
        kinds = list(dict.fromkeys(first))  # what is by two parameters is coloured by the first
        for at, values in enumerate(groups.values()):
            look = style(kinds.index(first[at]))
            _box(axes, at, [scale.of(value) for value in values], look)
        if is_log(_all(groups)):
            logarithmic(axes, "y")
        names = [name.replace(", ", "\n") for name in groups]
        longest = max(paper.width_in(line) for name in names for line in name.split("\n"))
        leans = (longest + _GAP_IN) * len(names) > _ROOM_IN
        axes.set_xticks(
            range(len(names)),
            names,
            rotation=35 if leans else 0,
            ha="right" if leans else "center",
            rotation_mode="anchor" if leans else "default",
        )
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.grid(visible=False, axis="x")
        if made.legend is not None:
            axes.set_xlabel(made.legend)
        else:
            axes.set_xticks([])
        axes.set_ylabel(with_unit(measure, scale.unit))
        what = f"{with_unit(measure, scale.unit)}: median, quartiles, and each run as a point"
        return paper.finish(made.title(title), made.caption(_of_runs(what, groups)))


def _box(axes: Any, at: int, values: list[float], look: Style) -> None:  # noqa: ANN401
    np = need("numpy", "pystack plot")
    if len(values) >= _FEW:
        axes.boxplot(
            [values],
            positions=[at],
            widths=0.55,
            showfliers=False,  # every run is a point
            patch_artist=True,
            boxprops={"facecolor": f"{look.color}22", "edgecolor": look.color},
            medianprops={"color": look.color, "linewidth": 2.2},
            whiskerprops={"color": look.color},
            capprops={"color": look.color},
            manage_ticks=False,
        )
    else:
        middle = float(np.median(values))
        axes.plot([at - 0.28, at + 0.28], [middle, middle], color=look.color, linewidth=2.2)
    # Runs side by side in their order: nothing is drawn by chance.
    spread = np.linspace(-0.16, 0.16, len(values)) if len(values) > 1 else [0.0]
    axes.plot(
        at + np.asarray(spread),
        values,
        linestyle="none",
        marker=look.marker,
        markersize=3.5,
        color=look.color,
        markeredgecolor="white",
        markeredgewidth=0.4,
        zorder=3,
    )


def _values(made: Chosen, measure: str) -> dict[str, list[float]]:
    """Return the values of each line, without lines that have none."""
    found = {}
    for name, rows in made.groups.items():
        values = [value for row in rows if (value := number_of(row, measure)) is not None]
        if values:
            found[name] = values
    return found


def _all(groups: Mapping[str, list[float]]) -> list[float]:
    return [value for values in groups.values() for value in values]


def _of_runs(what: str, groups: Mapping[str, list[float]]) -> str:
    counts = {len(values) for values in groups.values()}
    each = counted(counts.pop(), "run") if len(counts) == 1 else f"{min(counts)}-{max(counts)} runs"
    return f"{what}, {each} each" if len(groups) > 1 else what
