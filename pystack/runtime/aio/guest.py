"""Guest: a world around which an event loop runs, for runners that know nothing of Trio.

`asyncio.Runner`, pytest's plug-ins and `IsolatedAsyncioTestCase` call `run_until_complete`, now and
then. Trio runs as a guest of that: each of its ticks is called from here, as long as the loop is to
run. Between two runs of the loop the world stands still, and Trio is out of the way, so that
another one may run in the thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from pystack.runtime.aio.hub import Hub
from pystack.runtime.driver.driver import Driver
from pystack.runtime.driver.guest_run import GuestRun
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.driver.virtual import VirtualClock, VirtualDriver, parse_until

if TYPE_CHECKING:
    from pystack.runtime.aio.loop import EventLoop


class Guest(GuestRun):
    """A Trio run with the hub of a loop in it."""

    def __init__(
        self, loop: EventLoop, *, seed: int, until: str | float | None, real_time: bool
    ) -> None:
        """`seed`, `until`: of the virtual time; with `real_time` there is none. ConfigError."""
        super().__init__(None if real_time else VirtualClock(), seed)
        self._loop = loop
        if self._clock is not None and until is not None:
            self._clock.driver.until = parse_until(until)
        self._driver: Driver | None = None if self._clock is None else self._clock.driver
        self._error: BaseException | None = None  # to come out of `run_forever`
        self._is_done = True  # the loop is not to run any more, for now
        self._hub: Hub | None = None  # None: Trio has not started
        self._scope = trio.CancelScope()

    def now(self) -> float:
        """Return the world's time in seconds."""
        if self._driver is None:
            self._start()
            assert self._driver is not None
        return self._driver.now()

    def run_forever(self) -> None:
        """Run the loop until it is stopped. Raises what a callback does, and DeadlockError."""
        self._start()
        hub = self._hub
        assert hub is not None
        if isinstance(self._driver, VirtualDriver):
            self._driver.begin_anew()
        self._is_done, self._error = False, None
        with self.in_place(), hub.attached():
            hub.wake()  # something may have been added since
            self.pump(lambda: self._is_done or self._error is not None)
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """End the world: what runs in it is cancelled."""
        if self._hub is None or self._outcome is not None:
            return
        with self.in_place():
            self.cancel()
            self.pump(lambda: False)
        self._hub = None

    def cancel(self) -> None:
        """Cancel the loop's hub, and what it waits for."""
        self._scope.cancel()
        if self._hub is not None:
            self._hub.end_crossings()

    def _start(self) -> None:
        if self._hub is not None:
            if self._outcome is not None:
                raise RuntimeError("the world of this event loop has ended")
            return
        with self.in_place():
            self.begin(self._main)
            self.pump(lambda: self._hub is not None)

    async def _main(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                if self._clock is not None:
                    nursery.start_soon(self._drive, self._clock.driver)
                else:
                    self._driver = driver = RealtimeDriver()
                    nursery.start_soon(driver.run)
                assert self._driver is not None
                hub = Hub(self._loop, self._driver)
                hub.nursery = nursery
                self._loop.driver, self._hub = self._driver, hub
                while True:
                    # Always ready, so that no time passes; and nobody calls the ticks for now.
                    while self._is_done:
                        await trio.lowlevel.checkpoint()
                    try:
                        await hub.run()
                    except trio.Cancelled:
                        raise
                    except BaseException as error:  # of a callback: it ends this run of the loop
                        self._error = error
                    self._is_done = True

    async def _drive(self, driver: VirtualDriver) -> None:
        while True:
            error = await driver.run()
            told = self._loop.on_error
            if told is not None and told(error):
                driver.begin_anew()
                self._hub_of_loop().wake()
                continue
            self._error = error
            while self._error is not None:  # no time passes until it has come out
                await trio.lowlevel.checkpoint()

    def _hub_of_loop(self) -> Hub:
        assert self._hub is not None
        return self._hub
