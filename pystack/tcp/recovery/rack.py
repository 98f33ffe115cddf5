"""RACK-TLP (RFC 8985): lost is what was sent well before something that has arrived.

Time takes the place of counting. A segment is lost when one that was sent later is here, and a
round trip and the window for reordering have passed since it was sent itself; that holds for
retransmissions too. Where the end of a flight is silent, a probe asks for an ACK before the
retransmission timer would take everything for lost.
"""

from typing import Final

from pystack.tcp.recovery.base import (
    DUPLICATE_THRESHOLD,
    LOSS,
    RECOVERED,
    RESTART_TIMER,
    Lost,
    RecoveryInfo,
)
from pystack.tcp.recovery.sack import EPSILON_S, FAST, OPEN, SackRecovery
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.scoreboard import Record
from pystack.tcp.tcb import NEVER, Tcb, Timer
from pystack.wire.tcp import Segment

_REO_WND_PERSIST: Final = 16  # recoveries, section 6.2, step 4
_MAX_REO_WND_MULT: Final = 4096
_NO_RTT_PTO_S: Final = 1.0  # section 7.2
# The granularity of a clock, as RFC 6298's G: where time is virtual a round trip may take none.
_MIN_PTO_S: Final = 0.001
MAX_ACK_DELAY_S: Final = 0.2  # section 7.2: TLP.max_ack_delay; as Linux


