"""Toxiproxy's toxics, each a stage in the way of the bytes of one direction of a connection.

They mean what they mean in Toxiproxy. Instants are computed from instants, never from when the
machine came to them, so that lateness does not add up. What is held when a toxic changes goes on
by the new attributes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from pystack.apps.proxy.toxics.spec import MS, ToxicSpec, number
from pystack.apps.proxy.toxics.stage import Data, Stage, Surroundings, Timed

# A latency must not limit the rate, so it holds a lot; Toxiproxy's holds twice as much.
LATENCY_BYTES: Final = 16 << 20
LATENCY_READS: Final = 16 << 10  # so that many small ones take no more memory than that, either
# Slow connections are fed a piece each tenth of a second, at the end of its time, as by Toxiproxy.
PIECE_S: Final = 0.1
_KILOBYTE: Final = 1000


class Holding(Timed):
    """A stage that holds data back, in their order."""

    __slots__ = ("held",)

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self.held: deque[Data] = deque()

    @property
    def is_idle(self) -> bool:
        """Tell whether nothing waits."""
        return not self.held

    def leave(self, now: float) -> None:
        """Hold nothing back any more."""
        super().leave(now)
        self.ready.extend(self.held)
        self.held.clear()

    def forget(self) -> None:
        """Drop what is held, too."""
        super().forget()
        self.held.clear()


class Latency(Holding):
    """Data wait for `latency`, give or take `jitter`; those in front hold up those behind.

    The end of the stream is no data: it follows the last of them.
    """

    limit_bytes: ClassVar[int] = LATENCY_BYTES

    __slots__ = ("_came", "_jitter_s", "_latency_s")

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        # When each that is held came, and where in the jitter it was drawn, -1..1
        self._came: deque[tuple[float, float]] = deque()
        self._read(spec.attributes)

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Delay what is held, too, by these."""
        self._read(attributes)
        self.due(now)

    def accept(self, data: Data, now: float) -> None:
        """Hold it back."""
        draw = self.around.rng.uniform(-1.0, 1.0) if self._jitter_s else 0.0
        self.held.append(data)
        self._came.append((now, draw))
        if len(self.held) == 1:
            self.due(now)

    def due(self, now: float) -> None:
        """Hand on what has waited for long enough."""
        while self.held and (when := self._due_at()) <= now:
            self._came.popleft()
            self.ready.append(self.held.popleft())
        if self.held:
            self.arm(when)
        else:
            self.disarm()
        self.flush(now)

    @property
    def room_bytes(self) -> int:
        """Return how much it takes now."""
        return super().room_bytes if len(self.held) < LATENCY_READS else 0

    def _due_at(self) -> float:
        came_at, draw = self._came[0]
        return came_at + max(self._latency_s + draw * self._jitter_s, 0.0)

    def _read(self, attributes: Mapping[str, object]) -> None:
        self._latency_s = number(attributes, "latency") * MS
        self._jitter_s = number(attributes, "jitter") * MS


class Bandwidth(Holding):
    """So many bytes a second: each piece is handed on when its time has passed. At 0 none is."""

    __slots__ = ("_began_at", "_rate")

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._began_at = 0.0  # when the first of what is held did
        self._rate = number(spec.attributes, "rate") * _KILOBYTE

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Go on at another rate; what has got through of the first piece has."""
        old, self._rate = self._rate, number(attributes, "rate") * _KILOBYTE
        if not self.held:
            return
        share = old / self._rate if self._rate else 0.0
        self._began_at = now - max(now - self._began_at, 0.0) * share
        self._go_on()

    def accept(self, data: Data, now: float) -> None:
        """Let it wait for its turn."""
        self.held.append(data)
        if len(self.held) == 1:
            self._began_at = max(self._began_at, now)
            self._go_on()

    def due(self, now: float) -> None:
        """Hand the first piece on."""
        piece = self._cut()
        self._began_at += len(piece) / self._rate
        self.ready.append(piece)
        self._go_on()
        self.flush(now)

    def _go_on(self) -> None:
        if self.held and self._rate:
            self.arm(self._began_at + min(len(self.held[0]), self._most) / self._rate)
        else:
            self.disarm()

    def _cut(self) -> Data:
        data = self.held.popleft()
        if len(data) > self._most:
            self.held.appendleft(data[self._most :])
        return data[: self._most]

    @property
    def _most(self) -> int:
        return int(self._rate * PIECE_S)


class SlowClose(Timed):
    """The end of the stream waits for `delay`."""

    __slots__ = ("_ended_at",)

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._ended_at: float | None = None  # None: it has not ended

    def end(self, now: float) -> None:
        """Hold the end back."""
        self.ended = True
        self._ended_at = now
        self._wait(self.number("delay"), now)

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Hold it back for another time."""
        if self.is_armed:
            self._wait(number(attributes, "delay"), now)

    def due(self, now: float) -> None:
        """Let it go."""
        self.flush(now)

    @property
    def is_idle(self) -> bool:
        """Tell whether the end is not held back."""
        return not self.is_armed

    def _wait(self, delay_ms: float, now: float) -> None:
        assert self._ended_at is not None
        when = self._ended_at + delay_ms * MS
        if when > now:
            self.arm(when)
        else:
            self.disarm()
            self.flush(now)


