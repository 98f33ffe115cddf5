"""One point of an experiment, run in this process: what a child does.

What comes of it depends on the experiment and the point alone: in errors, paths are those of the
bundle, and addresses of memory are left out.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, cast

from pystack.core.errors import ConfigError, PystackError, one_line
from pystack.experiments.bundle import INSTALLED
from pystack.experiments.experiment import Experiment, canonical
from pystack.experiments.functions import AnyFunction, function_of
from pystack.experiments.labs import run_lab_at
from pystack.experiments.model import FunctionBase, Outcome, Point, Track, Value
from pystack.experiments.results.series import pack_series
from pystack.experiments.runs import Run
from pystack.experiments.values import RESERVED, check_value
from pystack.runtime.current import seed_of_run
from pystack.runtime.driver.exception_groups import unwrapped
from pystack.runtime.driver.virtual import run as run_in_virtual_time
from pystack.runtime.lab.functions import ProgramError, offered

# What a number that a function returns by itself is called.
VALUE: Final = "value"
MEASURES_MAX: Final = 2000  # of one run: each is a column
_MOST_CHARACTERS: Final = 2000  # of what is said of a run that failed
_ADDRESS: Final = re.compile(r"\b0x[0-9a-f]{6,}\b")


class _WrongResultError(PystackError):
    """What a function returned is no measurement."""


def run_point(experiment: Experiment, point: Point, function: AnyFunction | None = None) -> Outcome:
    """Run one point and say what came of it: it raises nothing but KeyboardInterrupt.

    The files of the experiment are unpacked here. Time and memory are for the caller to limit.
    `function`: what `function_of` has found already; None: it is looked for.
    """
    # In the order of their names: what a function of any parameters makes of them does not depend
    # on the order in which an experiment has its own, which may be another when it grows.
    run = Run(dict(sorted(experiment.values(point).items())), point.seed)
    try:
        with _seeded(point.seed):
            measures, tracks = _measured(experiment, run, function)
        series = pack_series(tracks)
    except _WrongResultError as error:
        return Outcome("wrong_result", _cut(str(error)))
    except MemoryError:
        return Outcome("memory_limit", "MemoryError")
    except BaseException as error:
        if _is_interrupt(error):
            raise KeyboardInterrupt from None
        return Outcome("raised", _cut(_told(error, experiment.folder)))
    return Outcome("ok", measures=measures, series=series, digest=digest_of(measures, tracks))


def digest_of(measures: Mapping[str, Value | None], tracks: Iterable[Track]) -> str:
    """Return SHA-256 over measurements and time series, the same on every machine."""
    digest = hashlib.sha256(canonical(dict(measures)).encode())
    for track in tracks:
        digest.update(canonical([track.series, track.subject, track.unit]).encode())
        for column in (track.times_s, track.values):
            numbers = column[:]
            if sys.byteorder == "big":
                numbers.byteswap()
            digest.update(len(numbers).to_bytes(8, "little"))
            digest.update(numbers.tobytes())
    return digest.hexdigest()


def _measured(
    experiment: Experiment, run: Run, function: AnyFunction | None
) -> tuple[dict[str, Value | None], Sequence[Track]]:
    """Run it; return what is measured, and the time series. Raises what the program raises."""
    meter = experiment.meter()
    with nullcontext() if meter is None else meter:
        returned = list(_run(experiment, run, function))
    found: dict[str, Value | None] = {}
    if len(returned) > MEASURES_MAX:
        raise _WrongResultError(
            f"{len(returned):,} measurements of one run: {MEASURES_MAX:,} are the most, and "
            "run.series() takes any number of values"
        )
    for name, value in returned:
        _take(found, run, name, value)
    if meter is None:
        return found, run.tracks
    metered, tracks = meter.result()
    for name, value in metered.items():
        _take(found, run, name, value)
    return found, (*tracks, *run.tracks)


def _run(
    experiment: Experiment, run: Run, function: AnyFunction | None
) -> Iterable[tuple[object, object]]:
    """Run the base; return names and values of what it returned, not looked at yet."""
    base = experiment.base
    if not isinstance(base, FunctionBase):
        if experiment.folder is None:
            raise ConfigError("the files of the experiment have not been unpacked")
        return run_lab_at(base, experiment.bundle, experiment.folder, run.parameters, run)
    function = function or function_of(base, experiment.folder)
    call = partial(function, **run.parameters, **offered(function, {"seed": run.seed, "run": run}))
    if inspect.iscoroutinefunction(function):
        returned: object = run_in_virtual_time(
            cast("Callable[[], Awaitable[object]]", call), seed=run.seed
        )
    else:
        returned = call()
    if returned is None:
        return ()
    if isinstance(returned, Mapping):
        return returned.items()
    if inspect.isawaitable(returned):
        if inspect.iscoroutine(returned):
            returned.close()
        raise _WrongResultError(f"{base} returned something to be awaited: write it with async def")
    return ((VALUE, returned),)


def _take(found: dict[str, Value | None], run: Run, name: object, value: object) -> None:
    """Take one measurement. Raises _WrongResultError."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise _WrongResultError(f"a measurement has the name {name!r}, which is none")
    if name in found:
        raise _WrongResultError(f"{name!r} was measured twice")
    if name in RESERVED or name in run.parameters:
        what = "a parameter" if name in run.parameters else "a column of all results"
        raise _WrongResultError(f"{name!r} was measured, but is the name of {what}")
    if hasattr(value, "item") and not isinstance(value, bool | int | float | str):
        value = _of_numpy(name, value)
    if value is not None:
        try:
            value = check_value(value, name)
        except ConfigError as error:
            raise _WrongResultError(str(error)) from None
    found[name] = value


