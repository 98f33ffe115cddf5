"""What an impairment is: one stage of a pipe.

`Impairment` is the plug-in point (entry points of the group `pystack.impairment`): one method, and
nothing to know of pipes. The built-in ones are `Stage`s, which hand a frame on by a plain call and
make no tuple for it; `as_impairment` makes such a stage an impairment.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from pystack.core.rng import Random
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink
from pystack.link.qdisc.base import Report, ignore
from pystack.wire.frame import Frame

# What goes on, and when: () is a loss, two entries are a duplicate, a later instant is a delay.
Departures = tuple[tuple[float, Frame], ...]

# Reasons of what is no drop: the frame, or another one with its content, goes on.
HARMLESS: Final = frozenset({"corrupt", "duplicate", "reorder"})


class Impairment(Protocol):
    """One stage of a pipe. Sync, reads no clock, owns its random source."""

    def apply(self, frame: Frame, now: float) -> Departures:
        """Return what goes on and when (`now` or later).

        Frames are not changed: a damaged one is a new one. Whoever changes what the transport's
        checksum covers starts from `wire.frame.completed(frame)` and makes a new frame of unknown
        checksum, `frame.replaced(data)`: the receiver verifies that one, and trusts the others.
        """
        ...


# Makes an impairment, once its words are known: each direction of a link has one of its own.
ImpairmentFactory = Callable[[Random], Impairment]

Apply = Callable[[Frame, float], Departures]

# How one asks for a stage: its name with its words, or what makes it (a class, a function).
ImpairmentLike = str | Mapping[str, object] | ImpairmentFactory


class Stage:
    """A built-in step of a pipe: `send` calls `next`, or reports why not."""

    __slots__ = ("next", "report")

    def __init__(self) -> None:
        self.next: FrameSink = _nowhere
        self.report: Report = ignore

    def send(self, frame: Frame, now: float) -> None:
        """Take a frame; hand it to `next` at this instant, or report what became of it."""
        self.next(frame, now)


class CustomStage(Stage):
    """An impairment of the plug-in kind in a pipe."""

    __slots__ = ("_apply", "_impairment", "_landing", "_name", "_scheduler")

    def __init__(self, factory: ImpairmentFactory, rng: Random, scheduler: Scheduler) -> None:
        super().__init__()
        self._impairment = impairment = factory(rng)
        self._apply: Apply = impairment.apply
        # The name of its counter: of the plug-in, or of the class
        name: object = getattr(impairment, "name", None)
        self._name = name if isinstance(name, str) else type(impairment).__name__
        self._scheduler = scheduler
        self._landing = Exit(self._go_on)

    def send(self, frame: Frame, now: float) -> None:
        """Let it pass as the impairment says."""
        departures = self._apply(frame, now)
        if not departures:
            self.report(self._name, frame, now)
        for at, departing in departures:
            if at <= now:
                self.next(departing, now)
            else:
                self._scheduler.post(at, self._landing.deliver, departing)

    def watch(self, watched: Callable[[str, Impairment], Apply] | None) -> None:
        """Have the impairment's work done by what this makes of it; None: by itself."""
        own = self._impairment
        self._apply = own.apply if watched is None else watched(self._name, own)

    def lose(self, sink: FrameSink) -> None:
        """Give to `sink` what was held back for later."""
        self._landing.sink = sink
        self._landing = Exit(self._go_on)

    def _go_on(self, frame: Frame, now: float) -> None:
        self.next(frame, now)


class Exit:
    """Where events deliver frames; thrown away together with all that is on its way to it."""

    __slots__ = ("sink",)

    def __init__(self, sink: FrameSink) -> None:
        self.sink = sink

    def deliver(self, frame: Frame, now: float) -> None:
        """Hand over a frame that has arrived."""
        self.sink(frame, now)

    def deliver_all(self, burst: list[Frame], now: float) -> None:
        """Hand over all that has arrived at this instant, and leave the burst empty."""
        frames = burst.copy()
        burst.clear()
        for frame in frames:
            self.sink(frame, now)

    def deliver_box(self, box: list[Frame], now: float) -> None:
        """Hand over a frame, unless it was taken out of its box while it waited."""
        if box:
            self.sink(box[0], now)


class StageImpairment:
    """A stage seen as an impairment."""

    __slots__ = ("_left", "_stage")

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._left: list[tuple[float, Frame]] = []
        stage.next = self._leave

    def apply(self, frame: Frame, now: float) -> Departures:
        """Return what the stage hands on."""
        self._left.clear()
        self._stage.send(frame, now)
        return tuple(self._left)

    def _leave(self, frame: Frame, now: float) -> None:
        self._left.append((now, frame))


def as_impairment(stage: Stage) -> Impairment:
    """Return an impairment that does what the stage does."""
    return StageImpairment(stage)


def _nowhere(frame: Frame, now: float) -> None:
    """Take a frame from a stage that is in no pipe yet."""
