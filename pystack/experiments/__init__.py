"""Experiments: sweeps of parameters and seeds over a lab or a function, run on all cores or more.

An experiment is a file (`pystack experiment run FILE`) or an `Experiment`. The names here are
public; all else may change.
"""

from pystack.experiments.experiment import Experiment, Function, Measured
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
from pystack.experiments.results.reading import Results, load, load_series
from pystack.experiments.runs import Run, SeriesWriter

__all__ = [
    "Compare",
    "Ended",
    "Experiment",
    "Function",
    "Limits",
    "Measured",
    "Outcome",
    "Point",
    "Results",
    "Run",
    "SeriesSpec",
    "SeriesWriter",
    "Track",
    "Value",
    "load",
    "load_series",
]