def _of_numpy(name: str, value: object) -> object:
    """Return a number of numpy's as one of Python's."""
    try:
        return value.item()  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise _WrongResultError(f"{name} is an array, and no number") from None


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Give networks that are made without a seed this one."""
    token = seed_of_run.set(seed)
    try:
        yield
    finally:
        seed_of_run.reset(token)


def _cut(text: str) -> str:
    """Leave the middle of a text out that is long."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    return f"{text[: _MOST_CHARACTERS // 2]} ... {text[-_MOST_CHARACTERS // 2 :]}"


def _is_interrupt(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_interrupt(each) for each in error.exceptions)
    return isinstance(error, KeyboardInterrupt)


def _told(error: BaseException, folder: Path | None) -> str:
    """Return type, message and place of an error, in the form that it has on each machine."""
    if isinstance(error, BaseExceptionGroup):
        error = unwrapped(error)
    if isinstance(error, ProgramError) and error.__cause__ is not None:
        error = error.__cause__
        if isinstance(error, BaseExceptionGroup):
            error = unwrapped(error)
    try:
        message = _cut(one_line(error))
    except Exception as other:  # its own text raises
        message = f"(and its text raises {type(other).__name__})"
    told = f"{type(error).__name__}: {message}" if message else type(error).__name__
    if folder is not None:
        told = told.replace(f"{folder}/", "")
    place = _place(error.__traceback__, folder)
    return _ADDRESS.sub("0x...", told) + (f", in {place}" if place else "")


def _place(trace: TracebackType | None, folder: Path | None) -> str:
    """Return where an error comes from: the innermost line of the user's own code, if any."""
    place = innermost = ""
    for frame, line in traceback.walk_tb(trace):
        path = Path(frame.f_code.co_filename)
        innermost = f"{'/'.join(path.parts[-2:])}:{line}"
        if folder is not None and path.is_relative_to(folder):
            place = f"{path.relative_to(folder).as_posix()}:{line}"
        elif not any(path.is_relative_to(each) for each in INSTALLED) and path.is_file():
            place = f"{path.name}:{line}"
    return place or innermost
