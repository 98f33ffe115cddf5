"""How far a long run is: a line on standard error, where that is a terminal, and nowhere else.

It is drawn when it is told something, never by itself: what is measured meanwhile is left alone.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_TICK_S: Final = 0.25
CLEARED: Final = "\r\x1b[2K"  # what a line that is printed beside it begins with


class Progress:
    """One such line, for a `with` block. Without a terminal, or without rich, it is nothing."""

    def __init__(self, what: str, total: float) -> None:
        """`total`: what `tell` counts up to."""
        self._what = what
        self._total = total
        self._shown: RichProgress | None = None  # None: nobody could see it
        self._task: TaskID | None = None

    @property
    def is_shown(self) -> bool:
        """Tell whether somebody sees it."""
        return self._shown is not None

    def __enter__(self) -> Progress:
        """Draw it for the first time."""
        if not sys.stderr.isatty():
            return self
        try:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Shown
        except ImportError:
            return self
        self._shown = Shown(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._shown.add_task(self._what, total=self._total)
        self._shown.start()
        self._shown.refresh()
        return self

    def __exit__(self, *_error: object) -> None:
        """Take it away."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None

    def tell(self, done: float, what: str | None = None) -> None:
        """Draw how far it is, and with what; None: with the same as before."""
        if self._shown is not None and self._task is not None:
            self._shown.update(
                self._task, completed=min(done, self._total), description=what, refresh=True
            )


@contextmanager
def ticking(progress: Progress, done: Callable[[], float]) -> Iterator[None]:
    """Tell what `done` returns, four times a second, for the length of the block.

    From another thread: it must be something that can be read at any time.
    """
    if not progress.is_shown:
        yield
        return
    over = threading.Event()

    def tick() -> None:
        while not over.wait(_TICK_S):
            progress.tell(done())

    thread = threading.Thread(target=tick, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
