"""Crash: programs of a host end where they are, with no `finally`, `except` or `async with` run.

What runs a program in a Trio task is a `Life`, which stands between the task and the program's
coroutine: where the host crashes, that coroutine is dropped (`borrowed/dropping.py`), and the task
goes on behind it. The tasks that the program has started, in nurseries of its own, are found by
their cancel scopes, and end without being run once more. That is private to Trio: tests tell when
it has changed.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator, Iterator
from types import CoroutineType
from typing import Any, Final, Protocol, TypeVar

import trio

from pystack.runtime.borrowed.dropping import Later, drop

T = TypeVar("T")


class Living(Protocol):
    """What there is to know of a program (`program.Program`)."""

    name: str
    forget: Callable[[], None]  # it is among those that run no more


class Crashed(BaseException):
    """Comes out of where a program ran, and is caught by who ran it."""

    def __init__(self, program: Living) -> None:
        super().__init__(f"{program.name} has crashed")
        self.program = program


class Life(Awaitable[Any]):
    """What a program's task awaits of it. As an iterator it hands on what the coroutine asks for.

    To those who look where a task waits, it is the coroutine itself.
    """

    __slots__ = (
        "_coroutine",
        "_is_settled",
        "_nurseries",
        "_scope",
        "_task",
        "has_crashed",
        "program",
    )

    def __init__(self, program: Living, awaitable: Awaitable[Any], scope: trio.CancelScope) -> None:
        """`scope`: the innermost one around the `await` of it."""
        is_coroutine = isinstance(awaitable, CoroutineType)
        self._coroutine: Any = awaitable if is_coroutine else _awaiting(awaitable)
        self._scope = scope
        self._task = trio.lowlevel.current_task()
        self._nurseries = len(self._task.child_nurseries)
        self.program = program
        self.has_crashed = False
        self._is_settled = False

    def __await__(self) -> Generator[Any, Any, Any]:
        """Return itself: what drives the coroutine."""
        return self

    def __iter__(self) -> Life:
        """Return itself."""
        return self

    def __next__(self) -> object:
        """Go on (HOT)."""
        return self.send(None) if self.has_crashed else self._coroutine.send(None)

    def send(self, value: object) -> object:
        """Go on with what was waited for (HOT)."""
        if self.has_crashed:
            if not self._is_settled:  # it ran when its host crashed
                self._settle(_nothing_runs)
            raise Crashed(self.program)
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> object:  # noqa: ANN401  # as that of a generator
        """Go on with an error."""
        if self.has_crashed:
            return self.send(None)
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End the coroutine."""
        self._coroutine.close()

    @property
    def cr_frame(self) -> object:
        """Return the coroutine's frame."""
        return self._coroutine.cr_frame

    @property
    def cr_await(self) -> object:
        """Return what the coroutine waits for."""
        return self._coroutine.cr_await

    def dropped(self) -> object:
        """Take note that a program around this one has crashed."""
        self.has_crashed = True
        self.program.forget()
        return self._coroutine

    def crash(self, later: Later) -> None:
        """Let the program end here and now; what runs at this moment, as soon as it waits.

        `later`: calls a function at this instant, when no task can run.
        """
        if self.has_crashed:
            return
        self.has_crashed = True
        if self._scope._cancel_status is None:
            return  # it has ended, and only its task has not gone on yet
        if not self._coroutine.cr_running:
            self._settle(later)
            return
        # It is cut off where it waits next; its other tasks run no more from now on.
        around = self._scope._cancel_status
        self._end_tasks(list(_below(around)), later)

    def _settle(self, later: Later) -> None:
        """Let go of all that it has begun."""
        self._is_settled = True
        around: Any = self._scope._cancel_status
        inner = list(_below(around))
        self._end_tasks(inner, later)
        drop(self._coroutine)
        self._task._activate_cancel_status(around)
        del self._task._child_nurseries[self._nurseries :]

    def _end_tasks(self, inner: list[Any], later: Later) -> None:
        """Wake its own task, and all that it has started, which end without being run.

        `inner`: the cancel statuses below its own.
        """
        around: Any = self._scope._cancel_status
        tasks = {task for status in (around, *inner) for task in status._tasks} - {self._task}
        for task in tasks:
            _end(task, later)
        for status in inner:
            status._scope.deadline = math.inf
            status._scope.shield = False
        self._scope.cancel()
        for task in tasks:
            task._activate_cancel_status(around.parent)


class _Ended:
    """The coroutine of a task that has nothing left to do."""

    cr_frame = cr_await = None
    cr_running = False

    def send(self, _value: object) -> None:
        raise StopIteration

    def throw(self, *_error: object) -> None:
        raise StopIteration

    def close(self) -> None:
        """There is nothing to close."""


_ENDED: Final[Any] = _Ended()


def _end(task: trio.lowlevel.Task, later: Later) -> None:
    """Have a task end when it is woken, without being run."""
    coroutine, task.coro = task.coro, _ENDED
    task._child_nurseries.clear()
    if task._next_send_fn is not None:
        task._next_send_fn = _ENDED.send
    if getattr(coroutine, "cr_running", False):
        later(lambda: drop(coroutine))
    else:
        drop(coroutine)


def _nothing_runs(_fn: object) -> None:
    raise AssertionError("a task runs while another one is resumed")


def _below(status: Any) -> Iterator[Any]:  # noqa: ANN401  # Trio's CancelStatus, which is private
    for child in status._children:
        yield child
        yield from _below(child)


async def _awaiting(awaitable: Awaitable[T]) -> T:
    return await awaitable
