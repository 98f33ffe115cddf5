"""Programs on a host: tasks whose networking is the host's, and which end when its power does."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.current import current_host
from pystack.runtime.hints import explain

if TYPE_CHECKING:
    from pystack.runtime.host import Host

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Programs:
    """What runs on one host."""

    def __init__(self, host: Host, nursery: trio.Nursery | None) -> None:
        """`nursery`: the network's; None: a host without one runs only what its caller awaits."""
        self._host = host
        self._nursery = nursery
        self._scopes: list[trio.CancelScope] = []

    async def run(self, async_fn: Callable[[*Ts], Awaitable[T]], args: tuple[*Ts]) -> T:
        """Run a program in the caller's task."""
        with self._on_host():
            return await async_fn(*args)
        raise self._broken()

    async def start(
        self, async_fn: Callable[..., Awaitable[object]], args: tuple[object, ...]
    ) -> object:
        """Start a program in the network's nursery, and wait until it says that it has."""
        result: object = await self._shared().start(
            self._started, async_fn, args, name=self._name(async_fn)
        )
        return result

    def start_soon(self, async_fn: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]) -> None:
        """Start a program in the network's nursery."""
        self._check_power()
        self._shared().start_soon(self._started_soon, async_fn, args, name=self._name(async_fn))

    def power_off(self) -> None:
        """Cancel all programs."""
        for scope in list(self._scopes):
            scope.cancel()

    async def _started(
        self,
        async_fn: Callable[..., Awaitable[object]],
        args: tuple[object, ...],
        *,
        task_status: trio.TaskStatus[object],
    ) -> None:
        status = _Status(task_status)
        with self._on_host() as scope:
            await async_fn(*args, task_status=status)
        if scope.cancelled_caught and not status.was_started:
            raise self._broken()

    async def _started_soon(
        self, async_fn: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]
    ) -> None:
        if self._host.stack.powered:
            with self._on_host():
                await async_fn(*args)

    @contextmanager
    def _on_host(self) -> Iterator[trio.CancelScope]:
        self._check_power()
        token = current_host.set(self._host)
        scope = trio.CancelScope()
        self._scopes.append(scope)
        try:
            with scope:
                yield scope
        except BaseExceptionGroup as group:
            # Of its tasks one may have met with what is broken, and others with their cancellation.
            # Python 3.11 takes a function there, and no method.
            rest = group.split(lambda error: self._comes_of_the_end(error))[1]
            if rest is not None:
                explain(rest)
                if rest.exceptions != group.exceptions:
                    raise rest from None
                raise
        except Exception as error:
            if not self._comes_of_the_end(error):
                explain(error)
                raise
        finally:
            self._scopes.remove(scope)
            current_host.reset(token)

    def _comes_of_the_end(self, error: BaseException) -> bool:
        """Tell whether all that went wrong is that the host has no power, or no network, any more.

        A program that is cancelled for that may meet with a broken stream before it meets with its
        cancellation, and nobody is to hear of either.
        """
        if not self._host.stack.closed and self._host.stack.powered:
            return False
        if isinstance(error, BaseExceptionGroup):
            return all(map(self._comes_of_the_end, error.exceptions))
        if not isinstance(error, Exception):
            return False  # a cancellation, say, is for whoever has cancelled
        # A library may have made an error of its own of it.
        broken = isinstance(error, trio.BrokenResourceError)
        down = isinstance(error, OSError) and error.errno == errno.ENETDOWN
        before = error.__cause__ or error.__context__
        return broken or down or (before is not None and self._comes_of_the_end(before))

    def _check_power(self) -> None:
        if not self._host.stack.powered:
            raise trio.BrokenResourceError(f"{self._host.name} is powered off")

    def _broken(self) -> trio.BrokenResourceError:
        return trio.BrokenResourceError(f"{self._host.name} was powered off")

    def _shared(self) -> trio.Nursery:
        if self._nursery is None:
            raise ConfigError(
                f"{self._host.name} is in no network: start its programs in a nursery"
            )
        return self._nursery

    def _name(self, async_fn: object) -> str:
        return f"{self._host.name}: {getattr(async_fn, '__qualname__', async_fn)}"


class _Status(trio.TaskStatus[object]):
    """Passes on that a program has started, and remembers it."""

    def __init__(self, inner: trio.TaskStatus[object]) -> None:
        self._inner = inner
        self.was_started = False

    def started(self, value: object = None) -> None:
        """Tell whoever waits in `start`."""
        self.was_started = True
        self._inner.started(value)
