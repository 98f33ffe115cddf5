"""A world of virtual time that stands still between two steps, in the thread of whoever steps it.

Trio runs as a guest (`runtime/driver/guest_run.py`): a step lets it run up to an instant. So there
is no thread, and nothing to be waited for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from pystack.runtime.driver.guest_run import GuestRun
from pystack.runtime.driver.virtual import VirtualClock
from pystack.runtime.hints import explain


class World(GuestRun):
    """One run of a program, step by step. `close` ends it; nothing is left then."""

    def __init__(self, program: Callable[[], Awaitable[None]], seed: int) -> None:
        """`program` runs until `close`; nothing of it happens before the first `run_until`."""
        self._virtual = VirtualClock()
        super().__init__(self._virtual, seed)
        self._program = program
        self._goal_s: float | None = None  # None: time stands still
        self._error: BaseException | None = None  # to come out of the step
        self._scope = trio.CancelScope()
        self._stretch = trio.CancelScope()  # of the step that goes on
        self._begun = self._over = False

    @property
    def now(self) -> float:
        """Return the world's time in seconds."""
        return self._virtual.scheduler.now

    def run_until(self, when_s: float) -> None:
        """Let time go on until then. Raises what the program raises, and DeadlockError.

        The world has ended after that.
        """
        if self._over:
            raise RuntimeError("this world has ended")
        self._goal_s = when_s
        try:
            with self.in_place():
                if not self._begun:
                    self._begun = True
                    self.begin(self._main)
                self.pump(lambda: self._goal_s is None or self._error is not None)
            if self._error is not None:
                error, self._error = self._error, None
                raise error
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """End the step that goes on, at this instant; called by the program."""
        self._stretch.cancel()

    def close(self) -> None:
        """End it: what runs in it is cancelled. Doing it again does nothing."""
        self._over = True
        if self._begun:
            self.end()

    def cancel(self) -> None:
        """Cancel the program."""
        self._over = True
        self._scope.cancel()

    async def _main(self) -> None:
        driving = trio.CancelScope(shield=True)  # for as long as the program cleans up
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drive, driving)
            with self._scope:
                async with trio.open_nursery() as inside:
                    inside.start_soon(self._run)
                    await self._conduct()
            driving.cancel()

    async def _conduct(self) -> None:
        while True:
            # Always ready, so that no time passes; and nobody calls the ticks for now.
            while self._goal_s is None:
                await trio.lowlevel.checkpoint()
            with trio.CancelScope() as self._stretch:
                await trio.sleep_until(self._goal_s)
            self._goal_s = None

    async def _run(self) -> None:
        try:
            await self._program()
        except trio.Cancelled:
            raise
        except BaseException as error:
            explain(error)
            self._error = _alone(error)

    async def _drive(self, driving: trio.CancelScope) -> None:
        with driving:
            while True:
                error = await self._virtual.driver.run()
                if not self._over:
                    self._error = error
                while self._error is not None:  # no time passes until it has come out
                    await trio.lowlevel.checkpoint()


def _alone(error: BaseException) -> BaseException:
    """Return what a group has in it, where that is one: the nurseries are nobody's business."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
