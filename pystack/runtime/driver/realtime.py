"""The driver of real time: the machine's clock, one alarm for the next thing on the heap.

A machine wakes late: Trio's sleep by up to 1 ms, a timer descriptor by what it takes to get a
processor and to go through Trio's loop, 0.1 to 0.2 ms. So the alarm goes off a little early, and
the rest is waited for awake, with a look at everything else that has become ready on the way. That
costs processor time only while something is about to happen: a driver with nothing to do sleeps.
Whatever happens late all the same carries the instant that it was meant for, so lateness never adds
up. `scripts/bench_realtime.py` measures it, and `RealtimeDriver.lateness` while it runs: a machine
that is later than a link's delay can hide emulates another network (`runtime/driver/lateness.py`).

It can be paused: then its world's time stands still, and is behind Trio's by as much from then on.
Trio's own, in which programs sleep, goes on.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import trio

from pystack.core.scheduler import Scheduler
from pystack.runtime.driver.alarm import Alarm, DeadlineAlarm, TimerfdAlarm
from pystack.runtime.driver.checks import Checks
from pystack.runtime.driver.driver import Waiter, check_paused
from pystack.runtime.driver.lateness import Lateness
from pystack.runtime.driver.stepping import Stepped, run_one

# How much too early to be woken. Half of all wake-ups on the machine this was measured on (two
# virtual processors) take less than this; a longer lead gains little and costs more waiting awake.
LEAD_S: Final = 150e-6
# What is as near as this is not worth one more round of Trio's loop (15 to 40 us).
_SPIN_S: Final = 30e-6
# For how long one turn goes on with what `when_done` has let happen, before others have theirs
_OUT_S: Final = 1e-3


class RealtimeDriver:
    """Runs the heap against Trio's clock. `run` must be running for timers to fire."""

    is_virtual = False
    epoch_s = 0.0

    def __init__(
        self,
        *,
        make_alarm: Callable[[], Alarm] | None = None,
        lead_s: float = LEAD_S,
    ) -> None:
        """`make_alarm`: None for the best one that works with the clock of this Trio run.

        `lead_s`: how long before each event to wake up, and wait awake; 0: never. Only the
        machine's own clock can be waited for like that: for any other it is 0.
        """
        self.scheduler = Scheduler(trio.current_time())
        self._clock = clock = trio.lowlevel.current_clock()  # threads of the world read it, too
        is_machine_clock = _is_machine_clock(clock)
        self._lead_s = lead_s if is_machine_clock else 0.0
        self.lateness = Lateness()
        self.checks = Checks()
        self.kept: dict[type, object] = {}
        self.paused = False  # True: time stands still
        self._behind_s = 0.0  # the world's time is Trio's without all pauses
        self._pauses = 0
        self._goes_on = trio.Event()  # set when a pause ends
        self._when_done: list[Callable[[float], None]] = []
        self._earlier: Callable[[float], None] | None = None  # sets the alarm; None: nobody runs it
        self._make_alarm = make_alarm or (best_alarm if is_machine_clock else DeadlineAlarm)

    def now(self) -> float:
        """Return Trio's time, but for pauses; it never runs behind what the heap has done."""
        if self.paused:
            return self.scheduler.now
        return self.scheduler.advance(self._clock.current_time() - self._behind_s)

    def batch_begins(self) -> float:
        """Return the time; what is planned from here on needs no alarm before `batch_done`."""
        self.scheduler.on_earlier = None
        return self.now()

    def batch_done(self, now: float) -> None:
        """Run what is due, that is: the pump for the batch."""
        scheduler = self.scheduler
        # Nearly all that a batch plans is due at once, and happens here. To set the alarm for it
        # costs a call of the kernel's, and a turn of Trio's when it goes off.
        scheduler.on_earlier = None
        try:
            self._run_due(now)
        finally:
            scheduler.on_earlier = self._earlier
            if self._earlier is not None:
                self._earlier(self._next_at())

    def when_done(self, fn: Callable[[float], None]) -> None:
        """Call it when the machine has caught up with all that is due: once, if it is late."""
        self._when_done.append(fn)
        if self.scheduler.on_earlier is not None:  # else a batch is under way
            self.scheduler.on_earlier(self.scheduler.now)

    def wake(self, waiter: Waiter) -> None:
        """Let the task run in Trio's next round."""
        waiter.resume()

    def pause(self) -> None:
        """Let the world's time stand still. A second time is nothing."""
        if not self.paused:
            self.now()
            self.paused, self._goes_on = True, trio.Event()

    def resume(self) -> None:
        """Let it go on from where it stands."""
        if self.paused:
            self._behind_s = trio.current_time() - self.scheduler.now
            self._pauses += 1
            self.paused = False
            self._goes_on.set()

    def step(self) -> Stepped:
        """Let one event happen, at its own instant, where time stands still afterwards."""
        check_paused(self)
        return run_one(self.scheduler, math.inf)

    async def goes_on(self) -> None:
        """Return when time does not stand still: for whoever brings frames from outside."""
        while self.paused:
            await self._goes_on.wait()

    def _run_due(self, now: float) -> None:
        late_s = self.scheduler.late_s(now)
        if late_s:
            self.lateness.note(late_s, now)
        # What it looks at ends nothing early: it is told by an error.
        look = self.checks.look if self.checks else None
        self.scheduler.run_due(now, look)
        if not self._when_done:
            return
        # What goes out may let more come in, and that go out, for ever.
        until = time.perf_counter() + _OUT_S
        while self._when_done and time.perf_counter() < until:
            calls, self._when_done = self._when_done, []
            for call in calls:
                call(now)
            self.scheduler.run_due(now, look, again=True)

    def _next_at(self) -> float:
        return self.scheduler.now if self._when_done else self.scheduler.next_at()

    async def run(self) -> None:
        """Run for ever: fire what is due, sleep until the next."""
        scheduler, lead_s = self.scheduler, self._lead_s
        alarm = self._make_alarm()
        alarm_at = math.inf  # what it was last set to, in the world's time
        pauses = self._pauses

        def set_alarm(when: float) -> None:
            nonlocal alarm_at
            alarm_at = when - lead_s
            alarm.set(alarm_at + self._behind_s)

        def earlier(when: float) -> None:
            # To set a timer descriptor may take 20 us (on a virtual machine). One that goes off
            # before is as good, and so is one that has gone off: the loop below looks anew then.
            if when - lead_s < alarm_at:
                set_alarm(when)

        self._earlier = earlier
        try:
            while True:
                if self.paused:
                    await self.goes_on()
                if pauses != self._pauses:  # what it was set to has another meaning now
                    pauses, alarm_at = self._pauses, -math.inf
                now = trio.current_time() - self._behind_s
                scheduler.on_earlier = None  # the next of all is looked for below
                self._run_due(now)
                scheduler.on_earlier = earlier
                next_at = self._next_at()
                if next_at - now > lead_s:
                    if alarm_at <= now or next_at - lead_s < alarm_at:
                        set_alarm(next_at)
                    await alarm.wait()
                else:
                    await trio.lowlevel.checkpoint()
                    if not self.paused:
                        _spin_until(scheduler, self._behind_s)
        finally:
            self._earlier = scheduler.on_earlier = None
            alarm.close()


def best_alarm() -> Alarm:
    """Return an alarm on a timer descriptor, or Trio's own sleep where there is none."""
    try:
        return TimerfdAlarm()
    except OSError:
        return DeadlineAlarm()


def _is_machine_clock(clock: trio.abc.Clock) -> bool:
    # Trio's class is private, and has no subclasses. A MockClock may stand still for ever.
    return type(clock).__name__ == "SystemClock"


def _spin_until(scheduler: Scheduler, behind_s: float) -> None:
    """Wait in place for the next event, if it is that near."""
    next_at = scheduler.next_at() + behind_s
    if next_at - trio.current_time() < _SPIN_S:
        while trio.current_time() < next_at:
            pass
