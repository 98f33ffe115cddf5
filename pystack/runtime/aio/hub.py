"""Hub: the Trio task that an event loop runs in.

It gives the loop a turn whenever something is ready, and else waits: for a socket, for the next
timer of the loop, for somebody outside. Between its turns Trio and the hosts' stacks run.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.errors import PystackError
from pystack.core.scheduler import Handle, no_upkeep
from pystack.runtime.driver.driver import Driver, Waiter
from pystack.runtime.driver.waiting import describe_runs, describe_waits

if TYPE_CHECKING:
    from pystack.runtime.aio.loop import EventLoop

# So many rounds of a loop may follow each other before other tasks have a turn.
_ROUNDS: Final = 100
# After so many turns of that kind at one instant a program looks for something again and again
# (`while not done: await asyncio.sleep(0)`), which takes time on a machine: so it does here. The
# longer it goes on, the more: from 0.1 ms for each turn to 10 ms.
_TURNS: Final = 10
_FIRST_STEP_S: Final = 1e-4
_LONGEST_STEP_S: Final = 1e-2
# It is named and given up after this many: a quarter of an hour of virtual time
_MOST_TURNS: Final = 100_000


class Hub:
    """What an event loop waits by. One per run of it; it exists while the loop runs."""

    def __init__(self, loop: EventLoop, driver: Driver) -> None:
        self._loop = loop
        self.driver = driver
        self._waiter = Waiter(driver)
        self.nursery: trio.Nursery | None = None  # for what runs in Trio for the loop
        self.token = trio.lowlevel.current_trio_token()
        self._alarm: Handle | None = None  # None: no timer is waited for
        self._woken = False
        self._when_idle: list[Callable[[], bool]] = []
        self._is_looking = False  # to see whether it is idle
        self._busy_turns = 0  # since it was idle
        self.calls_waiting = 0  # of the program itself, in Trio
        self.crossings: set[trio.CancelScope] = set()  # of what runs in Trio for the loop
        self.is_over = False  # no task of the loop's goes on: nobody is to be told, or waited for

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Have the loop count as running, in this thread."""
        loop = self._loop
        loop.hub, loop.driver, loop._thread_id = self, self.driver, threading.get_ident()
        try:
            yield
        finally:
            loop.hub = loop._thread_id = None

    def wake(self) -> None:
        """Give the loop a turn soon. In Trio's thread, or while it stands still."""
        self._woken = True
        self._waiter.wake()

    def wake_from_thread(self) -> None:
        """Give the loop a turn soon. From any thread, and from a signal's handler."""
        with suppress(trio.RunFinishedError, OSError):  # a thread may come after the end
            self.token.run_sync_soon(self.wake, idempotent=True)

    def end_crossings(self) -> None:
        """Cancel what still runs in Trio for the loop, when that has ended."""
        self.is_over = True
        for scope in self.crossings:
            scope.cancel()

    def when_idle(self, look: Callable[[], bool]) -> None:
        """Call `look` whenever the loop has nothing to do but wait, until it returns True."""
        self._when_idle.append(look)

    def _look(self, _now: float) -> None:
        self._is_looking = False
        if self._loop.is_ready or self.calls_waiting:
            return
        self._when_idle = [look for look in self._when_idle if not look()]
        if self._loop.is_ready:
            self.wake()

    async def run(self) -> None:
        """Run the loop until it is stopped, in this task. What comes out of a callback is raised.

        Raises Cancelled when it is cancelled while it waits; it can be run again then.
        """
        loop = self._loop
        task = trio.lowlevel.current_task()
        describe_waits(task, loop.waits)
        describe_runs(task, loop.runs)
        rounds = _ROUNDS if self.driver.is_virtual else 1
        try:
            while True:
                self._woken = False
                if loop.turn(rounds):
                    return
                if loop.is_ready:
                    await self._go_on_soon()
                elif not self._woken:
                    self._busy_turns = 0
                    self._set_alarm(loop.next_timer())
                    if self._when_idle and not self._is_looking:
                        self._is_looking = True
                        # When nothing else can happen at this instant: threads had turns
                        self.driver.scheduler.call_at(self.driver.now(), self._look, no_upkeep)
                    await self._waiter.wait()
        finally:
            self._set_alarm(None)

    async def _go_on_soon(self) -> None:
        """Let others have a turn, and time pass where the loop always has something to do."""
        self._busy_turns += 1
        if self._busy_turns < _TURNS or not self.driver.is_virtual:
            await trio.lowlevel.checkpoint()
            return
        if self._busy_turns > _MOST_TURNS:
            raise PystackError(
                "an event loop has had something to do at once all the time, "
                f"{_MOST_TURNS * _ROUNDS:,} rounds of it: one of its tasks looks for something "
                f"again and again, and should wait: {'; '.join(self._loop.waits())}"
            )
        step_s = min(_FIRST_STEP_S * (1 + self._busy_turns // 100), _LONGEST_STEP_S)
        self._set_alarm(self.driver.now() + step_s)
        await self._waiter.wait()

    def _set_alarm(self, when: float | None) -> None:
        alarm = self._alarm
        if when is None:
            if alarm is not None:
                alarm.cancel()
                self._alarm = None
            return
        # One that goes off before is as good: it is set anew then.
        if alarm is not None:
            if alarm.fn is not None and alarm.when <= when:
                return
            alarm.cancel()
        self._alarm = self.driver.scheduler.call_at(when, self._goes_off, no_upkeep)

    def _goes_off(self, _now: float) -> None:
        self._alarm = None
        self.wake()
