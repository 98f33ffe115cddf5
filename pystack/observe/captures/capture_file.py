"""Capture files, read frame by frame: pcap and pcapng, as everybody writes them.

A file is read once, from its beginning to its end, in constant memory: lengths that a hostile file
claims are held against what formats allow before anything is read. One that ends in the middle, or
is damaged from somewhere on, gives the frames before that and says so (`CaptureFile.trouble`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from pystack.core.addresses import format_ip4, format_ip6, unpack_ip6
from pystack.core.errors import ConfigError
from pystack.observe.captures import link_types
from pystack.observe.captures.input import BUFFER_BYTES, open_input

MOST_FRAME_BYTES: Final = 1 << 20  # Wireshark takes 256 KiB, "BIG TCP" has up to 512 KiB
_MOST_BLOCK_BYTES: Final = 16 << 20  # of pcapng, as Wireshark
_MOST_NAMES: Final = 65536
_MOST_COMMENTS: Final = 64  # of one frame
_MOST_INTERFACES: Final = 65536
_NAME_CHARACTERS: Final = 255  # of a host (RFC 1035), an interface
_TEXT_CHARACTERS: Final = 4096  # of a comment, a description

# pcap's magic number as read in little endian: the order of all others, and nanoseconds of a unit
_PCAP: Final = {
    0xA1B2C3D4: ("<", 1000),
    0xA1B23C4D: ("<", 1),
    0xD4C3B2A1: (">", 1000),
    0x4D3CB2A1: (">", 1),
}
_PCAP_HEADER_BYTES: Final = 20  # behind the magic number
_MODIFIED: Final = frozenset({0xA1B2CD34, 0x34CDB2A1})  # Kuznetzov's patch: longer records
_GZIP: Final = 0x8B1F
_SECTION: Final = 0x0A0D0D0A  # the same in both orders
_ORDER_MAGIC: Final = 0x1A2B3C4D

# Blocks of pcapng (draft-ietf-opsawg-pcapng section 4), and their options
_INTERFACE: Final = 1
_PACKET: Final = 2  # obsolete
_SIMPLE_PACKET: Final = 3
_NAMES: Final = 4
_STATISTICS: Final = 5
_ENHANCED_PACKET: Final = 6
_SECRETS: Final = 10
_TLS_KEY_LOG: Final = 0x544C534B
_END: Final = 0
_COMMENT: Final = 1
_SHB_USERAPPL: Final = 4
_IF_NAME: Final = 2
_IF_DESCRIPTION: Final = 3
_IF_TSRESOL: Final = 9
_IF_TSOFFSET: Final = 14
_EPB_FLAGS: Final = 2
_EPB_DROPCOUNT: Final = 4
_ISB_IFDROP: Final = 5
_ISB_OSDROP: Final = 7
_DIRECTIONS: Final = ("", "in", "out", "")
_LATEST_NS: Final = 1 << 64  # instants are kept within some centuries of 1970


@dataclass(slots=True)
class CapturedInterface:
    """A place where frames were seen."""

    name: str  # "" where the file does not say
    link_type: int
    description: str = ""
    snaplen: int = 0  # how much was kept of each frame at most; 0: all of it
    dropped: int = 0  # frames that whoever captured could not keep, as far as the file says
    frames: int = 0  # that were read so far
    # Instants as they stand there: times, through, plus nanoseconds
    times: int = 1000
    through: int = 1
    offset_ns: int = 0


@dataclass(slots=True)
class CapturedFrame:
    """One frame of a capture."""

    at_ns: int  # since 1970
    data: bytes
    link_type: int
    interface: int  # index into `CaptureFile.interfaces`
    place: str  # the interface's name; "" where it has none
    original_length: int  # more than `data` has: it was cut
    comments: tuple[str, ...] = ()
    direction: str = ""  # "in", "out"; "": not said


class CaptureFile:
    """A capture: iterate over it once; names, secrets and the rest are whole at its end."""

    def __init__(self, source: str | Path | BinaryIO, name: str = "") -> None:
        """Open a file, `-` for standard input, or take an open one. ConfigError: it is none.

        `name`: of an open one, for sentences.
        """
        self.names: dict[str, str] = {}  # of hosts, by address
        self._secrets: list[str] = []
        self._secret_bytes = 0
        self.interfaces: list[CapturedInterface] = []
        self.comments: list[str] = []  # about all of it
        self.program = ""  # that wrote it, as far as it says so
        self.frames = 0  # that were read so far
        self.left_out = 0  # frames of link types that are not read
        self.trouble = ""  # a sentence, where not all of it could be read
        self._file, self.path, self._owned = open_input(source)
        self.path = name or self.path
        self._taken = False
        try:
            self._records = self._begin()
        except BaseException:
            self.close()
            raise

    @property
    def secrets(self) -> str:
        """Return what decrypts its TLS, in NSS' key log format."""
        return "".join(self._secrets)

    @property
    def dropped(self) -> int:
        """Return how many frames the file says were lost to whoever captured."""
        return sum(interface.dropped for interface in self.interfaces)

    def __iter__(self) -> Iterator[CapturedFrame]:
        """Yield the frames, in the file's order. A ConfigError ends it where none can be read."""
        if self._taken:
            raise ConfigError(f"{self.path} was read already")
        self._taken = True
        try:
            for frame in self._records:
                self.frames += 1
                self.interfaces[frame.interface].frames += 1
                yield frame
        except OSError as error:
            self.trouble = f"{self.path} could not be read on: {error.strerror}"
        except _DamagedError as error:
            self.trouble = f"{self.path} {error}: the {_counted(self.frames)} before it are used"
        finally:
            self.close()
        if self.left_out and not self.frames:
            kinds = {each.link_type for each in self.interfaces} - link_types.NAMES.keys()
            raise _cannot_read(self.path, kinds)
        if self.left_out and not self.trouble:
            verb = "is" if self.left_out == 1 else "are"
            what = f"{_counted(self.left_out)} of {self.path} {verb}"
            self.trouble = f"{what} of other link types, and left out"

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        if self._owned:
            self._file.close()

    def __enter__(self) -> CaptureFile:
        """Return itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def _begin(self) -> Iterator[CapturedFrame]:
        """Find out which format it is. ConfigError: none."""
        try:
            head = self._file.read(4)
        except OSError as error:
            raise ConfigError(f"cannot read the capture {self.path}: {error.strerror}") from None
        if not head:
            raise ConfigError(f"{self.path} is empty: no capture")
        magic = int.from_bytes(head, "little")
        if magic in _PCAP and len(head) == 4:
            return self._pcap(*_PCAP[magic])
        if magic == _SECTION:
            return self._pcapng()
        if magic in _MODIFIED:
            raise ConfigError(
                f"{self.path} is in the modified pcap format of old kernels' patches: "
                f"convert it with `editcap {self.path} new.pcapng`"
            )
        if magic & 0xFFFF == _GZIP:
            raise ConfigError(f"{self.path} is compressed: unpack it with gunzip first")
        raise ConfigError(f"{self.path} is not a capture: neither pcap nor pcapng")

    # ---- pcap ----

    def _pcap(self, order: str, unit_ns: int) -> Iterator[CapturedFrame]:
        header = self._file.read(_PCAP_HEADER_BYTES)
        if len(header) < _PCAP_HEADER_BYTES:
            raise ConfigError(f"{self.path} is not a capture: it ends within its header")
        major, _, _, _, snaplen, kind = struct.unpack(f"{order}HHiIII", header)
        if major != 2:
            raise ConfigError(f"{self.path} is not a capture: pcap has no version {major}")
        link_type = kind & 0xFFFF  # above it: how long a frame check sequence is
        if link_type not in link_types.NAMES:
            raise _cannot_read(self.path, {link_type})
        self.interfaces.append(CapturedInterface("", link_type, snaplen=snaplen))
        return self._pcap_records(struct.Struct(f"{order}IIII"), unit_ns, link_type)

    def _pcap_records(
        self, header: struct.Struct, unit_ns: int, link_type: int
    ) -> Iterator[CapturedFrame]:
        read, size, unpack = self._file.read, header.size, header.unpack
        while record := read(size):
            if len(record) < size:
                raise _DamagedError("ends in the middle of a frame")
            seconds, fraction, captured, length = unpack(record)
            if captured > MOST_FRAME_BYTES or not length:  # zeros: of a disk that was lost
                raise _DamagedError(f"is damaged: a frame of {captured:,} bytes is none")
            data = read(captured)
            if len(data) < captured:
                raise _DamagedError("ends in the middle of a frame")
            at_ns = seconds * 1_000_000_000 + fraction * unit_ns
            yield CapturedFrame(at_ns, data, link_type, 0, "", max(length, captured))

    # ---- pcapng ----

    def _pcapng(self) -> Iterator[CapturedFrame]:
        section = self._section()  # so that a file which is none is refused when it is opened
        if section is None:
            raise ConfigError(f"{self.path} is not a capture: it ends within its header")
        return self._sections(section)

    def _section(self, length_field: bytes = b"") -> _Section | None:
        """Read a section header, but for what was read of it already; None: the file ends."""
        head = length_field + self._file.read(8 - len(length_field))
        if len(head) < 8:
            return None
        magic = int.from_bytes(head[4:], "little")
        if magic not in (_ORDER_MAGIC, int.from_bytes(_ORDER_MAGIC.to_bytes(4, "big"), "little")):
            raise ConfigError(f"{self.path} is not a capture: no byte order of pcapng")
        order = "<" if magic == _ORDER_MAGIC else ">"
        (length,) = struct.unpack(f"{order}I", head[:4])
        if length < 28 or length % 4 or length > _MOST_BLOCK_BYTES:
            raise ConfigError(f"{self.path} is not a capture: no section header")
        body = self._file.read(length - 12)
        if len(body) < length - 12:
            return None
        section = _Section(order, len(self.interfaces))
        (major,) = struct.unpack_from(f"{order}H", body)
        if major != 1:
            raise ConfigError(f"{self.path} is in version {major} of pcapng, which is not read")
        for code, value in section.options(body[12:-4]):
            if code == _COMMENT and len(self.comments) < _MOST_COMMENTS:
                self.comments.append(_text(value, _TEXT_CHARACTERS))
            elif code == _SHB_USERAPPL:
                self.program = _text(value, _NAME_CHARACTERS)
        return section

    def _sections(self, section: _Section) -> Iterator[CapturedFrame]:
        readers: dict[int, Callable[[_Section, bytes], None]] = {
            _INTERFACE: self._interface,
            _NAMES: self._read_names,
            _STATISTICS: self._statistics,
            _SECRETS: self._read_secrets,
        }
        read = self._file.read
        while head := read(8):
            if len(head) < 8:
                raise _DamagedError("ends in the middle of a block")
            kind, length = section.head.unpack(head)
            if kind == _SECTION:
                section = self._next_section(head[4:])
                continue
            if length < 12 or length % 4:
                raise _DamagedError(f"is damaged: a block of {length:,} bytes is none")
            if kind not in _KNOWN:
                self._skip(length - 8)
                continue
            if length > _MOST_BLOCK_BYTES:
                raise _DamagedError(f"is damaged: a block of {length:,} bytes is none")
            body = read(length - 8)
            if len(body) < length - 8:
                raise _DamagedError("ends in the middle of a block")
            if body[-4:] != head[4:]:
                raise _DamagedError("is damaged: a block's two lengths differ")
            try:
                if kind in readers:
                    readers[kind](section, body[:-4])
                elif (frame := self._packet(section, kind, body)) is not None:
                    yield frame
            except struct.error:
                raise _DamagedError("is damaged: a block is shorter than its fields") from None

    def _next_section(self, length: bytes) -> _Section:
        """Read the header of a section that follows; its length has been read already."""
        try:
            section = self._section(length)
        except ConfigError:
            raise _DamagedError("is damaged: a section that is none follows") from None
        if section is None:
            raise _DamagedError("ends in the middle of a block")
        return section

    def _skip(self, count: int) -> None:
        while count:
            piece = self._file.read(min(count, BUFFER_BYTES))
            if not piece:
                raise _DamagedError("ends in the middle of a block")
            count -= len(piece)

    def _packet(self, section: _Section, kind: int, body: bytes) -> CapturedFrame | None:
        order = section.order
        if kind == _ENHANCED_PACKET:
            number, high, low, captured, length = section.packet.unpack_from(body)
            start = 20
        elif kind == _PACKET:
            number, dropped, high, low, captured, length = struct.unpack_from(
                f"{order}HHIIII", body
            )
            start = 20
            if dropped != 0xFFFF and number < section.count:
                self.interfaces[section.base + number].dropped += dropped
        else:
            (length,) = struct.unpack_from(f"{order}I", body)
            number, start = 0, 4
            captured = min(length, len(body) - 4 - start)
            if section.count and (most := self.interfaces[section.base].snaplen):
                captured = min(captured, most)
            high = low = -1
        if number >= section.count:
            raise _DamagedError("is damaged: a frame is of an interface that is not described")
        end = start + captured
        if captured > MOST_FRAME_BYTES or end > len(body) - 4:
            raise _DamagedError(f"is damaged: a frame of {captured:,} bytes is none")
        place = self.interfaces[section.base + number]
        if high >= 0:
            ticks = high << 32 | low
            section.last_ns = min(
                ticks * place.times // place.through + place.offset_ns, _LATEST_NS
            )
        if place.link_type not in link_types.NAMES:
            self.left_out += 1
            return None
        frame = CapturedFrame(
            section.last_ns,  # of a simple packet: nobody knows, so that of the one before
            body[start:end],
            place.link_type,
            section.base + number,
            place.name,
            max(length, captured),
        )
        end += -end % 4
        if kind != _SIMPLE_PACKET and end < len(body) - 4:
            self._packet_options(section, frame, body[end:-4])
        return frame

    def _packet_options(self, section: _Section, frame: CapturedFrame, data: bytes) -> None:
        comments: list[str] = []
        for code, value in section.options(data):
            if code == _COMMENT and len(comments) < _MOST_COMMENTS:
                comments.append(_text(value, _TEXT_CHARACTERS))
            elif code == _EPB_FLAGS and len(value) == 4:
                frame.direction = _DIRECTIONS[section.number(value) & 3]
            elif code == _EPB_DROPCOUNT and len(value) == 8:
                self.interfaces[frame.interface].dropped += section.number(value)
        frame.comments = tuple(comments)

    def _interface(self, section: _Section, body: bytes) -> None:
        link_type, _, snaplen = struct.unpack_from(f"{section.order}HHI", body)
        if len(self.interfaces) >= _MOST_INTERFACES:
            raise _DamagedError("is damaged: nobody has so many interfaces")
        new = CapturedInterface("", link_type, snaplen=snaplen)
        resolution = 6
        for code, value in section.options(body[8:]):
            if code == _IF_NAME:
                new.name = _text(value, _NAME_CHARACTERS)
            elif code == _IF_DESCRIPTION:
                new.description = _text(value, _TEXT_CHARACTERS)
            elif code == _IF_TSRESOL and value:
                resolution = value[0]
            elif code == _IF_TSOFFSET and len(value) == 8:
                offset_s = struct.unpack(f"{section.order}q", value)[0]
                new.offset_ns = max(min(offset_s * 10**9, _LATEST_NS), -_LATEST_NS)
        base, exponent = (2, resolution & 0x7F) if resolution & 0x80 else (10, resolution)
        new.times, new.through = 10**9, base**exponent
        self.interfaces.append(new)
        section.count += 1

    def _read_names(self, section: _Section, body: bytes) -> None:
        for code, value in section.options(body):
            size = {1: 4, 2: 16}.get(code)
            if size is None or len(value) <= size or len(self.names) >= _MOST_NAMES:
                continue
            raw = value[:size]
            address = format_ip6(unpack_ip6(raw)) if size == 16 else _ip4(raw)
            if name := _text(value[size:].partition(b"\0")[0], _NAME_CHARACTERS):
                self.names.setdefault(address, name)

    def _statistics(self, section: _Section, body: bytes) -> None:
        number, _, _ = struct.unpack_from(f"{section.order}III", body)
        if number >= section.count:
            return
        dropped = sum(
            section.number(value)
            for code, value in section.options(body[12:])
            if code in (_ISB_IFDROP, _ISB_OSDROP) and len(value) == 8
        )
        place = self.interfaces[section.base + number]
        place.dropped = max(place.dropped, dropped)

    def _read_secrets(self, section: _Section, body: bytes) -> None:
        kind, length = struct.unpack_from(f"{section.order}II", body)
        room = _MOST_BLOCK_BYTES - self._secret_bytes
        if kind == _TLS_KEY_LOG and length <= min(len(body) - 8, room):
            self._secrets.append(body[8 : 8 + length].decode("ascii", "replace"))
            self._secret_bytes += length


_KNOWN: Final = frozenset(
    {
        _INTERFACE,
        _PACKET,
        _SIMPLE_PACKET,
        _NAMES,
        _STATISTICS,
        _ENHANCED_PACKET,
        _SECRETS,
    }
)


def read_capture(source: str | Path | BinaryIO) -> CaptureFile:
    """Open a capture file to iterate over its frames; `-`: standard input. ConfigError."""
    return CaptureFile(source)


class _DamagedError(Exception):
    """The file cannot be read from here on."""


class _Section:
    """A section of a pcapng file: its byte order, and which interfaces are its own."""

    def __init__(self, order: str, base: int) -> None:
        self.order = order
        self.base = base  # of its interfaces among those of the file
        self.count = 0
        self.last_ns = 0
        self.head: Final = struct.Struct(f"{order}II")
        self.packet: Final = struct.Struct(f"{order}IIIII")
        self._option: Final = struct.Struct(f"{order}HH")

    def options(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield code and value, up to the end or the first that is malformed."""
        at, end = 0, len(data)
        while at + 4 <= end:
            code, length = self._option.unpack_from(data, at)
            at += 4
            if code == _END or at + length > end:
                return
            yield code, data[at : at + length]
            at += length + -length % 4

    def number(self, value: bytes) -> int:
        """Return what a value says in this section's order."""
        return int.from_bytes(value, "little" if self.order == "<" else "big")


def _cannot_read(path: str, kinds: set[int]) -> ConfigError:
    names = ", ".join(sorted(map(link_types.name_of, kinds)))
    known = "Ethernet, raw IP, BSD loopback and Linux cooked"
    return ConfigError(f"{path} holds frames of {names}; what is read here is {known}")


def _text(value: bytes, most: int) -> str:
    """Return a text, or as many characters of it as anybody reads."""
    text = value[: 4 * most].decode("utf-8", "replace")
    return text if len(text) <= most else f"{text[: most - 1]}\u2026"


def _ip4(raw: bytes) -> str:
    return format_ip4(int.from_bytes(raw, "big"))


def _counted(frames: int) -> str:
    return "one frame" if frames == 1 else f"{frames:,} frames"
