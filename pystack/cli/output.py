"""Standard output and standard error, whose reader may go away: `pystack lab run ... | head`.

Then there is nobody to tell anything, and pystack ends in silence, with the status that a shell
shows for a program that SIGPIPE has ended. Python ignores that signal, and so do we: it could come
from any pipe or socket of a lab's programs, and a host on a TAP device has connections to close.
"""

import json
import logging
import os
import select
import signal
import stat
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

READER_GONE_STATUS: Final = 128 + 13  # SIGPIPE, which not every platform has
# Windows has no poll(2): there, whether somebody reads is found out by writing.
_HAS_POLL: Final = hasattr(select, "poll")
_PIPE_BUF: Final = getattr(select, "PIPE_BUF", 512)  # POSIX has at least 512
_STREAMS: Final = (1, 2)
_WAITING_BYTES: Final = 1 << 20
_CLOSE_S: Final = 1.0
_TRY_AGAIN_S: Final = 0.01


def reader_is_gone() -> bool:
    """Tell whether nobody reads standard output, or standard error, any more."""
    return any(_is_gone(descriptor) for descriptor in _STREAMS)


def abandon(*, full: bool = False) -> None:
    """Write what is still in the buffers to nowhere, or Python complains about it as it ends.

    `full`: of standard output, which nothing more can be written to.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in _STREAMS:
        if _is_gone(descriptor) or (full and descriptor == 1):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def interruptible() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt: there are programs who want to end in order."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def write_file(path: str | Path, text: str) -> None:
    """Write a file that was named; "-" is standard output. Raises OutputError."""
    if str(path) == "-":
        # As it is, whatever the terminal's encoding.
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
        return
    from pystack.observe.captures.output import write_text

    write_text(str(path), text)


class Lines:
    """Lines to a descriptor whose reader may sleep or be gone: no stack in real time waits for it.

    What can be written at once is. The rest waits, so many bytes of it, and is written by a thread;
    lines beyond that are left out, and it is said how many.
    """

    def __init__(self, stream: TextIO | None, *, ends: bool = True) -> None:
        """`stream`: Python's own, None where it was closed when we began (`>&-`): to nowhere.

        `ends`: that nobody reads any more asks the program to end.
        """
        self.is_broken = False  # nobody reads any more
        self._ends = ends
        self._descriptor = os.open(os.devnull, os.O_WRONLY) if stream is None else stream.fileno()
        self._is_file = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        self._left_out = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None  # None: nothing ever had to wait

    def put(self, line: str) -> None:
        """Write a line, now or later. Never waits."""
        data = f"{line}\n".encode(errors="backslashreplace")
        with self._changed:
            if self.is_broken or (not self._waiting_bytes and self._written_at_once(data)):
                return
            if self._waiting_bytes > _WAITING_BYTES:
                self._left_out += 1
                return
            if self._left_out:
                data = f"({self._left_out} lines were left out)\n".encode() + data
                self._left_out = 0
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lines", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def close(self) -> None:
        """Give what waits a second more."""
        with self._changed:
            if self._thread is not None:
                self._changed.wait_for(lambda: not self._waiting_bytes or self.is_broken, _CLOSE_S)

    def _written_at_once(self, data: bytes) -> bool:
        # A pipe that is ready takes so much without waiting (pipe(7)). A disk is never known to.
        if self._is_file or len(data) > _PIPE_BUF or not _waited(self._descriptor, 0):
            return False
        return not self._rest_of(memoryview(data))

    def _rest_of(self, data: memoryview) -> memoryview:
        """Write; return what could not be, and is to be tried again."""
        try:
            while data:
                data = data[os.write(self._descriptor, data[:_PIPE_BUF]) :]
        except BrokenPipeError:
            self.is_broken = True
            if self._ends:
                # In order, as by the signal: connections are closed.
                os.kill(os.getpid(), signal.SIGTERM)
        except BlockingIOError:  # somebody else has made it so
            return data
        except OSError:  # a full disk, a terminal that is gone: there is nobody to tell
            pass
        return data[:0]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                data = self._waiting.popleft()
            _waited(self._descriptor, None)
            rest = memoryview(data)
            while rest := self._rest_of(rest):
                time.sleep(_TRY_AGAIN_S)
            with self._changed:
                self._waiting_bytes -= len(data)
                self._changed.notify_all()
                if self.is_broken:
                    return


class Log(logging.Handler):
    """Writes the lines of a log to standard error; when nobody reads them, it asks us to end."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = Lines(sys.stderr)

    @property
    def is_broken(self) -> bool:
        """Tell whether nobody reads it any more."""
        return self._lines.is_broken

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            self._lines.put(self.format(record))
        except Exception:  # as every handler has it: a record with wrong arguments
            self.handleError(record)

    def close(self) -> None:
        """Give what waits a little more time."""
        self._lines.close()
        super().close()


class JsonFormatter(logging.Formatter):
    """Makes each record a line of JSON; a message that is one already stays as it is."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        if message.startswith("{"):
            return message
        at = datetime.fromtimestamp(record.created, UTC).isoformat()
        line = {"time": at, "level": record.levelname.lower(), "message": message}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _waited(descriptor: int, most_ms: int | None) -> bool:
    """Wait until it can be written to, or so long; tell whether it can."""
    if not _HAS_POLL:
        return most_ms is None  # whoever writes waits: a thread
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(most_ms))


def _is_gone(descriptor: int) -> bool:
    if not _HAS_POLL:
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are told always
    return any(event & select.POLLERR for _, event in poll.poll(0))