class RackRecovery(SackRecovery):
    """RFC 6675's scoreboard with RACK's judgement, and tail loss probes."""

    __slots__ = (
        "_dsack_round",
        "_patient_until",
        "_persist",
        "_probe_due",
        "_probe_since",
        "_reo_at",
        "_report",
        "_stuck",
        "_tlp_end",
        "_tlp_is_retrans",
        "pto_s",
        "reo_wnd_mult",
    )

    name = "rack"

    def __init__(self, tcb: Tcb, rtt: RttEstimator) -> None:
        super().__init__(tcb, rtt)
        self.reo_wnd_mult = 1
        self._persist = _REO_WND_PERSIST
        self._patient_until = tcb.iss  # SND.NXT when a recovery was undone
        self._dsack_round: int | None = None  # None: the next D-SACK widens the window
        self._reo_at = NEVER  # when something will be lost, unless it arrives
        self._probe_since = 0.0  # new text was sent, or acknowledged
        self._stuck = False  # the ACK of the moment did not move SND.UNA
        self._tlp_end: int | None = None  # SND.NXT when a probe was sent; None: none is out
        self._tlp_is_retrans = False
        self._probe_due = False
        self.pto_s = 0.0  # how long the last probe was waited for
        self._report: tuple[int, int] | None = None  # the D-SACK of this ACK; None: it has none

    def on_sent(self, seq: int, now: float) -> None:
        """Note when it was; a probe comes the later (section 7.2)."""
        tcb = self._tcb
        if self.repairing:
            self._record(seq, now)
            if self._probe_due:
                self._probe_sent(again=False)
                return
        else:
            self._log.append((tcb.snd_nxt, now))
        # Where more than a segment was in flight the timer is set already, and looks again when
        # it runs out.
        self._probe_since = now
        if seq - tcb.snd_una <= tcb.snd_mss or tcb.timers[Timer.LOSS] == NEVER:
            self.arm(now)

    def on_retransmitted(self, seq: int, size: int, now: float) -> None:
        """Note it; it may be the probe."""
        super().on_retransmitted(seq, size, now)
        if self._probe_due:
            self._probe_sent(again=True)

    def next_lost(self) -> Lost | None:
        """Return the probe that is due, or what is lost."""
        if self._probe_due:
            return self._last_sent()
        return super().next_lost()

    def next_spare(self) -> Lost | None:
        """Return nothing but what F-RTO gives up for lost: RACK does not guess."""
        return super().next_spare() if self._holding else None

    def arm(self, now: float) -> None:
        """Wait for what may be late only; or for a word about the end of a flight (section 7.2)."""
        tcb = self._tcb
        timers = tcb.timers
        flight_size_bytes = tcb.snd_nxt - tcb.snd_una
        if self._stuck:
            self._stuck = False  # what makes no progress does not put a probe off
        else:
            self._probe_since = now
        if self._reo_at != NEVER:
            timers[Timer.LOSS] = self._reo_at
        elif (
            not flight_size_bytes
            or self.phase
            or self.board.sacked_bytes
            or self._tlp_end is not None  # one at a time
        ):
            timers[Timer.LOSS] = NEVER
        else:
            # Not after the RTO, in whose place it would be
            at = self._probe_since + self._pto_s(flight_size_bytes)
            timers[Timer.LOSS] = min(at, timers[Timer.RETRANSMIT])

    def on_timer(self, now: float) -> int:
        """The wait was in vain: something is lost (section 6.3), or a probe is due (7.3)."""
        self.delivered_bytes = self.newly_lost_bytes = 0
        self._tcb.timers[Timer.LOSS] = NEVER
        if self._reo_at == NEVER:
            return self._want_probe(now)
        self.newly_lost_bytes = self._detect(now)
        self._stuck = True
        self.arm(now)
        if not self.newly_lost_bytes or self.phase != OPEN:
            return 0
        self._enter_fast()
        return LOSS

    def on_rto(self, now: float) -> None:
        """Section 6.3: what was sent long ago is lost."""
        super().on_rto(now)
        self._stop_waiting()

    def on_too_big(self) -> None:
        """Send all again."""
        super().on_too_big()
        self._stop_waiting()

    def on_duplicate_report(self, left: int, right: int) -> None:
        """Widen the window for reordering, once in a round trip (section 6.2, step 4)."""
        self._report = (left, right)
        if right == self._tlp_end:
            return  # a probe tells nothing of the order (as Linux)
        if self._dsack_round is not None and self._tcb.snd_una >= self._dsack_round:
            self._dsack_round = None
        if self._dsack_round is None:
            self._dsack_round = self._tcb.snd_nxt
            self.reo_wnd_mult += 1
            self._persist = _REO_WND_PERSIST

    def info(self) -> RecoveryInfo:
        """Return a snapshot."""
        return super().info()._replace(pto_s=self.pto_s)

    @property
    def reo_wnd_s(self) -> float:
        """Return how much later than expected a segment may be (section 6.2, step 4).

        For the rest of the round trip in which a recovery was a mistake, as much as it may ever be:
        until the D-SACKs of what was sent again have widened the window, it would go on like that.
        """
        board = self.board
        if self._tcb.snd_una < self._patient_until:
            return self._rtt.srtt_s or 0.0
        if not self.reordering_seen and (
            self.phase != OPEN
            or board.sacked_records >= DUPLICATE_THRESHOLD
            or board.sacked_bytes > (DUPLICATE_THRESHOLD - 1) * self._tcb.snd_mss
        ):
            return 0.0
        rtt = self._rtt
        return min((rtt.min_rtt_s or 0.0) / 4 * self.reo_wnd_mult, rtt.srtt_s or 0.0)

    def _detect(self, now: float) -> int:
        """Mark what is lost, and note when the last of what may be will be (step 5).

        In the order of sending: if one waits, all behind it wait for longer.
        """
        board = self.board
        board.reached(self.newest_serial, self.newest_end)
        patience_s = self.newest_rtt_s + self.reo_wnd_s
        lost_bytes = 0
        self._reo_at = NEVER
        for record in board.overtaken():
            if record.xmit_at + patience_s - now > EPSILON_S:
                last = board.last_overtaken
                assert last is not None
                self._reo_at = max(record.xmit_at, last.xmit_at) + patience_s
                break
            self._lose(record, now)
            lost_bytes += record.size
        return lost_bytes

    def _selected(self, record: Record) -> None:
        """Count nothing: time takes its place."""

    def _survives(self, record: Record, now: float) -> bool:
        """Section 6.3: it was sent less than a round trip ago."""
        return record.xmit_at + self.newest_rtt_s + self.reo_wnd_s > now + EPSILON_S

    def _take_back(self) -> int:
        tcb = self._tcb
        if self.phase == FAST and tcb.snd_una >= self._patient_until:
            self._patient_until = tcb.snd_nxt
            self.reo_wnd_mult = min(2 * self.reo_wnd_mult, _MAX_REO_WND_MULT)
        return super()._take_back()

    def _left_recovery(self, *, undone: bool) -> None:
        """The wider window lasts for so many recoveries without a D-SACK.

        One that was a mistake shows that it is needed: it counts the other way, as in Linux.
        """
        if undone:
            self._persist = min(self._persist + 1, _REO_WND_PERSIST)
            return
        self._persist -= 1
        if self._persist <= 0:
            self.reo_wnd_mult = 1

    def _enter_fast(self) -> None:
        super()._enter_fast()
        self._tlp_end = None

    def _stop_waiting(self) -> None:
        self._reo_at = NEVER
        self._tlp_end = None
        self._probe_due = False
        self._tcb.timers[Timer.LOSS] = NEVER

    # tail loss probes, section 7

    def _pto_s(self, flight_size_bytes: int) -> float:
        """Return how long after the last word the probe is sent (section 7.2)."""
        rtt = self._rtt
        srtt_s = rtt.srtt_s
        pto_s = _NO_RTT_PTO_S
        if srtt_s is not None:
            pto_s = max(2 * srtt_s, _MIN_PTO_S) + rtt.probe_slack_s
        if flight_size_bytes <= self._tcb.snd_mss:
            pto_s += MAX_ACK_DELAY_S  # a single segment's ACK may be delayed
        return pto_s

    def _want_probe(self, now: float) -> int:
        tcb = self._tcb
        if self._tlp_end is not None or not tcb.flight_size_bytes:
            return 0  # one at a time
        at = self._probe_since + self._pto_s(tcb.flight_size_bytes)
        if at > now + EPSILON_S and now < tcb.timers[Timer.RETRANSMIT]:
            tcb.timers[Timer.LOSS] = min(at, tcb.timers[Timer.RETRANSMIT])
            return 0  # something was sent, or acknowledged, after the timer was set
        self._track()
        self._probe_due = True
        self.pto_s = now - self._probe_since
        return RESTART_TIMER

    def _last_sent(self) -> Lost:
        last = self.board.records[-1]
        size = self._tail_of(last)
        return Lost(last.end - size, size, forced=True, reason="tlp")

    def _probe_sent(self, *, again: bool) -> None:
        self._probe_due = False
        self._tlp_end = self._tcb.snd_nxt
        self._tlp_is_retrans = again
        self._tcb.timers[Timer.LOSS] = NEVER

    def _examine(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        """As for RFC 6675; then see what became of a probe."""
        self._report = None
        self._probe_due = False
        self._stuck = not acked_bytes
        flags = super()._examine(seg, acked_bytes, now, duplicate=duplicate)
        if self._tlp_end is not None and seg.ack >= self._tlp_end:
            flags |= self._probe_answered(seg, flags, acked_bytes, duplicate=duplicate)
        return flags

    def _calm_down(self) -> None:
        if self._tlp_end is None:
            super()._calm_down()

    def _probe_answered(
        self, seg: Segment, flags: int, acked_bytes: int, *, duplicate: bool
    ) -> int:
        """Section 7.4.2: has the probe repaired a loss, the only sign of congestion there is?"""
        assert self._tlp_end is not None
        repaired = False
        if self._tlp_is_retrans:
            if self._report is not None and self._report[1] == self._tlp_end:
                pass  # case 1: it came twice
            elif seg.ack > self._tlp_end:
                repaired = not flags & LOSS and self.phase == OPEN
            elif acked_bytes or not duplicate or seg.sack_blocks:
                return 0  # nothing is known yet
            # else case 2: the same ACK twice, one for each copy
        self._tlp_end = None
        return LOSS | RECOVERED if repaired else 0
