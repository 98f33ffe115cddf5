"""Prague (draft-briscoe-iccrg-prague-congestion-control): DCTCP's answer to marks, for all paths.

The window has fractions of segments: what may be in flight is rounded up, and the pacer holds the
rate. A window of 8.9 segments would else be one of 8, which costs a tenth of a slow line.

It wants accurate ECN (RFC 9768) and marks what it sends with ECT(1), so that a queue of L4S
(RFC 9332) may mark it early and often. Where the peer knows only RFC 3168, or no ECN, it is
NewReno, with ECT(0) or none. Losses are answered as NewReno does in any case.

Whether a queue that marks is one of L4S is not found out, as RFC 9331 (section 4.3) asks for on
paths that are not one's own.
"""

from math import ceil, inf
from typing import Final

from pystack.tcp.congestion.base import AckSample, LossSample, MarkSample, Opening
from pystack.tcp.congestion.newreno import NewReno
from pystack.wire.ecn import ECT_1

G: Final = 1 / 16  # of the moving average, as DCTCP
# Flows with shorter round trips grow, and back off, as if theirs were as long: their rates become
# independent of it (section 2.4.4). Not in their first rounds: short flows are as fast as they can.
REFERENCE_RTT_S: Final = 0.025
DEPENDENT_ROUNDS: Final = 500
SLOW_START_GAIN: Final = 2.0
UNMEASURED_RTT_S: Final = 0.001  # paces before there is a measurement, as BBR's draft has it
PACING_GAIN: Final = 1.03
BURST_S: Final = 0.00025
MIN_SEGMENTS: Final = 1.5  # of the window; with less one of two may starve, as measured
MIN_IN_FLIGHT_SEGMENTS: Final = 2  # one alone waits for the peer's delayed ACK


class Prague(NewReno):
    """Additive increase for what was not marked, and a decrease by half of what was.

    Both go by the virtual round trip: the measured one, or the reference if that is longer.
    """

    __slots__ = (
        "_bytes_acked",
        "_bytes_marked",
        "_bytes_told",
        "_exact_bytes",
        "_reduced_at",
        "_rounded_bytes",
        "_rounds",
        "_rounds_end",
        "_seen_ce",
        "_srtt_s",
        "_update_at",
        "alpha",
        "pacing_bps",
        "send_quantum_bytes",
        "wants_ecn",
    )

    name = "prague"
    wants_accurate_ecn = True
    ect = ECT_1

    def __init__(self, smss_bytes: int) -> None:
        super().__init__(smss_bytes)
        self.alpha = 1.0  # the first mark halves
        self.wants_ecn = False  # until accurate ECN was agreed on
        self.pacing_bps: float | None = inf
        self.send_quantum_bytes: int | None = smss_bytes
        self._srtt_s = 0.0  # 0: not measured
        self._seen_ce = False
        self._bytes_acked = 0  # since alpha was last brought up to date
        self._bytes_marked = 0
        self._bytes_told = 0  # marked, told since the last ACK
        self._update_at = -inf  # when alpha is to be brought up to date
        self._reduced_at = -inf  # when the window was last made smaller for marks
        self._rounds = 0  # since the first mark
        self._rounds_end = -1
        self._exact_bytes = 0.0  # the window, where it is ours
        self._rounded_bytes = 0  # `cwnd_bytes` as we have set it; else another reason has

    def on_established(self, opening: Opening) -> None:
        """Know whether marks will be told exactly."""
        super().on_established(opening)
        self.wants_ecn = opening.accurate_ecn
        self._srtt_s = opening.srtt_s or 0.0
        self._pace()

    def on_marks(self, sample: MarkSample) -> None:
        """Count; and make the window smaller at once, but once in a virtual round trip."""
        self._bytes_told += sample.text_bytes
        self._bytes_marked += sample.text_bytes
        if not self._seen_ce:
            self._seen_ce = True
            self._update_at = sample.now + self._virtual_rtt_s
        if sample.now - self._reduced_at >= self._virtual_rtt_s:
            self._reduced_at = sample.now
            self._set(self._window_bytes * (1 - self.alpha / 2))
            self.ssthresh_bytes = self.cwnd_bytes
            self._pace()

    def on_ack(self, sample: AckSample) -> None:
        """Grow by what was not marked, and pace by the round trip as it is now."""
        if sample.srtt_s is not None:
            self._srtt_s = sample.srtt_s
        if self._seen_ce:
            if sample.snd_una > self._rounds_end:
                self._rounds_end = sample.snd_nxt
                self._rounds += 1
            self._bytes_acked += sample.acked_bytes
            if sample.now >= self._update_at:
                self._update_alpha(sample.now)
        super().on_ack(sample)
        self._bytes_told = 0
        self._pace()

    def on_loss(self, sample: LossSample) -> None:
        """Halve; for what was marked in the same round trip the window is small enough."""
        super().on_loss(sample)
        self._reduced_at = sample.now
        self._pace()

    def on_rto(self, now: float, flight_size_bytes: int) -> None:
        """Start again."""
        super().on_rto(now, flight_size_bytes)
        self._pace()

    @property
    def _virtual_rtt_s(self) -> float:
        if self._rounds <= DEPENDENT_ROUNDS and self._srtt_s:
            return self._srtt_s
        return max(self._srtt_s, REFERENCE_RTT_S)

    @property
    def _window_bytes(self) -> float:
        """The window, with its fractions."""
        is_ours = self.cwnd_bytes == self._rounded_bytes
        return self._exact_bytes if is_ours else float(self.cwnd_bytes)

    def _set(self, window_bytes: float) -> None:
        smss = self._smss
        self._exact_bytes = max(window_bytes, MIN_SEGMENTS * smss)
        segments = max(ceil(self._exact_bytes / smss), MIN_IN_FLIGHT_SEGMENTS)
        self.cwnd_bytes = self._rounded_bytes = segments * smss

    def _update_alpha(self, now: float) -> None:
        if self._bytes_acked:
            marked = min(self._bytes_marked / self._bytes_acked, 1.0)
            self.alpha += G * (marked - self.alpha)
        self._bytes_acked = self._bytes_marked = 0
        self._update_at = now + self._virtual_rtt_s

    def _half_used(self, sample: AckSample) -> bool:
        """The exact window is used, too, where the pacer holds back what the rounded one lets."""
        exact = self.wants_ecn and self.cwnd_bytes == self._rounded_bytes
        if exact and sample.flight_size_bytes + self._smss > self._exact_bytes:
            return True
        return super()._half_used(sample)

    def _avoid_congestion(self, sample: AckSample) -> None:
        """Grow by a segment in a virtual round trip, in rate; not for marked bytes."""
        if not self.wants_ecn:
            super()._avoid_congestion(sample)
            return
        unmarked = max(sample.acked_bytes - self._bytes_told, 0)
        share = (self._srtt_s / self._virtual_rtt_s) ** 2 if self._srtt_s else 1.0
        window_bytes = self._window_bytes
        self._set(window_bytes + unmarked * self._smss * share / window_bytes)

    def _pace(self) -> None:
        srtt_s = self._srtt_s or UNMEASURED_RTT_S
        gain = SLOW_START_GAIN if self.cwnd_bytes < self.ssthresh_bytes else PACING_GAIN
        self.pacing_bps = gain * self._window_bytes * 8 / srtt_s
        self.send_quantum_bytes = max(int(self.pacing_bps / 8 * BURST_S), self._smss)
