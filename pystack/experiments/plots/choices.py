"""What a picture is of: which runs, which lines, which measurement, if nobody says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import counted
from pystack.experiments.model import Value
from pystack.experiments.plots.look import MOST_LINES
from pystack.experiments.quantities import axis_of, seeds_text, value_text
from pystack.experiments.results.columns import bare, find, unit_of
from pystack.experiments.results.journal import Row
from pystack.experiments.results.reading import Results, Sheet, chosen, digest_of
from pystack.experiments.results.series import no_series, read_series, series_file
from pystack.experiments.results.summary import grouped, measured, numeric, value_of, varying
from pystack.experiments.statistics import CONFIDENCE, Estimate

Where = Results | str | PathLike[str]
By = str | Sequence[str] | None

_FEW: Final = 7  # values of a parameter that are lines, if nobody says so
# Parameters and constants in a caption: they say which run it is, and are some four lines of it
_MOST_FIXED: Final = 24
_FIXED_LETTERS: Final = 40  # of each of them
_DELAYS: Final = ("queue_delay", "rtt", "delay", "completion_time")
_RATES: Final = ("goodput", "throughput", "rate", "utilization")
_UPPER: Final = {"rtt": "RTT", "srtt": "SRTT", "cdf": "CDF", "rto": "RTO"}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The runs of a picture, and the parameters that its lines are by."""

    results: Results
    sheet: Sheet
    rows: tuple[Row, ...]  # that have ended well
    left_out: int  # how many have not
    by: tuple[str, ...]

    @property
    def groups(self) -> dict[str, list[Row]]:
        """Runs by what their line is called; in the order of numbers, or of the experiment."""
        groups = grouped(self.rows, self.by)
        # In the order of the experiment, also where the first runs of it have failed.
        return {
            label(values): groups[values] for values in in_order(groups, self.by, self.sheet.rows)
        }

    @property
    def legend(self) -> str | None:
        """What the lines are by; None: there is one line."""
        return ", ".join(with_unit(name, unit_of(name)) for name in self.by) if self.by else None

    def varying(self) -> tuple[str, ...]:
        """Return the parameters with several values among these runs."""
        return varying(self.sheet, self.rows)

    def title(self, said: str | None) -> str:
        """Return what was said, or (None) what the experiment is called."""
        return self.sheet.description.title if said is None else said

    def caption(self, what: str, *, over: Sequence[str] = ()) -> str:
        """Return a caption: what is shown with its units, and of which runs it is.

        `over`: parameters beside `by` that are told apart in the picture.
        """
        description = self.sheet.description
        seeds = tuple(dict.fromkeys(row.seed for row in self.rows))
        pooled = [name for name in self.varying() if name not in (*self.by, *over)]
        fixed = [
            _with_value(name, self.rows[0].parameters[name])
            for name in description.parameters
            if name not in self.varying()
        ]
        texts = [what, f"{counted(len(self.rows), 'run')}, {seeds_text(sorted(seeds))}"]
        if pooled:
            texts.append(f"over all {', '.join(map(words, pooled))}")
        constants = description.constants.items()
        fixed += [_with_value(name, value) for name, value in constants]
        if fixed:
            texts.append(_fixed(fixed))
        if self.left_out:
            texts.append(f"{counted(self.left_out, 'run')} failed and left out")
        digest = digest_of(self.sheet.rows)[:12]
        texts.append(f"{description.name}, pystack {description.version}, digest {digest}")
        return f"{what[:1].upper()}{'; '.join(texts)[1:]}."


def choose(
    results: Where,
    by: By,
    *,
    where: Mapping[str, Value] | None = None,
    number: int | None = None,
    lines: bool = True,
) -> Chosen:
    """Choose the runs of a picture, and what its lines are by. Raises ConfigError.

    `lines`: there is a line for each, which are to be told apart.
    """
    found = results if isinstance(results, Results) else Results(results)
    sheet = found.sheet
    if not sheet.rows:
        raise ConfigError(f"{found.path} has no results yet: no run has ended")
    rows = chosen(sheet, number, where)
    well = tuple(row for row in rows if row.ended == "ok")
    if not well:
        first = rows[0]
        raise ConfigError(
            f"there is nothing to show: {'this run' if len(rows) == 1 else 'all these runs'} "
            f"failed ({first.ended}: {first.error})"
        )
    if by is not None:
        names = _named(by, sheet)
    else:  # the lines of one run are its flows
        names = _default_by(well, sheet) if number is None else ()
    made = Chosen(found, sheet, well, len(rows) - len(well), names)
    if lines and (count := len(made.groups)) > MOST_LINES:
        raise ConfigError(
            f"by {', '.join(names)} there are {count} lines, and {MOST_LINES} can be told apart: "
            "use fewer with `by`, or some of the runs with `where`"
        )
    return made


def one_measure(of: str | None, made: Chosen) -> str:
    """Return the measurement that is meant; by default what is compared, or the first one."""
    compare = made.sheet.description.compare
    if of is not None:
        return _has_values(measured(of, made.sheet), made)
    if compare is not None:
        return _has_values(measured(compare.measure, made.sheet), made)
    there = with_values(made)
    if not there:
        raise ConfigError("these runs have measured nothing that is a number")
    return there[0]


def delay_and_rate(x: str | None, y: str | None, made: Chosen) -> tuple[str, str]:
    """Return a measurement of delay and one of throughput, if they are not said."""
    return (
        _meant(x, _DELAYS, made, "x", "a delay"),
        _meant(y, _RATES, made, "y", "a throughput"),
    )


