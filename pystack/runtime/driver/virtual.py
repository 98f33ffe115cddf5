"""The driver of virtual time: nothing waits, and the same seed gives the same run.

Time stands still while any task can run. When none can, Trio asks its clock how long to sleep, and
there the driver acts: it wakes the next task that something has happened for; when there is none,
it moves time on to the next event of the heap or the next of Trio's deadlines, and stops there as
soon as a task is to be woken. So tasks run one after the other in an order that the world
determines, not the scheduler, and a task that waits for a frame costs one turn of Trio's loop.

Two private parts of Trio are used: the waiters for all tasks to be blocked (they go on before time
does), and the switch that Trio keeps for Hypothesis, which seeds the random order of
tasks that become ready together. Tests tell when they have changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from random import Random
from typing import Final, TypeVar, TypeVarTuple

import trio
from trio._core import _run as trio_run

from pystack.core.calendar import DEFAULT_EPOCH_S
from pystack.core.errors import ConfigError, PystackError
from pystack.core.scheduler import Scheduler
from pystack.core.units import parse_time_s
from pystack.runtime.driver import orphans
from pystack.runtime.driver.checks import Checks
from pystack.runtime.driver.driver import Waiter, check_paused
from pystack.runtime.driver.gate import Gate
from pystack.runtime.driver.stepping import Stepped, run_one
from pystack.runtime.driver.waiting import all_tasks, parked_by, waiting_tasks
from pystack.runtime.hints import check_called_later, explain

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_FOREVER_S = 10.0**9  # Trio wants a number; nothing but the driver ends its sleep


# How often all that is to happen may have happened, to nobody's benefit, before it is called dead.
_ROUNDS: Final = 3
# How far to go without a look at what is to happen: nearly all waits are shorter.
_FIRST_LOOK_S: Final = 1.0


class DeadlockError(PystackError, RuntimeError):
    """Nothing can ever happen again: all tasks wait, and no event or deadline is left.

    Upkeep does not count: window probes and keep-alives that are answered could go on for ever
    without any progress.
    """


class VirtualTimeoutError(PystackError, TimeoutError):
    """The run did not end within the virtual time that it was given."""


class VirtualClock(trio.abc.Clock):
    """Trio's clock in a run of virtual time: it shows what the scheduler says."""

    is_virtual = True

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
        self.epoch_s = DEFAULT_EPOCH_S  # that of the network that has opened last
        self.checks = Checks()
        self.kept: dict[type, object] = {}
        self.until = math.inf  # where time ends, and the run with it
        self._woken: deque[Waiter | Gate] = deque()
        self._gate = Gate(self._woken)
        self.paused = False  # True: time stands still
        self.had_threads = False  # time has waited for a thread of the machine
        self._task: trio.lowlevel.Task | None = None  # that of `run`; None: it does not run
        self._error: BaseException | None = None  # to be told of by `run`; None: there was none
        self._is_ending = False  # there was an error, and the program may clean up
        self._is_task_ready: Callable[[], object] = bool
        self._context = copy_context()  # of events: that of `run`
        # Looks whether a thread of the world can go on, before time does; None: there are none
        self.look: Callable[[], bool] | None = None

    def now(self) -> float:
        """Return the world's time: it does not move while a task runs."""
        return self.scheduler.now

    def batch_begins(self) -> float:
        """Return the time, which stands still."""
        return self.now()

    def batch_done(self, now: float) -> None:
        """Run what is due."""
        self.scheduler.run_due(now)

    def when_done(self, fn: Callable[[float], None]) -> None:
        """Call it at this instant, after what was planned for it before."""
        self.scheduler.call_at(self.scheduler.now, fn)

    def wake(self, waiter: Waiter) -> None:
        """Queue the task: they are woken one at a time, in this order."""
        if waiter not in self._woken:
            self._woken.append(waiter)

    def pause(self) -> None:
        """Let time stand still: no event happens, and no deadline comes. Tasks that can run do."""
        if not self.paused:
            self.paused = True
            self._gate.stop()

    def resume(self) -> None:
        """Let it go on."""
        self.paused = False

    def step(self) -> Stepped:
        """Let one event happen, or time move on to Trio's next deadline; then time stands still.

        Tasks that it wakes run before the next one. It is what happens without a pause too, in the
        same order, whoever steps.
        """
        check_paused(self)
        waits_s = trio.lowlevel.current_statistics().seconds_to_next_deadline
        deadline = min(self.scheduler.now + waits_s, self.until)
        return run_one(self.scheduler, deadline, self._context.run)

    async def goes_on(self) -> None:
        """Return at once: nothing comes from outside."""

    def attend(self, *, attended: bool) -> None:
        """Know that there is somebody in another thread, who may `post`; or that he has gone.

        While time stands still, what he says is waited for.
        """
        self._gate.attended += 1 if attended else -1

    def post(self, call: Callable[[], object]) -> None:
        """Have a function called in the world's thread, between two events. From any thread."""
        self._gate.post(call)

    async def run(self) -> BaseException:
        """Let time pass until something goes wrong, and return that.

        That is DeadlockError, VirtualTimeoutError, and whatever an event raises. The task itself
        only waits: its context is the events'. It may be called again after an error, for a
        program that has to clean up.
        """
        self._context = copy_context()
        self._runner = runner = trio_run.GLOBAL_RUN_CONTEXT.runner
        self._threads = trio.to_thread.current_default_thread_limiter()
        entries = runner.entry_queue
        woken, ready, calls, other_calls = (
            self._woken,
            runner.runq,
            entries.queue,
            entries.idempotent_queue,
        )
        # What comes from outside (Ctrl-C, a thread's call) is for a task of Trio's to see to.
        self._is_task_ready = lambda: woken or ready or calls or other_calls
        self._task = trio.lowlevel.current_task()
        try:
            await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
        finally:
            self._task = None
        error, self._error = self._error, None
        assert error is not None
        return error

    def begin_anew(self) -> None:
        """Go on after an error as if there had been none: what comes is another program's."""
        self._is_ending = False

    def go_on(self, deadline: float) -> bool:
        """Wake a task or move time on, at most to Trio's next deadline; False: it stands still."""
        task = self._task
        if (
            task is None
            # Until it is done: how long that takes, the world is not to see.
            or (self._threads.borrowed_tokens and self._waits_for_threads())
            # They go on before time does: a test that waits for quiet, a function from a thread.
            or self._runner.waiting_for_idle
            or self._runner.entry_queue.size()
        ):
            return False
        woken, gate = self._woken, self._gate
        try:
            if self.checks:
                self.checks.look()
            if gate.is_rung:
                gate.pass_by()
            if (woken and self._resume_next()) or (self.look is not None and self.look()):
                return True
            # Where somebody in another thread wants something, time goes on at the same place
            # after it; tasks that the last event has made ready go first.
            while not ((gate.is_rung or self.paused) and self._stand(deadline)):
                self._pass_time(deadline)
                if not gate.is_rung:
                    break
        except BaseException as error:
            # Of an event (pytest's outcomes and SystemExit are no Exceptions), or of a signal.
            if self._is_ending and isinstance(error, DeadlockError):
                raise  # it cannot even clean up: Trio itself has to give up
            self._error, self._is_ending = error, True
            trio.lowlevel.reschedule(task)
            return True
        # At the deadline, Trio cancels what it is the deadline of before a task is woken.
        if woken and self.scheduler.now < deadline and not self._runner.runq:
            self._resume_next()
        return True

    def _resume_next(self) -> bool:
        """Resume the task that was woken first; False: there is none, only the gate."""
        woken, gate = self._woken, self._gate
        waiter = woken.popleft()
        while waiter is gate:
            is_alone = gate.is_alone()
            woken.append(gate)  # who posts is served between two events: after all tasks
            if is_alone:
                return False
            waiter = woken.popleft()
        assert not isinstance(waiter, Gate)
        waiter.resume()
        return True

    def _has_task(self) -> object:
        """Tell whether a task is ready, whatever somebody in another thread wants."""
        runner = self._runner
        return runner.runq or runner.entry_queue.size() or not self._gate.is_alone()

    def _waits_for_threads(self) -> bool:
        works = _a_thread_works()
        self.had_threads |= works
        return works

    def _look_first(self) -> object:
        """Tell whether a task is ready, where there are checks: after each event."""
        self.checks.look()
        return self._is_task_ready()

    def go_on_now(self) -> bool:
        """Run what else happens at this instant, until a task is ready; False: nothing does."""
        now = self.scheduler.now
        if self.paused or self.scheduler.next_at() > now:
            return False
        self._context.run(self.scheduler.run_due, now, self._is_task_ready)
        return True

    def _pass_time(self, deadline: float) -> None:
        """Run events until a task is ready, at most up to Trio's next deadline."""
        scheduler, woken, until = self.scheduler, self._woken, self.until
        is_task_ready = self._look_first if self.checks else self._is_task_ready
        if deadline <= until and deadline < math.inf:
            self._context.run(scheduler.run_due, deadline, is_task_ready)
        else:
            # Nearly always a task is ready soon (HOT)
            began_at = scheduler.now
            reach = min(began_at + _FIRST_LOOK_S, until)
            self._context.run(scheduler.run_due, reach, is_task_ready, to_the_end=False)
            if not woken and not is_task_ready():
                self._context.run(self._run_on, deadline, began_at)

    def _stand(self, deadline: float) -> bool:
        """Do what is asked for from other threads, until a task is ready or time may go on.

        Returns whether Trio has something to do. Between two calls it has no turn unless one made
        a task ready, as when time goes on by itself: so the order is the same, at whatever moment
        somebody calls. Raises DeadlockError where nobody is there to let time go on.
        """
        gate, scheduler = self._gate, self.scheduler

        def is_over() -> object:
            return self._has_task() or (
                scheduler.now >= deadline and scheduler.next_at() > deadline
            )

        gate.resume(is_over)
        while not is_over():
            if not self.paused:
                return False
            if not gate.attended:
                self.paused = False  # a program may clean up
                raise DeadlockError(
                    "time was paused, and nothing that could resume it goes on; waiting for ever: "
                    f"{waiting_tasks(self._task)}"
                )
            gate.wait()
        return True

    def _run_on(self, deadline: float, began_at: float) -> None:
        """Run events until a task is ready. No deadline is near that would end that.

        All within `_FIRST_LOOK_S` from `began_at` has run.

        Raises DeadlockError where only upkeep goes on: where all there was has run, and nothing
        but upkeep came of it, several times over. So what is under way has arrived by then, and
        what a probe may find (a window update that was lost) was found.
        """
        scheduler, until = self.scheduler, self.until
        is_task_ready = self._look_first if self.checks else self._is_task_ready
        rounds, look_s = 0, _FIRST_LOOK_S
        reach = began_at + look_s
        while scheduler.next_at() <= until:
            scheduler.run_due(min(reach, until), is_task_ready, to_the_end=False)
            if is_task_ready():
                return
            live_until, reach, kinds = scheduler.outlook()
            if reach == -math.inf:
                break
            if deadline < math.inf:
                rounds = 0  # a task wakes by itself, later than time ends
            elif live_until > -math.inf:
                rounds, look_s = 0, 2 * look_s
                reach = max(live_until, scheduler.now + look_s)
            elif rounds < _ROUNDS:
                rounds += 1
            else:
                since = max(began_at, scheduler.live_at)
                raise DeadlockError(
                    f"nothing can ever happen again: since {since:.6g} s there have been only "
                    f"{_upkeep(kinds)}; waiting for ever: {waiting_tasks(self._task)}"
                )
        if deadline == math.inf == scheduler.next_at():
            raise DeadlockError(
                f"nothing can ever happen again; waiting for ever: {waiting_tasks(self._task)}"
            )
        self.until, until = math.inf, scheduler.advance(until)  # a program may clean up
        text = f"the run did not end within {until:g} s of virtual time"
        live_until, _, kinds = scheduler.outlook()
        if kinds and live_until == -math.inf:
            since = max(began_at, scheduler.live_at)
            text += f", and since {since:.6g} s there have been only {_upkeep(kinds)}"
        raise VirtualTimeoutError(f"{text}; these wait: {waiting_tasks(self._task)}")


