"""What a congestion control is: the owner of one connection's congestion window.

It is told what happened and asked what follows; it never writes the sender's fields. Loss recovery
(which segments to send again) is another plug-in, in `pystack.tcp.recovery`. All sizes in bytes.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from pystack.wire.ecn import ECT_0

# "arbitrarily high" (RFC 5681 section 3.1): the largest window that TCP can offer
INITIAL_SSTHRESH_BYTES: Final = 0xFFFF << 14


@dataclass(slots=True)
class RateSample:
    """How fast data was delivered (draft-ietf-ccwg-bbr, section 4.1: delivery rate estimation).

    Made for the segment of an acknowledgement that was sent last; only for controls that ask for it
    by `wants_rate`. "Delivered" is acknowledged, cumulatively or selectively.
    """

    delivery_rate_bps: float | None  # None: the interval is too short to mean anything
    delivered_bytes: int  # C.delivered: by the connection so far
    prior_delivered_bytes: int  # P.delivered: C.delivered when that segment was sent
    newly_delivered_bytes: int  # by this acknowledgement
    newly_lost_bytes: int  # found lost by this acknowledgement
    lost_bytes: int  # C.lost - P.lost: found lost since that segment was sent
    in_flight_bytes: int  # C.inflight, after this acknowledgement
    tx_in_flight_bytes: int  # P.tx_in_flight: in flight when that segment was sent
    app_limited: bool  # P.app_limited: what limited the rate was the user, not the path


@dataclass(slots=True)
class AckSample:
    """New data was acknowledged."""

    now: float
    acked_bytes: int  # by how much SND.UNA moved
    flight_size_bytes: int  # before this acknowledgement
    rtt_s: float | None  # None: this acknowledgement measured nothing
    srtt_s: float | None  # None until the first measurement
    cwnd_limited: bool  # the window was what held the sender back (RFC 7661's question)
    in_recovery: bool  # loss recovery goes on
    snd_una: int = 0  # after this acknowledgement; unwrapped, as all sequence numbers here
    snd_nxt: int = 0
    ece: bool = False  # the segment had the ECE flag (DCTCP counts them; others see `on_loss`)
    rate: RateSample | None = None  # None unless the control `wants_rate`


@dataclass(slots=True)
class LossSample:
    """Congestion was found: a loss, by acknowledgements (not by a time-out), or a mark of ECN."""

    now: float
    flight_size_bytes: int  # when it was found, before limited transmit
    ecn: bool = False  # True: told by ECE (RFC 3168), nothing was lost


@dataclass(slots=True)
class MarkSample:
    """Packets of ours were marked, as accurate ECN tells (RFC 9768): exact, not once a window."""

    now: float
    packets: int  # newly told of, bare ACKs of ours included
    text_bytes: int  # that these carried; estimated where the path lets no option through


@dataclass(slots=True)
class LostSegment:
    """A segment was considered lost, by an acknowledgement or a timer; for whom `wants_rate`."""

    now: float
    seq: int  # of its first byte, unwrapped
    size_bytes: int
    delivered_bytes: int  # C.delivered: by the connection so far
    tx_in_flight_bytes: int  # P.tx_in_flight: in flight when it was sent, itself included
    lost_bytes: int  # C.lost - P.lost: found lost since it was sent, itself included
    app_limited: bool  # P.app_limited


@dataclass(slots=True)
class Opening:
    """What is known of a connection when a control gets it: when its handshake is over, mostly."""

    now: float
    srtt_s: float | None  # None: its segments were sent twice, nothing was measured
    # Our SYN, or SYN-ACK, was sent again after a time-out, or came marked (RFC 5562 section 3.2)
    syn_lost: bool
    sack: bool  # SACK was agreed on: several losses in a round trip can be told apart
    seed: int  # for `core.rng.component_rng`, where a control needs chance
    # Of the control whose place it takes on a live connection; None: the connection is new
    cwnd_bytes: int | None = None
    ssthresh_bytes: int | None = None
    accurate_ecn: bool = False  # RFC 9768 was agreed on


class CongestionControl(Protocol):
    """The questions and answers. Sync, clock-free, one object per connection.

    It is made with the SMSS in bytes. The sender asks `cwnd_bytes` and `pacing_bps` before each
    segment; everything else is told.
    """

    @property
    def name(self) -> str:
        """Return its name, as users see it."""
        ...

    @property
    def wants_rate(self) -> bool:
        """True: samples carry a `RateSample`, for which each segment is kept a record of."""
        ...

    @property
    def wants_ecn(self) -> bool:
        """True: ECT is set, and `on_ack` sees ECE as it is on the wire (DCTCP, RFC 8257).

        Else ECE is `on_loss`, once per window, as RFC 3168 has it. Where accurate ECN (RFC 9768)
        was agreed on, `on_marks` is told, before `on_ack` of the same ACK; `ece` says so.
        """
        ...

    @property
    def wants_accurate_ecn(self) -> bool:
        """True: accurate ECN is asked for and agreed to, whatever `TcpConfig.ecn` says."""
        ...

    @property
    def ect(self) -> int:
        """Return the codepoint of what is sent where accurate ECN was agreed on.

        ECT(1) is for controls that answer marks as L4S has it (RFC 9331 section 4).
        """
        ...

    @property
    def owns_recovery(self) -> bool:
        """True: `cwnd_bytes` holds in recovery too; else PRR (RFC 9937) governs what that sends."""
        ...

    @property
    def cwnd_bytes(self) -> int:
        """Return how much may be in flight; at least one segment."""
        ...

    @property
    def ssthresh_bytes(self) -> int:
        """Return where slow start ends."""
        ...

    @property
    def pacing_bps(self) -> float | None:
        """Return how fast to send, in bits a second; None: as fast as the window lets."""
        ...

    @property
    def send_quantum_bytes(self) -> int | None:
        """Return the largest burst that a paced sender may hand down at once; None: its choice."""
        ...

    def on_established(self, opening: Opening) -> None:
        """The handshake is over; nothing else is told before this.

        Or the control takes the place of another, perhaps in the middle of a repair: then it may be
        told of the end of one, `on_recovery_exit`, of whose beginning it was not.
        """
        ...

    def on_segment_size(self, smss_bytes: int) -> None:
        """Full segments are that large from now on: the path's MTU is another than was thought."""
        ...

    def on_sent(self, sent_bytes: int, now: float) -> None:
        """New data was sent."""
        ...

    def on_ack(self, sample: AckSample) -> None:
        """New data was acknowledged; with a `RateSample`, also where only SACK blocks are new."""
        ...

    def on_loss(self, sample: LossSample) -> None:
        """Congestion was found: once per window of data."""
        ...

    def on_marks(self, sample: MarkSample) -> None:
        """Packets came marked; if `wants_ecn`, and accurate ECN was agreed on."""
        ...

    def on_segment_lost(self, lost: LostSegment) -> None:
        """One segment was found lost: if `wants_rate`, before `on_loss` or `on_ack` is told."""
        ...

    def on_recovery_exit(self, now: float) -> None:
        """All is acknowledged that was in flight when `on_loss` (or `on_rto`) was told."""
        ...

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """The retransmission timer ran out: all that was in flight is considered lost."""
        ...

    def on_undo(self, now: float) -> None:
        """The last `on_loss` or `on_rto` was a mistake (RFC 4015): have the window from before."""
        ...

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """Sending begins again after nothing was in flight for `idle_s`, however short.

        What follows is the control's to decide (RFC 5681 section 4.1: nothing up to `rto_s`).
        """
        ...


