"""Ring: the last of a long capture, in a few files, each of which can be read by itself.

`run.pcapng` becomes `run-1.pcapng` to `run-4.pcapng`, written one after the other and then over
again: together they are never more than the size that was asked for, and hold three quarters of it
at least. Each begins with all that a reader needs: what the file began with, the interfaces, the
names, the secrets.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import Final

from pystack.core.errors import OutputError
from pystack.observe.captures import pcapng
from pystack.observe.captures.output import ANYBODYS, OutputFile, Record, Say, open_output, tell

FILES: Final = 4
_KIND: Final = struct.Struct("<I")
_KEPT: Final = frozenset({pcapng.INTERFACE, pcapng.SECRETS})  # of which all stay true


class RingFile(OutputFile):
    """An output that goes on in the next file when one is full."""

    def __init__(
        self,
        what: str,
        path: str,
        most_bytes: int,
        *,
        mode: int = ANYBODYS,
        say: Say = tell,
        before_write: Callable[[int], object] = lambda fd: None,
    ) -> None:
        """Open the first file; those that are left of an earlier run go. Raises OutputError."""
        self._paths = ring_paths(path)
        self._most_bytes = most_bytes // FILES
        self._mode = mode
        self._head: list[bytes] = []  # what each file begins with
        self._names = b""
        self._place = 0
        fd = open_output(what, self._paths[0], mode=mode)
        assert fd is not None
        for old in self._paths[1:]:
            if os.path.isfile(old):
                os.unlink(old)
        super().__init__(what, fd, say=say, before_write=before_write)

    def write_all(self, records: Sequence[Record]) -> None:
        """Write several, in the next file where they find no room."""
        first = 0
        size = self._whole_bytes
        for number, record in enumerate(records):
            record_bytes = sum(map(len, record))
            if size + record_bytes > self._most_bytes and size > self._head_bytes:
                super().write_all(records[first:number])
                if self.has_ended or not self._turn():
                    return
                first, size = number, self._whole_bytes
            if len(record) == 1:  # in parts are frames
                self._keep(bytes(record[0]))
            size += record_bytes
        super().write_all(records[first:])

    @property
    def _head_bytes(self) -> int:
        return sum(map(len, self._head)) + len(self._names)

    def _keep(self, record: bytes) -> None:
        """Keep what each file has to begin with."""
        if not self._head:
            self._head.append(record)  # of either format, the first is about the file
            return
        if self._head[0][:4] != _KIND.pack(pcapng.SECTION):
            return
        (kind,) = _KIND.unpack_from(record)
        if kind in _KEPT:
            self._head.append(record)
        elif kind == pcapng.NAMES:
            self._names = record

    def _turn(self) -> bool:
        """Go on in the next file; False: it cannot be written, which was told."""
        self._place = (self._place + 1) % FILES
        try:
            fd = open_output(self.what, self._paths[self._place], mode=self._mode)
        except OutputError as error:
            self.close()
            self._say(str(error))
            return False
        assert fd is not None
        os.close(self._fd)
        self._fd = fd
        self._whole_bytes = 0
        super().write_all([(block,) for block in (*self._head, self._names) if block])
        return not self.has_ended


def ring_paths(path: str) -> list[str]:
    """Return the files of a ring, in the order in which they are written first."""
    pure = PurePath(path)
    return [
        str(pure.with_name(f"{pure.stem}-{number + 1}{pure.suffix}")) for number in range(FILES)
    ]
