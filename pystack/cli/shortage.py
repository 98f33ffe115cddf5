"""What the machine, or a limit of the user's, has no more of: in a sentence, with what helps."""

from __future__ import annotations

import errno
import os
from typing import Final

_FILES: Final = "this process may open no more files: raise the limit (ulimit -n)"
_MEMORY: Final = "there is no memory left for this process: see ulimit -v, and what else is running"
_PROCESSES: Final = "no more processes and threads are allowed: see ulimit -u, -v"
_OF_NUMBER: Final = {
    errno.EMFILE: _FILES,
    errno.ENOMEM: _MEMORY,
}


def sentence(error: BaseException) -> str | None:
    """Say what is short, which may be anywhere in what came of it; None: nothing is."""
    found: str | None = None
    match error:
        case BaseExceptionGroup():
            return next(filter(None, map(sentence, error.exceptions)), None)
        case MemoryError():
            return _MEMORY
        # Of fork(2). What cannot be written without waiting has another text.
        case BlockingIOError() if error.strerror == os.strerror(errno.EAGAIN):
            return _PROCESSES
        case OSError():
            found = _OF_NUMBER.get(error.errno or 0)
        case RuntimeError() if "can't start new thread" in str(error):  # CPython's words
            return _PROCESSES
        case ImportError():
            # A shared library that cannot be opened has a text alone.
            words = ((os.strerror(errno.EMFILE), _FILES), ("failed to map segment", _MEMORY))
            found = next((said for text, said in words if text in str(error)), None)
    if found is None and error.__cause__ is not None:
        found = sentence(error.__cause__)
    return found
