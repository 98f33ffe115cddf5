"""Programs that never wait: loops that look at the clock until time has passed, or work for ever.

In virtual time the world's time stands still while a program runs, so such a loop never ends. One
that reads a clock is found by the number of its reads, the same in each run. Any other is found by
a thread of the machine, by the machine's time: it looks now and then whether the world has got on,
and raises in the thread that keeps it. That is a thread of the world, or Trio's (a task's code, or
asyncio's callbacks) with code of a host.
"""

from __future__ import annotations

import _thread
import math
import os
import sys
from collections.abc import Iterator
from contextvars import Context
from time import monotonic  # the machine's, for code on no host
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from trio._core import _run as trio_run

from pystack.core.errors import PystackError
from pystack.runtime.blocking.frames import place_of, raise_in
from pystack.runtime.blocking.turns import (
    WorldThread,
    acquire_lock,
    release_lock,
    turns_in_use,
)
from pystack.runtime.current import current_host
from pystack.runtime.driver.waiting import runs_now

if TYPE_CHECKING:
    from pystack.runtime.borrowed.calendar import WorldClock
    from pystack.runtime.driver.driver import Driver

# So many hundred thousand reads of a host's clock at one instant are a loop: 0.3 s of it
_MOST_CALLS: Final = 10
# Seconds of the machine that a program may take without waiting once; 0: as many as it likes
PATIENCE: Final = "PYSTACK_BUSY_AFTER"
_PATIENCE_S: Final = 30.0
_LOOKS: Final = 6  # in that time
# Where a person looks at the program, it stands still for a reason.
_DEBUGGERS: Final = ("bdb", "pdb", "_pydevd_bundle.pydevd", "pydevd", "debugpy")


class BusyLoopError(PystackError, RuntimeError):
    """A program goes on and on without ever waiting, so that time cannot pass."""


def many_reads(clock: WorldClock) -> None:
    """Be told of 100,000 reads of a clock at one instant; raise where they are too many."""
    at, calls = _reads.get(clock, (-1.0, 0))
    now = clock.scheduler.now
    calls = calls + 1 if at == now else 1
    _reads[clock] = now, calls
    if calls < _MOST_CALLS:
        return
    _reads[clock] = now, 0
    host = current_host.get()
    where = f"on {host.name}" if host is not None else "in this world"
    raise BusyLoopError(
        f"a program {where} has read its clock {_MOST_CALLS * 100_000:,} times at {now:.9g} s, in "
        f"{place_of(sys._getframe())}: time passes only while it waits, so let it wait (time.sleep "
        "in a thread, `await trio.sleep` or `await asyncio.sleep` elsewhere)"
    )


class Watch:
    """Looks after worlds from a thread of its own, which is there while there are any.

    It goes when it finds none, at one of its looks: worlds that follow each other share it.
    """

    def __init__(self) -> None:
        self._worlds: dict[Driver, _World] = {}
        self._lock = _thread.allocate_lock()  # of what follows: a world may open while it goes
        self._every_s = math.inf  # between two looks; infinity: no thread runs
        self._bell = _thread.allocate_lock()  # freed to have it look at once
        acquire_lock(self._bell)

    def open(self, driver: Driver) -> None:
        """Look after a world, in whose thread of Trio this is called. A second time is one more."""
        if driver in self._worlds:
            self._worlds[driver].networks += 1
            return
        patience_s = _patience_s()
        self._worlds[driver] = _World(driver, patience_s)
        if not patience_s > 0:
            return
        acquire_lock(self._lock)
        before, self._every_s = self._every_s, min(self._every_s, patience_s / _LOOKS)
        release_lock(self._lock)
        if before == math.inf:
            # Not `threading`'s: nobody is to see it in a list, or to wait for it.
            Context().run(_thread.start_new_thread, self._run, ())
        elif before > self._every_s and self._bell.locked():
            release_lock(self._bell)

    def close(self, driver: Driver) -> None:
        """Leave it alone again, once all of its networks are closed."""
        world = self._worlds[driver]
        world.networks -= 1
        if not world.networks:
            del self._worlds[driver]
            _reads.clear()

    def _run(self) -> None:
        while True:
            acquire_lock(self._bell, True, self._every_s)
            worlds = [world for world in list(self._worlds.values()) if world.patience_s > 0]
            if not worlds:
                acquire_lock(self._lock)
                is_over = not self._worlds
                if is_over:
                    self._every_s = math.inf
                release_lock(self._lock)
                if is_over:
                    return
            for world in worlds:
                world.look()


