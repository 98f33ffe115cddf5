"""Folders of results without any run: rows are made up, and written as a sweep writes them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from random import Random

from pystack import __version__
from pystack.experiments.model import Compare, Ended, Outcome, Point, Track, Value
from pystack.experiments.order import Order
from pystack.experiments.parameters import Axis, Space
from pystack.experiments.results.description import ASKED, Description
from pystack.experiments.results.journal import JOURNAL, line_of
from pystack.experiments.results.series import pack_series, series_file
from pystack.experiments.results.table import write_rows

Measures = Mapping[str, Value | None]


def described(
    parameters: Iterable[str] = ("control",),
    *,
    measures: Iterable[str] = (),
    seeds: Iterable[int] = (1, 2, 3),
    runs: int = 6,
    compare: Compare | None = None,
    version: str = __version__,
    identity: str = "ab" * 32,
    name: str = "made",
    title: str = "",
    constants: Mapping[str, Value] | None = None,
) -> Description:
    return Description(
        name=name,
        title=title,
        version=version,
        identity=identity,
        base="mine.py:run",
        parameters=tuple(parameters),
        measures=tuple(measures),
        seeds=tuple(seeds),
        runs=runs,
        compare=compare,
        constants=dict(constants or {}),
    )


def folder_of(
    folder: Path,
    description: Description,
    ended: Iterable[tuple[Point, Outcome]],
    *,
    whole: bool = True,
    space: Mapping[str, Sequence[Value]] | None = None,
) -> Path:
    """Write a folder of results; not `whole`: its sweep is still running.

    Its points are all of `space`; None: those that have ended.
    """
    ended = list(ended)
    points = sorted((point for point, _ in ended), key=lambda point: point.number)
    space = space or {
        name: list(dict.fromkeys(point.parameters[name] for point in points))
        for name in description.parameters
    }
    asked = Order(
        Space(Axis({name: tuple(values)}) for name, values in space.items()),
        list(dict.fromkeys(point.seed for point in points)),
    )
    (folder / "series").mkdir(parents=True)
    text = json.dumps(description.to_json() | {"experiment": asked.to_json()})
    (folder / ASKED).write_text(text)
    lines = []
    for point, outcome in ended:
        lines.append(line_of(point, outcome) + "\n")
        if outcome.series is not None:
            series_file(folder, outcome.digest).write_bytes(outcome.series)
    (folder / JOURNAL).write_text("".join(lines))
    if whole:
        write_rows(folder)
    return folder


def sweep(
    folder: Path,
    space: Mapping[str, Sequence[Value]],
    measured: Callable[[Point, Random], Measures],
    *,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    tracks: Callable[[Point, Random], Sequence[Track]] = lambda point, rng: (),
    failed: Callable[[Point], Ended] = lambda point: "ok",
    compare: Compare | None = None,
    title: str = "",
    name: str = "made",
    whole: bool = True,
    constants: Mapping[str, Value] | None = None,
) -> Path:
    """Write what a sweep over a product would have, with measurements that are made up."""
    ended = []
    for number, values in enumerate(itertools.product(*space.values(), enumerate(seeds))):
        *parameters, (repetition, seed) = values
        point = Point(number, dict(zip(space, parameters, strict=True)), repetition, seed)
        rng = Random(str(point))
        if (how := failed(point)) != "ok":
            ended.append((point, Outcome(how, "ValueError: too much")))
            continue
        digest = f"{number:064x}"
        series = pack_series(tracks(point, rng))
        ended.append((point, Outcome("ok", "", measured(point, rng), series, digest)))
    description = described(
        space,
        seeds=seeds,
        runs=len(ended),
        compare=compare,
        title=title,
        name=name,
        constants=constants,
    )
    return folder_of(folder, description, ended, whole=whole, space=space)
