"""How late the heap runs behind the machine's clock, and whom that concerns.

Each event carries the instant that it was meant for, so a machine that is a little late emulates
the same network: what arrives late at one end of a link is sent late, and the link's delay is what
is left to make up for it. A machine that is later than that, for want of processor time, emulates
another network than the one that was asked for, and has to say so.

Links are concerned that take time. Each counts `late`: how often the driver was seen later than the
link's delay (and than 1 ms, which every machine is now and then). Observers are told (`FellBehind`)
when it begins, once a second at most. The log is warned once, when a fifth of a second was so.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from pystack.observe.observer import FellBehind, Observer

if TYPE_CHECKING:  # `pystack up` does without the emulator where it is not asked for
    from pystack.link.config import PipeConfig
    from pystack.link.link import Link

_log: Final = logging.getLogger("pystack")

USUAL_S: Final = 1e-3  # Trio's sleep is as late as that
WARN_SHARE: Final = 0.2
_WINDOW_S: Final = 1.0  # in which that share is looked for
_TELL_EACH_S: Final = 1.0
_LOOK_S: Final = 10e-6  # of each link: to look at all of them takes a twentieth of the time at most
_BUCKETS: Final = 28  # up to 67 s, and more in the last


class Lateness:
    """What one driver of real time measured about itself."""

    def __init__(self) -> None:
        # How often the driver came so late: below 1 us, 2 us, 4 us, ... (it is asked only when
        # something was due)
        self.histogram = [0] * _BUCKETS
        self.worst_s = 0.0
        self.worst_at: float | None = None  # None: never late
        self.behind_since: float | None = None  # later than a link can hide, without a break
        self.behind_s = 0.0  # for how long all in all
        self.links: list[Link] = []  # whose delay has to hide it
        self.observers: list[Observer] = []
        self.has_warned = False
        self._counted_until = 0.0  # what was behind before is in `behind_s`
        self._told_at = -_TELL_EACH_S
        self._look_at = 0.0  # the links again
        self._window_at = 0.0
        self._window_behind_s = 0.0  # `behind_s` when the window began

    def note(self, late_s: float, now: float) -> None:
        """Something is run now that was due `late_s` ago: the first of what is due."""
        self.histogram[min(int(late_s * 1e6).bit_length(), _BUCKETS - 1)] += 1
        if late_s > self.worst_s:
            self.worst_s, self.worst_at = late_s, now
        if late_s > USUAL_S and self.links:
            self._look_at_links(late_s, now)
        elif self.behind_since is not None:
            self.behind_since = None

    def _look_at_links(self, late_s: float, now: float) -> None:
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S * len(self.links)
        concerned = None
        for link in self.links:
            if late_s > hides_s(link):
                link.own_counters.add("late")
                concerned = concerned or link
        if concerned is None:
            self.behind_since = None
            return
        due_at = now - late_s
        if self.behind_since is None:
            self.behind_since = due_at
        if self._window_at + _WINDOW_S < now:
            self._window_at, self._window_behind_s = due_at, self.behind_s
        self.behind_s += now - max(due_at, self._counted_until)
        self._counted_until = now
        if now >= self._told_at + _TELL_EACH_S:
            self._told_at = now
            event = FellBehind(now, concerned.name, late_s, self.behind_since, hides_s(concerned))
            for observer in self.observers:
                observer.on_event(event)
        if self.behind_s - self._window_behind_s > WARN_SHARE * _WINDOW_S and not self.has_warned:
            self.has_warned = True
            _log.warning(
                "this machine is too slow for the network: events come %.0f ms late, and the delay "
                "of %s hides %.0f ms. What is measured now is the machine, not the network (%s)",
                late_s * 1e3,
                concerned.name,
                hides_s(concerned) * 1e3,
                "lower rates, or virtual time, help",
            )

    def __str__(self) -> str:
        """Return it as a line for a log."""
        total = sum(self.histogram)
        if self.worst_at is None:
            return f"{total} times something was due, never late"
        below = [sum(self.histogram[: bits + 1]) / total for bits in range(_BUCKETS)]
        median = next(1e-6 * 2**bits for bits, share in enumerate(below) if share >= 0.5)
        high = next(1e-6 * 2**bits for bits, share in enumerate(below) if share >= 0.99)
        behind = f"; {self.behind_s:.3f} s later than a link can hide" if self.behind_s else ""
        return (
            f"{total} times something was due: half less than {median * 1e3:.3f} ms late, 99 % "
            f"less than {high * 1e3:.3f} ms, the worst {self.worst_s * 1e3:.3f} ms{behind}"
        )


def hides_s(link: Link) -> float:
    """Return how late what a link delivers may be without being late: its delay.

    Infinity for a link that takes no time: there, nothing is ever due.
    """
    return min(_hides_s(link.a_to_b.config), _hides_s(link.b_to_a.config))


def _hides_s(config: PipeConfig) -> float:
    takes_time = config.delay_s or config.rate_bps or config.slot or config.trace
    return max(config.delay_s, USUAL_S) if takes_time else math.inf
