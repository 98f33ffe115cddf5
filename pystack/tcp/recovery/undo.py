"""Was it a mistake? Signs that what was sent again had not been lost (RFC 3522, 2883, 3708).

Either an echoed timestamp is older than the first retransmission: the ACK was caused by the
original. Or the peer reports, by D-SACK, every single retransmission as a duplicate.
"""

from pystack.tcp import timestamps
from pystack.tcp.tcb import Tcb
from pystack.wire.tcp import Segment


class Undo:
    """What is known about the repair that goes on, or the last one."""

    __slots__ = (
        "_duplicates_due_bytes",
        "_marker",
        "_oldest_tsval",
        "_sent_again",
        "_tcb",
        "_tsval",
    )

    def __init__(self, tcb: Tcb) -> None:
        self._tcb = tcb
        self._marker: int | None = None  # SND.UNA when it began; None: there is nothing to undo
        self._sent_again = False
        self._tsval = 0  # of the first retransmission
        self._oldest_tsval = 0  # of the first of those that are in flight now
        self._duplicates_due_bytes = 0  # sent again, and not reported as a duplicate

    def begin(self, out_bytes: int) -> None:
        """A repair begins; so much that was sent again is in flight from the one before.

        Its ACKs are none of originals, though they are older than what this repair sends.
        """
        self._marker = self._tcb.snd_una
        self._sent_again = out_bytes > 0
        self._tsval = self._oldest_tsval
        self._duplicates_due_bytes = out_bytes

    def end(self) -> None:
        """It was undone, or can't be any more."""
        self._marker = None

    def on_retransmitted(self, size: int, out_bytes: int, now: float) -> None:
        """So much was sent again, while `out_bytes` were in flight again."""
        if not out_bytes:
            self._oldest_tsval = timestamps.clock(self._tcb, now)
        if self._marker is None:
            return
        if not self._sent_again:
            self._sent_again = True
            self._tsval = self._oldest_tsval
        self._duplicates_due_bytes += size

    def on_duplicate_report(self, left: int, right: int) -> None:
        """The peer had [left, right) twice."""
        if self._marker is not None and right > self._marker and self._duplicates_due_bytes > 0:
            self._duplicates_due_bytes = max(0, self._duplicates_due_bytes - (right - left))

    def all_were_duplicates(self) -> bool:
        """Tell whether all that was sent again has been reported as a duplicate."""
        return self._marker is not None and self._sent_again and not self._duplicates_due_bytes

    def original_answered(self, seg: Segment) -> bool:
        """Tell whether an ACK of new data answers an original (Eifel, RFC 3522 section 3.2)."""
        return (
            self._marker is not None
            and self._sent_again
            and seg.tsval is not None
            and seg.tsecr != 0
            and timestamps.older(seg.tsecr, self._tsval)
        )
