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
import math
import sys
from collections.abc import Awaitable, Callable
from contextvars import Context
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, TypeVarTuple

import trio
from trio._core import _run as trio_run

from pystack.core.errors import PystackError
from pystack.core.rng import Random, component_rng
from pystack.core.scheduler import no_upkeep
from pystack.runtime.blocking.frames import place_of, raise_in
from pystack.runtime.driver.driver import Driver, Waiter
from pystack.runtime.driver.virtual import VirtualDriver
from pystack.runtime.driver.waiting import describe_waits

if TYPE_CHECKING:
    import threading

    from pystack.runtime.bare_host import BareHost

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# The machine's own, whatever stands in for them while threads of a world run
acquire_lock: Final = _thread.LockType.acquire
release_lock: Final = _thread.LockType.release

# How many calls of a thread that has to end may raise before it is given up
_MOST_REFUSALS: Final = 1000
# In real time nothing tells that a lock is free which a thread of the machine has held.
_LOOK_EVERY_S: Final = 0.005
# What a look without waiting takes in virtual time, about what it does on a machine, once so many
# have followed one another
_POLL_S: Final = 20e-6
_FREE_POLLS: Final = 100
# How long a thread that is told to end by a signal gets, of the machine's time
_GRACE_S: Final = 5.0


class ProgramEnded(BaseException):
    """Raised in a thread's blocking call: its program is cancelled, or its host lost its power."""


class AbandonedThreadError(PystackError, RuntimeError):
    """A thread did not end when it had to: it goes on to block, whatever that raises."""


class Process(Protocol):
    """A main thread, and those that it and they have started."""

    def start(self, thread: WorldThread) -> None:
        """Have a companion for a thread. In Trio's thread."""
        ...