def run(
    async_fn: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    seed: int = 0,
    until: str | float | None = None,
) -> T:
    """Run a program in virtual time, like `trio.run`; `seed` decides all ties.

    `until`: the virtual time that it gets (60, "60s"); None: as much as it takes. Raises what the
    program raises, DeadlockError, and VirtualTimeoutError; ConfigError for an invalid time.
    """
    check_called_later(async_fn, "run")
    clock = VirtualClock()
    if until is not None:
        clock.driver.until = parse_until(until)
    # Errors come out as they are: the nursery is nobody's business, so it gets none to wrap.
    errors: list[BaseException] = []

    async def main() -> T:
        async with trio.open_nursery() as nursery:
            driving = trio.CancelScope(shield=True)  # for as long as the program cleans up
            nursery.start_soon(drive, driving, nursery.cancel_scope)
            try:
                result = await async_fn(*args)
            except BaseException as error:  # SystemExit as well; a Cancelled is raised on below
                explain(error)
                errors.append(error)
            driving.cancel()
        if errors:
            raise errors[0]
        return result

    async def drive(driving: trio.CancelScope, program: trio.CancelScope) -> None:
        with driving:
            while True:
                errors.append(await clock.driver.run())
                program.cancel()

    with seeded_trio(seed):
        try:
            return trio.run(main, clock=clock, strict_exception_groups=True)
        except trio.TrioInternalError as error:
            # A signal's handler may raise anywhere, in the middle of Trio too.
            cause = errors[0] if errors else error.__cause__
            if not errors and isinstance(cause, Exception | None):
                raise
            assert cause is not None
            raise cause from None
        finally:
            orphans.end_all_here()


