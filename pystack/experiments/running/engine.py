"""What runs the points of a sweep: processes of this machine, or a cluster's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from pystack.experiments.model import Point
    from pystack.experiments.running.supervisor import Done

TICK_S = 0.1  # an engine says that nothing has ended at least as often


class Engine(AbstractContextManager["Engine"], Protocol):
    """A `with` block, at whose end nothing of it runs any more."""

    def __enter__(self) -> Self:
        """Get ready."""
        ...

    def outcomes(self, points: Iterator[Point], count: int) -> Iterator[Done | None]:
        """Run points, of which there are `count`; yield runs as they end, and None now and then.

        Points are taken as they are needed, never all at once. A run may come twice.
        """
        ...

    def begin_no_more(self) -> None:
        """Take no further points; those that have begun are run to their ends."""
        ...
