"""Pictures over time: series of one run or of many, fairness, and the sequence numbers of a run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pystack.core.called import typed
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import counted, suggest
from pystack.core.units import parse_time_s, time_text
from pystack.experiments.model import Value
from pystack.experiments.plots.choices import (
    By,
    Chosen,
    Line,
    Where,
    choose,
    lines_of,
    series_names,
    with_unit,
)
from pystack.experiments.plots.look import (
    ALONE,
    COLOURS,
    HEIGHT_IN,
    MOST_LINES,
    Paper,
    Picture,
    Style,
    looks,
    named,
    style,
)
from pystack.experiments.quantities import Scale, scale_of
from pystack.experiments.statistics import jain

_MOST_SERIES: Final = 4
_STEPS: Final = 300  # of time, where runs are put together
_SEQUENCE: Final = "sequence_"
_WINDOW_S: Final = 1.0
_MOST_SHAPES: Final = 5000  # of an SVG: more are a picture in it, which opens at once
# Series of sequence numbers: what they are called, and what they look like
_PARTS: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "acked": ("acknowledged", {"color": COLOURS[2], "linewidth": 1.2, "zorder": 2}),
    "sacked": (
        "SACK",
        {"color": COLOURS[5], "marker": "|", "linestyle": "none", "markersize": 4, "zorder": 2.5},
    ),
    "sent": (
        "sent",
        {"color": COLOURS[0], "marker": ".", "linestyle": "none", "markersize": 2.6, "zorder": 3},
    ),
    "retransmitted": (
        "retransmitted",
        {"color": COLOURS[1], "marker": "x", "linestyle": "none", "markersize": 5, "zorder": 4},
    ),
}


def series(
    results: Where,
    of: str | Sequence[str] | None = None,
    *,
    by: By = None,
    number: int | None = None,
    begin: str | float | None = None,
    until: str | float | None = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw time series: of one run a line for each flow, of many runs their median by `by`.

    `of`: names of series, one below another; default: all, up to 4. `number`: of a run. `begin`,
    `until`: times (s, or "2s") to show. Around a median, a band holds the middle half of the runs
    and flows. Raises ConfigError.
    """
    made = choose(results, by, where=where, number=number)
    names = _series(of, made)
    lines = _within(lines_of(made, names), begin, until)
    is_one = len({line.row.number for line in lines}) == 1
    groups = _by_subject(lines) if is_one else _by_group(lines, made)
    if len(groups) > MOST_LINES:
        raise ConfigError(
            f"run {lines[0].row.number} has {len(groups)} flows, and {MOST_LINES} lines can be "
            "told apart: write down fewer with `flows`"
        )
    units = []
    with looks():
        height = HEIGHT_IN if len(names) == 1 else 1.0 + 1.75 * len(names)
        paper = Paper.of(len(names), height_in=height)
        for axes, name in zip(paper.axes, names, strict=True):
            here = [line for line in lines if line.series == name]
            scale = scale_of(
                here[0].unit, (float(line.values.max()) for line in here if line.values.size)
            )
            units.append(with_unit(name, scale.unit))
            for at, (label, members) in enumerate(groups.items()):
                alone = is_one and len(names) > 1 and len(here) == 1 < len(groups)
                look = ALONE if alone else style(at)
                chosen = [line for line in members if line.series == name]
                _draw(axes, label, chosen, scale, look, is_one=is_one)
            axes.set_ylabel(with_unit(name, scale.unit))
            axes.margins(x=0.01)
            if begin is None:
                axes.set_xlim(left=0)
        paper.axes[-1].set_xlabel("time (s)")
        band = "" if is_one else ": medians of runs and flows, bands hold the middle half"
        what = f"{', '.join(units)} over time (s){band}"
        legend = ("flow" if is_one else made.legend) if len(groups) > 1 else None
        return paper.finish(made.title(title), made.caption(what), legend)


