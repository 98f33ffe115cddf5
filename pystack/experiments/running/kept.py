"""What a folder of results has of what an experiment asks for: looked at, with nothing written.

The folder may be of an experiment that asks for other points. Where the same is run at each of them
its runs are as good here, and whatever is missing is to be run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pystack.core.errors import ConfigError
from pystack.core.suggest import counted
from pystack.experiments.model import Ended, Point
from pystack.experiments.order import Order
from pystack.experiments.results.description import (
    ASKED,
    is_there,
    order_of,
    read_asked,
    read_description,
)
from pystack.experiments.results.journal import JOURNAL, damaged, entries
from pystack.experiments.results.table import ROWS

if TYPE_CHECKING:
    from pystack.experiments.experiment import Experiment

# In these, what a run comes to does not differ; but see `_BY_LIMITS`.
_SAYS_NOTHING: Final = frozenset({"name", "title", "compare", "limits", "seeds"})
_RUNS_MAX: Final = 100_000_000
# How runs ended that may come to something else with other limits.
_BY_LIMITS: Final = frozenset({"time_limit", "memory_limit", "died"})


class Kept:
    """Which runs of an experiment are done, by their numbers."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.failed: set[int] = set()  # of those that are done
        self._done = bytearray(size)  # 1: it is

    def has(self, number: int) -> bool:
        """Tell whether a run is done."""
        return self._done[number] == 1

    def take(self, numbers: Iterable[int], ended: Ended) -> None:
        """Note that runs are done. Of one that was run again, what came last is what holds."""
        for number in numbers:
            self.count += not self._done[number]
            self._done[number] = 1
            if ended == "ok":
                self.failed.discard(number)
            else:
                self.failed.add(number)

    def forget_failed(self) -> None:
        """Have what failed run again."""
        for number in self.failed:
            self._done[number] = 0
        self.count -= len(self.failed)
        self.failed.clear()


def check_size(experiment: Experiment) -> None:
    """Raise ConfigError where no sweep would ever end."""
    if experiment.size > _RUNS_MAX:
        raise ConfigError(
            f"{experiment.size:,} runs are too many for one sweep: {_RUNS_MAX:,} are the most"
        )


def kept_in(folder: Path, experiment: Experiment, *, resume: bool, retry: bool = False) -> Kept:
    """Return which runs need not be run again. `retry`: resume, and run again what failed.

    Raises ConfigError where the folder has runs of something else, or has any and neither is said.
    """
    check_size(experiment)
    kept = Kept(experiment.size)
    journal = folder / JOURNAL
    has_rows = is_there(journal) and journal.stat().st_size > 0
    if not is_there(folder / ASKED):
        if has_rows or is_there(folder / ROWS):
            name = JOURNAL if has_rows else ROWS
            raise ConfigError(
                f"{folder} has {name} and no {ASKED}: whose results these are cannot be told; use "
                "another folder"
            )
        return kept
    read_description(folder)  # raises where that is a stranger's file
    if not has_rows and is_there(folder / ROWS):
        raise ConfigError(
            f"{folder} has {ROWS} and no runs in {JOURNAL}, which a sweep goes on from: put that "
            "back, or use another folder"
        )
    if not has_rows:  # a sweep was begun here and came to nothing, as where no scheduler was found
        return kept
    if not (resume or retry):
        raise ConfigError(
            f"{folder} has results already: resume goes on with them (--resume), another folder "
            "(--to) begins anew"
        )
    there = read_asked(folder)
    order = order_of(there, folder)
    if difference := _difference(there, order, experiment):
        raise ConfigError(
            f"{folder} has results of another experiment: {difference}; use another folder"
        )
    limits = asdict(experiment.limits)
    by_limits = _take_all(kept, folder, order, experiment)
    if retry:
        kept.forget_failed()
    elif by_limits and (changes := list(_changes("limits", there.get("limits"), limits))):
        raise ConfigError(
            f"{folder} has {counted(by_limits, 'run')} that limits have ended, and "
            f"{'; '.join(changes)}: retry runs again what failed, and the limits from there keep it"
        )
    return kept


def _take_all(kept: Kept, folder: Path, there: Order, experiment: Experiment) -> int:
    """Note all runs of a folder, and return how many of them limits have ended.

    Raises ConfigError where the experiment asks for some of them no longer.
    """
    by_limits = strays = 0
    stray = ""
    for at, (parameters, seed, outcome) in entries(folder / JOURNAL):
        by_limits += outcome.ended in _BY_LIMITS
        numbers = experiment.order.numbers(parameters, seed)
        if numbers:
            kept.take(numbers, outcome.ended)
        elif there.numbers(parameters, seed):
            strays += 1
            stray = stray or str(Point(0, parameters, 0, seed))
        else:
            raise damaged(folder / JOURNAL, at)
    if strays:
        raise ConfigError(
            f"{folder} has {counted(strays, 'run')} that this experiment does not ask for, such as "
            f"{stray}{_redrawn(there, experiment.order)}; ask for all that is there, and more, or "
            "use another folder"
        )
    return by_limits


def _redrawn(there: Order, here: Order) -> str:
    """Say that a sample is another one, if it is so."""
    samples = [(axis.names, list(axis.rows)) for axis in here.space.axes if axis.is_drawn]
    for axis in there.space.axes:
        if axis.is_drawn and (axis.names, list(axis.rows)) not in samples:
            return (
                f" (the sample of {', '.join(axis.names)} is another one: it is drawn as a whole, "
                "so that with other points, seed or ranges each of its points is another)"
            )
    return ""


def _difference(there: Mapping[str, Any], order: Order, experiment: Experiment) -> str:
    """Say in what an experiment differs from another, apart from its points; "": in nothing."""
    here = json.loads(experiment.program_json())
    one, other = ({**said, "parameters": None} for said in (there, here))
    if set(order.space.names) != set(experiment.parameters):
        one["parameters"], other["parameters"] = order.space.names, experiment.parameters
    files, ours = one.pop("files", None), other.pop("files")
    for word in _SAYS_NOTHING:
        one.pop(word, None)
        del other[word]
    parts = list(_changes("", one, other))
    if not parts and files != ours:
        files = files if isinstance(files, Mapping) else {}
        names = sorted(files.keys() | ours.keys())
        changed = [name for name in names if files.get(name) != ours.get(name)]
        return f"{', '.join(changed[:3])} has changed"
    return "; ".join(parts[:3])


def _changes(name: str, there: object, here: object) -> Iterator[str]:
    """Say what differs: of tables, each word."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for word in sorted(there.keys() | here.keys()):
            within = f"{name}.{word}" if name else word
            yield from _changes(within, there.get(word), here.get(word))
    elif there != here:
        yield f"{name} is {_shown(there)} there and {_shown(here)} here"


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
