"""The date in the world that a program runs in."""

import time

import trio

from pystack.runtime.virtual import VirtualClock


def utc_now() -> float:
    """Return the seconds since 1970.

    In virtual time they are those since the run began, so that each run has the same dates.
    """
    clock = trio.lowlevel.current_clock()
    return clock.current_time() if isinstance(clock, VirtualClock) else time.time()
