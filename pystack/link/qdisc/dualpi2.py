"""DualPI2, the coupled dual queue for L4S: RFC 9332 appendix A, tc-dualpi2(8).

ECT(1) and CE go to the L queue, which is marked at once above `step_thresh`; all else goes to the
C queue. One PI controller computes p' from the longer of the two delays. The C queue is dropped or
marked with p' squared (Reno and CUBIC go with its square root), the L queue marked with k p', so
that a flow of either kind gets the same rate. The names p', p_C, p_CL, k are the RFC's.

The choice of frames is not left to chance: likelihoods accumulate, as in the RFC's `recur`.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.instants import GRACE_S
from pystack.core.rng import Random
from pystack.core.units import parse_probability, parse_size_bytes
from pystack.link.qdisc import words
from pystack.link.qdisc.base import Report, ignore
from pystack.link.qdisc.timer import LazyTimer
from pystack.link.qdisc.words import Word
from pystack.wire import ecn as ip_ecn
from pystack.wire.frame import Frame

# All of them tc-dualpi2(8)
DEFAULT_LIMIT_PACKETS: Final = 10000
DEFAULT_TARGET_S: Final = 0.015
DEFAULT_TUPDATE_S: Final = 0.016
DEFAULT_ALPHA_HZ: Final = 0.16
DEFAULT_BETA_HZ: Final = 3.2
DEFAULT_COUPLING_FACTOR: Final = 2
DEFAULT_STEP_THRESH_S: Final = 0.001
DEFAULT_CLASSIC_PROTECTION: Final = 0.1
_FULL_FRAME_BYTES: Final = 1514


@dataclass(frozen=True, slots=True, kw_only=True)
class DualPi2Config:
    """What DualPI2 is told."""

    limit_packets: int = DEFAULT_LIMIT_PACKETS  # of both queues together
    memlimit_bytes: int = DEFAULT_LIMIT_PACKETS * _FULL_FRAME_BYTES
    target_s: float = DEFAULT_TARGET_S
    tupdate_s: float = DEFAULT_TUPDATE_S
    alpha_hz: float = DEFAULT_ALPHA_HZ
    beta_hz: float = DEFAULT_BETA_HZ
    coupling_factor: float = DEFAULT_COUPLING_FACTOR
    step_thresh_s: float = DEFAULT_STEP_THRESH_S
    min_qlen_step: int = 0  # the step is for frames that found so many in the L queue
    classic_protection: float = DEFAULT_CLASSIC_PROTECTION  # the C queue's weight, 0..1
    any_ect: bool = False  # ECT(0), too, goes to the L queue
    drop_on_overload: bool = True  # else mark, until the queue is full


class _Lane:
    """One of the two queues: frames, when they came, and whether the step is for them."""

    __slots__ = ("bytes", "frames", "likelihood")

    def __init__(self) -> None:
        self.frames: deque[tuple[Frame, float, bool]] = deque()
        self.bytes = 0
        self.likelihood = 0.0  # added up since the last one that was chosen

    def delay_s(self, now: float) -> float:
        """Return for how long the oldest has waited."""
        return now - self.frames[0][1] if self.frames else 0.0

    def recur(self, likelihood: float) -> bool:
        """Tell whether this one is chosen: RFC 9332 appendix A.1."""
        self.likelihood += likelihood
        if self.likelihood > 1:
            self.likelihood -= 1
            return True
        return False


class DualPi2:
    """The L queue, the C queue, the controller and the scheduler."""

    __slots__ = (
        "_classic",
        "_config",
        "_credit",
        "_first_credit",
        "_l4s",
        "_previous_delay_s",
        "_timer",
        "base_prob",
        "report",
    )

    def __init__(self, config: DualPi2Config) -> None:
        self.report: Report = ignore
        self.base_prob = 0.0  # p'
        self._config = config
        self._l4s = _Lane()
        self._classic = _Lane()
        self._timer = LazyTimer(config.tupdate_s)
        self._previous_delay_s = 0.0
        # Weighted round robin by credit in bytes, as Linux: up to 0, it's the L queue's turn.
        self._first_credit = _FULL_FRAME_BYTES * (2 * config.classic_protection - 1)
        self._credit = self._first_credit

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it to the queue of its kind, or drop it at the limit."""
        self.run_timer(now)
        self._timer.start(now)
        config = self._config
        size = len(frame.data)
        if len(self) >= config.limit_packets or self.backlog_bytes + size > config.memlimit_bytes:
            self.report("dualpi2_full", frame, now)
            return
        ecn = ip_ecn.codepoint(frame)
        is_l4s = ecn != ip_ecn.NOT_ECT if config.any_ect else ecn & ip_ecn.ECT_1
        lane = self._l4s if is_l4s else self._classic
        lane.frames.append((frame, now, len(lane.frames) >= config.min_qlen_step))
        lane.bytes += size

    def dequeue(self, now: float) -> Frame | None:
        """Return the next frame that is not dropped, marked if it is its turn."""
        self.run_timer(now)
        l4s, classic = self._l4s, self._classic
        while l4s.frames or classic.frames:
            if l4s.frames and (not classic.frames or self._credit <= 0):
                lane, change = l4s, self._config.classic_protection
                others = classic
            else:
                lane, change = classic, self._config.classic_protection - 1
                others = l4s
            frame, arrived_at, may_step = lane.frames.popleft()
            size = len(frame.data)
            lane.bytes -= size
            if lane is l4s:
                step = may_step and now - arrived_at > self._config.step_thresh_s + GRACE_S
                kept = self._pass_l4s(frame, now, step=step)
            else:
                kept = self._pass_classic(frame, now)
            if kept is not None:
                if others.frames:
                    self._credit += change * size
                return kept
        self._credit = self._first_credit
        return None

    def run_timer(self, now: float) -> None:
        """Do the ticks up to `now`. Frames do it by themselves; for whoever reads the variables."""
        timer = self._timer
        while timer.due_at - GRACE_S <= now:
            before = (self.base_prob, self._previous_delay_s)
            self._update(timer.due_at)
            timer.step()
            if before == (self.base_prob, self._previous_delay_s) and not len(self):
                timer.skip_past(now)

    def next_at(self, now: float) -> float:
        """Return `now` while there is something."""
        return now if self._l4s.frames or self._classic.frames else math.inf

    def drain(self, now: float) -> list[Frame]:
        """Take out all that wait, of both queues, as they came."""
        self.run_timer(now)
        lanes = (self._l4s, self._classic)
        entries = sorted((entry for lane in lanes for entry in lane.frames), key=lambda it: it[1])
        for lane in lanes:
            lane.frames.clear()
            lane.bytes = 0
        self._credit = self._first_credit
        return [frame for frame, _, _ in entries]

    def __len__(self) -> int:
        """Return how many frames wait."""
        return len(self._l4s.frames) + len(self._classic.frames)

    @property
    def backlog_bytes(self) -> int:
        """Return how many bytes wait."""
        return self._l4s.bytes + self._classic.bytes

    @property
    def classic_prob(self) -> float:
        """Return p_C."""
        return self.base_prob**2

    @property
    def coupled_prob(self) -> float:
        """Return p_CL; from 1 on, marks can do no more: overload."""
        return self._config.coupling_factor * self.base_prob

    @property
    def _is_overloaded(self) -> bool:
        return self._config.drop_on_overload and self.coupled_prob >= 1

    def _pass_l4s(self, frame: Frame, now: float, *, step: bool) -> Frame | None:
        reason = ""
        if self._is_overloaded:
            if self._l4s.recur(self.classic_prob):
                self.report("dualpi2_overload", frame, now)
                return None
            reason = "dualpi2_coupled_mark"
        elif self._l4s.recur(self.coupled_prob):
            reason = "dualpi2_coupled_mark"
        elif step:
            reason = "dualpi2_step_mark"
        return self._mark(frame, reason, now) if reason else frame

    def _pass_classic(self, frame: Frame, now: float) -> Frame | None:
        if not self._classic.recur(self.classic_prob):
            return frame
        if ip_ecn.codepoint(frame) == ip_ecn.NOT_ECT:
            self.report("dualpi2_drop", frame, now)
            return None
        if self._is_overloaded:
            self.report("dualpi2_overload", frame, now)
            return None
        return self._mark(frame, "dualpi2_mark", now)

    def _mark(self, frame: Frame, reason: str, now: float) -> Frame:
        marked = ip_ecn.mark_ce(frame)
        assert marked is not None  # all of the L queue can be marked, and who gets here from C
        self.report(reason, marked, now)
        return marked

    def _update(self, now: float) -> None:
        config = self._config
        delay_s = max(self._l4s.delay_s(now), self._classic.delay_s(now))
        change = config.alpha_hz * (delay_s - config.target_s)
        change += config.beta_hz * (delay_s - self._previous_delay_s)
        most = 1.0 if config.drop_on_overload else 1 / config.coupling_factor
        self.base_prob = min(max(self.base_prob + change, 0.0), most)
        self._previous_delay_s = delay_s


