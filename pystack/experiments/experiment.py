"""An experiment, as Python code and files say it."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pystack import __version__
from pystack.core.errors import ConfigError
from pystack.core.suggest import suggest
from pystack.core.units import parse_time_s
from pystack.experiments.bundle import Bundle, Source, found_files
from pystack.experiments.functions import check_call, function_of, source_named, source_of
from pystack.experiments.labs import check_lab
from pystack.experiments.measures import parse_measures
from pystack.experiments.model import (
    Base,
    Compare,
    FunctionBase,
    LabBase,
    Limits,
    Point,
    SeriesSpec,
    Value,
    WordError,
)
from pystack.experiments.order import Order
from pystack.experiments.parameters import Space, space_of
from pystack.experiments.values import check_name, check_value

if TYPE_CHECKING:
    from pystack.experiments.measures.meter import Meter

# What a function of an experiment returns: measurements by name, one number, or nothing.
Measured = Mapping[str, Value | None] | float | None
Function = Callable[..., Measured] | Callable[..., Awaitable[Measured]]

_FORMAT: Final = 2  # of the JSON
_SEED_MAX: Final = 2**63
_SEEDS_MAX: Final = 1_000_000
_TRIED: Final = 100  # points of a lab that are read before anything runs


class Experiment:
    """A base, the points that it is run at, and what is measured. It never changes.

        Experiment(function, {"control": ["cubic", "bbr"], "delay": span("10ms", "90ms", steps=5)},
                   seeds=5, measure=["goodput", "rtt p50 p99"])

    A mapping of parameters means all combinations of their values; `zipped` and `sample` are others
    and a list of several of these is their product.
    """

    base: Base
    parameters: tuple[str, ...]  # their names, in the order of columns
    constants: Mapping[str, Value]
    seeds: tuple[int, ...]
    order: Order  # of its points
    measure: tuple[str, ...]  # words of the registry of measures: "rtt p50 p99"
    series: SeriesSpec | None
    flows: str  # which connections count, by the names of their hosts: "left*"; "": all
    link: tuple[str, str] | None  # whose queue is meant; None: the one that is a bottleneck
    after_s: float  # what happens before is not measured
    limits: Limits
    compare: Compare | None
    name: str  # of the folder of results, if not told otherwise
    title: str  # for people; "": none
    bundle: Bundle  # the files that it needs
    folder: Path | None  # where they are here; None: nowhere yet, or it needs none

    def __init__(
        self,
        base: Function | Source | str,
        parameters: object = (),
        *,
        constants: Mapping[str, Value] | None = None,
        seeds: int | Iterable[int] = 1,
        measure: Iterable[str] = (),
        series: SeriesSpec | None = None,
        flows: str = "",
        link: tuple[str, str] | None = None,
        after_s: str | float = 0.0,
        limits: Limits | None = None,
        compare: Compare | None = None,
        name: str = "",
        title: str = "",
        files: Iterable[str | Path] = (),
    ) -> None:
        """Raises ConfigError for everything that can be found wrong before it runs.

        `base`: a function of a module, "module:function" or "mine.py:function", or a `lab`.
        `constants`: what the base is given at each point, beside the parameters. `seeds`: how many,
        1 to n, or which; each has its own run at each combination. `measure`, `series`: what a
        meter finds in the networks that run; `flows`, `link` and `after_s` (virtual time: seconds,
        or "2s") say of what, as for `Meter`. `limits`: None: 60 s, 2 GiB and two attempts a run.
        `compare`: what tables and plots hold against each other. `name`: of the folder of results;
        "": the function's or the file's. `files`: further ones that are needed, or patterns.
        """
        if isinstance(base, str):
            base = source_named(base, Path())
        elif not isinstance(base, Source):
            base = source_of(base)
        self.base, self.folder = base.base, base.folder
        self.bundle = base.bundle
        if wanted := list(files):
            self.folder = self.folder or Path()
            self.bundle += found_files(self.folder, wanted)
        space = space_of(parameters)
        self.parameters = space.names
        self.constants = {
            check_name(word, "constant"): check_value(value, word)
            for word, value in (constants or {}).items()
        }
        self.seeds = _seeds(seeds)
        self.order = Order(space, self.seeds)
        self.measure = (measure,) if isinstance(measure, str) else tuple(measure)
        self.series = series
        self.flows, self.link = flows, link and _pair(link)
        self.after_s = parse_time_s(after_s)
        self.limits = limits or Limits()
        self.compare = compare
        self.name = name or _name_of(self.base)
        self.title = title
        self._check()

    def _check(self) -> None:
        if Path(self.name).name != self.name:
            raise ConfigError(f"{self.name!r} cannot be a name: results are in a folder of it")
        for word in self.constants:
            if word in self.parameters:
                raise WordError(word, f"{word!r} is a parameter and a constant: it is one of them")
        columns = [column.name for column in parse_measures(self.measure)]
        for word in (*self.parameters, *self.constants):
            if word in columns:
                raise WordError(
                    word, f"{word!r} is a measure, and cannot be a parameter: call that otherwise"
                )
        self.meter()
        if self.compare is not None:
            self._check_compare(self.compare)
        if isinstance(self.base, FunctionBase):
            function = function_of(self.base, self.folder)
            check_call(function, str(self.base), (*self.parameters, *self.constants))
        else:
            assert self.folder is not None
            tried = ({**self.constants, **values} for values in self.space.corners(_TRIED))
            check_lab(self.base, self.bundle, self.folder, self.parameters, tried)

    def _check_compare(self, compare: Compare) -> None:
        if compare.between not in self.parameters:
            raise WordError(
                "compare.between",
                f"there is no parameter {compare.between!r} to compare between"
                f"{suggest(compare.between, self.parameters)}",
            )
        if compare.is_left_out:
            return
        if compare.baseline not in self.space.values_of(compare.between):
            known = dict.fromkeys(map(str, islice(self.space.values_of(compare.between), 10)))
            raise WordError(
                "compare.baseline",
                f"{compare.between} is never {compare.baseline!r}, so that nothing can be compared "
                f"with it{suggest(compare.baseline, known)}",
            )

    def points(self) -> Iterator[Point]:
        """Return the points in order: the last parameter varies fastest, and seeds within it."""
        return iter(self.order)

    def point(self, number: int) -> Point:
        """Return one point by its place, without making the others. IndexError."""
        return self.order.at(number)

    @property
    def size(self) -> int:
        """The number of runs, without making the points."""
        return self.order.size

    @property
    def space(self) -> Space:
        """All combinations of parameters."""
        return self.order.space

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.size:,} runs of {self.base}>"

    def __len__(self) -> int:
        """Return `size`. OverflowError beyond `sys.maxsize`."""
        return self.size

    def values(self, point: Point) -> dict[str, Value]:
        """Return parameters and constants at a point."""
        return {**self.constants, **point.parameters}

    def meter(self) -> Meter | None:
        """Return what measures the networks of one run; None: nothing of them is asked for.

        Raises ConfigError for what cannot be measured.
        """
        if not self.measure and self.series is None:
            return None
        from pystack.experiments.measures.meter import Meter  # few runs go without its parts

        return Meter(
            self.measure,
            series=() if self.series is None else self.series.of,
            every_s=0.1 if self.series is None else self.series.every_s,
            flows=self.flows or None,
            link=self.link,
            after_s=self.after_s,
        )

    @property
    def identity(self) -> str:
        """SHA-256 over all that its results depend on: with the bundle and pystack's version.

        Its name, its title, its limits and what it compares are not in it.
        """
        said = self._to_json()
        for word in ("name", "title", "limits", "compare"):
            del said[word]
        return hashlib.sha256(canonical(said).encode()).hexdigest()

    def to_json(self) -> str:
        """Return all of it, with its bundle and what was drawn, as canonical JSON."""
        return canonical(self._to_json())

    def program_json(self) -> str:
        """Return it without its points, for whoever is given these one by one."""
        return canonical(self._to_json() | Order(space_of(()), ()).to_json())

    def _to_json(self) -> dict[str, object]:
        base = self.base
        said: dict[str, object] = (
            {"module": base.module, "function": base.name, "file": base.file}
            if isinstance(base, FunctionBase)
            else {"lab": base.file, "for_s": base.for_s, "set": dict(base.places)}
        )
        series, compare = self.series, self.compare
        return {
            "format": _FORMAT,
            "version": __version__,
            "name": self.name,
            "title": self.title,
            "base": said,
            **self.order.to_json(),
            "constants": dict(self.constants),
            "measure": list(self.measure),
            "series": series and asdict(series),
            "flows": self.flows,
            "link": self.link,
            "after_s": self.after_s,
            "limits": asdict(self.limits),
            "compare": compare and asdict(compare),
            "files": self.bundle.to_json(),
        }

    @classmethod
    def from_json(cls, text: str) -> Experiment:
        """Return what `to_json` has said; before it runs, its files are to be unpacked.

        Raises ConfigError for what is no experiment.
        """
        try:
            said = json.loads(text)
            if said["format"] != _FORMAT:
                raise ConfigError(
                    f"this experiment has format {said['format']!r}, and here {_FORMAT} is read"
                )
            return cls._of_json(said)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"this is no experiment: {error!r}") from None

    @classmethod
    def _of_json(cls, said: dict[str, Any]) -> Experiment:
        self = cls.__new__(cls)  # all has been checked when it was made
        base = said["base"]
        self.base = (
            LabBase(base["lab"], base["for_s"], base["set"])
            if "lab" in base
            else FunctionBase(base["module"], base["function"], base["file"])
        )
        self.order = Order.from_json(said)
        self.parameters, self.seeds = self.space.names, self.order.seeds
        self.constants = said["constants"]
        self.measure = tuple(said["measure"])
        series, compare = said["series"], said["compare"]
        self.series = series and SeriesSpec(**{**series, "of": tuple(series["of"])})
        self.flows, self.link = said["flows"], said["link"] and tuple(said["link"])
        self.after_s = said["after_s"]
        self.limits = Limits(**said["limits"])
        self.compare = compare and Compare(**compare)
        self.name, self.title = said["name"], said["title"]
        self.bundle, self.folder = Bundle.from_json(said["files"]), None
        return self

    def unpack(self, folder: Path) -> None:
        """Write its files into a folder of their own, and put that first on `sys.path`."""
        self.bundle.unpack(folder)
        self.folder = folder.resolve()
        sys.path.insert(0, str(self.folder))


def canonical(said: object) -> str:
    """Return JSON that is the same for the same values, everywhere. ValueError."""
    return json.dumps(
        said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _seeds(seeds: int | Iterable[int]) -> tuple[int, ...]:
    """Return the seeds that are asked for: 1 to a number, or these. ConfigError."""
    if isinstance(seeds, bool) or not isinstance(seeds, int | Iterable) or isinstance(seeds, str):
        raise ConfigError(f"seeds are how many, or a list of which, not {seeds!r}")
    if isinstance(seeds, int):
        found: tuple[int, ...] = tuple(range(1, min(seeds, _SEEDS_MAX + 1) + 1))
    else:
        found = tuple(islice(seeds, _SEEDS_MAX + 1))
    if not found:
        raise ConfigError("there is no seed, so that there is nothing to run: at least 1")
    if len(found) > _SEEDS_MAX:
        raise ConfigError(f"{_SEEDS_MAX:,} seeds are the most: more is a slip")
    known: set[int] = set()
    for seed in found:
        if isinstance(seed, bool) or not isinstance(seed, int) or abs(seed) >= _SEED_MAX:
            raise ConfigError(f"a seed is a whole number of 64 bits, not {seed!r}")
        if seed in known:
            raise ConfigError(f"the seed {seed} is there twice: the same runs would be made again")
        known.add(seed)
    return found


def _pair(link: Iterable[str]) -> tuple[str, str]:
    names = tuple(link)
    if isinstance(link, str) or len(names) != 2:
        raise ConfigError(f"a link is named by its two ends, not by {link!r}")
    return names[0], names[1]


def _name_of(base: Base) -> str:
    return base.name.rpartition(".")[2] if isinstance(base, FunctionBase) else Path(base.file).stem