class ControlDefaults:
    """What most controls leave as it is; inherit it to write only what is different."""

    __slots__ = ()

    wants_rate = False
    wants_ecn = False
    wants_accurate_ecn = False
    ect = ECT_0
    owns_recovery = False
    ssthresh_bytes: int = INITIAL_SSTHRESH_BYTES
    pacing_bps: float | None = None
    send_quantum_bytes: int | None = None

    def on_established(self, opening: Opening) -> None:
        """Begin with the window that the constructor has set."""

    def on_segment_size(self, smss_bytes: int) -> None:
        """Keep the window, in bytes."""

    def on_sent(self, sent_bytes: int, now: float) -> None:
        """Be driven by acknowledgements alone."""

    def on_marks(self, sample: MarkSample) -> None:
        """Leave it to `on_ack`, which sees `ece`."""

    def on_segment_lost(self, lost: LostSegment) -> None:
        """Leave it to `on_loss`."""

    def on_recovery_exit(self, now: float) -> None:
        """Go on with the window of the recovery."""

    def on_undo(self, now: float) -> None:
        """Keep the smaller window: slower, never wrong."""

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """Keep the window."""


def initial_window_bytes(smss_bytes: int) -> int:
    """Return IW (RFC 6928 section 2): ten segments."""
    return min(10 * smss_bytes, max(2 * smss_bytes, 14600))
