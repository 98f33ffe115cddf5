"""What each counter means: the table `counters.toml`, read."""

import tomllib
from importlib.resources import files
from typing import NamedTuple


class Explanation(NamedTuple):
    """What a counter means."""

    section: str  # of the table: the layer, or who counts it
    sentence: str
    source: str  # the RFC and section, the manual page, or "pystack" for a rule of its own


def explanations() -> dict[str, Explanation]:
    """Return what each counter means, by name and in the order of the table."""
    table = tomllib.loads(files("pystack.core").joinpath("counters.toml").read_text("utf-8"))
    return {
        name: Explanation(section, *words)
        for section, entries in table.items()
        for name, words in entries.items()
    }
