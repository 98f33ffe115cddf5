"""Blocking programs on hosts, and the threads that programs start.

A program of `host.run_sync` is a process: when its main function returns, its threads are waited
for, as by an interpreter at its exit, but for daemons and what a pool keeps for work to come; when
it raises, or is cancelled, they end with it.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from functools import partial
from inspect import iscoroutinefunction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

import trio

from pystack.core.errors import ConfigError
from pystack.core.scheduler import no_upkeep
from pystack.runtime.blocking import pools
from pystack.runtime.blocking.turns import (
    ProgramEnded,
    Turns,
    WorldThread,
    current_thread,
    turns_of,
)
from pystack.runtime.borrowed.locks import LOCKS
from pystack.runtime.current import current_host
from pystack.runtime.lab.starting import Start, start_watched

if TYPE_CHECKING:
    import threading

    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.lab.program import Program

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# From 3.13 on a thread's handle is told of its end, before a lock of its own was.
_JOINS_BY_HANDLE: Final = sys.version_info >= (3, 13)
# How long a thread may take to vanish once it has run its last line, of the machine's time
_VANISHES_S: Final = 10.0


async def run_sync(host: BareHost, fn: Callable[[*Ts], T], args: tuple[*Ts]) -> T:
    """Run a blocking program in a thread of the world; return or raise what it does."""
    _check(fn, "run_sync", "run_asyncio", "await host.run")
    return await _run_process(host, fn, args, None)


async def start_sync(
    host: BareHost, fn: Callable[[*Ts], object], args: tuple[*Ts], port: int | None
) -> Program:
    """Start one in the network's nursery, and wait until it is ready."""
    _check(fn, "start_sync", "start_asyncio", "host.start_soon")

    def run_it(_program: Program, start: Start) -> Coroutine[Any, Any, object]:
        return _run_process(host, fn, args, start)

    return await start_watched(host, fn, port, run_it)


def _check(fn: object, call: str, of_asyncio: str, of_trio: str) -> None:
    """Raise ConfigError for what is no function that blocks, before anything runs."""
    if iscoroutinefunction(fn):
        raise ConfigError(
            f"{call} is for functions that block, and {getattr(fn, '__qualname__', fn)} is a "
            f"coroutine function: `await host.{of_asyncio}(main, ...)` is for one of asyncio's, "
            f"`{of_trio}(async_fn, ...)` for one of Trio's"
        )
    if not callable(fn):
        raise ConfigError(
            f"a program that blocks is given as its function and arguments, {call}(main, 1), "
            f"not as {fn!r}"
        )


async def _run_process(
    host: BareHost, fn: Callable[[*Ts], T], args: tuple[*Ts], start: Start | None
) -> T:
    """Run it as a process. `start`: to look whenever none of its threads can go on; None: no."""
    results: list[T] = []
    errors: list[BaseException] = []

    def main() -> None:
        try:
            results.append(fn(*args))
        except BaseException as error:  # whatever it is, the caller is to have it
            errors.append(error)

    name = f"{host.name}: {getattr(fn, '__qualname__', fn)}"
    thread = WorldThread(_turns_of(host), host, name, main, copy_context())
    await _Process(thread, start).run(name, errors)
    if results and not errors:
        return results[0]
    error = errors[0] if errors else ProgramEnded(name)
    if comes_of_the_end(error):
        await trio.lowlevel.checkpoint_if_cancelled()  # it has ended since it was to
    raise error


def _turns_of(host: BareHost) -> Turns:
    """Return the turns of a host's world, with locks that its threads can wait for."""
    turns = turns_of(host.driver)
    if turns.give_back is None:
        LOCKS.take()
        turns.give_back = LOCKS.give_back
    return turns


class _Process:
    """A main thread, and those that it and they have started."""

    def __init__(self, main: WorldThread, start: Start | None) -> None:
        """`start`: to be looked at until it is ready; None: nobody waits for that."""
        self.main = main
        self._start = start
        self._is_looking = False  # once this instant is over
        self._started: deque[WorldThread] = deque()  # whose companions are about to begin
        self._others: list[WorldThread] = []  # that have not ended
        self._turned = trio.Event()  # set after a turn of any, once the main thread has ended
        self._nursery: trio.Nursery | None = None  # None: it has not begun
        main.process = self
        if start is not None:
            main.on_turn = self._look_soon

    async def run(self, name: str, errors: list[BaseException]) -> None:
        """Run until all has ended. `errors`: of the main thread."""
        self.main.turns.add(self.main)
        self.main.reap = _start_machine_thread(self.main.turns, name, self.main.run)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self.main.attend()
                while not errors and any(map(_is_waited_for, self._others)):
                    self._turned = trio.Event()
                    await self._turned.wait()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            errors_of_ours = [e for e in group.exceptions if not isinstance(e, trio.Cancelled)]
            raise (errors_of_ours or group.exceptions)[0] from None

    def start(self, thread: WorldThread) -> None:
        """Have a companion for a thread. In Trio's thread."""
        assert self._nursery is not None
        thread.process = self
        thread.on_turn = partial(self._after_turn, thread)
        self._others.append(thread)
        self._started.append(thread)
        self._nursery.start_soon(_attend_first, self._started)

    def _after_turn(self, thread: WorldThread) -> None:
        if thread.has_ended:
            self._others.remove(thread)
        self._turned.set()
        self._look_soon()

    def _look_soon(self) -> None:
        """Look once nothing else can happen at this instant: all threads had their turns."""
        if self._start is not None and not self._is_looking:
            self._is_looking = True
            scheduler = self.main.turns.driver.scheduler
            scheduler.call_at(scheduler.now, self._look, no_upkeep)

    def _look(self, _now: float) -> None:
        self._is_looking = False
        if self._start is None or self._is_over():
            return
        if self._start.look():
            self._start = None

    def _is_over(self) -> bool:
        """Tell whether nothing of it goes on, but to end."""
        threads = [self.main, *self._others]
        return all(thread.has_ended or thread.is_ending for thread in threads)


