"""The date in the world that a program runs in."""

import time

import trio


def utc_now() -> float:
    """Return the seconds since 1970.

    In virtual time they are those since the run began, so that each run has the same dates.
    """
    clock = trio.lowlevel.current_clock()
    # Not asked for its class: a stack in real time need not import virtual time.
    return clock.current_time() if getattr(clock, "is_virtual", False) else time.time()