class _World:
    """What is known of a world's progress."""

    def __init__(self, driver: Driver, patience_s: float) -> None:
        self.networks = 1
        self._driver, self.patience_s = driver, patience_s
        self._ident = _thread.get_ident()
        self._run: dict[str, Any] = vars(trio_run.GLOBAL_RUN_CONTEXT)  # Trio's, of that thread
        self._runner = self._run.get("runner")  # where it lives; another one may take its turns
        self._before: object = None  # how far it was at the last look
        self._since = 0.0  # of the machine: since when it has not got on
        self._is_told = False

    def look(self) -> None:
        """See whether it has got on, and raise in the thread that keeps it where it has not."""
        scheduler, turns = self._driver.scheduler, turns_in_use(self._driver)
        thread = None if turns is None else turns.running
        # A look at what has happened; nobody is stopped for it
        now = scheduler.now, scheduler._serial, 0 if turns is None else turns.count, thread
        if now != self._before:
            self._before, self._since, self._is_told = now, monotonic(), False
            return
        for_s = monotonic() - self._since
        if for_s >= self.patience_s:
            self._stop(thread)
        if for_s >= 2 * self.patience_s and not self._is_told:
            self._is_told = True
            self._tell(thread)

    def _stop(self, thread: WorldThread | None) -> None:
        if (kept := self._kept_by(thread)) is not None:
            ident, text = kept
            kind = type("BusyLoopError", (_ToldError,), {"text": text, "__module__": __name__})
            raise_in(ident, kind)

    def _tell(self, thread: WorldThread | None) -> None:
        # It does not come back to Python, where it could be stopped.
        if (kept := self._kept_by(thread)) is not None:
            print(f"pystack: {kept[1]}", file=sys.__stderr__, flush=True)

    def _kept_by(self, thread: WorldThread | None) -> tuple[int, str] | None:
        """Return who keeps the world, and a sentence; None: nobody, or nobody on a host."""
        ident = self._ident if thread is None else thread.ident
        frame = sys._current_frames().get(ident)
        if frame is None or any(_is_debugger(at) for at in _frames(frame)):
            return None
        if thread is not None:
            who = f"the thread {thread.name}"
        else:
            task = self._run.get("task")
            if self._run.get("runner") is not self._runner:
                return None  # the thread is in another run, and this one waits for its ticks
            host = None if task is None else task.context.get(current_host)
            if task is None or not _is_in_a_task(frame):
                return None
            name = task.name if host is not None else runs_now(task)
            if not name:
                return None
            who = (
                f"a program on {host.name} ({name})" if host is not None else f"a program ({name})"
            )
        return ident, (
            f"{who} has not waited once in {self.patience_s:g} s of the machine's time, in "
            f"{place_of(frame)}: nothing else in its world goes on meanwhile. Let it wait, or "
            f"set {PATIENCE} to the seconds that it needs (0: never mind)"
        )


class _ToldError(BusyLoopError):
    """An error that is raised in another thread: it is given no words there, and brings its own."""

    text = ""

    def __init__(self, *args: object) -> None:
        super().__init__(*(args or (self.text,)))


def _patience_s() -> float:
    try:
        return float(os.environ.get(PATIENCE, _PATIENCE_S))
    except ValueError:
        return _PATIENCE_S


def patience() -> float:
    """Return the seconds of the machine that are waited for what may never come."""
    seconds = _patience_s()
    return seconds if seconds > 0 else math.inf


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_debugger(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__") in _DEBUGGERS


def _is_in_a_task(frame: FrameType) -> bool:
    """Tell whether Trio's thread is in a task's code, and not in Trio's loop or what that calls."""
    for at in _frames(frame):
        if at.f_code.co_name == "unrolled_run":
            return False
        if at.f_globals.get("__name__", "").split(".")[0] not in ("trio", "pystack"):
            return True
    return False


WATCH: Final = Watch()
_reads: Final[dict[WorldClock, tuple[float, int]]] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: WATCH.__init__())  # type: ignore[misc]
