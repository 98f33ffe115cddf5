"""What is Trio's, for a program of asyncio: a call, or a context manager, which is kept open.

A context manager of Trio's stays in one task of Trio's from its beginning to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.aio import tasks
from pystack.runtime.aio.bridge import Crossing, hub_of, in_trio
from pystack.runtime.aio.loop import EventLoop

if TYPE_CHECKING:
    from pystack.runtime.aio.hub import Hub


def running_loop() -> EventLoop:
    """Return the event loop that runs. Raises ConfigError where it is not one of ours."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, EventLoop):
        raise ConfigError(
            f"networks are in worlds of their own, and {type(loop).__name__} knows of none: run "
            "the program by pystack.run_asyncio, or with loop_factory=pystack.EventLoop"
        )
    return loop


async def call(async_fn: Callable[..., Awaitable[Any]], *args: object) -> Any:  # noqa: ANN401
    """Run a Trio function for the task of asyncio that runs now."""
    return await in_trio(running_loop(), async_fn, *args)


class Halves(Protocol):
    """A context manager of Trio's."""

    async def __aenter__(self) -> object:
        """Begin."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """End."""
        ...


class Keeper:
    """Keeps a context manager of Trio's open, in one task of Trio's, for a task of asyncio.

    When what it holds is cancelled (a program in it has failed), so is the block of the task that
    opened it, as with asyncio.TaskGroup; the error comes out at the end of the block.
    """

    def __init__(self, opened: Halves) -> None:
        self._opened = opened
        self._loop = running_loop()
        # What is cancelled when it fails; None: nobody's block is open
        self.owner: asyncio.Task[Any] | None = asyncio.current_task()
        self._closing = trio.Event()
        self._block: tuple[Any, Any, Any] = (None, None, None)  # how the block has ended
        self.has_cancelled = False  # the owner

    async def open(self) -> Any:  # noqa: ANN401
        """Open it and return what that gives; raises what that raises."""
        is_open: asyncio.Future[object] = self._loop.create_future()
        hub = hub_of(self._loop)
        crossing = Crossing(hub, self._loop.create_future())
        crossing.start(self._keep, (is_open, hub))
        self._result = result = self._loop.create_task(crossing.result())
        tasks.set_aside(result)
        try:
            await asyncio.wait([is_open, result], return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            # Nobody will have it: what there is of it is closed again before this goes on.
            self._closing.set()
            result.cancel()
            await self._until_closed()
            if not result.cancelled():
                result.result()
            raise
        return is_open.result() if is_open.done() else await result

    async def _until_closed(self, *, may_come: bool = False) -> asyncio.CancelledError | None:
        """Wait for its end; return how this was cancelled meanwhile, as it is then. None: never.

        `may_come`: a first one was ours, and means nothing.
        """
        cancelled = None
        while not self._result.done():
            try:
                await asyncio.wait([self._result])
            except asyncio.CancelledError as error:
                if not may_come:
                    cancelled = error
                    self._result.cancel()
                may_come = False
        return cancelled

    async def end(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close it; raises what that raises."""
        if self._loop.is_closed():
            return None  # its world has ended, and this block is merely forgotten
        self._block = kind, error, traceback
        self._closing.set()
        # What was cancelled here alone is over with this.
        owner = self.owner
        was_ours = self.has_cancelled and owner is not None and owner.uncancel() == 0
        cancelled = await self._until_closed(may_come=was_ours)
        swallowed: bool | None = self._result.result()
        if cancelled is not None:  # just as it had been closed
            raise cancelled
        # Trio was told of no cancellation of asyncio's, and has nothing to say about it.
        return was_ours if isinstance(error, asyncio.CancelledError) else swallowed

    async def _keep(self, is_open: asyncio.Future[object], hub: Hub) -> bool | None:
        opened = await self._opened.__aenter__()
        try:
            is_open.set_result(opened)
            hub.wake()
            await self._closing.wait()
        except BaseException as error:
            if not self._closing.is_set() and not hub.is_over:
                if self.owner is not None:
                    self.has_cancelled = True
                    self.owner.cancel()
                    hub.wake()
                with trio.CancelScope(shield=True):
                    await self._closing.wait()
            if await self._opened.__aexit__(type(error), error, error.__traceback__):
                return True
            raise
        # A cancellation of asyncio's is none of Trio's business.
        kind, error_, traceback = self._block
        if isinstance(error_, asyncio.CancelledError):
            kind = error_ = traceback = None
        return await self._opened.__aexit__(kind, error_, traceback)
