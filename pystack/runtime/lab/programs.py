"""Programs on a host: tasks whose networking is the host's, and which end when its power does."""

from __future__ import annotations

import errno
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

from pystack.core.errors import ConfigError
from pystack.core.scheduler import no_upkeep
from pystack.runtime.current import current_host
from pystack.runtime.hints import check_called_later, explain
from pystack.runtime.lab.crash import Crashed
from pystack.runtime.lab.program import Program, current_program, signal_of

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Programs:
    """What runs on one host."""

    def __init__(self, host: BareHost, nursery: trio.Nursery | None) -> None:
        """`nursery`: the network's; None: a host without one runs only what its caller awaits."""
        self.host = host
        self.running: list[Program] = []
        # Called at the instant of a crash, before anything else: for whoever runs programs of the
        # host elsewhere than in Trio tasks
        self.on_crash: list[Callable[[], None]] = []
        self._nursery = nursery

    async def run(self, async_fn: Callable[[*Ts], Awaitable[T]], args: tuple[*Ts]) -> T:
        """Run a program in the caller's task."""
        check_called_later(async_fn, "run")
        with self.on_host(async_fn) as program:
            return await program.living(async_fn(*args))
        raise self.broken(program)

    async def start(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> object:
        """Start a program in the network's nursery, and wait until it says that it has."""
        check_called_later(async_fn, "start")
        result: object = await self.shared().start(
            self._started, async_fn, args, name=self.name_of(async_fn)
        )
        return result

    def start_soon(self, async_fn: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]) -> None:
        """Start a program in the network's nursery."""
        check_called_later(async_fn, "start_soon")
        self.check_power()
        self.shared().start_soon(self._started_soon, async_fn, args, name=self.name_of(async_fn))

    def power_off(self) -> None:
        """Cancel all programs."""
        for program in list(self.running):
            program.cancel()

    def crash(self) -> None:
        """End all programs where they are: nothing of them runs any more, no clean-up either.

        Those that have no Trio task of their own are for `on_crash` to end.
        """
        for tell in self.on_crash:
            tell()
        if "pystack.runtime.blocking.turns" in sys.modules:
            from pystack.runtime.blocking.crash import crash_threads  # there may be some

            crash_threads(self.host, self._later)
        for program in list(self.running):  # the outermost of a task first
            program.crash(self._later)

    def _later(self, fn: Callable[[], None]) -> None:
        scheduler = self.host.driver.scheduler
        scheduler.call_at(scheduler.now, lambda _now: fn(), no_upkeep)

    def _forget(self, program: Program) -> None:
        if program in self.running:
            self.running.remove(program)

    def send_signal(self, number: int) -> None:
        """Send a signal to all programs."""
        signal_of(number)
        for program in list(self.running):
            program.deliver(number)

    async def _started(
        self,
        async_fn: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        *,
        task_status: trio.TaskStatus[object],
    ) -> None:
        status = _Status(task_status)
        has_ended = False
        with self.on_host(async_fn) as program:
            await program.living(async_fn(*args, task_status=status))
            has_ended = True
        if not has_ended and not status.was_started:
            raise self.broken(program)

    async def _started_soon(
        self, async_fn: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]
    ) -> None:
        if self.host.stack.powered:
            with self.on_host(async_fn) as program:
                await program.living(async_fn(*args))

    @contextmanager
    def on_host(self, async_fn: object) -> Iterator[Program]:
        """Run what follows as a program of the host; it goes on after it where that was ended."""
        self.check_power()
        scope = trio.CancelScope()
        with self.entered(async_fn, scope.cancel) as program, self.end_is_no_error(), scope:
            program.scope = scope
            try:
                yield program
            except Crashed as crashed:
                if crashed.program is not program:
                    raise

    @contextmanager
    def entered(self, function: object, cancel: Callable[[], object]) -> Iterator[Program]:
        """Let what follows be a program of the host, which `cancel` ends."""
        program = Program(self.name_of(function), cancel)
        token, token_of_program = current_host.set(self.host), current_program.set(program)
        program.entered()
        self.running.append(program)
        program.forget = partial(self._forget, program)
        try:
            yield program
        finally:
            program.forget()
            current_program.reset(token_of_program)
            current_host.reset(token)

    @contextmanager
    def end_is_no_error(self) -> Iterator[None]:
        """Let errors out that come of nothing but the end of the host, or of the program."""
        try:
            yield
        except BaseExceptionGroup as group:
            # Of its tasks one may have met with what is broken, and others with their cancellation.
            # Python 3.11 takes a function there, and no method.
            rest = group.split(lambda error: self.comes_of_the_end(error))[1]
            if rest is not None:
                explain(rest)
                if rest.exceptions != group.exceptions:
                    raise rest from None
                raise
        except Exception as error:
            if not self.comes_of_the_end(error):
                explain(error)
                raise

    def comes_of_the_end(self, error: BaseException) -> bool:
        """Tell whether all that went wrong is that the host has no power, or no network, any more.

        A program that is cancelled for that may meet with a broken stream before it meets with its
        cancellation, and nobody is to hear of either.
        """
        if not self.host.stack.closed and self.host.stack.powered:
            return False
        if isinstance(error, BaseExceptionGroup):
            return all(map(self.comes_of_the_end, error.exceptions))
        if not isinstance(error, Exception):
            return False  # a cancellation, say, is for whoever has cancelled
        # A library may have made an error of its own of it.
        broken = isinstance(error, trio.BrokenResourceError)
        down = isinstance(error, OSError) and error.errno == errno.ENETDOWN
        before = error.__cause__ or error.__context__
        return broken or down or (before is not None and self.comes_of_the_end(before))

    def check_power(self) -> None:
        """Raise BrokenResourceError where there is none."""
        if not self.host.stack.powered:
            raise trio.BrokenResourceError(f"{self.host.name} is powered off")

    def broken(self, program: Program) -> trio.BrokenResourceError:
        """Return the error of a program that was ended."""
        if program.ended_by is not None:
            return trio.BrokenResourceError(f"{program.name} was ended by {program.ended_by.name}")
        if self.host.stack.powered:
            return trio.BrokenResourceError(f"{program.name} was cancelled")
        return trio.BrokenResourceError(f"{self.host.name} was powered off")

    def shared(self) -> trio.Nursery:
        """Return the network's nursery. ConfigError: there is none."""
        if self._nursery is None:
            raise ConfigError(f"{self.host.name} is in no network: start its programs in a nursery")
        return self._nursery

    def name_of(self, async_fn: object) -> str:
        """Return what a program is called: its host, and its function."""
        return f"{self.host.name}: {getattr(async_fn, '__qualname__', async_fn)}"


class _Status(trio.TaskStatus[object]):
    """Passes on that a program has started, and remembers it."""

    def __init__(self, inner: trio.TaskStatus[object]) -> None:
        self._inner = inner
        self.was_started = False

    def started(self, value: object = None) -> None:
        """Tell whoever waits in `start`."""
        self.was_started = True
        self._inner.started(value)
