"""Results as a table for people: medians with intervals by the parameters that vary, and pairs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.experiments.model import Value
from pystack.experiments.results.columns import find, unit_of
from pystack.experiments.results.journal import Row
from pystack.experiments.results.reading import Sheet, digest_of
from pystack.experiments.statistics import CONFIDENCE, Estimate, Paired, median, paired


@dataclass(frozen=True, slots=True)
class Group:
    """Runs with the same values of the parameters that the table is by."""

    values: tuple[Value, ...]
    runs: int  # that have ended well
    failed: int
    estimates: Mapping[str, Estimate | None]  # None: no run has it


@dataclass(frozen=True, slots=True)
class Comparison:
    """One value of a parameter against the baseline, at the same seeds and other parameters."""

    values: tuple[Value, ...]  # of the other parameters that the table is by
    value: Value
    paired: Paired | None  # None: no pair has ended well


@dataclass(frozen=True, slots=True)
class Compared:
    """All comparisons of a measurement."""

    measure: str
    between: str
    baseline: Value
    by: tuple[str, ...]
    against: tuple[Comparison, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What there is to say about results."""

    sheet: Sheet
    by: tuple[str, ...]
    measures: tuple[str, ...]
    groups: tuple[Group, ...]
    failed: tuple[Row, ...]
    compared: Compared | None  # None: nothing was to be, or could be
    note: str  # why what was to be compared is not; "" if it is
    pooled: tuple[str, ...]  # parameters that vary within a group

    def as_json(self) -> dict[str, object]:
        """Return it as JSON."""
        description, rows = self.sheet.description, self.sheet.rows
        compared = self.compared
        return {
            "name": description.name,
            "title": description.title,
            "version": description.version,
            "identity": description.identity,
            "digest": digest_of(rows),
            "seeds": list(description.seeds),
            "runs": description.runs,
            "ended": len(rows),
            "by": list(self.by),
            "over": list(self.pooled),
            "groups": [
                {
                    "parameters": dict(zip(self.by, group.values, strict=True)),
                    "runs": group.runs,
                    "failed": group.failed,
                    "measures": {
                        name: _estimate(estimate, unit_of(name))
                        for name, estimate in group.estimates.items()
                    },
                }
                for group in self.groups
            ],
            "compare": None if compared is None else _compared(compared),
            "failed": [
                {
                    "number": row.number,
                    "parameters": dict(row.parameters),
                    "seed": row.seed,
                    "ended": row.ended,
                    "error": row.error,
                }
                for row in self.failed
            ],
        }


def varying(sheet: Sheet, rows: Sequence[Row] | None = None) -> tuple[str, ...]:
    """Return the parameters with several values in runs (None: all), in the experiment's order."""
    every = sheet.rows if rows is None else rows
    return tuple(
        name
        for name in sheet.description.parameters
        if len({row.parameters[name] for row in every}) > 1
    )


def numeric(sheet: Sheet) -> tuple[str, ...]:
    """Return the measurements that are numbers, or that no run has."""
    return tuple(
        name
        for name in sheet.measures
        if not any(isinstance(row.measures.get(name), str) for row in sheet.rows)
    )


def number_of(row: Row, measure: str) -> float | None:
    """Return a measurement as a number; None: the run failed, or does not have it."""
    value = row.measures.get(measure)
    return None if value is None or isinstance(value, str) else float(value)


