"""What a loss recovery is: it finds out which segments are lost, and names what to send again.

It is made with the connection's `Tcb` and RTT estimator, which it reads. Of the `Tcb` it writes one
thing: its own timer, `Timer.LOSS`. The congestion control is not its business; what there is to be
told to it comes back from `on_ack` and `on_timer` as a sum of the flags below.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from pystack.tcp.rate import RateEstimator
from pystack.tcp.rtt import RttEstimator
from pystack.tcp.tcb import Tcb
from pystack.wire.tcp import Segment

RESTART_TIMER: Final = 0x01  # start the retransmission timer afresh
LOSS: Final = 0x02  # congestion: the first loss of this window of data
RECOVERED: Final = 0x04  # all is acknowledged that was in flight when it was found
UNDO: Final = 0x08  # it was none: reordering, or a time-out too early
BAD_SACK: Final = 0x10  # a block told of what was never sent

DUPLICATE_THRESHOLD: Final = 3  # RFC 5681 section 3.2
LIMITED_TRANSMIT: Final = 2  # segments, RFC 3042 section 2


class Lost(NamedTuple):
    """What to send again."""

    seq: int
    size: int
    forced: bool  # whatever the congestion window says
    # why, as observers see it: "dupack", "sack", "rack", "rto" or "tlp". The last one is a probe:
    # new text does as well, and better.
    reason: str


class RecoveryInfo(NamedTuple):
    """What a loss recovery tells of itself."""

    state: str  # "open", "disorder", "recovery" or "loss", as Linux names them
    sacked_bytes: int
    lost_bytes: int  # sent again or not
    retransmitted_bytes: int  # in flight again
    reordering: int  # segments that may overtake one before it is considered lost
    reordering_seen: bool
    reo_wnd_s: float  # RFC 8985's; 0 where there is none
    pto_s: float = 0.0  # how long the last tail loss probe was waited for; 0 where there was none


class LossRecovery(Protocol):
    """One object per connection. Sequence numbers are unwrapped."""

    name: str
    delivered_bytes: int  # found to be at the peer by the last `on_ack`
    newly_lost_bytes: int  # found to be lost by the last `on_ack` or `on_timer`
    # The round trip of the segment that was sent last of all that have arrived; 0.0: not known. RTO
    # needs a sample a round trip, congestion controls may have one with each ACK (RFC 9406).
    newest_rtt_s: float
    counts_delivered: bool  # True: the former is exact, so that PRR can go by it

    @property
    def held(self) -> Sequence[object]:
        """Return what is remembered of what is in flight, counted as memory; it may be missing."""
        ...

    @property
    def repairing(self) -> bool:
        """Tell whether `next_lost` and `next_spare` may have something; else they are not asked."""
        ...

    @property
    def in_recovery(self) -> bool:
        """Tell whether a loss is being repaired that acknowledgements showed, not a time-out."""
        ...

    def pipe_bytes(self) -> int:
        """Return the estimate of what is in flight (RFC 6675's pipe): sent, and not known gone."""
        ...

    def next_lost(self) -> Lost | None:
        """Return what to send again next; None for nothing."""
        ...

    def next_spare(self) -> Lost | None:
        """Return what may be sent again since there is nothing new to send; None for nothing."""
        ...

    def on_sent(self, seq: int, now: float) -> None:
        """Text or a FIN was sent for the first time, from `seq` up to the new SND.NXT."""
        ...

    def on_retransmitted(self, seq: int, size: int, now: float) -> None:
        """What `next_lost` or `next_spare` named was sent, or the first `size` of it."""
        ...

    def on_ack(self, seg: Segment, acked_bytes: int, now: float, *, duplicate: bool) -> int:
        """An ACK came in; SND.UNA has moved by `acked_bytes`. Return flags.

        `duplicate`: it is one by the definition of RFC 5681 section 2.
        """
        ...

    def arm(self, now: float) -> None:
        """The ACK is worked off, and the retransmission timer set: set the timer for losses."""
        ...

    def on_timer(self, now: float) -> int:
        """`Timer.LOSS` ran out. Return flags."""
        ...

    def on_rto(self, now: float) -> None:
        """The retransmission timer ran out: what is in flight counts as lost."""
        ...

    def measure(self, rates: RateEstimator | None) -> None:
        """From now on tell `rates` of each record that is sent, delivered or lost; None: nobody."""
        ...

    def on_too_big(self) -> None:
        """All that is in flight was too large for the path: send it again, without haste."""
        ...

    def info(self) -> RecoveryInfo:
        """Return a snapshot."""
        ...

    def clear(self) -> None:
        """The connection is over: keep nothing."""
        ...


RecoveryFactory = Callable[[Tcb, RttEstimator], LossRecovery]


_INFO: Final = RecoveryInfo("open", 0, 0, 0, 0, reordering_seen=False, reo_wnd_s=0.0)


class Unopened:
    """What a connection has until its handshake is over, when nothing is in flight.

    A SYN is sent again by the retransmission timer alone, so one object without variables serves
    all connections. A short-lived one would else make two recoveries, the first for nothing.
    """

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

    def measure(self, rates: RateEstimator | None) -> None:
        """Measure nothing."""

    def on_too_big(self) -> None:
        """Send nothing again."""

    def info(self) -> RecoveryInfo:
        """Return a snapshot, which is always the same."""
        return _INFO

    def clear(self) -> None:
        """Keep nothing."""


UNOPENED: Final = Unopened()
