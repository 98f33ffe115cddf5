"""The transmitter of a pipe: what waits in front of it, and how long a frame takes to go out.

Three of them, the cheapest that can do what is asked for. `Direct`: no rate and no queue.
`RateFifo`: a rate behind a first-in first-out queue, where it is known at once when each frame will
go, so that one event for each frame is all. `Served`: any other queue, slots and delivery traces,
with an event for each time that the transmitter is free again.

Each takes frames by `send`, and hands them to the line, `Propagation`, with the instant of their
last bit. `reclaim` takes back what still waits, for a new configuration.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pystack.core.instants import GRACE_S, NANOSECOND_S
from pystack.core.scheduler import Scheduler, T
from pystack.link.impair.base import Exit, Stage
from pystack.link.impair.delay import NEVER, Propagation
from pystack.link.impair.slot import SlotGate
from pystack.link.impair.trace import TraceGate
from pystack.link.qdisc.base import Qdisc
from pystack.wire.frame import Frame

DEFAULT_LIMIT_PACKETS: Final = 1000  # tc-netem(8)


@dataclass(frozen=True, slots=True)
class Rate:
    """Bits per second, and what a frame takes more than its bytes, as tc-netem(8)'s `rate`."""

    bps: float  # infinity: no time at all
    overhead_bytes: int = 0  # of each packet; may be below 0
    cell_bytes: int = 0  # 0: no cells (ATM has 48 and 5)
    cell_overhead_bytes: int = 0

    def time_s(self, size: int) -> float:
        """Return how long a frame of `size` bytes takes."""
        return self.line_bytes(size) * 8 / self.bps

    def line_bytes(self, size: int) -> int:
        """Return how many bytes' time a frame of `size` bytes takes."""
        size += self.overhead_bytes
        if self.cell_bytes:
            cells = -(-size // self.cell_bytes)
            size = cells * (self.cell_bytes + self.cell_overhead_bytes)
        return max(size, 0)


class Line:
    """What a transmitter needs to put a frame on the line."""

    __slots__ = ("exit", "propagation", "scheduler")

    def __init__(self, scheduler: Scheduler, propagation: Propagation, exit_: Exit) -> None:
        self.scheduler = scheduler
        self.propagation = propagation
        self.exit = exit_

    @property
    def post(self) -> Callable[[float, Callable[[T, float], None], T], None]:
        """Return what has a frame (or its box) delivered when it arrives."""
        return self.scheduler.post

    @property
    def arrival(self) -> Callable[[float, float], float]:
        """Return what tells when a frame arrives: see `Propagation`. Asked before each `post`."""
        return self.propagation.arrival


class Transmitter(Stage):
    """The base of the three. `connect` tells it the line, and may do so again."""

    __slots__ = ("_arrival", "_deliver", "_line", "_post")

    def connect(self, line: Line) -> None:
        """Put frames on this line from now on."""
        self._line = line
        self._post = line.post
        self._arrival = line.arrival
        self._deliver = line.exit.deliver

    @property
    def free_at(self) -> float:
        """Return when the frame that is being sent, if there is one, is through."""
        return NEVER

    def reclaim(self, now: float) -> list[Frame]:
        """Take back what waits, and forget it; what is being sent goes on."""
        return []

    def waiting(self, now: float) -> int:
        """Return how many frames wait."""
        return 0

    def waiting_bytes(self, now: float) -> int:
        """Return how many bytes they have."""
        return 0


class Direct(Transmitter):
    """Puts every frame on the line at once."""

    __slots__ = ()

    def send(self, frame: Frame, now: float) -> None:
        """Put it on the line."""
        self._post(self._arrival(now, 0.0), self._deliver, frame)


class RateFifo(Transmitter):
    """A rate behind pfifo with tail drop, by arithmetic: all is known when a frame arrives.

    What was sent since the line was idle last is counted in bytes, so that no error adds up.
    """

    __slots__ = (
        "_busy_bytes",
        "_busy_since",
        "_deliver_box",
        "_free_by",
        "_limit",
        "_overhead_bytes",
        "_propagation",
        "_s_per_byte",
        "_waiting",
    )

    def __init__(self, rate: Rate, limit_packets: float, free_at: float) -> None:
        super().__init__()
        self._s_per_byte = 8 / rate.bps
        self._overhead_bytes = rate.overhead_bytes
        self._limit = limit_packets
        # From when on all that was taken so far is through: with grace (`core/instants.py`)
        self._free_by = free_at - GRACE_S
        self._busy_since = free_at
        self._busy_bytes = 0
        # By when each frame that waits begins to go, the last arrival before its own, and its box
        self._waiting: deque[tuple[float, float, list[Frame]]] = deque()

    def connect(self, line: Line) -> None:
        """Put frames on this line from now on."""
        super().connect(line)
        self._deliver_box = line.exit.deliver_box
        self._propagation = line.propagation

    def send(self, frame: Frame, now: float) -> None:
        """Send it, let it wait, or drop it."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            waiting.popleft()
        size = len(frame.data) + self._overhead_bytes
        begins_by = self._free_by
        if begins_by <= now:
            self._busy_since = now
            self._busy_bytes = size
            time_s = size * self._s_per_byte
            done_at = now + time_s
            self._free_by = done_at - GRACE_S
            self._post(self._arrival(done_at, time_s), self._deliver, frame)
        elif len(waiting) < self._limit:
            box = [frame]
            waiting.append((begins_by, self._propagation.last_at, box))
            self._busy_bytes = busy_bytes = self._busy_bytes + size
            done_at = self._busy_since + busy_bytes * self._s_per_byte
            self._free_by = done_at - GRACE_S
            arrival = self._arrival(done_at, size * self._s_per_byte)
            self._post(arrival, self._deliver_box, box)
        else:
            self.report("pfifo_full", frame, now)

    @property
    def free_at(self) -> float:
        """Return when the frame that is being sent is through, once `reclaim` was called."""
        return self._free_by + GRACE_S

    def reclaim(self, now: float) -> list[Frame]:
        """Take the frames out of their boxes; the events that are left find nothing in them."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            waiting.popleft()
        if not waiting:
            return []
        self._free_by, last_at, _ = waiting[0]
        self._busy_since, self._busy_bytes = self.free_at, 0
        self._propagation.rewind(self.free_at, last_at)
        frames = [box.pop() for _, _, box in waiting]
        waiting.clear()
        return frames

    def waiting(self, now: float) -> int:
        """Return how many frames wait."""
        return sum(begins_by > now for begins_by, _, _ in self._waiting)

    def waiting_bytes(self, now: float) -> int:
        """Return how many bytes they have."""
        return sum(len(box[0].data) for begins_by, _, box in self._waiting if begins_by > now)


class Served(Transmitter):
    """Any queue: it is asked for a frame whenever the transmitter is free and may go on."""

    __slots__ = (
        "_busy_bytes",
        "_busy_since",
        "_free_at",
        "_gate",
        "_qdisc",
        "_rate",
        "_scheduler",
        "_wake_at",
        "_wake_number",
    )

    def __init__(
        self, qdisc: Qdisc, rate: Rate | None, gate: SlotGate | TraceGate | None, free_at: float
    ) -> None:
        super().__init__()
        self._qdisc = qdisc
        self._rate = rate  # None: a frame takes no time of its own
        self._gate = gate  # None: the transmitter may go whenever it is free
        self._free_at = self._busy_since = free_at
        self._busy_bytes = 0  # sent since then, while the line was never idle
        self._wake_at = math.inf  # when this is called again; infinity: not at all
        self._wake_number = 0  # of the one call that counts: others that are under way do not

    def connect(self, line: Line) -> None:
        """Put frames on this line from now on."""
        super().connect(line)
        self._scheduler = line.scheduler
        self._qdisc.report = self.report

    def send(self, frame: Frame, now: float) -> None:
        """Give it to the queue, and see whether one may go; what is due to go now goes first."""
        if self._wake_at - GRACE_S <= now:
            self._woken(self._wake_number, now)
        self._qdisc.enqueue(frame, now)
        if now < self._free_at - GRACE_S:
            self._wake(self._free_at)
        else:
            self._serve(now)

    @property
    def free_at(self) -> float:
        """Return when the frame that is being sent is through."""
        return self._free_at

    def reclaim(self, now: float) -> list[Frame]:
        """Take from the queue what it gives; a shaper is asked as if time had passed."""
        self._wake_number += 1
        self._wake_at = math.inf
        frames: list[Frame] = []
        while len(self._qdisc) and now < math.inf:
            frame = self._qdisc.dequeue(now)
            if frame is not None:
                frames.append(frame)
            else:
                now = max(self._qdisc.next_at(now), now + NANOSECOND_S)
        return frames

    def waiting(self, now: float) -> int:
        """Return how many frames wait."""
        return len(self._qdisc)

    def waiting_bytes(self, now: float) -> int:
        """Return how many bytes they have."""
        return self._qdisc.backlog_bytes

    def _serve(self, now: float) -> None:
        """Send what may go now, and be called again for what may go later."""
        qdisc, gate = self._qdisc, self._gate
        while len(qdisc):
            if gate is not None:
                opens_at = gate.opens_at(now)
                if opens_at - GRACE_S > now:
                    self._wake(opens_at)
                    return
            frame = qdisc.dequeue(now)
            if frame is None:
                if len(qdisc):
                    # A queue that says "now" and gives nothing would stop time for ever.
                    self._wake(max(qdisc.next_at(now), now + NANOSECOND_S))
                return
            self._free_at = done_at = self._done_at(len(frame.data), now)
            busy_s = done_at - now if gate is None or self._rate else 0.0
            self._post(self._arrival(done_at, busy_s), self._deliver, frame)
            if done_at - GRACE_S > now:
                if len(qdisc):
                    self._wake(done_at)
                return

    def _done_at(self, size: int, now: float) -> float:
        gate = self._gate
        if isinstance(gate, TraceGate):
            return gate.take(size)
        done_at = now
        if self._rate is not None:
            if self._free_at + GRACE_S < now:
                self._busy_since, self._busy_bytes = now, 0
            self._busy_bytes += self._rate.line_bytes(size)
            done_at = self._busy_since + self._busy_bytes * 8 / self._rate.bps
        if gate is not None:
            gate.take(size, done_at)
        return done_at

    def _wake(self, at: float) -> None:
        if at != self._wake_at and at < math.inf:
            self._wake_at = at
            self._wake_number += 1
            self._scheduler.post(at, self._woken, self._wake_number)

    def _woken(self, number: int, now: float) -> None:
        if number == self._wake_number:
            self._wake_at = math.inf
            self._wake_number += 1
            if now < self._free_at - GRACE_S:
                self._wake(self._free_at)
            else:
                self._serve(now)
