"""How far a sweep is, for whoever wants to show it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

_WINDOW: Final = 64  # looks, from which the rate is taken


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is."""

    done: int  # runs, those of an earlier sweep that is resumed among them
    total: int
    failed: int  # of those that are done
    rate: float | None  # runs a second; None: not known yet
    is_ending: bool = False  # no further run begins: somebody has asked for the end
    last_error: str = ""  # of the run that failed last, in this sweep

    @property
    def left_s(self) -> float | None:
        """How long it may go on, in seconds of wall time; None: not known."""
        if not self.rate:
            return 0.0 if self.done == self.total else None
        return (self.total - self.done) / self.rate


class Pace:
    """Measures how many runs a second end: of late, where that is long enough to tell."""

    def __init__(self, done: int) -> None:
        self._looks = deque([(time.monotonic(), done)], maxlen=_WINDOW)

    def rate(self, done: int) -> float | None:
        """Return runs a second, given how many are done now; None: not known yet."""
        now = time.monotonic()
        began_at, before = self._looks[0]
        if now - self._looks[-1][0] > 1.0:
            self._looks.append((now, done))
        if now <= began_at or done == before:
            return None
        return (done - before) / (now - began_at)
