"""Alarms: how a task sleeps until an instant that others may move nearer.

Trio's own sleep ends up to a millisecond late on Linux, for `epoll_wait` counts in whole
milliseconds and rounds up. A timer descriptor (timerfd_create(2)) has nanoseconds and is exempt
from timer slack; where there is none, Trio's sleep has to do.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import time
from typing import Final, Protocol

import trio

_TFD_NONBLOCK: Final = os.O_NONBLOCK if hasattr(os, "O_NONBLOCK") else 0
_TFD_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)
_TFD_TIMER_ABSTIME: Final = 1
_NS_PER_S: Final = 1_000_000_000
# Further off than anyone sleeps, and still a `time_t` of 32 bits.
_MAX_AHEAD_S: Final = 10**8


class Alarm(Protocol):
    """Wakes one task at an instant of Trio's clock."""

    def set(self, when: float) -> None:
        """Go off at `when`, instead of what was set before; infinity: not at all."""
        ...

    async def wait(self) -> None:
        """Return when it has gone off, at once if that instant is over. May return too early."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class DeadlineAlarm:
    """Sleeps as Trio does: everywhere, on any clock of Trio's, and up to 1 ms late on Linux."""

    __slots__ = ("_scope", "_when")

    def __init__(self) -> None:
        self._when = math.inf
        self._scope: trio.CancelScope | None = None  # None: nobody waits

    def set(self, when: float) -> None:
        """Move the alarm, even for a task that waits already."""
        self._when = when
        if self._scope is not None:
            self._scope.deadline = when

    async def wait(self) -> None:
        """Sleep until the instant."""
        with trio.CancelScope(deadline=self._when) as self._scope:
            try:
                await trio.sleep_forever()
            finally:
                self._scope = None

    def close(self) -> None:
        """There is nothing to give back."""


class TimerfdAlarm:
    """Sleeps on a timer descriptor. Raises OSError when built, where the system has none."""

    __slots__ = ("_clock", "_fd", "_libc", "_setting")

    def __init__(self) -> None:
        if sys.platform != "linux":
            raise OSError("timer descriptors are Linux's")
        self._clock = trio.lowlevel.current_clock()  # a thread of the world may set it, too
        # By ctypes, for `os.timerfd_create` is there only from Python 3.13 on.
        self._libc = ctypes.CDLL(None, use_errno=True)
        try:
            fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, _TFD_NONBLOCK | _TFD_CLOEXEC)
        except AttributeError:
            raise OSError("the C library has no timerfd_create") from None
        if fd < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"timerfd_create: {os.strerror(code)}")
        self._fd: int = fd
        # struct itimerspec: interval (0: go off once), then the instant, each in s and ns
        self._setting = (ctypes.c_long * 4)()

    def set(self, when: float) -> None:
        """Move the alarm, even for a task that waits already. A pending wake-up is forgotten."""
        if when == math.inf:
            seconds, nanoseconds = 0, 0  # disarmed
        else:
            # Trio's clock is the machine's plus a number that is made up anew for each run.
            ahead = min(when - self._clock.current_time(), _MAX_AHEAD_S)
            at = max(time.clock_gettime(time.CLOCK_MONOTONIC) + ahead, 0.0)
            seconds = int(at)
            # Never 0 together: that would disarm it.
            nanoseconds = min(int((at - seconds) * _NS_PER_S) + 1, _NS_PER_S - 1)
        self._setting[2], self._setting[3] = seconds, nanoseconds
        self._libc.timerfd_settime(self._fd, _TFD_TIMER_ABSTIME, self._setting, None)

    async def wait(self) -> None:
        """Sleep until it goes off. It is not read: the next `set` makes it unreadable."""
        await trio.lowlevel.wait_readable(self._fd)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
