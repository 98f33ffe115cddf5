"""Threads of a `ThreadPoolExecutor`, which wait for work that may never come."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pystack.runtime.blocking.turns import ProgramEnded

if TYPE_CHECKING:
    import threading

# What an idle one waits for
IDLE: Final = "an item of a queue"


def is_of_a_pool(thread: threading.Thread | None) -> bool:
    """Tell whether a thread is one of a pool's."""
    module: Any = sys.modules.get("concurrent.futures.thread")
    return module is not None and thread in module._threads_queues


def pool_of(thread: Any) -> Callable[[], Any] | None:  # noqa: ANN401
    """Return a reference to the pool of a thread that is about to start; None: it is of none."""
    module: Any = sys.modules.get("concurrent.futures.thread")
    if module is None or thread._target is not module._worker:
        return None
    # It logs whatever ends a worker, at its end with its program too.
    logging.getLogger("concurrent.futures").addFilter(_is_no_end)
    reference: Callable[[], Any] = thread._args[0]
    return reference


def leave(reference: Callable[[], Any], thread: object) -> None:
    """Have a pool know that a thread of it has ended: it may outlive the world, and be used again.

    Else it would leave work to threads that are no more.
    """
    pool = reference()
    if pool is None:
        return
    pool._threads.discard(thread)
    while not pool._threads and pool._idle_semaphore.acquire(blocking=False):
        pass


def _is_no_end(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], ProgramEnded)
