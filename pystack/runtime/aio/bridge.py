"""Bridge: from a task of asyncio into Trio, and back with what came of it.

What is called runs as a task of Trio's beside the loop; cancellation goes both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import trio

from pystack.runtime.driver.waiting import describe_waits

if TYPE_CHECKING:
    from pystack.runtime.aio.hub import Hub
    from pystack.runtime.aio.loop import EventLoop


async def in_trio(
    loop: EventLoop,
    async_fn: Callable[..., Awaitable[Any]],
    *args: object,
) -> Any:  # noqa: ANN401
    """Run a Trio function; return or raise what it does.

    When the caller is cancelled, so is the function, and what it cleans up is waited for.
    """
    hub = hub_of(loop)
    crossing = Crossing(hub, loop.create_future())
    crossing.start(async_fn, args)
    hub.calls_waiting += 1
    try:
        return await crossing.result()
    finally:
        hub.calls_waiting -= 1


def hub_of(loop: EventLoop) -> Hub:
    """Return what a loop waits by. RuntimeError: it does not run."""
    if loop.hub is None or loop.hub.nursery is None:
        raise RuntimeError("the event loop does not run")
    return loop.hub


class Crossing:
    """One call from asyncio into Trio."""

    def __init__(self, hub: Hub, done: asyncio.Future[None]) -> None:
        self._hub = hub
        self._done = done
        self._scope = trio.CancelScope(shield=True)  # what ends it is asyncio's to say
        self.task: trio.lowlevel.Task | None = None  # of Trio's; None: it has not begun
        self._value: object = None
        self._error: BaseException | None = None

    def start(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[object, ...]) -> None:
        """Start the task of Trio's, in the caller's context."""
        assert self._hub.nursery is not None
        name = f"asyncio: {getattr(async_fn, '__qualname__', async_fn)}"
        self._hub.crossings.add(self._scope)
        self._hub.nursery.start_soon(self._run, async_fn, args, name=name)

    async def _run(self, async_fn: Callable[..., Awaitable[Any]], args: tuple[object, ...]) -> None:
        self.task = trio.lowlevel.current_task()
        describe_waits(self.task, tuple)  # the task of asyncio that waits for it tells of both
        try:
            with self._scope:
                self._value = await async_fn(*args)
        except BaseException as error:
            self._error = error
            if isinstance(error, trio.Cancelled):
                raise
        finally:
            self._hub.crossings.discard(self._scope)
            if not self._hub.is_over:
                if not self._done.done():
                    self._done.set_result(None)
                self._hub.wake()

    async def result(self) -> Any:  # noqa: ANN401
        """Wait for what comes of it."""
        cancelled: asyncio.CancelledError | None = None
        while not self._done.done():
            try:
                await asyncio.shield(self._done)
            except asyncio.CancelledError as error:
                cancelled = error
                self._scope.cancel()
        failure, self._error = self._error, None
        if failure is not None and not isinstance(failure, trio.Cancelled):
            raise failure
        if cancelled is not None:
            raise cancelled
        if failure is not None or self._scope.cancelled_caught:
            raise asyncio.CancelledError
        return self._value
