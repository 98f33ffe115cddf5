"""What a connection has for a loss recovery until its handshake is over: nothing is in flight.

A SYN is sent again by the retransmission timer alone, so one object without variables serves all
connections. A briefly lived one would else make two loss recoveries, the first for nothing.
"""

from typing import Final

from pystack.tcp.rate import RateEstimator
from pystack.tcp.recovery.base import Lost, RecoveryInfo
from pystack.wire.tcp import Segment

_INFO: Final = RecoveryInfo("open", 0, 0, 0, 0, reordering_seen=False, reo_wnd_s=0.0)


class Unopened:
    """Recovers nothing."""

    __slots__ = ()

    name = ""
    delivered_bytes = newly_lost_bytes = 0
    newest_rtt_s = 0.0
    counts_delivered = False
    held: tuple[object, ...] = ()
    repairing = False
    in_recovery = False

    def pipe_bytes(self) -> int:
        """Return 0."""
        return 0

    def next_lost(self) -> Lost | None:
        """Return nothing."""
        return None

    def next_spare(self) -> Lost | None:
        """Return nothing."""
        return None

    def on_sent(self, seq: int, now: float) -> None:
        """Keep nothing."""

    def on_retransmitted(self, seq: int, size: int, now: float) -> None:
        """Keep nothing."""

    def on_ack(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        """See nothing in it."""
        return 0

    def arm(self, now: float) -> None:
        """Set no timer."""

    def on_timer(self, now: float) -> int:
        """Have no timer."""
        return 0

    def on_rto(self, now: float) -> None:
        """Keep nothing."""

    def measure(self, rates: RateEstimator) -> None:
        """Measure nothing."""

    def on_too_big(self) -> None:
        """Send nothing again."""

    def info(self) -> RecoveryInfo:
        """Return a snapshot, which is always the same."""
        return _INFO

    def clear(self) -> None:
        """Keep nothing."""


UNOPENED: Final = Unopened()
