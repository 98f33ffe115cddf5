"""Listings: as `ls -l` has them (LIST), names alone (NLST), and facts (MLSD, RFC 3659).

Names are sorted, and looked at while the listing goes out. What would break a line is left out.
"""

import os
import re
import stat
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import UTC, datetime
from fnmatch import translate
from heapq import merge
from typing import Final, TypeAlias

from pystack.apps.ftp.limits import LISTED
from pystack.apps.ftp.replies import RefusedError
from pystack.apps.tree import Tree
from pystack.apps.turns import current_turn

FACTS: Final = ("type", "size", "modify", "perm", "unix.mode")
CHUNK_BYTES: Final = 64 * 1024
# So many are sorted in 0.1 ms; 200,000 at once in 0.3 s, which others would wait for.
RUN_NAMES: Final = 1024

_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_RECENT_S: Final = 183 * 86400  # later, and in the future, LIST tells the year and not the hour
_LAST_S: Final = 253402300799  # of the year 9999
_BREAKS: Final = frozenset(b"\r\n\0")
_NAME_UNITS: Final = 1  # of work, see `pystack.apps.turns`: to read, to sort, to look at
_PATTERN_BYTE_UNITS: Final = 1  # to compile it
_TIMESTAMP: Final = re.compile(rb"[0-9]{14}")
_WILDCARDS: Final = frozenset(b"*?[")

Line: TypeAlias = Callable[[bytes, os.stat_result], bytes]


def list_line(name: bytes, status: os.stat_result, now_s: float) -> bytes:
    """Return a line of LIST; the date is UTC's."""
    # The machine's clock, in virtual time too: it is by this one that files are changed.
    seconds = _seconds(status)
    t = time.gmtime(seconds)
    is_recent = 0 <= now_s - seconds < _RECENT_S
    when = f"{t.tm_hour:02}:{t.tm_min:02}" if is_recent else f"{t.tm_year:5}"
    date = f"{_MONTHS[t.tm_mon - 1]} {t.tm_mday:2} {when}"
    mode = stat.filemode(status.st_mode)
    head = f"{mode} {status.st_nlink:3} ftp      ftp      {status.st_size:12} {date} "
    return head.encode("ascii") + name + b"\r\n"


def facts_of(status: os.stat_result, facts: Sequence[str], *, writable: bool) -> str:
    """Return what MLSD and MLST tell of a file or a directory."""
    is_directory = stat.S_ISDIR(status.st_mode)
    values = {
        "type": "dir" if is_directory else "file",
        "size": None if is_directory else str(status.st_size),
        "modify": timestamp(status),
        "perm": _perm(is_directory=is_directory, writable=writable),
        "unix.mode": f"0{stat.S_IMODE(status.st_mode):03o}",
    }
    # RFC 3659 section 7.2: a fact that does not apply is left out.
    return "".join(f"{fact}={values[fact]};" for fact in facts if values[fact] is not None)


def timestamp(status: os.stat_result) -> str:
    """Return when it was changed, as RFC 3659 section 2.3 has it."""
    t = time.gmtime(_seconds(status))
    day = f"{t.tm_year:04}{t.tm_mon:02}{t.tm_mday:02}"
    return f"{day}{t.tm_hour:02}{t.tm_min:02}{t.tm_sec:02}"


def parse_timestamp(text: bytes) -> float:
    """Return the seconds since 1970 of such a time. Raises RefusedError."""
    try:
        if not _TIMESTAMP.fullmatch(text):
            raise ValueError
        # No strptime, which imports a module of its own when it is first called: whoever has
        # given up root by then may not be able to read it.
        year, month, day = int(text[:4]), int(text[4:6]), int(text[6:8])
        hour, minute, second = int(text[8:10]), int(text[10:12]), int(text[12:])
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        raise RefusedError(501, "A time is YYYYMMDDHHMMSS") from None


def has_wildcard(name: bytes) -> bool:
    """Tell whether it is a pattern, of those that shells have."""
    return not _WILDCARDS.isdisjoint(name)


class Listing:
    """The entries of an open directory, or of one file, line by line."""

    def __init__(
        self, tree: Tree, segments: Sequence[bytes], descriptor: int, pattern: bytes | None = None
    ) -> None:
        """`descriptor` is closed at the end. `pattern`: which names to show; None: all."""
        self._tree = tree
        self._segments = segments
        self._descriptor = descriptor
        self._pattern = pattern
        self.left_out = 0  # names beyond `LISTED`

    async def chunks(self, line: Line) -> AsyncGenerator[bytes, None]:
        """Go through it; several lines at once."""
        turn = current_turn()
        chunk = bytearray()
        for name in merge(*await self._sorted_runs()):
            if turn.spend(_NAME_UNITS):
                await turn.wait()
            status = self._tree.look(self._descriptor, self._segments, name)
            if status is None:
                continue
            chunk += line(name, status)
            if len(chunk) >= CHUNK_BYTES:
                yield bytes(chunk)
                chunk.clear()
        if chunk:
            yield bytes(chunk)

    async def _sorted_runs(self) -> list[list[bytes]]:
        """Return the names in runs, each sorted: to sort them all would hold others up."""
        turn = current_turn()
        runs: list[list[bytes]] = []
        names: list[bytes] = []
        count = 0
        matches = None
        if self._pattern is not None:
            if turn.spend(len(self._pattern) * _PATTERN_BYTE_UNITS):
                await turn.wait()
            matches = re.compile(translate(_text(self._pattern))).match
        with os.scandir(self._descriptor) as found:
            for number, item in enumerate(found):
                # 16 names take as long as one that is looked at
                if number % 16 == 0 and turn.spend(_NAME_UNITS):
                    await turn.wait()
                name = os.fsencode(item.name)
                if not self._tree.shows(name) or not _BREAKS.isdisjoint(name):
                    continue
                if matches is not None and not matches(_text(name)):
                    continue
                if count == LISTED:
                    self.left_out += 1
                    continue
                count += 1
                names.append(name)
                if len(names) == RUN_NAMES:
                    names.sort()
                    runs.append(names)
                    names = []
        names.sort()
        return [*runs, names]

    def close(self) -> None:
        """Let go of the directory."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _seconds(status: os.stat_result) -> int:
    return max(0, min(int(status.st_mtime), _LAST_S))


def _perm(*, is_directory: bool, writable: bool) -> str:
    if is_directory:
        return "cdeflmp" if writable else "el"
    return "adfrw" if writable else "r"


def _text(name: bytes) -> str:
    return name.decode("latin-1")  # one character a byte: `?` is one byte