def fairness(
    results: Where,
    *,
    by: By = None,
    number: int | None = None,
    window: str | float = _WINDOW_S,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw Jain's index of what flows get, over windows of time (s, or "500ms").

    It is taken of the series `goodput` of flows, over those that are open in the window: 1 if all
    get the same. Of many runs the median, and a band that holds the middle half. ConfigError.
    """
    np = need("numpy", "pystack plot")
    window_s = parse_time_s(window)
    if not window_s > 0:
        raise ConfigError("a window of 0 s holds nothing: use window = '1s'")
    made = choose(results, by, where=where, number=number)
    _series("goodput", made)
    runs, most = _shares(made, window_s)
    with looks():
        paper = Paper.of()
        (axes,) = paper.axes
        for at, (name, found) in enumerate(runs.items()):
            table = np.full((len(found), max(map(len, found))), np.nan)
            for line, values in zip(table, found, strict=True):
                line[: len(values)] = values
            _middle(axes, (np.arange(table.shape[1]) + 0.5) * window_s, table, name, style(at))
        axes.axhline(1 / most, color="#777777", linewidth=1, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            f"1/{most}: one has all",
            (1, 1 / most),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            color="#555555",
        )
        axes.set_ylim(0, 1.03)
        axes.set_xlim(left=0)
        axes.set_xlabel("time (s)")
        axes.set_ylabel("Jain's index")
        band = ": medians, and bands that hold the middle half" if len(made.rows) > 1 else ""
        what = (
            f"Jain's index of goodput (1: all flows get the same) over time (s), in windows of "
            f"{time_text(window_s)}{band}"
        )
        return paper.finish(made.title(title), made.caption(what), made.legend)


def sequence(
    results: Where,
    *,
    number: int | None = None,
    subject: str | None = None,
    begin: str | float | None = None,
    until: str | float | None = None,
    where: Mapping[str, Value] | None = None,
    title: str | None = None,
) -> Picture:
    """Draw the sequence numbers of one flow of one run: sent, sent again, and acknowledged.

    `number`: of the run; default: the first with such a series. `subject`: the flow, or a part of
    its name; default: the one that sent most. `begin`, `until`: times (s, or "2s") to show, since
    in a whole run there is little to see. Raises ConfigError.
    """
    made = choose(results, (), where=where, number=number)
    wanted = [f"{_SEQUENCE}{what}" for what in _PARTS]
    lines: list[Line] = []
    for row in made.rows:
        lines = lines_of(_only(made, row.number), wanted)
        if lines:
            made = _only(made, row.number)
            lines = _within(lines, begin, until)
            break
    if not lines:
        series_names(made)  # says if there are none at all
        raise ConfigError(
            'there are no sequence numbers: ask for them with [series] of = ["sequence"]'
        )
    flow = _flow(lines, subject)
    here = {line.series: line for line in lines if line.subject == flow}
    scale = scale_of(
        "bytes", (float(line.values.max()) for line in here.values() if line.values.size)
    )
    with looks():
        paper = Paper.of()
        (axes,) = paper.axes
        for name, (label, settings) in _PARTS.items():
            line = here.get(f"{_SEQUENCE}{name}")
            if line is None:
                continue
            values = line.values / scale.factor
            # What is acknowledged stays so until the next ACK.
            if name == "acked":
                axes.step(line.times, values, label=label, where="post", **settings)
            else:
                many = len(values) > _MOST_SHAPES
                axes.plot(line.times, values, label=label, rasterized=many, **settings)
        axes.margins(0.02)
        axes.set_xlabel("time (s)")
        axes.set_ylabel(with_unit("sequence_number", scale.unit))
        what = (
            f"sequence numbers ({scale.unit}) of {flow or 'the flow'} over time (s), "
            f"run {made.rows[0].number}"
        )
        return paper.finish(made.title(title), made.caption(what), "")


def _series(of: str | Sequence[str] | None, made: Chosen) -> list[str]:
    """Return the names of the series of a picture."""
    there = series_names(made)
    usual = [name for name in there if not name.startswith(_SEQUENCE)]
    names = usual[:_MOST_SERIES] if of is None else [of] if isinstance(of, str) else list(of)
    for name in names:
        if name not in there:
            raise ConfigError(f"there is no time series {name!r}{suggest(name, there)}")
    if not names:
        raise ConfigError(f"there are only sequence numbers: see `{typed('plot sequence')}`")
    if len(names) > _MOST_SERIES:
        raise ConfigError(
            f"{counted(len(names), 'series')} are more than {_MOST_SERIES}, which have room"
        )
    return names


def _within(
    lines: Sequence[Line], begin: str | float | None, until: str | float | None
) -> list[Line]:
    """Return what lines have in a span of time. Raises ConfigError where that is nothing."""
    if begin is None and until is None:
        return list(lines)
    begin_s = 0.0 if begin is None else parse_time_s(begin)
    until_s = math.inf if until is None else parse_time_s(until)
    found = []
    for line in lines:
        here = (line.times >= begin_s) & (line.times <= until_s)
        if here.any():
            found.append(replace(line, times=line.times[here], values=line.values[here]))
    if not found:
        last = max(float(line.times[-1]) for line in lines if line.times.size)
        span = f"from {time_text(begin_s)}"
        span += "" if until is None else f" to {time_text(until_s)}"
        raise ConfigError(f"nothing was written down {span}: the run ends at {time_text(last)}")
    return found


def _by_subject(lines: Iterable[Line]) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.subject, []).append(line)
    return groups


def _by_group(lines: Sequence[Line], made: Chosen) -> dict[str, list[Line]]:
    numbers = {row.number: name for name, rows in made.groups.items() for row in rows}
    groups: dict[str, list[Line]] = {name: [] for name in made.groups}
    for line in lines:
        groups[numbers[line.row.number]].append(line)
    return {name: members for name, members in groups.items() if members}


def _draw(
    axes: Any,  # noqa: ANN401 - matplotlib's
    label: str,
    members: Sequence[Line],
    scale: Scale,
    look: Style,
    *,
    is_one: bool,
) -> None:
    np = need("numpy", "pystack plot")
    members = [line for line in members if len(line.times)]
    if not members:
        return
    if is_one:
        (line,) = members
        axes.plot(
            line.times,
            line.values / scale.factor,
            label=named(label),
            markevery=_marks(len(line.times), 0.12),
            linewidth=1.3,
            **look._asdict(),
        )
        return
    first = min(line.times[0] for line in members)
    last = max(line.times[-1] for line in members)
    times = np.linspace(first, last, min(_STEPS, max(len(line.times) for line in members)))
    table = np.array([_held(line, times) / scale.factor for line in members])
    _middle(axes, times, table, label, look)


def _middle(axes: Any, times: Any, table: Any, label: str, look: Style) -> None:  # noqa: ANN401
    """Draw the median of lines, and a band that holds the middle half of them."""
    np = need("numpy", "pystack plot")
    there = ~np.isnan(table).all(axis=0)
    times, table = np.asarray(times)[there], table[:, there]
    low, middle, high = np.nanquantile(table, (0.25, 0.5, 0.75), axis=0)
    axes.plot(
        times, middle, label=named(label), markevery=_marks(len(times), 0.08), **look._asdict()
    )
    if len(table) > 1:
        axes.fill_between(times, low, high, color=look.color, alpha=0.15, linewidth=0)


def _marks(count: int, part: float) -> float | int:
    """Return which points of a line have a marker: all of a few, for one alone is no line."""
    return part if count * part > 1 else 1


def _held(line: Line, times: Any) -> Any:  # noqa: ANN401 - of numpy
    """Return the values of a line at other times: each holds until the next; NaN outside."""
    np = need("numpy", "pystack plot")
    at = np.searchsorted(line.times, times + 1e-9, side="right") - 1
    values = np.where(at >= 0, line.values[at.clip(0)], np.nan)
    step = (line.times[-1] - line.times[0]) / max(1, len(line.times) - 1)
    return np.where(times <= line.times[-1] + step, values, np.nan)


def _shares(made: Chosen, window_s: float) -> tuple[dict[str, list[Any]], int]:
    """Return Jain's index of each run, by lines, and how many flows a run has at most."""
    runs: dict[str, list[Any]] = {}
    most = 1
    for name, rows in made.groups.items():
        for row in rows:
            flows = [f for f in lines_of(_only(made, row.number), ["goodput"]) if len(f.times)]
            most = max(most, len(flows))
            if flows:
                runs.setdefault(name, []).append(_jain(flows, window_s))
    if most < 2:
        raise ConfigError("each of these runs has one flow: fairness is between several")
    return runs, most


def _jain(flows: Sequence[Line], window_s: float) -> Any:  # noqa: ANN401 - of numpy
    """Return Jain's index in each window; NaN where nothing was got."""
    np = need("numpy", "pystack plot")
    last = max(float(flow.times[-1]) for flow in flows)
    count = max(1, round(np.ceil(last / window_s - 1e-9)))
    found = np.full(count, np.nan)
    # A value stands at the end of the interval that it was taken over.
    places = [np.clip(np.ceil(flow.times / window_s - 1e-9) - 1, 0, count - 1) for flow in flows]
    for window in range(count):
        shares = [
            float(flow.values[place == window].mean())
            for flow, place in zip(flows, places, strict=True)
            if (place == window).any()
        ]
        index = jain(shares)
        if index is not None:
            found[window] = index
    return found


def _only(made: Chosen, number: int) -> Chosen:
    rows = tuple(row for row in made.rows if row.number == number)
    return Chosen(made.results, made.sheet, rows, 0, made.by)


def _flow(lines: Sequence[Line], subject: str | None) -> str:
    """Return the flow that is meant."""
    flows = {line.subject: 0 for line in lines}
    for line in lines:
        flows[line.subject] += len(line.times)
    if subject is None:
        return max(flows, key=flows.__getitem__)
    if subject in flows:
        return subject
    meant = [flow for flow in flows if subject in flow]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise ConfigError(f"{subject!r} may be {' or '.join(meant)}")
    raise ConfigError(f"this run has no flow {subject!r}{suggest(subject, flows)}")