class Countdown(Timed):
    """A stage that lets nothing through; its time runs from when it came to the connection."""

    __slots__ = ("_began_at", "timeout_s")

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._began_at = 0.0
        self.timeout_s = number(spec.attributes, "timeout") * MS  # 0: it does not run down

    def begin(self, now: float) -> None:
        """Count from here."""
        self._began_at = now
        self._count()

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Wait for another time, from the same beginning."""
        self.timeout_s = number(attributes, "timeout") * MS
        self._count()

    def _count(self) -> None:
        if self.timeout_s and not self.ended:
            self.arm(self._began_at + self.timeout_s)
        else:
            self.disarm()


class Timeout(Countdown):
    """Nothing gets through, not even the end; after `timeout` the connection is closed.

    When the toxic is removed it is closed as well, for data are missing from it.
    """

    __slots__ = ()

    def take(self, data: Data, now: float) -> None:
        """Drop it."""

    def end(self, now: float) -> None:
        """Drop it, too."""

    def due(self, now: float) -> None:
        """Close the connection."""
        self._close(now)

    def leave(self, now: float) -> None:
        """Close the connection."""
        super().leave(now)
        self._close(now)

    def _close(self, now: float) -> None:
        if not self.ended:
            self.ended = True
            self.around.close(now)
            self.flush(now)


class ResetPeer(Countdown):
    """Nothing gets through; the connection is reset after `timeout`.

    At 0 that is when there is something to get through.
    """

    __slots__ = ("_is_incomplete",)

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._is_incomplete = False  # something is missing

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Wait for another time, from the same beginning."""
        super().change(attributes, now)
        if self._is_incomplete and not self.timeout_s:
            self.around.reset(now)

    def take(self, data: Data, now: float) -> None:
        """Drop it."""
        self._drop(now)

    def end(self, now: float) -> None:
        """Drop it, too."""
        self._drop(now)

    def due(self, now: float) -> None:
        """Reset the connection."""
        self.around.reset(now)

    def leave(self, now: float) -> None:
        """Reset the connection, if data are missing from it."""
        super().leave(now)
        if self._is_incomplete:
            self.around.reset(now)

    def _drop(self, now: float) -> None:
        self._is_incomplete = True
        if not self.timeout_s:
            self.around.reset(now)


class Slicer(Holding):
    """Pieces of `average_size`, give or take `size_variation`, `delay` microseconds apart.

    Each has a turn of the driver for itself, also without a delay: what is handed on in one turn is
    sent, and read at the other end, as one.
    """

    __slots__ = ("_next_at", "_sent_at")

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._next_at = 0.0  # when the next piece may go
        self._sent_at = -1.0  # when the last one did

    def change(self, attributes: Mapping[str, object], now: float) -> None:
        """Cut what is held by these."""
        if self.held:
            before = self._next_at - self.number("delay") * 1e-6
            self._next_at = max(before + number(attributes, "delay") * 1e-6, now)
            self.arm_next(self._next_at)

    def accept(self, data: Data, now: float) -> None:
        """Let it wait to be cut."""
        self.held.append(data)
        if len(self.held) > 1:
            return
        self._next_at = max(self._next_at, now)
        if self._next_at > now or self._sent_at == now:
            self.arm_next(self._next_at)
        else:
            self.due(now)

    def due(self, now: float) -> None:
        """Hand a piece on."""
        data = self.held.popleft()
        size = self._draw(len(data))
        if size < len(data):
            self.held.appendleft(data[size:])
        self._sent_at = now
        self._next_at += self.number("delay") * 1e-6
        if self.held:
            self.arm_next(self._next_at)
        self.ready.append(data[:size])
        self.flush(now)

    def _draw(self, most: int) -> int:
        average, variation = int(self.number("average_size")), int(self.number("size_variation"))
        if not average:
            return most
        size = average
        if variation:
            size += self.around.rng.randint(-variation, variation)
        return min(max(size, 1), most)


class LimitData(Stage):
    """When `bytes` have got through, over all changes of the toxic, the connection is closed."""

    __slots__ = ("_passed_bytes",)

    def __init__(self, around: Surroundings, spec: ToxicSpec) -> None:
        super().__init__(around, spec)
        self._passed_bytes = 0

    def accept(self, data: Data, now: float) -> None:
        """Let it through as far as it may."""
        rest = max(int(self.number("bytes")) - self._passed_bytes, 0)
        through = data[:rest]
        self._passed_bytes += len(through)
        self.held_bytes -= len(data) - len(through)
        if through:
            self.pass_on(through, now)
        if rest <= len(data):
            self.finish(now)


STAGES: Final[Mapping[str, Callable[[Surroundings, ToxicSpec], Stage]]] = {
    "latency": Latency,
    "bandwidth": Bandwidth,
    "slow_close": SlowClose,
    "timeout": Timeout,
    "reset_peer": ResetPeer,
    "slicer": Slicer,
    "limit_data": LimitData,
}
