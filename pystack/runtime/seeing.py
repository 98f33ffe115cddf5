"""Who is told of what happens in a network: observers, captures, and what keeps a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from pystack.core.errors import ConfigError
from pystack.core.ranges import FROM_ONE
from pystack.observe.observer import Observer
from pystack.observe.passage import PassageWatcher
from pystack.observe.recording import Item, Recorder, Recording
from pystack.observe.registry import OBSERVERS, ClosingObserver, ObserverLike
from pystack.observe.scene import CaptureWords, Scene, make_capture, open_at_once
from pystack.runtime.captures import collect_secrets
from pystack.runtime.driver.driver import wall_clock_offset_s
from pystack.runtime.driver.spool import open_spool

if TYPE_CHECKING:
    from pystack.link.link import Link
    from pystack.observe.captures.capture import Capture
    from pystack.runtime.bare_network import BareNetwork


class Seeing:
    """All of this for one network; its own methods say what each does."""

    def __init__(self, net: BareNetwork, epoch_s: float) -> None:
        """`epoch_s`: when the network's calendar begins, in virtual time; seconds since 1970."""
        self._net, self._epoch_s = net, epoch_s
        self.observers: list[Observer] = []  # of everything, also of what is still to come
        self._closing: list[ClosingObserver] = []  # those we have made, in that order
        self._recorder: Recorder | None = None  # None: nothing is kept

    def observe(self, observer: ObserverLike, say: Callable[[str], object]) -> None:
        """See `Network.observe`."""
        chosen = OBSERVERS.read(observer)
        made = chosen(self._scene(say))
        if not chosen.is_itself and isinstance(made, ClosingObserver):
            self._closing.append(made)
        for told in self._told():
            told.append(made)
        if isinstance(made, PassageWatcher):
            self._net.topology.watching.add(made)

    def unobserve(self, observer: Observer) -> None:
        """See `Network.unobserve`."""
        for told in self._told():
            if observer in told:
                told.remove(observer)
        if isinstance(observer, PassageWatcher):
            self._net.topology.watching.remove(observer)

    def capture(
        self,
        path: str | Path,
        of: str | Link | None,
        *,
        host: str | None = None,
        links: bool = False,
        **words: Unpack[CaptureWords],
    ) -> Capture:
        """See `Network.capture`. `of`: a host or a link alone; None: all. `host`: whose it is."""
        if not isinstance(path, str | Path):
            raise ConfigError(f"a capture goes to a file, whose path is a text, not {path!r}")
        capture = make_capture(self._scene(print), str(path), host=host, links=links, **words)
        self._closing.append(capture)
        watching = self._net.topology.watching
        watching.add(capture, of)
        capture.when_closed.append(partial(watching.remove, capture))
        return capture

    def record(self, items: int) -> Recorder:
        """See `Network.record`."""
        FROM_ONE.check("items", items)
        if self._recorder is None:
            recorder = Recorder(items)
            self._net.observe(recorder)
            self._recorder = recorder
        return self._recorder

    def recording(self) -> Recording:
        """See `Network.recording`."""
        if self._recorder is None:
            raise ConfigError("nothing was recorded: call net.record() before it happens")
        return self.recording_of(self._recorder.items(), self._recorder.left_out)

    def recording_of(self, items: Sequence[Item], left_out: int) -> Recording:
        """See `Network.recording_of`."""
        return Recording(
            items,
            self._net.topology.names_by_address(),
            self._along_the_way(),
            began_at=self._net.opened_at,
            wall_clock_offset_s=self._wall_clock_offset_s(),
            left_out=left_out,
        )

    def close(self) -> None:
        """End what writes to files."""
        for observer in self._closing:
            observer.close()

    def _told(self) -> Iterator[list[Observer]]:
        """Yield who is told, of each that tells; and whom those who are still to come will tell."""
        net = self._net
        yield self.observers
        if net.lateness is not None:
            yield net.lateness.observers
        yield from (host.observers for host in net.hosts.values())
        yield from (switch.observers for switch in net.switches.values())
        yield from (link.observers for link in net.links)

    def _scene(self, say: Callable[[str], object]) -> Scene:
        # In virtual time a capture is complete: while it is waited for, nothing happens.
        driver, topology = self._net.driver, self._net.topology
        return Scene(
            say=say,
            began_at=self._net.opened_at,
            wall_clock_offset_s=self._wall_clock_offset_s(),
            open_file=open_at_once if driver.is_virtual else open_spool,
            names=topology.names_by_address,
            order=self._along_the_way,
            describe=topology.watching.describe,
            interface_at=topology.watching.interface_at,
            transit=topology.transit,
            scheduler=None if driver.is_virtual else driver.scheduler,
            secrets=collect_secrets,
        )

    def _wall_clock_offset_s(self) -> float:
        driver = self._net.driver
        return self._epoch_s if driver.is_virtual else wall_clock_offset_s(driver)

    def _along_the_way(self) -> list[str]:
        """Return the nodes so that those with a link between them are side by side."""
        from pystack.observe.ladder.order import along_the_way

        topology = self._net.topology
        pairs = [(cable.a.node.name, cable.b.node.name) for cable in topology.cables]
        return along_the_way(list(topology.nodes), pairs)
