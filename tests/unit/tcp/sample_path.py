"""A path for controls that want rates: a sender of segments, a bottleneck with a queue, and ACKs.

No TCP, no frames, no bytes: each segment is sent once, and what is lost stays lost. It measures as
draft-ietf-ccwg-bbr has it (section 4.1), and stands for the sender where a control alone is tested.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from pystack.tcp.congestion.base import (
    AckSample,
    CongestionControl,
    LossSample,
    LostSegment,
    Opening,
    RateSample,
)

MSS = 1460
ISS = 2**32 - 100
START = 1000.0


@dataclass(slots=True)
class Sent:
    """One segment (P), with what was so when it was sent."""

    seq: int
    arrives_at: float  # of its ACK
    lost: bool
    sent_at: float
    first_sent_at: float
    delivered_at: float
    delivered_bytes: int
    lost_bytes: int
    tx_in_flight_bytes: int
    app_limited: bool


class SamplePath:
    """One flow of whole segments. All in order: a loss is found by the next ACK."""

    def __init__(
        self,
        control: CongestionControl,
        *,
        rate_bps: float,
        rtt_s: float,
        queue_bytes: int = 10**9,
        loses: Callable[[int], bool] = lambda _number: False,
        sack: bool = True,
        seed: int = 1,
    ) -> None:
        self.control = control
        self.rate_bps = rate_bps
        self.rtt_s = rtt_s
        self.queue_bytes = queue_bytes
        self.loses = loses  # told the number of the segment
        self.now = START
        self.delivered_bytes = self.lost_bytes = self.in_flight_bytes = 0
        self.states: list[str] = []  # of the control, each change
        self.on_ack: Callable[[AckSample], None] | None = None  # for who wants to look
        self._on_the_way: deque[Sent] = deque()
        self._seq = ISS
        self._count = 0
        self._send_at = START
        self._link_free_at = START
        self._first_sent_at = self._delivered_at = START
        self._recover: int | None = None
        control.on_established(Opening(START, rtt_s, syn_lost=False, sack=sack, seed=seed))

    def run(self, duration_s: float) -> float:
        """Send as fast as the control lets; return how much was delivered, in bits a second."""
        until, before = self.now + duration_s, self.delivered_bytes
        while True:
            ack_at = self._on_the_way[0].arrives_at if self._on_the_way else float("inf")
            open_window = self.in_flight_bytes + MSS <= self.control.cwnd_bytes
            send_at = max(self.now, self._send_at) if open_window else float("inf")
            at = min(ack_at, send_at)
            if at > until:
                self.now = until
                return (self.delivered_bytes - before) * 8 / duration_s
            self.now = at
            if ack_at <= send_at:
                self._acknowledge(self._on_the_way.popleft(), cwnd_limited=not open_window)
            else:
                self._send()
            self._note_state()

    def drain(self, idle_s: float) -> None:
        """Send no more until all is acknowledged, and for some time after that; then say so."""
        for sent in self._on_the_way:
            sent.app_limited = True
        while self._on_the_way:
            self.now = self._on_the_way[0].arrives_at
            self._acknowledge(self._on_the_way.popleft(), cwnd_limited=False)
        self.now += idle_s
        self.control.on_idle(self.now, idle_s, 4 * self.rtt_s)

    def _send(self) -> None:
        now, count = self.now, self._count
        self._count += 1
        if not self.in_flight_bytes:
            self._first_sent_at = self._delivered_at = now
        self.in_flight_bytes += MSS
        waiting_bytes = max(0.0, self._link_free_at - now) * self.rate_bps / 8
        lost = self.loses(count) or waiting_bytes + MSS > self.queue_bytes
        if not lost:
            self._link_free_at = max(now, self._link_free_at) + MSS * 8 / self.rate_bps
        self._on_the_way.append(
            Sent(
                self._seq,
                max(now, self._link_free_at) + self.rtt_s,
                lost,
                now,
                self._first_sent_at,
                self._delivered_at,
                self.delivered_bytes,
                self.lost_bytes,
                self.in_flight_bytes,
                app_limited=False,
            )
        )
        self._seq += MSS
        pacing_bps = self.control.pacing_bps
        if pacing_bps is not None:
            self._send_at = max(now, self._send_at) + MSS * 8 / pacing_bps
        self.control.on_sent(MSS, now)

    def _acknowledge(self, sent: Sent, *, cwnd_limited: bool) -> None:
        now, control = self.now, self.control
        self.in_flight_bytes -= MSS
        if sent.lost:
            self.lost_bytes += MSS
            lost_since = self.lost_bytes - sent.lost_bytes
            control.on_segment_lost(
                LostSegment(
                    now,
                    sent.seq,
                    MSS,
                    self.delivered_bytes,
                    sent.tx_in_flight_bytes,
                    lost_since,
                    sent.app_limited,
                )
            )
            if self._recover is None:
                self._recover = self._seq
                control.on_loss(LossSample(now, self.in_flight_bytes + MSS))
            return
        self.delivered_bytes += MSS
        self._delivered_at, self._first_sent_at = now, sent.sent_at
        interval_s = max(sent.sent_at - sent.first_sent_at, now - sent.delivered_at)
        newly = self.delivered_bytes - sent.delivered_bytes
        rate_bps = newly * 8 / interval_s if interval_s >= self.rtt_s * 0.999 else None
        rate = RateSample(
            rate_bps,
            self.delivered_bytes,
            sent.delivered_bytes,
            MSS,
            0,
            self.lost_bytes - sent.lost_bytes,
            self.in_flight_bytes,
            sent.tx_in_flight_bytes,
            sent.app_limited,
        )
        in_recovery = self._recover is not None
        if self._recover is not None and sent.seq >= self._recover:
            self._recover = None
            control.on_recovery_exit(now)
        sample = AckSample(
            now,
            MSS,
            self.in_flight_bytes + MSS,
            now - sent.sent_at,
            now - sent.sent_at,
            cwnd_limited,
            in_recovery,
            sent.seq + MSS,
            self._seq,
            rate=rate,
        )
        control.on_ack(sample)
        if self.on_ack is not None:
            self.on_ack(sample)

    def _note_state(self) -> None:
        mode = getattr(self.control, "mode", None)
        if mode is not None and (not self.states or self.states[-1] != mode.value):
            self.states.append(mode.value)
