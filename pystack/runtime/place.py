"""Place: what a host asks of the network that it is in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Unpack

if TYPE_CHECKING:
    import trio

    from pystack.core.schedules import Schedule
    from pystack.observe.captures.capture import Capture
    from pystack.observe.scene import CaptureWords
    from pystack.runtime.bare_host import BareHost
    from pystack.topology.topology import Topology


class Place(Protocol):
    """A network (`runtime/network.py`), as its hosts see it."""

    nursery: trio.Nursery | None  # for its programs
    schedule: Schedule  # of its programs

    @property
    def topology(self) -> Topology:
        """Return what the network is made of."""
        ...

    def settle(self) -> None:
        """Give addresses and routes to what has none yet; at once where there is nothing to do."""
        ...

    def has_node(self, name: str) -> bool:
        """Tell whether there is a node of that name, with an address or without."""
        ...

    def power_off(self, name: str, *, crash: bool = False) -> None:
        """Cut a node off, end its programs, and let it forget what it knew."""
        ...

    def power_on(self, name: str) -> None:
        """Undo that."""
        ...

    def disk(self, name: str) -> Path:
        """Return the directory of a host, which a crash takes from."""
        ...

    def route(self, name: str, destination: str, via: str) -> None:
        """Add a route by hand."""
        ...

    def capture_host(
        self, host: BareHost, path: str | Path, **words: Unpack[CaptureWords]
    ) -> Capture:
        """Write what a host sees to a file."""
        ...
