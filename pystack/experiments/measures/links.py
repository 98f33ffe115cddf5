"""The links of one network: how long frames waited, how busy the line was, what was lost.

Links are watched only where a measure asks for it, and then those alone that have a rate: frames
wait nowhere else. Which direction is the bottleneck is known at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pystack.core.errors import ConfigError
from pystack.experiments.measures.distribution import Distribution
from pystack.link.impair.base import HARMLESS
from pystack.link.link import A_TO_B, B_TO_A
from pystack.link.qdisc.base import is_mark

if TYPE_CHECKING:
    from pystack.experiments.model import Track
    from pystack.link.config import PipeConfig
    from pystack.link.link import Link
    from pystack.link.pipe import Pipe
    from pystack.observe.passage import Passage

_TRACE_BITS: Final = 1500 * 8  # what each opportunity of a delivery trace takes


class Direction:
    """One direction of a link."""

    def __init__(self, link: Link, pipe: Pipe, sender: str, receiver: str) -> None:
        self.link, self.pipe = link, pipe
        self.after = 0.0  # when the window begins
        self.sender, self.receiver = sender, receiver
        self.mark: Mapping[str, int] = {}  # its counters when the window began
        self.frames = 0  # put on it in the window
        self.delays = Distribution()
        self.busy_s = 0.0  # in the window
        self.waited_s = 0.0  # by all frames together, or by samples of the queue
        self.under_way: dict[Passage, None] = {}
        self.tracks: dict[str, Track] = {}

    @property
    def name(self) -> str:
        """Return "r1>r2"."""
        return f"{self.sender}>{self.receiver}"

    def counted(self) -> dict[str, int]:
        """Return what it has counted in the window, by name."""
        return {name: count - self.mark.get(name, 0) for name, count in self.pipe.counters.items()}

    def on_passage(self, passage: Passage) -> None:
        """Take note of a frame that is put on it, and of how it ended (HOT)."""
        if not passage.end:
            self.under_way[passage] = None
            if passage.entered_at >= self.after:
                self.frames += 1
            return
        self.under_way.pop(passage, None)
        begins_at, sent_at = passage.begins_at, passage.sent_at
        if begins_at is None or sent_at is None:
            return
        if begins_at < self.after or self.pipe.config.trace is not None:
            self.took(passage, begins_at + 1e9)
            return
        waited_s = begins_at - passage.entered_at
        self.delays.add(waited_s)
        self.waited_s += waited_s
        self.busy_s += sent_at - begins_at

    def took(self, passage: Passage, until: float) -> None:
        """Count a frame whose first bit was sent."""
        after = self.after
        begins_at, sent_at = passage.begins_at, passage.sent_at
        if begins_at is None or sent_at is None or begins_at > until:
            return
        if begins_at >= after:
            waited_s = begins_at - passage.entered_at
            self.delays.add(waited_s)
            self.waited_s += waited_s
        trace = self.pipe.config.trace
        if trace is not None:
            if begins_at >= after:
                rate_bps = len(trace.instants_ms) * _TRACE_BITS / (trace.instants_ms[-1] / 1e3)
                self.busy_s += len(passage.frame.data) * 8 / rate_bps
        else:
            self.busy_s += max(min(sent_at, until) - max(begins_at, after), 0.0)


class LinkBook:
    """The links of a network that are of interest."""

    def __init__(self, named: tuple[str, str] | None, *, watches: bool, has_queue: bool) -> None:
        """`named`: sender and receiver; None: whatever is the bottleneck.

        `watches`: each frame is of interest; `has_queue`: what waits is sampled.
        """
        self.all: list[Direction] = []  # of all links
        self.candidates: list[Direction] = []  # for the bottleneck
        self.after = 0.0  # when the window begins
        self._named = named
        self.watches = watches
        self._looks = watches or has_queue
        self._watched: list[Direction] = []

    def link_added(self, link: Link) -> None:
        """Take note of a link, and watch it if it may be the one."""
        a, b = link.ends
        ways = Direction(link, link.a_to_b, a, b), Direction(link, link.b_to_a, b, a)
        for way in ways:
            way.after = self.after
        self.all.extend(ways)
        found = [way for way in ways if self._may_be(way)]
        if not found or not self._looks:
            self.candidates.extend(found)
            return
        if self.watches and any(way.pipe.carries_whole for way in ways):
            raise ConfigError(
                f"the link {link.name} carries super-frames whole (offload), and to measure each "
                "frame would change that: leave offload out, or give the link a rate"
            )
        self.candidates.extend(found)
        if self.watches:
            for way in found:
                link.watch(way, A_TO_B if way.pipe is link.a_to_b else B_TO_A)
            self._watched.extend(found)

    def begin(self, now: float) -> None:
        """Begin the window here: forget what has been."""
        self.after = now
        for way in self.all:
            way.after = now
            way.mark = dict(way.pipe.counters)
            way.frames, way.busy_s, way.waited_s = 0, 0.0, 0.0
            way.delays = Distribution()

    def end(self, now: float) -> None:
        """End the window here: what is under way counts as far as it has come."""
        for way in self.candidates:
            for passage in way.under_way:
                way.took(passage, now)
            way.under_way.clear()
            way.busy_s = min(way.busy_s, max(now - self.after, 0.0))
        for way in self._watched:
            way.link.unwatch(way)

    def chosen(self) -> Direction | None:
        """Return the direction that was asked for, or in which frames waited longest in all.

        Of those with the same time, the one that was busiest, then the one that came first. None:
        there is none with a rate.
        """
        return max(self.candidates, key=lambda way: (way.waited_s, way.busy_s), default=None)

    def counted(self) -> dict[str, int]:
        """Return the counters that losses and marks are read from."""
        total: dict[str, int] = {}
        for way in self.all if self._named is None else self.candidates:
            for name, count in way.counted().items():
                total[name] = total.get(name, 0) + count
        return total

    def _may_be(self, way: Direction) -> bool:
        if self._named is not None:
            return (way.sender, way.receiver) == self._named
        return _holds_back(way.pipe.config)


def lost(counters: Mapping[str, int], why: str = "") -> int:
    """Return how many frames were lost, for one reason or all."""
    if why:
        return counters.get(why, 0)
    return sum(
        count
        for name, count in counters.items()
        if not is_mark(name) and name not in HARMLESS and name != "late"
    )


def marked(counters: Mapping[str, int]) -> int:
    """Return how many frames were marked."""
    return sum(count for name, count in counters.items() if is_mark(name))


def _holds_back(config: PipeConfig) -> bool:
    """Tell whether frames may wait there."""
    holds = config.rate_bps, config.trace, config.slot, config.qdisc
    return any(word is not None for word in holds)
