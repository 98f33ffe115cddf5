"""What a live page shows: one host, or a whole network. Two classes with one face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pystack.runtime.driver.driver import wall_clock_offset_s

if TYPE_CHECKING:
    from pystack.observe.observer import Observer
    from pystack.runtime.host import Host
    from pystack.runtime.network import Network


class World(Protocol):
    """Just what the page needs of it."""

    @property
    def title(self) -> str:
        """Return what it is called."""
        ...

    @property
    def of(self) -> Network | Host:
        """Return the very thing."""
        ...

    @property
    def is_network(self) -> bool:
        """Tell whether it has links, which tell of frames on them."""
        ...

    @property
    def hosts(self) -> Sequence[Host]:
        """Return its hosts, routers too."""
        ...

    @property
    def wall_clock_offset_s(self) -> float:
        """Return what to add to its instants for seconds since 1970; 0: its time is made up."""
        ...

    def now(self) -> float:
        """Return its time in seconds."""
        ...

    def names(self) -> dict[str, str]:
        """Return the names of nodes by their addresses."""
        ...

    def watch(self, observer: Observer) -> None:
        """Report everything to `observer` from now on."""
        ...

    def unwatch(self, observer: Observer) -> None:
        """Report nothing to it any more."""
        ...


class HostWorld:
    """A host, such as that of `pystack up`."""

    is_network: bool = False

    def __init__(self, host: Host) -> None:
        self.of: Host = host
        self.host = host
        self.title = host.name
        self.hosts: Sequence[Host] = (host,)

    @property
    def wall_clock_offset_s(self) -> float:
        """Return what to add to its instants for seconds since 1970."""
        return wall_clock_offset_s(self.host.driver)

    def now(self) -> float:
        """Return its time in seconds."""
        return self.host.now()

    def names(self) -> dict[str, str]:
        """Return the host's name by its addresses."""
        return dict.fromkeys(self.host.addresses, self.host.name)

    def watch(self, observer: Observer) -> None:
        """Report everything to `observer` from now on."""
        self.host.observe(observer)

    def unwatch(self, observer: Observer) -> None:
        """Report nothing to it any more."""
        self.host.unobserve(observer)


class NetworkWorld:
    """A network, such as that of `pystack lab run`."""

    is_network: bool = True

    def __init__(self, network: Network, title: str) -> None:
        self.of: Network = network
        self.network = network
        self.title = title

    @property
    def hosts(self) -> Sequence[Host]:
        """Return its hosts, routers too."""
        return tuple(self.network.hosts.values())

    @property
    def wall_clock_offset_s(self) -> float:
        """Return what to add to its instants for seconds since 1970; 0: its time is made up."""
        return wall_clock_offset_s(self.network.driver)

    def now(self) -> float:
        """Return its time in seconds."""
        return self.network.now()

    def names(self) -> dict[str, str]:
        """Return the names of nodes by their addresses."""
        return dict(self.network.topology.names_by_address())

    def watch(self, observer: Observer) -> None:
        """Report everything to `observer` from now on."""
        self.network.observe(observer)

    def unwatch(self, observer: Observer) -> None:
        """Report nothing to it any more."""
        self.network.unobserve(observer)
