"""Where a run in virtual time stops for other threads.

Whatever the moment at which they want something, it is done at a place that the world determines:
between two events, when no task is ready. Only where tasks wake each other without end, and no
event is ever next, it is done among them: so such a world can be looked at, paused and ended too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Final

from pystack.runtime.driver.driver import Waiter

# While time stands still: how long until a signal of the machine is seen to.
_LOOK_UP_S: Final = 0.1
# How many turns tasks have before somebody who waits: seconds of the machine's, and more than a
# program that gets on has at one instant.
_MOST_PASSES: Final = 50_000


class Gate:
    """What a run stops at, where somebody in another thread wants something, or time is paused.

    It is queued like a task that is to be woken, which is how a run of events is ended; so while
    nobody is there it costs nothing.
    """

    __slots__ = ("_calls", "_lock", "_passes", "_woken", "attended", "is_rung")

    def __init__(self, woken: deque[Waiter | Gate]) -> None:
        self.attended = 0  # how many there are who may want something
        self.is_rung = False  # it is in the queue
        self._woken = woken
        self._passes = 0  # turns that tasks had since something was done, or nothing was wanted
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

    def pass_by(self) -> None:
        """Let tasks go first; after very many times do what is wanted by now all the same."""
        self._passes += 1
        if self._passes < _MOST_PASSES:
            return
        for _ in range(self._calls.qsize()):  # those that they post in turn are not among them
            self._do_next(self._calls.get_nowait())
        self._queue_again()

    def resume(self, is_enough: Callable[[], object]) -> None:
        """Do what is wanted, one after the other; what is left when it is enough stays wanted."""
        while not is_enough():
            try:
                call = self._calls.get_nowait()
            except Empty:
                break
            self._do_next(call)
        self._queue_again()

    def wait(self) -> None:
        """Do the next that is wanted; come back without, after a while."""
        try:
            call = self._calls.get(timeout=_LOOK_UP_S)
        except Empty:
            pass
        else:
            self._do_next(call)
        self._queue_again()

    def _do_next(self, call: Callable[[], object]) -> None:
        self._passes = 0
        call()

    def _queue_again(self) -> None:
        # Without a call it would look as if a task were ready.
        with self._lock:
            while self in self._woken:
                self._woken.remove(self)
            self.is_rung = False
            if self._calls.empty():
                self._passes = 0
            else:
                self._ring()

    def _ring(self) -> None:
        self._woken.append(self)
        self.is_rung = True
