"""A live connection watched and steered, and its congestion control exchanged.

Watching and steering put a `Live` around the control that the connection has, and take it away when
nobody needs it any more: a connection that nobody watches or steers pays nothing for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pystack.core.errors import ConfigError
from pystack.tcp import pacing
from pystack.tcp.congestion.around import Around
from pystack.tcp.congestion.base import (
    INITIAL_SSTHRESH_BYTES,
    AckSample,
    CongestionControl,
    LossSample,
)
from pystack.tcp.congestion.guarded import rate, whole_bytes

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# What made a sample: new data was acknowledged; congestion was found; the retransmission timer ran
# out; one of these was a mistake; the repair is over; it was time for one.
What = Literal["ack", "loss", "rto", "undo", "recovered", "interval"]
# connection, now, what, and the round trip that the ACK measured (None: it measured none)
Tell = Callable[["Connection", float, What, float | None], None]

MAX_CWND_BYTES: Final = INITIAL_SSTHRESH_BYTES


class TcpSample(NamedTuple):
    """A connection's sending side at one instant."""

    now: float  # seconds of the world's clock
    what: What  # what made it
    cwnd_bytes: int  # the congestion window that holds; a steered one where it is steered
    ssthresh_bytes: int
    srtt_s: float | None  # smoothed round trip; None until the first measurement
    rtt_s: float | None  # round trip that this ACK measured; None: it measured none
    min_rtt_s: float | None  # least of the last minutes; None until the first measurement
    in_flight_bytes: int  # sent, and neither acknowledged nor known to be lost (RFC 6675's pipe)
    delivered_bytes: int  # acknowledged so far, cumulatively or by SACK
    # bits a second: as the control measures it, where it does; else over the last round trip, or
    # over the interval. None until something can be told.
    delivery_rate_bps: float | None
    pacing_bps: float | None  # bits a second; None: not paced
    loss_state: str  # "open", "disorder", "recovery" or "loss", as Linux names them
    retransmits: int  # segments sent again so far
    queue_bytes: int | None  # that wait at the link that is watched; None: none is, or unknown
    queue_packets: int | None  # frames that wait there; None: none is watched


