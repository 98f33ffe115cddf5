"""The world that a program runs in: its date, its disk, and what there is one of in a Trio run."""

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def of_this_run(variable: trio.lowlevel.RunVar[T], make: Callable[[], T]) -> T:
    """Return the variable's value in this Trio run; at the first call it is made."""
    try:
        return variable.get()
    except LookupError:
        value = make()
        variable.set(value)
        return value


def utc_now() -> float:
    """Return the seconds since 1970.

    In virtual time they are those since the run began, so that each run has the same dates.
    """
    return trio.current_time() if is_virtual() else time.time()


def is_virtual() -> bool:
    """Tell whether time is made up, so that each run must do the same things in the same order."""
    # Not asked for its class: a stack in real time need not import virtual time.
    return getattr(trio.lowlevel.current_clock(), "is_virtual", False)


async def away(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Call what may wait for a disk: in a thread, so that nobody else waits; in virtual time here.

    Cancelled, it has either not been called, or is done.
    """
    if is_virtual():
        return function(*arguments)
    return await trio.to_thread.run_sync(function, *arguments)
