"""What the machine lets this process have."""

from __future__ import annotations

from contextlib import suppress


def raise_open_files() -> None:
    """Let this process have as many files as it may: two for each connection of a proxy.

    The lower limit is for programs that use select(2), which we do not. Those that we start would
    inherit it. Nothing happens where there is no such limit.
    """
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # macOS says that there is none, and allows fewer
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
