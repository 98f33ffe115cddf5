"""Flaps: directions of a link that are cut and mended again and again, by the toxic "flap".

Where several flap, a direction is cut while one of them has it cut. Instants are computed from the
one before, so that flaps do not drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from pystack.apps.proxy.toxics.spec import DOWNSTREAM, MS, UPSTREAM, ToxicSpec, number

if TYPE_CHECKING:
    from pystack.core.scheduler import Handle, Scheduler

_DIRECTIONS: Final = {UPSTREAM: "a_to_b", DOWNSTREAM: "b_to_a"}


class Cuttable(Protocol):
    """A link, as far as flaps go."""

    def down(self, direction: str | None = None) -> None:
        """Cut a direction."""
        ...

    def up(self, direction: str | None = None) -> None:
        """Mend it."""
        ...


class Flaps:
    """The flaps of one link, whose `a` is the client's side."""

    __slots__ = ("_cut", "_flaps", "_link", "scheduler")

    def __init__(self, link: Cuttable, scheduler: Scheduler) -> None:
        self._link = link
        self.scheduler = scheduler
        self._flaps: dict[str, _Flap] = {}
        self._cut: set[str] = set()  # directions

    def update(self, toxics: Iterable[ToxicSpec], now: float) -> None:
        """Let it flap by these toxics from now on; those of other types are left out.

        One that is new begins with its time up; one that has changed goes on with the time that it
        was in.
        """
        wanted = {toxic.name: toxic for toxic in toxics if toxic.type == "flap"}
        for name in self._flaps.keys() - wanted.keys():
            self._flaps.pop(name).stop()
        for name, toxic in wanted.items():
            if name in self._flaps:
                self._flaps[name].change(toxic)
            else:
                self._flaps[name] = _Flap(self, toxic, now)
        self.settle()

    def close(self) -> None:
        """Flap no more; what is cut is mended."""
        self.update((), 0.0)

    def settle(self) -> None:
        """Cut and mend what is to be."""
        cut = {_DIRECTIONS[flap.toxic.stream] for flap in self._flaps.values() if flap.is_down}
        for direction in sorted(cut - self._cut):
            self._link.down(direction)
        for direction in sorted(self._cut - cut):
            self._link.up(direction)
        self._cut = cut


class _Flap:
    """One toxic, and which time it is in."""

    __slots__ = ("_all", "_began_at", "_timer", "is_down", "toxic")

    def __init__(self, flaps: Flaps, toxic: ToxicSpec, now: float) -> None:
        self._all = flaps
        self.toxic = toxic
        self.is_down = False
        self._began_at = now  # the time that it is in
        self._timer = self._arm()

    def change(self, toxic: ToxicSpec) -> None:
        """Go on by other attributes."""
        if toxic != self.toxic:
            self.toxic = toxic
            self._timer.cancel()
            self._timer = self._arm()

    def stop(self) -> None:
        """Let the timer not run any more."""
        self._timer.cancel()

    def _arm(self) -> Handle:
        return self._all.scheduler.call_at(self._ends_at(), self._turn)

    def _ends_at(self) -> float:
        name = "down" if self.is_down else "up"
        return self._began_at + number(self.toxic.attributes, name) * MS

    def _turn(self, now: float) -> None:
        self._began_at = self._ends_at()
        self.is_down = not self.is_down
        self._all.settle()
        self._timer = self._arm()
