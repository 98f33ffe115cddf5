"""Files that are written while things go on, record by record: captures.

That one cannot be written any more is no reason for what is looked at to end. It is told in one
sentence, and the file ends there, with its last whole record.
"""

import errno
import logging
import os
import stat
from collections.abc import Callable, Sequence
from typing import Final

from pystack.core.errors import OutputError
from pystack.core.opening import flag, open_unfollowed
from pystack.wire.checksum import Buffer

# What is written whole or not at all, in parts: large ones are not put together for it
Record = tuple[Buffer, ...]
Say = Callable[[str], object]  # takes a sentence that people are to see

_log: Final = logging.getLogger("pystack.capture")
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | flag("O_CLOEXEC") | flag("O_BINARY")
_MOST_PARTS: Final = 1024  # IOV_MAX
ANYBODYS: Final = 0o666  # less the process's umask
OWNERS_ALONE: Final = 0o600
_NO_WAIT: Final = flag("O_NONBLOCK")


def tell(sentence: str) -> None:
    """Warn, through logging: without any set up, that is a line on standard error."""
    _log.warning("%s", sentence)


class OutputFile:
    """An open file that takes records, whole or not at all. Its methods raise nothing."""

    def __init__(
        self,
        what: str,  # for sentences, like "the capture run.pcap"
        fd: int,
        *,
        say: Say = tell,
        before_write: Callable[[int], object] = lambda fd: None,
    ) -> None:
        """`before_write` is called with the descriptor before each write; it may raise OSError."""
        self.what = what
        self.records = 0  # that are in it
        self.has_ended = False
        self._fd = fd
        self._say = say
        self._before_write = before_write
        self._whole_bytes = 0  # up to the end of the last record

    def write(self, record: bytes) -> None:
        """Write one record."""
        self.write_all([(record,)])

    def write_parts(self, record: Record) -> None:
        """Write one record that is in parts."""
        self.write_all([record])

    def write_all(self, records: Sequence[Record]) -> None:
        """Write several, each in parts, which are not copied."""
        if self.has_ended:
            return
        parts = [part for record in records for part in record]
        size = sum(map(len, parts))
        done = 0
        try:
            while done < size:
                self._before_write(self._fd)
                done += _write_some(self._fd, parts, done)
        except OSError as error:
            self._end(records, done, error)
        else:
            self.records += len(records)
            self._whole_bytes += size

    def flush(self) -> None:
        """Do nothing: each write goes to the kernel."""

    def close(self) -> None:
        """Close it. A second close does nothing."""
        if not self.has_ended:
            self.has_ended = True
            os.close(self._fd)

    def _end(self, records: Sequence[Record], done: int, error: OSError) -> None:
        for record in records:
            size = sum(map(len, record))
            if size > done:
                break
            done -= size
            self.records += 1
            self._whole_bytes += size
        if stat.S_ISREG(os.fstat(self._fd).st_mode):
            os.ftruncate(self._fd, self._whole_bytes)  # half a record would be called damaged
        self.close()
        why = "nobody reads it any more" if error.errno == errno.EPIPE else error.strerror
        self._say(f"{self.what} ends here: {why}")


def _write_some(fd: int, parts: Sequence[Buffer], done: int) -> int:
    """Write on, from where `done` bytes of the parts are written; return how many more are."""
    left = []
    for part in parts:
        if done >= len(part):
            done -= len(part)
            continue
        left.append(memoryview(part)[done:] if done else part)
        done = 0
        if len(left) == _MOST_PARTS:
            break
    if hasattr(os, "writev"):
        return os.writev(fd, left)
    return os.write(fd, b"".join(left))  # as on Windows


def open_output(what: str, path: str, *, wait: bool = True, mode: int = ANYBODYS) -> int | None:
    """Open a file to be written; what was in it is gone. Raises OutputError.

    `mode`: of a new file; one that is there already may be less for others afterwards, not more.
    A FIFO without a reader is waited for; with `wait` false, None is returned in its place. Root
    follows no symbolic link of another user: it was put there to lead anywhere.
    """
    try:
        # Truncated once it is known to be a file: for the rest it means nothing.
        fd = open_unfollowed(path, _FLAGS if wait else _FLAGS | _NO_WAIT, mode)
        there = os.fstat(fd).st_mode
        if stat.S_ISREG(there):
            if there & ~mode & 0o777 and mode != ANYBODYS and hasattr(os, "fchmod"):
                os.fchmod(fd, there & mode)
            os.ftruncate(fd, 0)
    except OSError as error:
        if error.errno == errno.ENXIO and not wait and stat.S_ISFIFO(os.stat(path).st_mode):
            return None
        why = error.strerror
        if error.errno == errno.ELOOP and os.path.islink(path):
            why = "it is a symbolic link of another user, which root does not follow"
        raise OutputError(f"cannot write {what}: {why}") from None
    except ValueError as error:  # a NUL, or what no encoding has
        raise OutputError(f"cannot write {what!r}: {error}") from None
    return fd


def write_text(path: str, text: str) -> None:
    """Write a whole file that a user has named, in UTF-8. Raises OutputError."""
    fd = open_output(path, path)
    assert fd is not None
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode("utf-8"))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"cannot write {path}: {why}") from None


def open_capture(path: str, *, mode: int = ANYBODYS) -> OutputFile:
    """Open a file to write a capture to, at once; what was in it is gone. Raises OutputError."""
    what = f"the capture {path}"
    fd = open_output(what, path, mode=mode)
    assert fd is not None
    return OutputFile(what, fd)