def parse_until(until: str | float) -> float:
    """Return how long a run may take, in seconds of virtual time. Raises ConfigError."""
    until_s = parse_time_s(until)
    if not until_s > 0:
        raise ConfigError(f"a run needs some time: until={until!r} is none")
    return until_s


def _upkeep(kinds: set[str]) -> str:
    """Return them as a part of a sentence: "keep-alives and window probes"."""
    return " and ".join(f"{kind}s" for kind in sorted(kinds)) or "frames that lead to nothing"


@contextmanager
def seeded_trio(seed: int, random: Random | None = None) -> Iterator[Random]:
    """Let Trio draw the order of tasks that are ready together from a seed; give what it draws by.

    `random`: what it has drawn by before, to go on with; None: it begins.
    """
    # As trio's own Hypothesis plug-in does it: sort each batch, then shuffle it with a known seed.
    old_flag, old_random = trio_run._ALLOW_DETERMINISTIC_SCHEDULING, trio_run._r
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    trio_run._r = random or Random(seed)
    try:
        yield trio_run._r
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = old_flag  # type: ignore[misc]
        trio_run._r = old_random


def _a_thread_works() -> bool:
    # The tasks are looked through only while there are threads: it costs.
    return any(parked_by(task) == "to_thread_run_sync" for task in all_tasks())