def grouped(rows: Iterable[Row], by: Sequence[str]) -> dict[tuple[Value, ...], list[Row]]:
    """Return runs by their values of parameters, in the order in which these first appear."""
    groups: dict[tuple[Value, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(value_of(row, name) for name in by), []).append(row)
    return groups


def value_of(row: Row, name: str) -> Value:
    """Return the value of a parameter, or the seed."""
    return row.seed if name == "seed" else row.parameters[name]


def summarize(
    sheet: Sheet,
    by: Sequence[str] | None = None,
    measures: Sequence[str] | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Summary:
    """Sum results up, by parameters (default: all that vary). Raises ConfigError."""
    if not sheet.rows:
        raise ConfigError("there are no results yet: no run has ended")
    known = (*sheet.description.parameters, "seed")
    names = varying(sheet) if by is None else tuple(find(name, known, "parameter") for name in by)
    if measures is None:
        columns = numeric(sheet)
    else:
        columns = tuple(dict.fromkeys(measured(name, sheet) for name in measures))
    compared, note = None, _left_out(sheet)
    try:
        compared = None if note else _compare(sheet, names, confidence)
    except ConfigError as error:  # the rest is no less true for it
        note = f"nothing is compared: {error}"
    return Summary(
        sheet=sheet,
        by=names,
        measures=columns,
        groups=tuple(
            _group(values, rows, columns, confidence)
            for values, rows in grouped(sheet.rows, names).items()
        ),
        failed=tuple(row for row in sheet.rows if row.ended != "ok"),
        compared=compared,
        note=note,
        pooled=tuple(name for name in varying(sheet) if name not in names),
    )


def measured(name: str, sheet: Sheet) -> str:
    """Return the measurement that is meant, which is to be a number. Raises ConfigError."""
    found = find(name, sheet.measures, "measurement")
    if found not in numeric(sheet):
        raise ConfigError(f"{found} is text in this experiment: it has no median{_others(sheet)}")
    return found


def _others(sheet: Sheet) -> str:
    names = numeric(sheet)
    return f"; numbers are {', '.join(names)}" if names else ""


def _group(
    values: tuple[Value, ...], rows: Sequence[Row], measures: Sequence[str], confidence: float
) -> Group:
    well = [row for row in rows if row.ended == "ok"]
    return Group(
        values=values,
        runs=len(well),
        failed=len(rows) - len(well),
        estimates={
            name: median((number_of(row, name) for row in well), confidence=confidence)
            for name in measures
        },
    )


def _left_out(sheet: Sheet) -> str:
    """Return why nothing is compared, where what was run is a part without baseline; "": it is."""
    wanted = sheet.description.compare
    if wanted is None or not wanted.is_left_out:
        return ""
    # A sweep that has gone on from a whole one has its runs of the baseline all the same.
    if any(row.parameters.get(wanted.between) == wanted.baseline for row in sheet.rows):
        return ""
    return wanted.note


def _compare(sheet: Sheet, by: Sequence[str], confidence: float) -> Compared | None:
    wanted = sheet.description.compare
    if wanted is None:
        return None
    parameters = sheet.description.parameters
    between = find(wanted.between, parameters, "parameter")
    measure = measured(wanted.measure, sheet)
    rest = tuple(name for name in by if name != between)
    others = tuple(name for name in parameters if name != between)
    against = []
    for values, rows in grouped(sheet.rows, rest).items():
        runs: dict[Value, dict[Hashable, float | None]] = {}
        for row in rows:
            key = (row.seed, *(row.parameters[name] for name in others))
            runs.setdefault(row.parameters[between], {})[key] = number_of(row, measure)
        against += [
            Comparison(
                values, value, paired(found, runs.get(wanted.baseline, {}), confidence=confidence)
            )
            for value, found in runs.items()
            if value != wanted.baseline
        ]
    every = {row.parameters[between] for row in sheet.rows}
    if wanted.baseline not in every and len(sheet.rows) == sheet.description.runs:
        raise ConfigError(
            f"no run has {between} = {wanted.baseline!r}, the baseline"
            f"{suggest(wanted.baseline, map(str, every))}"
        )
    return Compared(measure, between, wanted.baseline, rest, tuple(against))


def _compared(compared: Compared) -> dict[str, object]:
    return {
        "measure": compared.measure,
        "between": compared.between,
        "baseline": compared.baseline,
        "against": [
            {
                "parameters": dict(zip(compared.by, one.values, strict=True)),
                compared.between: one.value,
                "ratio": None if one.paired is None else _estimate(one.paired.ratio, ""),
                "difference": None
                if one.paired is None
                else _estimate(one.paired.difference, unit_of(compared.measure)),
                "left_out": None if one.paired is None else one.paired.left_out,
            }
            for one in compared.against
        ],
    }


def _estimate(estimate: Estimate | None, unit: str) -> dict[str, object] | None:
    if estimate is None:
        return None
    # What floats cannot hold is missing, for JSON has no word for it.
    found = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(estimate).items()
    }
    return {"median": found.pop("value"), **found, "unit": unit}
