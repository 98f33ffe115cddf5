"""Numbers that stand for sockets of a world, as a program holds them: `fileno()` gives one.

They begin beyond all that a kernel gives out, are counted in each world by itself (so that a run is
the same again), and are never given twice.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

from pystack.runtime.current import current_host
from pystack.runtime.socket.readiness import mask_of

if TYPE_CHECKING:
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.socket.socket_ends import SocketEnd

FIRST: Final = 1 << 20  # more than a process of Linux can have open (fs.nr_open)


class Descriptor:
    """One of an end, which several may share (`dup`); several objects may stand for it in turn."""

    __slots__ = ("_calls", "_table", "_watchers", "closed", "end", "nonblocking", "number")

    def __init__(self, table: Descriptors, end: SocketEnd) -> None:
        self.end = end
        self.closed = False
        self.nonblocking = False  # O_NONBLOCK: of a socket without timeout
        self.number = next(table.numbers)
        self._table = table
        self._watchers: tuple[Callable[[], object], ...] = ()
        self._calls = 0  # that wait now: as in Linux, the end lives at least as long
        table.open[self.number] = self
        end.descriptors.append(self)

    def poll(self) -> int:
        """Return what poll(2) finds, as a mask of EPOLL*: that of Linux."""
        return mask_of(self.end)

    def watch(self, watcher: Callable[[], object]) -> None:
        """Call `watcher` each time that `poll` may have another answer, and when it is closed."""
        self._watchers += (watcher,)

    def unwatch(self, watcher: Callable[[], object]) -> None:
        """Call it no more. ValueError: it was not."""
        watchers = list(self._watchers)
        watchers.remove(watcher)
        self._watchers = tuple(watchers)

    def close(self) -> None:
        """Give the number back. A second time does nothing."""
        if self.closed:
            return
        self.closed = True
        del self._table.open[self.number]
        self.became_readable()
        self._let_go()

    def begin_call(self) -> None:
        """Keep the end alive for a call that waits, whoever closes it."""
        self._calls += 1

    def end_call(self) -> None:
        """It waits no more."""
        self._calls -= 1
        self._let_go()

    def _let_go(self) -> None:
        if self.closed and not self._calls and self in self.end.descriptors:
            self.end.let_go(self)

    # what its end tells

    def became_readable(self) -> None:
        """Tell who watches."""
        for watcher in self._watchers:
            watcher()

    became_writable = became_readable


class Descriptors:
    """Those of one world; in real time, where an event loop may have several, of all of them."""

    def __init__(self) -> None:
        self.numbers = count(FIRST)
        self.open: dict[int, Descriptor] = {}


def table_of(driver: Driver) -> Descriptors:
    """Return those of a world."""
    found = _table_if_any(driver)
    if found is None:
        driver.kept[Descriptors] = found = Descriptors()
    return found


def open_descriptor(end: SocketEnd) -> Descriptor:
    """Return a new descriptor of an end."""
    return Descriptor(table_of(end.host.driver), end)


def find(number: int, driver: Driver | None = None) -> Descriptor | None:
    """Return what a number stands for; None: nothing of this world.

    `driver`: the world's; None: of the host that the caller is on.
    """
    if number < FIRST:
        return None
    if driver is None:
        host = current_host.get()
        if host is None:
            return None
        driver = host.driver
    table = _table_if_any(driver)
    return None if table is None else table.open.get(number)


def _table_if_any(driver: Driver) -> Descriptors | None:
    table = driver.kept.get(Descriptors) if driver.is_virtual else _of_real_time
    assert table is None or isinstance(table, Descriptors)
    return table


_of_real_time: Final = Descriptors()