def dualpi2(
    _: Random,
    *,
    limit: Word = DEFAULT_LIMIT_PACKETS,
    memlimit: Word | None = None,
    coupling_factor: Word = DEFAULT_COUPLING_FACTOR,
    step_thresh: Word = DEFAULT_STEP_THRESH_S,
    min_qlen_step: Word = 0,
    classic_protection: Word = DEFAULT_CLASSIC_PROTECTION,
    target: Word | None = None,
    tupdate: Word | None = None,
    alpha: Word | None = None,
    beta: Word | None = None,
    typical_rtt: Word | None = None,
    max_rtt: Word | None = None,
    l4s_ect: bool = False,
    any_ect: bool = False,
    drop_on_overload: bool = False,
    overflow: bool = False,
) -> DualPi2:
    """`dualpi2 [limit PACKETS] [memlimit BYTES] [step_thresh TIME] [target TIME] ...`.

    tc-dualpi2(8), but for `step_thresh` in packets, `drop_enqueue` and `no_split_gso`.
    `typical_rtt` and `max_rtt` make target, tupdate, alpha and beta, and win over them.
    """
    if (l4s_ect and any_ect) or (drop_on_overload and overflow):
        raise ConfigError("l4s_ect or any_ect, drop_on_overload or overflow: one of each")
    limit_packets = words.count("limit", limit)
    gains = _Gains.chosen(target, tupdate, alpha, beta)
    if typical_rtt is not None or max_rtt is not None:
        gains = _Gains.for_rtts(typical_rtt, max_rtt)
    return DualPi2(
        DualPi2Config(
            limit_packets=limit_packets,
            memlimit_bytes=limit_packets * _FULL_FRAME_BYTES
            if memlimit is None
            else words.count("memlimit", parse_size_bytes(memlimit)),
            target_s=gains.target_s,
            tupdate_s=gains.tupdate_s,
            alpha_hz=gains.alpha_hz,
            beta_hz=gains.beta_hz,
            coupling_factor=words.factor("coupling_factor", coupling_factor, 255),
            step_thresh_s=words.duration_s("step_thresh", step_thresh),
            min_qlen_step=words.count("min_qlen_step", min_qlen_step, least=0),
            classic_protection=parse_probability(classic_protection),
            any_ect=any_ect,
            drop_on_overload=not overflow,
        )
    )


