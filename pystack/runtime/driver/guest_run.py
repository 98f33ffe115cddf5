"""A Trio run that others carry on, tick by tick, in the thread that they have.

Between two of their turns the world stands still, and Trio is out of the way, so that another one
may run in the thread. Whoever inherits this says what runs (`begin`), and when it was enough.

A run that nobody ends is ended with the interpreter, or when the one who holds it is collected
(`end_with`); `orphans.py` says where and when.
"""

from __future__ import annotations

import os
import signal
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import current_thread, main_thread
from time import monotonic
from types import FrameType
from typing import TYPE_CHECKING, Any

import outcome
import sniffio
import trio
from trio._core import _run as trio_run

from pystack.runtime.driver import orphans
from pystack.runtime.driver.virtual import VirtualClock, seeded_trio

if TYPE_CHECKING:
    from pystack.core.rng import Random


_Handler = Callable[[int, FrameType | None], Any] | int | None


class GuestRun:
    """A Trio run as a guest."""

    def __init__(self, clock: VirtualClock | None, seed: int) -> None:
        """`clock`: None: time is the machine's. `seed`: of the order of Trio's tasks."""
        self._clock = clock
        self._seed = seed
        self._random: Random | None = None  # of Trio's scheduler; None: it has not run
        self._tick: Callable[[], object] | None = None  # None: a thread waits for I/O
        self._from_threads: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._run_context: dict[str, object] = {}  # Trio's, while another run may have its place
        self._hooks = sys.get_asyncgen_hooks()
        self._on_sigint: _Handler = None  # Trio's; None: it has not run
        self._outcome: outcome.Outcome[None] | None = None  # None: Trio runs
        self.thread = current_thread()  # that had its last turn
        self.pid = os.getpid()
        self._finalizer: weakref.finalize[..., Any] | None = None  # None: it has no holder

    def begin(self, main: Callable[[], Awaitable[None]]) -> None:
        """Start Trio's run, to be called in its place: nothing of it happens before `pump`."""
        orphans.opened(self)
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=self._from_threads.put,
            run_sync_soon_not_threadsafe=self._set_tick,
            done_callback=self._set_outcome,
            # Another run may be around it, and worlds of two loops end in any order.
            host_uses_signal_set_wakeup_fd=True,
            clock=self._clock,
            strict_exception_groups=True,
        )

    def pump(self, is_enough: Callable[[], bool], until: float | None = None) -> None:
        """Run Trio until that is so, or its run has ended. Raises what it ends with.

        `until`: of the machine's monotonic clock; None: as long as it takes.
        """
        while not is_enough():
            tick, self._tick = self._tick, None
            if tick is None:
                tick = self._tick_of_thread(until)
            tick()
            if self._outcome is not None:
                self._outcome.unwrap()
                return

    def _tick_of_thread(self, until: float | None) -> Callable[[], object]:
        if until is None:
            return self._from_threads.get()
        return self._from_threads.get(timeout=max(until - monotonic(), 0.0))

    def cancel(self) -> None:
        """Cancel all that runs in it; called in its place."""
        raise NotImplementedError

    def end(self, until: float | None = None) -> None:
        """End it: what runs in it is cancelled, and what comes of that is nobody's business.

        `until`: as in `pump`; what has not ended by then is left. Does nothing where it does not
        run.
        """
        if self._outcome is not None:
            return
        with suppress(Exception), self._in_place():
            self.cancel()
            self.pump(lambda: until is not None and monotonic() > until, until)

    def end_with(self, holder: object) -> None:
        """End it when `holder` is collected. Nothing in the run must hold that."""
        orphans.watch_collector()
        finalizer = weakref.finalize(holder, orphans.dropped, self, repr(holder))
        finalizer.atexit = False  # whoever is open then is ended anyway
        self._finalizer = finalizer

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put Trio's run where it looks for it, and take it away again afterwards."""
        orphans.end_all_here()
        try:
            with self._in_place():
                yield
        finally:
            orphans.end_all_here()

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        self.thread = current_thread()
        place = trio_run.GLOBAL_RUN_CONTEXT.__dict__
        others, library = dict(place), sniffio.thread_local.name
        hooks = sys.get_asyncgen_hooks()
        place.clear()
        place.update(self._run_context)
        if self._run_context:
            sys.set_asyncgen_hooks(*self._hooks)
        # Ctrl-C is of the run that is in the place, and not of one that waits for its next turn.
        others_on_sigint = _exchange_on_sigint(self._on_sigint)
        try:
            if self._clock is None:
                yield
            else:
                with seeded_trio(self._seed, self._random) as self._random:
                    yield
        finally:
            self._run_context = dict(place)
            self._hooks = sys.get_asyncgen_hooks()
            self._on_sigint = _exchange_on_sigint(others_on_sigint)
            place.clear()
            place.update(others)
            sys.set_asyncgen_hooks(*hooks)
            sniffio.thread_local.name = library

    def _set_tick(self, tick: Callable[[], object]) -> None:
        self._tick = tick

    def _set_outcome(self, result: outcome.Outcome[None]) -> None:
        self._outcome = result
        orphans.closed(self)
        if self._finalizer is not None:
            self._finalizer.detach()


def _exchange_on_sigint(handler: _Handler) -> _Handler:
    """Set what Ctrl-C calls, unless that is None, and return what it called; None: not Python's."""
    if current_thread() is not main_thread():
        return None
    before = signal.getsignal(signal.SIGINT)
    if handler is not None:
        signal.signal(signal.SIGINT, handler)
    return before
