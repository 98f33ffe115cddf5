"""Link: two ports joined by two pipes, each direction with its own behaviour and its own chance."""

from collections.abc import Callable
from functools import partial
from typing import Final, Unpack

from pystack.core.counters import Counters
from pystack.core.errors import ConfigError
from pystack.core.rng import component_rng
from pystack.core.scheduler import Scheduler
from pystack.core.suggest import suggest
from pystack.link.config import PipeConfig, update_both
from pystack.link.impair.base import HARMLESS
from pystack.link.impair.packet import Predicate
from pystack.link.pipe import Pipe
from pystack.link.port import DEFAULT_MTU_BYTES, FrameSink, Send, refusing
from pystack.link.qdisc.base import is_mark
from pystack.link.watch import Watch
from pystack.link.words import NetemWords
from pystack.observe.observer import Dropped, Observer
from pystack.observe.passage import PassageWatcher
from pystack.wire.frame import BIG_TEXT_BYTES, SUPER_TEXT_BYTES, Frame
from pystack.wire.ipv4 import MAX_PACKET_BYTES, MIN_MTU_BYTES

A_TO_B: Final = "a_to_b"
B_TO_A: Final = "b_to_a"
DIRECTIONS: Final = (A_TO_B, B_TO_A)

PERFECT: Final = PipeConfig()


class LinkPort:
    """One end of a link. `send` is the pipe's own: nothing stands between."""

    # It fills none in, and needs none: nothing but the two ends, a capture (which fill them in for
    # themselves) and `corrupt` (which does it first) look at what they cover. For a segment of
    # 1460 bytes that saves the two checksums, which take as long as all that a link does with it.
    fills_checksums = True

    __slots__ = (
        "_count",
        "_incoming",
        "closed",
        "gso_max_bytes",
        "mtu_bytes",
        "send",
        "uso_max_bytes",
    )

    def __init__(
        self, outgoing: Pipe, incoming: Pipe, mtu_bytes: int, count: Callable[[str], None]
    ) -> None:
        self.mtu_bytes = mtu_bytes
        self.gso_max_bytes = BIG_TEXT_BYTES if outgoing.offloads else 0
        self.uso_max_bytes = SUPER_TEXT_BYTES if outgoing.offloads else 0
        self.closed = False
        self.send: Send = outgoing.send
        self._count = count
        self._incoming = incoming
        incoming.sink = refusing("port_unplugged", count)

    def attach(self, sink: FrameSink) -> None:
        """Give what arrives to `sink`."""
        if not self.closed:
            self._incoming.sink = sink

    def close(self) -> None:
        """Unplug: what is sent and what arrives from now on is counted `port_closed`."""
        self.closed = True
        self.send = self._incoming.sink = refusing("port_closed", self._count)


