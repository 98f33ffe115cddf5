"""What code has of a host, or of a world: a clock, and what it draws from."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cached_property
from itertools import count
from typing import Final, cast

from pystack.core.rng import Random, component_rng
from pystack.runtime.borrowed.calendar import WorldClock


class Chance:
    """What a host, or a world, draws from. Each source is made when it is asked for first."""

    def __init__(self, seed: int, name: str) -> None:
        self._seed, self._name = seed, name
        self.uuid_state: dict[str, object] = {}  # what module `uuid` remembers of those before
        # In the names that `threading` and thread pools give, which logs show
        self.thread_numbers, self.pool_numbers = count(1), count()

    @cached_property
    def random(self) -> Random:
        """Return what `random`'s functions draw from."""
        return component_rng(self._seed, f"{self._name}: random of programs")

    @cached_property
    def entropy(self) -> Random:
        """Return what stands for the noise that a machine collects."""
        return component_rng(self._seed, f"{self._name}: entropy of programs")

    @cached_property
    def file_names(self) -> Iterator[str]:
        """Return what names temporary files: apart, since some names may be taken already."""
        names = tempfile._RandomNameSequence()  # type: ignore[attr-defined]
        names._rng_pid = os.getpid()  # else it makes one of its own
        names._rng = component_rng(self._seed, f"{self._name}: names of files")
        return cast("Iterator[str]", names)


class Own:
    """The clock and the chance of one world; None where they are the machine's."""

    def __init__(self) -> None:
        self.clock: WorldClock | None = None
        self.chance: Chance | None = None


# What code has that is on no host (`world="whole"`); None: what the machine has.
current_world: Final[ContextVar[Own | None]] = ContextVar("pystack_world", default=None)
