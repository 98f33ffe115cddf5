"""What a run prints goes into a file, whose end is told where the run has failed."""

import os
from typing import Final

_LAST_BYTES: Final = 8192


def printed_last(descriptor: int) -> str:
    """Return the end of what a run has printed into a file."""
    size = os.fstat(descriptor).st_size
    # Not by its position, which the process and the sweep share.
    last = os.pread(descriptor, _LAST_BYTES, max(0, size - _LAST_BYTES))
    return last.decode(errors="replace")
