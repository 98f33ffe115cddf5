"""What a live page shows: one host, or a whole network. Two classes with one face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pystack.apps.live.tape import Deaf, Eye
from pystack.runtime.driver.driver import wall_clock_offset_s

if TYPE_CHECKING:
    from pystack.apps.live.tape import Tape
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

    def watch(self, tape: Tape) -> None:
        """Show everything to a tape from now on."""
        ...

    def unwatch(self, tape: Tape) -> None:
        """Show nothing to it any more."""
        ...

    def tell_missed(self, tape: Tape) -> None:
        """Tell it of how many frames it was not shown: before a cut."""
        ...

    def look_again(self, tape: Tape) -> None:
        """Watch what has come to the world since: after a cut."""
        ...


class HostWorld:
    """A host, such as that of `pystack up`."""

    is_network: bool = False

    def __init__(self, host: Host) -> None:
        self.of: Host = host
        self._eye: Eye | None = None  # None: nobody looks, or links tell more
        self._deaf: Deaf | None = None  # None: nobody looks, or there is no link
        self._links = 0  # that are watched
        self.title = host.name
        self.hosts: Sequence[Host] = (host,)

    @property
    def wall_clock_offset_s(self) -> float:
        """Return what to add to its instants for seconds since 1970."""
        return 0.0 if self.of.driver.is_virtual else wall_clock_offset_s(self.of.driver)

    def now(self) -> float:
        """Return its time in seconds."""
        return self.of.now()

    def names(self) -> dict[str, str]:
        """Return the host's name by its addresses."""
        return dict.fromkeys(self.of.addresses, self.of.name)

    def watch(self, tape: Tape) -> None:
        """Show everything to a tape from now on."""
        if self.of.topology is not None:
            self.of.observe(tape)
            return
        self._links = len(self.of.links)
        for link in self.of.links:
            link.watch(tape)
        if self._links:
            self._deaf = Deaf(tape)
            self.of.observe(self._deaf)
        else:
            self._eye = Eye(tape, self.of)
            self._eye.open()

    def unwatch(self, tape: Tape) -> None:
        """Show nothing to it any more."""
        if self.of.topology is not None:
            self.of.unobserve(tape)
            return
        for link in self.of.links:
            link.unwatch(tape)
        if self._deaf is not None:
            self.of.unobserve(self._deaf)
        if self._eye is not None:
            self._eye.close()
        self._eye = self._deaf = None

    def tell_missed(self, tape: Tape) -> None:
        """Tell it of what passed while the eye was shut."""
        if self._eye is not None:
            self._eye.tell_missed()

    def look_again(self, tape: Tape) -> None:
        """Open the eye that was full; watch a link that was made meanwhile."""
        if self.of.topology is None and self._links != len(self.of.links):
            self.unwatch(tape)
            self.watch(tape)
        elif self._eye is not None:
            self._eye.open()


class NetworkWorld:
    """A network, such as that of `pystack lab run`."""

    is_network: bool = True

    def __init__(self, network: Network, title: str) -> None:
        self.of: Network = network
        self.title = title

    @property
    def hosts(self) -> Sequence[Host]:
        """Return its hosts, routers too."""
        return tuple(self.of.hosts.values())

    @property
    def wall_clock_offset_s(self) -> float:
        """Return what to add to its instants for seconds since 1970; 0: its time is made up."""
        return 0.0 if self.of.driver.is_virtual else wall_clock_offset_s(self.of.driver)

    def now(self) -> float:
        """Return its time in seconds."""
        return self.of.now()

    def names(self) -> dict[str, str]:
        """Return the names of nodes by their addresses."""
        return dict(self.of.topology.names_by_address())

    def watch(self, tape: Tape) -> None:
        """Show everything to a tape from now on, also of what is still to come."""
        self.of.observe(tape)

    def unwatch(self, tape: Tape) -> None:
        """Show nothing to it any more."""
        self.of.unobserve(tape)

    def tell_missed(self, tape: Tape) -> None:
        """Do nothing: it is shown everything."""

    def look_again(self, tape: Tape) -> None:
        """Do nothing: a network tells of what comes to it."""
