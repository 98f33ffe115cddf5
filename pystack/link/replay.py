"""Replay: a port on which the frames of a capture arrive again, at their instants.

The capture is a pcap or pcapng file of Ethernet frames, from whomever.
"""

from collections.abc import Sequence
from pathlib import Path

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink, PortBase
from pystack.wire.frame import Frame

# Seconds since the first frame, and the bytes
Recording = Sequence[tuple[float, bytes]]


def read_pcap(path: str | Path) -> Recording:
    """Return what a capture file holds; frames that it holds in part are left out. ConfigError."""
    from pystack.observe.captures import link_types  # only where something is replayed
    from pystack.observe.captures.capture_file import read_capture

    recording: list[tuple[float, bytes]] = []
    began_ns: int | None = None
    with read_capture(path) as capture:
        for frame in capture:
            if frame.link_type != link_types.ETHERNET:
                raise ConfigError(f"the capture {path} does not hold Ethernet frames")
            if began_ns is None:
                began_ns = frame.at_ns
            if len(frame.data) == frame.original_length:
                recording.append((max(frame.at_ns - began_ns, 0) / 1e9, frame.data))
    return recording


class ReplayPort(PortBase):
    """A port whose other end is the past: it begins when a sink is attached."""

    fills_checksums = True  # nobody looks at what is sent here

    def __init__(
        self, scheduler: Scheduler, recording: Recording, *, mtu_bytes: int = 1500
    ) -> None:
        super().__init__(mtu_bytes)
        self._scheduler = scheduler
        self._recording = sorted(recording, key=lambda entry: entry[0])
        self._began_at: float | None = None  # None: nothing has been attached yet

    def attach(self, sink: FrameSink) -> None:
        """Give the frames to `sink`, the first one at this instant."""
        super().attach(sink)
        if self._began_at is None:
            self._began_at = self._scheduler.now
            self._expect(0)

    def send(self, frame: Frame, now: float) -> None:
        """Count what is said to the past, which does not listen."""
        self.counters.add("replay_not_listening")

    def close(self) -> None:
        """Deliver nothing any more."""
        super().close()
        self._recording = []

    def _expect(self, number: int) -> None:
        if number < len(self._recording):
            assert self._began_at is not None
            # One event at a time: a long recording does not fill the heap.
            at = self._began_at + self._recording[number][0]
            self._scheduler.post(at, self._deliver, number)

    def _deliver(self, number: int, now: float) -> None:
        if not self.closed:
            self.sink(Frame(self._recording[number][1]), now)
            self._expect(number + 1)
