"""Folders of results, one or several, as rows and as frames of pandas or polars.

A sweep that is not finished is read from its journal, whenever that is newer than rows.parquet.
What different versions of pystack or different experiments came to is not mixed unless told so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pystack.core.called import typed
from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import counted, suggest
from pystack.experiments.model import Value
from pystack.experiments.results.columns import find, texts_of
from pystack.experiments.results.description import ASKED, Description, is_there, read_description
from pystack.experiments.results.journal import JOURNAL, Row, read_rows
from pystack.experiments.results.series import no_series, read_series, series_file
from pystack.experiments.results.table import (
    ROWS,
    measured_in,
    measures_of,
    read_table,
    rows_in,
    table_of,
)

Where = str | PathLike[str]

As = Literal["pandas", "polars", "arrow"]


@dataclass(frozen=True, slots=True)
class Sheet:
    """What was asked for, the runs that have ended, in order, and the names of measurements."""

    description: Description
    rows: tuple[Row, ...]
    measures: tuple[str, ...]


class Results:
    """A folder of results. Whatever is asked is read again: a sweep may still be running."""

    def __init__(self, path: Where) -> None:
        """Find results. `path`: their folder, or rows.parquet alone. Raises ConfigError."""
        self.path = Path(path)
        if not is_there(self.path):
            raise ConfigError(f"there are no results at {self.path}: nothing has that name")
        if self.path.is_dir() and not any(is_there(self.path / name) for name in (ASKED, ROWS)):
            raise ConfigError(
                f"{self.path} is no folder of results: it has no {ASKED}, which "
                f"`{typed('experiment run')}` writes"
            )

    def __repr__(self) -> str:
        return f"Results({str(self.path)!r})"

    @property
    def description(self) -> Description:
        """What they are the results of."""
        if self.path.is_dir() and is_there(self.path / ASKED):
            return read_description(self.path)
        return read_table(self._table_file)[0]

    @property
    def sheet(self) -> Sheet:
        """All runs that have ended."""
        if self._is_journal_newer:
            description = read_description(self.path)
            rows = read_rows(self.path)
            return Sheet(description, tuple(rows), measures_of(description, rows))
        description, table = self._table()
        return Sheet(description, tuple(rows_in(description, table)), measured_in(table))

    @property
    def rows(self) -> tuple[Row, ...]:
        """All runs that have ended, in the order of the experiment."""
        return self.sheet.rows

    @property
    def failed(self) -> tuple[Row, ...]:
        """Those runs that did not end well; `error` of each is a sentence."""
        return tuple(row for row in self.rows if row.ended != "ok")

    @property
    def digest(self) -> str:
        """SHA-256 over all runs: the same wherever, and in whatever order, they ran."""
        return digest_of(self.rows)

    def frame(self, as_: As = "pandas") -> Any:  # noqa: ANN401 - pandas' or polars' frame
        """Return a row for each run that has ended, typed; missing measurements are missing."""
        return frame_of(self._arrow(), as_)

    def series(
        self,
        of: str | Iterable[str] | None = None,
        *,
        number: int | Iterable[int] | None = None,
        where: Mapping[str, Value] | None = None,
        as_: As = "pandas",
    ) -> Any:  # noqa: ANN401 - pandas' or polars' frame
        """Return time series, a row for each value, with the parameters and the seed of its run.

        `of`: names of series; `number`: of runs; `where`: values of parameters. Default: all.
        """
        return load_series(self.path, of, number=number, where=where, as_=as_)

    def _arrow(self) -> Any:  # noqa: ANN401 - of pyarrow
        if self._is_journal_newer:
            return table_of(read_description(self.path), read_rows(self.path))
        return self._table()[1]

    def _table(self) -> tuple[Description, Any]:
        description, table = read_table(self._table_file)
        if self.path.is_dir() and is_there(self.path / ASKED):
            asked = read_description(self.path)
            if asked.identity != description.identity:
                raise ConfigError(
                    f"{self._table_file} belongs to another experiment than {ASKED} beside it"
                )
        return description, table

    @property
    def _table_file(self) -> Path:
        return self.path / ROWS if self.path.is_dir() else self.path

    @property
    def _is_journal_newer(self) -> bool:
        journal, table = self.path / JOURNAL, self.path / ROWS
        if not is_there(journal):
            if self.path.is_dir() and not is_there(table):
                raise ConfigError(f"{self.path} has no results yet: no run has ended")
            return False
        if not is_there(table):
            return True
        with contextlib.suppress(FileNotFoundError):  # a sweep has begun to grow meanwhile
            return journal.stat().st_mtime_ns >= table.stat().st_mtime_ns
        return True


def load(
    *paths: Where | Iterable[Where],
    as_: As = "pandas",
    mix: bool = False,
) -> Any:  # noqa: ANN401 - pandas' or polars' frame
    """Return the runs of one or several folders of results as a frame.

    Several must be of one experiment and one version of pystack; the same run in two of them is
    there once. With `mix` they may be of different ones, and the columns `results` (the folder),
    `version` and `identity` say what a row is of. Raises ConfigError.
    """
    every = [Results(path) for path in _paths(paths)]
    if len(every) == 1 and not mix:
        return every[0].frame(as_)
    if mix:
        return frame_of(_mixed(every), as_)
    _check_same(every)
    rows: dict[int, Row] = {}
    for results in every:
        for row in results.rows:
            if rows.setdefault(row.number, row).digest != row.digest:
                raise ConfigError(
                    f"run {row.number} ({row.point}) came to something else in {results.path}: "
                    "load(..., mix=True) has both"
                )
    ordered = sorted(rows.values(), key=lambda row: row.number)
    return frame_of(table_of(every[0].description, ordered), as_)


def load_series(
    path: Where,
    of: str | Iterable[str] | None = None,
    *,
    number: int | Iterable[int] | None = None,
    where: Mapping[str, Value] | None = None,
    as_: As = "pandas",
) -> Any:  # noqa: ANN401 - pandas' or polars' frame
    """Return time series of runs in a folder: see `Results.series`. Raises ConfigError."""
    results = Results(path)
    sheet = results.sheet
    return frame_of(series_table(results.path, chosen(sheet, number, where), of, sheet), as_)


def chosen(
    sheet: Sheet, number: int | Iterable[int] | None, where: Mapping[str, Value] | None
) -> list[Row]:
    """Return the runs that are meant. Raises ConfigError where there are none."""
    rows = list(sheet.rows)
    if number is not None:
        wanted = {number} if isinstance(number, int) else set(number)
        missing = wanted - {row.number for row in rows}
        if missing:
            raise ConfigError(
                f"there is no run {min(missing)}: "
                + (f"{counted(len(rows), 'run')} up to {rows[-1].number}" if rows else "none ended")
            )
        rows = [row for row in rows if row.number in wanted]
    names = (*sheet.description.parameters, "seed", "repetition")
    for name, value in (where or {}).items():
        found = find(name, names, "parameter")
        values = list(dict.fromkeys(_of(row, found) for row in rows))
        rows = [row for row in rows if _is(_of(row, found), value)]
        if not rows:
            raise ConfigError(f"no run has {found} = {value!r}{suggest(value, map(str, values))}")
    return rows


def series_table(
    folder: Path, rows: Sequence[Row], of: str | Iterable[str] | None, sheet: Sheet
) -> Any:  # noqa: ANN401 - of pyarrow
    """Return the series of runs as one table of pyarrow. ConfigError where there are none."""
    pa, compute = need("pyarrow", "time series"), need("pyarrow.compute", "time series")
    wanted = None if of is None else [of] if isinstance(of, str) else list(of)
    tables, there = [], set()
    for row in rows:
        file = series_file(folder, row.digest)
        if not is_there(file):
            continue
        table = read_series(file)
        names = compute.unique(table["series"]).to_pylist()
        there.update(names)
        if wanted is not None:
            table = table.filter(compute.is_in(table["series"], pa.array(wanted)))
        tables.append(_with_point(table, row, sheet.description.parameters))
    if not there:
        raise no_series(folder, len(rows))
    for name in wanted or ():
        if name not in there:
            raise ConfigError(f"there is no time series {name!r}{suggest(name, sorted(there))}")
    return pa.concat_tables(tables, promote_options="permissive").unify_dictionaries()


def digest_of(rows: Iterable[Row]) -> str:
    """Return SHA-256 over runs in order: their points, how they ended, what they came to."""
    whole = hashlib.sha256()
    for row in rows:
        parameters = sorted(row.parameters.items())
        line = json.dumps([row.number, parameters, row.seed, row.ended, row.digest])
        whole.update(line.encode() + b"\n")
    return whole.hexdigest()


def frame_of(table: Any, as_: As) -> Any:  # noqa: ANN401 - of pyarrow; pandas' or polars'
    """Return a table of pyarrow as what is wanted. Raises ConfigError."""
    match as_:
        case "arrow":
            return table
        case "polars":
            return need("polars", "a frame of polars").from_arrow(table)
        case "pandas":
            return _pandas(table)
    raise ConfigError(f"as_ = {as_!r} is no kind of frame: use 'pandas', 'polars' or 'arrow'")


def _pandas(table: Any) -> Any:  # noqa: ANN401 - as above
    pandas, pa = need("pandas", "a frame of pandas"), need("pyarrow", "Parquet")
    frame = table.to_pandas(use_threads=False)  # see `read_parquet`
    # Whole numbers and truths stay what they are where one is missing: pandas would make floats
    # and objects of them.
    kept = {pa.int64(): "Int64", pa.uint64(): "UInt64", pa.bool_(): "boolean"}
    for field in table.schema:
        if field.type in kept and table[field.name].null_count:
            column = table[field.name].to_pylist()
            frame[field.name] = pandas.array(column, dtype=kept[field.type])
    return frame


def _paths(paths: Sequence[Where | Iterable[Where]]) -> list[Where]:
    every: list[Where] = []
    for path in paths:
        if isinstance(path, str | PathLike):
            every.append(path)
        else:
            every += list(path)
    if not every:
        raise ConfigError("load() needs a folder of results")
    return every


def _check_same(every: Sequence[Results]) -> None:
    first = every[0].description
    for results in every[1:]:
        other = results.description
        if other.version != first.version:
            raise ConfigError(
                f"{every[0].path} is of pystack {first.version} and {results.path} of "
                f"{other.version}: load(..., mix=True) has both, and a column says which is which"
            )
        if other.identity != first.identity:
            raise ConfigError(
                f"{every[0].path} and {results.path} are of different experiments "
                f"({first.name}, {other.name}): load(..., mix=True) has both, and a column says "
                "which is which"
            )


def _mixed(every: Sequence[Results]) -> Any:  # noqa: ANN401 - of pyarrow
    pa = need("pyarrow", "Parquet")
    tables = []
    for results in every:
        table, identity = results._arrow(), results.description.identity
        for name, value in (("identity", identity), ("results", str(results.path))):
            table = table.append_column(name, texts_of([value] * len(table)))
        tables.append(table.replace_schema_metadata(None))
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        # A parameter that has numbers here and texts there is text in both.
        return pa.concat_tables(_as_texts(tables), promote_options="permissive")


def _as_texts(tables: Sequence[Any]) -> list[Any]:
    pa = need("pyarrow", "Parquet")
    kinds: dict[str, set[Any]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    odd = {name for name, found in kinds.items() if len(found) > 1 and pa.string() in found}
    return [
        table.cast(
            pa.schema(
                field.with_type(pa.string()) if field.name in odd else field
                for field in table.schema
            )
        )
        for table in tables
    ]


def _with_point(table: Any, row: Row, parameters: Sequence[str]) -> Any:  # noqa: ANN401
    pa = need("pyarrow", "time series")
    point = {"number": row.number} | {name: row.parameters[name] for name in parameters}
    columns = {}
    for name, value in (*point.items(), ("seed", row.seed)):
        if isinstance(value, str):
            indices = pa.array([0], pa.int32()).take(pa.array([0] * len(table), pa.int32()))
            columns[name] = pa.DictionaryArray.from_arrays(indices, pa.array([value]))
        else:
            columns[name] = pa.array([value] * len(table))
    return pa.table([*columns.values(), *table.columns], names=[*columns, *table.column_names])


def _of(row: Row, name: str) -> Value:
    match name:
        case "seed":
            return row.seed
        case "repetition":
            return row.repetition
    return row.parameters[name]


def _is(value: Value, wanted: Value) -> bool:
    """Tell whether a value is meant; from the command all are texts."""
    return value == wanted or str(value) == str(wanted)