class Live(Around):
    """A control with those who watch it, and with what goes before its window and rate."""

    __slots__ = ("_conn", "steered_bps", "steered_bytes", "watchers")

    def __init__(self, conn: Connection) -> None:
        super().__init__(conn.congestion)
        self._conn = conn
        self.watchers: dict[object, Tell] = {}  # by what only their `end` knows
        self.steered_bytes: int | None = None  # None: the window is the control's
        self.steered_bps: float | None = None  # None: so is the rate

    @property
    def cwnd_bytes(self) -> int:
        """Return the window."""
        return self.inner.cwnd_bytes if self.steered_bytes is None else self.steered_bytes

    @property
    def pacing_bps(self) -> float | None:
        """Return the rate."""
        return self.inner.pacing_bps if self.steered_bps is None else self.steered_bps

    @property
    def send_quantum_bytes(self) -> int | None:
        """Return the largest burst: for a steered rate, what fits that."""
        return self.inner.send_quantum_bytes if self.steered_bps is None else None

    @property
    def owns_recovery(self) -> bool:
        """Tell whether the window holds in recovery too: a steered one does."""
        return self.steered_bytes is not None or self.inner.owns_recovery

    def on_segment_size(self, smss_bytes: int) -> None:
        """Hand it on; a steered window of less than a segment would let nothing go any more."""
        self.inner.on_segment_size(smss_bytes)
        self.fit(smss_bytes)

    def fit(self, smss_bytes: int) -> None:
        """Have room for a segment in a steered window."""
        if self.steered_bytes is not None:
            self.steered_bytes = max(self.steered_bytes, smss_bytes)

    def on_ack(self, sample: AckSample) -> None:
        """Hand it on, and tell."""
        self.inner.on_ack(sample)
        for tell in tuple(self.watchers.values()):  # of which one may end, or begin, another
            tell(self._conn, sample.now, "ack", sample.rtt_s)

    def on_loss(self, sample: LossSample) -> None:
        """Hand it on, and tell."""
        self.inner.on_loss(sample)
        self._tell(sample.now, "loss")

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Hand it on, and tell."""
        self.inner.on_rto(now, flight_size_bytes)
        self._tell(now, "rto")

    def on_undo(self, now: float) -> None:
        """Hand it on, and tell."""
        self.inner.on_undo(now)
        self._tell(now, "undo")

    def on_recovery_exit(self, now: float) -> None:
        """Hand it on, and tell."""
        self.inner.on_recovery_exit(now)
        self._tell(now, "recovered")

    def _tell(self, now: float, what: What) -> None:
        for tell in tuple(self.watchers.values()):
            tell(self._conn, now, what, None)


def watch(conn: Connection, tell: Tell) -> Callable[[], None]:
    """Have `tell` called after each thing that the control is told; what is returned ends it.

    It is called while the ACK is worked off: it may look, and must not touch the connection.
    Before the handshake is over it may begin, too.
    """
    live = _live(conn)
    own = object()
    live.watchers[own] = tell

    def end() -> None:
        live.watchers.pop(own, None)
        _tidy(conn, live)

    return end


def steer(conn: Connection, cwnd_bytes: int | None, pacing_bps: float | None) -> None:
    """Set the window, the rate, or both, over what the control says; None: what it says holds.

    It goes on being told of everything, and has its own window when it is let go. A steered window
    holds in recovery, and after a time-out. ConfigError: no window or rate that can be.
    """
    smss = conn.tcb.snd_mss
    if cwnd_bytes is not None:
        cwnd_bytes = whole_bytes("cwnd_bytes", cwnd_bytes, 1)
        if not smss <= cwnd_bytes <= MAX_CWND_BYTES:
            raise ConfigError(
                f"a window of {cwnd_bytes} bytes is not possible: give it one segment, which is "
                f"{smss} bytes here, to {MAX_CWND_BYTES} bytes"
            )
    if pacing_bps is not None and rate("pacing_bps", pacing_bps) is None:
        raise ConfigError("pacing_bps is infinite: leave it out, where the window alone is to hold")
    live = _live(conn)
    live.steered_bytes = cwnd_bytes
    live.steered_bps = None if pacing_bps is None else float(pacing_bps)
    _settle(conn)
    _tidy(conn, live)


def take_over(conn: Connection, control: CongestionControl) -> None:
    """Let a control have the connection, in place of the one it had; whoever watches goes on."""
    held = conn.congestion
    if isinstance(held, Live):
        held.inner = control
        held.fit(conn.tcb.snd_mss)  # which the handshake may have made larger
    else:
        conn.congestion = control
    _settle(conn)


def control_of(conn: Connection) -> CongestionControl:
    """Return the control that the connection has, without those who watch it."""
    held = conn.congestion
    return held.inner if isinstance(held, Live) else held


def delivered_bytes(conn: Connection) -> int:
    """Return what was acknowledged so far, cumulatively or by SACK."""
    return conn.bytes_acked + conn.recovery.info().sacked_bytes


def sample(
    conn: Connection,
    now: float,
    what: What,
    rtt_s: float | None = None,
    delivery_rate_bps: float | None = None,
    queue_bytes: int | None = None,
    queue_packets: int | None = None,
) -> TcpSample:
    """Return what the connection is like now. `delivery_rate_bps`: where its control has none."""
    recovery, rates, control, rtt = conn.recovery, conn.rates, conn.congestion, conn.rtt
    loss = recovery.info()
    return TcpSample(
        now,
        what,
        control.cwnd_bytes,
        control.ssthresh_bytes,
        rtt.srtt_s,
        rtt_s,
        rtt.min_rtt_s,
        recovery.pipe_bytes(),
        conn.bytes_acked + loss.sacked_bytes,
        delivery_rate_bps if rates is None else rates.last_rate_bps,
        None if conn.pacer is None else pacing.rate_bps(conn),
        loss.state,
        conn.retransmits,
        queue_bytes,
        queue_packets,
    )


def _live(conn: Connection) -> Live:
    held = conn.congestion
    if isinstance(held, Live):
        return held
    live = Live(conn)
    conn.congestion = live
    return live


def _tidy(conn: Connection, live: Live) -> None:
    """Take it away where nobody needs it."""
    if (
        conn.congestion is live
        and not live.watchers
        and live.steered_bytes is None
        and live.steered_bps is None
    ):
        conn.congestion = live.inner


def pace(conn: Connection) -> None:
    """Have a pacer, or none, now that the control wants another thing than before."""
    wanted = pacing.pacer_for(conn)
    if wanted is None or conn.pacer is None:
        conn.pacer = wanted


def _settle(conn: Connection) -> None:
    """Have what the control that holds now wants: a pacer or none, and no PRR over its window."""
    if conn.congestion.owns_recovery:
        conn.prr = None
    pace(conn)