@dataclass(frozen=True, slots=True)
class _Gains:
    target_s: float
    tupdate_s: float
    alpha_hz: float
    beta_hz: float

    @classmethod
    def chosen(
        cls, target: Word | None, tupdate: Word | None, alpha: Word | None, beta: Word | None
    ) -> "_Gains":
        return cls(
            DEFAULT_TARGET_S if target is None else words.duration_s("target", target),
            DEFAULT_TUPDATE_S if tupdate is None else words.duration_s("tupdate", tupdate),
            DEFAULT_ALPHA_HZ if alpha is None else words.factor("alpha", alpha),
            DEFAULT_BETA_HZ if beta is None else words.factor("beta", beta),
        )

    @classmethod
    def for_rtts(cls, typical_rtt: Word | None, max_rtt: Word | None) -> "_Gains":
        """Return what RFC 9332 appendix A.1 makes of round-trip times; one is 6 times the other."""
        if typical_rtt is not None:
            typical_s = words.duration_s("typical_rtt", typical_rtt)
            max_s = 6 * typical_s if max_rtt is None else words.duration_s("max_rtt", max_rtt)
        else:
            assert max_rtt is not None
            max_s = words.duration_s("max_rtt", max_rtt)
            typical_s = max_s / 6
        tupdate_s = min(typical_s, max_s / 3)
        return cls(typical_s, tupdate_s, 0.1 * tupdate_s / max_s**2, 0.3 / max_s)
