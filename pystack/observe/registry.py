"""Observers by name: the built-in ones, and those of third parties (`pystack.observer`).

A plug-in is a factory: it gets the `Scene`, and its words by keyword. What it makes may have a
`close`, which is called when the network, or the host on its device, ends.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol, runtime_checkable

from pystack.core.errors import ConfigError
from pystack.core.plugins import Group
from pystack.core.tcp_events import TcpRetransmitted
from pystack.observe.json_log import JsonObserver
from pystack.observe.log import LogObserver
from pystack.observe.observer import Dropped, Event, Observer
from pystack.observe.passage import Passage
from pystack.observe.recording import Recorder
from pystack.observe.scene import Scene, make_capture


@runtime_checkable
class ClosingObserver(Protocol):
    """An observer that wants to know when there is nothing more to come."""

    def on_event(self, event: Event) -> None:
        """Take note of it."""
        ...

    def close(self) -> None:
        """End. A second close does nothing."""
        ...


def _pcap(
    scene: Scene,
    *,
    file: str,
    host: str | None = None,
    interface: str | None = None,
    links: bool = False,
    ring: str | int | None = None,
    secrets: bool = False,
    snaplen: str | int | None = None,
) -> Observer:
    """`pcap file FILE [host NAME] [interface NAME] [links] [ring SIZE] [secrets] [snaplen N]`.

    For Wireshark: each packet once, where it enters the network; of one host, or of interfaces of
    one name, as they see it; or with `links` each frame on each link.
    """
    return make_capture(
        scene,
        file,
        host=host,
        interface=interface,
        links=links,
        ring=ring,
        secrets=secrets,
        snaplen=None if snaplen is None else _count("snaplen", snaplen),
    )


def _log(scene: Scene, *, packets: bool = False) -> Observer:
    """`log [packets]`: a line for each event, and if wanted for each packet."""
    # For people, of virtual time how long it is since the start.
    is_virtual = scene.scheduler is None
    return LogObserver(
        scene.say,
        packets=packets,
        wall_clock_offset_s=0.0 if is_virtual else scene.wall_clock_offset_s,
        hosts=scene.has_hosts,
    )


def _json(scene: Scene, *, packets: bool = False) -> Observer:
    """`json [packets]`: the same for programs, each line an object."""
    return JsonObserver(scene.say, packets=packets, wall_clock_offset_s=scene.wall_clock_offset_s)


class _Ladder:
    """`ladder [rungs N]`: in the end, the last of what was seen as a diagram."""

    def __init__(self, scene: Scene, *, rungs: str | int = 40) -> None:
        self._scene = scene
        self._rungs = _count("rungs", rungs)
        self._recorder = Recorder(3 * self._rungs)  # of a rung: a frame, what was told of it
        self._has_closed = False

    def on_event(self, event: Event) -> None:
        if isinstance(event, Dropped | TcpRetransmitted) and not self._has_closed:
            self._recorder.on_event(event)

    def on_passage(self, passage: Passage) -> None:
        if not self._has_closed:
            self._recorder.on_passage(passage)

    def close(self) -> None:
        from pystack.observe.ladder import TROUBLE, Ladder  # only where one is drawn

        if self._has_closed:
            return
        self._has_closed = True
        ladder = Ladder.of(
            self._recorder.items(),
            names=self._scene.names(),
            order=self._scene.order(),
            origin=self._scene.began_at,
            last=self._rungs,
            most=self._rungs,
            notes=TROUBLE,
        )
        for line in ladder.lines(window=False):
            self._scene.say(line)


BUILT_IN: Final[dict[str, Callable[..., Observer]]] = {
    "pcap": _pcap,
    "log": _log,
    "json": _json,
    "ladder": _Ladder,
}


OBSERVERS: Final = Group[Observer]("observer", BUILT_IN, "on_event")

# How one asks for an observer: its name with its words, what makes it of a `Scene`, or itself.
ObserverLike = Observer | str | Mapping[str, object] | Callable[[Scene], Observer]


def _count(word: str, value: str | int) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or number < 1:
        raise ConfigError(f"{word} {value!r} is not possible: a whole number from 1 on")
    return number
