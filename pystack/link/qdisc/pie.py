"""PIE, proportional integral controller enhanced: tc-pie(8), RFC 8033.

Every `tupdate` a probability is moved on by how far the delay is from `target`, and by how much it
has grown; frames are dropped, or marked, with it as they arrive. The delay is that of the frame
which left last (section 4.3 allows it instead of an estimate from the departure rate; Linux's
default). Not here: `dq_rate_estimator`, and Linux's extra 2 % above a delay of 250 ms.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from pystack.core.instants import GRACE_S
from pystack.core.rng import Random
from pystack.link.qdisc import words
from pystack.link.qdisc.base import OneFifo
from pystack.link.qdisc.timer import LazyTimer
from pystack.link.qdisc.words import Word
from pystack.wire.ecn import mark_ce
from pystack.wire.frame import Frame

DEFAULT_LIMIT_PACKETS: Final = 1000  # tc-pie(8)
DEFAULT_TARGET_S: Final = 0.015  # RFC 8033 section 4.2, QDELAY_REF
DEFAULT_TUPDATE_S: Final = 0.015  # T_UPDATE
DEFAULT_ALPHA: Final = 2  # tc-pie(8) counts in sixteenths of a Hz: 0.125 Hz
DEFAULT_BETA: Final = 20  # 1.25 Hz
MAX_BURST_S: Final = 0.15  # section 4.4
MAX_ECNTH: Final = 0.1  # section 5.1: above this probability, marks give way to drops

# Section 4.2: while the probability is small, it moves in small steps: (below, divisor)
_SCALES: Final = (
    (0.000001, 2048),
    (0.00001, 512),
    (0.0001, 128),
    (0.001, 32),
    (0.01, 8),
    (0.1, 2),
)
_MAX_STEP: Final = 0.02  # section 5.5, from a probability of 0.1 on
_DECAY: Final = 0.98  # section 4.2, while there is no queue
# Section 5.4: no drop before the probabilities of the frames add up to the one, and one at the
# latest when they add up to the other, so that drops come neither in clumps nor never.
_NO_DROP_BELOW: Final = 0.85
_DROP_FROM: Final = 8.5


@dataclass(frozen=True, slots=True, kw_only=True)
class PieConfig:
    """What PIE is told."""

    limit_packets: int = DEFAULT_LIMIT_PACKETS
    target_s: float = DEFAULT_TARGET_S
    tupdate_s: float = DEFAULT_TUPDATE_S
    alpha_hz: float = DEFAULT_ALPHA / 16
    beta_hz: float = DEFAULT_BETA / 16
    max_burst_s: float = MAX_BURST_S
    ecn: bool = False
    bytemode: bool = False  # the probability of a small frame is smaller in proportion


class Pie(OneFifo):
    """A FIFO with PIE in front."""

    __slots__ = (
        "_accu_prob",
        "_arrived_at",
        "_config",
        "_largest_bytes",
        "_rng",
        "_timer",
        "burst_allowance_s",
        "drop_prob",
        "qdelay_old_s",
        "qdelay_s",
    )

    def __init__(self, rng: Random, config: PieConfig) -> None:
        super().__init__()
        self.drop_prob = 0.0
        self.qdelay_s = 0.0  # of the last frame that left; 0 when it left nothing behind
        self.qdelay_old_s = 0.0  # at the last tick
        self.burst_allowance_s = config.max_burst_s
        self._accu_prob = 0.0
        self._config = config
        self._rng = rng
        self._timer = LazyTimer(config.tupdate_s)
        self._arrived_at: deque[float] = deque()  # of each frame that waits
        self._largest_bytes = 0

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it, marked or not, or drop it (section 4.1)."""
        self.run_timer(now)
        self._timer.start(now)
        size = len(frame.data)
        if size > self._largest_bytes:
            self._largest_bytes = size
        if len(self._frames) >= self._config.limit_packets:
            self.report("pie_full", frame, now)
            return
        if self._drop_early(size):
            kept = self._try_mark(frame, now)
            if kept is None:
                return
            frame = kept
        self._frames.append(frame)
        self._arrived_at.append(now)
        self._bytes += size

    def dequeue(self, now: float) -> Frame | None:
        """Return the oldest, and learn the delay from it."""
        self.run_timer(now)
        frame = super().dequeue(now)
        if frame is not None:
            arrived_at = self._arrived_at.popleft()
            self.qdelay_s = now - arrived_at if self._frames else 0.0
        return frame

    def run_timer(self, now: float) -> None:
        """Do the ticks up to `now`. Frames do it by themselves; for whoever reads the variables."""
        timer = self._timer
        while timer.due_at - GRACE_S <= now:
            before = (self.drop_prob, self.qdelay_old_s, self.burst_allowance_s)
            self._update()
            timer.step()
            if before == (self.drop_prob, self.qdelay_old_s, self.burst_allowance_s):
                timer.skip_past(now)

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait."""
        self.run_timer(now)
        self._arrived_at.clear()
        self.qdelay_s = 0.0
        return super().drain(now)

    def _drop_early(self, size: int) -> bool:
        config = self._config
        if self.burst_allowance_s > 0:
            return False
        if self.qdelay_old_s < config.target_s / 2 and self.drop_prob < 0.2:
            return False
        if self._bytes <= 2 * self._largest_bytes:
            return False
        prob = self.drop_prob
        if prob == 0:
            self._accu_prob = 0.0
        if config.bytemode:
            prob *= size / self._largest_bytes
        self._accu_prob += prob
        if self._accu_prob < _NO_DROP_BELOW:
            return False
        if self._accu_prob < _DROP_FROM and self._rng.random() >= prob:
            return False
        self._accu_prob = 0.0
        return True

    def _try_mark(self, frame: Frame, now: float) -> Frame | None:
        if self._config.ecn and self.drop_prob <= MAX_ECNTH:
            marked = mark_ce(frame)
            if marked is not None:
                self.report("pie_mark", marked, now)
                return marked
        self.report("pie_early", frame, now)
        return None

    def _update(self) -> None:
        # calculate_drop_prob of section 4.2, with the burst allowance of 4.4
        config = self._config
        target_s, qdelay_s, qdelay_old_s = config.target_s, self.qdelay_s, self.qdelay_old_s
        change = config.alpha_hz * (qdelay_s - target_s)
        change += config.beta_hz * (qdelay_s - qdelay_old_s)
        prob = self.drop_prob
        for below, divisor in _SCALES:
            if prob < below:
                change /= divisor
                break
        if prob >= 0.1 and change > _MAX_STEP:
            change = _MAX_STEP
        prob += change
        if qdelay_s == 0 and qdelay_old_s == 0:
            prob *= _DECAY
        self.drop_prob = prob = min(max(prob, 0.0), 1.0)
        self.qdelay_old_s = qdelay_s
        left_s = self.burst_allowance_s - config.tupdate_s
        # What is left of rounding after ten subtractions is not another tick's allowance.
        self.burst_allowance_s = left_s if left_s > 1e-9 else 0.0
        if prob == 0 and qdelay_s < target_s / 2 and qdelay_old_s < target_s / 2:
            self.burst_allowance_s = config.max_burst_s


def pie(
    rng: Random,
    *,
    limit: Word = DEFAULT_LIMIT_PACKETS,
    target: Word = DEFAULT_TARGET_S,
    tupdate: Word = DEFAULT_TUPDATE_S,
    alpha: Word = DEFAULT_ALPHA,
    beta: Word = DEFAULT_BETA,
    ecn: bool = False,
    bytemode: bool = False,
) -> Pie:
    """`pie [limit PACKETS] [target TIME] [tupdate TIME] [alpha N] [beta N] [ecn] [bytemode]`.

    As in tc-pie(8), alpha and beta are 0..32, in sixteenths of a Hz.
    """
    config = PieConfig(
        limit_packets=words.count("limit", limit),
        target_s=words.duration_s("target", target),
        tupdate_s=words.duration_s("tupdate", tupdate),
        alpha_hz=words.factor("alpha", alpha, 32) / 16,
        beta_hz=words.factor("beta", beta, 32) / 16,
        ecn=ecn,
        bytemode=bytemode,
    )
    return Pie(rng, config)
