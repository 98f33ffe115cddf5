"""What tasks of asyncio do: where each of them waits, and which callbacks are steps of one."""

from __future__ import annotations

import asyncio
from asyncio import tasks
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final
from weakref import WeakSet

from pystack.runtime.aio.bridge import Crossing
from pystack.runtime.current import current_host
from pystack.runtime.driver.waiting import place_in

_STEPS: Final = frozenset({"TaskStepMethWrapper", "task_wakeup", "__step", "__wakeup"})
_helpers: Final[WeakSet[asyncio.Task[Any]]] = WeakSet()
_ASYNCIO: Final = str(Path(asyncio.__file__).parent / "_")[:-1]


def is_step(handle: asyncio.Handle) -> bool:
    """Tell whether a callback lets a task go on."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    if not isinstance(getattr(callback, "__self__", None), asyncio.Task):
        return False
    name: str = getattr(callback, "__name__", type(callback).__name__)
    return name in _STEPS


def waits(
    loop: asyncio.AbstractEventLoop, of: Iterable[asyncio.Task[Any]] | None = None
) -> Iterator[str]:
    """Tell of each task that waits: "host: NAME in PLACE". `of`: None: all of the loop's."""
    for task in sorted(tasks.all_tasks(loop) if of is None else of, key=_number_of):
        if task not in _helpers:
            place = place_in(_frames(task), library=_ASYNCIO)
            # Where there is nothing but asyncio's own code, its call says it all.
            yield f"{name_of(task)} in {place.removeprefix('?, in ')}"


def set_aside(task: asyncio.Task[Any]) -> None:
    """Leave a task out of messages: it waits for another, or for the end."""
    _helpers.add(task)


def name_of(task: asyncio.Task[Any]) -> str:
    """Return what a task is called in a message: its host, and its coroutine or given name."""
    coro: Any = task.get_coro()
    name = getattr(coro, "__qualname__", None) or repr(coro)
    given = task.get_name()
    if not given.startswith("Task-"):
        name = f"{name} ({given})"
    context = getattr(task, "get_context", None)  # from 3.12 on
    host = None if context is None else context().get(current_host)
    host_name = getattr(task.get_loop(), "host_name", "") if host is None else host.name
    return f"{host_name}: {name}" if host_name else name


def _number_of(task: asyncio.Task[Any]) -> tuple[int, str]:
    name = task.get_name()
    number = name.removeprefix("Task-")
    return (int(number), name) if number.isdecimal() else (0, name)


def _frames(task: asyncio.Task[Any]) -> Iterator[tuple[FrameType, int]]:
    """Yield the frames in which it waits, the outermost first, with their lines."""
    inner: Any = task.get_coro()
    while inner is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(inner, f"{kind}_frame", None)
            if frame is not None:
                yield frame, frame.f_lineno
                if frame.f_code is Crossing.result.__code__:  # it goes on in Trio
                    there: Crossing = frame.f_locals["self"]
                    if there.task is not None:
                        yield from there.task.iter_await_frames()
                inner = getattr(inner, "gi_yieldfrom" if kind == "gi" else f"{kind}_await", None)
                break
        else:
            return
