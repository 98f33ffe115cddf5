"""How far a sweep is, on standard error: a line that moves on a terminal, else lines now and then.

Failures are told as they come, a line each, and only the first of them: what went wrong a thousand
times is in the results.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

    from pystack.experiments.running import Progress

_LINE_S: Final = 10.0  # between lines, where there is no terminal
_FAILURES: Final = 5  # that are told


@contextmanager
def shown(*, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """Yield what is called with how far it is; `quiet`: it shows nothing."""
    if quiet:
        yield lambda _progress: None
    elif sys.stderr.isatty():
        with _bar() as bar:
            yield _OnTerminal(bar).tell
    else:
        lines = _Lines()
        yield lines.tell
        lines.end()


class _Failures:
    """Picks out what is told of failures."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def news(self, progress: Progress) -> str | None:
        """Return a line to be told; None: there is nothing new, or too much of it."""
        error = progress.last_error
        if not error or error in self._told or len(self._told) >= _FAILURES:
            return None
        self._told.add(error)
        return error if len(self._told) < _FAILURES else f"{error} (more are in the results)"


class _OnTerminal:
    def __init__(self, bar: RichProgress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None)
        self._failures = _Failures()

    def tell(self, progress: Progress) -> None:
        if (news := self._failures.news(progress)) is not None:
            self._bar.console.print(news, markup=False, highlight=False, soft_wrap=True)
        self._bar.update(
            self._task,
            total=progress.total,
            completed=progress.done,
            description=str(progress),
            refresh=True,
        )


class _Lines:
    def __init__(self) -> None:
        self._failures = _Failures()
        self._told_at = time.monotonic()
        self._last: Progress | None = None  # None: nothing has been told

    def tell(self, progress: Progress) -> None:
        self._last = progress
        if (news := self._failures.news(progress)) is not None:
            print(news, file=sys.stderr, flush=True)
        now = time.monotonic()
        if now - self._told_at >= _LINE_S:
            self._told_at = now
            print(str(progress), file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._last is not None:
            print(self._last, file=sys.stderr, flush=True)


@contextmanager
def _bar() -> Iterator[RichProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Shown

    shown = Shown(
        BarColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        auto_refresh=False,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    with shown:
        yield shown
