"""Token bucket filter, tc-tbf(8): bytes pass at a rate, with bursts up to the bucket.

A bucket is one instant, `full_at`: when it would be full again. It holds
`size - (full_at - now) * rate` tokens, so a frame may go from
`full_at - (size - its bytes) / rate` on, and puts `full_at` off by its bytes / rate. What was taken
since the bucket was full is counted in bytes, so nothing is lost to rounding, however long it runs.
"""

import math

from pystack.core.errors import ConfigError
from pystack.core.instants import GRACE_S
from pystack.core.rng import Random
from pystack.core.units import parse_rate_bps, parse_size_bytes, parse_time_s
from pystack.link.qdisc import words
from pystack.link.qdisc.base import OneFifo
from pystack.link.qdisc.words import Word
from pystack.wire.frame import Frame


class Bucket:
    """Tokens for bytes, full at first."""

    __slots__ = ("_since", "_taken_bytes", "full_at", "seconds_per_byte", "size_bytes")

    def __init__(self, rate_bps: float, size_bytes: int) -> None:
        self.seconds_per_byte = 8 / rate_bps
        self.size_bytes = size_bytes
        self.full_at = -math.inf
        self._since = -math.inf  # when it was full last
        self._taken_bytes = 0  # since then

    def ready_at(self, size: int) -> float:
        """Return from when on a frame of `size` bytes may go."""
        return self.full_at - (self.size_bytes - size) * self.seconds_per_byte

    def take(self, size: int, now: float) -> None:
        """Use up the tokens of a frame that goes now."""
        if self.full_at - GRACE_S <= now:
            self._since = now
            self._taken_bytes = 0
        self._taken_bytes += size
        self.full_at = self._since + self._taken_bytes * self.seconds_per_byte


class Tbf(OneFifo):
    """A shaper with a FIFO, limited in bytes, in front of its buckets."""

    __slots__ = ("_buckets", "_mpu_bytes", "largest_bytes", "limit_bytes")

    def __init__(
        self,
        *,
        rate_bps: float,
        burst_bytes: int,
        limit_bytes: int,
        peakrate_bps: float | None = None,  # None: a burst goes as fast as the link can
        mtu_bytes: int = 1514,
        mpu_bytes: int = 0,
    ) -> None:
        """`mtu_bytes`: the size of the peak rate's bucket. `mpu_bytes`: the least a frame costs.

        Raises ConfigError for a bucket that no frame fits in, or a peak rate below the rate.
        """
        super().__init__()
        if burst_bytes < 1 or mtu_bytes < 1:
            raise ConfigError("a bucket of 0 bytes lets nothing through")
        self._buckets = [Bucket(rate_bps, burst_bytes)]
        if peakrate_bps is not None:
            if peakrate_bps <= rate_bps:
                raise ConfigError("the peakrate must be above the rate")
            self._buckets.append(Bucket(peakrate_bps, mtu_bytes))
        self.largest_bytes = min(bucket.size_bytes for bucket in self._buckets)
        if mpu_bytes > self.largest_bytes:
            raise ConfigError(f"an mpu of {mpu_bytes} bytes is larger than the bucket")
        self.limit_bytes = limit_bytes
        self._mpu_bytes = mpu_bytes

    def enqueue(self, frame: Frame, now: float) -> None:
        """Append it, if there is room, and if there can ever be tokens for it."""
        size = len(frame.data)
        if size > self.largest_bytes:
            self.report("tbf_too_big", frame, now)
        elif self._bytes + size > self.limit_bytes:
            self.report("tbf_full", frame, now)
        else:
            self._frames.append(frame)
            self._bytes += size

    def dequeue(self, now: float) -> Frame | None:
        """Return the oldest if there are tokens for it."""
        if not self._frames:
            return None
        size = len(self._frames[0].data)
        cost = max(size, self._mpu_bytes)
        for bucket in self._buckets:
            if bucket.ready_at(cost) - GRACE_S > now:
                return None
        for bucket in self._buckets:
            bucket.take(cost, now)
        self._bytes -= size
        return self._frames.popleft()

    def next_at(self, now: float) -> float:
        """Return when there will be tokens for the oldest."""
        if not self._frames:
            return math.inf
        cost = max(len(self._frames[0].data), self._mpu_bytes)
        return max(now, *[bucket.ready_at(cost) for bucket in self._buckets])


def tbf(
    _: Random,
    *,
    rate: Word,
    burst: Word,
    limit: Word | None = None,
    latency: Word | None = None,
    peakrate: Word | None = None,
    mtu: Word = 1514,
    mpu: Word = 0,
) -> Tbf:
    """`tbf rate RATE burst BYTES limit BYTES|latency TIME [peakrate RATE [mtu BYTES]] [mpu BYTES]`.

    `latency` is the longest time in the queue: it makes a limit of what leaves in that time.
    """
    if (limit is None) == (latency is None):
        raise ConfigError("it needs either a limit or a latency")
    rate_bps, burst_bytes = parse_rate_bps(rate), parse_size_bytes(burst)
    peakrate_bps = None if peakrate is None else parse_rate_bps(peakrate)
    mtu_bytes = parse_size_bytes(mtu)
    if latency is not None:
        latency_s = parse_time_s(latency)
        limit_bytes = rate_bps / 8 * latency_s + burst_bytes
        if peakrate_bps is not None:
            limit_bytes = min(limit_bytes, peakrate_bps / 8 * latency_s + mtu_bytes)
        limit = round(limit_bytes)
    assert limit is not None
    return Tbf(
        rate_bps=rate_bps,
        burst_bytes=burst_bytes,
        limit_bytes=words.count("limit", parse_size_bytes(limit)),
        peakrate_bps=peakrate_bps,
        mtu_bytes=mtu_bytes,
        mpu_bytes=parse_size_bytes(mpu),
    )
