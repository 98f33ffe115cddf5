"""What a client of HTTP/2 sends, cut into frames on its way to h2, and what is a flood of them.

h2 works on all that it is given at once, and every frame of nine bytes takes it 20 us: 64 KiB of
them would keep all others waiting for a seventh of a second. It also counts nothing but
CONTINUATIONs.
"""

from __future__ import annotations

from typing import Final

from h2.exceptions import FrameTooLargeError

from pystack.apps.limits import Limits
from pystack.core.errors import PystackError

# RFC 9113 section 6
DATA: Final = 0
HEADERS: Final = 1
SETTINGS: Final = 4
GOAWAY: Final = 7
CONTINUATION: Final = 9
PREFACE: Final = -1  # no frame, but what comes before all of them

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PREFACE_BYTES: Final = len(_PREFACE)
_HEADER_BYTES: Final = 9
_END_HEADERS: Final = 0x4
MAX_FRAME_BYTES: Final = 16 * 1024  # the least that there may be, and what is announced
# Frames in a row that ask for nothing and bring nothing: PING, SETTINGS, PRIORITY, empty DATA
MAX_IDLE_FRAMES: Final = 1000
MAX_SETTINGS_BYTES: Final = 6 * 64
MAX_CONTINUATIONS: Final = 16
BLOCK_FACTOR: Final = 2  # a block of headers may be so many times as long as they are themselves


class FloodError(PystackError):
    """More than any client that means well would send; the connection is to end."""

    def __init__(self, counter: str, words: str) -> None:
        """`counter`: its name in the host's counters."""
        super().__init__(words)
        self.counter = counter


class Frames:
    """The frames that have come on one connection."""

    __slots__ = ("_at", "_block_bytes", "_data", "_has_preface", "_idle", "_limits", "_pieces")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._data = b""
        self._at = 0
        self._has_preface = False
        self._block_bytes = 0
        self._pieces = 0  # of the block of headers that is under way; 0: there is none
        self._idle = 0

    def add(self, data: bytes) -> None:
        """Take what was received."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def next(self) -> tuple[int, bytes] | None:
        """Return the type of the next frame and all of it; None: it is not here yet.

        Raises FloodError, FrameTooLargeError.
        """
        data, at = self._data, self._at
        if not self._has_preface:
            if len(data) < _PREFACE_BYTES and _PREFACE.startswith(data):
                return None
            self._has_preface = True
            self._at = min(_PREFACE_BYTES, len(data))
            return PREFACE, data[:_PREFACE_BYTES]
        if len(data) - at < _HEADER_BYTES:
            return None
        length = int.from_bytes(data[at : at + 3], "big")
        kind, flags = data[at + 3], data[at + 4]
        if length > MAX_FRAME_BYTES:  # h2 would wait for all of it before it says so
            raise FrameTooLargeError(f"a frame of {length} bytes")
        end = at + _HEADER_BYTES + length
        if len(data) < end:
            return None
        self._at = end
        self._count(kind, flags, length)
        return kind, data[at:end]

    @staticmethod
    def is_farewell(frame: bytes) -> bool:
        """Tell whether it is a GOAWAY that complains of nothing (section 6.8)."""
        is_whole = len(frame) >= _HEADER_BYTES + 8 and not any(frame[5:9])
        return is_whole and frame[3] == GOAWAY and not any(frame[13:17])

    @property
    def is_in_block(self) -> bool:
        """Tell whether something has begun that is to come in one piece: preface, headers."""
        return self._pieces > 0 or not self._has_preface

    def made_progress(self) -> None:
        """Take note that the client has got something that it has asked for."""
        self._idle = 0

    def _count(self, kind: int, flags: int, length: int) -> None:
        if kind in (HEADERS, CONTINUATION):
            if kind == HEADERS:
                self._idle = self._block_bytes = self._pieces = 0
            self._pieces += 1
            self._block_bytes += length
            too_long = self._block_bytes > BLOCK_FACTOR * self._limits.header_bytes
            if too_long or self._pieces > MAX_CONTINUATIONS:
                raise FloodError("http2_header_blocks_refused", "a block of headers has no end")
            if flags & _END_HEADERS:
                self._pieces = 0
        elif kind == DATA and length:
            self._idle = 0
        else:
            self._idle += 1
            # There are ten settings; a frame of 2,700 takes h2 20 ms
            if kind == SETTINGS and length > MAX_SETTINGS_BYTES:
                raise FloodError("http2_floods", "settings without end")
            if self._idle > MAX_IDLE_FRAMES:
                raise FloodError("http2_floods", "frames that are of no use, without end")
