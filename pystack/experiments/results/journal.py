"""The journal of a sweep: a line of JSON for each run, as they end; whatever was written counts.

It is all that a sweep that was cut short needs to go on. The last line may be half written: it is
left out, and its run is done again. Where a run has two lines, the later one holds.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pystack.core.errors import ConfigError
from pystack.experiments.model import ENDED, Ended, Outcome, Point, Value

JOURNAL: Final = "rows.jsonl"
_SUM: Final = b',"crc":'  # before the CRC-32 of the line without it: a damaged number is none
DAMAGES: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Row:
    """One run: where it stands in the experiment, and what it came to."""

    number: int
    parameters: Mapping[str, Value]
    repetition: int
    seed: int
    ended: Ended
    error: str = ""
    measures: Mapping[str, Value | None] = field(default_factory=dict)
    digest: str = ""

    @property
    def point(self) -> Point:
        """Its point."""
        return Point(self.number, self.parameters, self.repetition, self.seed)

    @classmethod
    def of(cls, point: Point, outcome: Outcome) -> Row:
        """Put a point and what it came to together."""
        return cls(
            number=point.number,
            parameters=point.parameters,
            repetition=point.repetition,
            seed=point.seed,
            ended=outcome.ended,
            error=outcome.error,
            measures=outcome.measures,
            digest=outcome.digest,
        )


def line_of(point: Point, outcome: Outcome) -> str:
    """Return a run as a line of the journal, without its end; in ASCII, whatever is in it."""
    row = Row.of(point, outcome)
    text = json.dumps(
        {
            "number": row.number,
            "parameters": dict(row.parameters),
            "repetition": row.repetition,
            "seed": row.seed,
            "ended": row.ended,
            "error": row.error,
            "measures": dict(row.measures),
            "digest": row.digest,
        },
        separators=(",", ":"),
    )
    return f"{text[:-1]}{_SUM.decode()}{zlib.crc32(text.encode())}}}"


def row_of(line: bytes) -> Row:
    """Read such a line. Raises ValueError, TypeError or LookupError where it is damaged."""
    text, _, end = line.rstrip(b"\n").rpartition(_SUM)
    text += b"}"
    if end != b"%d}" % zlib.crc32(text):
        raise ValueError("its checksum is another")
    return _row(json.loads(text))


def read_rows(path: Path) -> list[Row]:
    """Read a journal; return its runs in the order of the experiment. Raises ConfigError."""
    return sorted({row.number: row for row in _rows(path)}.values(), key=lambda row: row.number)


def _rows(path: Path) -> Iterator[Row]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    # What stands behind the last end of line is a line that was not written to its end.
    for number, line in enumerate(lines[:-1], 1):
        try:
            yield row_of(line)
        except DAMAGES:
            raise damaged(path, number) from None


def damaged(path: Path, number: int) -> ConfigError:
    """Return what is said of a line that is no run, or no longer."""
    return ConfigError(
        f"{path}: line {number} is damaged, or no run of this experiment; delete that line, and "
        "`--resume` does its run again"
    )


def _row(found: Any) -> Row:  # noqa: ANN401 - whatever JSON has
    if not isinstance(found["parameters"], dict) or not isinstance(found["measures"], dict):
        raise TypeError
    if found["ended"] not in ENDED:
        raise ValueError(found["ended"])
    return Row(
        number=_whole(found["number"]),
        parameters={name: _value(value) for name, value in found["parameters"].items()},
        repetition=_whole(found["repetition"]),
        seed=_whole(found["seed"]),
        ended=found["ended"],
        error=str(found["error"]),
        measures={
            name: None if value is None else _value(value)
            for name, value in found["measures"].items()
        },
        digest=str(found["digest"]),
    )


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _value(value: object) -> Value:
    if not isinstance(value, bool | int | float | str):
        raise TypeError
    return value
