"""A network below what programs call: what it is made of, its time, and who looks on.

This is what its parts (conditions, name servers, observers) need of one; `network.py` adds what
programs call to build it, and what befalls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import trio

from pystack.core.calendar import DEFAULT_EPOCH
from pystack.core.errors import ConfigError
from pystack.core.ranges import Range, check_switch
from pystack.core.scheduler import Handle
from pystack.core.schedules import Schedule, check_schedule
from pystack.dns.config import ResolverConfig
from pystack.link.link import Link
from pystack.observe.observer import Observer
from pystack.observe.recording import MOST_ITEMS, Item, Recorder, Recording
from pystack.observe.registry import ObserverLike
from pystack.observe.scene import CaptureWords
from pystack.runtime.borrowed.world import Extent, World
from pystack.runtime.conditions import Conditions
from pystack.runtime.current import seed_or_fresh
from pystack.runtime.driver.lateness import Lateness
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.driver.stepping import Stepped
from pystack.runtime.lab.disk import Disks
from pystack.runtime.opened import Opened
from pystack.runtime.seeing import Seeing
from pystack.topology.addressing import DEFAULT_IP, IpVersions, parse_subnets
from pystack.topology.switch import Switch
from pystack.topology.timeline import Step
from pystack.topology.topology import Topology

if TYPE_CHECKING:
    from pystack.observe.captures.capture import Capture
    from pystack.observe.journal import Digest
    from pystack.observe.ladder import Ladder, LadderWords
    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.host import Host
    from pystack.runtime.lab.attach import Attached


class BareNetwork:
    """Hosts, what is between them, and what lets their time pass once it is open."""

    def __init__(
        self,
        *,
        seed: int | None = None,
        ip: IpVersions = DEFAULT_IP,
        subnet: str | None = None,
        subnet6: str | None = None,
        seal: bool = False,
        world: Extent = "hosts",
        epoch: str | float | datetime = DEFAULT_EPOCH,
        schedule: Schedule = "fifo",
    ) -> None:
        """`seed`: for everything that is left to chance; None: a random one, or an experiment's.

        `ip`: the IP versions that there are: "both", "4" or "6" alone. `subnet`, `subnet6`:
        addresses that nobody gives come from them; None: 10.0.0.0/24, fd00::/64. `seal`: let what
        would reach the machine's own network fail (`pystack.runtime.socket.seal`).
        In virtual time, `epoch`: when its calendar begins (also a datetime, or seconds since 1970);
        `world`: whose clock and chance are the world's: of code on "hosts" alone, or the "whole"
        block of the network. `schedule`: the order of threads and of asyncio's callbacks that are
        ready at the same instant: "random" draws it from the seed. ConfigError.
        """
        check_switch("seal", seal)
        check_schedule(schedule)
        self.schedule: Schedule = schedule
        Range(-math.inf, math.inf, optional=True).check("seed", seed)
        self.seal = seal
        self.seed = seed_or_fresh(seed)
        self._world = World(self.seed, world, epoch)
        self.subnets = parse_subnets(ip, subnet, subnet6)
        self.hosts: dict[str, Host] = {}  # routers too
        self.switches: dict[str, Switch] = {}
        # `Network` says that they are `NetworkLink`s, which know all of it
        self.links: Sequence[Link] = []
        self.attached: dict[str, Attached] = {}  # TAP devices and network namespaces
        self.nursery: trio.Nursery | None = None  # None: not opened yet
        self._open: Opened | None = None
        self._topology: Topology | None = None
        self.resources = ExitStack()  # ports that we have made, and close when we end
        self.seeing = Seeing(self, self._world.epoch_s)
        self.conditions = Conditions(self)
        self._disks = Disks(self.seed)
        self.resources.callback(self._disks.close)
        self._asked: ResolverConfig | None = None  # whom hosts ask; None: the network's own table

    @property
    def driver(self) -> Driver:
        """Return what lets the network's time pass."""
        if self._open is None:
            raise _not_open()
        return self._open.driver

    @property
    def lateness(self) -> Lateness | None:
        """Return how late the machine is; None in virtual time, where nothing is ever late."""
        driver = self.driver
        return driver.lateness if isinstance(driver, RealtimeDriver) else None

    @property
    def topology(self) -> Topology:
        """Return what it is made of, below Trio."""
        if self._topology is None:
            raise _not_open()
        return self._topology

    def has_node(self, name: str) -> bool:
        """Tell whether there is such a node."""
        return name in self.topology.nodes

    def settle(self) -> None:
        """Give addresses and routes to what has none yet; happens by itself. ConfigError."""
        topology = self._topology  # asked for with each call of a program's: no property
        if topology is not None and topology.dirty:
            topology.settle()

    # time

    def now(self) -> float:
        """Return the world's time in seconds: that of all hosts, and `trio.current_time()`."""
        return self.driver.now()

    @property
    def opened_at(self) -> float:
        """Return when the network was opened, in the world's time."""
        return self._opened().timeline.origin

    def at(self, when: str | float, fn: Callable[[], object]) -> Handle:
        """Call `fn()` at `when`: an instant of `now`, or a text ("5s") since the network's opening.

        In virtual time, where a network is mostly opened at 0, the two are the same. What is
        returned has a `cancel`. An error in `fn` ends the run. Raises ConfigError for what has
        passed already.
        """
        return self._opened().timeline.at(when, fn)

    def after(self, delay: str | float, fn: Callable[[], object]) -> Handle:
        """Call `fn()` so long from now: seconds, or a text ("5s"). See `at`."""
        return self._opened().timeline.after(delay, fn)

    def timeline(self, steps: Iterable[Step]) -> list[Handle]:
        """Call several functions, each at its time: [(5, fn), ("8s", other)]. See `at`."""
        return self._opened().timeline.timeline(steps)

    @property
    def paused(self) -> bool:
        """Tell whether its time stands still."""
        return self.driver.paused

    def pause(self) -> None:
        """Let its time stand still: nothing arrives and no timer goes off. Tasks that can run do.

        In virtual time Trio's deadlines do not come either; in real time Trio's clock goes on, and
        frames from outside wait in front of their devices.
        """
        self.driver.pause()

    def resume(self) -> None:
        """Let it go on from where it stands."""
        self.driver.resume()

    def step(self) -> Stepped:
        """While it stands still, let the next event happen; return which. Raises ConfigError.

        In virtual time that may be Trio's next deadline.
        """
        return self.driver.step()

    # who looks on

    def capture(
        self,
        path: str | Path,
        *,
        links: bool = False,
        **words: Unpack[CaptureWords],
    ) -> Capture:
        """Write what the network carries to a file from now on, until it or the capture is closed.

        pcapng with comments that say what befell a frame; classic pcap, without, where the name
        ends in ".pcap". Each packet is there once, as it enters the network, also one that is lost
        then: what switches and routers pass on is not written again; with `links` each frame is, on
        each link. `ring`: the last of so many bytes ("64mb"), in files of which each can be read;
        `secrets`: what decrypts the TLS of our services and clients; `snaplen`: the most bytes of a
        frame. See also `capture` of hosts and links. Raises ConfigError, OSError.
        """
        return self.seeing.capture(path, None, links=links, **words)

    def observe(
        self,
        observer: ObserverLike,
        *,
        say: Callable[[str], object] = print,
    ) -> None:
        """Report everything from now on to `observer`: on hosts and switches, and drops on links.

        One with an `on_passage` (`PassageWatcher`) is told of each frame on each link as well.

        It may be the name of one with its words: "log packets", "ladder", "pcap file run.pcap", or
        a plug-in's (`pystack.observer`); or what makes one of a `Scene`, such as its class. `say`
        takes the lines that such a one has to say. Raises ConfigError, DeviceError.
        """
        self.seeing.observe(observer, say)

    def unobserve(self, observer: Observer) -> None:
        """Report nothing more to it. Nothing happens where it is told nothing anyway."""
        self.seeing.unobserve(observer)

    def record(self, items: int = MOST_ITEMS) -> Recorder:
        """Keep what happens from now on, for `ladder` and `recording`: return what keeps it.

        `items`: how many frames and events, from 1 on; the oldest go first. Where it is kept
        already, as in a test of the pytest plug-in, that goes on. Raises ConfigError.
        """
        return self.seeing.record(items)

    def recording(self) -> Recording:
        """Return what was kept, as it is now. Raises ConfigError where `record` was not called."""
        return self.seeing.recording()

    def recording_of(self, items: Sequence[Item], *, left_out: int = 0) -> Recording:
        """Return items, kept by any recorder, with what the network knows of them."""
        return self.seeing.recording_of(items, left_out)

    def digest(self) -> Digest:
        """Return a hash of all that happens from now on, on all hosts and links, to the byte.

        `seen = net.digest()` where it begins, `assert seen.hexdigest() == "..."` where it has
        ended: the same for the same seed, in each process, on each Python.
        """
        from pystack.observe.journal import Digest  # only where one is wanted

        seen = Digest()
        self.observe(seen)
        return seen

    def ladder(self, **words: Unpack[LadderWords]) -> Ladder:
        """Return what was kept as a ladder: who sent what to whom, downwards in time.

        `print(net.ladder())`, `net.ladder(last=20).svg()`; a notebook draws it. `words`: those of
        `Ladder.of`. Raises ConfigError where `record` was not called.
        """
        from pystack.observe.ladder import Ladder  # only where one is drawn

        return Ladder.of(self.recording(), **words)

    def _repr_svg_(self) -> str:
        """Return nodes, links and addresses as a drawing, for a notebook."""
        from pystack.topology.drawing import drawing_of_topology
        from pystack.topology.svg import as_svg

        return as_svg(drawing_of_topology(self.topology))

    def capture_host(
        self, host: BareHost, path: str | Path, **words: Unpack[CaptureWords]
    ) -> Capture:
        """Write every frame that a host sends or receives."""
        return self.seeing.capture(path, host.name, host=host.name, **words)

    def capture_link(self, link: Link, path: str | Path, **words: Unpack[CaptureWords]) -> Capture:
        """Write every frame that is put on a link."""
        if link not in self.links:
            what = f"the link {link.name}" if isinstance(link, Link) else repr(link)
            raise ConfigError(f"{what} is not of this network")
        return self.seeing.capture(path, link, links=True, **words)

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        hosts, switches, links = len(self.hosts), len(self.switches), len(self.links)
        return f"<Network of hosts: {hosts}, switches: {switches}, links: {links}>"

    def _opened(self) -> Opened:
        if self._open is None:
            raise _not_open()
        return self._open


def _not_open() -> ConfigError:
    return ConfigError(
        "the network is not open: use `async with pystack.Network() as net`; pytest's fixture "
        "`net` opens when its test begins: give it its hosts there, in a function that the test "
        "calls, or in an async fixture"
    )
