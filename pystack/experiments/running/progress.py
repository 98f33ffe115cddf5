"""How far a sweep is, for whoever wants to show it."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import Final

_WINDOW: Final = 64  # looks, from which the rate is taken
_ENDING: Final = "ending what has begun; Ctrl-C again stops at once"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sweep is. As a text it is a line for people."""

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

    def __str__(self) -> str:
        parts = [f"{self.done} of {self.total} runs"]
        if self.rate and not self.is_ending:  # what is left will not be run
            parts.append(f"{self.rate:.3g}/s")
        if self.left_s and not self.is_ending:
            parts.append(f"{_duration(self.left_s)} left")
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.is_ending:
            parts.append(_ENDING)
        return ", ".join(parts)


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


def _duration(seconds: float) -> str:
    """Return a time as people say it: "42 s", "3 min", "2 h 05 min"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