def with_values(made: Chosen) -> list[str]:
    """Return the measurements that are numbers and that some run has."""
    return [
        name
        for name in numeric(made.sheet)
        if any(row.measures.get(name) is not None for row in made.rows)
    ]


def ranks_of(values: Sequence[Value]) -> Mapping[Value, float]:
    """Return what to sort values of a parameter by: as numbers, or as they come."""
    axis = axis_of(values)
    if axis is not None:
        return axis.numbers
    return {value: float(at) for at, value in enumerate(dict.fromkeys(values))}


def in_order(
    groups: Iterable[tuple[Value, ...]], names: Sequence[str], rows: Sequence[Row]
) -> list[tuple[Value, ...]]:
    """Return the values of parameters that groups have, in the order of those of all rows."""
    ranks = [ranks_of([value_of(row, name) for row in rows]) for name in names]
    return sorted(
        groups,
        key=lambda values: [rank[value] for rank, value in zip(ranks, values, strict=True)],
    )


def intervals(estimates: Iterable[Estimate], what: str) -> str:
    """Return what is drawn around medians, for a caption: "bars are 95 % intervals"; "": none."""
    every = list(estimates)
    if all(estimate.low is None for estimate in every):
        return ""
    if any(estimate.is_range for estimate in every):
        return f"{what} are the range of the runs"
    return f"{what} are {CONFIDENCE:.0%} intervals".replace("%", " %")


def label(values: Sequence[Value]) -> str:
    """Return what a line is called: "bbr, 10ms"."""
    return ", ".join(map(value_text, values))


def words(name: str) -> str:
    """Return a name as people write it: "RTT p95" of rtt_p95_s."""
    return " ".join(_UPPER.get(word, word) for word in bare(name).split("_"))


def with_unit(name: str, unit: str) -> str:
    """Return what an axis is called."""
    return f"{words(name)} ({unit})" if unit else words(name)


@dataclass(frozen=True, slots=True)
class Line:
    """One time series of one run."""

    row: Row
    series: str
    subject: str
    unit: str
    times: Any  # of numpy
    values: Any


def lines_of(made: Chosen, of: Sequence[str] | None = None) -> list[Line]:
    """Read the time series of runs. Raises ConfigError where there are none."""
    found: list[Line] = []
    for row in made.rows:
        file = series_file(made.results.path, row.digest)
        if file.exists():
            found += _lines(read_series(file), row, of)
    return found


def series_names(made: Chosen) -> list[str]:
    """Return which time series there are. Raises ConfigError where there are none."""
    names: dict[str, None] = {}
    for row in made.rows:
        file = series_file(made.results.path, row.digest)
        if file.exists():
            names.update(dict.fromkeys(read_series(file)["series"].unique().to_pylist()))
    if not names:
        raise no_series(made.results.path, len(made.rows))
    return list(names)


def _with_value(name: str, value: Value) -> str:
    """Return "rate 10mbit" of a text, and "outage 6 s" of outage_s, whose unit is in its name."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    unit = f" {unit_of(name)}".rstrip() if is_number else ""
    return f"{words(name)} {value_text(value)}{unit}"


def _fixed(texts: Sequence[str]) -> str:
    """Return what all runs of a picture have in common, so that it can be told which they are."""
    shown = [
        text if len(text) <= _FIXED_LETTERS else f"{text[: _FIXED_LETTERS - 2]}.."
        for text in texts[:_MOST_FIXED]
    ]
    if left := len(texts) - len(shown):
        shown.append(f"and {left} more")
    return ", ".join(shown)


def _lines(table: Any, row: Row, of: Sequence[str] | None) -> list[Line]:  # noqa: ANN401
    names = table["series"].to_numpy()
    subjects, units = table["subject"].to_numpy(), table["unit"].to_pylist()
    times, values = table["time_s"].to_numpy(), table["value"].to_numpy()
    found = []
    for name in dict.fromkeys(names):
        if of is not None and name not in of:
            continue
        for subject in dict.fromkeys(subjects[names == name]):
            here = (names == name) & (subjects == subject)
            unit = units[here.argmax()]
            found.append(Line(row, name, subject, unit, times[here], values[here]))
    return found


def _named(by: str | Sequence[str], sheet: Sheet) -> tuple[str, ...]:
    names = [by] if isinstance(by, str) else list(by)
    known = (*sheet.description.parameters, "seed")
    return tuple(find(name, known, "parameter") for name in names)


def _default_by(rows: Sequence[Row], sheet: Sheet) -> tuple[str, ...]:
    """Return what is compared, else a parameter of words, else the one with the fewest values."""
    names = varying(sheet, rows)
    compare = sheet.description.compare
    if compare is not None and compare.between in names:
        return (compare.between,)
    counts = {name: len({row.parameters[name] for row in rows}) for name in names}
    few = [name for name in names if counts[name] <= _FEW]
    of_words = [name for name in few if axis_of([row.parameters[name] for row in rows]) is None]
    if of_words:
        return (of_words[0],)
    return (min(few, key=counts.__getitem__),) if few else ()


def _has_values(name: str, made: Chosen) -> str:
    if name in with_values(made):
        return name
    raise ConfigError(f"none of these runs has a value of {name}")


def _meant(given: str | None, usual: Sequence[str], made: Chosen, option: str, what: str) -> str:
    if given is not None:
        return _has_values(measured(given, made.sheet), made)
    there = with_values(made)
    for word in usual:
        if found := next((name for name in there if name.startswith(word)), None):
            return found
    for word in usual:
        if found := next((name for name in there if word in name), None):
            return found
    raise ConfigError(
        f"no measurement looks like {what}: say which one is {option} "
        f"(there are: {', '.join(there) or 'none'})"
    )
