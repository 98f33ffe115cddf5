"""What the machine lets this process have."""

from __future__ import annotations

import math
from contextlib import suppress


def raise_open_files() -> int:
    """Let this process open as many files as it may; return how many it might before.

    Connections take one or two each. The lower limit is for programs that use select(2), which we
    do not; those that we start should get it back. Where there is none, nothing happens: 0.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS says that there is none, and allows fewer
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return before


def open_files() -> float:
    """Return how many files this process may open; infinite where nothing says so."""
    try:
        import resource
    except ImportError:  # not on Windows
        return math.inf
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if most == resource.RLIM_INFINITY else most
