"""NewReno: loss recovery from duplicate ACKs alone (RFC 5681 section 3.2, RFC 6582).

Where the RFCs inflate the congestion window by a segment for each duplicate ACK, we take the
segment that it stands for out of the pipe. The sender then sends the same, the control's window is
left in peace, and RFC 3042's limited transmit comes with it.
"""

from typing import Final

from pystack.tcp.tcb import Tcb

DUPLICATE_THRESHOLD: Final = 3  # RFC 5681 section 3.2
LIMITED_TRANSMIT: Final = 2  # segments, RFC 3042 section 2


class NewRenoRecovery:
    """Fast retransmit and fast recovery, and going back after a time-out."""

    __slots__ = (
        "_first_partial",
        "_flight_size_bytes",
        "_forced",
        "_lost_until",
        "_rexmit_nxt",
        "dup_acks",
        "in_recovery",
        "recover",
    )

    name = "newreno"

    def __init__(self, iss: int) -> None:
        self.in_recovery = False
        self.dup_acks = 0
        self.recover = iss  # RFC 6582 section 3.2 (1)
        self._rexmit_nxt = iss  # [_rexmit_nxt, _lost_until) is lost and not yet sent again
        self._lost_until = iss
        self._forced = False  # the next of it goes out whatever cwnd says
        self._first_partial = False
        self._flight_size_bytes = 0  # when the first duplicate ACK came in

    def pipe_bytes(self, tcb: Tcb) -> int:
        """Return FlightSize without what is lost and without what duplicate ACKs say has left."""
        lost = max(0, self._lost_until - max(self._rexmit_nxt, tcb.snd_una))
        left = self.dup_acks if self.in_recovery else min(self.dup_acks, LIMITED_TRANSMIT)
        return max(0, tcb.flight_size_bytes - lost - left * tcb.snd_mss)

    def next_lost(self, tcb: Tcb) -> tuple[int, int, bool] | None:
        """Return the next hole to fill."""
        seq = max(self._rexmit_nxt, tcb.snd_una)
        if seq >= self._lost_until:
            return None
        return seq, self._lost_until - seq, self._forced

    def on_retransmitted(self, seq: int, size_bytes: int) -> None:
        """Go on behind it."""
        self._rexmit_nxt = seq + size_bytes
        self._forced = False

    def on_duplicate_ack(self, tcb: Tcb) -> int:
        """Count; the third one starts fast recovery, RFC 6582 section 3.2 (2)."""
        if not self.in_recovery and tcb.snd_una <= self.recover:
            return 0  # it may be our own retransmissions that are answered (section 4)
        # No more segments can have left than were sent after the one that is missing; a peer that
        # claims more (RFC 5681 section 7, Savage's attack) gains nothing.
        in_flight = -(-tcb.flight_size_bytes // tcb.snd_mss)
        self.dup_acks = min(self.dup_acks + 1, in_flight)
        if self.dup_acks == 1:
            self._flight_size_bytes = tcb.flight_size_bytes
        if self.in_recovery or self.dup_acks < DUPLICATE_THRESHOLD:
            return 0
        self.in_recovery = True
        self.recover = tcb.snd_nxt
        self._first_partial = True
        self._mark_first_lost(tcb)
        return self._flight_size_bytes

    def on_ack(self, tcb: Tcb, acked_bytes: int) -> bool:
        """A full ACK ends recovery, a partial one names the next hole, RFC 6582 section 3.2 (3)."""
        if not self.in_recovery:
            self.dup_acks = 0
            return True
        if tcb.snd_una >= self.recover:
            self.in_recovery = False
            self.dup_acks = 0
            return True
        # Partial: the segments it covers have left the pipe, but for the one that was lost.
        left = -(-acked_bytes // tcb.snd_mss) - 1
        self.dup_acks = max(0, self.dup_acks - max(0, left))
        self._mark_first_lost(tcb)
        first, self._first_partial = self._first_partial, False
        return first  # the "impatient" variant, section 4

    def on_rto(self, tcb: Tcb) -> None:
        """Everything on the way is lost, RFC 6582 section 4 and RFC 5681 section 3.1."""
        self.in_recovery = False
        self.dup_acks = 0
        self.recover = tcb.snd_nxt
        self._rexmit_nxt = tcb.snd_una
        self._lost_until = tcb.snd_nxt
        self._forced = True

    def _mark_first_lost(self, tcb: Tcb) -> None:
        self._rexmit_nxt = tcb.snd_una
        self._lost_until = min(tcb.snd_una + tcb.snd_mss, tcb.snd_nxt)
        self._forced = True
