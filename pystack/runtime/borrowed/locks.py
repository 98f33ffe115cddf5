"""What threads wait for each other with, where threads of a world do: locks, queues, joins.

All of it is made of two types of lock and one of queue that are written in C, and (from 3.13 on) a
thread's handle; so `threading`, `queue`, `concurrent.futures` and `logging` follow. A lock made
before, or by code on no host, may be held by a thread of the world: who waits is asked, not the
lock. A thread of the world tries, and else lets others have their turns until it is free, or its
time-out is over in the world's time. Trio's own thread cannot wait; it lets threads that can run
have turns until it is free, and is told so where that does not help.
"""

from __future__ import annotations

import _queue
import _thread
import math
import sys
from collections.abc import Callable
from threading import TIMEOUT_MAX
from typing import Any, Final, NamedTuple

from pystack.runtime.blocking.busy import patience
from pystack.runtime.blocking.pools import IDLE
from pystack.runtime.blocking.turns import (
    Turns,
    are_there_others,
    current_thread,
    is_of_a_world,
    turns_here,
)
from pystack.runtime.borrowed.clock import BlockedWorldError
from pystack.runtime.borrowed.loan import Borrow, Loan
from pystack.runtime.current import current_host

_Lock: Final = _thread.LockType
_RLock: Final = _thread.RLock
_SimpleQueue: Final = _queue.SimpleQueue
_Handle: Final[Any] = getattr(_thread, "_ThreadHandle", None)  # None: before 3.13
_is_locked: Final = _Lock.locked
# How long Trio's thread waits for one of the machine's that may hold a lock
_PATIENCE_S: Final = 1.0
_NOTHING: Final = object()


def lend(borrow: Borrow) -> None:
    """Lend all of it."""
    for kind in (_Lock, _RLock):
        acquire = _acquiring(kind, kind.acquire)
        for name in ("acquire", "acquire_lock"):
            if name in vars(kind):
                borrow.method(kind, name, acquire)
        borrow.method(kind, "__enter__", _entering(kind.acquire, acquire))
    borrow.method(_RLock, "_acquire_restore", _restoring(vars(_RLock)["_acquire_restore"]))
    borrow.method(_SimpleQueue, "get", _getting(_SimpleQueue.get))
    if _Handle is not None:
        borrow.method(_Handle, "join", _joining(_Handle.join))


LOCKS: Final = Loan(lend)


