"""Which toxics hit a connection: drawn once for each, by its toxicity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from pystack.apps.proxy.toxics.spec import ToxicSpec


class Draws:
    """The toxics of one connection. What was drawn holds until the toxicity is another."""

    __slots__ = ("_drawn", "hits")

    def __init__(self, toxics: Iterable[ToxicSpec], rng: Random) -> None:
        self._drawn: dict[str, float] = {}  # with which toxicity
        self.hits: set[str] = set()  # names of those that hit it
        self.follow(toxics, rng)

    def follow(self, toxics: Iterable[ToxicSpec], rng: Random) -> None:
        """Draw for those that are new or have another toxicity, and forget those that are gone."""
        drawn, self._drawn = self._drawn, {}
        for toxic in toxics:
            self._drawn[toxic.name] = toxic.toxicity
            if drawn.get(toxic.name) != toxic.toxicity:
                # A certain one takes nothing from the source.
                if toxic.toxicity >= 1 or rng.random() < toxic.toxicity:
                    self.hits.add(toxic.name)
                else:
                    self.hits.discard(toxic.name)
        self.hits &= self._drawn.keys()
