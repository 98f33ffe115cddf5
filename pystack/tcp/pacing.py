"""Pacing: segments at the rate that the control names, in quanta of about a millisecond.

A connection has a `Pacer` where its control names a rate when the handshake is over, or where
`TcpConfig.pacing` asks for one: then, as Linux's fq does it, the rate is that of the window, and a
margin. The waiting is a timer like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pystack.tcp.tcb import Timer

if TYPE_CHECKING:
    from pystack.tcp.connection import Connection

# As Linux's tcp_pacing_ss_ratio and tcp_pacing_ca_ratio: the window may double in a round trip of
# slow start, and grow a little in congestion avoidance.
SLOW_START_GAIN: Final = 2.0
AVOIDANCE_GAIN: Final = 1.2
QUANTUM_S: Final = 0.001
MIN_QUANTUM_SEGMENTS: Final = 2
MAX_QUANTUM_BYTES: Final = 65536
# However slow the rate is, for what may come of a peer's lies about time: as Linux's fq
LONGEST_WAIT_S: Final = 1.0
# Sums of instants differ from one another by less than this when they mean the same.
_EPSILON_S: Final = 1e-9


class Pacer:
    """When the next quantum may go."""

    __slots__ = ("next_at",)

    def __init__(self) -> None:
        self.next_at = 0.0

    def room_bytes(self, conn: Connection, now: float) -> int:
        """Return how much may go at once now; 0: the timer is set for the rest."""
        if now < self.next_at - _EPSILON_S:
            self.next_at = min(self.next_at, now + LONGEST_WAIT_S)
            conn.tcb.timers[Timer.PACING] = self.next_at
            return 0
        quantum_bytes = conn.congestion.send_quantum_bytes
        if quantum_bytes is not None:
            return max(quantum_bytes, conn.tcb.snd_mss)
        quantum_bytes = int(min(rate_bps(conn) / 8 * QUANTUM_S, MAX_QUANTUM_BYTES))
        return max(quantum_bytes, MIN_QUANTUM_SEGMENTS * conn.tcb.snd_mss)

    def on_sent(self, conn: Connection, size_bytes: int, now: float) -> None:
        """Note that this much was sent: it occupies the path for a while."""
        takes_s = size_bytes * 8 / rate_bps(conn)
        if now < self.next_at:
            self.next_at += takes_s  # what had to go out at once, whatever the rate
            return
        # A timer that came late is made up for by half of what was sent, as in Linux; silence is
        # not: it is no licence for a burst.
        self.next_at = now + takes_s - min(takes_s / 2, now - self.next_at)


def pacer_for(conn: Connection) -> Pacer | None:
    """Return a pacer where one is wanted."""
    if conn.congestion.pacing_bps is None and not conn.config.pacing:
        return None
    return Pacer()


def rate_bps(conn: Connection) -> float:
    """Return the rate that holds now."""
    congestion = conn.congestion
    named_bps = congestion.pacing_bps
    if named_bps is not None:
        return max(named_bps, 1.0)
    srtt_s = conn.rtt.srtt_s
    if not srtt_s:
        return float("inf")  # no round trip that a window could be spread over
    cwnd_bytes = congestion.cwnd_bytes
    slow_start = cwnd_bytes < congestion.ssthresh_bytes / 2
    return (SLOW_START_GAIN if slow_start else AVOIDANCE_GAIN) * cwnd_bytes * 8 / srtt_s
