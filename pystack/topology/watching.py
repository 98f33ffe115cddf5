"""Who watches the links of a network: of all of it, or those of one node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from pystack.observe.lookout import LOOPBACK, Lookout

if TYPE_CHECKING:
    from pystack.link.link import Link
    from pystack.observe.passage import PassageWatcher
    from pystack.topology.nodes import Cable, Node


class Builder(Protocol):
    """Told of what a network is made of: for whoever wants less than all that happens there."""

    def node_added(self, node: Node) -> None:
        """Take note of a host, a router, a switch or a station."""
        ...

    def link_added(self, link: Link) -> None:
        """Take note of a link, to which nothing was given yet."""
        ...


class Watching:
    """The watchers, each with what it watches: a node, a link, or all (None)."""

    def __init__(self, nodes: Mapping[str, Node], cables: Sequence[Cable]) -> None:
        """`nodes`, `cables`: the network's, also those that are still to come."""
        self._nodes = nodes
        self._cables = cables
        self._watchers: list[tuple[PassageWatcher, str | Link | None]] = []
        self._by_name: dict[str, list[Cable]] = {}
        self._indexed = 0  # cables that are in there
        self._lookout = Lookout(self._of, self._has_link)
        self.builders: list[Builder] = []  # told of nodes and links that are added from now on
        self.portals: set[tuple[str, str]] = set()  # interfaces that have a port that is no link's

    def add(self, watcher: PassageWatcher, of: str | Link | None = None) -> None:
        """Let it watch all links, those of a node (also those to come), or a link alone."""
        if (watcher, of) in self._watchers:
            return
        self._watchers.append((watcher, of))
        if len(self._watchers) == 1:
            for node in self._nodes.values():
                self._look_at(node)
        for link in self._links():
            if _is_of(link, of):
                link.watch(self._lookout)
                link.watch(watcher)

    def remove(self, watcher: PassageWatcher) -> None:
        """Let it watch no more."""
        self._watchers = [known for known in self._watchers if known[0] is not watcher]
        for link in self._links():
            link.unwatch(watcher)
            if not any(self._at(link)):
                link.unwatch(self._lookout)
        if not self._watchers:
            for node in self._nodes.values():
                observers = getattr(node.device, "observers", [])
                if self._lookout in observers:
                    observers.remove(self._lookout)

    def node_added(self, node: Node) -> None:
        """Look at what a new node drops, if anybody watches."""
        if self._watchers:
            self._look_at(node)
        for builder in self.builders:
            builder.node_added(node)

    def link_added(self, link: Link) -> None:
        """Let those watch a new link who want to."""
        for watcher in self._at(link):
            link.watch(self._lookout)
            link.watch(watcher)
        for builder in self.builders:
            builder.link_added(link)

    def interface_at(self, place: str, host: str) -> str | None:
        """Return the name of a host's interface at a link; None: it has none there."""
        for cable in self._called(place):
            for end in (cable.a, cable.b):
                if end.node.name == host and end.interface is not None:
                    return end.name
        return None

    def describe(self, place: str) -> str:
        """Return a place of a capture in words: a link, or an interface of a host."""
        for cable in self._called(place):
            return f"the link between {cable.link.ends[0]} and {cable.link.ends[1]}"
        host, _, interface = place.rpartition("/")
        return f"{interface} of {host}"

    def _called(self, place: str) -> Sequence[Cable]:
        """Return the cables with a link of that name."""
        for cable in self._cables[self._indexed :]:  # those that are new
            self._by_name.setdefault(cable.link.name, []).append(cable)
        self._indexed = len(self._cables)
        return self._by_name.get(place, ())

    def _look_at(self, node: Node) -> None:
        if hasattr(node.device, "observers"):  # a station has nothing to show
            node.device.observers.append(self._lookout)

    def _links(self) -> Iterator[Link]:
        return (cable.link for cable in self._cables)

    def _at(self, link: Link) -> Iterator[PassageWatcher]:
        for watcher, of in self._watchers:
            if _is_of(link, of):
                yield watcher

    def _of(self, host: str) -> Iterator[PassageWatcher]:
        for watcher, of in self._watchers:
            if of in (None, host):
                yield watcher

    def _has_link(self, host: str, interface: str) -> bool:
        return interface != LOOPBACK and (host, interface) not in self.portals


def _is_of(link: Link, of: str | Link | None) -> bool:
    return of is None or of is link or of in link.ends
