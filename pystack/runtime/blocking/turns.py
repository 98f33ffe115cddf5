"""Turns: threads of a world, of which one runs at a time, while Trio's thread waits for it.

A thread of the world is a thread of the machine with a companion: a Trio task on its host. The
companion gives it a turn, which lasts until the thread wants to wait for something; the companion
waits for that in its place, and gives it the next turn. Who runs holds the baton (two locks), so
nothing ever happens beside anything else: the order of turns is that in which waits end, and those
end in the order of the world's events. In real time it is the same.

What needs no waiting is no turn: `call` runs it in the thread itself, which is Trio's meanwhile.
"""

from __future__ import annotations

import _thread
import ctypes
import math
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from threading import get_ident
from traceback import walk_stack
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

import trio
from trio._core import _run as trio_run

from pystack.core.errors import PystackError
from pystack.core.scheduler import no_upkeep
from pystack.runtime.driver.driver import Driver, Waiter
from pystack.runtime.driver.virtual import VirtualDriver
from pystack.runtime.driver.waiting import describe_waits, place_in

if TYPE_CHECKING:
    from pystack.runtime.host import Host

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# The machine's own, whatever stands in for them while threads of a world run
acquire_lock: Final = _thread.LockType.acquire
release_lock: Final = _thread.LockType.release

# How many calls of a thread that has to end may raise before it is given up
_MOST_REFUSALS: Final = 1000
# In real time nothing tells that a lock is free which a thread of the machine has held.
_LOOK_EVERY_S: Final = 0.005
# How long a thread that is told to end by a signal gets, of the machine's time
_GRACE_S: Final = 5.0
_HERE: Final = globals()


class ProgramEnded(BaseException):
    """Raised in a thread's blocking call: its program is cancelled, or its host lost its power."""


class AbandonedThreadError(PystackError, RuntimeError):
    """A thread did not end when it had to: it goes on to block, whatever that raises."""


