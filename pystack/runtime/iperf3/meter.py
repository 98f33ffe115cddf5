"""What is read off the streams while a test runs: once every second, and at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import trio

from pystack.runtime.iperf3.flows import Flow, difference
from pystack.runtime.iperf3.results import StreamResult

_LAST_SHARE: Final = 0.1  # a last interval that is shorter than this is not worth a line
MAX_INTERVALS: Final = 10_000  # further ones are not kept


@dataclass(frozen=True, slots=True)
class Interval:
    """What has gone by on all streams between two instants of the test."""

    start_s: float
    end_s: float
    streams: Sequence[StreamResult]
    cwnd_bytes: Sequence[int | None]  # of each stream, at the end; None: it is not known here
    omitted: bool  # it does not count

    @property
    def total_bytes(self) -> int:
        """Return the bytes of all streams."""
        return sum(stream.total_bytes for stream in self.streams)

    @property
    def bitrate_bps(self) -> float:
        """Return the bits per second of all streams; 0 where no time has passed."""
        seconds = self.end_s - self.start_s
        return self.total_bytes * 8 / seconds if seconds > 0 else 0.0


class Meter:
    """Reads all streams of one end. A test begins when it is made."""

    def __init__(
        self,
        flows: Sequence[Flow],
        interval_s: float,
        omit_s: float,
        on: Callable[[Interval], None],
    ) -> None:
        """`on` is told of each interval when it is over."""
        self.intervals: list[Interval] = []
        self._flows = flows
        self._interval_s = interval_s
        self._omit_s = omit_s
        self._on = on
        self._began_at = self._last_at = trio.current_time()
        # Counts at the last reading, and where what counts began
        self._last = self._first = [flow.count() for flow in flows]
        self._omitting = omit_s > 0

    async def run(self) -> None:
        """Read every interval, and where what is omitted ends; until cancelled."""
        if self._omitting:
            while self._last_at < self._began_at + self._omit_s:
                end_at = self._began_at + self._omit_s
                await trio.sleep_until(min(self._last_at + self._interval_s, end_at))
                self._read()
            self._omitting = False
            self._began_at, self._first = self._last_at, self._last
        while True:
            await trio.sleep_until(self._last_at + self._interval_s)
            self._read()

    def finish(self) -> list[StreamResult]:
        """Read once more, for the last and perhaps shorter interval; return the whole."""
        now = trio.current_time()
        if now - self._last_at >= self._interval_s * _LAST_SHARE or not self.intervals:
            self._read()
        counts = [flow.count() for flow in self._flows]
        pairs = zip(counts, self._first, strict=True)
        return [difference(last, first, 0.0, now - self._began_at) for last, first in pairs]

    def _read(self) -> None:
        now = trio.current_time()
        start_s, end_s = self._last_at - self._began_at, now - self._began_at
        counts = [flow.count() for flow in self._flows]
        interval = Interval(
            start_s,
            end_s,
            [
                difference(later, earlier, start_s, end_s)
                for later, earlier in zip(counts, self._last, strict=True)
            ],
            [flow.cwnd_bytes() for flow in self._flows],
            self._omitting,
        )
        self._last, self._last_at = counts, now
        if len(self.intervals) < MAX_INTERVALS:
            self.intervals.append(interval)
            self._on(interval)
