"""What a network has while it is open: a kind of time, a nursery, and what it borrows meanwhile."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.driver.realtime import RealtimeDriver
from pystack.runtime.driver.virtual import VirtualClock
from pystack.runtime.socket import seal, socket_factory
from pystack.topology.timeline import Timeline

if TYPE_CHECKING:
    from pystack.runtime.borrowed.world import World
    from pystack.runtime.driver.driver import Driver


class Opened:
    """One network's, from `open_here` until `give_back`."""

    def __init__(
        self,
        driver: Driver,
        nursery: trio.Nursery,
        manager: AbstractAsyncContextManager[trio.Nursery, bool | None],
    ) -> None:
        """`manager`: the nursery's."""
        self.driver = driver
        self.nursery = nursery
        self.timeline = Timeline(driver.scheduler, driver.scheduler.now)
        self._manager = manager
        self._world: World | None = None  # None: nothing is borrowed
        self._sealed = False

    def borrow(self, world: World, *, sealed: bool) -> None:
        """Borrow sockets, clock and chance for the network's code, until `give_back`."""
        socket_factory.install()
        self._world = world
        world.open(self.driver)
        if sealed:
            seal.seal(self.driver)
            self._sealed = True

    async def end_programs(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        failed: BaseException | None,
    ) -> bool | None:
        """Wait for what runs in the nursery, and tell of it as `__aexit__` does.

        The block ended with an `error`; `failed`: or is to end with that. None: with none.
        """
        # An error of the block itself comes out as it is: into a group go only those of programs.
        # So do an exit, an outcome of pytest's and Ctrl-C; a Cancelled is for the nursery to tell.
        own = failed or (None if isinstance(error, BaseExceptionGroup | trio.Cancelled) else error)
        try:
            if own is None:
                return await self._manager.__aexit__(kind, error, traceback)
            await self._manager.__aexit__(None, None, None)
            if failed is not None:
                raise failed
            return False
        except BaseExceptionGroup as group:
            if own is None:
                raise
            raise BaseExceptionGroup(group.message, [own, *group.exceptions]) from None

    def give_back(self) -> None:
        """Give back what was borrowed."""
        if self._sealed:
            seal.unseal(self.driver)
        if self._world is not None:
            self._world.close()
            socket_factory.uninstall()


async def open_here() -> Opened:
    """Find out which kind of time passes in this run, and have a nursery in it. ConfigError."""
    clock = _current_clock()
    # Not before: Trio makes nurseries inside a run only, and a network may be made outside.
    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    driver: Driver
    if isinstance(clock, VirtualClock):
        driver = clock.driver
    else:
        driver = RealtimeDriver()
        nursery.start_soon(driver.run)
    return Opened(driver, nursery, manager)


def _current_clock() -> trio.abc.Clock:
    """Return the clock of the run. ConfigError: what runs is neither Trio nor a loop of ours."""
    try:
        return trio.lowlevel.current_clock()
    except RuntimeError:
        raise ConfigError(
            "a network opens in a program of pystack.run(main) or trio.run(main); in one of "
            "asyncio under pystack.run_asyncio(main), or another runner whose loop_factory is "
            "pystack.EventLoop: asyncio's own loop cannot let a network's time pass"
        ) from None
