"""The secrets of TLS that runs on our sides, for captures whose user wants them to be readable.

OpenSSL writes them to a file, and to no function of ours. So while somebody collects them, each
context writes to one that has no name, or to the user's own (`keylog`), and it is read from there.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from weakref import WeakSet

import trio

_MOST_BYTES = 1 << 20  # that are read at once


class KeyLog:
    """The contexts of one Trio run, and where their secrets are."""

    def __init__(self) -> None:
        self._contexts: WeakSet[ssl.SSLContext] = WeakSet()
        self._files: list[str] = []  # where secrets are to be found
        self._own: str | None = None  # the file of those that have no other; None: nobody collects
        self._fd = -1

    def note(self, context: ssl.SSLContext, path: Path | None = None) -> None:
        """Take note of a context; `path`: its user has it log there."""
        self._contexts.add(context)
        if path is not None:
            if str(path) not in self._files:
                self._files.append(str(path))
        elif self._own is not None and context.keylog_filename is None:
            context.keylog_filename = self._own

    def collect(self) -> Callable[[], bytes]:
        """Collect from now on; return what gives whatever is new, whole lines of it."""
        if self._own is None:
            self._own = self._make()
            self._files.append(self._own)
            for context in self._contexts:
                if context.keylog_filename is None:
                    context.keylog_filename = self._own
        read: dict[str, int] = {}

        def new() -> bytes:
            return b"".join(_more(path, read) for path in self._files)

        return new

    def _make(self) -> str:
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("pystack-secrets", os.MFD_CLOEXEC)
            path = f"/proc/self/fd/{self._fd}"
            if os.access(path, os.R_OK | os.W_OK):
                return path
            os.close(self._fd)
        self._fd, path = tempfile.mkstemp(prefix="pystack-secrets-")  # mode 0600
        return path


def _more(path: str, read: dict[str, int]) -> bytes:
    """Return the lines of a file that were not there before."""
    done = read.get(path, 0)
    try:
        with open(path, "rb") as file:
            file.seek(done)
            data = file.read(_MOST_BYTES)
    except OSError:
        return b""
    data = data[: data.rfind(b"\n") + 1]
    read[path] = done + len(data)
    return data


_this_run: trio.lowlevel.RunVar[KeyLog] = trio.lowlevel.RunVar("pystack_key_log")


def key_log() -> KeyLog:
    """Return that of this Trio run."""
    try:
        return _this_run.get()
    except LookupError:
        made = KeyLog()
        _this_run.set(made)
        return made
