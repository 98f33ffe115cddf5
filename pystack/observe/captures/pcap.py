"""What captures are written as: pcapng with all that is known, or classic pcap."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Final, Protocol, runtime_checkable

from pystack.core.errors import WireError
from pystack.observe.captures import pcapng
from pystack.observe.captures.link_types import ETHERNET
from pystack.observe.captures.output import Record
from pystack.wire.checksum import Buffer
from pystack.wire.frame import CHECKSUM_PARTIAL, Frame, SuperFrame, completed

SNAPLEN_BYTES: Final = 262144  # as tcpdump; super-frames (64 KiB) fit whole
LEAST_SNAPLEN_BYTES: Final = 64
PROGRAM: Final = "pystack"
CLASSIC: Final = frozenset({".pcap", ".cap", ".dmp"})  # names of files of the old format

# Classic pcap is written here and not by dpkt, whose writer takes the time as one float: seconds
# since 1970 leave that 240 ns to count in, and now and then it rounds up to a fraction of 1.0 s,
# which no reader takes.
_FILE_HEADER: Final = struct.Struct("<IHHiIII")
_RECORD_HEADER: Final = struct.Struct("<IIII")
_MAGIC_NANOSECONDS: Final = 0xA1B23C4D
_FIRST_PLACES: Final = 16  # names may be new with each of these; then where places have doubled

Describe = Callable[[str], str]


class RecordFile(Protocol):
    """What a capture is written to: one call of `write` for each header, block or record."""

    def write(self, record: bytes, /) -> object:
        """Write all of it; False: it could not be taken, and is missing."""
        ...

    def flush(self) -> None:
        """Let others see it."""
        ...

    def close(self) -> None:
        """End."""
        ...


@runtime_checkable
class PartsFile(Protocol):
    """One that takes a record in parts, of bytes that nobody changes any more."""

    def write_parts(self, record: Record, /) -> object:
        """Write all of it, as `RecordFile.write`."""
        ...


class CaptureWriter(Protocol):
    """Writes frames in one of the two formats."""

    def write(
        self,
        frame: Frame,
        at: float,
        *,
        place: str = "",
        outbound: bool | None = None,
        comment: str = "",
    ) -> int:
        """Write one frame, seen at `at` (the world's seconds); return its number in the file."""
        ...

    def close(self, now: float = 0.0) -> None:
        """End the file. A second close does nothing."""
        ...


def is_classic(path: str) -> bool:
    """Tell whether a file's name asks for the old format."""
    return PurePath(path).suffix.lower() in CLASSIC


def bytes_of(frame: Frame) -> bytes:
    """Return what is written of a frame: with its checksum in place, but for super-frames.

    Those are written as they are, like tcpdump shows them: to sum up 64 KiB takes longer than all
    else that is done with them.
    """
    if frame.checksum != CHECKSUM_PARTIAL or frame.gso_bytes:
        return frame.data
    try:
        return completed(frame).data
    except (WireError, ValueError):
        return frame.data  # nothing that has a checksum to fill in: shown as it is


def parts_of(frame: Frame, most_bytes: int) -> tuple[Record, int]:
    """Return what is written of a frame, as it lies in memory, and how many bytes that is."""
    if not isinstance(frame, SuperFrame) or not frame.gso_bytes:
        data = bytes_of(frame)
        return (data[:most_bytes],), min(len(data), most_bytes)
    whole = (frame.head, frame.payload, *frame.more)
    size = len(frame)
    if size <= most_bytes:
        return whole, size
    parts: list[Buffer] = []
    left = most_bytes
    for part in whole:
        # A copy of what is cut, or all of it would stay in memory until it is written.
        parts.append(part if len(part) <= left else bytes(memoryview(part)[:left]))
        left -= len(parts[-1])
    return tuple(parts), most_bytes


class PcapWriter:
    """Classic pcap: frames and their instants, and nothing else."""

    def __init__(
        self,
        file: RecordFile,
        wall_clock_offset_s: float = 0.0,
        *,
        snaplen_bytes: int = SNAPLEN_BYTES,
    ) -> None:
        """`wall_clock_offset_s`: what to add to the world's time for seconds since 1970.

        `snaplen_bytes`: the most that is written of a frame.
        """
        self._file = file
        self._snaplen_bytes = snaplen_bytes
        self._offset_ns = round(wall_clock_offset_s * 1e9)
        self._count = 0
        file.write(_FILE_HEADER.pack(_MAGIC_NANOSECONDS, 2, 4, 0, 0, snaplen_bytes, ETHERNET))
        file.flush()

    def write(
        self,
        frame: Frame,
        at: float,
        *,
        place: str = "",
        outbound: bool | None = None,
        comment: str = "",
    ) -> int:
        """Write one frame."""
        parts, taken = parts_of(frame, self._snaplen_bytes)
        seconds, nanoseconds = divmod(max(self._offset_ns + round(at * 1e9), 0), 10**9)
        header = _RECORD_HEADER.pack(seconds & 0xFFFFFFFF, nanoseconds, taken, len(frame))
        self._file.write(b"".join((header, *parts)))
        self._file.flush()
        self._count += 1
        return self._count

    def close(self, now: float = 0.0) -> None:
        """Close the file. A second close does nothing."""
        self._file.close()


class PcapngWriter:
    """pcapng: a block for each place, names of hosts, secrets, counts, and comments."""

    def __init__(
        self,
        file: RecordFile,
        wall_clock_offset_s: float = 0.0,
        *,
        names: Callable[[], Mapping[str, str]] = dict,
        describe: Describe = lambda place: "",
        secrets: Callable[[], bytes] = bytes,
        snaplen_bytes: int = SNAPLEN_BYTES,
    ) -> None:
        """`names`: of hosts by their addresses, as of now; `describe`: a place in words.

        `secrets`: what has come to be known since it was asked last, in NSS' key log format.
        `snaplen_bytes`: the most that is written of a frame.
        """
        self._snaplen_bytes = snaplen_bytes
        self._file = file
        self._write_parts = file.write_parts if isinstance(file, PartsFile) else self._joined
        self._offset_ns = round(wall_clock_offset_s * 1e9)
        self._names = names
        self._told_names: dict[str, str] = {}
        self._describe = describe
        self._secrets = secrets
        self._places: dict[str, int] = {}
        self._received: list[int] = []  # of each place
        self._missing: list[int] = []  # found no room
        self._untold: list[int] = []  # of those, since the last that did
        self._began_ns: int | None = None
        self._count = 0
        self._is_closed = False
        file.write(pcapng.section(PROGRAM))
        file.flush()

    def write(
        self,
        frame: Frame,
        at: float,
        *,
        place: str = "",
        outbound: bool | None = None,
        comment: str = "",
    ) -> int:
        """Write one frame, and before it what a reader needs for it."""
        number = self._places.get(place)
        if number is None:
            number = self._introduce(place)
        if key_log := self._secrets():
            self._file.write(pcapng.secrets(key_log))
        at_ns = max(self._offset_ns + round(at * 1e9), 0)
        if self._began_ns is None:
            self._began_ns = at_ns
        parts, taken = parts_of(frame, self._snaplen_bytes)
        flags = 0 if outbound is None else pcapng.OUTBOUND if outbound else pcapng.INBOUND
        before, behind = pcapng.packet(
            number,
            at_ns,
            taken,
            len(frame),  # of one that was cut short, more than there is
            comment=comment,
            flags=flags,
            dropped=self._untold[number],
        )
        if self._write_parts((before, *parts, behind)) is False:
            self._missing[number] += 1
            self._untold[number] += 1
            return 0
        self._file.flush()
        self._received[number] += 1
        self._untold[number] = 0
        self._count += 1
        return self._count

    def close(self, now: float = 0.0) -> None:
        """Write what was counted, and close the file. A second close does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        self._tell_names()
        if key_log := self._secrets():
            self._file.write(pcapng.secrets(key_log))
        ended_ns = max(self._offset_ns + round(now * 1e9), 0)
        began_ns = ended_ns if self._began_ns is None else self._began_ns
        for number in self._places.values():
            received, missing = self._received[number], self._missing[number]
            self._file.write(pcapng.statistics(number, began_ns, ended_ns, received, missing))
        self._file.close()

    def _joined(self, record: Record) -> object:
        return self._file.write(b"".join(record))

    def _introduce(self, place: str) -> int:
        number = self._places[place] = len(self._places)
        for counts in (self._received, self._missing, self._untold):
            counts.append(0)
        self._file.write(
            pcapng.interface(place, self._describe(place), ETHERNET, self._snaplen_bytes)
        )
        if number < _FIRST_PLACES or not number & (number - 1):
            # Not each time: with a thousand places that would be a million names.
            self._tell_names()
        return number

    def _tell_names(self) -> None:
        names = dict(self._names())
        if names != self._told_names:
            self._told_names = names
            self._file.write(pcapng.names(names))
