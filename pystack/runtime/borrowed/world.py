"""The clock and the chance of a network's code: who has them, and what is borrowed for it."""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypedDict, get_args

from pystack.core.calendar import (
    DEFAULT_EPOCH,
    DEFAULT_EPOCH_S,
    parse_drift,
    parse_epoch_s,
    parse_offset_s,
)
from pystack.core.errors import ConfigError
from pystack.runtime.blocking import busy, turns
from pystack.runtime.borrowed import chance, clock, openssl, signals, threads
from pystack.runtime.borrowed.calendar import WorldClock
from pystack.runtime.borrowed.loan import Loan
from pystack.runtime.borrowed.sources import Chance, Own, current_world

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost
    from pystack.runtime.driver.driver import Driver

clock.Hooks.on_busy = staticmethod(busy.many_reads)
OF_ALL: Final = Loan(clock.lend_sleep, signals.lend, threads.lend)
OF_VIRTUAL_TIME: Final = Loan(
    clock.lend, chance.lend, openssl.lend, threads.lend_names, signals.lend_timers
)

# Whose code has the world's clock and chance: that of hosts, or all of the network's block
Extent = Literal["hosts", "whole"]


class ClockWords(TypedDict, total=False):
    """How a host's clock is wrong."""

    clock_offset: str | float  # how far it is ahead: "2s", "-300ms", seconds
    clock_drift: str | float  # how much too fast it runs: "50ppm", "-1%", seconds per second


class World:
    """What the code of one network has, in virtual time. In real time it has the machine's."""

    def __init__(self, seed: int, extent: Extent, epoch: str | float | datetime) -> None:
        """Raises ConfigError."""
        if extent not in get_args(Extent):
            raise ConfigError(f"world is {extent!r}: it must be 'hosts' or 'whole'")
        self.epoch_s = DEFAULT_EPOCH_S if epoch is DEFAULT_EPOCH else parse_epoch_s(epoch)
        self._own = Own()  # nothing, until it is open, and in real time
        self._seed = seed
        self._extent = extent
        self._around: Own | None = None  # whose block this one's is in; None: nobody's
        self._taken: list[Loan] = []
        self._driver: Driver | None = None  # None: it is not open

    def open(self, driver: Driver) -> None:
        """Borrow what there is to borrow, from now until `close`."""
        self._taken.append(_taken(OF_ALL))
        self._driver = driver
        if not driver.is_virtual:
            return
        busy.WATCH.open(driver)
        driver.epoch_s = self.epoch_s
        self._own.clock = WorldClock(driver.scheduler, self.epoch_s)
        self._own.chance = Chance(self._seed, "on no host")
        try:
            self._taken.append(_taken(OF_VIRTUAL_TIME))
        except ConfigError as error:  # another Python: code has the machine's there
            warnings.warn(str(error), RuntimeWarning, stacklevel=3)
        self._around = current_world.get()
        if self._extent == "whole":
            current_world.set(self._own)

    def close(self) -> None:
        """Give it back."""
        if current_world.get() is self._own:
            current_world.set(self._around)
        while self._taken:
            self._taken.pop().give_back()
        if self._driver is not None:
            turns.close(self._driver)
            if self._driver.is_virtual:
                busy.WATCH.close(self._driver)
            self._driver = None

    def equip(self, host: BareHost, words: ClockWords) -> None:
        """Give a host its own. Raises ConfigError."""
        offset_s = drift = 0.0
        if words:  # nearly never
            offset_s = parse_offset_s(words.pop("clock_offset", 0))
            drift = parse_drift(words.pop("clock_drift", 0))
            if words:
                raise TypeError(f"a host has no word {next(iter(words))!r}")
        own = self._own.clock
        if own is not None:
            host.clock = WorldClock(own.scheduler, self.epoch_s, offset_s, drift)
            host.chance = Chance(self._seed, host.name)
        elif offset_s or drift:
            raise ConfigError(
                f"the clock of {host.name} is the machine's, and cannot be wrong by itself: clocks "
                "are of the world in virtual time only (pystack.run)"
            )


def _taken(loan: Loan) -> Loan:
    loan.take()
    return loan
