"""Crashes of asyncio's programs: their tasks end where they are, without their clean-ups.

A task is dropped as Trio's are (`borrowed/dropping.py`), and nothing wakes it any more. Of a
program with an event loop of its own, that is all of the loop; else the tasks in its context.
"""

from __future__ import annotations

import asyncio
import gc
from contextvars import Context
from typing import TYPE_CHECKING, Any

from pystack.runtime.borrowed.dropping import Later, drop
from pystack.runtime.lab.program import Program, current_program
from pystack.runtime.socket import descriptors

if TYPE_CHECKING:
    from pystack.runtime.aio.loop import EventLoop
    from pystack.runtime.bare_host import BareHost


def crash_loop(loop: EventLoop, later: Later) -> None:
    """End a loop with all that it runs: nobody turns it any more."""
    transports: Any = loop._transports  # type: ignore[attr-defined]
    for transport in list(transports.values()):
        _let_go(transport)
    for task in asyncio.all_tasks(loop):
        _drop(task, later)
    for handle in (*loop._ready, *loop._scheduled):
        handle.cancel()
    later(lambda: _forget(loop))


def crash_tasks(loop: EventLoop, program: Program, later: Later, *, but: Any) -> None:  # noqa: ANN401
    """End the tasks of a program on a loop that others use too; `but`: one that goes on."""
    ended = {
        task
        for task in asyncio.all_tasks(loop)
        if task is not but and _context_of(task).get(current_program) is program
    }
    for handle in loop._ready:
        called: Any = handle._callback  # type: ignore[attr-defined]
        if any(getattr(called, "__self__", None) is task for task in ended):
            handle.cancel()
    for task in ended:
        _drop(task, later)


def forget_host(loop: EventLoop, host: BareHost) -> None:
    """Look no more at sockets of a host, nor keep what carries them."""
    transports: Any = loop._transports  # type: ignore[attr-defined]
    for number, key in list(loop._selector.get_map().items()):
        descriptor = None if loop.driver is None else descriptors.find(number, loop.driver)
        if descriptor is None or descriptor.end.host is host:
            for handle in key.data:
                if handle is not None:
                    handle.cancel()
            loop._selector.unregister(number)
    for number, transport in list(transports.items()):
        descriptor = None if loop.driver is None else descriptors.find(number, loop.driver)
        if descriptor is not None and descriptor.end.host is host:
            _let_go(transport)


def _let_go(transport: Any) -> None:  # noqa: ANN401  # a transport of CPython's
    """Have it close nothing, and say nothing of that, when it is forgotten."""
    transport._closing, transport._sock = True, None


def _drop(task: asyncio.Task[Any], later: Later) -> None:
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    asyncio.tasks._unregister_task(task)  # nobody waits for it
    waits_for: Any = task._fut_waiter  # type: ignore[attr-defined]  # None: for nothing
    for callback, _ in list(getattr(waits_for, "_callbacks", None) or ()):
        if getattr(callback, "__self__", None) is task:
            waits_for.remove_done_callback(callback)
    coroutine = task.get_coro()
    if getattr(coroutine, "cr_running", False):
        later(lambda: drop(coroutine))
    else:
        drop(coroutine)


def _forget(loop: EventLoop) -> None:
    """Let the loop go without a word of what it would have to close."""
    loop._ready.clear()
    loop._scheduled.clear()
    loop._closed = True


def _context_of(task: asyncio.Task[Any]) -> Context:
    # Task.get_context is new in 3.12
    return next((each for each in gc.get_referents(task) if isinstance(each, Context)), Context())
