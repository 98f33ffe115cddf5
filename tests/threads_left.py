"""Nothing is left of threads: what each of their tests ends with."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOOKS: Final = 1000  # of 10 ms: the machine takes a thread away when it gets round to it


@contextmanager
def no_thread_is_left() -> Iterator[None]:
    """Fail where a thread of the block is there after it. Others may end meanwhile."""
    threads, tasks = set(threading.enumerate()), _tasks()
    yield
    assert set(threading.enumerate()) <= threads
    # One more looks after worlds, and goes when there have been none for a while.
    for _ in range(_LOOKS):
        if len(_tasks() - tasks) <= 1:
            return
        time.sleep(0.01)
    raise AssertionError(f"the machine's threads {_tasks() - tasks} are left")


def _tasks() -> set[str]:
    """Return the machine's threads, those that Python does not list too."""
    return set(os.listdir("/proc/self/task"))
