"""Runs whose holder is gone, and those that are open when the interpreter ends.

The collector may run anywhere: in another thread, in the middle of another run's turn, in C code
that is not to be called again before it is done (CPython 3.11's own, which makes syntax trees). To
end a run means that its program cleans up, so what the collector finds is only noted down; it is
ended, and said, where its own thread has nothing under way: before and after a turn of any run, and
when the interpreter ends. Whoever loses its last reference elsewhere (`del`) is ended there.
"""

from __future__ import annotations

import atexit
import gc
import os
import warnings
from collections import deque
from threading import Thread, get_ident
from time import monotonic
from typing import Final, Literal, Protocol
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
_orphans: Final[deque[tuple[Orphan, str]]] = deque()  # and what was dropped
_collecting: Final[list[None]] = []  # something, while the collector runs


def opened(run: Orphan) -> None:
    """Know of a run, so that it is ended with the interpreter at the latest."""
    _open.add(run)
    # First of all that is done at exit: its program is to find what it has borrowed.
    atexit.unregister(_end_all)
    atexit.register(_end_all)


def closed(run: Orphan) -> None:
    """Forget a run that has ended."""
    _open.discard(run)


def watch_collector() -> None:
    """Know from here on when the collector runs. Doing it again does nothing."""
    if _collector not in gc.callbacks:
        gc.callbacks.append(_collector)


def dropped(run: Orphan, what: str) -> None:
    """Its holder is gone: end it, now or when its thread comes to that."""
    if run.pid != os.getpid():
        return  # a copy of the parent's
    _orphans.append((run, what))
    if not _collecting and not trio_run.GLOBAL_RUN_CONTEXT.__dict__:
        end_all_here()


def end_all_here() -> None:
    """End those of this thread, and those whose thread is gone."""
    for _ in range(len(_orphans)):
        try:
            run, what = _orphans.popleft()
        except IndexError:  # another thread was faster
            return
        if run.pid != os.getpid():
            continue  # noted down before the fork, by the parent
        if _is_here(run):
            run.end()
            _Told(what)
        else:
            _orphans.append((run, what))


def _collector(phase: Literal["start", "stop"], _info: object) -> None:
    if phase == "start":
        _collecting.append(None)
    else:
        _collecting.clear()


def _is_here(run: Orphan) -> bool:
    return run.thread.ident == get_ident() or not run.thread.is_alive()


class _Told:
    """Says it as a finalizer does: where warnings are errors, nobody's call fails of it."""

    def __init__(self, what: str) -> None:
        self._what = what

    def __del__(self) -> None:
        text = f"{self._what} was dropped without close()"
        warnings.warn(text, ResourceWarning, stacklevel=2)


def _end_all() -> None:
    until = monotonic() + EXIT_S
    for run in list(_open):
        if _is_here(run) and run.pid == os.getpid():
            run.end(until)
    while _orphans:
        run, what = _orphans.popleft()
        if run.pid == os.getpid():
            _Told(what)
