"""Random early detection, tc-red(8): Floyd and Jacobson, "Random Early Detection Gateways", 1993.

The average of the queue, in bytes, decides: below `min_bytes` nothing happens; up to `max_bytes`
the chance of a mark or a drop grows to `probability`; above it every frame is marked or dropped.
The names of the variables are the paper's (section 4): avg, count, p_b, p_a, w_q, q_time.
"""

import math
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.rng import Random
from pystack.core.units import parse_rate_bps, parse_size_bytes
from pystack.link.qdisc import words
from pystack.link.qdisc.base import OneFifo
from pystack.link.qdisc.words import Word
from pystack.wire.ecn import mark_ce
from pystack.wire.frame import Frame

DEFAULT_PROBABILITY: Final = 0.02  # as the tc command
DEFAULT_BANDWIDTH_BPS: Final = 10e6  # as the tc command


@dataclass(frozen=True, slots=True, kw_only=True)
class RedConfig:
    """What RED is told; sizes in bytes, bandwidth in bits per second."""

    limit_bytes: int  # of the real queue, not of the average
    min_bytes: int
    max_bytes: int
    avpkt_bytes: int
    w_q: float  # weight of a new sample in the average, 0..1
    probability: float = DEFAULT_PROBABILITY  # of a mark where the average is at max; 0..1
    bandwidth_bps: float = DEFAULT_BANDWIDTH_BPS  # what an idle time would have carried
    ecn: bool = False
    harddrop: bool = False  # drop above max, whatever ECN says
    nodrop: bool = False  # with ecn: never drop early what can't be marked

    def __post_init__(self) -> None:
        """Raise ConfigError for thresholds that make no sense."""
        _check_thresholds(self.min_bytes, self.max_bytes, self.limit_bytes)
        if not 0 < self.w_q <= 1:
            raise ConfigError(f"a weight of {self.w_q} is outside 0..1")
        if self.nodrop and not self.ecn:
            raise ConfigError("nodrop needs ecn")


class Red(OneFifo):
    """A FIFO whose average length decides who is dropped or marked on arrival."""

    __slots__ = ("_config", "_q_time", "_rng", "avg", "count")

    def __init__(self, rng: Random, config: RedConfig) -> None:
        super().__init__()
        self.avg = 0.0
        self.count = -1  # frames since the last mark; -1: the average was below min
        self._config = config
        self._rng = rng
        self._q_time = math.inf  # since when it is empty; inf: it is not, or never was used

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it, marked or not, or drop it."""
        self._average(now)
        config = self._config
        if self.avg < config.min_bytes:
            self.count = -1
        elif self.avg >= config.max_bytes:
            self.count = 0
            kept = self._forced(frame, now)
            if kept is None:
                return
            frame = kept
        elif self._chosen():
            self.count = 0
            kept = self._early(frame, now)
            if kept is None:
                return
            frame = kept
        size = len(frame.data)
        if self._bytes + size > config.limit_bytes:
            self.report("red_full", frame, now)
            return
        self._frames.append(frame)
        self._bytes += size
        self._q_time = math.inf

    def dequeue(self, now: float) -> Frame | None:
        """Return the oldest."""
        frame = super().dequeue(now)
        if frame is not None and not self._frames:
            self._q_time = now
        return frame

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait."""
        frames = super().drain(now)
        if frames:
            self._q_time = now
        return frames

    def _average(self, now: float) -> None:
        config = self._config
        if self._frames:
            self.avg += config.w_q * (self._bytes - self.avg)
        elif self._q_time < now:
            # As if the link had gone on to send frames of avpkt bytes, and found none each time.
            m = (now - self._q_time) * config.bandwidth_bps / (8 * config.avpkt_bytes)
            self.avg *= (1 - config.w_q) ** m
            self._q_time = now

    def _chosen(self) -> bool:
        config = self._config
        self.count += 1
        share = (self.avg - config.min_bytes) / (config.max_bytes - config.min_bytes)
        p_b = config.probability * share
        # Spreads the marks evenly: the gaps between them are uniform in 1..1/p_b (section 7).
        left = 1 - self.count * p_b
        return left <= 0 or self._rng.random() < p_b / left

    def _early(self, frame: Frame, now: float) -> Frame | None:
        if self._config.ecn:
            marked = mark_ce(frame)
            if marked is not None:
                self.report("red_mark", marked, now)
                return marked
            if self._config.nodrop:
                return frame
        self.report("red_early", frame, now)
        return None

    def _forced(self, frame: Frame, now: float) -> Frame | None:
        if self._config.ecn and not self._config.harddrop:
            marked = mark_ce(frame)
            if marked is not None:
                self.report("red_forced_mark", marked, now)
                return marked
            if self._config.nodrop:
                return frame
        self.report("red_forced", frame, now)
        return None


def weight_for_burst(burst: int, min_bytes: int, avpkt_bytes: int) -> float:
    """Return w_q, a power of 1/2, so that `burst` frames in a row stay below min (section 6.1).

    As the tc command finds it. Raises ConfigError where no weight does it.
    """
    room = burst + 1 - min_bytes / avpkt_bytes
    if room >= 1:
        for shift in range(1, 33):
            w_q = 0.5**shift
            if room <= (1 - (1 - w_q) ** burst) / w_q:
                return w_q
    raise ConfigError(
        f"burst {burst}, min {min_bytes} bytes and avpkt {avpkt_bytes} bytes do not fit:"
        " min must be above avpkt, and burst at least min / avpkt"
    )


def _check_thresholds(min_bytes: int, max_bytes: int, limit_bytes: int) -> None:
    if not 0 < min_bytes < max_bytes <= limit_bytes:
        raise ConfigError(
            f"min {min_bytes}, max {max_bytes}, limit {limit_bytes} bytes: each must be above the"
            " one before it (max may be the limit)"
        )


def red(
    rng: Random,
    *,
    limit: Word,
    avpkt: Word = 1000,
    min: Word | None = None,  # noqa: A002 - tc's word
    max: Word | None = None,  # noqa: A002 - tc's word
    burst: Word | None = None,
    probability: Word = DEFAULT_PROBABILITY,
    bandwidth: Word = DEFAULT_BANDWIDTH_BPS,
    ecn: bool = False,
    harddrop: bool = False,
    nodrop: bool = False,
) -> Red:
    """`red limit BYTES [avpkt BYTES] [min BYTES] [max BYTES] [burst PACKETS] [probability P] ...`.

    Left out, `max` is a quarter of the limit, `min` a third of max, and `burst`
    (2 min + max) / (3 avpkt): the values of the tc command, and its man page's advice.
    """
    limit_bytes = parse_size_bytes(limit)
    avpkt_bytes = words.count("avpkt", parse_size_bytes(avpkt))
    max_bytes = limit_bytes // 4 if max is None else parse_size_bytes(max)
    min_bytes = max_bytes // 3 if min is None else parse_size_bytes(min)
    _check_thresholds(min_bytes, max_bytes, limit_bytes)
    advised = (2 * min_bytes + max_bytes) // (3 * avpkt_bytes)
    if burst is None:
        burst = advised if advised > 1 else 1
    return Red(
        rng,
        RedConfig(
            limit_bytes=limit_bytes,
            min_bytes=min_bytes,
            max_bytes=max_bytes,
            avpkt_bytes=avpkt_bytes,
            w_q=weight_for_burst(words.count("burst", burst), min_bytes, avpkt_bytes),
            probability=words.chance("probability", probability),
            bandwidth_bps=parse_rate_bps(bandwidth),
            ecn=ecn,
            harddrop=harddrop,
            nodrop=nodrop,
        ),
    )
