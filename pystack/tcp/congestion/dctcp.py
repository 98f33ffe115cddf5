"""DCTCP (RFC 8257): backs off by how much of a window was marked, for networks of one's own.

It needs a receiver that echoes each mark, and switches that mark early; where there is none, it is
NewReno. `on_ack` sees ECE as it is on the wire; with accurate ECN (RFC 9768) the marked bytes are
told, and any receiver will do.
"""

from typing import Final

from pystack.tcp.congestion.base import AckSample, MarkSample
from pystack.tcp.congestion.newreno import NewReno

G: Final = 1 / 16  # section 4.2, the estimation gain


class Dctcp(NewReno):
    """NewReno with an estimate of the fraction of bytes that are marked.

    A loss counts as everywhere, whatever is marked (section 3.5).
    """

    __slots__ = (
        "_bytes_acked",
        "_bytes_marked",
        "_bytes_told",
        "_reduced_until",
        "_window_end",
        "alpha",
    )

    name = "dctcp"
    wants_ecn = True

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self.alpha = 1.0  # section 3.3: the first mark halves
        self._bytes_acked = 0
        self._bytes_marked = 0
        self._bytes_told: int | None = None  # by accurate ECN, since the last ACK; None: nothing
        self._window_end: int | None = None  # None: no ACK was seen yet
        # SND.NXT at the reduction; None: all of that is ACKed
        self._reduced_until: int | None = None

    def on_ack(self, sample: AckSample) -> None:
        """Count, section 3.3 (1) to (8); react once per window, (9); else as NewReno (3.4)."""
        if self._window_end is None:
            self._window_end = sample.snd_nxt
        self._bytes_acked += sample.acked_bytes
        if self._bytes_told is not None:
            self._bytes_marked += self._bytes_told
            self._bytes_told = None
        elif sample.ece:
            self._bytes_marked += sample.acked_bytes
        if sample.snd_una > self._window_end:
            self._end_window(sample.snd_nxt)
        if self._reduced_until is not None and sample.snd_una > self._reduced_until:
            self._reduced_until = None
        if sample.ece and self._reduced_until is None and not sample.in_recovery:
            self._reduce(sample.snd_nxt)
        if self._reduced_until is None:
            super().on_ack(sample)

    def on_marks(self, sample: MarkSample) -> None:
        """Keep it for the ACK that comes with it."""
        self._bytes_told = (self._bytes_told or 0) + sample.text_bytes

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Start again: what was marked before is settled by that."""
        super().on_rto(now, flight_size_bytes)
        self._reduced_until = None

    def _end_window(self, snd_nxt: int) -> None:
        """(5) to (8)."""
        if self._bytes_acked:
            marked = min(self._bytes_marked / self._bytes_acked, 1.0)
            self.alpha += G * (marked - self.alpha)
        self._bytes_acked = self._bytes_marked = 0
        self._window_end = snd_nxt

    def _reduce(self, snd_nxt: int) -> None:
        """(9): cwnd = cwnd * (1 - alpha / 2)."""
        self._reduced_until = snd_nxt
        self.cwnd_bytes = max(int(self.cwnd_bytes * (1 - self.alpha / 2)), 2 * self._smss)
        self.ssthresh_bytes = self.cwnd_bytes
        self._acked_bytes = 0
