"""Experiments: sweeps of parameters and seeds over a lab or a function, run on all cores or more.

An experiment is a file (`pystack experiment run FILE`) or an `Experiment`. The names here are
public; all else may change.
"""

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
from pystack.experiments.parameters import Axis, Sample, Span, log_span, sample, span, zipped
from pystack.experiments.results.reading import Results, load, load_series
from pystack.experiments.running import Progress, RunningError, Stopped, run
from pystack.experiments.runs import Run, SeriesWriter

__all__ = [
    "Axis",
    "Compare",
    "Ended",
    "Experiment",
    "Function",
    "Limits",
    "Measured",
    "Outcome",
    "Point",
    "Progress",
    "Results",
    "Run",
    "RunningError",
    "Sample",
    "SeriesSpec",
    "SeriesWriter",
    "Span",
    "Stopped",
    "Track",
    "Value",
    "from_file",
    "lab",
    "load",
    "load_series",
    "log_span",
    "run",
    "sample",
    "span",
    "zipped",
]
