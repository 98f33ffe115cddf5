"""Threads that code on hosts starts, which are threads of the world."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any

import trio
from trio._core import _run as trio_run

from pystack.core.errors import ConfigError
from pystack.runtime.blocking.turns import current_thread
from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.current import current_host

# Its threads are told what to do by Trio's, which waits for none of them
_TRIOS: str = "trio._core._thread_cache"


def lend(borrow: Borrow) -> None:
    """Lend what starts them, and `trio.run`, which in one of them runs in its companion."""
    borrow.function(_thread.start_new_thread, _starting)
    borrow.function(_thread.start_new, _starting)
    borrow.python_function(trio.run, _running_trio)
    borrow.python_function(trio.from_thread.run, _awaiting_from)
    borrow.python_function(trio.from_thread.run_sync, _calling_from)
    if hasattr(_thread, "start_joinable_thread"):
        borrow.function(_thread.start_joinable_thread, _starting_joinable)
    borrow.when_imported("multiprocessing.pool", _lend_thread_pool)


def _running_trio(original: Callable[..., Any]) -> Callable[..., Any]:
    def run(async_fn: Any, *args: Any, **words: Any) -> Any:  # noqa: ANN401
        thread = current_thread()
        if thread is None:
            return original(async_fn, *args, **words)
        if words.get("clock") is not None or words.get("instruments"):
            raise ConfigError(
                f"trio.run in the thread {thread.name} runs in its world, which has a clock of its "
                "own: leave `clock` and `instruments` out, or run it outside of the network"
            )
        return thread.wait(async_fn, *args)

    return run


def _awaiting_from(original: Callable[..., Any]) -> Callable[..., Any]:
    """`trio.from_thread.run`, where a program knows that Trio is around it."""

    def run(afn: Any, *args: Any, trio_token: Any = None) -> Any:  # noqa: ANN401
        thread = current_thread()
        if thread is None or trio_token is not None:
            return original(afn, *args, trio_token=trio_token)
        return thread.wait(afn, *args)

    return run


def _calling_from(original: Callable[..., Any]) -> Callable[..., Any]:
    def run_sync(fn: Any, *args: Any, trio_token: Any = None) -> Any:  # noqa: ANN401
        thread = current_thread()
        if thread is None or trio_token is not None:
            return original(fn, *args, trio_token=trio_token)
        return thread.call(fn, *args)

    return run_sync


def _lend_thread_pool(borrow: Borrow) -> None:
    """Lend what the keeper of a `multiprocessing.pool.ThreadPool` waits by: a pipe of the machine.

    The other end is in this process, so the keeper may wait for whoever writes to it.
    """
    from multiprocessing.pool import Pool

    def waiting(original: Callable[..., None]) -> Callable[..., None]:
        def wait_for_updates(sentinels: Any, change_notifier: Any, timeout: Any = None) -> None:  # noqa: ANN401
            thread = current_thread()
            if thread is None or timeout is not None or sentinels != [change_notifier._reader]:
                return original(sentinels, change_notifier, timeout)
            from pystack.runtime.socket.polling import ask_machine  # has threads below it
            from pystack.runtime.socket.readiness import IN

            notified = {change_notifier._reader.fileno(): IN}
            thread.park_until(lambda: ask_machine(notified), what="changes of a pool")
            return original([], change_notifier, 0)

        return wait_for_updates

    borrow.python_function(Pool._wait_for_updates, waiting)  # type: ignore[attr-defined]


def lend_names(borrow: Borrow) -> None:
    """Lend the numbers in names of threads and pools: each host counts its own, from 1."""
    import threading

    def naming(original: Callable[..., str]) -> Callable[..., str]:
        def newname(name_template: str) -> str:
            host = current_host.get()
            if host is None or host.chance is None:
                return original(name_template)
            return name_template % next(host.chance.thread_numbers)

        return newname

    borrow.python_function(threading._newname, naming)  # type: ignore[attr-defined]
    borrow.when_imported("concurrent.futures.thread", _lend_pool_names)


def _lend_pool_names(borrow: Borrow) -> None:
    from concurrent.futures import ThreadPoolExecutor

    kind: Any = ThreadPoolExecutor
    original = kind._counter

    def counter() -> int:
        host = current_host.get()
        chance = None if host is None else host.chance
        return int(original() if chance is None else next(chance.pool_numbers))

    borrow.attribute(kind, "_counter", staticmethod(counter))


def _starting(original: Callable[..., int]) -> Callable[..., int]:
    def start_new_thread(fn: Any, args: Any = (), kwargs: Any = None, *more: Any) -> int:  # noqa: ANN401
        is_right = callable(fn) and isinstance(args, tuple) and isinstance(kwargs, dict | None)
        if more or not is_right or not _is_the_worlds(fn):
            given = (fn, args) if kwargs is None else (fn, args, kwargs)
            return original(*given, *more)
        from pystack.runtime.blocking.run_sync import start_thread  # only where there are threads

        daemon = bool(getattr(getattr(fn, "__self__", None), "daemon", True))
        return start_thread(
            fn, args, kwargs or {}, daemon=daemon, start=lambda run: original(run, ())
        )

    return start_new_thread


def _starting_joinable(original: Callable[..., Any]) -> Callable[..., Any]:
    def start_joinable_thread(function: Any, handle: Any = None, daemon: bool = True) -> Any:  # noqa: ANN401, FBT001, FBT002
        if not _is_the_worlds(function):
            return original(function, handle=handle, daemon=daemon)
        from pystack.runtime.blocking.run_sync import start_thread  # only where there are threads

        handles: list[Any] = []

        def start(run: Callable[[], None]) -> int:
            # A daemon's for the machine: the interpreter waits for no thread of a world.
            handles.append(original(run, handle=handle, daemon=True))
            return int(handles[0].ident)

        start_thread(function, (), {}, daemon=daemon, start=start)
        return handles[0]

    return start_joinable_thread


def _is_the_worlds(fn: object) -> bool:
    """Tell whether a thread that is started here is one of the world: by code on a host."""
    if current_thread() is not None:
        return True
    if current_host.get() is None or not _is_trios():
        return False
    target = getattr(getattr(fn, "__self__", None), "_target", None)
    return type(getattr(target, "__self__", None)).__module__ != _TRIOS


def _is_trios() -> bool:
    """Tell whether this is the thread of a Trio run."""
    return hasattr(trio_run.GLOBAL_RUN_CONTEXT, "runner")
