"""A host below what programs call: what it is made of, its addresses, time, and who looks on.

This is what sockets, streams, look-ups and event loops need of one; `host.py` adds what programs
call, and with that all of those.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

from pystack.core.addresses import Ip, format_ip4, is_link_local, is_v6
from pystack.core.calendar import parse_drift, parse_offset_s
from pystack.core.errors import ConfigError
from pystack.core.schedules import Schedule
from pystack.observe.observer import Milestone
from pystack.observe.passage import PassageWatcher
from pystack.observe.registry import OBSERVERS
from pystack.runtime.alone import Alone
from pystack.runtime.driver.driver import Driver, wall_clock_offset_s
from pystack.runtime.lab.programs import Programs
from pystack.runtime.names.host_names import HostNames
from pystack.runtime.names.known import Names
from pystack.runtime.names.zones import format_on
from pystack.stack.host import Host as StackHost
from pystack.stack.neighbors import Neighbor
from pystack.tcp.info import TcpInfo

if TYPE_CHECKING:
    from pystack.core.counters import Counters
    from pystack.link.link import Link
    from pystack.observe.captures.capture import Capture
    from pystack.observe.observer import Observer
    from pystack.observe.scene import CaptureWords
    from pystack.runtime.borrowed.calendar import WorldClock
    from pystack.runtime.borrowed.sources import Chance
    from pystack.runtime.place import Place
    from pystack.stack.interface import Interface
    from pystack.stack.routes import RouteTable
    from pystack.stack.tcp_table import TcpTable
    from pystack.topology.topology import Topology

# As Linux (TCP_TIMEOUT_MIN). Without it a peer on this machine that gets no processor for
# half a millisecond is sent a probe; and the timer, which then runs out as often, takes a tenth
# of the time of a bulk transfer.
_REAL_PROBE_SLACK_S: Final = 2e-3


class BareHost:
    """One host: its stack below, its names and its programs."""

    def __init__(
        self,
        host: StackHost,
        driver: Driver,
        names: Names | None = None,
        place: Place | None = None,
    ) -> None:
        """`names` gives the addresses of a name.

        `place`: the network that it is in; None: it stands alone.
        """
        self._stack = host
        if not driver.is_virtual:
            host.tcp.config = replace(host.tcp.config, probe_slack_s=_REAL_PROBE_SLACK_S)
        self.driver = driver
        # Its programs' clock and chance; None: the machine's, as in real time
        self.clock: WorldClock | None = None
        self.chance: Chance | None = None
        self.names = HostNames(self, names)
        self._place = place
        self.programs = Programs(self, None if place is None else place.nursery)
        self.alone = Alone(host.observers)  # empty in a network, whose topology has all that

    @property
    def stack(self) -> StackHost:
        """Return its layers, with the addresses and routes that the network has given it."""
        if self._place is not None:
            self._place.settle()
        return self._stack

    @property
    def name(self) -> str:
        """Return its name."""
        return self._stack.name

    @property
    def topology(self) -> Topology | None:
        """Return the topology of its network; None: it is in none."""
        return None if self._place is None else self._place.topology

    def has_node(self, name: str) -> bool:
        """Tell whether its network has a node of that name, with an address or without."""
        return self._place is not None and self._place.has_node(name)

    @property
    def schedule(self) -> Schedule:
        """Return the order of what its programs could do at the same instant."""
        return "fifo" if self._place is None else self._place.schedule

    @property
    def seed(self) -> int:
        """Return the seed of its world."""
        return self._stack.seed

    @property
    def address(self) -> str:
        """Return its first address on a real link, as text: the first of IPv4, if it has any."""
        for interface in self.stack.interfaces:  # not all of `addresses`: it is asked for often
            if interface.neighbors is not None:
                for own in interface.addresses:
                    if not is_v6(own.address):
                        return format_ip4(own.address)
        return self.address6

    @property
    def address6(self) -> str:
        """Return its first IPv6 address on a real link; a link-local one where it has no other."""
        own = [address for address in self._own_addresses() if is_v6(address)]
        if not own:
            raise ConfigError(f"{self.name} has no link yet, and so no address")
        return format_on(self.stack, next((one for one in own if not is_link_local(one)), own[0]))

    @property
    def addresses(self) -> tuple[str, ...]:
        """Return its addresses on real links, of both versions, as text ("fe80::1%eth0")."""
        return tuple(format_on(self.stack, address) for address in self._own_addresses())

    def _own_addresses(self) -> list[Ip]:
        return [
            own.address
            for interface in self.stack.interfaces
            if interface.neighbors is not None
            for own in interface.addresses
        ]

    @property
    def interfaces(self) -> list[Interface]:
        """Return its interfaces, the loopback included."""
        return self.stack.interfaces

    @property
    def routes(self) -> RouteTable:
        """Return its routing table."""
        return self.stack.routes

    @property
    def neighbors(self) -> list[Neighbor]:
        """Return the entries of the neighbor tables of all links."""
        return [
            neighbor
            for interface in self.stack.interfaces
            if interface.neighbors is not None
            for neighbor in interface.neighbors.entries(self.now())
        ]

    @property
    def counters(self) -> Counters:
        """Return the counters: packets, and every drop by name."""
        return self.stack.counters

    @property
    def tcp(self) -> TcpTable:
        """Return its TCP layer."""
        return self.stack.tcp

    def connections(self) -> list[TcpInfo]:
        """Return a snapshot of every TCP connection, except those in TIME-WAIT."""
        return [socket.connection.info() for socket in self.stack.tcp]

    # time

    def now(self) -> float:
        """Return the world's time in seconds."""
        return self.driver.now()

    def time_at(self, instant: float) -> float:
        """Return the seconds since 1970 that its clock shows at an instant of `now`."""
        if self.clock is not None:
            return self.clock.time_at(instant)
        return instant + wall_clock_offset_s(self.driver)

    def set_clock(self, *, offset: str | float = 0, drift: str | float | None = None) -> None:
        """Step its clock to be ahead of the world's calendar by "2s", or behind by "-300ms".

        `drift`: how much too fast it runs from then on, as for `Network.host`; None: as before.
        `time.monotonic` of its programs is not stepped. Virtual time only. Raises ConfigError.
        """
        offset_s, rate = parse_offset_s(offset), None if drift is None else parse_drift(drift)
        if self.clock is None:
            raise ConfigError(f"the clock of {self.name} is the machine's: run with pystack.run")
        self.clock.set(offset_s, rate)

    # who looks on

    def observe(self, observer: Observer) -> None:
        """Report everything from now on to `observer`.

        One with an `on_passage` is told of each frame on its links as well.
        """
        if isinstance(observer, type) or not hasattr(observer, OBSERVERS.method):
            raise ConfigError(f"{observer!r} is no observer: it has no {OBSERVERS.method!r}")
        self.observers.append(observer)
        if isinstance(observer, PassageWatcher):
            if self._place is not None:
                self._place.topology.watching.add(observer, self.name)
            else:
                self.alone.watch(observer)

    def unobserve(self, observer: Observer) -> None:
        """Report nothing more to it."""
        if observer in self.observers:
            self.observers.remove(observer)
        if isinstance(observer, PassageWatcher):
            if self._place is not None:
                self._place.topology.watching.remove(observer)
            else:
                self.alone.unwatch(observer)

    @property
    def links(self) -> list[Link]:
        """Return what is between it and its devices where it is in no network."""
        return self.alone.links

    @property
    def observers(self) -> list[Observer]:
        """Return those who are told of what happens inside of it."""
        return self._stack.observers

    def milestone(
        self,
        what: str,
        detail: str = "",
        local: tuple[str, int] | None = None,
        remote: tuple[str, int] | None = None,
    ) -> None:
        """Tell observers that a program has got somewhere: "request", "first_byte", "done" ...

        `local`, `remote`: address and port of the connection that it is about; None: of none.
        Nothing is done where nobody looks.
        """
        if self._stack.observers:
            now = self.driver.now()
            self._stack.notify(Milestone(now, self.name, what, detail, local, remote))

    def capture(self, path: str | Path, **words: Unpack[CaptureWords]) -> Capture:
        """Write every frame that it sends or receives to a file, from now on.

        `ring`, `secrets`: see `Network.capture`. Raises ConfigError, OSError.
        """
        if self._place is not None:
            return self._place.capture_host(self, path, **words)
        from pystack.runtime.captures import capture_alone

        return capture_alone(self, str(path), **words)

    def close(self) -> None:
        """Disconnect it for good: nothing is sent any more, and no timer is left."""
        self._stack.close()

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        return repr(self._stack)
