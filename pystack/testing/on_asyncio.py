"""A test of asyncio in virtual time, run by pytest-asyncio or by AnyIO's plug-in.

They make a new event loop for the test and its async fixtures, by asyncio's own function, which
gives one of ours as long as such a test is on. The network is open in it from the fixture `net` on.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pytest

from pystack.core.schedules import Schedule
from pystack.runtime.aio.keeper import Keeper
from pystack.runtime.aio.loop import EventLoop
from pystack.runtime.driver.exception_groups import unwrapped

if TYPE_CHECKING:
    from pystack.testing.bench import Bench


@contextmanager
def own_loops(seed: int, until: str | float | None, schedule: Schedule) -> Iterator[None]:
    """Let the runners of asyncio have event loops in virtual time."""
    before = events.new_event_loop
    events.new_event_loop = partial(EventLoop, seed=seed, until=until, schedule=schedule)
    try:
        yield
    finally:
        events.new_event_loop = before


def loop_of(request: pytest.FixtureRequest, lease: ExitStack) -> EventLoop:
    """Return the event loop that a test and its fixtures are to run in; `lease` keeps it."""
    name = getattr(request.node, "originalname", request.node.name)
    runner: Any
    if "anyio_backend" in request.fixturenames:
        from anyio.pytest_plugin import extract_backend_and_options, get_runner

        backend = request.getfixturevalue("anyio_backend")
        runner = lease.enter_context(get_runner(*extract_backend_and_options(backend)))
        wide = "async fixtures of a wider scope"
    else:
        scope = request.node._loop_scope
        runner = request.getfixturevalue(f"_{scope}_scoped_runner")
        wide = f"loop_scope={scope!r}"
    loop = runner.get_loop()
    if not isinstance(loop, EventLoop):
        pytest.fail(
            f"{name} needs an event loop of its own, for virtual time begins with it: it has one "
            f"that was there before ({wide})",
            pytrace=False,
        )
    return loop


class Stay:
    """A network that is open for a test, its fixtures before and after it, in their loop."""

    def __init__(self, bench: Bench, loop: EventLoop) -> None:
        self._bench = bench
        self._loop = loop
        self._keeper: Keeper | None = None  # None: it is not open
        self._error: BaseException | None = None  # of the world, while the test runs

    def open(self) -> None:
        """Open it; raises what that raises."""
        self._loop.run_until_complete(self._open())

    async def _open(self) -> None:
        self._keeper = Keeper(self._bench.opened())
        self._keeper.owner = None  # a fixture, which has ended when something may fail
        await self._keeper.open()

    def close(self) -> None:
        """Close it; raises what went wrong in it, unless the test was told of that."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and not self._loop.is_closed():
            try:
                self._loop.run_until_complete(keeper.end(None, None, None))
            except BaseExceptionGroup as group:
                raise unwrapped(group) from None

    def told(self, test: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        """Return the test, which is ended by what goes wrong in its world, and raises that."""

        @wraps(test)
        async def run(*args: object, **words: object) -> None:
            __tracebackhide__ = True
            task = asyncio.current_task()
            assert task is not None
            if self._keeper is not None:
                self._keeper.owner = task
            self._loop.on_error = lambda error: self._fail(task, error)
            try:
                await self._bench.renewed_in_asyncio(test)(*args, **words)
            except asyncio.CancelledError:
                await self._raise_instead(task)
                raise
            finally:
                self._loop.on_error = None
                if self._keeper is not None:
                    self._keeper.owner = None
                self._bench.ended_in_asyncio()

        return run

    def _fail(self, task: asyncio.Task[Any], error: BaseException) -> bool:
        """End the test; False: it was to end before, and did not."""
        if self._error is not None:
            return False
        self._error = error
        task.cancel()
        return True

    async def _raise_instead(self, task: asyncio.Task[Any]) -> None:
        """Raise what the test was cancelled for, if that came from its world."""
        __tracebackhide__ = True
        keeper = self._keeper
        if self._error is not None:
            error, self._error = self._error, None
            task.uncancel()
            raise error.with_traceback(None) from None  # it is of whatever noticed it
        if keeper is not None and keeper.has_cancelled:
            self._keeper = None
            try:
                await keeper.end(None, None, None)
            except BaseExceptionGroup as group:
                raise unwrapped(group) from None
