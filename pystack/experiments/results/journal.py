"""The journal of a sweep: a line of JSON for each run, as they end; whatever was written counts.

A line says what was run, parameters and a seed, and what that came to; where it stands is said by
the experiment. So the journal is all that is needed to go on, and to go on with a larger experiment
as well. The last line may be half written: it is left out, and its run is done again. Where a run
has two lines, the later one holds.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from pystack.core.errors import ConfigError
from pystack.experiments.model import ENDED, Ended, Outcome, Point, Value
from pystack.experiments.results.description import read_order

JOURNAL: Final = "rows.jsonl"
_SUM: Final = b',"crc":'  # before the CRC-32 of the line without it: a damaged number is none
_DAMAGES: Final = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
_VALUES: Final = frozenset({bool, int, float, str})
_MEASURED: Final = _VALUES | {type(None)}
_DIGEST: Final = re.compile(r"[0-9a-f]{64}|")  # the name of a file too: it leads nowhere else


class Entry(NamedTuple):
    """A line of the journal."""

    parameters: Mapping[str, Value]
    seed: int
    outcome: Outcome  # without its series


@dataclass(frozen=True, slots=True)
class Row:
    """One run: where it stands in the experiment, and what it came to."""

    number: int
    parameters: Mapping[str, Value]
    repetition: int
    seed: int
    ended: Ended
    error: str = ""  # a sentence that names the run; "": it is ok
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
            error=point.told(outcome.error),
            measures=outcome.measures,
            digest=outcome.digest,
        )


def line_of(point: Point, outcome: Outcome) -> str:
    """Return a run as a line of the journal, without its end; in ASCII, whatever is in it."""
    text = json.dumps(
        {
            "parameters": dict(point.parameters),
            "seed": point.seed,
            "ended": outcome.ended,
            "error": outcome.error,
            "measures": dict(outcome.measures),
            "digest": outcome.digest,
        },
        separators=(",", ":"),
    )
    return f"{text[:-1]}{_SUM.decode()}{zlib.crc32(text.encode())}}}"


def entries(path: Path) -> Iterator[tuple[int, Entry]]:
    """Yield what a journal says, with the numbers of its lines. ConfigError where it is damaged."""
    try:
        with path.open("rb") as file:
            for at, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return  # it was not written to its end
                yield at, _entry_of(path, at, line)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def read_rows(folder: Path) -> list[Row]:
    """Read the journal of a folder of results; return its runs in the order of the experiment.

    Raises ConfigError.
    """
    path = folder / JOURNAL
    order = read_order(folder)
    found: dict[int, Outcome] = {}
    for at, (parameters, seed, outcome) in entries(path):
        numbers = order.numbers(parameters, seed)
        if not numbers:
            # A sweep that grows meanwhile writes runs down that were not asked for before.
            if read_order(folder).to_json() == order.to_json():
                raise damaged(path, at)
            return read_rows(folder)
        found.update((number, outcome) for number in numbers)
    return [Row.of(point, found[point.number]) for point in order.each(sorted(found))]


def damaged(path: Path, number: int) -> ConfigError:
    """Return what is said of a line that is no run, or no longer."""
    return ConfigError(
        f"{path}: line {number} is damaged, or no run of this experiment; delete that line, and "
        "`--resume` does its run again"
    )


def _entry_of(path: Path, at: int, line: bytes) -> Entry:
    text, _, end = line.rstrip(b"\n").rpartition(_SUM)
    text += b"}"
    try:
        if end != b"%d}" % zlib.crc32(text):
            raise ValueError("its checksum is another")
        return _entry(json.loads(text.decode("ascii")))
    except _DAMAGES:
        raise damaged(path, at) from None


def _entry(found: Any) -> Entry:  # noqa: ANN401 - whatever JSON has
    if found["ended"] not in ENDED or not _DIGEST.fullmatch(found["digest"]):
        raise ValueError(found)
    if type(found["seed"]) is not int:
        raise TypeError
    parameters, measures = found["parameters"], found["measures"]
    # At one go: of 20,000 lines, to look at each value was a fifth of the time.
    if not _VALUES.issuperset(map(type, parameters.values())):
        raise TypeError(parameters)
    if not _MEASURED.issuperset(map(type, measures.values())):
        raise TypeError(measures)
    outcome = Outcome(found["ended"], str(found["error"]), measures, digest=found["digest"])
    return Entry(parameters, found["seed"], outcome)
