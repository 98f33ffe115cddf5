"""The lanes of one proxy: which of them a connection goes over, and what is at its far end.

There is one for each set of toxics on packets that hit some connections only, as far as there are
connections that just these have hit. A toxic that hits all is on each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from pystack.apps.proxy.endpoints import Endpoint
from pystack.apps.proxy.toxics.packets import words_for
from pystack.apps.proxy.toxics.registry import is_packet_toxic
from pystack.apps.proxy.words import read_directions
from pystack.core.errors import ConfigError

if TYPE_CHECKING:
    from pystack.apps.proxy.lanes import Lane
    from pystack.apps.proxy.model import Proxy
    from pystack.apps.proxy.toxics.spec import ToxicSpec
    from pystack.apps.proxy.world import World

_SOME_PORT = 1  # of `right`, where the upstream's is not known


class FarEnd(Protocol):
    """What takes connections, or datagrams, at the right host of a lane."""

    def close(self, now: float) -> None:
        """Take no more."""
        ...


E = TypeVar("E", bound=FarEnd)


@dataclass(slots=True, eq=False)
class Way(Generic[E]):
    """One lane, with its far end; `hits`: which of the toxics with chance hit those who use it."""

    lane: Lane
    hits: frozenset[str]
    far: E
    users: int = 0  # connections, or sessions, which their proxy counts


class Ways(Generic[E]):
    """All of a proxy."""

    def __init__(self, world: World, proxy: Proxy, open_far: Callable[[Lane, int], E]) -> None:
        """`open_far` is given a lane, and the port at which its right host is to answer.

        Raises ConfigError.
        """
        self._world = world
        self._proxy = proxy
        self._open_far = open_far
        self._words = read_directions(proxy.words)
        self._ways: list[Way[E]] = []

    def find(self, hits: set[str], now: float) -> Way[E]:
        """Return the way of those whom these toxics hit: one that nobody uses, or a new one.

        Raises ConfigError.
        """
        partial = self._partial()
        wanted = partial & hits
        for way in self._ways:
            if way.hits & partial == wanted:
                return way
        for way in self._ways:
            if not way.users:
                self._shape(way.lane, wanted, now)
                way.hits = wanted
                return way
        lane = self._world.lanes.take(self._proxy.name)
        try:
            self._shape(lane, wanted, now)
            way = Way(lane, wanted, self._open_far(lane, self._port()))
        except (ConfigError, OSError):
            self._world.lanes.give_back(lane, now)
            raise
        self._ways.append(way)
        return way

    def follow(self, now: float) -> None:
        """Follow the words of the proxy's link, and its toxics. Raises ConfigError."""
        self._words = read_directions(self._proxy.words)
        for way in self._ways:
            self._shape(way.lane, way.hits, now)

    def _shape(self, lane: Lane, hits: frozenset[str], now: float) -> None:
        toxics = self._toxics(hits)
        lane.shape(words_for(self._words, toxics), toxics, now)

    def close(self, now: float) -> None:
        """Give all of them back."""
        for way in self._ways:
            way.far.close(now)
            self._world.lanes.give_back(way.lane, now)
        self._ways.clear()

    def _port(self) -> int:
        """Return the upstream's port, by which captures know what is spoken."""
        try:
            return Endpoint.parse(self._proxy.upstream).port or _SOME_PORT
        except ConfigError:
            return _SOME_PORT

    def _is_on_packets(self, toxic: ToxicSpec) -> bool:
        return is_packet_toxic(toxic.type, self._proxy.protocol)

    def _partial(self) -> frozenset[str]:
        """Return the toxics on packets that hit some only."""
        return frozenset(
            toxic.name
            for toxic in self._proxy.toxics
            if toxic.toxicity < 1 and self._is_on_packets(toxic)
        )

    def _toxics(self, hits: frozenset[str]) -> list[ToxicSpec]:
        return [
            toxic
            for toxic in self._proxy.toxics
            if self._is_on_packets(toxic) and (toxic.toxicity >= 1 or toxic.name in hits)
        ]
