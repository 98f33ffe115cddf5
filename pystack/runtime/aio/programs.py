"""Programs of asyncio on a host, started from Trio or from a program of asyncio.

From Trio, each has an event loop of its own, as under `asyncio.run`. From a program of asyncio it
runs on the loop of its caller, whose objects (queues, events) it so can share, in a context of its
own: what it opens is the host's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

import trio

from pystack.core.errors import ConfigError
from pystack.core.schedules import Schedule
from pystack.runtime.aio import keeper, run, tasks
from pystack.runtime.aio.crash import crash_loop, crash_tasks, forget_host
from pystack.runtime.aio.hub import Hub
from pystack.runtime.aio.loop import EventLoop
from pystack.runtime.borrowed.dropping import Later
from pystack.runtime.driver.waiting import describe_waits
from pystack.runtime.either import in_asyncio
from pystack.runtime.lab.program import Program
from pystack.runtime.lab.starting import Start, never_listened, start_watched

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Main = Callable[[*Ts], Coroutine[Any, Any, T]]


async def run_asyncio(
    host: BareHost, main: Main[*Ts, T], args: tuple[*Ts], schedule: Schedule | None
) -> T:
    """Run a program of asyncio on a host; return or raise what it does."""
    check_main(main)
    if in_asyncio():
        return await _on_loop_of_caller(host, main, args, None)
    programs = host.programs
    with programs.on_host(main) as program:
        own = _in_loop_of_its_own(host, main, args, schedule, program, None)
        result: T = await program.living(own)
        return result
    raise programs.broken(program)


async def start_asyncio(
    host: BareHost,
    main: Callable[..., Coroutine[Any, Any, object]],
    args: tuple[object, ...],
    port: int | None,
    schedule: Schedule | None,
) -> Program:
    """Start a program of asyncio on a host, and wait until it is ready."""
    check_main(main)
    if in_asyncio():
        return await _start_on_loop_of_caller(host, main, args, port)

    def run_it(program: Program, start: Start) -> Coroutine[Any, Any, object]:
        return _in_loop_of_its_own(
            host, main, args, schedule, program, lambda hub: hub.when_idle(start.look)
        )

    return await start_watched(host, main, port, run_it)


def check_main(main: object) -> None:
    """Raise ConfigError for what is no function of a coroutine, before anything runs."""
    if asyncio.iscoroutine(main) or not callable(main):
        raise ConfigError(
            "a program of asyncio is given as its function and arguments, run_asyncio(main, 1), "
            f"not as {main!r}"
        )


async def _in_loop_of_its_own(
    host: BareHost,
    main: Main[*Ts, T],
    args: tuple[*Ts],
    schedule: Schedule | None,
    program: Program,
    started: Callable[[Hub], None] | None,
) -> T:
    loop = EventLoop(schedule=schedule or host.schedule, seed=host.seed)
    loop.clock, loop.host_name = host.clock, host.name

    def attached(hub: Hub) -> None:
        program.post = loop.call_soon_threadsafe
        program.loop = loop
        program.crash_tasks = partial(crash_loop, loop)
        if started is not None:
            started(hub)

    return await run.run(host.driver, loop, main, args, attached)


async def _on_loop_of_caller(
    host: BareHost,
    main: Main[*Ts, T],
    args: tuple[*Ts],
    started: Callable[[Program, asyncio.Task[T]], None] | None,
) -> T:
    """Run it as a task of the loop that runs; it ends with the host's power."""
    loop, programs = keeper.running_loop(), host.programs
    programs.check_power()
    task: asyncio.Task[T] | None = None
    was_ended = False

    def end() -> None:
        nonlocal was_ended
        was_ended = True
        if task is not None and not loop.is_closed():
            task.cancel()
            hub = loop.hub
            if hub is not None:
                hub.wake()

    gone: asyncio.Future[None] = loop.create_future()  # done when the task is, or has crashed
    has_crashed = False
    caller = asyncio.current_task()

    def is_gone(_: object) -> None:
        if not gone.done():
            gone.set_result(None)

    def crash(later: Later) -> None:
        nonlocal has_crashed
        has_crashed = True
        forget_host(loop, host)
        crash_tasks(loop, program, later, but=caller)
        is_gone(None)
        if loop.hub is not None:
            loop.hub.wake()

    with programs.entered(main, end) as program:
        program.crash_tasks = crash
        program.post, program.loop = loop.call_soon_threadsafe, loop
        task = loop.create_task(main(*args), name=None, context=copy_context())
        if started is not None:
            started(program, task)
        try:
            with programs.end_is_no_error():
                task.add_done_callback(is_gone)
                await gone
                if not has_crashed:
                    return task.result()
        except asyncio.CancelledError:
            if not was_ended or not task.cancelled():
                task.cancel()
                await asyncio.wait([task])
                raise
    raise programs.broken(program)


async def _start_on_loop_of_caller(
    host: BareHost,
    main: Callable[..., Coroutine[Any, Any, object]],
    args: tuple[object, ...],
    port: int | None,
) -> Program:
    loop = keeper.running_loop()
    ready: asyncio.Future[Program] = loop.create_future()

    def is_ready(program: Program) -> None:
        if not ready.done():
            ready.set_result(program)

    def started(program: Program, task: asyncio.Task[object]) -> None:
        assert loop.hub is not None

        def late() -> None:
            if ready.done():
                return  # it has crashed, and nothing of it runs any more
            ready.set_exception(never_listened(host, program.name, port, is_late=True))
            task.cancel()
            if loop.hub is not None:
                loop.hub.wake()

        start = Start(host, port, partial(is_ready, program), late)
        task.add_done_callback(lambda _: start.close())
        loop.hub.when_idle(start.look)

    async def run_it() -> None:
        try:
            await _on_loop_of_caller(host, main, args, started)
        except trio.BrokenResourceError as error:
            if not ready.done():
                ready.set_exception(error)

    programs = host.programs
    network = programs.shared()
    task = loop.create_task(run_it(), context=copy_context())
    tasks.set_aside(task)

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if not ready.done():
            if error is not None:
                ready.set_exception(error)
            elif port is not None:
                name = programs.name_of(main)
                ready.set_exception(never_listened(host, name, port, is_late=False))
            else:
                ready.cancel()
        elif error is not None:
            network.start_soon(_fail, error)

    task.add_done_callback(ended)
    network.start_soon(_end_with_network, task, loop)
    return await ready


async def _fail(error: BaseException) -> None:
    """An error in a program that was started ends the network."""
    raise error


async def _end_with_network(task: asyncio.Task[None], loop: EventLoop) -> None:
    """Cancel a task when the network ends, and wait for it."""
    describe_waits(trio.lowlevel.current_task(), tuple)
    done = trio.Event()
    task.add_done_callback(lambda _: done.set())
    try:
        await done.wait()
    finally:
        if not task.done() and not loop.is_closed():
            task.cancel()
            if loop.hub is not None:
                loop.hub.wake()
            with trio.CancelScope(shield=True):
                await done.wait()
