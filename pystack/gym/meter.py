"""What is measured of a connection between two steps."""

from __future__ import annotations

from pystack import TcpStream
from pystack.core.errors import ConfigError
from pystack.gym.interval import Interval
from pystack.gym.scene import Scene
from pystack.link.link import Link
from pystack.link.pipe import Pipe
from pystack.tcp import live
from pystack.tcp.connection import Connection
from pystack.tcp.states import OVER


class Meter:
    """Counts from one interval to the next."""

    def __init__(self, scene: Scene) -> None:
        self.stream: TcpStream = scene.stream
        self._pipe = _direction(scene.bottleneck)
        self._connection: Connection = scene.stream._socket.connection
        self._rtts_s = 0.0
        self._measured = 0
        self._delivered_bytes = self._sent_bytes = self._again_bytes = 0
        live.watch(self._connection, self._told)

    @property
    def is_over(self) -> bool:
        """Tell whether the connection has ended."""
        return self._connection.state in OVER

    @property
    def segment_bytes(self) -> int:
        """Return how large full segments are."""
        return self._connection.tcb.snd_mss

    @property
    def srtt_s(self) -> float:
        """Return the smoothed round trip; 0: none was measured."""
        return self._connection.rtt.srtt_s or 0.0

    def interval(self, now: float, interval_s: float) -> Interval:
        """Return what has been since the last one."""
        conn = self._connection
        delivered_bytes = live.delivered_bytes(conn)
        delivered = max(delivered_bytes - self._delivered_bytes, 0)
        sent = conn.bytes_sent - self._sent_bytes
        again = conn.bytes_retransmitted - self._again_bytes
        step = Interval(
            now=now,
            interval_s=interval_s,
            throughput_bps=delivered * 8 / interval_s,
            rtt_s=self._rtts_s / self._measured if self._measured else self.srtt_s,
            srtt_s=self.srtt_s,
            min_rtt_s=conn.rtt.min_rtt_s or 0.0,
            cwnd_bytes=conn.congestion.cwnd_bytes,
            segment_bytes=self.segment_bytes,
            in_flight_bytes=max(conn.recovery.pipe_bytes(), 0),
            lost_share=min(again / sent, 1.0) if sent else 0.0,
            queue_packets=0 if self._pipe is None else self._pipe.waiting(),
        )
        self._rtts_s, self._measured = 0.0, 0
        self._delivered_bytes = max(delivered_bytes, self._delivered_bytes)
        self._sent_bytes, self._again_bytes = conn.bytes_sent, conn.bytes_retransmitted
        return step

    def _told(self, _conn: Connection, _now: float, _what: live.What, rtt_s: float | None) -> None:
        if rtt_s is not None:
            self._rtts_s += rtt_s
            self._measured += 1


def _direction(bottleneck: Link | Pipe | None) -> Pipe | None:
    if isinstance(bottleneck, Link):
        raise ConfigError("a bottleneck has two directions: give link.a_to_b or link.b_to_a")
    return bottleneck
