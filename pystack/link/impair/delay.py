"""Propagation: when a frame that leaves the transmitter arrives at the other end.

`delay`, `jitter`, `distribution`, `reorder` and `gap` of tc-netem(8), and a delay that changes over
time. In netem jitter by itself lets frames overtake each other. Here they keep their order, as on a
real line, and never arrive closer together than the line's rate can carry them (`impair/jitter.py`
tells how). Two words break the order: `reorder` (a share of frames is not delayed at all), and
`reorder_by_jitter` (netem's way).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pystack.core.counters import Counters
from pystack.core.instants import GRACE_S, snap
from pystack.core.rng import Random
from pystack.link.impair.chance import chance
from pystack.link.impair.distribution import Table
from pystack.link.impair.jitter import Copula, Ordered, draw_each
from pystack.link.impair.trace import DelayTrace

NEVER: Final = -math.inf  # an instant before all others


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayConfig:
    """What decides about the delay; the words are explained in `pystack.link.config`."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    correlation: float = 0.0
    distribution: Table | None = None  # None: uniform, delay_s +- jitter_s
    reorder_by_jitter: bool = False
    reorder: float = 0.0
    reorder_correlation: float = 0.0
    gap: int = 1
    delay_trace: DelayTrace | None = None  # None: the delay does not change over time


class Propagation:
    """The line itself. `arrival(sent_at, busy_s)` is asked once for each frame, in their order.

    `sent_at`: the instant of its last bit; `busy_s`: how long the line took for its bits. Who keeps
    the order arrives after the one before by that time at least: so much the line needs for it.
    What is returned is on the grid of instants (`core/instants.py`).
    """

    __slots__ = (
        "_config",
        "_counters",
        "_delay_s",
        "_draw",
        "_draw_reorder",
        "_held_until",
        "_in_order",
        "_jitter",
        "_sent_at",
        "_since_reordered",
        "_started_at",
        "arrival",
        "last_at",
    )

    def __init__(
        self,
        config: DelayConfig,
        jitter_rng: Random,
        reorder_rng: Random,
        counters: Counters,
        now: float,
    ) -> None:
        """`now`: when a delay trace begins."""
        self._config = config
        self._delay_s = config.delay_s
        self._counters = counters
        self._draw_reorder = chance(reorder_rng, config.reorder_correlation)
        self._since_reordered = 0
        self._started_at = now
        self._sent_at = NEVER  # of the last frame that the jitter was asked for
        self.last_at = NEVER  # when the last frame that keeps the order arrives
        self._held_until = NEVER  # what would arrive before may come too near: see `go_on_after`
        self._in_order = self._fixed
        if config.jitter_s and config.reorder_by_jitter:
            self._draw = _free_jitter(jitter_rng, config)
            self._in_order = self._free
        elif config.jitter_s:
            self._jitter = Ordered(jitter_rng, config.distribution, config.correlation)
            self._in_order = self._jittered
        elif config.delay_trace:
            self._in_order = self._traced
        self.arrival = self._or_at_once if config.reorder else self._in_order

    @property
    def is_one_for_all(self) -> bool:
        """Tell whether all frames that are sent at one instant arrive at one."""
        config = self._config
        return not (config.jitter_s or config.reorder or config.delay_trace)

    @property
    def reorders(self) -> bool:
        """Tell whether it may count a frame `reorder`: one that is not delayed."""
        return bool(self._config.reorder)

    def go_on_after(self, last_at: float) -> None:
        """Keep the order of a line with another delay before, whose last frame arrives then."""
        self.last_at = last_at
        if last_at > NEVER and self._in_order == self._fixed:
            self._held_until = math.inf
            self._in_order = self._fixed_behind
            self.arrival = self._or_at_once if self._config.reorder else self._in_order

    def rewind(self, sent_at: float, last_at: float) -> None:
        """Forget the frames after one that was sent, and arrives, at these instants."""
        self._sent_at = sent_at
        self.last_at = last_at

    def _fixed(self, sent_at: float, busy_s: float) -> float:
        self.last_at = at = sent_at + self._delay_s
        return (at * 1e11 + 6755399441055744.0 - 6755399441055744.0) / 1e11  # `snap`, in place

    def _fixed_behind(self, sent_at: float, busy_s: float) -> float:
        # The frames of the line that this one goes on for: until it has caught up with them.
        at = sent_at + self._delay_s
        if at >= self._held_until:
            return self._fixed(sent_at, busy_s)
        if at + GRACE_S >= self.last_at + busy_s:
            self._held_until = NEVER
        return self._after_last(at, busy_s)

    def _traced(self, sent_at: float, busy_s: float) -> float:
        at = sent_at + self._mean_s(sent_at)
        return self._after_last(at, busy_s)

    def _jittered(self, sent_at: float, busy_s: float) -> float:
        # Only what the line was idle for may be made up: so rate is kept as order is.
        config = self._config
        idle_s = sent_at - busy_s - self._sent_at
        self._sent_at = sent_at
        delay_s = self._mean_s(sent_at) if config.delay_trace else config.delay_s
        delay_s += config.jitter_s * self._jitter.after(idle_s / config.jitter_s)
        at = sent_at + delay_s if delay_s > 0.0 else sent_at
        return self._after_last(at, busy_s)

    def _free(self, sent_at: float, busy_s: float) -> float:
        delay_s = self._mean_s(sent_at) + self._config.jitter_s * self._draw()
        return snap(sent_at + max(delay_s, 0.0))

    def _after_last(self, at: float, busy_s: float) -> float:
        if at + GRACE_S < self.last_at + busy_s:
            at = self.last_at + busy_s
        self.last_at = at  # not on the grid: that would add up from frame to frame
        return snap(at)

    def _mean_s(self, sent_at: float) -> float:
        config = self._config
        if config.delay_trace is None:
            return config.delay_s
        return config.delay_s + config.delay_trace.delay_s(sent_at - self._started_at)

    def _or_at_once(self, sent_at: float, busy_s: float) -> float:
        # As netem: gap - 1 frames are delayed for sure, and then each with its probability.
        config = self._config
        if self._since_reordered >= config.gap - 1 and self._draw_reorder() < config.reorder:
            self._since_reordered = 0
            self._counters["reorder"] += 1
            return snap(sent_at)
        self._since_reordered += 1
        return self._in_order(sent_at, busy_s)


def _free_jitter(rng: Random, config: DelayConfig) -> Callable[[], float]:
    if config.correlation:
        return Copula(rng, config.distribution, config.correlation).draw
    return draw_each(rng, config.distribution)