class WorldThread:
    """A thread of the machine that takes turns with all others of its world."""

    def __init__(
        self, turns: Turns, host: BareHost, name: str, main: Callable[[], None], context: Context
    ) -> None:
        """`main`: all that it does; an error in it is for `main` to tell of."""
        self.host, self.name = host, name
        self.on_turn: Callable[[], object] | None = None  # told after each turn; None: nobody is
        self.on_end: Callable[[], object] | None = None  # told once it had to end; None: nobody is
        self.process: Process | None = None  # None: it is the host's own
        self.is_daemon = True  # False: its program does not end before it
        self.machine_thread: threading.Thread | None = None  # None: not made by `threading`
        self.has_ended = False  # True: it takes no more turns
        self.is_ending = False  # True: what blocks raises
        self.is_inside = False  # True: it is Trio's thread for a moment
        self.parked_in = ""  # what it waits for, in words, where that is known
        self.reap: Callable[[], None] | None = None  # waits until the machine's thread is gone
        self.ready: Callable[[], object] | None = None  # whether it may go on; None: it is not told
        self.turns = turns
        self._main = main
        self._context = context
        self._waiter = Waiter(turns.driver)
        self._go, self._back = _thread.allocate_lock(), _thread.allocate_lock()
        acquire_lock(self._go)
        acquire_lock(self._back)
        self.ident = 0  # of the machine's thread; 0: it has not begun
        self._task: trio.lowlevel.Task | None = None  # its companion
        self._wish: Callable[[], Awaitable[object]] | None = None  # None: it can have a turn
        self._answer: object = None
        self._error: BaseException | None = None  # to be raised in the thread
        self._refusals = 0
        self._polls = 0  # that followed one another, with no wait between
        self._is_abandoned = False

    # in the thread

    def run(self) -> None:
        """Be the thread, from its first turn to its last."""
        self.ident = get_ident()
        acquire_lock(self._go)
        _threads[self.ident] = self
        try:
            if not self.is_ending:
                self._context.run(self._main)
        finally:
            del _threads[self.ident]
            self.has_ended, self._wish = True, None
            release_lock(self._back)

    def now(self) -> float:
        """Return the world's time."""
        return self.call(self.turns.driver.now)

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
        polls = 0
        if ready is None and deadline <= self.turns.driver.scheduler.now:
            polls = self._polls + 1
            if polls > _FREE_POLLS and self.turns.driver.is_virtual:
                deadline = self.turns.driver.scheduler.now + _POLL_S
        self.parked_in, self.ready = what, ready
        try:
            return bool(self._hand_over(lambda: self._park(ready, deadline)))
        finally:
            self.parked_in, self.ready, self._polls = "", None, polls

    def polled(self) -> None:
        """Be told that it has looked for something in vain, without waiting.

        On a machine time goes on meanwhile, and who does nothing else gets out of it. So it does
        here: each of these that follow one another takes `_POLL_S`, from the hundredth on.
        """
        self._polls = polls = self._polls + 1
        if polls > _FREE_POLLS and self.turns.driver.is_virtual and not self.is_ending:
            self.park_until(deadline=self.turns.driver.scheduler.now + _POLL_S, what="no time")
            self._polls = polls

    def _hand_over(self, wish: Callable[[], Awaitable[object]]) -> Any:  # noqa: ANN401
        self._wish, self._polls = wish, 0
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
        if self.has_ended:
            turns.remove(self)
            if self.reap is not None:
                self.reap()
            if self.is_ending and self.on_end is not None:
                self.on_end()
        if self.on_turn is not None:
            self.on_turn()
        if turns.parked and not turns.ready:
            turns.look()

    def _interrupted(self, error: BaseException) -> None:
        """Raise in the thread, which runs, what a signal's handler has raised in Trio's."""
        self.is_ending = True
        is_its_own = isinstance(error, KeyboardInterrupt)
        raise_in(self.ident, KeyboardInterrupt if is_its_own else ProgramEnded)
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
                self.turns.remove(self)
                raise AbandonedThreadError(
                    f"the thread {self.name} had to end, and did not: {_MOST_REFUSALS} blocking "
                    f"calls raised ProgramEnded, and it made the next in {self.place()}. "
                    "Let BaseException through, or leave the loop on it."
                )
            if wish is None:
                if not self.turns.draws(self) or await self._draw():
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
            elif self._wish is None and isinstance(error, ProgramEnded):
                self._error = error  # before it goes on with what its host's end has made of it

    async def _draw(self) -> bool:
        """Wait until it is drawn of all that can go on; tell whether it still can."""
        drawing = self.turns.ready
        drawing.append(self)
        try:
            while self in drawing:
                await self._waiter.wait()
        except trio.Cancelled:
            self.is_ending = True
            self._error = ProgramEnded(f"{self.name} has to end")
        finally:
            if self in drawing:
                drawing.remove(self)
        return self._wish is None and not self.has_ended

    def answer(self, answer: object, error: BaseException | None = None) -> None:
        """Let what it waited for have happened: it can have a turn."""
        self._wish, self._answer, self._error = None, answer, error
        self._waiter.wake()

    def end(self) -> None:
        """Give it a last turn: what it waits for raises ProgramEnded. Its host has crashed."""
        if self.has_ended or self._is_abandoned:
            return
        self.turns.parked.pop(self, None)
        self.is_ending = True
        self._wish, self._error = None, ProgramEnded(f"{self.name} has to end")
        self.turn()

    @property
    def is_waiting(self) -> bool:
        """Tell whether there is something that it waits for."""
        return self._wish is not None

    @property
    def can_run(self) -> bool:
        """Tell whether it can have a turn at once."""
        if self.has_ended or self._is_abandoned:
            return False
        return self._wish is None or (self.ready is not None and bool(self.ready()))

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
        """Return where its program is: "f (file.py:3), in Queue.get"."""
        frame = sys._current_frames().get(self.ident)  # of this one alone there is none
        return "?" if frame is None else place_of(frame)

    def _describe(self) -> list[str]:
        what = f", for {self.parked_in}" if self.parked_in else ""
        return [f"thread {self.name} in {self.place()}{what}"]


