"""The driver of real time: the machine's clock, one alarm for the next thing on the heap."""

import math

import trio

from pystack.core.scheduler import Scheduler
from pystack.runtime.driver import Waiter


class RealtimeDriver:
    """Runs the heap against Trio's clock. `run` must be running for timers to fire."""

    is_virtual = False

    def __init__(self) -> None:
        self.scheduler = Scheduler(trio.current_time())
        self._alarm = trio.CancelScope()

    def now(self) -> float:
        """Return Trio's time; it never runs behind what the heap has done."""
        return self.scheduler.advance(trio.current_time())

    def batch_done(self, now: float) -> None:
        """Run what is due, that is: the pump for the batch."""
        self.scheduler.run_due(now)

    def wake(self, waiter: Waiter) -> None:
        """Let the task run in Trio's next round."""
        waiter.resume()

    async def run(self) -> None:
        """Run for ever: fire what is due, sleep until the next."""
        scheduler = self.scheduler
        scheduler.on_earlier = self._set_alarm
        try:
            while True:
                scheduler.run_due(trio.current_time())
                self._alarm = trio.CancelScope(deadline=scheduler.next_at())
                with self._alarm:
                    await trio.sleep_forever()
        finally:
            scheduler.on_earlier = None
            self._alarm = trio.CancelScope(deadline=math.inf)

    def _set_alarm(self, when: float) -> None:
        self._alarm.deadline = when
