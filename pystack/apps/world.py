"""The world that a program runs in: its date, its disk, and what there is one of in a Trio run."""

import time
from collections.abc import Callable
from contextvars import Context
from typing import Final, TypeVar, TypeVarTuple

import trio

from pystack.runtime.current import current_host
from pystack.runtime.driver.driver import Driver, wall_clock_offset_s

_ON_NO_HOST: Final = Context()

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
    """Return the seconds since 1970: in virtual time those of the world, by the host's clock."""
    here = current_host.get()
    if here is not None:
        return here.time_at(here.now())
    # A service whose task is on no host may have a stream of one.
    clock = trio.lowlevel.current_clock()
    driver: Driver | None = getattr(clock, "driver", None)  # None: Trio's own clock
    return time.time() if driver is None else clock.current_time() + wall_clock_offset_s(driver)


def machine_now() -> float:
    """Return the seconds since 1970 by the machine's clock: it is by this one that files change."""
    return _ON_NO_HOST.run(time.time)


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
