"""Captures in the pcap format, which Wireshark and tcpdump open.

The file is whole after every frame, so that it can be followed while it grows: each record is
written at once, in real time by a thread that may be some milliseconds behind.
"""

import struct
from collections.abc import Callable
from typing import Final, Protocol

from pystack.core.errors import WireError
from pystack.observe.observer import Event, FrameSeen
from pystack.observe.output import OutputFile, open_output
from pystack.wire.frame import Frame, completed

# The format is written here and not by dpkt, whose writer takes the time as one float: seconds
# since 1970 leave that 240 ns to count in, and now and then it rounds up to a fraction of 1.0 s,
# which no reader takes.
_FILE_HEADER: Final = struct.Struct("<IHHiIII")
_RECORD_HEADER: Final = struct.Struct("<IIII")
_MAGIC_NANOSECONDS: Final = 0xA1B23C4D
_ETHERNET: Final = 1  # LINKTYPE_ETHERNET
SNAPLEN_BYTES: Final = 262144  # as tcpdump; super-frames (64 KiB) fit whole


class RecordFile(Protocol):
    """What a capture is written to: one call of `write` for the header, and for each record."""

    def write(self, record: bytes, /) -> object:
        """Write all of it."""
        ...

    def flush(self) -> None:
        """Let others see it."""
        ...

    def close(self) -> None:
        """End."""
        ...


class PcapWriter:
    """An observer that writes every frame it sees. Super-frames are written as one."""

    def __init__(
        self,
        file: RecordFile,
        wall_clock_offset_s: float = 0.0,  # what to add to the world's time for seconds since 1970
        *,
        host: str | None = None,  # only frames of this host; None: of all
        interface: str | None = None,  # only frames of interfaces of this name; None: of all
        once: Callable[[FrameSeen], bool] | None = None,  # is it the first of a frame? None: all
    ) -> None:
        self._file = file
        self._offset_ns = round(wall_clock_offset_s * 1e9)
        self._host = host
        self._interface = interface
        self.once = once
        header = _FILE_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, SNAPLEN_BYTES, _ETHERNET)
        file.write(header)
        file.flush()

    def on_event(self, event: Event) -> None:
        """Write the frame, if it is one and is wanted."""
        if (
            isinstance(event, FrameSeen)
            and self._host in (None, event.host)
            and self._interface in (None, event.interface)
            and (self.once is None or self.once(event))
        ):
            self.write(event.frame, event.at)

    def write(self, frame: Frame, at: float) -> None:
        """Write one frame, seen at `at` (the world's time in seconds)."""
        try:
            data = completed(frame).data
        except (WireError, ValueError):
            data = frame.data  # nothing that has a checksum to fill in: shown as it is
        seconds, nanoseconds = divmod(max(self._offset_ns + round(at * 1e9), 0), 10**9)
        taken = min(len(data), SNAPLEN_BYTES)
        header = _RECORD_HEADER.pack(seconds & 0xFFFFFFFF, nanoseconds, taken, len(data))
        self._file.write(header + data[:taken])
        self._file.flush()

    def close(self) -> None:
        """Close the file. A second close does nothing."""
        self._file.close()


def open_capture(path: str) -> OutputFile:
    """Open a file to write a capture to, at once; what was in it is gone. Raises OutputError."""
    what = f"the capture {path}"
    fd = open_output(what, path)
    assert fd is not None
    return OutputFile(what, fd)
