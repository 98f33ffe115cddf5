"""NewReno: loss recovery from duplicate ACKs alone (RFC 5681 section 3.2, RFC 6582).

Where the RFCs inflate the congestion window by a segment for each duplicate ACK, we take the
segment that it stands for out of the pipe. The sender then sends the same, the control's window is
left in peace, and RFC 3042's limited transmit comes with it.
"""

from pystack.tcp.rate import RateEstimator
from pystack.tcp.recovery.base import (
    DUPLICATE_THRESHOLD,
    LIMITED_TRANSMIT,
    LOSS,
    RECOVERED,
    RESTART_TIMER,
    Lost,
    RecoveryInfo,
)
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.scoreboard import NO_BOARD, Record, Scoreboard
from pystack.tcp.tcb import Tcb
from pystack.wire.tcp import Segment


class NewRenoRecovery:
    """Fast retransmit and fast recovery, and going back after a time-out."""

    __slots__ = (
        "_board",
        "_first_partial",
        "_forced",
        "_lost_until",
        "_rates",
        "_repairing",
        "_rexmit_nxt",
        "_tcb",
        "delivered_bytes",
        "dup_acks",
        "held",
        "in_recovery",
        "newly_lost_bytes",
        "recover",
    )

    name = "newreno"
    newest_rtt_s = 0.0  # nothing is kept that would tell it
    counts_delivered = False

    def __init__(self, tcb: Tcb, rtt: RttEstimator) -> None:
        self._tcb = tcb
        self.in_recovery = False
        self.delivered_bytes = self.newly_lost_bytes = 0
        self.dup_acks = 0
        self.recover = tcb.iss  # RFC 6582 section 3.2 (1)
        self._repairing = False  # after a time-out, up to `recover`
        self._rexmit_nxt = tcb.iss  # [_rexmit_nxt, _lost_until) is lost and not yet sent again
        self._lost_until = tcb.iss
        self._forced = False  # the next of it goes out whatever cwnd says
        self._first_partial = False
        self._board = NO_BOARD
        self.held: list[Record] = NO_BOARD.records
        self._rates: RateEstimator | None = None  # None: nobody asks for rates, no record is kept

    @property
    def repairing(self) -> bool:
        """Tell whether something is lost and was not sent again."""
        return self._rexmit_nxt < self._lost_until

    def pipe_bytes(self) -> int:
        """Return FlightSize without what is lost and without what duplicate ACKs say has left."""
        tcb = self._tcb
        lost = max(0, self._lost_until - max(self._rexmit_nxt, tcb.snd_una))
        left = self.dup_acks if self.in_recovery else min(self.dup_acks, LIMITED_TRANSMIT)
        return max(0, tcb.snd_nxt - tcb.snd_una - lost - left * tcb.snd_mss)

    def next_lost(self) -> Lost | None:
        """Return the next hole to fill."""
        seq = max(self._rexmit_nxt, self._tcb.snd_una)
        if seq >= self._lost_until:
            return None
        reason = "dupack" if self.in_recovery else "rto"
        return Lost(seq, self._lost_until - seq, self._forced, reason)

    def next_spare(self) -> Lost | None:
        """Return None: without SACK nothing is known to be worth a guess."""
        return None

    def on_sent(self, seq: int, now: float) -> None:
        """Take no note, unless for rates: no duplicate ACK says which segment it is for."""
        if self._rates is not None:
            record = self._board.sent(seq, self._tcb.snd_nxt, now)
            self._rates.sent(record, self.pipe_bytes(), now)

    def on_retransmitted(self, seq: int, size: int, now: float) -> None:
        """Go on behind it."""
        self._rexmit_nxt = seq + size
        self._forced = False
        if self._rates is not None and self._board.at(seq) is not None:
            record = self._board.retransmitted(seq, size, now)
            self._rates.lost(record, now)  # with the stamp of its first transmission
            self._rates.sent(record, self.pipe_bytes(), now)

    def on_ack(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        """Count duplicates, RFC 6582 section 3.2 (2); or see how far the repair is, (3)."""
        self.newly_lost_bytes = 0
        self.delivered_bytes = acked_bytes
        if acked_bytes:
            if self._rates is not None:
                for record in self._board.acknowledge(self._tcb.snd_una):
                    self._rates.delivered(record, now)
            return self._progress(acked_bytes)
        return self._duplicate() if duplicate else 0

    def arm(self, now: float) -> None:
        """Set no timer."""

    def on_timer(self, now: float) -> int:
        """Have no timer."""
        return 0

    def on_rto(self, now: float) -> None:
        """Everything in flight is lost, RFC 6582 section 4 and RFC 5681 section 3.1."""
        tcb = self._tcb
        self.newly_lost_bytes = self.pipe_bytes()
        self.in_recovery = False
        self._repairing = True
        self.dup_acks = 0
        self.recover = tcb.snd_nxt
        self._rexmit_nxt = tcb.snd_una
        self._lost_until = tcb.snd_nxt
        self._forced = True

    def measure(self, rates: RateEstimator | None) -> None:
        """Keep records, for the rates alone; None: no more."""
        self._board = NO_BOARD if rates is None else Scoreboard()
        self.held = self._board.records
        self._rates = rates

    def on_too_big(self) -> None:
        """Go back as after a time-out."""
        self.on_rto(0.0)

    def info(self) -> RecoveryInfo:
        """Return a snapshot."""
        state = "loss" if self._repairing else "disorder" if self.dup_acks else "open"
        if self.in_recovery:
            state = "recovery"
        left = self.dup_acks * self._tcb.snd_mss
        lost = max(0, self._lost_until - max(self._rexmit_nxt, self._tcb.snd_una))
        return RecoveryInfo(state, left, lost, 0, DUPLICATE_THRESHOLD, False, 0.0)

    def clear(self) -> None:
        """Keep nothing."""
        self._board.clear()

    def _duplicate(self) -> int:
        tcb = self._tcb
        if not self.in_recovery and tcb.snd_una <= self.recover:
            return 0  # it may be our own retransmissions that are answered (section 4)
        # No more segments can have left than were sent after the one that is missing; a peer that
        # claims more (RFC 5681 section 7, Savage's attack) gains nothing.
        in_flight = -(-tcb.flight_size_bytes // tcb.snd_mss)
        self.dup_acks = min(self.dup_acks + 1, in_flight)
        if self.in_recovery or self.dup_acks < DUPLICATE_THRESHOLD:
            return 0
        self.in_recovery = True
        self.recover = tcb.snd_nxt
        self._first_partial = True
        self._mark_first_lost()
        return LOSS

    def _progress(self, acked_bytes: int) -> int:
        """A full ACK ends recovery, a partial one names the next hole."""
        tcb = self._tcb
        if tcb.snd_una >= self.recover and (self.in_recovery or self._repairing):
            self.in_recovery = self._repairing = False
            self.dup_acks = 0
            return RESTART_TIMER | RECOVERED
        if not self.in_recovery:
            self.dup_acks = 0
            return RESTART_TIMER
        # Partial: the segments it covers have left the pipe, but for the one that was lost.
        left = -(-acked_bytes // tcb.snd_mss) - 1
        self.dup_acks = max(0, self.dup_acks - max(0, left))
        self._mark_first_lost()
        first, self._first_partial = self._first_partial, False
        return RESTART_TIMER if first else 0  # the "impatient" variant, section 4

    def _mark_first_lost(self) -> None:
        tcb = self._tcb
        self._rexmit_nxt = tcb.snd_una
        self._lost_until = min(tcb.snd_una + tcb.snd_mss, tcb.snd_nxt)
        self._forced = True
        self.newly_lost_bytes = self._lost_until - self._rexmit_nxt
