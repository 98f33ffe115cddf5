"""Pipe: one direction of a link: impairments, then the transmitter with its queue, then the line.

    send -> black hole -> drop -> duplicate -> loss -> corrupt -> custom -> queue, rate -> delay

A stage that is not asked for is not there: the chain is put together when the pipe is configured,
and each frame goes through it by plain calls, to one event of the heap. Every instant is computed
from the one before, never from when the machine came to it, so that lateness does not add up.

Super-frames are cut here, once: what travels on a link is what a wire would carry. A pipe that
`offloads` lets them pass whole while it treats each of their pieces alike, and nobody looks at one:
with no stage, no rate and one delay. A checksum that was left to be filled in stays so (it saves
two passes over the payload, and nothing can damage it but `corrupt`, which fills it in first);
captures fill it in for themselves.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import TypeGuard

from pystack.core.counters import Counters
from pystack.core.errors import WireError
from pystack.core.rng import Random, component_rng
from pystack.core.scheduler import Scheduler
from pystack.link.config import PipeConfig
from pystack.link.impair.base import CustomStage, Exit, Stage
from pystack.link.impair.corrupt import Corrupt
from pystack.link.impair.delay import NEVER, Propagation
from pystack.link.impair.drop import BlackHole
from pystack.link.impair.loss import Duplicate, LossStage
from pystack.link.impair.packet import Predicate
from pystack.link.impair.slot import SlotGate
from pystack.link.impair.trace import TraceGate
from pystack.link.port import FrameSink
from pystack.link.qdisc.base import Qdisc, Report, ignore
from pystack.link.qdisc.fifo import Fifo
from pystack.link.transmit import Direct, Line, RateFifo, Served, Transmitter
from pystack.link.watch import Watch
from pystack.wire import ethernet
from pystack.wire.frame import Frame, cut_inside

# The name of a stage, what it is made from (equal: the old one stays), and how it is made
_Plan = Iterator[tuple[str, object, Callable[[], Stage]]]


class Pipe:
    """From whoever calls `send` to one sink, over the scheduler's heap."""

    __slots__ = (
        "_began_at",
        "_black_hole",
        "_burst",
        "_burst_at",
        "_exit",
        "_first",
        "_line",
        "_max_bytes",
        "_mtu_bytes",
        "_on_report",
        "_rngs",
        "_scheduler",
        "_seed",
        "_sink",
        "_stages",
        "_transmitter",
        "_watch",
        "_whole",
        "config",
        "counters",
        "is_down",
        "name",
        "offloads",
    )

    def __init__(
        self,
        scheduler: Scheduler,
        sink: FrameSink,
        config: PipeConfig,
        rng: Random,
        *,
        name: str = "pipe",
        counters: Counters | None = None,
        report: Report = ignore,
        mtu_bytes: float = math.inf,
        offloads: bool = False,
    ) -> None:
        """`report`: told of every drop, mark and damage, after it was counted in `counters`.

        `mtu_bytes`: the largest packet, unless the configuration has an `mtu`. `offloads`:
        super-frames pass whole where they may.
        """
        self.name = name
        self.counters = Counters() if counters is None else counters
        self.config = config
        self.is_down = False
        self.offloads = offloads
        self._whole = False  # super-frames pass as they are
        self._burst: list[Frame] = []  # what arrives together, at that instant; empty: it has
        self._burst_at = NEVER
        self._scheduler = scheduler
        self._sink = sink
        self._on_report = report
        # Each stage has a source of its own: to set the loss does not change the jitter's numbers.
        self._seed = rng.getrandbits(64)
        self._rngs: dict[str, Random] = {}
        self._black_hole: BlackHole | None = None  # None: nothing is swallowed
        self._stages: dict[str, tuple[object, Stage]] = {}  # by name: what it was made from, itself
        self._began_at: dict[object, float] = {}  # each trace that is being played
        self._mtu_bytes = mtu_bytes
        self._max_bytes = math.inf
        self._watch: Watch | None = None  # None: nobody wants to know of each frame
        self._exit = Exit(sink)
        self._transmitter: Transmitter = Direct()
        self._first: FrameSink = self._lose
        self._note_traces()
        self._line = Line(scheduler, self._propagation(), self._exit)
        self._connect()

    @property
    def sink(self) -> FrameSink:
        """Return the receiver of what arrives."""
        return self._sink

    @sink.setter
    def sink(self, sink: FrameSink) -> None:
        self._sink = sink
        if not self.is_down:
            self._exit.sink = self._far_end()

    def send(self, frame: Frame, now: float) -> None:
        """Take a frame at the near end (HOT)."""
        if frame.gso_bytes or len(frame.data) > self._max_bytes:
            self._send_unusual(frame, now)
        else:
            self._first(frame, now)

    def try_out(self, config: PipeConfig) -> None:
        """Make what a configuration asks for, and throw it away: a plug-in may refuse its words."""
        Pipe(self._scheduler, self._sink, config, Random(0), mtu_bytes=self._mtu_bytes)

    def configure(self, config: PipeConfig) -> None:
        """Work like this from now on.

        Frames that are on the line, or being sent, keep their times; those that wait move to the
        new queue. What the new configuration says as the old one did goes on as it was: a trace, a
        burst of losses, the positions of `drop`.
        """
        old, self.config = self.config, config
        if old.seed != config.seed:
            self._forget_chance()
        now = self._scheduler.now
        moved: list[Frame] = []
        line_changes = old.delay_config != config.delay_config or old.seed != config.seed
        if line_changes or old.transmit_config != config.transmit_config:
            moved = self._transmitter.reclaim(now)
        self._note_traces()
        if line_changes:
            keep_order_after = self._line.propagation.last_at
            self._line.propagation = self._propagation()
            self._line.propagation.go_on_after(keep_order_after)
        self._connect(self._transmitter.free_at)
        if self._watch is not None:
            self._watch.waits_again(moved)
        for frame in moved:
            self._transmitter.send(frame, now)

    def down(self) -> None:
        """Cut it: what waits, is on its way, or is put in is lost, and counted `link_down`.

        What is on its way is counted at the instant at which it would have arrived.
        """
        if self.is_down:
            return
        self.is_down = True
        now = self._scheduler.now
        waiting = self._transmitter.reclaim(now)
        if self._watch is not None:
            self._watch.waits_again(waiting)
        for frame in waiting:
            self._lose(frame, now)
        del self._stages["transmit"]  # the frame that was being sent is lost too
        self._line.propagation.last_at = NEVER
        self._change_exit(self._lose)

    def up(self) -> None:
        """Mend it. What was on its way when it was cut stays lost."""
        if self.is_down:
            self.is_down = False
            self._change_exit(self._far_end())

    def black_hole(self, predicate: Predicate | None) -> None:
        """Swallow what the predicate holds for, and count it `black_hole`; None: nothing."""
        self._black_hole = None if predicate is None else BlackHole(predicate)
        self._connect()

    def watch(self, watch: Watch | None) -> None:
        """Follow each frame that is put on it from now on; None: no more."""
        self._watch = watch
        line = Line(self._scheduler, self._line.propagation, self._exit)
        self._line = line if watch is None else watch.line(line)
        if watch is not None and not self.is_down:
            self._exit.sink = self._far_end()  # and stays: there are frames of a watch's own
        self._connect()

    def waiting(self) -> int:
        """Return how many frames wait in the queue."""
        return self._transmitter.waiting(self._scheduler.now)

    def waiting_bytes(self) -> int:
        """Return how many bytes they have."""
        return self._transmitter.waiting_bytes(self._scheduler.now)

    @property
    def carries_whole(self) -> bool:
        """Tell whether super-frames pass as they are, while nobody watches."""
        return self._whole

    def is_idle(self) -> bool:
        """Tell whether nothing waits or is on its way."""
        now = self._scheduler.now
        return self._line.propagation.last_at <= now and not self._transmitter.waiting(now)

    def _send_unusual(self, frame: Frame, now: float) -> None:
        if self._whole and frame.gso_bytes:
            self._first(frame, now)
            return
        try:
            pieces = cut_inside(frame) if frame.gso_bytes else [frame]
        except WireError as error:
            self._refuse(error.reason, frame, now)
            return
        for piece in pieces:
            if len(piece.data) > self._max_bytes:
                self._refuse("link_mtu", piece, now)
            else:
                self._first(piece, now)

    def _gather(self, frame: Frame, now: float) -> None:
        """Put a frame on the line with all else that arrives at the same instant (HOT).

        Its receiver gets a burst at one go, as from a device: what continues goes up as one.
        """
        at = self._line.propagation.arrival(now, 0.0)
        if at == self._burst_at and self._burst:
            self._burst.append(frame)
        else:
            self._burst_at = at
            self._burst = [frame]
            self._scheduler.post(at, self._exit.deliver_all, self._burst)

    def _refuse(self, reason: str, frame: Frame, now: float) -> None:
        self._report(reason, frame, now)
        if self._watch is not None:
            self._watch.refused(reason, frame, now)

    def _far_end(self) -> FrameSink:
        return self._sink if self._watch is None else self._watch.exit(self._sink)

    def _report(self, reason: str, frame: Frame, now: float) -> None:
        self.counters[reason] += 1
        if self._watch is not None:
            frame = self._watch.told(reason, frame, now)
        self._on_report(reason, frame, now)

    def _lose(self, frame: Frame, now: float) -> None:
        self._report("link_down", frame, now)

    def _change_exit(self, sink: FrameSink) -> None:
        """Give what is on its way up for lost, and let what comes from now on go to `sink`."""
        self._exit.sink = self._lose
        for stage in self._stages.values():
            if isinstance(stage[1], CustomStage):
                stage[1].lose(self._lose)
        self._exit = self._line.exit = Exit(sink)
        self._connect()

    def _connect(self, free_at: float = NEVER) -> None:
        """Put the chain together, from stages that stay as they are and from new ones."""
        config = self.config
        mtu_bytes = self._mtu_bytes if config.mtu_bytes is None else config.mtu_bytes
        self._max_bytes = ethernet.HEADER_BYTES + mtu_bytes
        old, self._stages = self._stages, {}
        for name, key, make in self._plan(free_at):
            kept = old.get(name)
            self._stages[name] = kept if kept and kept[0] == key else (key, make())
        chain = [stage for _, stage in self._stages.values()]
        if self._black_hole is not None:
            chain.insert(0, self._black_hole)
        for stage, following in pairwise(chain):
            stage.next = following.send
            if isinstance(stage, Duplicate):
                stage.loss = following if isinstance(following, LossStage) else None
        for stage in chain:
            stage.report = self._report
            if isinstance(stage, LossStage):
                stage.ecn = config.ecn
            if isinstance(stage, CustomStage):
                stage.watch(None if self._watch is None else self._watch.impaired)
        transmitter = chain[-1]
        assert isinstance(transmitter, Transmitter)
        transmitter.connect(self._line)
        self._transmitter = transmitter
        self._whole = (
            self.offloads
            and not self.is_down
            and self._watch is None
            and config.mtu_bytes is None
            and type(chain[0]) is Direct
            and self._line.propagation.is_one_for_all
        )
        self._burst = []  # what comes from now on takes another way
        first: FrameSink = self._gather if self._whole else chain[0].send
        if self.is_down:
            first = self._lose
        self._first = first if self._watch is None else self._watch.entrance(first)

    def _plan(self, free_at: float) -> _Plan:
        config, rng = self.config, self._rng
        if config.drop is not None:
            yield "drop", config.drop, config.drop.stage
        if config.duplicate:
            of = (config.duplicate, config.duplicate_correlation)
            yield "duplicate", of, partial(Duplicate, *of, rng("duplicate"))
        if (loss := config.loss_model) is not None:
            yield "loss", loss, partial(loss.stage, rng("loss"))
        if config.corrupt:
            of = (config.corrupt, config.corrupt_correlation)
            yield "corrupt", of, partial(Corrupt, *of, rng("corrupt"))
        for number, factory in enumerate(config.impairments):
            name = f"impairment/{number}"
            yield name, factory, partial(CustomStage, factory, rng(name), self._scheduler)
        yield "transmit", config.transmit_config, partial(self._make_transmitter, free_at)

    def _make_transmitter(self, free_at: float) -> Transmitter:
        asked = self.config.transmit_config
        rate, gate = asked.rate, self._gate()
        if asked.qdisc is None:
            qdisc: Qdisc = Fifo(limit_packets=asked.limit_packets)
        else:
            qdisc = asked.qdisc(self._rng("qdisc"))
        if gate is None and _is_plain(qdisc):
            if rate is None:
                return Direct()
            if not rate.cell_bytes and rate.overhead_bytes >= 0:
                return RateFifo(rate, qdisc.limit_packets, free_at)
        return Served(qdisc, rate, gate, free_at)

    def _gate(self) -> SlotGate | TraceGate | None:
        asked = self.config.transmit_config
        if asked.trace is not None:
            return TraceGate(asked.trace, self._began_at[asked.trace])
        if asked.slot is not None:
            return SlotGate(asked.slot, self._rng("slot"), self._scheduler.now)
        return None

    def _propagation(self) -> Propagation:
        asked = self.config.delay_config
        began_at = self._began_at.get(asked.delay_trace, 0.0)
        jitter, reorder = self._rng("jitter"), self._rng("reorder")
        return Propagation(asked, jitter, reorder, self.counters, began_at)

    def _note_traces(self) -> None:
        """Let traces that are new begin now; those that are there already go on."""
        traces = (self.config.transmit_config.trace, self.config.delay_config.delay_trace)
        now, old = self._scheduler.now, self._began_at
        self._began_at = {trace: old.get(trace, now) for trace in traces if trace is not None}

    def _rng(self, stage: str) -> Random:
        if stage not in self._rngs:
            # A seed of the user's own gives the same numbers on each link, but not both ways.
            own = self.config.seed
            direction = self.name.rpartition("/")[2]
            self._rngs[stage] = (
                component_rng(self._seed, stage)
                if own is None
                else component_rng(own, f"{direction}/{stage}")
            )
        return self._rngs[stage]

    def _forget_chance(self) -> None:
        """Let the built-in stages draw from new sources; stages of plug-ins keep theirs."""
        self._rngs.clear()
        for name in ("duplicate", "loss", "corrupt", "transmit"):
            self._stages.pop(name, None)


def _is_plain(qdisc: Qdisc) -> TypeGuard[Fifo]:
    """Tell whether a queue does no more than what `RateFifo` can compute."""
    return type(qdisc) is Fifo and qdisc.limit_bytes == math.inf and not qdisc.head_drop
