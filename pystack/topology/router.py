"""Router: a host that forwards, and the shortest ways through a network of routers.

The ways are counted in hops, as RIP does (RFC 2453), but worked out once for the whole network and
not learned from messages: no packet is spent, and the result is the same every time. Of ways of one
length the one out of the first interface is taken, and there the one over the router made first.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pystack.core.addresses import Prefix
from pystack.core.scheduler import Scheduler
from pystack.stack.host import Host

_FAR: Final = 1 << 30


class Router(Host):
    """A host that passes on packets which are for others (`stack/forward.py`)."""

    def __init__(self, name: str, scheduler: Scheduler, seed: int) -> None:
        super().__init__(name, scheduler, seed)
        self.forwarding = True


@dataclass(frozen=True, slots=True)
class Way:
    """The next step to somewhere: the interface to take, and the router behind it."""

    interface: int  # the number of the interface among the node's own
    router: str


class Ways:
    """Shortest ways from every node to every segment that it is not on itself.

    `segments` has the names of the nodes on each (routers and hosts, in the order of their making);
    `interfaces` the segments of each node, in the order of its interfaces. Segments with the same
    routers on them, as all links from one router to a host each, are equally far from everywhere:
    what is to be worked out is worked out once for all of them.
    """

    def __init__(
        self,
        segments: Sequence[Sequence[str]],
        interfaces: Mapping[str, Sequence[int]],
        routers: Sequence[str],
    ) -> None:
        self._interfaces = interfaces
        known = frozenset(routers)
        # The routers on each segment
        self._on = [tuple(name for name in names if name in known) for names in segments]
        # The segments of each router that lead to another one
        self._onward = {
            router: [through for through in interfaces[router] if len(self._on[through]) > 1]
            for router in routers
        }
        self._hops_to: dict[tuple[str, ...], dict[str, int]] = {}
        self._island, self._segments_of = self._islands()

    def only(self, name: str) -> Way | None:
        """Return the one way on from a host that leads anywhere; None: there are several, or none.

        Most hosts have one router. To look for a way to each segment would take as long as there
        are pairs of both.
        """
        doors = self._doors(name)
        if len(doors) != 1:
            return None
        (way,) = doors
        island = self._island[way.router]
        own = {
            number
            for number in self._interfaces[name]
            if self._on[number] and self._island[self._on[number][0]] == island
        }
        return way if self._segments_of[island] > len(own) else None

    def has_choice(self, name: str) -> bool:
        """Tell whether several routers are next to a node."""
        return len(self._doors(name)) > 1

    def steps(self, name: str) -> Iterator[tuple[int, Way]]:
        """Go through the segments that a node is not on, with the first step to each."""
        doors = self._doors(name)
        if not doors:
            return
        own = frozenset(self._interfaces[name])
        found: dict[tuple[str, ...], Way | None] = {}
        for segment, on in enumerate(self._on):
            try:
                way = found[on]
            except KeyError:
                way = found[on] = self._step(name, doors, on)
            if way is not None and segment not in own:
                yield segment, way

    def _doors(self, name: str) -> list[Way]:
        """Return the routers that are next to a node, each by its first interface to there."""
        interfaces = self._interfaces[name]
        through = self._onward.get(name)
        if through is not None and not through:
            return []  # a router with none, and maybe with thousands of interfaces
        doors: dict[str, Way] = {}
        for number, segment in enumerate(interfaces):
            for router in self._on[segment]:
                if router != name and router not in doors:
                    doors[router] = Way(number, router)
        return list(doors.values())

    def _step(self, name: str, doors: Sequence[Way], on: tuple[str, ...]) -> Way | None:
        hops = self._hops(on)
        best, nearest = None, _FAR
        for way in doors:
            if hops.get(way.router, _FAR) < nearest:
                best, nearest = way, hops[way.router]
        # A router takes only steps that bring it nearer: else two could send in a circle.
        return best if nearest < hops.get(name, _FAR) else None

    def _hops(self, on: tuple[str, ...]) -> dict[str, int]:
        """Return for each router how many segments away from it one with these is (1: on it)."""
        if on in self._hops_to:
            return self._hops_to[on]
        hops: dict[str, int] = {}
        reached: set[int] = set()
        found = list(on)
        distance = 1
        while found:
            hops.update(dict.fromkeys(found, distance))
            edge: list[int] = []
            for router in found:
                for through in self._onward[router]:
                    if through not in reached:
                        reached.add(through)
                        edge.append(through)
            distance += 1
            found = [
                router for through in edge for router in self._on[through] if router not in hops
            ]
        self._hops_to[on] = hops
        return hops

    def _islands(self) -> tuple[dict[str, int], list[int]]:
        """Return the island of routers that each is on, and how many segments each island has."""
        island: dict[str, int] = {}
        count = 0
        for start in self._onward:
            if start in island:
                continue
            edge = [start]
            island[start] = count
            while edge:
                for through in self._onward[edge.pop()]:
                    for router in self._on[through]:
                        if router not in island:
                            island[router] = count
                            edge.append(router)
            count += 1
        sizes = [0] * count
        for on in self._on:
            if on:
                sizes[island[on[0]]] += 1
        return island, sizes


def common_way(ways: Mapping[Prefix, Way]) -> Way | None:
    """Return the way that most blocks take (of equals the first): the default. None for none."""
    count: dict[Way, int] = {}
    for way in ways.values():
        count[way] = count.get(way, 0) + 1
    return max(count, key=lambda way: count[way], default=None)
