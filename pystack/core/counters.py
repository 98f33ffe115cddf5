"""Counters by name: nothing is dropped or refused without one of them saying so."""

from typing import NamedTuple


class Counters(dict[str, int]):
    """Names to numbers; a name that was never counted reads as 0 (and is not stored)."""

    __slots__ = ()

    def __missing__(self, name: str) -> int:
        """Return 0 for what was never counted."""
        return 0

    def add(self, name: str, count: int = 1) -> None:
        """Count `name`."""
        self[name] = self[name] + count


class Explanation(NamedTuple):
    """What a counter means."""

    section: str  # of the table: the layer, or who counts it
    sentence: str
    source: str  # the RFC and section, the manual page, or "pystack" for a rule of its own


def explanations() -> dict[str, Explanation]:
    """Return what each counter means, by name and in the order of the table."""
    # Few ask, and importing these takes milliseconds.
    import tomllib
    from importlib.resources import files

    table = tomllib.loads(files("pystack.core").joinpath("counters.toml").read_text("utf-8"))
    return {
        name: Explanation(section, *words)
        for section, entries in table.items()
        for name, words in entries.items()
    }
