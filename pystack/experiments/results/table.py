"""rows.parquet: all runs of an experiment as one table, byte for byte the same for the same runs.

Columns: number, the parameters, repetition, seed, ended, error, the measurements, version, digest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.experiments.model import Ended
from pystack.experiments.results.columns import array_of, text_of, texts_of, unit_of
from pystack.experiments.results.description import Description, read_description
from pystack.experiments.results.journal import Row, read_rows
from pystack.experiments.results.series import parquet_bytes, read_parquet
from pystack.experiments.results.whole import write_whole
from pystack.experiments.values import COLUMNS

ROWS: Final = "rows.parquet"
_HEAD: Final = b"pystack"  # of the file's: what the rows belong to
_UNIT: Final = b"unit"  # of a column's
_TEXTS: Final = ("ended", "error", "digest")


def write_rows(folder: Path) -> Path:
    """Make rows.parquet of the journal in a folder of results; return where it is."""
    table = table_of(read_description(folder), read_rows(folder))
    file = folder / ROWS
    write_whole(file, parquet_bytes(table))
    return file


def measures_of(description: Description, rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the names of what was measured, in order: what was asked for, what functions add."""
    names = dict.fromkeys(description.measures)
    for row in rows:
        names.update(dict.fromkeys(row.measures))
    return tuple(names)


def table_of(description: Description, rows: Sequence[Row]) -> Any:  # noqa: ANN401 - of pyarrow
    """Return runs, in their order, as a table of pyarrow."""
    pa = need("pyarrow", "Parquet")
    whole = {
        name: array_of([getattr(row, name) for row in rows], exact=True)
        for name in ("number", "repetition", "seed")
    }
    texts = {name: texts_of(getattr(row, name) for row in rows) for name in _TEXTS}
    columns: dict[str, Any] = {"number": whole["number"]}
    for name in description.parameters:
        columns[text_of(name)] = array_of([row.parameters.get(name) for row in rows], exact=True)
    columns |= {name: whole[name] for name in ("repetition", "seed")}
    columns |= {name: texts[name] for name in ("ended", "error")}
    measures: dict[str, str] = {}  # its column -> its name
    for name in measures_of(description, rows):
        column = _free(text_of(name), columns)
        columns[column] = array_of([row.measures.get(name) for row in rows], exact=False)
        measures[column] = name
    columns["version"] = texts_of(description.version for _ in rows)
    columns["digest"] = texts["digest"]
    fields = [
        pa.field(name, column.type, metadata=_about(name) if name in measures else None)
        for name, column in columns.items()
    ]
    head = {**description.to_json(), "columns": list(measures)}
    schema = pa.schema(fields, metadata={_HEAD: json.dumps(head, sort_keys=True).encode()})
    return pa.table(list(columns.values()), schema=schema)


def read_table(file: Path) -> tuple[Description, Any]:
    """Return what a rows.parquet belongs to, and its table. Raises ConfigError."""
    table = read_parquet(file)
    head = (table.schema.metadata or {}).get(_HEAD)
    if head is None:
        raise ConfigError(
            f"{file} is a Parquet file, and not of pystack's results: load it with pandas itself"
        )
    return Description.from_json(head, file), table


def measured_in(table: Any) -> tuple[str, ...]:  # noqa: ANN401 - of pyarrow
    """Return which columns of such a table are measurements."""
    return tuple(json.loads(table.schema.metadata[_HEAD])["columns"])


def rows_in(description: Description, table: Any) -> list[Row]:  # noqa: ANN401 - of pyarrow
    """Return the runs of such a table."""
    measured = measured_in(table)
    return [
        Row(
            number=found["number"],
            parameters={name: found[text_of(name)] for name in description.parameters},
            repetition=found["repetition"],
            seed=found["seed"],
            ended=cast(Ended, found["ended"]),
            error=found["error"],
            measures={name: found[name] for name in measured},
            digest=found["digest"],
        )
        for found in table.to_pylist()
    ]


def _about(column: str) -> dict[bytes, bytes] | None:
    unit = unit_of(column)
    return {_UNIT: unit.encode()} if unit else None


def _free(name: str, taken: dict[str, Any]) -> str:
    """Return a name for a measurement that nothing else has: what was measured is never lost."""
    while name in taken or name in COLUMNS:
        name = f"measured_{name}"
    return name
