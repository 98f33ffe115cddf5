"""The driver of virtual time: nothing waits, and the same seed gives the same run.

Time stands still while any task can run. When all are blocked, the driver wakes the next task that
something has happened for; when there is none, it moves time on to the next event of the heap or
the next of Trio's deadlines, and stops there as soon as a task is to be woken. So tasks run one
after the other in an order that the world determines, not the scheduler.

Trio itself runs tasks that become ready together in random order; `run` seeds that too, with the
switch that Trio keeps for Hypothesis. It is private; a test tells when it has changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Final, TypeVar, TypeVarTuple

import trio
from trio._core import _run as trio_run

from pystack.core.errors import PystackError
from pystack.core.scheduler import Scheduler
from pystack.runtime.driver import Waiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FOREVER_S = 10.0**9  # Trio wants a number; nothing but the driver ends its sleep


class _Last(float):
    """A time as short as its value, which yet comes after all others of that length.

    Whoever waits for all tasks to be blocked (tests do, `trio.testing`) is let go together with
    those who gave an equal cushion. Time may not move on before such programs have gone on.
    """

    __slots__ = ()
    __hash__ = float.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __gt__(self, other: float) -> bool:
        return float(self) >= other


_AFTER_ALL: Final = _Last(0.0)
# With its slash at the end; the checkout around it may have the same name.
_PACKAGE: Final = str(Path(__file__).parent.parent / "_")[:-1]
_TRIOS_OWN_TASK = "<TrioToken.run_sync_soon task>"
_THREAD_POLL_S = 0.001  # of the machine's time


class DeadlockError(PystackError, RuntimeError):
    """Nothing can ever happen again: all tasks wait, no event and no deadline is left."""


class VirtualClock(trio.abc.Clock):
    """Trio's clock in a run of virtual time: it shows what the scheduler says."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(0.0)
        self.driver = VirtualDriver(self.scheduler)

    def start_clock(self) -> None:
        """Begin at 0; there is nothing to start."""

    def current_time(self) -> float:
        """Return the world's time."""
        return self.scheduler.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return 0 for a deadline that has passed; for others, sleep until the driver acts."""
        return 0.0 if deadline <= self.scheduler.now else _FOREVER_S


class VirtualDriver:
    """Lets virtual time pass."""

    is_virtual = True

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._woken: deque[Waiter] = deque()

    def now(self) -> float:
        """Return the world's time: it does not move while a task runs."""
        return self.scheduler.now

    def batch_done(self, now: float) -> None:
        """Run what is due."""
        self.scheduler.run_due(now)

    def wake(self, waiter: Waiter) -> None:
        """Queue the task: they are woken one at a time, in this order."""
        if waiter not in self._woken:
            self._woken.append(waiter)

    async def run(self) -> None:
        """Run for ever: wake, or move time on, whenever all tasks are blocked."""
        from trio.testing import wait_all_tasks_blocked  # here, for it brings all of pytest: 60 ms

        scheduler = self.scheduler
        while True:
            await wait_all_tasks_blocked(_AFTER_ALL)
            if self._woken:
                self._woken.popleft().resume()
                continue
            if _a_thread_works():
                # Time stands still until it is done: how long that takes, the world is not to see.
                await wait_all_tasks_blocked(_THREAD_POLL_S)
                continue
            statistics = trio.lowlevel.current_statistics()
            deadline = _sum(scheduler.now, statistics.seconds_to_next_deadline)
            if deadline == math.inf and scheduler.next_at() == math.inf:
                raise DeadlockError(
                    f"nothing can ever happen again; waiting for ever: {waiting_tasks()}"
                )
            # Stops at the event that wakes a task. Else time stands at the deadline after it, and
            # Trio cancels what it is the deadline of before this task runs again.
            scheduler.run_due(deadline, stop=self._has_woken)
            # Nothing else can run, so the task may at once: that saves a round of Trio's (10 %).
            if (
                self._woken
                and scheduler.now < deadline
                and not trio.lowlevel.current_statistics().tasks_runnable
            ):
                self._woken.popleft().resume()

    def _has_woken(self) -> bool:
        return bool(self._woken)


