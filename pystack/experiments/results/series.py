"""Time series of one run as a Parquet file: a row for each value."""

from __future__ import annotations

import io
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.experiments.model import Track
from pystack.experiments.results.columns import numbers_of, text_of, texts_of

SERIES: Final = "series"  # the folder
COLUMNS: Final = ("series", "subject", "unit", "time_s", "value")
_NAMES: Final = COLUMNS[:3]
_OPTIONS: Final = {
    "compression": "zstd",
    "version": "2.6",
    "data_page_version": "1.0",
    "write_page_checksum": True,
}


def series_file(folder: Path, digest: str) -> Path:
    """Return where the series of a run are that came to this.

    They are part of its digest: whatever place the run has, or will have, its file is the same.
    """
    return folder / SERIES / f"{digest}.parquet"


def no_series(folder: Path, runs: int) -> ConfigError:
    """Return the error that so many runs of a folder have no time series."""
    return ConfigError(
        f"{folder} has no time series of {'this run' if runs == 1 else 'these runs'}: ask for them "
        'with [series] of = ["goodput"], or Run.series()'
    )


def pack_series(tracks: Sequence[Track]) -> bytes | None:
    """Return the file; None if there is nothing to write. The same tracks make the same bytes."""
    if not tracks:
        return None
    pa = need("pyarrow", "time series")
    columns: dict[str, Any] = {}
    lengths = [len(track.times_s) for track in tracks]
    for name in _NAMES:
        words = [text_of(getattr(track, name)) for track in tracks]
        known = list(dict.fromkeys(words))
        indices = array("i")
        for word, length in zip(words, lengths, strict=True):
            indices += array("i", [known.index(word)]) * length
        columns[name] = pa.DictionaryArray.from_arrays(numbers_of(indices), texts_of(known))
    for name, part in (("time_s", "times_s"), ("value", "values")):
        columns[name] = pa.concat_arrays([numbers_of(getattr(track, part)) for track in tracks])
    return parquet_bytes(pa.table(columns))


def read_series(file: Path) -> Any:  # noqa: ANN401 - a table of pyarrow
    """Return the series of a run, as a table of pyarrow. Raises ConfigError."""
    table = read_parquet(file)
    if tuple(table.column_names) != COLUMNS:
        raise ConfigError(f"{file} has no time series of a run: its columns are others")
    return table


def parquet_bytes(table: Any) -> bytes:  # noqa: ANN401 - of pyarrow
    """Return a table as a Parquet file."""
    sink = io.BytesIO()
    need("pyarrow.parquet", "Parquet").write_table(table, sink, **_OPTIONS)
    return sink.getvalue()


def read_parquet(file: Path) -> Any:  # noqa: ANN401 - of pyarrow
    """Read a Parquet file into a table of pyarrow. Raises ConfigError."""
    pa, parquet = need("pyarrow", "Parquet"), need("pyarrow.parquet", "Parquet")
    try:
        # In this thread alone. `read_table` leaves the file to threads of a pool, which may let go
        # of it when the table is here already: where Python ended meanwhile, it was aborted.
        data = pa.BufferReader(file.read_bytes())
        opened = parquet.ParquetFile(data, page_checksum_verification=True)
        table = opened.read(use_threads=False)
        table.validate(full=True)
        return table
    except OSError as error:
        if error.strerror is None:  # pyarrow's own, about what is in it
            raise _broken(file) from None
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    except (pa.ArrowException, UnicodeDecodeError):
        raise _broken(file) from None


def _broken(file: Path) -> ConfigError:
    return ConfigError(f"{file} is no Parquet file, or a part of one: it cannot be read")
