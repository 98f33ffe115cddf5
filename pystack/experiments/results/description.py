"""What a folder of results belongs to: `experiment.json`, and the same in the head of rows.parquet.

Whoever reads results needs no experiment for it: its file may be gone, and its function too.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pystack import __version__
from pystack.core.errors import ConfigError
from pystack.experiments.model import Compare, Value
from pystack.experiments.order import Order

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment

ASKED: Final = "experiment.json"
FORMAT: Final = 2  # of the folder; another one is not read
# What reading raises where a hand has changed what was written.
_STRANGE: Final = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError),
)


@dataclass(frozen=True, slots=True)
class Description:
    """What was asked for, as far as tables and pictures need it."""

    name: str
    title: str
    version: str  # of pystack, which ran it
    identity: str  # of the experiment
    base: str  # "mine.py:run"
    parameters: tuple[str, ...]
    measures: tuple[str, ...]  # columns that are known before any run; a function adds its own
    seeds: tuple[int, ...]
    runs: int  # how many there are to be
    compare: Compare | None = None  # None: nothing is
    constants: Mapping[str, Value] = field(default_factory=dict)

    @classmethod
    def of(cls, experiment: Experiment) -> Description:
        """Describe an experiment."""
        return cls(
            name=experiment.name,
            title=experiment.title,
            version=__version__,
            identity=experiment.identity,
            base=str(experiment.base),
            parameters=tuple(experiment.parameters),
            measures=_columns(experiment.measure),
            seeds=tuple(experiment.seeds),
            runs=len(experiment),
            compare=experiment.compare,
            constants=dict(experiment.constants),
        )

    @classmethod
    def from_json(cls, text: str | bytes, source: object) -> Description:
        """Read what `to_json` has written; `source` is named in errors. Raises ConfigError."""
        try:
            found = json.loads(text)
            kind = found["format"]
            if kind == FORMAT:
                return _described(found)
        except _STRANGE:
            raise _says_nothing(source) from None
        raise ConfigError(
            f"{source} has results in format {kind!r}, and this pystack ({__version__}) reads "
            f"format {FORMAT}: read it with the version that wrote it"
        )

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {"format": FORMAT, **asdict(self)}


def experiment_json(experiment: Experiment) -> str:
    """Return the text of `experiment.json`: the description, and all of the experiment."""
    whole = json.loads(experiment.to_json())
    described = Description.of(experiment).to_json()
    return json.dumps({**described, "experiment": whole}, indent=1) + "\n"


def read_description(folder: Path) -> Description:
    """Return what the results in a folder belong to. Raises ConfigError."""
    file = folder / ASKED
    return Description.from_json(_text_of(file), file)


def read_order(folder: Path) -> Order:
    """Return the points that the results in a folder are asked for. Raises ConfigError."""
    return order_of(read_asked(folder), folder)


def order_of(asked: Mapping[str, Any], folder: Path) -> Order:
    """Return the points that an experiment asks for, of its JSON. Raises ConfigError."""
    try:
        return Order.from_json(asked)
    except _STRANGE:
        raise _says_nothing(folder / ASKED) from None


def read_asked(folder: Path) -> dict[str, Any]:
    """Return the JSON of the experiment whose results are in a folder. Raises ConfigError."""
    file = folder / ASKED
    text = _text_of(file)
    Description.from_json(text, file)  # raises where it is of another format
    asked = json.loads(text).get("experiment")
    if not isinstance(asked, dict):
        raise _says_nothing(file)
    return asked


def is_there(path: Path) -> bool:
    """Tell whether there is such a file or folder.

    Raises ConfigError where that cannot be told, and for a pipe or a device, which has no end.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ConfigError(f"{path} cannot be read: it is no file")
    return True


def _text_of(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None


def _says_nothing(source: object) -> ConfigError:
    return ConfigError(
        f"{source} does not say which experiment it belongs to: it is not pystack's, or a part of "
        "it is missing"
    )


def _described(found: dict[str, Any]) -> Description:
    compare = found["compare"]
    return Description(
        name=str(found["name"]),
        title=str(found["title"]),
        version=str(found["version"]),
        identity=str(found["identity"]),
        base=str(found["base"]),
        parameters=tuple(map(str, found["parameters"])),
        measures=tuple(map(str, found["measures"])),
        seeds=tuple(map(int, found["seeds"])),
        runs=int(found["runs"]),
        compare=None if compare is None else Compare(**compare),
        constants=dict(found["constants"]),
    )


def _columns(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the columns that the words of `measure` make."""
    if not words:
        return ()
    from pystack.experiments.measures import parse_measures

    return tuple(column.name for column in parse_measures(words))
