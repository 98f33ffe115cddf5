"""How calls of programs that know nothing of Trio get into the world, and wait for it.

All of the stack happens in Trio's thread. A call made there is made at once; one that has to wait
there would stop the world, and is refused. In a thread of the world (`runtime/blocking/turns.py`)
calls and waits are handed over; so they are from `trio.to_thread.run_sync`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

import trio

from pystack.runtime.blocking.turns import WorldThread, current_thread
from pystack.runtime.borrowed.clock import BlockedWorldError
from pystack.runtime.driver.driver import Waiter

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.socket.descriptors import Descriptor

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def call(host: BareHost, fn: Callable[[*Ts], T], *args: *Ts) -> T:
    """Run in Trio's thread what waits for nothing; return or raise what it does."""
    thread = current_thread()
    if thread is not None:
        return thread.call(fn, *args)
    if _in_trio_run():
        return fn(*args)
    if host.stack.closed:  # the world has ended, and nothing is there to be disturbed
        return fn(*args)
    return _from_outside(lambda: trio.from_thread.run_sync(fn, *args))


def wait(what: str, async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Await it in Trio's thread; `what`: the call that asks, in words. BlockedWorldError there."""
    thread = current_thread()
    if thread is not None:
        return thread.wait(async_fn, *args)
    check_may_wait(what)
    return _from_outside(lambda: trio.from_thread.run(async_fn, *args))


def polled() -> None:
    """Be told that a program has looked in vain for something that is ready, without waiting."""
    thread = current_thread()
    if thread is not None:
        thread.polled()


def in_trios_thread() -> bool:
    """Tell whether the world's own thread runs now, and not one that it has given the turn."""
    return current_thread() is None and _in_trio_run()


def _in_trio_run() -> bool:
    """Tell whether this is the thread of a Trio run. Trio 0.27 has no word for it yet."""
    try:
        trio.lowlevel.current_trio_token()
    except RuntimeError:
        return False
    return True


def check_may_wait(what: str) -> None:
    """Raise BlockedWorldError where a call that waits would stop the world."""
    if in_trios_thread():
        raise BlockedWorldError.of(what, _INSTEAD)


def until(
    what: str, descriptor: Descriptor, attempt: Callable[[], T | None], timeout_s: float | None
) -> T | None:
    """Attempt, which was done once, until it returns something; None: the time was over before.

    `what`: the call that waits, in words.
    """
    thread = current_thread()
    if thread is not None:
        return _in_thread(thread, what, descriptor, attempt, timeout_s)
    check_may_wait(what)
    return _from_outside(
        lambda: trio.from_thread.run(lambda: _in_trio(descriptor, attempt, timeout_s))
    )


def _in_thread(
    thread: WorldThread,
    what: str,
    descriptor: Descriptor,
    attempt: Callable[[], T | None],
    timeout_s: float | None,
) -> T | None:
    # Nothing happens between the attempts and the waits: this thread has its turn.
    def wake() -> None:
        if thread.is_waiting:
            thread.answer(True)

    def begin() -> None:
        descriptor.begin_call()
        descriptor.watch(wake)

    def end() -> None:
        descriptor.unwatch(wake)
        descriptor.end_call()

    deadline = math.inf if timeout_s is None else thread.now() + timeout_s
    thread.call(begin)
    try:
        while thread.park_until(None, deadline, what):
            result = thread.call(attempt)
            if result is not None:
                return result
        return None
    finally:
        thread.call(end)


async def _in_trio(
    descriptor: Descriptor, attempt: Callable[[], T | None], timeout_s: float | None
) -> T | None:
    waiter = Waiter(descriptor.end.host.driver)
    descriptor.begin_call()
    descriptor.watch(waiter.wake)
    try:
        with trio.move_on_after(trio_s(timeout_s)):
            while True:
                result = attempt()
                if result is not None:
                    return result
                await waiter.wait()
        return None
    finally:
        descriptor.unwatch(waiter.wake)
        descriptor.end_call()


def trio_s(timeout_s: float | None) -> float:
    """Return a timeout as Trio has it: infinite for None."""
    return math.inf if timeout_s is None else timeout_s


def later(driver: Driver, fn: Callable[[], None]) -> None:
    """Have it happen in the world's next event: from a finalizer, which runs anywhere."""
    scheduler = driver.scheduler
    scheduler.call_at(scheduler.now, lambda _now: fn())


def _from_outside(run: Callable[[], T]) -> T:
    try:
        return run()
    except RuntimeError as error:
        if "wasn't created by Trio" not in str(error):
            raise
        raise BlockedWorldError(
            "a socket of a host was used in a thread that is not of its world: start it on the "
            "host, with `await host.run_sync(fn, ...)` or from a program that runs there"
        ) from None


_INSTEAD: Final = (
    "trio.socket or trio.open_tcp_stream (in asyncio its streams, or a socket that does not block "
    "with loop.sock_recv and the like)"
)
