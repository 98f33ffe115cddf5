"""Where a run in virtual time stops for other threads.

Whatever the moment at which they want something, it is done at a place that the world determines:
between two events, when no task is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Final

from pystack.runtime.driver.driver import Waiter

# While time stands still: how long until a signal of the machine is seen to.
_LOOK_UP_S: Final = 0.1


class Gate:
    """What a run stops at, where somebody in another thread wants something, or time is paused.

    It is queued like a task that is to be woken, which is how a run of events is ended; so while
    nobody is there it costs nothing.
    """

    __slots__ = ("_calls", "_lock", "_woken", "attended", "is_rung")

    def __init__(self, woken: deque[Waiter | Gate]) -> None:
        self.attended = 0  # how many there are who may want something
        self.is_rung = False  # it is in the queue
        self._woken = woken
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = Lock()  # what is wanted, and the gate's places in the queue, belong together

    def post(self, call: Callable[[], object]) -> None:
        """Want something. From any thread."""
        with self._lock:
            self._calls.put(call)
            self._ring()

    def stop(self) -> None:
        """End a run of events. From the world's thread."""
        self._ring()

    def is_alone(self) -> bool:
        """Tell whether nothing else is in the queue: no task is to be woken."""
        return all(each is self for each in list(self._woken))  # others may post meanwhile

    def resume(self, is_enough: Callable[[], object]) -> None:
        """Do what is wanted, one after the other; what is left when it is enough stays wanted."""
        while not is_enough():
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            call()
        self._queue_again()

    def wait(self) -> None:
        """Do the next that is wanted; come back without, after a while."""
        with suppress(Empty):
            call = self._calls.get(timeout=_LOOK_UP_S)
            call()
        self._queue_again()

    def _queue_again(self) -> None:
        # Without a call it would look as if a task were ready.
        with self._lock:
            while self in self._woken:
                self._woken.remove(self)
            self.is_rung = False
            if not self._calls.empty():
                self._ring()

    def _ring(self) -> None:
        self._woken.append(self)
        self.is_rung = True
