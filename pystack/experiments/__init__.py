"""Experiments: sweeps of parameters and seeds over a lab or a function, run on all cores or more.

An experiment is a file (`pystack experiment run FILE`) or an `Experiment`. The names here are
public; all else may change.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pystack.experiments.bundle import Source
from pystack.experiments.experiment import Experiment, Function, Measured
from pystack.experiments.file import from_file
from pystack.experiments.labs import lab
from pystack.experiments.model import (
    Compare,
    Ended,
    Limits,
    Outcome,
    Point,
    SeriesSpec,
    Track,
    Value,
)
from pystack.experiments.parameters import Axis, Sample, sample, zipped
from pystack.experiments.results import Results, Row, load, load_series
from pystack.experiments.running import Progress, RunningError, Stopped, run
from pystack.experiments.runs import Run, SeriesWriter
from pystack.experiments.spans import Span, log_span, span

if TYPE_CHECKING:
    from pystack.experiments import plot, statistics
    from pystack.experiments.measures.meter import Meter
    from pystack.experiments.scenes import dumbbell, request_response

__all__ = [
    "Axis",
    "Compare",
    "Ended",
    "Experiment",
    "Function",
    "Limits",
    "Measured",
    "Meter",
    "Outcome",
    "Point",
    "Progress",
    "Results",
    "Row",
    "Run",
    "RunningError",
    "Sample",
    "SeriesSpec",
    "SeriesWriter",
    "Source",
    "Span",
    "Stopped",
    "Track",
    "Value",
    "dumbbell",
    "from_file",
    "lab",
    "load",
    "load_series",
    "log_span",
    "plot",
    "request_response",
    "run",
    "sample",
    "span",
    "statistics",
    "zipped",
]

# Imported when they are asked for: most sweeps go without.
_MODULES: Final = ("plot", "statistics")
_LATER: Final[Mapping[str, str]] = {
    "Meter": "pystack.experiments.measures.meter",
    "dumbbell": "pystack.experiments.scenes",
    "request_response": "pystack.experiments.scenes",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is asked for, the first time."""
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(_LATER[name]), name)
        return value
