"""Values of one name over all runs, as a column of one type; and the units that names end in.

The type follows from the values alone, so that the same runs make the same file. Parameters and
seeds stay what they are, as text if no type holds all of them; measurements are for arithmetic, so
a whole number beyond 64 bits among them is rounded to a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.core.extras import need
from pystack.core.suggest import suggest
from pystack.experiments.model import Value

# How names end -> the unit, as people write it. A ratio has none.
UNITS: Final = {
    "_s": "s",
    "_bps": "bit/s",
    "_pps": "packets/s",
    "_bytes": "bytes",
    "_packets": "packets",
    "_frames": "frames",
    "_segments": "segments",
}

_INT64: Final = range(-(2**63), 2**63)
_UINT64: Final = range(2**64)


def unit_of(column: str) -> str:
    """Return the unit of a measurement by its name; "" if it has none: "bit/s" of goodput_bps."""
    return next((unit for end, unit in UNITS.items() if column.endswith(end)), "")


def bare(column: str) -> str:
    """Return the name without its unit: "rtt_p95" of "rtt_p95_s"."""
    return next((column[: -len(end)] for end in UNITS if column.endswith(end)), column)


def find(name: str, columns: Sequence[str], what: str) -> str:
    """Return the column that is meant, whose unit may be left out. Raises ConfigError."""
    if name in columns:
        return name
    meant = [column for column in columns if bare(column) == name]
    if len(meant) == 1:
        return meant[0]
    if meant:
        raise ConfigError(f"{name!r} may be {' or '.join(meant)}: write one of them")
    ending = suggest(name, columns) or ": it has none"
    raise ConfigError(f"the experiment has no {what} {name!r}{ending}")


def array_of(values: Sequence[Value | None], *, exact: bool) -> Any:  # noqa: ANN401 - of pyarrow
    """Return a column of pyarrow. `exact`: rather text than another number."""
    pa = need("pyarrow", "Parquet")
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if not there:
        return pa.array(values, pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {int} and (whole := _whole(there)):
        return pa.array(values, getattr(pa, whole)())
    is_number = kinds <= {int, float} and not (exact and kinds == {int})
    if is_number and (floats := _floats(values, exact=exact)) is not None:
        return pa.array(floats, pa.float64(), from_pandas=False)
    return pa.array([None if value is None else text_of(value) for value in values], pa.string())


def text_of(value: Value) -> str:
    """Return a value as TOML has it, but text as it is; what no UTF-8 holds as an escape."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return repr(value)


def texts_of(values: Iterable[str]) -> Any:  # noqa: ANN401 - of pyarrow
    """Return a column of texts."""
    return need("pyarrow", "Parquet").array(list(map(text_of, values)), "string")


def _whole(values: Sequence[Any]) -> str | None:
    least, most = min(values), max(values)
    if least in _INT64 and most in _INT64:
        return "int64"
    return "uint64" if least in _UINT64 and most in _UINT64 else None


def _floats(values: Sequence[Any], *, exact: bool) -> list[float | None] | None:
    """Return the same as floats; None: they are none, or others than these."""
    try:
        floats = [None if value is None else float(value) for value in values]
    except OverflowError:
        return None
    same = not exact or all(
        isinstance(value, float) or value is None or int(number or 0) == value
        for value, number in zip(values, floats, strict=True)
    )
    return floats if same else None
