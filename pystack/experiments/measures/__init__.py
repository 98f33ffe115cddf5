"""Measures: what is taken of a run while it goes on, by the words of an experiment's `measure`."""

from pystack.experiments.measures.registry import (
    MEASURES,
    SERIES,
    Column,
    Measure,
    Series,
    parse_measures,
    parse_series,
    unit_of_series,
)

__all__ = [
    "MEASURES",
    "SERIES",
    "Column",
    "Measure",
    "Series",
    "parse_measures",
    "parse_series",
    "unit_of_series",
]
