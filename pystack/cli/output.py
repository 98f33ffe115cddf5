"""Standard output and standard error, whose reader may go away: `pystack lab run ... | head`.

Then there is nobody to tell anything, and pystack ends in silence, with the status that a shell
shows for a program that SIGPIPE has ended. Python ignores that signal, and so do we: it could come
from any pipe or socket of a lab's programs, and a host on a TAP device has connections to close.
"""

import logging
import os
import select
import signal
import sys
from typing import Final

READER_GONE_STATUS: Final = 128 + signal.SIGPIPE
_STREAMS: Final = (1, 2)


def reader_is_gone() -> bool:
    """Tell whether nobody reads standard output, or standard error, any more."""
    return any(_is_gone(descriptor) for descriptor in _STREAMS)


def abandon() -> None:
    """Write what is still in the buffers to nowhere, or Python complains about it as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in _STREAMS:
        if _is_gone(descriptor):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


class Log(logging.StreamHandler):  # type: ignore[type-arg]  # generic for the type checker alone
    """Writes the lines of a log to standard error; when nobody reads them, it asks us to end."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.is_broken = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Let the program end in order, as by SIGTERM; other errors are logging's to tell."""
        if not isinstance(sys.exception(), BrokenPipeError):
            super().handleError(record)
        elif not self.is_broken:
            self.is_broken = True
            signal.raise_signal(signal.SIGTERM)


def _is_gone(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, 0)  # errors are told always
    return any(event & select.POLLERR for _, event in poll.poll(0))
