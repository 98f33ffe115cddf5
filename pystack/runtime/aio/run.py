"""Run a program of asyncio in a task of Trio's, as `asyncio.run` runs it: with its clean-up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

import outcome
import trio

from pystack.core.errors import PystackError
from pystack.runtime.aio import tasks
from pystack.runtime.aio.hub import Hub
from pystack.runtime.aio.loop import EventLoop

if TYPE_CHECKING:
    from pystack.runtime.driver.driver import Driver

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# What a program that is cancelled gets to clean up, in the world's time
GRACE_S: Final = 30.0
# So often its tasks are cancelled once more after that
_TRIES: Final = 100


async def run(
    driver: Driver,
    loop: EventLoop,
    main: Callable[[*Ts], Coroutine[Any, Any, T]],
    args: tuple[*Ts],
    started: Callable[[Hub], None] | None = None,
) -> T:
    """Run `main` in a loop of its own, in this task; return or raise what it does.

    When this task is cancelled, so is the program's main task; what it cleans up is waited for, and
    then the cancellation goes on. `started`: told before anything of it runs.
    """
    hub = Hub(loop, driver)
    # An error comes out as it is: the nursery is nobody's business, so it gets none to wrap.
    try:
        with hub.attached():
            async with trio.open_nursery() as nursery:
                hub.nursery = nursery
                if started is not None:
                    started(hub)
                result = await outcome.acapture(_run_main, hub, loop, main(*args))
                with trio.CancelScope(shield=True):
                    cleaned = await outcome.acapture(_clean_up, hub, loop)
                hub.end_crossings()
                nursery.cancel_scope.cancel()
    finally:
        loop.close()
    if isinstance(result, outcome.Value):
        cleaned.unwrap()
    return result.unwrap()


async def _run_main(hub: Hub, loop: EventLoop, coro: Coroutine[Any, Any, T]) -> T:
    task = loop.create_task(coro)
    try:
        await _until_done(hub, loop, task)
    except trio.Cancelled:
        task.cancel()
        with trio.CancelScope(shield=True):
            await _end(hub, loop, {task})
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
    return task.result()


async def _until_done(hub: Hub, loop: EventLoop, future: asyncio.Future[Any]) -> None:
    """Run the loop until the future is done, as `run_until_complete` does."""

    def stop(_: object) -> None:
        loop.stop()

    future.add_done_callback(stop)
    try:
        await hub.run()
    finally:
        future.remove_done_callback(stop)
    if not future.done():
        raise RuntimeError("Event loop stopped before Future completed.")


async def _end(hub: Hub, loop: EventLoop, ended: set[asyncio.Task[Any]]) -> None:
    """Run the loop until tasks that were cancelled are done. PystackError: some never are."""
    waiting = loop.create_task(_wait(ended))
    for tries in range(_TRIES):
        with trio.move_on_after(1 if tries else GRACE_S):
            await _until_done(hub, loop, waiting)
        if waiting.done():
            return
        for task in asyncio.all_tasks(loop) - {waiting}:
            task.cancel()
    text = "; ".join(tasks.waits(loop, ended))
    waiting.cancel()
    raise PystackError(f"a program that was cancelled goes on, and is given up: {text}")


async def _wait(ended: set[asyncio.Task[Any]]) -> None:
    await asyncio.wait(ended)


async def _clean_up(hub: Hub, loop: EventLoop) -> None:
    """Do what `asyncio.run` does at its end."""
    left = asyncio.all_tasks(loop)
    if left:
        for task in left:
            task.cancel()
        await _end(hub, loop, left)
        for task in left:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                loop.call_exception_handler(
                    {
                        "message": "unhandled exception during asyncio.run() shutdown",
                        "exception": error,
                        "task": task,
                    }
                )
    await _until_done(hub, loop, loop.create_task(loop.shutdown_asyncgens()))
    await _until_done(hub, loop, loop.create_task(loop.shutdown_default_executor()))
