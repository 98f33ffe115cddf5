"""What a driver is: it lets the world's time pass, and wakes the tasks that wait for something.

There are two: `realtime.py` and `virtual.py`. Both run the same heap (`core/scheduler.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import trio

from pystack.core.errors import ConfigError
from pystack.core.scheduler import Scheduler
from pystack.runtime.driver.checks import Checks
from pystack.runtime.driver.stepping import Stepped


class Driver(Protocol):
    """One per world; everything of it happens in the thread of its Trio run."""

    scheduler: Scheduler
    epoch_s: float  # in virtual time: seconds since 1970 where its time is 0
    checks: Checks  # looked at after each event, and in virtual time whenever all tasks rest
    # What other parts have of this world, by its type: it goes when the driver does, though it may
    # know the driver (which it could not as a value of a WeakKeyDictionary).
    kept: dict[type, object]

    @property
    def is_virtual(self) -> bool:
        """Tell whether time is made up here, or the machine's."""
        ...

    def now(self) -> float:
        """Return the world's time in seconds, as `trio.current_time()` gives it."""
        ...

    def batch_begins(self) -> float:
        """A batch of frames is going to be given to the stack: return the world's time.

        `batch_done` has to follow, whatever comes between; no task may run before.
        """
        ...

    def batch_done(self, now: float) -> None:
        """A batch of frames has been given to the stack: run what is due."""
        ...

    def when_done(self, fn: Callable[[float], None]) -> None:
        """Call `fn(now)` once all is done that is due: for what then goes out of the world."""
        ...

    def wake(self, waiter: Waiter) -> None:
        """Let the task of `waiter` go on, now or as soon as it is its turn."""
        ...

    @property
    def paused(self) -> bool:
        """Tell whether time stands still."""
        ...

    def pause(self) -> None:
        """Let time stand still: no event happens, while tasks that can run do."""
        ...

    def resume(self) -> None:
        """Let time go on."""
        ...

    def step(self) -> Stepped:
        """While time stands still, let one event happen; return which. Raises ConfigError."""
        ...

    async def goes_on(self) -> None:
        """Return when time does not stand still: for whoever brings frames from outside."""
        ...


def wall_clock_offset_s(driver: Driver) -> float:
    """Return what the world's time lacks to be that since 1970."""
    return driver.epoch_s if driver.is_virtual else time.time() - driver.now()


def check_paused(driver: Driver) -> None:
    """Raise ConfigError where time goes on: then there is no step."""
    if not driver.paused:
        raise ConfigError("time goes on: pause first, then step")


class Waiter:
    """Where one task at a time waits for something that the stack will tell."""

    __slots__ = ("_driver", "_task")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._task: trio.lowlevel.Task | None = None  # None: nobody waits

    @property
    def busy(self) -> bool:
        """Tell whether a task waits here."""
        return self._task is not None

    async def wait(self) -> None:
        """Wait until `wake`. It may come for nothing: look again at what was waited for."""
        if self._task is not None:
            raise trio.BusyResourceError("another task is waiting for this already")
        self._task = trio.lowlevel.current_task()

        def abort(_raise_cancel: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> None:
        """Let the waiting task, if there is one, go on."""
        if self._task is not None:
            self._driver.wake(self)

    def resume(self) -> None:
        """For the driver: reschedule the task, unless it was cancelled in the meantime."""
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)
