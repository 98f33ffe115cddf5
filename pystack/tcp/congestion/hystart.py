"""HyStart++ (RFC 9406): the first slow start ends before it overfills the queue.

When the round trip takes longer than in the round before, growth slows to a quarter (Conservative
Slow Start) for five rounds; should the delay go back in the meantime, it was jitter, and slow start
goes on.
"""

import math
from typing import Final

from pystack.tcp.congestion.base import AckSample

# section 4.3
MIN_RTT_THRESH_S: Final = 0.004
MAX_RTT_THRESH_S: Final = 0.016
MIN_RTT_DIVISOR: Final = 8
N_RTT_SAMPLE: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5


class HyStart:
    """Rounds of one slow start, and their shortest round trips."""

    __slots__ = (
        "_css_baseline_min_rtt_s",
        "_css_rounds",
        "_current_round_min_rtt_s",
        "_last_round_min_rtt_s",
        "_rtt_samples",
        "_window_end",
        "in_css",
        "over",
    )

    def __init__(self) -> None:
        self._window_end: int | None = None  # None: no ACK was seen yet
        self._last_round_min_rtt_s = math.inf
        self._current_round_min_rtt_s = math.inf
        self._rtt_samples = 0  # in this round
        self._css_baseline_min_rtt_s = math.inf
        self._css_rounds = 0
        self.in_css = False
        self.over = False  # congestion avoidance is to begin, from the window as it is

    def growth_bytes(self, sample: AckSample) -> int:
        """Return by how much the window grows, section 4.2; `over` may be true afterwards."""
        # L is 8 segments for senders that do not pace; ours is infinite, for the reason that is
        # given for slow start: one ACK may stand for a super-frame.
        grown = sample.acked_bytes
        if self.in_css:
            grown //= CSS_GROWTH_DIVISOR
        if self._window_end is None:
            self._window_end = sample.snd_nxt
        elif sample.snd_una >= self._window_end:
            self._next_round(sample.snd_nxt)
        if sample.rtt_s is not None:
            self._take_rtt(sample.rtt_s)
        return grown

    def _next_round(self, snd_nxt: int) -> None:
        self._window_end = snd_nxt
        self._last_round_min_rtt_s = self._current_round_min_rtt_s
        self._current_round_min_rtt_s = math.inf
        self._rtt_samples = 0
        if self.in_css:
            self._css_rounds += 1
            self.over = self._css_rounds >= CSS_ROUNDS

    def _take_rtt(self, rtt_s: float) -> None:
        current = min(self._current_round_min_rtt_s, rtt_s)
        self._current_round_min_rtt_s = current
        self._rtt_samples += 1
        if self._rtt_samples < N_RTT_SAMPLE:
            return
        if self.in_css:
            if current < self._css_baseline_min_rtt_s:
                self.in_css = False  # it was jitter
                self._css_baseline_min_rtt_s = math.inf
            return
        last = self._last_round_min_rtt_s
        if math.isinf(last):
            return
        threshold = max(MIN_RTT_THRESH_S, min(last / MIN_RTT_DIVISOR, MAX_RTT_THRESH_S))
        if current >= last + threshold:
            self.in_css = True
            self._css_baseline_min_rtt_s = current
            self._css_rounds = 0
