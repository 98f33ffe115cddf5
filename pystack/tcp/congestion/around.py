"""A congestion control around another: it hands on all that it is told, and answers as that does.

Those that look after a control (`guarded.py`) or look into one (`pystack.tcp.live`) are such. A
connection has one only where somebody needs it, so that the others pay nothing for it.
"""

from pystack.tcp.congestion.base import (
    AckSample,
    CongestionControl,
    LossSample,
    LostSegment,
    MarkSample,
    Opening,
)


class Around:
    """What is in it is `inner`; whatever is asked that no control must have, `inner` answers."""

    __slots__ = ("inner",)

    def __init__(self, inner: CongestionControl) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """Return the name of what is in it."""
        return self.inner.name

    @property
    def wants_rate(self) -> bool:
        """Tell what it wants."""
        return self.inner.wants_rate

    @property
    def wants_ecn(self) -> bool:
        """Tell what it wants."""
        return self.inner.wants_ecn

    @property
    def wants_accurate_ecn(self) -> bool:
        """Tell what it wants."""
        return self.inner.wants_accurate_ecn

    @property
    def ect(self) -> int:
        """Return its codepoint."""
        return self.inner.ect

    @property
    def owns_recovery(self) -> bool:
        """Tell what it does."""
        return self.inner.owns_recovery

    @property
    def cwnd_bytes(self) -> int:
        """Return its window."""
        return self.inner.cwnd_bytes

    @property
    def ssthresh_bytes(self) -> int:
        """Return where its slow start ends."""
        return self.inner.ssthresh_bytes

    @property
    def pacing_bps(self) -> float | None:
        """Return its rate."""
        return self.inner.pacing_bps

    @property
    def send_quantum_bytes(self) -> int | None:
        """Return its largest burst."""
        return self.inner.send_quantum_bytes

    def on_established(self, opening: Opening) -> None:
        """Hand it on."""
        self.inner.on_established(opening)

    def on_segment_size(self, smss_bytes: int) -> None:
        """Hand it on."""
        self.inner.on_segment_size(smss_bytes)

    def on_sent(self, sent_bytes: int, now: float) -> None:
        """Hand it on."""
        self.inner.on_sent(sent_bytes, now)

    def on_ack(self, sample: AckSample) -> None:
        """Hand it on."""
        self.inner.on_ack(sample)

    def on_loss(self, sample: LossSample) -> None:
        """Hand it on."""
        self.inner.on_loss(sample)

    def on_marks(self, sample: MarkSample) -> None:
        """Hand it on."""
        self.inner.on_marks(sample)

    def on_segment_lost(self, lost: LostSegment) -> None:
        """Hand it on."""
        self.inner.on_segment_lost(lost)

    def on_recovery_exit(self, now: float) -> None:
        """Hand it on."""
        self.inner.on_recovery_exit(now)

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Hand it on."""
        self.inner.on_rto(now, flight_size_bytes)

    def on_undo(self, now: float) -> None:
        """Hand it on."""
        self.inner.on_undo(now)

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """Hand it on."""
        self.inner.on_idle(now, idle_s, rto_s)

    def __getattr__(self, name: str) -> object:
        """Return what only the control itself has: its own variables, for whoever looks at them."""
        if name == "inner":  # asked for by copy and pickle before there is one
            raise AttributeError(name)
        return getattr(self.inner, name)
