"""The driver of virtual time: nothing waits, and the same seed gives the same run.

Time stands still while any task can run. When none can, Trio asks its clock how long to sleep, and
there the driver acts: it wakes the next task that something has happened for; when there is none,
it moves time on to the next event of the heap or the next of Trio's deadlines, and stops there as
soon as a task is to be woken. So tasks run one after the other in an order that the world
determines, not the scheduler, and a task that waits for a frame costs one turn of Trio's loop.

Two things of Trio's are used that are private: who waits for all tasks to be blocked (they go on
before time does), and the switch that Trio keeps for Hypothesis, which seeds the random order of
tasks that become ready together. Tests tell when they have changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
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


# With its slash at the end; the checkout around it may have the same name.
_PACKAGE: Final = str(Path(__file__).parent.parent / "_")[:-1]
_TRIOS_OWN_TASK = "<TrioToken.run_sync_soon task>"


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
        """Let time pass: Trio asks whenever no task can run, and looks again after what is told.

        It looks at its descriptors first in any case, so 0 is right for all that happened here.
        """
        if deadline <= self.scheduler.now or self.driver.go_on(deadline):
            return 0.0
        return _FOREVER_S


class VirtualDriver:
    """Lets virtual time pass."""

    is_virtual = True

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self._woken: deque[Waiter] = deque()
        self._task: trio.lowlevel.Task | None = None  # that of `run`; None: it does not run
        self._error: Exception | None = None  # of an event; None: there was none

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
        """Let time pass for as long as this runs. Raises DeadlockError, and what an event raises.

        The task itself only waits: it is what errors come out of, and its context is the events'.
        """
        self._context = copy_context()
        self._runner = trio_run.GLOBAL_RUN_CONTEXT.runner
        self._threads = trio.to_thread.current_default_thread_limiter()
        self._task = trio.lowlevel.current_task()
        try:
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
        finally:
            self._task = None
        if self._error is not None:
            raise self._error
        raise DeadlockError(f"nothing can ever happen again; waiting for ever: {waiting_tasks()}")

    def go_on(self, deadline: float) -> bool:
        """Wake a task or move time on, at most to Trio's next deadline; False: it stands still."""
        task = self._task
        if (
            task is None
            # They go on before time does: a test that waits for quiet, a function from a thread.
            or self._runner.waiting_for_idle
            or self._runner.entry_queue.size()
            # Until it is done: how long that takes, the world is not to see.
            or (self._threads.borrowed_tokens and _a_thread_works())
        ):
            return False
        scheduler, woken = self.scheduler, self._woken
        if woken:
            woken.popleft().resume()
            return True
        if deadline == math.inf and scheduler.next_at() == math.inf:
            trio.lowlevel.reschedule(task)  # to tell of the deadlock
            return True
        try:
            self._context.run(scheduler.run_due, deadline, self._is_task_ready)
        except Exception as error:
            self._error = error
            trio.lowlevel.reschedule(task)
            return True
        # At the deadline, Trio cancels what it is the deadline of before a task is woken.
        if woken and scheduler.now < deadline and not self._runner.runq:
            woken.popleft().resume()
        return True

    def _is_task_ready(self) -> bool:
        return bool(self._woken or self._runner.runq)


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


def _a_thread_works() -> bool:
    # The tasks are looked through only while there are threads: it costs.
    return any(_parked_by(task) == "to_thread_run_sync" for task in _all_tasks())


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