def _acquiring(kind: type, original: Callable[..., bool]) -> Callable[..., bool]:
    is_free = _is_free_rlock if kind is _RLock else _is_free

    def acquire(lock: Any, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: ANN401, FBT001, FBT002
        if timeout == -1:
            # Nearly always it is free (HOT)
            if original(lock, False):
                return True
            if not blocking:
                return False
        elif not blocking or not isinstance(timeout, int | float) or not 0 < timeout < TIMEOUT_MAX:
            return original(lock, blocking, timeout)  # nothing to wait for, or it raises

        def take(timeout: float | None) -> object:
            if timeout is None:
                return original(lock)
            return original(lock, True, timeout) if timeout else original(lock, False)

        wanted = _Wanted(lock, "a lock", lambda: is_free(lock), take)
        return bool(wanted.wait(None if timeout == -1 else timeout))

    return acquire


def _entering(
    original: Callable[..., bool], acquire: Callable[[Any], bool]
) -> Callable[[Any], bool]:
    def enter(lock: Any) -> bool:  # noqa: ANN401
        return True if original(lock, False) else acquire(lock)

    return enter


def _restoring(original: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    acquire, release = _RLock.acquire, _RLock.release

    def acquire_restore(lock: Any, state: Any) -> None:  # noqa: ANN401
        def take(timeout: float | None) -> object:
            if not (
                acquire(lock) if timeout is None else acquire(lock, bool(timeout), timeout or -1)
            ):
                return False
            release(lock)
            original(lock, state)
            return True

        if not take(0):
            _Wanted(lock, "a lock", lambda: _is_free_rlock(lock), take).wait(None)

    return acquire_restore


def _getting(original: Callable[..., object]) -> Callable[..., object]:
    def get(queue: Any, block: bool = True, timeout: float | None = None) -> object:  # noqa: ANN401, FBT001, FBT002
        try:
            return original(queue, False)
        except _queue.Empty:
            if not block or (timeout is not None and not 0 < timeout < TIMEOUT_MAX):
                return original(queue, block, timeout)  # it raises

        def take(timeout: float | None) -> object:
            try:
                return (original(queue, timeout != 0, timeout),)
            except _queue.Empty:
                return None

        got: Any = _Wanted(queue, IDLE, lambda: not queue.empty(), take).wait(timeout)
        if got is None:
            raise _queue.Empty
        return got[0]

    return get


def _joining(original: Callable[..., None]) -> Callable[..., None]:
    def join(handle: Any, timeout: float | None = None) -> None:  # noqa: ANN401
        if handle.is_done() or handle.ident == _thread.get_ident():
            return original(handle, timeout)

        def take(timeout: float | None) -> object:
            original(handle, timeout)
            return handle.is_done()

        if timeout != 0:
            _Wanted(handle, "the end of a thread", handle.is_done, take).wait(timeout)
        return original(handle, 0)

    return join


class _Wanted(NamedTuple):
    """What a thread waits for."""

    thing: object
    words: str
    is_there: Callable[[], object]  # looks, from any thread
    take: Callable[[float | None], object]  # waits so long (None: for ever); not true: in vain

    def wait(self, timeout: float | None) -> object:
        """Wait for it where the caller can; return what `take` does."""
        thread = current_thread()
        if thread is None:
            turns = turns_here()
            return self.take(timeout) if turns is None else self._wait_in_trios(turns, timeout)
        if _is_the_machines(self.thing):
            return self.take(timeout)
        deadline = math.inf if timeout is None else thread.now() + timeout
        while thread.park_until(self.is_there, deadline, self.words):
            if got := self.take(0):
                return got
        return self.take(0)

    def _wait_in_trios(self, turns: Turns, timeout: float | None) -> object:
        """Let threads that can run have turns until it is there: Trio's thread wants it."""
        while turns.run_one():
            if got := self.take(0):
                return got
        host = current_host.get()
        if _is_the_machines(self.thing):
            return self.take(timeout)
        # The test itself may wait for threads of the machine, but not for ever: they may be none
        patience_s = _PATIENCE_S if host is not None else patience()
        if host is None and (math.inf if timeout is None else timeout) <= patience_s:
            return self.take(timeout)
        is_hopeless = _is_a_worlds(self.thing) or not are_there_others()
        if not is_hopeless and (got := self.take(patience_s)):
            return got
        raise BlockedWorldError.of(f"waiting for {self.words}", "what Trio or asyncio have for it")


def _is_free(lock: Any) -> bool:  # noqa: ANN401
    return not _is_locked(lock)


def _is_free_rlock(lock: object) -> bool:
    # The one way to ask that takes nothing
    return repr(lock).startswith("<unlocked")


def _is_the_machines(thing: object) -> bool:
    """Tell whether it is a lock that a thread of the machine is known to hold, and gives up."""
    owner = _owner(thing)
    # One of a thread that is no more is nobody's to give up.
    return owner in sys._current_frames() and not is_of_a_world(owner)


def _is_a_worlds(thing: object) -> bool:
    """Tell whether it is a lock that a thread of a world is known to hold."""
    return is_of_a_world(_owner(thing))


def _owner(thing: object) -> int:
    """Return the thread that holds a lock; 0 where none does, or that cannot be told."""
    if not isinstance(thing, _RLock):
        return 0
    return int(repr(thing).partition(" owner=")[2].partition(" ")[0])
