"""Router: a host that forwards, and the shortest ways through a network of routers.

The ways are counted in hops, as RIP does (RFC 2453), but worked out once for the whole network and
not learned from messages: no packet is spent, and the result is the same every time. Of ways of one
length the one out of the first interface is taken, and there the one over the router made first.
"""

from collections.abc import Mapping, Sequence
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
    `interfaces` the segments of each node, in the order of its interfaces.
    """

    def __init__(
        self,
        segments: Sequence[Sequence[str]],
        interfaces: Mapping[str, Sequence[int]],
        routers: Sequence[str],
    ) -> None:
        self._interfaces = interfaces
        self._routers = frozenset(routers)
        self._on = [
            [name for name in names if name in self._routers] for names in segments
        ]  # the routers on each segment

    def to(self, segment: int) -> dict[str, Way]:
        """Return the first step to a segment from each node that has one and needs one."""
        hops = self._hops(segment)
        ways: dict[str, Way] = {}
        for name, own in self._interfaces.items():
            if segment in own:
                continue
            best, nearest = None, _FAR
            for number, through in enumerate(own):
                for router in self._on[through]:
                    if router != name and hops.get(router, _FAR) < nearest:
                        best, nearest = Way(number, router), hops[router]
            # A router takes only steps that bring it nearer: else two could send in a circle.
            if best is not None and nearest < hops.get(name, _FAR):
                ways[name] = best
        return ways

    def _hops(self, segment: int) -> dict[str, int]:
        """Return for each router how many segments away it is from `segment` (1: it is on it)."""
        hops: dict[str, int] = {}
        reached = {segment}
        edge = [segment]
        distance = 1
        while edge:
            found = [
                router for through in edge for router in self._on[through] if router not in hops
            ]
            hops.update(dict.fromkeys(found, distance))
            edge = []
            for router in found:
                for through in self._interfaces[router]:
                    if through not in reached:
                        reached.add(through)
                        edge.append(through)
            distance += 1
        return hops


def common_way(ways: Mapping[Prefix, Way]) -> Way | None:
    """Return the way that most blocks take (of equals the first): the default. None for none."""
    count: dict[Way, int] = {}
    for way in ways.values():
        count[way] = count.get(way, 0) + 1
    return max(count, key=lambda way: count[way], default=None)
