"""What a loss recovery is: it finds out which segments are lost, and names what to send again.

It reads the connection's `Tcb` and never writes it; what it remembers is its own. The congestion
control is told by the caller when `on_duplicate_ack` says that a loss was found.
"""

from typing import Protocol

from pystack.tcp.tcb import Tcb


class LossRecovery(Protocol):
    """One object per connection. Sequence numbers are unwrapped."""

    name: str

    @property
    def in_recovery(self) -> bool:
        """Tell whether a loss is being repaired (after duplicate ACKs, not after a time-out)."""
        ...

    def pipe_bytes(self, tcb: Tcb) -> int:
        """Return the estimate of what is on the way (RFC 6675's pipe): sent, and not known gone."""
        ...

    def next_lost(self, tcb: Tcb) -> tuple[int, int, bool] | None:
        """Return (seq, bytes, whatever cwnd says) of what to send again next; None for nothing."""
        ...

    def on_retransmitted(self, seq: int, size_bytes: int) -> None:
        """What `next_lost` named was sent, or as much of it as `size_bytes`."""
        ...

    def on_duplicate_ack(self, tcb: Tcb) -> int:
        """A duplicate ACK came in (RFC 5681 section 2).

        Return 0, or where it shows a new loss the FlightSize from before limited transmit.
        """
        ...

    def on_ack(self, tcb: Tcb, acked_bytes: int) -> bool:
        """SND.UNA has moved; True where the retransmission timer should be started afresh."""
        ...

    def on_rto(self, tcb: Tcb) -> None:
        """The timer ran out: all that is on the way counts as lost."""
        ...