class Turns:
    """The threads of one world."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.running: WorldThread | None = None  # None: Trio's thread runs
        self.count = 0  # of turns: who watches sees that something goes on
        self.threads: dict[WorldThread, None] = {}  # in the order of their beginnings
        self.ready: list[WorldThread] = []  # of which the next is drawn
        self._chance: Random | None = None  # None: nothing has been drawn
        self.parked: dict[WorldThread, Callable[[], object]] = {}  # who waits to be ready
        # What ends threads that have crashed their own host: soon, or when the network closes
        self.crashing: list[Callable[[], None]] = []
        self.give_back: Callable[[], None] | None = None  # what is lent; None: nothing is
        self.is_at_the_machines = False  # True: what blocks here does so as on the machine
        self.runner: Any = trio_run.GLOBAL_RUN_CONTEXT.runner
        self.ident = get_ident()  # of Trio's thread
        if isinstance(driver, VirtualDriver):
            driver.look = self.look

    def as_on_the_machine(self, fn: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call what waits for a thread of the machine, which gives it no turn."""
        before, self.is_at_the_machines = self.is_at_the_machines, True
        try:
            Context().run(fn, *args)
        finally:
            self.is_at_the_machines = before

    def add(self, thread: WorldThread) -> None:
        """Know of a thread, which is about to begin."""
        if not self.threads:
            _worlds[self.ident] = self
        self.threads[thread] = None

    def remove(self, thread: WorldThread) -> None:
        """Forget one that has ended, or was given up."""
        self.threads.pop(thread, None)
        if not self.threads and _worlds.get(self.ident) is self:
            del _worlds[self.ident]

    def run_one(self) -> bool:
        """Give one thread that can run a turn, out of the order; tell whether there is one."""
        for thread in self.threads:
            if thread is not self.running and thread.can_run:
                if thread.is_waiting:
                    thread.answer(True)
                if thread in self.ready:
                    self.ready.remove(thread)
                    thread.wake()
                thread.turn()
                return True
        return False

    def draws(self, thread: WorldThread) -> bool:
        """Tell whether a thread's turn is drawn from the seed, and comes not as it is ready."""
        if thread.host.schedule != "random" or not self.driver.is_virtual:
            return False
        if self._chance is None:
            self._chance = component_rng(thread.host.seed, "threads/schedule")
        return True

    def look(self) -> bool:
        """Let one of those that are ready go on, the first or by chance; tell whether one is."""
        are_any = False
        for thread, is_ready in list(self.parked.items()):
            if is_ready():
                del self.parked[thread]
                thread.wake()
                are_any = True
                if self._chance is None:
                    break
        if self.ready and not are_any:
            assert self._chance is not None
            assert isinstance(self.driver, VirtualDriver)
            if self.driver.go_on_now():  # who else is ready at this instant is drawn from as well
                return True
            drawn = self._chance.choice(self.ready)
            self.ready.remove(drawn)
            drawn.wake()
            return True
        return are_any


def current_thread() -> WorldThread | None:
    """Return the thread of a world that this is; None: the machine's own, or Trio's."""
    thread = _threads.get(get_ident())
    return None if thread is None or thread.is_inside else thread


def turns_here() -> Turns | None:
    """Return the turns of the world whose Trio's thread this is; None: it is none, or has none."""
    ident = get_ident()
    thread = _threads.get(ident)
    turns = _worlds.get(ident) if thread is None else thread.turns
    return None if turns is None or turns.is_at_the_machines else turns


def is_of_a_world(ident: int) -> bool:
    """Tell whether a thread takes turns, or is the one of Trio that gives them."""
    return ident in _threads or ident in _worlds


def are_there_others() -> bool:
    """Tell whether the machine has threads that are not of a world."""
    return _thread._count() > len(_threads)


def turns_in_use(driver: Driver) -> Turns | None:
    """Return the turns of a world; None: it has had no thread yet. From any thread."""
    turns = driver.kept.get(Turns)
    assert turns is None or isinstance(turns, Turns)
    return turns


def close(driver: Driver) -> None:
    """Give back what threads have borrowed, where a network closes and none is left."""
    turns = turns_in_use(driver)
    while turns is not None and turns.crashing:
        turns.crashing.pop()()
    if turns is not None and not turns.threads and turns.give_back is not None:
        turns.give_back()
        turns.give_back = None


def turns_of(driver: Driver) -> Turns:
    """Return the turns of a world."""
    turns = turns_in_use(driver)
    if turns is None:
        driver.kept[Turns] = turns = Turns(driver)
    return turns


def _stay() -> None:
    """Never come back: the world has gone on without it. The thread is a daemon's."""
    lock = _thread.allocate_lock()
    acquire_lock(lock)
    acquire_lock(lock)


_threads: Final[dict[int, WorldThread]] = {}
_worlds: Final[dict[int, Turns]] = {}  # that have threads, by the thread of their Trio