class WorldThread:
    """A thread of the machine that takes turns with all others of its world."""

    def __init__(self, turns: Turns, host: Host, name: str, main: Callable[[], None]) -> None:
        """`main`: all that it does; an error in it is for `main` to tell of."""
        self.host, self.name = host, name
        self.has_ended = False  # True: it takes no more turns
        self.is_ending = False  # True: what blocks raises
        self.is_inside = False  # True: it is Trio's thread for a moment
        self.parked_in = ""  # what it waits for, in words, where that is known
        self.reap: Callable[[], None] | None = None  # waits until the machine's thread is gone
        self.ready: Callable[[], object] | None = None  # whether it may go on; None: it is not told
        self.turns = turns
        self._main = main
        self._context = copy_context()
        self._waiter = Waiter(turns.driver)
        self._go, self._back = _thread.allocate_lock(), _thread.allocate_lock()
        acquire_lock(self._go)
        acquire_lock(self._back)
        self._ident = 0  # 0: it has not begun
        self._task: trio.lowlevel.Task | None = None  # its companion
        self._wish: Callable[[], Awaitable[object]] | None = None  # None: it can have a turn
        self._answer: object = None
        self._error: BaseException | None = None  # to be raised in the thread
        self._refusals = 0
        self._is_abandoned = False

    # in the thread

    def run(self) -> None:
        """Be the thread, from its first turn to its last."""
        self._ident = get_ident()
        acquire_lock(self._go)
        _threads[self._ident] = self
        try:
            if not self.is_ending:
                self._context.run(self._main)
        finally:
            del _threads[self._ident]
            self.has_ended, self._wish = True, None
            release_lock(self._back)

    def call(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run what waits for nothing as in Trio's thread; return or raise what it does."""
        # Trio's own thread waits for the baton: nobody else is there to be disturbed.
        here: Any = trio_run.GLOBAL_RUN_CONTEXT
        here.runner, here.task = self.turns.runner, self._task
        self.is_inside = True
        try:
            result: T = fn(*args)
            return result
        finally:
            self.is_inside = False
            del here.runner, here.task

    def wait(self, async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Await it in the companion, while others have their turns; return or raise what it does.

        Raises ProgramEnded where the program has to end.
        """
        if self.is_ending:
            self._refuse()
        result: T = self._hand_over(lambda: async_fn(*args))
        return result

    def park_until(
        self, ready: Callable[[], object] | None = None, deadline: float = math.inf, what: str = ""
    ) -> bool:
        """Wait until `ready()` is true, whoever makes it so, or until an instant of the world.

        It is looked at whenever another thread or task has run. Returns whether it is true; for
        None, False at the deadline. `what`: what is waited for, in words.
        """
        if self.is_ending:
            self._refuse()
        self.parked_in, self.ready = what, ready
        try:
            return bool(self._hand_over(lambda: self._park(ready, deadline)))
        finally:
            self.parked_in, self.ready = "", None

    def _hand_over(self, wish: Callable[[], Awaitable[object]]) -> Any:  # noqa: ANN401
        self._wish = wish
        release_lock(self._back)
        acquire_lock(self._go)
        if self._is_abandoned:
            _stay()
        error, answer = self._error, self._answer
        self._error = self._answer = None
        if error is not None:
            raise error
        return answer

    def _refuse(self) -> None:
        self._refusals += 1
        if self._refusals > _MOST_REFUSALS:
            self._is_abandoned = True
            self._hand_over(trio.lowlevel.checkpoint)
        raise ProgramEnded(f"{self.name} has to end")

    # in Trio's thread

    def turn(self) -> None:
        """Let it run until it wants to wait, or has ended."""
        turns = self.turns
        before, turns.running = turns.running, self
        turns.count += 1
        release_lock(self._go)
        try:
            acquire_lock(self._back)
        except BaseException as error:  # of a signal's handler
            self._interrupted(error)
        turns.running = before
        if self.has_ended and self.reap is not None:
            self.reap()
        if turns.parked:
            turns.look()

    def _interrupted(self, error: BaseException) -> None:
        """Raise in the thread, which runs, what a signal's handler has raised in Trio's."""
        self.is_ending = True
        is_its_own = isinstance(error, KeyboardInterrupt)
        raise_in(self._ident, KeyboardInterrupt if is_its_own else ProgramEnded)
        if not acquire_lock(self._back, True, _GRACE_S):
            self._is_abandoned = True
            raise error
        if not is_its_own:
            raise error

    async def attend(self) -> None:
        """Be the companion: give it its turns until it has ended.

        Where this is cancelled, the thread's calls raise ProgramEnded; once it has ended, so is
        the cancellation passed on, unless the program got over it, as any task may.
        """
        self._task = trio.lowlevel.current_task()
        self.turns.runner = trio_run.GLOBAL_RUN_CONTEXT.runner
        describe_waits(self._task, self._describe)
        while not self.has_ended:
            wish = self._wish
            if self._is_abandoned:
                raise AbandonedThreadError(
                    f"the thread {self.name} had to end, and did not: {_MOST_REFUSALS} blocking "
                    f"calls raised ProgramEnded, and it made the next in {self.place()}. "
                    "Let BaseException through, or leave the loop on it."
                )
            if wish is None:
                self.turn()
                continue
            answer: object = None
            error: BaseException | None = None
            try:
                answer = await wish()
            except trio.Cancelled:
                self.is_ending = True
                error = ProgramEnded(f"{self.name} has to end")
            except BaseException as its_own:
                error = its_own
            # It may have had a turn meanwhile, from who needed a lock that it has.
            if self._wish is wish:
                self.answer(answer, error)

    def answer(self, answer: object, error: BaseException | None = None) -> None:
        """Let what it waited for have happened: it can have a turn."""
        self._wish, self._answer, self._error = None, answer, error
        self._waiter.wake()

    @property
    def can_run(self) -> bool:
        """Tell whether it can have a turn at once."""
        return not self.has_ended and (
            self._wish is None or (self.ready is not None and bool(self.ready()))
        )

    async def _park(self, ready: Callable[[], object] | None, deadline: float) -> bool:
        turns, waiter, wish = self.turns, self._waiter, self._wish
        is_due = False

        def due(_when: float) -> None:
            nonlocal is_due
            is_due = True
            waiter.wake()

        timer = None
        if deadline < math.inf:
            timer = turns.driver.scheduler.call_at(deadline, due, no_upkeep)
        if ready is not None:
            turns.parked[self] = ready
        try:
            while self._wish is wish:
                if ready is not None and ready():
                    return True
                if is_due:
                    break
                if ready is not None and not turns.driver.is_virtual:
                    with trio.move_on_after(_LOOK_EVERY_S):
                        await waiter.wait()
                else:
                    await waiter.wait()
        finally:
            turns.parked.pop(self, None)
            if timer is not None:
                timer.cancel()
        return False

    def wake(self) -> None:
        """Have it look again whether it is ready."""
        self._waiter.wake()

    def place(self) -> str:
        """Return where its program is: "f (file.py:3), in PlainSocket.recv"."""
        frame = sys._current_frames().get(self._ident)  # of this one alone there is none
        frames = [] if frame is None else list(walk_stack(frame))
        return place_in((at, line) for at, line in reversed(frames) if at.f_globals is not _HERE)

    def _describe(self) -> list[str]:
        what = f", for {self.parked_in}" if self.parked_in else ""
        return [f"thread {self.name} in {self.place()}{what}"]


class Turns:
    """The threads of one world."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.running: WorldThread | None = None  # None: Trio's thread runs
        self.count = 0  # of turns: who watches sees that something goes on
        self.parked: dict[WorldThread, Callable[[], object]] = {}  # who waits to be ready
        self.runner: Any = None  # Trio's, since the first thread
        if isinstance(driver, VirtualDriver):
            driver.look = self.look

    def look(self) -> bool:
        """Let the first of those that are ready go on; tell whether there is one."""
        for thread, ready in self.parked.items():
            if ready():
                del self.parked[thread]
                thread.wake()
                return True
        return False


def current_thread() -> WorldThread | None:
    """Return the thread of a world that this is; None: the machine's own, or Trio's."""
    thread = _threads.get(get_ident())
    return None if thread is None or thread.is_inside else thread


def turns_of(driver: Driver) -> Turns:
    """Return the turns of a world."""
    turns = _turns.get(driver)
    if turns is None:
        _turns[driver] = turns = Turns(driver)
    return turns


def raise_in(ident: int, kind: type[BaseException]) -> None:
    """Raise an error in a thread, at its next line of Python."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(kind))


def start_machine_thread(name: str, run: Callable[[], None]) -> Callable[[], None]:
    """Start a thread that is nobody's but ours; return what waits until it is gone."""
    import threading

    thread = threading.Thread(target=run, name=name, daemon=True)
    # In no context: what stands in for locks and the like is to do as on the machine.
    Context().run(thread.start)
    return lambda: Context().run(thread.join)


def _stay() -> None:
    """Never come back: the world has gone on without it. The thread is a daemon's."""
    lock = _thread.allocate_lock()
    acquire_lock(lock)
    acquire_lock(lock)


_threads: Final[dict[int, WorldThread]] = {}
_turns: Final[WeakKeyDictionary[Driver, Turns]] = WeakKeyDictionary()
