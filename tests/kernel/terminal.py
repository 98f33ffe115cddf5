"""A program on a terminal of its own, which is typed at and read from like a person's."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

TIMEOUT_S: Final = 30.0


class Terminal:
    """A terminal with the leader of a session on it."""

    def __init__(
        self, argv: Sequence[str], *, rows: int = 24, columns: int = 80, env: Mapping[str, str]
    ) -> None:
        self._seen = ""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], list(argv), dict(env))
        self.resize(rows, columns)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *exc_info: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.close(self._fd)  # who still has it as a terminal gets SIGHUP
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press keys: "\\x03" is Ctrl-C, "\\x1a" Ctrl-Z, "\\x04" Ctrl-D."""
        os.write(self._fd, text.encode())

    def expect(self, pattern: str) -> re.Match[str]:
        """Read until there is what the pattern says, after what was read before; return it."""
        deadline = time.monotonic() + TIMEOUT_S
        while (found := re.search(pattern, self._seen)) is None:
            ready, _, _ = select.select([self._fd], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"no {pattern!r} within {TIMEOUT_S} s, only {self._seen!r}"
            try:
                data = os.read(self._fd, 4096)
            except OSError:  # EIO: nobody has it as a terminal any more
                data = b""
            assert data, f"it has ended without {pattern!r}: {self._seen!r}"
            self._seen += data.decode(errors="replace")
        self._seen = self._seen[found.end() :]
        return found

    def wait(self) -> int:
        """Wait for the end of the program; return its exit status, or -n of a signal."""
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            ready, _, _ = select.select([self._fd], [], [], 0.01)
            if ready:  # who writes to a terminal that nobody reads waits
                with suppress(OSError):
                    self._seen += os.read(self._fd, 4096).decode(errors="replace")
        raise AssertionError(f"not ended within {TIMEOUT_S} s; it said {self._seen!r}")