def _is_waited_for(thread: WorldThread) -> bool:
    """Tell whether a program does not end before a thread does."""
    if thread.is_daemon:
        return False
    is_idle = thread.parked_in == pools.IDLE and not thread.can_run
    return not (is_idle and pools.is_of_a_pool(thread.machine_thread))


async def _attend_first(started: deque[WorldThread]) -> None:
    # Which of several tasks begins first is left to chance: it takes the oldest thread.
    await started.popleft().attend()


def start_thread(
    fn: Callable[..., object],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    daemon: bool,
    start: Callable[[Callable[[], None]], int],
) -> int:
    """Start what code on a host wants a thread for, as one of the world; return its ident.

    `start`: starts one of the machine.
    """
    starter, host = current_thread(), current_host.get()
    if starter is not None:
        host = starter.host
    assert host is not None
    shown: threading.Thread | None = getattr(fn, "__self__", None)  # of `Thread._bootstrap`
    name = f"{host.name}: {getattr(shown, 'name', None) or getattr(fn, '__qualname__', fn)}"
    turns = _turns_of(host)
    thread = WorldThread(turns, host, name, partial(_run, fn, args, kwargs), _context_of(host))
    thread.machine_thread, thread.is_daemon = shown, daemon
    if shown is not None:
        _say_nothing_of_the_end(shown)
        thread.reap = partial(_wait_until_gone, turns, shown)
        if (pool := pools.pool_of(shown)) is not None:
            thread.on_end = partial(pools.leave, pool, shown)
    if starter is not None and starter.process is not None:
        starter.call(starter.process.start, thread)
    else:
        _start_on_host(host, starter, thread)
    turns.add(thread)
    return start(thread.run)


def _start_on_host(host: BareHost, starter: WorldThread | None, thread: WorldThread) -> None:
    started = deque([thread])
    if starter is None:
        host.programs.start_soon(_attend_first, (started,))
    else:
        starter.call(host.programs.start_soon, _attend_first, (started,))


def _context_of(host: BareHost) -> Context:
    """Return what a new thread begins with, as in CPython: nothing but where it is."""
    here = copy_context()
    context = Context()
    for variable, value in here.items():
        if variable.name.startswith("pystack"):
            context.run(variable.set, value)
    context.run(current_host.set, host)
    return context


def _run(fn: Callable[..., object], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run a thread's function. What `_thread` says of an error is said before the turn ends."""
    try:
        fn(*args, **kwargs)
    except (SystemExit, ProgramEnded):
        pass
    except BaseException as error:
        text = "Exception ignored in thread started by"
        sys.unraisablehook(
            SimpleNamespace(
                exc_type=type(error),
                exc_value=error,
                exc_traceback=error.__traceback__,
                err_msg=text,
                object=fn,
            )
        )


def _say_nothing_of_the_end(shown: Any) -> None:  # noqa: ANN401
    """Have a `threading.Thread` that has to end do so without a traceback on stderr."""
    say = shown._invoke_excepthook

    def invoke_excepthook(thread: object) -> None:
        error = sys.exception()
        if error is None or not comes_of_the_end(error):
            say(thread)

    shown._invoke_excepthook = invoke_excepthook


def _start_machine_thread(turns: Turns, name: str, run: Callable[[], None]) -> Callable[[], None]:
    """Start a thread that is nobody's but ours; return what waits until it is gone."""
    import threading

    thread = threading.Thread(target=run, name=name, daemon=True)
    turns.as_on_the_machine(thread.start)
    # To its program it is the main thread: the daemons are for that to choose.
    shown: Any = thread
    shown._daemonic = False
    return partial(turns.as_on_the_machine, thread.join, _VANISHES_S)


def _wait_until_gone(turns: Turns, shown: Any) -> None:  # noqa: ANN401
    """Wait until the machine's thread has gone: who joins it is not to depend on how fast."""
    if _JOINS_BY_HANDLE:
        turns.as_on_the_machine(shown._handle.join, _VANISHES_S)
    elif (lock := shown._tstate_lock) is not None:
        turns.as_on_the_machine(lock.acquire, True, _VANISHES_S)
        lock.release()


def comes_of_the_end(error: BaseException) -> bool:
    """Tell whether a program met with an error only since it had to end, as its own clean-up."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, ProgramEnded):
            return True
        before = before.__context__
    return False
