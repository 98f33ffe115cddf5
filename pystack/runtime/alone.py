"""Alone: what is around a host in no network, as `pystack up` has it.

That is the link between it and its device, if anything is to happen there, and whoever watches
frames: in a network the topology knows both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pystack.observe.lookout import Lookout

if TYPE_CHECKING:
    from pystack.link.link import Link
    from pystack.observe.observer import Observer
    from pystack.observe.passage import PassageWatcher


class Alone:
    """Links of a host, and those who watch them."""

    def __init__(self, observers: list[Observer]) -> None:
        """`observers`: the host's, which are told of what happens inside of it."""
        self.links: list[Link] = []
        # Puts a link there where there is none yet; None: there is one, or can be none
        self.make_link: Callable[[], Link] | None = None
        self._observers = observers
        self._linked: set[str] = set()  # interfaces that the links are of
        # By the watcher's id: one may watch twice
        self._watches: dict[int, list[tuple[Lookout, PassageWatcher]]] = {}

    def add_link(self, link: Link) -> None:
        """Know of a link between host and device, which whoever watches frames here watches."""
        self.links.append(link)
        self._linked.add(link.name)
        for watches in self._watches.values():
            for lookout, watcher in watches:
                link.watch(lookout)
                link.watch(watcher)

    def watch(self, watcher: PassageWatcher) -> None:
        """Have it told of frames: on the links, or where the host's interfaces are."""
        lookout = Lookout(
            lambda host: (watcher,), lambda host, interface: interface in self._linked
        )
        self._observers.append(lookout)
        for link in self.links:
            link.watch(lookout)
            link.watch(watcher)
        self._watches.setdefault(id(watcher), []).append((lookout, watcher))

    def unwatch(self, watcher: PassageWatcher) -> None:
        """Tell it no more."""
        for lookout, known in self._watches.pop(id(watcher), ()):
            if lookout in self._observers:  # not any more once the host is closed
                self._observers.remove(lookout)
            for link in self.links:
                link.unwatch(lookout)
                link.unwatch(known)
