"""What was measured on a real link, played again.

A *delivery trace* is Mahimahi's: a text file with a whole number of milliseconds on each line,
never less than on the line before. At each of these instants up to 1504 bytes may go, one packet of
1500 bytes with the 4 that a TUN device puts before it; a line may be there several times. After the
last one it begins again. What nobody uses is lost; what is left of an opportunity is the next
frame's.

A *delay trace* is a text file with a time and a delay on each line, "1.5s 40ms"; from that time on,
counted from when the trace was given to the link, frames that are sent have that delay (before the
first line: that of the first line). A last line "15s repeat" lets it begin again; else the last
delay holds for ever. In both, lines that begin with # are left out.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.instants import GRACE_S
from pystack.core.units import parse_time_s
from pystack.wire import ethernet

OPPORTUNITY_BYTES: Final = 1504  # Mahimahi's PACKET_SIZE
_TUN_HEADER_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class DeliveryTrace:
    """The instants of one lap, in ms from its beginning; the last one is also the lap's length."""

    instants_ms: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check it as Mahimahi does. Raises ConfigError."""
        instants = self.instants_ms
        if not instants or instants[-1] <= 0:
            raise ConfigError("a delivery trace must last for more than 0 ms")
        if instants[0] < 0 or any(after < before for before, after in pairwise(instants)):
            raise ConfigError("the instants of a delivery trace may not go back")


@dataclass(frozen=True, slots=True)
class DelayTrace:
    """Delays by time: `delays_s[i]` holds from `times_s[i]` on."""

    times_s: tuple[float, ...]
    delays_s: tuple[float, ...]
    period_s: float | None = None  # None: the last delay holds for ever

    def __post_init__(self) -> None:
        """Check it. Raises ConfigError."""
        ends = () if self.period_s is None else (self.period_s,)
        times = (*self.times_s, *ends)
        if not self.times_s or len(self.times_s) != len(self.delays_s):
            raise ConfigError("a delay trace needs a line with a time and a delay")
        if any(after <= before for before, after in pairwise(times)):
            raise ConfigError("the times of a delay trace must increase")

    def delay_s(self, time_s: float) -> float:
        """Return the delay at a time since the trace began."""
        if self.period_s is not None:
            time_s %= self.period_s
        return self.delays_s[max(bisect_right(self.times_s, time_s) - 1, 0)]


def parse_trace(value: str | Path | Iterable[int] | DeliveryTrace) -> DeliveryTrace:
    """Return a delivery trace: from a file's name, or from its numbers. Raises ConfigError."""
    if isinstance(value, DeliveryTrace):
        return value
    if not isinstance(value, str | Path):
        return DeliveryTrace(tuple(value))
    numbers = _lines(value, "delivery trace")
    try:
        return DeliveryTrace(tuple(int(text) for _, text in numbers))
    except ValueError as error:
        raise ConfigError(f"the delivery trace {value} is damaged: {error}") from None


def parse_delay_trace(value: str | Path | DelayTrace) -> DelayTrace:
    """Return a delay trace from a file's name. Raises ConfigError."""
    if isinstance(value, DelayTrace):
        return value
    times: list[float] = []
    delays: list[float] = []
    period: float | None = None
    for number, line in _lines(value, "delay trace"):
        words = line.split()
        if len(words) != 2 or period is not None:
            raise ConfigError(f"line {number} of the delay trace {value} is not a time and a delay")
        times_end = parse_time_s(words[0])
        if words[1] == "repeat":
            period = times_end
        else:
            times.append(times_end)
            delays.append(parse_time_s(words[1]))
    return DelayTrace(tuple(times), tuple(delays), period)


def _lines(path: str | Path, what: str) -> list[tuple[int, str]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the {what} {path}: {why}") from None
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


class TraceGate:
    """Lets frames go at the instants of a delivery trace."""

    __slots__ = ("_at", "_instants_s", "_lap_s", "_left_bytes", "_next", "_started_at")

    def __init__(self, trace: DeliveryTrace, now: float) -> None:
        self._instants_s = tuple(instant / 1000 for instant in trace.instants_ms)
        self._lap_s = self._instants_s[-1]
        self._started_at = now
        self._next = 0  # the opportunity that comes after the present one, over all laps
        self._at = now
        self._left_bytes = 0

    def opens_at(self, now: float) -> float:
        """Return when the next frame may begin to go: `now`, or later."""
        if self._at + GRACE_S < now or not self._left_bytes:
            self._seek(now)
        return self._at

    def take(self, size: int) -> float:
        """Use up what a frame of `size` bytes needs; return when it is through."""
        need = max(size - ethernet.HEADER_BYTES + _TUN_HEADER_BYTES, 0)
        while need > self._left_bytes:
            need -= self._left_bytes
            self._open(self._next)
        self._left_bytes -= need
        return self._at

    def _seek(self, now: float) -> None:
        laps = int((now - self._started_at) // self._lap_s)
        within = now - self._started_at - laps * self._lap_s
        found = laps * len(self._instants_s) + bisect_left(self._instants_s, within)
        # The division may be off by its rounding; what `_instant` says is what counts.
        number = max(self._next, found - 1)
        while self._instant(number) + GRACE_S < now:
            number += 1
        self._open(number)

    def _open(self, number: int) -> None:
        self._at = self._instant(number)
        self._left_bytes = OPPORTUNITY_BYTES
        self._next = number + 1

    def _instant(self, number: int) -> float:
        laps, index = divmod(number, len(self._instants_s))
        return self._started_at + laps * self._lap_s + self._instants_s[index]
