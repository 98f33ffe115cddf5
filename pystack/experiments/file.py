"""An experiment in a TOML file.

    run = "mine.py:function"       # or "module:function", or a table [lab]
    seeds = 5
    measure = ["goodput", "rtt p50 p99"]
    [constants]
    duration = "30s"
    [parameters]
    control = ["cubic", "bbr"]
    delay = { range = ["10ms", "100ms"], steps = 5 }

Everything that can be found wrong is found here, with its line: nothing has run yet.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.units import parse_size_bytes, parse_time_s
from pystack.experiments.bundle import Source
from pystack.experiments.experiment import Experiment
from pystack.experiments.functions import source_named
from pystack.experiments.labs import lab
from pystack.experiments.measures import parse_measures, parse_series
from pystack.experiments.model import Compare, Limits, SeriesSpec, Value, WordError
from pystack.experiments.parameters import Axis, Space, Values, column, sample, space_of, zipped
from pystack.experiments.spans import Span
from pystack.experiments.values import check_name, check_value
from pystack.topology.places import put
from pystack.topology.reading import Document, describe, text_of
from pystack.topology.toml_places import Path

_LAB_WORDS: Final = ("file", "for", "set")
_SERIES_WORDS: Final = ("of", "every")
_LIMIT_WORDS: Final = ("time", "memory", "attempts")
_COMPARE_WORDS: Final = ("measure", "between", "baseline")
_RANGE_WORDS: Final = ("range", "log", "steps")
_SAMPLE_WORDS: Final = ("points", "seed")
_TABLES: Final = ("constants", "parameters", "zip", "sample", "lab", "series", "limits", "compare")
_TOP: Final = (
    *("run", "name", "title", "seeds", "measure", "flows", "link", "after", "files"),
    *_TABLES,
)
# What a value of `every` can be that is no time
_EVENTS: Final = ("ack",)


def from_file(path: str | FilePath, settings: Mapping[str, object] | None = None) -> Experiment:
    """Read and check an experiment's file. Raises ConfigError, with its name and a line.

    `settings`: places of it that get another value before: {"seeds": 2, "constants.rate": "1mbit"}.
    Where they leave out the baseline of a comparison, its `is_left_out` is true.
    """
    text = text_of(path)
    document = Document(str(path), text)
    for place in settings or {}:
        table = place.partition(".")[0]
        if table != place and table in _TABLES:
            document.root.setdefault(table, {})
    put(document, settings or {})
    compares_otherwise = any(place.partition(".")[0] == "compare" for place in settings or {})
    whole = None if compares_otherwise else Document(str(path), text)
    return _Reader(document, whole).experiment()


def setting(text: str) -> tuple[str, object]:
    """Return place and value of "PLACE=VALUE". Its value is TOML's, or else a text."""
    place, equals, value = text.partition("=")
    if not equals or not place.strip():
        raise ConfigError(f"{text!r} sets nothing: write PLACE=VALUE, such as seeds=2")
    try:
        return place.strip(), tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return place.strip(), value.strip()


