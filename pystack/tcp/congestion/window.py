"""What the controls have in common that grow a window until something is lost (RFC 5681).

Slow start, the window after a time-out and after idle time, windows that are not used (RFC 7661),
alternative back-off (RFC 8511), and going back after a mistake (RFC 4015). A control adds how it
avoids congestion. `cwnd_bytes` and `ssthresh_bytes` are plain attributes: they are read for each
segment.
"""

from abc import abstractmethod
from typing import Final

from pystack.tcp.congestion.base import (
    INITIAL_SSTHRESH_BYTES,
    AckSample,
    ControlDefaults,
    LossSample,
    Opening,
    initial_window_bytes,
)

NON_VALIDATED_S: Final = 300.0  # RFC 7661 section 4.1, the non-validated period


class WindowControl(ControlDefaults):
    """Slow start, and what ends it; subclasses say how congestion is avoided."""

    __slots__ = (
        "_after_rto",
        "_before",
        "_most_flight_bytes",
        "_not_validated_since",
        "_round_end",
        "_smss",
        "cwnd_bytes",
        "ssthresh_bytes",
    )

    # what is left of FlightSize after a loss, and after a mark of ECN
    beta = 0.5  # RFC 5681 section 3.1 (4)
    beta_ecn = 0.8  # RFC 8511 section 3

    def __init__(self, smss_bytes: int) -> None:
        self._smss = smss_bytes
        self.cwnd_bytes = initial_window_bytes(smss_bytes)
        self.ssthresh_bytes = INITIAL_SSTHRESH_BYTES
        self._after_rto = False  # slow start goes on that began with a time-out
        self._before: tuple[int, int] | None = None  # cwnd, ssthresh; None: nothing to undo
        self._most_flight_bytes = 0  # in the round trip that ends at `_round_end`
        self._round_end = -1
        self._not_validated_since: float | None = None  # None: more than half the window is used

    def on_established(self, opening: Opening) -> None:
        """Begin with one segment where a SYN had to be sent again (RFC 5681 section 3.1).

        Where there was another control before, go on with its window.
        """
        if opening.cwnd_bytes is not None and opening.ssthresh_bytes is not None:
            self.cwnd_bytes = max(opening.cwnd_bytes, self._smss)
            self.ssthresh_bytes = max(opening.ssthresh_bytes, 2 * self._smss)
        elif opening.syn_lost:
            self.cwnd_bytes = self._smss

    def on_segment_size(self, smss_bytes: int) -> None:
        """Grow by such segments from now on; the window, in bytes, stays (as Linux has it)."""
        self._smss = smss_bytes

    def on_ack(self, sample: AckSample) -> None:
        """Grow, if the window was what held the sender back (RFC 7661 section 4.4)."""
        if sample.in_recovery:
            return
        if not sample.cwnd_limited and not self._half_used(sample):
            self._not_used_up(sample)
            return
        self._not_validated_since = None
        if self.cwnd_bytes < self.ssthresh_bytes:
            self._slow_start(sample)
        else:
            self._avoid_congestion(sample)

    def on_loss(self, sample: LossSample) -> None:
        """Back off from what was in flight, (4). What recovery sends is the sender's business."""
        self._remember()
        smss = self._smss
        reduced = int(sample.flight_size_bytes * (self.beta_ecn if sample.ecn else self.beta))
        self.ssthresh_bytes = max(reduced, 2 * smss)
        # With ECN nothing has left the path: one segment at a time may be too much already.
        self.cwnd_bytes = max(reduced, smss if sample.ecn else 2 * smss)
        self._after_rto = False

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Start again from the loss window, one segment."""
        self._remember()
        self.ssthresh_bytes = max(int(flight_size_bytes * self.beta), 2 * self._smss)
        self.cwnd_bytes = self._smss
        self._after_rto = True

    def on_undo(self, now: float) -> None:
        """Have at least the window from before.

        RFC 4015 section 3.2 has slow start lead there; like Linux we go at once, as PRR does not
        let more out in a burst than was acknowledged.
        """
        if self._before is not None:
            cwnd_bytes, ssthresh_bytes = self._before
            self.cwnd_bytes = max(self.cwnd_bytes, cwnd_bytes)
            self.ssthresh_bytes = max(self.ssthresh_bytes, ssthresh_bytes)
            self._before = None
            self._after_rto = False

    def on_idle(self, now: float, idle_s: float, rto_s: float) -> None:
        """Restart from RW where the path was not tried for longer than the RTO (section 4.1)."""
        if idle_s > rto_s:
            self._restart_from(min(initial_window_bytes(self._smss), self.cwnd_bytes))

    @abstractmethod
    def _avoid_congestion(self, sample: AckSample) -> None:
        """Grow, slowly."""

    def _slow_start(self, sample: AckSample) -> None:
        # RFC 3465 limits L to 2 segments; an ACK of a receiver that takes super-frames covers
        # 45, so like Linux we count all, except where a time-out has just shown congestion.
        grown = self._smss if self._after_rto else sample.acked_bytes
        self.cwnd_bytes += min(sample.acked_bytes, grown)
        if self.cwnd_bytes >= self.ssthresh_bytes:
            self._after_rto = False

    def _half_used(self, sample: AckSample) -> bool:
        """In slow start a window counts as used that was half full (RFC 7661 section 4.2; Linux).

        What doubles within a round trip would else hold a sender back that has twice as much to
        send in the next.
        """
        if sample.snd_una > self._round_end:
            self._round_end = sample.snd_nxt
            self._most_flight_bytes = 0
        self._most_flight_bytes = max(self._most_flight_bytes, sample.flight_size_bytes)
        return self.cwnd_bytes < min(self.ssthresh_bytes, 2 * self._most_flight_bytes)

    def _not_used_up(self, sample: AckSample) -> None:
        """RFC 7661 section 4.4.3: a window nobody has used for five minutes is given up in part."""
        if 2 * sample.flight_size_bytes >= self.cwnd_bytes:
            self._not_validated_since = None
        elif self._not_validated_since is None:
            self._not_validated_since = sample.now
        elif sample.now - self._not_validated_since > NON_VALIDATED_S:
            self._not_validated_since = None
            half = max(self.cwnd_bytes // 2, initial_window_bytes(self._smss))
            self._restart_from(min(half, self.cwnd_bytes))

    def _restart_from(self, cwnd_bytes: int) -> None:
        if cwnd_bytes < self.cwnd_bytes:
            # Slow start may go back to near where it was (RFC 7661 section 4.4.3).
            self.ssthresh_bytes = max(self.ssthresh_bytes, self.cwnd_bytes * 3 // 4)
            self.cwnd_bytes = cwnd_bytes

    def _remember(self) -> None:
        self._before = self.cwnd_bytes, self.ssthresh_bytes
