"""What a congestion control is: the owner of one connection's congestion window.

It is told what happened and asked what follows; it never writes the sender's fields. Loss recovery
(which segments to send again) is another plug-in, in `pystack.tcp.recovery`. All sizes in bytes.
"""

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class AckSample:
    """New data was acknowledged."""

    now: float
    acked_bytes: int
    flight_size_bytes: int  # before this acknowledgement
    rtt_s: float | None  # None: this acknowledgement measured nothing
    srtt_s: float | None  # None until the first measurement
    cwnd_limited: bool  # the window was what held the sender back (RFC 7661's question)
    in_recovery: bool  # loss recovery goes on


@dataclass(slots=True)
class LossSample:
    """A loss was found by duplicate acknowledgements (not by a time-out)."""

    now: float
    flight_size_bytes: int


class CongestionControl(Protocol):
    """The five questions and answers. Sync, clock-free, one object per connection."""

    name: str

    @property
    def cwnd_bytes(self) -> int:
        """Return how much may be on the way; at least one segment."""
        ...

    @property
    def ssthresh_bytes(self) -> int:
        """Return where slow start ends."""
        ...

    @property
    def pacing_bps(self) -> float | None:
        """Return how fast to send, in bits a second; None: as fast as the window lets."""
        ...

    def on_sent(self, sent_bytes: int, now: float) -> None:
        """New data was sent."""
        ...

    def on_ack(self, sample: AckSample) -> None:
        """New data was acknowledged."""
        ...

    def on_loss(self, sample: LossSample) -> None:
        """A loss was found: once per window of data."""
        ...

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """The retransmission timer ran out: all that was on the way is taken for lost."""
        ...


def initial_window_bytes(smss_bytes: int) -> int:
    """Return IW (RFC 6928 section 2): ten segments."""
    return min(10 * smss_bytes, max(2 * smss_bytes, 14600))
