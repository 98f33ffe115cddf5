"""Files that are read: captures, which may also come through a pipe."""

import os
import stat
import sys
from pathlib import Path
from typing import BinaryIO, Final

from pystack.core.errors import ConfigError
from pystack.core.opening import flag

STANDARD_INPUT: Final = "-"
BUFFER_BYTES: Final = 1 << 18
_FLAGS: Final = os.O_RDONLY | flag("O_CLOEXEC") | flag("O_NONBLOCK") | flag("O_BINARY")


def open_input(source: str | Path | BinaryIO) -> tuple[BinaryIO, str, bool]:
    """Return an open file, its name for sentences, and whether it is ours to close."""
    if not isinstance(source, str | Path):
        return source, str(getattr(source, "name", "the capture")), False
    path = str(source)
    if path == STANDARD_INPUT:
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigError("a capture on standard input comes from a file or a pipe")
        return sys.stdin.buffer, "standard input", False
    try:
        # A pipe that nobody writes to is not waited for: it is empty.
        fd = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot read the capture {path}: {why}") from None
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        os.close(fd)
        kind = "a directory" if stat.S_ISDIR(mode) else "no file"
        raise ConfigError(f"cannot read the capture {path}: it is {kind}")
    if hasattr(os, "set_blocking"):
        os.set_blocking(fd, True)
    return os.fdopen(fd, "rb", buffering=BUFFER_BYTES), path, True
