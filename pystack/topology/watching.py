"""Who watches the links of a network: of all of it, or those of one node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from pystack.observe.lookout import LOOPBACK, Lookout

if TYPE_CHECKING:
    from pystack.link.link import Link
    from pystack.observe.passage import PassageWatcher
    from pystack.topology.nodes import Node


class Watching:
    """The watchers, each with the node whose links it watches (None: of all)."""

    def __init__(self) -> None:
        self._watchers: list[tuple[PassageWatcher, str | None]] = []
        self._lookout = Lookout(self._of, self._has_link)
        self.portals: set[tuple[str, str]] = set()  # interfaces that have a port that is no link's

    def add(
        self,
        watcher: PassageWatcher,
        name: str | None,
        nodes: Iterable[Node],
        links: Iterable[Link],
    ) -> None:
        """Let it watch these links, and those that are still to come."""
        if (watcher, name) in self._watchers:
            return
        self._watchers.append((watcher, name))
        if len(self._watchers) == 1:
            for node in nodes:
                self.node_added(node)
        for link in links:
            if name in (None, *link.ends):
                link.watch(self._lookout)
                link.watch(watcher)

    def remove(self, watcher: PassageWatcher, nodes: Iterable[Node], links: Iterable[Link]) -> None:
        """Let it watch no more."""
        self._watchers = [known for known in self._watchers if known[0] is not watcher]
        for link in links:
            link.unwatch(watcher)
            if not any(self._at(link)):
                link.unwatch(self._lookout)
        if not self._watchers:
            for node in nodes:
                observers = getattr(node.device, "observers", [])
                if self._lookout in observers:
                    observers.remove(self._lookout)

    def node_added(self, node: Node) -> None:
        """Look at what a node drops, if anybody watches; a station has nothing to show."""
        if self._watchers and hasattr(node.device, "observers"):
            node.device.observers.append(self._lookout)

    def link_added(self, link: Link) -> None:
        """Let those watch a new link who want to."""
        for watcher in self._at(link):
            link.watch(self._lookout)
            link.watch(watcher)

    def _at(self, link: Link) -> Iterator[PassageWatcher]:
        for watcher, name in self._watchers:
            if name in (None, *link.ends):
                yield watcher

    def _of(self, host: str) -> Iterator[PassageWatcher]:
        for watcher, name in self._watchers:
            if name in (None, host):
                yield watcher

    def _has_link(self, host: str, interface: str) -> bool:
        return interface != LOOPBACK and (host, interface) not in self.portals