class Link:
    """A cable between two ports, `a` and `b`."""

    __slots__ = (
        "_watches",
        "a",
        "a_to_b",
        "b",
        "b_to_a",
        "ends",
        "mtu_bytes",
        "name",
        "observers",
        "own_counters",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        seed: int,
        name: str,
        a_to_b: PipeConfig = PERFECT,
        b_to_a: PipeConfig = PERFECT,
        *,
        mtu_bytes: int = DEFAULT_MTU_BYTES,
        offload: bool = False,
    ) -> None:
        """`mtu_bytes`: what both ports say they carry; `mtu` of a direction may be less, unsaid.

        `offload`: take super-frames, and carry them whole where nothing tells their pieces apart.
        """
        is_whole = isinstance(mtu_bytes, int)
        if not is_whole or not MIN_MTU_BYTES <= mtu_bytes <= MAX_PACKET_BYTES:
            raise ConfigError(
                f"an MTU of {mtu_bytes!r} bytes is not possible: IPv4 needs {MIN_MTU_BYTES} to "
                f"{MAX_PACKET_BYTES}"
            )
        self.name = name
        self.mtu_bytes = mtu_bytes
        self.ends = ("a", "b")  # the names of what it joins, as those who watch it are told
        self.observers: list[Observer] = []  # told of every drop
        self._watches: dict[str, Watch] = {}  # by direction, where somebody watches or did so
        self.own_counters = Counters()  # of the ports
        self.a_to_b, self.b_to_a = (
            Pipe(
                scheduler,
                _nowhere,
                config,
                component_rng(seed, f"link/{name}/{direction}"),
                name=f"{name}/{direction}",
                report=partial(self._told, direction),
                mtu_bytes=mtu_bytes,
                offloads=offload,
            )
            for direction, config in zip(DIRECTIONS, (a_to_b, b_to_a), strict=True)
        )
        self.a = LinkPort(self.a_to_b, self.b_to_a, mtu_bytes, self.own_counters.add)
        self.b = LinkPort(self.b_to_a, self.a_to_b, mtu_bytes, self.own_counters.add)

    @property
    def ports(self) -> tuple[LinkPort, LinkPort]:
        """Return both ends."""
        return self.a, self.b

    @property
    def counters(self) -> Counters:
        """Return what was counted in both directions and at the ports; those of one: its pipe's."""
        total = Counters(self.own_counters)
        for pipe in (self.a_to_b, self.b_to_a):
            for name, count in pipe.counters.items():
                total.add(name, count)
        return total

    def set(
        self,
        *,
        a_to_b: NetemWords | None = None,
        b_to_a: NetemWords | None = None,
        **words: Unpack[NetemWords],
    ) -> None:
        """Change these words, in both directions or in one; others stay as they are.

        None for a word removes it. Raises ConfigError, and then has changed nothing.
        """
        old = self.a_to_b.config, self.b_to_a.config
        configs = update_both(old, words, a_to_b, b_to_a)
        for pipe, config in zip((self.a_to_b, self.b_to_a), configs, strict=True):
            if pipe.config != config and (config.impairments or config.qdisc):
                pipe.try_out(config)
        for pipe, config in zip((self.a_to_b, self.b_to_a), configs, strict=True):
            if pipe.config != config:
                pipe.configure(config)

    def down(self, direction: str | None = None) -> None:
        """Cut it, in one direction ("a_to_b") or in both. Frames in flight are lost."""
        for pipe in self._pipes(direction):
            pipe.down()

    def up(self, direction: str | None = None) -> None:
        """Repair it, in one direction or in both."""
        for pipe in self._pipes(direction):
            pipe.up()

    def black_hole(self, predicate: Predicate | None, direction: str | None = None) -> None:
        """Swallow every packet that matches the predicate; None: none."""
        for pipe in self._pipes(direction):
            pipe.black_hole(predicate)

    def watch(self, watcher: PassageWatcher, direction: str | None = None) -> None:
        """Tell `watcher` of each frame that is put on it from now on, and of how it ended.

        In both directions, or in one of them.
        """
        for pipe in self._pipes(direction):
            name = A_TO_B if pipe is self.a_to_b else B_TO_A
            watch = self._watches.get(name)
            watchers = () if watch is None else watch.watchers
            if watcher in watchers:
                continue
            ends = self.ends if name == A_TO_B else self.ends[::-1]
            if watch is None:
                watch = self._watches[name] = Watch(self.name, *ends, (), pipe.counters)
            watch.watchers = (*watchers, watcher)
            if not watchers:
                watch.place, (watch.sender, watch.receiver) = self.name, ends
                pipe.watch(watch)

    def unwatch(self, watcher: PassageWatcher) -> None:
        """Tell it no more."""
        for direction, watch in self._watches.items():
            watchers = watch.watchers
            if watcher in watchers:
                at = watchers.index(watcher)
                watch.watchers = watchers[:at] + watchers[at + 1 :]
                if not watch.watchers:
                    (pipe,) = self._pipes(direction)
                    pipe.watch(None)

    def close(self) -> None:
        """Unplug both ends."""
        self.a.close()
        self.b.close()

    def __repr__(self) -> str:
        """Return it for an assertion's message."""
        down = self.a_to_b.is_down + self.b_to_a.is_down
        return f"<{type(self).__name__} {self.name} {('up', 'half down', 'down')[down]}>"

    def _pipes(self, direction: str | None) -> tuple[Pipe, ...]:
        if direction is None:
            return self.a_to_b, self.b_to_a
        if direction in DIRECTIONS:
            return (self.a_to_b if direction == A_TO_B else self.b_to_a,)
        raise ConfigError(f"a link has no direction {direction!r}{suggest(direction, DIRECTIONS)}")

    def _told(self, direction: str, reason: str, frame: Frame, now: float) -> None:
        if self.observers and reason not in HARMLESS and not is_mark(reason):
            for observer in self.observers:
                observer.on_event(Dropped(now, self.name, direction, reason, frame.data, frame))


def _nowhere(frame: Frame, now: float) -> None:
    """Stand in for a port, until it is made."""
