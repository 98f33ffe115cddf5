"""Checks: what a driver has looked at after each event of the world."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Check(Protocol):
    """Something to look at. It raises where it is not as it has to be, which ends the run."""

    def check(self) -> None:
        """Look. It may remove itself."""
        ...


class Checks:
    """Those of one driver, in the order in which they were added; false while there are none."""

    __slots__ = ("_all", "_looks")

    def __init__(self) -> None:
        self._all: list[Check] = []
        self._looks = False  # one of them is being looked at

    def add(self, check: Check) -> None:
        """Look at it from the next event on."""
        self._all.append(check)

    def remove(self, check: Check) -> None:
        """Look at it no more."""
        if check in self._all:
            self._all.remove(check)

    def look(self) -> None:
        """Look at all of them. Raises what the first one raises."""
        if self._looks:
            return  # what one does has made something happen
        self._looks = True
        try:
            for check in tuple(self._all):
                check.check()
        finally:
            self._looks = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._all)

    def __iter__(self) -> Iterator[Check]:
        """Iterate over them, as they are now."""
        return iter(tuple(self._all))

    def __contains__(self, check: object) -> bool:
        """Tell whether it is one of them."""
        return check in self._all
