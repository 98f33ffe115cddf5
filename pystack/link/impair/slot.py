"""`slot` of tc-netem(8): frames wait for their turn on the medium, and then go in a bunch.

As on cable, cellular and Wi-Fi links. Between the end of one slot and the next lies a drawn delay;
a slot ends after so many packets or bytes, or when nothing is left to send. A frame that finds none
waits for a new one.
"""

import math
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.instants import GRACE_S
from pystack.core.rng import Random
from pystack.core.units import parse_size_bytes, parse_time_s
from pystack.link.impair.distribution import Table, parse_distribution

_FORMS: Final = (
    "'MIN_DELAY [MAX_DELAY] [packets N] [bytes N]' or "
    "'distribution NAME DELAY JITTER [packets N] [bytes N]'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """The delay to the next slot is even between two bounds, or drawn from a table."""

    min_delay_s: float
    max_delay_s: float  # with a table: the mean is min_delay_s, and this is min_delay_s + jitter
    table: Table | None = None  # None: even between the bounds
    packets: float = math.inf  # of one slot; infinity: no limit
    size_bytes: float = math.inf

    def __post_init__(self) -> None:
        """Check it. Raises ConfigError."""
        if not 0 <= self.min_delay_s <= self.max_delay_s or self.max_delay_s == 0:
            raise ConfigError("a slot needs MIN_DELAY <= MAX_DELAY, and a delay above 0")
        if self.packets < 1 or self.size_bytes < 1:
            raise ConfigError("a slot must let through a packet and a byte at least")

    def draw_s(self, rng: Random) -> float:
        """Return a delay to the next slot."""
        span_s, number = self.max_delay_s - self.min_delay_s, rng.random()
        if self.table is None:
            return self.min_delay_s + span_s * number
        return max(self.min_delay_s + span_s * self.table[int(number * len(self.table))], 0.0)


def parse_slot(value: str) -> Slot:
    """Return it from tc's words. Raises ConfigError."""
    if not isinstance(value, str):
        raise ConfigError(f"it takes a text ({_FORMS})")
    words = value.split()
    limits = {"packets": math.inf, "bytes": math.inf}
    while len(words) > 2 and words[-2] in limits:
        number = parse_size_bytes(words.pop())
        limits[words.pop()] = number or math.inf  # tc: 0 is no limit
    table: Table | None = None
    if words[:1] == ["distribution"]:
        if len(words) != 4:
            raise ConfigError(f"{value!r} is not a slot ({_FORMS})")
        table = parse_distribution(words[1])
        mean_s, jitter_s = parse_time_s(words[2]), parse_time_s(words[3])
        if words[1] == "uniform":
            bounds = (max(mean_s - jitter_s, 0.0), mean_s + jitter_s)
        else:
            bounds = (mean_s, mean_s + jitter_s)
    elif 1 <= len(words) <= 2:
        bounds = (parse_time_s(words[0]), parse_time_s(words[-1]))
    else:
        raise ConfigError(f"{value!r} is not a slot ({_FORMS})")
    return Slot(
        min_delay_s=bounds[0],
        max_delay_s=bounds[1],
        table=table,
        packets=limits["packets"],
        size_bytes=limits["bytes"],
    )


class SlotGate:
    """Opens the slots, one after the other."""

    __slots__ = ("_busy_until", "_left_bytes", "_left_packets", "_opens_at", "_rng", "_slot")

    def __init__(self, slot: Slot, rng: Random, now: float) -> None:
        self._slot = slot
        self._rng = rng
        self._busy_until = -math.inf  # until when the frames of the present slot take the medium
        self._begin(now)

    def opens_at(self, now: float) -> float:
        """Return when the next frame may begin to go: `now`, or later."""
        if max(self._opens_at, self._busy_until) + GRACE_S < now:
            self._begin(now + self._slot.draw_s(self._rng))
        return max(self._opens_at, now)

    def take(self, size: int, done_at: float) -> None:
        """Count a frame that is through at `done_at`."""
        self._busy_until = done_at
        self._left_packets -= 1
        self._left_bytes -= size
        if self._left_packets <= 0 or self._left_bytes <= 0:
            self._begin(done_at + self._slot.draw_s(self._rng))

    def _begin(self, at: float) -> None:
        self._opens_at = at
        self._left_packets = self._slot.packets
        self._left_bytes = self._slot.size_bytes
