"""The command `pystack experiment show`: what came out, as a table of medians.

In a terminal the tables are as wide as it is: measurements that have no room stand below, with the
same parameters before them.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from pystack.cli.terminal import has_colours
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import counted
from pystack.core.texts import harmless
from pystack.experiments.quantities import (
    Scale,
    number_text,
    scale_of,
    seeds_text,
    value_text,
)
from pystack.experiments.results.columns import bare, unit_of
from pystack.experiments.results.reading import Results, digest_of
from pystack.experiments.statistics import CONFIDENCE

if TYPE_CHECKING:
    from pystack.experiments.results.journal import Row
    from pystack.experiments.results.summary import Compared, Summary
    from pystack.experiments.statistics import Estimate

_MOST_FAILED: Final = 20
_SPACE: Final = 2  # between columns


class _Table(NamedTuple):
    """A table: its first columns say what a row is of."""

    title: str
    heads: Sequence[str]
    first: int  # how many columns stand before each part
    rows: Sequence[Sequence[str]]


def show_command(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Results: NAME.results.")],
    *,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="A row for each value of these; default: what varies."
        ),
    ] = None,
    measure: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="These measurements, in this order; default: all."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(metavar="0..1", help="Of the intervals.")
    ] = CONFIDENCE,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the table as CSV.")] = False,
) -> None:
    """Show medians over the seeds, with bootstrap confidence intervals, and what has failed.

    What the experiment compares follows: pairs of runs with the same seeds.
    """
    if as_json and as_csv:
        raise ConfigError("--json and --csv: use only one of them")
    need("numpy", "pystack experiment show")
    from pystack.experiments.results.summary import summarize

    found = summarize(Results(folder).sheet, names_in(by), names_in(measure), confidence=confidence)
    if as_json:
        print(json.dumps(found.as_json(), indent=2))
    elif as_csv:
        _write_csv(found)
    else:
        _show(found, confidence)


def names_in(text: str | None) -> list[str] | None:
    """Return the names of an option, with commas between them; None: it was not given."""
    if text is None:
        return None
    return [name.strip() for name in text.split(",") if name.strip()]


def _show(found: Summary, confidence: float) -> None:
    need("rich", "pystack experiment show")
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, no_color=not has_colours(sys.stdout))
    width = console.width if sys.stdout.isatty() else None  # else lines of any length
    for line in _heads(found):
        console.print(harmless(line), markup=False)
    for table in (_medians(found), *_pairs(found.compared)):
        for part in _parts(table, width):
            console.print()
            if width is None:
                console.width = sum(_widths(part)) + 1
            _print(part, console.print)
    if note := _note(found, confidence):
        console.print()
        for line in note:
            console.print(harmless(line), markup=False)
    for line in _failures(found.failed):
        console.print(harmless(line), markup=False)


def _heads(found: Summary) -> list[str]:
    description, ended = found.sheet.description, len(found.sheet.rows)
    runs = counted(ended, "run")
    if ended < description.runs:
        runs = f"{ended} of {counted(description.runs, 'run')} so far"
    title = f"{description.name}: {description.title}" if description.title else description.name
    digest = digest_of(found.sheet.rows)[:12]
    seeds = seeds_text(description.seeds)
    return [title, f"{runs}, {seeds}, pystack {description.version}, digest {digest}"]


def _medians(found: Summary) -> _Table:
    scales = {
        name: scale_of(
            unit_of(name), (e.value for g in found.groups if (e := g.estimates[name]) is not None)
        )
        for name in found.measures
    }
    has_failed = bool(found.failed)
    heads = [*found.by, "runs", *(["failed"] if has_failed else [])]
    rows = []
    for group in found.groups:
        row = [*map(value_text, group.values), str(group.runs)]
        row += [str(group.failed)] if has_failed else []
        row += [_cell(group.estimates[name], scale) for name, scale in scales.items()]
        rows.append(row)
    heads += [_head(name, scale) for name, scale in scales.items()]
    return _Table("", heads, len(found.by) + 1 + has_failed, rows)


def _pairs(compared: Compared | None) -> list[_Table]:
    if compared is None:
        return []
    differences = [one.paired.difference.value for one in compared.against if one.paired]
    scale = scale_of(unit_of(compared.measure), differences)
    rows = []
    for one in compared.against:
        row = [*map(value_text, one.values), value_text(one.value)]
        if one.paired is None:
            rows.append([*row, "0", "-", "-"])
            continue
        count = one.paired.difference.count
        ratio = _cell(one.paired.ratio, Scale())
        rows.append([*row, str(count), ratio, _cell(one.paired.difference, scale)])
    heads = [*compared.by, compared.between, "pairs", "ratio", _head("difference", scale)]
    title = (
        f"{bare(compared.measure)} against {compared.between} = {value_text(compared.baseline)}, "
        "run by run with the same seed:"
    )
    return [_Table(title, heads, len(compared.by) + 2, rows)]


def _head(name: str, scale: Scale) -> str:
    return f"{bare(name)}\n{scale.unit}" if scale.unit else bare(name)


def _cell(estimate: Estimate | None, scale: Scale) -> str:
    if estimate is None:
        return "-"
    text = number_text(scale.of(estimate.value))
    if estimate.low is None or estimate.high is None:
        return text
    low, high = (number_text(scale.of(end)) for end in (estimate.low, estimate.high))
    return f"{text} [{low} .. {high}]" if estimate.is_range else f"{text} [{low}, {high}]"


def _parts(table: _Table, width: int | None) -> Iterable[_Table]:
    """Yield a table in parts that are as wide as the terminal; None: it takes any."""
    widths = _widths(table)
    before = sum(widths[: table.first])
    at = table.first
    title = table.title
    while True:
        end, wide = at, before
        while end < len(widths) and (end == at or width is None or wide + widths[end] <= width):
            wide += widths[end]
            end += 1
        chosen = [*range(table.first), *range(at, end)]
        heads = [table.heads[column] for column in chosen]
        yield _Table(
            title, heads, table.first, [[row[column] for column in chosen] for row in table.rows]
        )
        at, title = end, ""
        if at >= len(widths):
            return


def _widths(table: _Table) -> list[int]:
    return [
        max(max(map(len, head.split("\n"))), *(len(row[at]) for row in table.rows), 0) + _SPACE
        for at, head in enumerate(table.heads)
    ]


def _print(table: _Table, out: Callable[[Any], None]) -> None:
    from rich.table import Table
    from rich.text import Text

    if table.title:
        out(Text(harmless(table.title)))
    made = Table(box=None, pad_edge=False, padding=(0, _SPACE, 0, 0))
    for at, head in enumerate(table.heads):
        is_word = any(not _is_number(row[at]) for row in table.rows) and at < table.first
        made.add_column(
            Text(head, "bold"),
            justify="left" if is_word else "right",
            no_wrap=True,
            vertical="bottom",
        )
    for row in table.rows:
        made.add_row(*(Text(harmless(cell)) for cell in row))
    out(made)


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or text[:1] == "-"


def _note(found: Summary, confidence: float) -> list[str]:
    every = [e for group in found.groups for e in group.estimates.values() if e is not None]
    lines = []
    if any(e.low is not None and not e.is_range for e in every):
        lines.append(f"[a, b]: {confidence:.0%} confidence, by bootstrap")
    ranges = {e.count: e.confidence for e in every if e.is_range and e.confidence is not None}
    if ranges:
        least = min(ranges)
        lines.append(
            f"[a .. b]: the range of the runs; of {least} it holds the median in "
            f"{ranges[least]:.0%} of cases, and more seeds would say more"
        )
    if alike := _alike(found):
        lines.append(alike)
    if found.pooled:
        lines.append(f"each row is over all {', '.join(found.pooled)}")
    if found.note:
        lines.append(found.note)
    return lines


def _alike(found: Summary) -> str:
    """Return how many combinations came to the same with each seed; "": none."""
    places: dict[tuple[object, ...], list[object]] = {}
    for row in found.sheet.rows:
        if row.ended == "ok":
            place = tuple(row.parameters[name] for name in found.sheet.description.parameters)
            places.setdefault(place, []).append(tuple(row.measures.items()))
    several = [came_to for came_to in places.values() if len(came_to) > 1]
    alike = sum(len(set(came_to)) == 1 for came_to in several)
    if not alike:
        return ""
    return (
        f"all seeds came to the same at {alike} of {counted(len(several), 'combination')}: nothing "
        "there is left to chance, or it is not by the seed of the run"
    )


def _failures(failed: Sequence[Row]) -> list[str]:
    if not failed:
        return []
    lines = ["", f"{counted(len(failed), 'run')} failed:"]
    lines += [f"  {row.ended}: {row.error}" for row in failed[:_MOST_FAILED]]
    if len(failed) > _MOST_FAILED:
        lines.append(f"  and {len(failed) - _MOST_FAILED} more: --json has all of them")
    return lines


def _write_csv(found: Summary) -> None:
    out = csv.writer(sys.stdout, lineterminator="\n")
    parts = ("", "_low", "_high")
    columns = [f"{name}{part}" for name in found.measures for part in parts]
    out.writerow([*found.by, "runs", "failed", *columns])
    for group in found.groups:
        cells: list[object] = [*group.values, group.runs, group.failed]
        for name in found.measures:
            estimate = group.estimates[name]
            if estimate is None:
                cells += ["", "", ""]
            else:
                cells += [estimate.value, estimate.low, estimate.high]
        out.writerow(cells)
