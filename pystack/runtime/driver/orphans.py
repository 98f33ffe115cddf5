"""Runs whose holder is gone, and those that are open when the interpreter ends.

The collector may run anywhere: in another thread, or in the middle of another run's turn, with half
of something done. To end a run means that its program cleans up, so it waits until its own thread
has nothing under way.
"""

from __future__ import annotations

import atexit
import os
import warnings
from collections import deque
from threading import Thread, get_ident
from time import monotonic
from typing import Final, Protocol
from weakref import WeakSet

from trio._core import _run as trio_run

EXIT_S: Final = 2.0  # for all that is open at the end; a program that refuses to end is left


class Orphan(Protocol):
    """A run that may lose its holder."""

    thread: Thread  # that had its last turn
    pid: int

    def end(self, until: float | None = None) -> None:
        """Cancel what runs in it and wait for that. `until`: of the machine's monotonic clock."""
        ...


# Of the whole process, as the collector and its exit are: what nobody holds is nowhere else.
_open: Final[WeakSet[Orphan]] = WeakSet()
_orphans: Final[deque[Orphan]] = deque()


def opened(run: Orphan) -> None:
    """Know of a run, so that it is ended with the interpreter at the latest."""
    _open.add(run)
    # First of all that is done at exit: its program is to find what it has borrowed.
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def closed(run: Orphan) -> None:
    """Forget a run that has ended."""
    _open.discard(run)


def dropped(run: Orphan, what: str) -> None:
    """Its holder is gone: end it, now or when its thread comes to that."""
    if run.pid != os.getpid():
        return  # a copy of the parent's
    _orphans.append(run)
    if not trio_run.GLOBAL_RUN_CONTEXT.__dict__:
        end_all_here()
    warnings.warn(f"{what} was dropped without close()", ResourceWarning, stacklevel=2)


def end_all_here() -> None:
    """End those of this thread, and those whose thread is gone."""
    for _ in range(len(_orphans)):
        try:
            run = _orphans.popleft()
        except IndexError:  # another thread was faster
            return
        if run.thread.ident == get_ident() or not run.thread.is_alive():
            run.end()
        else:
            _orphans.append(run)


def _end_all() -> None:
    until = monotonic() + EXIT_S
    _orphans.clear()
    for run in list(_open):
        here = run.thread.ident == get_ident() or not run.thread.is_alive()
        if here and run.pid == os.getpid():
            run.end(until)
