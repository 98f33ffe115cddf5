"""Values of one name over all runs, as a column of one type; and the units that names end in.

The type follows from the values alone, so that the same runs make the same file. Parameters and
seeds stay what they are, as text if no type holds all of them; measurements are for arithmetic, so
a whole number beyond 64 bits among them is rounded to a float.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate
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

# Types of Arrow -> how `array` calls them.
_CODES: Final = {"int32": "i", "int64": "q", "uint64": "Q", "double": "d"}
_TEXT_BYTES: Final = 2**31 - 1  # the most of one column's texts, by how Arrow counts
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
    there = [value for value in values if value is not None]
    kinds = {type(value) for value in there}
    if not there:
        return _packed("double", values)
    if kinds == {bool}:
        return _packed("bool", values)
    if kinds == {int} and (whole := _whole(there)):
        return _packed(whole, values)
    is_number = kinds <= {int, float} and not (exact and kinds == {int})
    if is_number and (floats := _floats(values, exact=exact)) is not None:
        return _packed("double", floats)
    return _packed("string", [None if value is None else text_of(value) for value in values])


def text_of(value: Value) -> str:
    """Return a value as TOML has it, but text as it is; what no UTF-8 holds as an escape."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return repr(value)


def texts_of(values: Iterable[str]) -> Any:  # noqa: ANN401 - of pyarrow
    """Return a column of texts."""
    return _packed("string", list(map(text_of, values)))


def numbers_of(values: array[Any]) -> Any:  # noqa: ANN401 - of pyarrow
    """Return a column of numbers, none of which is missing. They are not copied."""
    pa = need("pyarrow", "Parquet")
    kind = next(kind for kind, code in _CODES.items() if code == values.typecode)
    return pa.Array.from_buffers(
        pa.type_for_alias(kind), len(values), [None, pa.py_buffer(values)], null_count=0
    )


def _packed(kind: str, values: Sequence[Any]) -> Any:  # noqa: ANN401 - of pyarrow
    """Return values of one type as a column; some may be missing.

    `pyarrow.array` would load pandas, to see whether it is given any of its: that is 0.2 s for each
    process that has time series, and for each sweep as it ends.
    """
    pa = need("pyarrow", "Parquet")
    is_there = [value is not None for value in values]
    there = None if all(is_there) else pa.py_buffer(_bits(is_there))
    if kind == "string":
        texts = [b"" if value is None else value.encode() for value in values]
        ends = list(accumulate(map(len, texts), initial=0))
        if ends[-1] > _TEXT_BYTES:
            return pa.array(values, pa.string())  # in chunks
        buffers = [pa.py_buffer(array("i", ends)), pa.py_buffer(b"".join(texts))]
    elif kind == "bool":
        buffers = [pa.py_buffer(_bits(values))]
    else:
        numbers = array(_CODES[kind], [0 if value is None else value for value in values])
        buffers = [pa.py_buffer(numbers)]
    return pa.Array.from_buffers(pa.type_for_alias(kind), len(values), [there, *buffers])


def _bits(truths: Sequence[bool | None]) -> bytes:
    """Return truths as Arrow has them: a bit for each, the least significant one first."""
    digits = "".join("1" if truth else "0" for truth in reversed(truths))
    return int(digits or "0", 2).to_bytes((len(truths) + 7) // 8, "little")


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
