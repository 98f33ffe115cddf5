"""The toxics on the bytes of one direction of a connection, in the order of their making.

A chain is the filter of a splice, between the machine's socket and the stack. It changes while it
runs: a toxic that is there already goes on with what it holds and has counted, what one that is
removed has held goes on to the next. Of what is held nothing is lost or overtaken.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TYPE_CHECKING, Final

from pystack.apps.proxy.toxics.spec import ToxicSpec
from pystack.apps.proxy.toxics.stage import Data, Giver, Stage, Surroundings, Taker
from pystack.apps.proxy.toxics.stages import STAGES
from pystack.core.rng import component_rng
from pystack.core.scheduler import Scheduler

if TYPE_CHECKING:
    from pystack.runtime.splice.filters import FilterSink

# What is taken at once where no toxic holds anything
READ_BYTES: Final = 256 << 10


class Chain:
    """A filter made of toxics, of which there may be none."""

    __slots__ = ("_entrance", "_exit", "_scheduler", "_seed", "_stages", "toxics")

    def __init__(self, scheduler: Scheduler, rng: Random, toxics: Iterable[ToxicSpec] = ()) -> None:
        """`toxics`: those on bytes, and in this direction, that hit this connection."""
        self.toxics = tuple(toxics)
        self._scheduler = scheduler
        self._seed = rng.getrandbits(64)
        self._stages: list[Stage] = []
        self._entrance = _Entrance()
        self._exit = _Exit()

    @property
    def held_bytes(self) -> int:
        """Return how much it holds."""
        return sum(stage.held_bytes for stage in self._stages) + len(self._exit.rest)

    def update(self, toxics: Iterable[ToxicSpec], now: float) -> None:
        """Go on with these toxics: others, fewer, more, other attributes."""
        self.toxics = tuple(toxics)
        if self._exit.sink is not None:
            self._rebuild(now)

    # what the splice calls

    @property
    def room_bytes(self) -> int:
        """Return how much `take` may be given now."""
        return self._first.room_bytes

    def begin(self, sink: FilterSink, now: float) -> None:
        """Be told where to send, before all else."""
        self._entrance.sink = self._exit.sink = sink
        self._rebuild(now)

    def take(self, data: bytes, now: float) -> None:
        """Take what has come."""
        self._first.take(memoryview(data), now)

    def end(self, now: float) -> None:
        """Take the end of this direction."""
        self._entrance.ended = True
        self._first.end(now)

    def room(self, now: float) -> None:
        """Go on: there is room behind the chain."""
        self._exit.go_on(now)

    def over(self, now: float) -> None:
        """Forget all."""
        for stage in self._stages:
            stage.forget()
        self._entrance.sink = self._exit.sink = None
        self._exit.rest = memoryview(b"")

    # what is behind that

    @property
    def _first(self) -> Taker:
        return self._stages[0] if self._stages else self._exit

    def _rebuild(self, now: float) -> None:
        fresh = self._arrange(now)
        self._connect()
        # From the end, where there is room, to the beginning, where what goes on comes from.
        for stage in reversed(self._stages):
            stage.flush(now)
        specs = {spec.name: spec for spec in self.toxics}
        for stage in self._stages:
            if self._exit.sink is None:  # it has just become over
                return
            if stage in fresh:
                stage.begin(now)
            elif type(stage) is not Stage and (spec := specs[stage.spec.name]) != stage.spec:
                stage.change(spec.attributes, now)
                stage.spec = spec
        if self._first.room_bytes:
            self._entrance.room(now)

    def _arrange(self, now: float) -> set[Stage]:
        """Bring stages and toxics into line; return the new stages."""
        before, kept = self._stages, self._kept()
        stages: list[Stage] = []
        fresh = set()
        place = 0
        for spec in self.toxics:
            if (index := kept.get(spec.name)) is None:
                stage = self._make(spec)
                fresh.add(stage)
                stages.append(stage)
            else:
                stages += [*self._leaving(before[place:index], now), before[index]]
                place = index + 1
        self._stages = stages + self._leaving(before[place:], now)
        self._mark_ended(fresh)
        return fresh

    def _kept(self) -> dict[str, int]:
        """Return which toxics go on, and where their stages are: of these the order stays."""
        places = {
            stage.spec.name: index
            for index, stage in enumerate(self._stages)
            if type(stage) is not Stage
        }
        kept: dict[str, int] = {}
        last = -1
        for spec in self.toxics:
            index = places.get(spec.name, -1)
            if index > last and self._stages[index].spec.type == spec.type:
                kept[spec.name] = last = index
        return kept

    def _leaving(self, stages: Iterable[Stage], now: float) -> list[Stage]:
        """Return what stands for toxics that are removed, until what they held has got through."""
        leaving = []
        for old in stages:
            if type(old) is not Stage:
                old.leave(now)
            if old.ready or (old.ended and not old.passed):
                rest = Stage(old.around, old.spec)
                rest.ready, rest.ended = old.ready, old.ended
                rest.held_bytes = sum(map(len, old.ready))
                leaving.append(rest)
        return leaving

    def _mark_ended(self, fresh: set[Stage]) -> None:
        """Tell stages that stand behind an end which is on its way that they have missed it."""
        ended = self._entrance.ended
        for stage in self._stages:
            if stage in fresh:
                stage.ended = stage.passed = ended
            ended = stage.passed

    def _make(self, spec: ToxicSpec) -> Stage:
        rng = component_rng(self._seed, spec.name)
        around = Surroundings(self._scheduler, rng, self._exit.close, self._exit.reset)
        return STAGES[spec.type](around, spec)

    def _connect(self) -> None:
        previous: _Entrance | Stage = self._entrance
        for stage in self._stages:
            stage.previous = previous
            if isinstance(previous, Stage):
                previous.next = stage
            previous = stage
        if isinstance(previous, Stage):
            previous.next = self._exit
        self._exit.previous = previous


class _Entrance:
    """What stands in front of the first stage: the splice, which reads on."""

    __slots__ = ("ended", "sink")

    def __init__(self) -> None:
        self.sink: FilterSink | None = None  # None: not begun, or over
        self.ended = False  # the socket's side has

    def room(self, now: float) -> None:
        """Let the socket be read again."""
        if self.sink is not None:
            self.sink.read_on(now)


class _Exit:
    """What stands behind the last stage: the splice, which sends."""

    __slots__ = ("closing", "ended", "previous", "rest", "sink")

    def __init__(self) -> None:
        self.sink: FilterSink | None = None  # None: not begun, or over
        self.previous: Giver
        self.rest: Data = memoryview(b"")  # what there was no room for
        self.ended = False  # nothing more comes
        self.closing = False  # and then the connection is closed

    @property
    def room_bytes(self) -> int:
        """Return how much it takes now."""
        return 0 if self.rest else READ_BYTES

    def take(self, data: Data, now: float) -> None:
        """Send it, and keep what there is no room for."""
        if self.sink is not None and not self.ended:
            self.rest = data[self.sink.put(data, now) :]

    def go_on(self, now: float) -> None:
        """Send what there is room for now."""
        if self.rest and self.sink is not None:
            self.rest = self.rest[self.sink.put(self.rest, now) :]
            if self.ended and not self.rest:
                self._end(now)
        if not self.rest and not self.ended:
            self.previous.room(now)

    def end(self, now: float) -> None:
        """Send the end when all else is sent."""
        if not self.ended:
            self.ended = True
            if not self.rest:
                self._end(now)

    def close(self, now: float) -> None:
        """Let the end that is to come, or has come, be that of the whole connection."""
        self.closing = True
        if self.ended and not self.rest:
            self._end(now)

    def reset(self, now: float) -> None:
        """Reset the connection."""
        if self.sink is not None:
            self.sink.reset(now)

    def _end(self, now: float) -> None:
        if self.sink is None:
            return
        if self.closing:
            self.sink.close(now)
        else:
            self.sink.end(now)