class _Reader:
    def __init__(self, document: Document, whole: Document | None = None) -> None:
        """`whole`: as it is in the file; None: what is compared is as it has been set."""
        self._doc, self._whole = document, whole
        self._root = document.table((), document.root, _TOP)
        self._folder = FilePath(document.name).parent
        self._places: dict[str, Path] = {}  # where a name of a parameter or constant stands

    def experiment(self) -> Experiment:
        source = self._source()
        constants = self._constants()
        axes = list(self._axes())
        with self._doc.placed(("parameters",)):
            space = space_of(axes)
        with self._told():
            return Experiment(
                source,
                axes,
                constants=constants,
                seeds=self._seeds(),
                measure=self._measure(),
                series=self._series(),
                flows=self._text("flows"),
                link=self._link(),
                after_s=self._time(("after",), self._root.get("after", 0.0)),
                limits=self._limits(),
                compare=self._compare(space),
                name=self._text("name") or FilePath(self._doc.name).stem,
                title=self._text("title"),
                files=self._doc.texts(("files",), self._root.get("files", [])),
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say where the word of an error stands, if it is about one."""
        try:
            yield
        except WordError as error:
            known: Path = tuple(error.word.split("."))
            place = self._places.get(error.word, known if known[0] in _TOP else ())
            self._doc.fail(place, str(error))
        except ConfigError as error:
            if str(error).startswith(f"{self._doc.name}:"):
                raise  # it says where already
            raise ConfigError(f"{self._doc.name}: {error}") from None

    def _source(self) -> Source:
        if ("run" in self._root) == ("lab" in self._root):
            both = "both run and [lab]" if "run" in self._root else "nothing to run"
            self._doc.fail(
                (), f"there is {both}: it needs run = 'mine.py:function', or a table [lab]"
            )
        if "run" in self._root:
            run = self._doc.text(("run",), self._root["run"])
            with self._doc.placed(("run",)):
                return source_named(run, self._folder)
        table = self._doc.table(("lab",), self._root["lab"], _LAB_WORDS)
        if "file" not in table:
            self._doc.fail(("lab",), "the lab has no 'file', and needs it")
        places = self._doc.table(("lab", "set"), table.get("set", {}), None)
        values: dict[str, Value] = {}
        for place, value in places.items():
            with self._doc.placed(("lab", "set", place)):
                values[place] = check_value(value, place)
            self._places[place] = ("lab", "set", place)
        file = self._doc.text(("lab", "file"), table["file"])
        for_s = None if "for" not in table else self._time(("lab", "for"), table["for"])
        with self._doc.placed(("lab",)):
            return lab(file, values, for_=for_s, folder=self._folder)

    def _constants(self) -> dict[str, Value]:
        found: dict[str, Value] = {}
        table = self._doc.table(("constants",), self._root.get("constants", {}), None)
        for name, value in table.items():
            path = ("constants", name)
            with self._doc.placed(path):
                found[check_name(name, "constant")] = check_value(value, name)
            self._places[name] = path
        return found

    def _axes(self) -> Iterator[Axis]:
        """Yield what [parameters], each [[zip]] and [sample] say, in this order."""
        table = self._doc.table(("parameters",), self._root.get("parameters", {}), None)
        for name, values in table.items():
            found = self._values(("parameters", name), values)
            with self._doc.placed(("parameters", name)):
                yield from space_of({name: found}).axes
        zips = self._root.get("zip", [])
        for at, item in enumerate(
            [zips] if isinstance(zips, dict) else self._doc.items(("zip",), zips)
        ):
            path: Path = ("zip",) if isinstance(zips, dict) else ("zip", at)
            columns = self._columns(path, self._doc.table(path, item, None))
            with self._doc.placed(path):
                yield zipped(columns)
        if "sample" in self._root:
            table = self._doc.table(("sample",), self._root["sample"], None)
            if "points" not in table:
                self._doc.fail(("sample",), "the sample has no 'points', and needs it")
            points, seed = (
                self._doc.whole(("sample", word), table.get(word, 1)) for word in _SAMPLE_WORDS
            )
            drawn = {name: table[name] for name in table if name not in _SAMPLE_WORDS}
            columns = self._columns(("sample",), drawn)
            with self._doc.placed(("sample",)):
                yield sample(points, columns, seed=seed)

    def _columns(self, path: Path, table: Mapping[str, object]) -> dict[str, Values]:
        return {name: self._values((*path, name), values) for name, values in table.items()}

    def _values(self, path: Path, value: object) -> Values:
        """Return the values of one parameter: a list, or { range = [...], steps = 5 }."""
        name = str(path[-1])
        if name in self._places:
            line = self._doc.line(self._places[name])
            self._doc.fail(path, f"{name!r} is there already, in line {line}")
        self._places[name] = path
        with self._doc.placed(path):
            check_name(name)
            if not isinstance(value, dict):
                return column(name, value)
        table = self._doc.table(path, value, _RANGE_WORDS)
        if ("range" in table) == ("log" in table):
            self._doc.fail(path, f"{name} needs range = [FROM, TO], or log = [FROM, TO]")
        word = "log" if "log" in table else "range"
        ends = self._doc.items((*path, word), table[word])
        if len(ends) != 2:
            self._doc.fail((*path, word), f"a range has two ends, not {len(ends)}")
        steps = self._doc.whole((*path, "steps"), table["steps"]) if "steps" in table else None
        with self._doc.placed(path):
            low, high = (check_value(end, "the end of a range") for end in ends)
            return Span(low, high, steps, is_log=word == "log")

    def _seeds(self) -> int | list[int]:
        seeds = self._root.get("seeds", 1)
        if isinstance(seeds, list):
            return [self._doc.whole(("seeds", at), seed) for at, seed in enumerate(seeds)]
        return self._doc.whole(("seeds",), seeds)

    def _measure(self) -> list[str]:
        said = self._root.get("measure", [])
        words = [said] if isinstance(said, str) else self._doc.texts(("measure",), said)
        for at, word in enumerate(words):
            with self._doc.placed(("measure", at)):
                parse_measures([word])
        return words

    def _series(self) -> SeriesSpec | None:
        if "series" not in self._root:
            return None
        table = self._doc.table(("series",), self._root["series"], _SERIES_WORDS)
        if "of" not in table:
            self._doc.fail(("series",), "the series have no 'of', and need it: of = ['cwnd']")
        names = self._doc.texts(("series", "of"), table["of"])
        every = table.get("every", "100ms")
        every_s = None if every in _EVENTS else self._time(("series", "every"), every)
        if every_s == 0:
            self._doc.fail(("series", "every"), "every must be above 0, or 'ack': at each ACK")
        for at, name in enumerate(names):
            with self._doc.placed(("series", "of", at)):
                parse_series([name], by_ack=every_s is None)
        return SeriesSpec(tuple(names), every_s)

    def _link(self) -> tuple[str, str] | None:
        if "link" not in self._root:
            return None
        names = self._doc.texts(("link",), self._root["link"])
        if len(names) != 2:
            self._doc.fail(("link",), f"a link has two ends, not {len(names)}")
        return names[0], names[1]

    def _limits(self) -> Limits:
        table = self._doc.table(("limits",), self._root.get("limits", {}), _LIMIT_WORDS)
        found = Limits()
        if "time" in table:
            time_s = self._time(("limits", "time"), table["time"])
            with self._doc.placed(("limits", "time")):
                found = replace(found, time_s=time_s)
        if "memory" in table:
            size = table["memory"]
            if isinstance(size, bool) or not isinstance(size, str | int):
                self._doc.fail(("limits", "memory"), f"memory is like '1gb', not {describe(size)}")
            with self._doc.placed(("limits", "memory")):
                found = replace(found, memory_bytes=parse_size_bytes(size))
        if "attempts" in table:
            attempts = self._doc.whole(("limits", "attempts"), table["attempts"])
            with self._doc.placed(("limits", "attempts")):
                found = replace(found, attempts=attempts)
        return found

    def _compare(self, space: Space) -> Compare | None:
        found = self._comparison()
        if found is None or self._whole is None or _has_baseline(found, space):
            return found
        try:
            whole = _Reader(self._whole)
            was_there = _has_baseline(found, space_of(list(whole._axes())))
        except ConfigError:  # the file is an experiment only with what was set
            return found
        return replace(found, is_left_out=was_there)

    def _comparison(self) -> Compare | None:
        if "compare" not in self._root:
            return None
        table = self._doc.table(("compare",), self._root["compare"], _COMPARE_WORDS)
        for word in _COMPARE_WORDS:
            if word not in table:
                self._doc.fail(("compare",), f"compare has no {word!r}, and needs it")
        measure, between = (
            self._doc.text(("compare", word), table[word]) for word in _COMPARE_WORDS[:2]
        )
        with self._doc.placed(("compare", "baseline")):
            baseline = check_value(table["baseline"], "the baseline")
        return Compare(measure, between, baseline)

    def _text(self, word: str) -> str:
        return self._doc.text((word,), self._root[word]) if word in self._root else ""

    def _time(self, path: Path, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self._doc.fail(path, f"{path[-1]} must be a time like '5s', not {describe(value)}")
        with self._doc.placed(path):
            return parse_time_s(value)


def _has_baseline(compare: Compare, space: Space) -> bool:
    return compare.between in space.names and compare.baseline in space.values_of(compare.between)
