"""Who waits, and where: what a message says of a world in which nothing goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FrameType, MethodType
from typing import Final, TypeVar
from weakref import WeakKeyDictionary, WeakMethod

import trio

from pystack.runtime.driver.driver import Waiter

T = TypeVar("T")

# Whose a file is. With its slash at the end; the checkout around it may have the same name.
PACKAGE: Final = str(Path(__file__).parents[2] / "_")[:-1]
TRIO: Final = str(Path(trio.__file__).parent / "_")[:-1]
_TRIOS_OWN_TASK = "<TrioToken.run_sync_soon task>"

# Tasks that stand for others: what leads to what tells of those
_described: Final[
    WeakKeyDictionary[trio.lowlevel.Task, Callable[[], Callable[[], Iterable[str]] | None]]
] = WeakKeyDictionary()
_running: Final[WeakKeyDictionary[trio.lowlevel.Task, Callable[[], Callable[[], str] | None]]] = (
    WeakKeyDictionary()
)


def describe_runs(task: trio.lowlevel.Task, describe: Callable[[], str]) -> None:
    """Have a task that runs others' code be asked whose it runs now; from any thread."""
    _running[task] = _weakly(describe)


def runs_now(task: trio.lowlevel.Task) -> str:
    """Return whose code a task runs now; empty: its own."""
    describe = _running[task]() if task in _running else None
    return "" if describe is None else describe()


def describe_waits(task: trio.lowlevel.Task, describe: Callable[[], Iterable[str]]) -> None:
    """Have a task that stands for others be told of by what `describe` returns, until it ends.

    It is asked when a message lists who waits: a line for each that waits ("NAME in PLACE"), none
    where nothing does. For the tasks of an event loop, or a thread.
    """
    _described[task] = _weakly(describe)


def _weakly(describe: Callable[[], T]) -> Callable[[], Callable[[], T] | None]:
    """Hold what tells of a task without its object, which may know the task: a world for ever."""
    return WeakMethod(describe) if isinstance(describe, MethodType) else lambda: describe


def _told(task: trio.lowlevel.Task) -> Iterable[str]:
    describe = _described[task]() if task in _described else None
    return [f"{task.name} in {place(task)}"] if describe is None else describe()


def waiting_tasks(beside: trio.lowlevel.Task | None = None) -> str:
    """Return every task that waits for something else than its children, and where: a message.

    `beside`: one that is not meant; None: the one that asks.
    """
    beside = beside or trio.lowlevel.current_task()
    waiting = [
        line
        for task in all_tasks()
        # A task at the end of its nursery waits for tasks that are named themselves; one that
        # waits for all to be blocked, as the driver, does not wait for anything to happen.
        if task is not beside
        and parked_by(task) not in ("_nested_child_finished", "wait_all_tasks_blocked")
        and task.name != _TRIOS_OWN_TASK
        for line in _told(task)
    ]
    return "; ".join(sorted(waiting)) or "nothing"


def all_tasks() -> Iterator[trio.lowlevel.Task]:
    """Return every task of this run, but for Trio's own."""
    root = trio.lowlevel.current_root_task()
    tasks = [root] if root is not None else []
    while tasks:
        task = tasks.pop()
        for nursery in task.child_nurseries:
            tasks.extend(nursery.child_tasks)
        yield task


def parked_by(task: trio.lowlevel.Task) -> str:
    """Return the name of the function that made the task wait; empty if it does not."""
    caller = ""
    for frame, _ in task.iter_await_frames():
        if frame.f_code.co_name == "wait_task_rescheduled":
            return caller
        caller = frame.f_code.co_name
    return ""


def place(task: trio.lowlevel.Task) -> str:
    """Return where the program's own code waits, and for which call of this package."""
    return place_in(task.iter_await_frames())


def place_in(frames: Iterable[tuple[FrameType, int]], library: str = "") -> str:
    """Return the same of frames with their lines, the outermost first.

    `library`: a directory, with its slash at the end, whose calls are named like ours.
    """
    place, call = "?", ""
    for frame, line in frames:
        code = frame.f_code
        if code.co_filename.startswith(TRIO) or code is Waiter.wait.__code__:
            continue
        ours = code.co_filename.startswith(PACKAGE)
        if ours or (library and code.co_filename.startswith(library)):
            call = f", in {code.co_qualname}"
        else:
            file = Path(code.co_filename).name
            place, call = f"{code.co_qualname} ({file}:{line})", ""
    return place + call
