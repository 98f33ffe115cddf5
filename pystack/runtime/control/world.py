"""What is controlled: a network, or one host with its link, seen alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pystack.core.counters import Counters, Explanation, explanations
from pystack.core.suggest import suggest
from pystack.runtime.control.errors import ControlError
from pystack.runtime.host import Host

if TYPE_CHECKING:  # a host that stands alone needs nothing of networks
    from pystack.link.link import Link
    from pystack.observe.captures.capture import Capture
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.network import Network

KERNEL: Final = "kernel"  # the name of what is at the other end of a host's own link


@dataclass(frozen=True, slots=True)
class Joined:
    """A link, and the names of the nodes that it joins."""

    link: Link
    a: str
    b: str


@dataclass
class World:
    """What runs."""

    of: Network | Host
    may_change: bool
    counters: Counters = field(default_factory=Counters)  # of the socket that calls come by
    captures: dict[str, Capture] = field(default_factory=dict)  # begun by calls, by file
    # What restores a node's power; None: the network itself, which starts no programs
    power_on: Callable[[str], object] | None = None

    @cached_property
    def explanations(self) -> Mapping[str, Explanation]:
        """Return what counters mean: from a file, read once."""
        return explanations()

    @property
    def network(self) -> Network | None:
        """Return the network; None: it is one host, in none."""
        return None if isinstance(self.of, Host) else self.of

    @property
    def driver(self) -> Driver:
        """Return what lets its time pass."""
        return self.of.driver

    @property
    def hosts(self) -> Mapping[str, Host]:
        """Return its hosts by their names, routers too."""
        return {self.of.name: self.of} if isinstance(self.of, Host) else self.of.hosts

    def links(self) -> Iterator[Joined]:
        """Yield its links."""
        if isinstance(self.of, Host):
            for link in self.of.links:
                yield Joined(link, self.of.name, KERNEL)
        else:
            for cable in self.of.topology.cables:
                yield Joined(cable.link, cable.a.node.name, cable.b.node.name)

    def chosen_hosts(self, name: str | None) -> list[Host]:
        """Return the host of that name; None: all. Raises ControlError."""
        return list(self.hosts.values()) if name is None else [self.host(name)]

    def host(self, name: str) -> Host:
        """Return the host of that name. Raises ControlError."""
        found = self.hosts.get(name)
        if found is None:
            raise ControlError(f"there is no host {name!r}{suggest(name, self.hosts)}")
        return found

    @property
    def possible_link(self) -> str:
        """Return the name of the link that there would be; "" where there can be no other."""
        if not isinstance(self.of, Host) or self.of.alone.make_link is None:
            return ""
        return self.of.interfaces[-1].name

    def link(self, name: str) -> Joined:
        """Return the link of that name, "a-b"; "b-a" will do too. Raises ControlError."""
        known = list(self.links())
        for joined in known:
            if name == joined.link.name:
                return joined
        for joined in known:
            if name in (f"{joined.a}-{joined.b}", f"{joined.b}-{joined.a}"):
                return joined
        if isinstance(self.of, Host) and self.of.alone.make_link is not None:
            # There is none until somebody wants something of it.
            if name in (self.possible_link, f"{self.of.name}-{KERNEL}", f"{KERNEL}-{self.of.name}"):
                self.of.alone.make_link()
                return next(self.links())
            raise ControlError(f"there is no link {name!r}{suggest(name, [self.possible_link])}")
        names = [joined.link.name for joined in known]
        hint = suggest(name, names) if names else ": there are no links here"
        raise ControlError(f"there is no link {name!r}{hint}")