def run(async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts, seed: int = 0) -> T:
    """Run a program in virtual time, like `trio.run`; `seed` decides the order of equals.

    Raises what the program raises, and DeadlockError.
    """
    clock = VirtualClock()
    # Errors come out as they are: the nursery is nobody's business, so it gets none to wrap.
    errors: list[BaseException] = []

    async def main() -> T:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drive, nursery.cancel_scope)
            try:
                result = await async_fn(*args)
            except BaseException as error:  # SystemExit as well; a Cancelled is raised on below
                errors.append(error)
            nursery.cancel_scope.cancel()
        if errors:
            raise errors[0]
        return result

    async def drive(program: trio.CancelScope) -> None:
        try:
            await clock.driver.run()
        except Exception as error:
            errors.append(error)
            program.cancel()

    with _seeded_trio(seed):
        return trio.run(main, clock=clock, strict_exception_groups=True)


@contextmanager
def _seeded_trio(seed: int) -> Iterator[None]:
    # As trio's own Hypothesis plug-in does it: sort each batch, then shuffle it with a known seed.
    old_flag, old_random = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r = Random(seed)
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = old_flag  # type: ignore[misc]
        trio_run._r = old_random


def _sum(now: float, seconds: float) -> float:
    """Return now + seconds, or a little less, but never more than what `seconds` was taken from.

    Trio gives the difference alone. Of two numbers within a factor of two it is exact (Sterbenz);
    of others it may be rounded up, and time would go past the deadline. So it stops just before,
    and from there the rest is exact.
    """
    total = now + seconds
    is_exact = now == 0 or total <= 2 * now or total == math.inf
    return total if is_exact else math.nextafter(total, 0.0)


def _a_thread_works() -> bool:
    # The tasks are looked through only while there are threads: it costs.
    return trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0 and any(
        _parked_by(task) == "to_thread_run_sync" for task in _all_tasks()
    )


def waiting_tasks() -> str:
    """Return every task that waits for something else than its children, and where: a message."""
    waiting = [
        f"{task.name} in {_place(task)}"
        for task in _all_tasks()
        # A task at the end of its nursery waits for tasks that are named themselves; one that
        # waits for all to be blocked, as the driver, does not wait for anything to happen.
        if task is not trio.lowlevel.current_task()
        and _parked_by(task) not in ("_nested_child_finished", "wait_all_tasks_blocked")
        and task.name != _TRIOS_OWN_TASK
    ]
    return "; ".join(sorted(waiting)) or "nothing"


def _all_tasks() -> Iterator[trio.lowlevel.Task]:
    root = trio.lowlevel.current_root_task()
    tasks = [root] if root is not None else []
    while tasks:
        task = tasks.pop()
        for nursery in task.child_nurseries:
            tasks.extend(nursery.child_tasks)
        yield task


def _parked_by(task: trio.lowlevel.Task) -> str:
    """Return the name of the function that made the task wait; empty if it does not."""
    caller = ""
    for frame, _ in task.iter_await_frames():
        if frame.f_code.co_name == "wait_task_rescheduled":
            return caller
        caller = frame.f_code.co_name
    return ""


def _place(task: trio.lowlevel.Task) -> str:
    """Return where the program's own code waits, and for which call of this package."""
    place, call = "?", ""
    for frame, line in task.iter_await_frames():
        code = frame.f_code
        if "/trio/" in code.co_filename or code is Waiter.wait.__code__:
            continue
        if code.co_filename.startswith(_PACKAGE):
            call = f", in {code.co_qualname}"
        else:
            file = code.co_filename.rpartition("/")[2]
            place, call = f"{code.co_qualname} ({file}:{line})", ""
    return place + call
