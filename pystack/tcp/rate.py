"""Delivery rate estimation (draft-ietf-ccwg-bbr, section 4.1), for controls that `wants_rate`.

Each record of the scoreboard carries a stamp: how much had been delivered when it was sent. When it
is acknowledged, what has been delivered since, over the longer of the time it took to send that and
the time it took to deliver it, is a sample of the rate.
"""

from __future__ import annotations

from pystack.tcp.congestion.base import LostSegment, RateSample
from pystack.tcp.scoreboard import RateStamp, Record


class RateEstimator:
    """The connection's C.* variables, and the sample that the ACK of the moment makes."""

    __slots__ = (
        "_delivered_at",
        "_first_sent_at",
        "_newest",
        "_newest_order",
        "_newly_delivered_bytes",
        "_newly_lost_bytes",
        "_send_elapsed_s",
        "app_limited_until",
        "delivered_bytes",
        "last_rate_bps",
        "lost_bytes",
        "lost_segments",
    )

    def __init__(self, now: float) -> None:
        self.delivered_bytes = 0  # C.delivered
        self.lost_bytes = 0  # C.lost
        self.app_limited_until = 0  # C.app_limited: the value of C.delivered that ends it; 0: off
        self.last_rate_bps: float | None = None  # None until the first sample
        self.lost_segments: list[LostSegment] = []  # not yet told to the control
        self._delivered_at = now  # C.delivered_time
        self._first_sent_at = now  # C.first_sent_time
        self._newest: RateStamp | None = None  # of the newest record of this ACK; None: none yet
        self._newest_order = (0, 0)
        self._send_elapsed_s = 0.0
        self._newly_delivered_bytes = self._newly_lost_bytes = 0

    def sent(self, record: Record, in_flight_bytes: int, now: float) -> None:
        """Stamp what goes out; `in_flight_bytes` with it."""
        if in_flight_bytes <= record.end - record.seq:
            self._first_sent_at = self._delivered_at = now  # nothing else was in flight
        record.stamp = RateStamp(
            self.delivered_bytes,
            self._delivered_at,
            self._first_sent_at,
            self.lost_bytes,
            in_flight_bytes,
            app_limited=self.app_limited_until > 0,
        )

    def adopt(self, record: Record, in_flight_bytes: int) -> None:
        """Stamp what went out before anything was measured; `in_flight_bytes` now.

        What has arrived since the beginning counts. That may be less than the path can do, which
        `app_limited` says of it.
        """
        record.stamp = RateStamp(
            self.delivered_bytes,
            self._delivered_at,
            record.xmit_at,
            self.lost_bytes,
            in_flight_bytes,
            app_limited=True,
        )

    def delivered(self, record: Record, now: float) -> None:
        """Take note of a record that is acknowledged, cumulatively or selectively."""
        size = record.end - record.seq
        self.delivered_bytes += size
        self._newly_delivered_bytes += size
        self._delivered_at = now
        stamp = record.stamp
        order = (record.serial, record.end)
        if stamp is not None and (self._newest is None or order > self._newest_order):
            self._newest, self._newest_order = stamp, order
            self._send_elapsed_s = record.xmit_at - stamp.first_sent_at
            self._first_sent_at = record.xmit_at

    def lost(self, record: Record, now: float) -> None:
        """Take note of a record that was found lost."""
        size = record.end - record.seq
        self.lost_bytes += size
        self._newly_lost_bytes += size
        stamp = record.stamp
        if stamp is not None:
            self.lost_segments.append(
                LostSegment(
                    now,
                    record.seq,
                    size,
                    self.delivered_bytes,
                    stamp.tx_in_flight_bytes,
                    self.lost_bytes - stamp.lost_bytes,
                    stamp.app_limited,
                )
            )

    def take_lost(self) -> list[LostSegment]:
        """Return what was found lost and not told yet."""
        if not self.lost_segments:
            return []
        lost, self.lost_segments = self.lost_segments, []
        return lost

    def limited_by_user(self, in_flight_bytes: int) -> None:
        """There is nothing to send: what is measured from here on is the user's rate (4.1.2.4)."""
        self.app_limited_until = self.delivered_bytes + in_flight_bytes or 1

    def sample(self, in_flight_bytes: int, min_rtt_s: float | None, now: float) -> RateSample:
        """Return what this ACK tells, and begin anew; `in_flight_bytes` after it."""
        if self.app_limited_until and self.delivered_bytes > self.app_limited_until:
            self.app_limited_until = 0
        stamp, rate_bps = self._newest, None
        prior, lost, tx_in_flight, app_limited = self.delivered_bytes, 0, 0, False
        if stamp is not None:
            prior, tx_in_flight = stamp.delivered_bytes, stamp.tx_in_flight_bytes
            lost, app_limited = self.lost_bytes - stamp.lost_bytes, stamp.app_limited
            # What was sent too fast for the path is not faster than the path: the longer of both.
            interval_s = max(self._send_elapsed_s, now - stamp.delivered_at)
            if interval_s > 0 and (min_rtt_s is None or interval_s >= min_rtt_s - 1e-9):
                rate_bps = (self.delivered_bytes - prior) * 8 / interval_s
                self.last_rate_bps = rate_bps
        sample = RateSample(
            rate_bps,
            self.delivered_bytes,
            prior,
            self._newly_delivered_bytes,
            self._newly_lost_bytes,
            lost,
            in_flight_bytes,
            tx_in_flight,
            app_limited,
        )
        self._newest = None
        self._newly_delivered_bytes = self._newly_lost_bytes = 0
        return sample
