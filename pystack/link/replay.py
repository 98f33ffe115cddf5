"""Replay: a port on which the frames of a capture arrive again, at their instants.

The capture is a pcap file of Ethernet frames (both byte orders, micro- or nanoseconds), as tcpdump,
Wireshark and `pystack.observe.pcap` write them; not pcapng.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.link.port import FrameSink, PortBase
from pystack.wire.frame import Frame

_FILE_HEADER_BYTES: Final = 24
_ETHERNET: Final = 1  # LINKTYPE_ETHERNET
# The magic number as read in little endian: how the other numbers are written, and the time's unit
_MAGIC: Final = {
    0xA1B2C3D4: ("<", 1e-6),
    0xA1B23C4D: ("<", 1e-9),
    0xD4C3B2A1: (">", 1e-6),
    0x4D3CB2A1: (">", 1e-9),
}

# Seconds since the first frame, and the bytes
Recording = Sequence[tuple[float, bytes]]


def read_pcap(path: str | Path) -> Recording:
    """Return what a pcap file holds; frames that it holds in part are left out. ConfigError."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read the capture {path}: {error.strerror}") from None
    magic = int.from_bytes(data[:4], "little")
    if len(data) < _FILE_HEADER_BYTES or magic not in _MAGIC:
        raise ConfigError(f"{path} is not a pcap file")
    order, unit_s = _MAGIC[magic]
    if struct.unpack_from(f"{order}I", data, 20)[0] & 0xFFFF != _ETHERNET:
        raise ConfigError(f"the capture {path} does not hold Ethernet frames")
    header = struct.Struct(f"{order}IIII")
    recording: list[tuple[float, bytes]] = []
    first: tuple[int, int] | None = None
    at = _FILE_HEADER_BYTES
    while at + header.size <= len(data):
        seconds, fraction, captured, length = header.unpack_from(data, at)
        at += header.size
        frame = data[at : at + captured]
        at += captured
        if first is None:
            first = seconds, fraction
        if len(frame) == captured == length:
            time_s = seconds - first[0] + (fraction - first[1]) * unit_s
            recording.append((max(time_s, 0.0), frame))
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
