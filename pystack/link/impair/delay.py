"""Propagation: when a frame that leaves the transmitter arrives at the other end.

`delay`, `jitter`, `distribution`, `reorder` and `gap` of tc-netem(8), and a delay that changes over
time. In netem jitter by itself lets frames overtake each other. Here they keep their order, as on a
real line: one that would overtake arrives together with the one before it. Two words break the
order: `reorder` (a share of frames is not delayed at all), and `reorder_by_jitter` (netem's way).
"""

import math
from dataclasses import dataclass
from typing import Final

from pystack.core.counters import Counters
from pystack.core.rng import Random
from pystack.link.impair.chance import chance
from pystack.link.impair.distribution import Table
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
    """The line itself. `arrival(sent_at)` is asked once for each frame, in the order of sending."""

    __slots__ = (
        "_config",
        "_counters",
        "_delay_s",
        "_draw",
        "_draw_reorder",
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
        self._draw = chance(jitter_rng, config.correlation)
        self._draw_reorder = chance(reorder_rng, config.reorder_correlation)
        self._since_reordered = 0
        self._started_at = now
        self.last_at = NEVER  # when the last frame that keeps the order arrives
        if config.reorder:
            self.arrival = self._or_at_once
        elif config.jitter_s or config.delay_trace:
            self.arrival = self._drawn
        else:
            self.arrival = self._fixed

    def _fixed(self, sent_at: float) -> float:
        at = sent_at + self._delay_s
        if at < self.last_at:  # the delay was made shorter
            return self.last_at
        self.last_at = at
        return at

    def _drawn(self, sent_at: float) -> float:
        config = self._config
        delay_s = config.delay_s
        if config.delay_trace is not None:
            delay_s += config.delay_trace.delay_s(sent_at - self._started_at)
        if config.jitter_s:
            delay_s += config.jitter_s * self._spread()
        at = sent_at + max(delay_s, 0.0)
        if config.reorder_by_jitter:
            return at
        if at < self.last_at:
            return self.last_at
        self.last_at = at
        return at

    def _spread(self) -> float:
        table = self._config.distribution
        number = self._draw()
        return 2.0 * number - 1.0 if table is None else table[int(number * len(table))]

    def _or_at_once(self, sent_at: float) -> float:
        # As netem: gap - 1 frames are delayed for sure, and then each with its probability.
        config = self._config
        if self._since_reordered >= config.gap - 1 and self._draw_reorder() < config.reorder:
            self._since_reordered = 0
            self._counters["reorder"] += 1
            return sent_at
        self._since_reordered += 1
        return self._drawn(sent_at)
