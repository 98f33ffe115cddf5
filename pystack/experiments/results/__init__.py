"""What experiments came to: files, frames, and tables of medians."""

from pystack.experiments.results.journal import Row
from pystack.experiments.results.reading import Results, load, load_series

__all__ = ["Results", "Row", "load", "load_series"]
