"""One wait for all of a world's kernel sockets, and callbacks for those that are ready.

A task for each connection would cost two rounds of Trio's loop for each of its messages. Here one
task waits on one descriptor (epoll(7)), calls back whatever is ready, and ends the batch as a
device does: what the callbacks gave to the stack is sent, and travels, in the same turn.

Where there is no epoll, a Trio task for each socket waits in its place: slower, and the same
otherwise, but that a socket's breaking is told only while something is wanted of it.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Final, Protocol

import trio

from pystack.core.errors import ConfigError
from pystack.runtime.driver.driver import Driver
from pystack.runtime.driver.freed_memory import keep_freed_memory
from pystack.tcp.config import TcpConfig

# epoll's own numbers, so that nothing needs to be translated.
READ: Final = 0x01
URGENT: Final = 0x02  # an urgent byte is to be read, now or after what comes before it
WRITE: Final = 0x04
ERROR: Final = 0x08  # told without being wanted: there is an error to be fetched
HANGUP: Final = 0x10  # the same: both directions have ended

Ready = Callable[[int, float], None]  # (events, now)

# How much a splice's stack holds that it could not send yet: more stays with the kernel
UNSENT_BYTES: Final = 1 << 20
_MOST_CONFIGS: Final = 64
_BATCH_SOCKETS: Final = 256
# How many batches in a row before Trio's other tasks have a turn. A turn of Trio's costs as much as
# a message through the stack.
_BATCHES_IN_A_ROW: Final = 8
# Nor do links wait longer for their due than this, however much there is to read, nor tasks longer
# than a few of it.
_SLICE_S: Final = 1e-3


class Watch:
    """One socket that is watched."""

    __slots__ = ("_backend", "abandoned", "changed", "events", "ready", "resting", "sock")

    def __init__(
        self,
        backend: _Backend,
        sock: socket.socket,
        ready: Ready,
        events: int,
        abandoned: Callable[[], None],
    ) -> None:
        self._backend = backend
        self.sock = sock
        self.ready: Ready | None = ready  # None: closed
        self.events = events
        self.abandoned = abandoned  # called when the poller ends before it is closed
        self.resting = False  # it has broken, which nobody wants to hear again
        self.changed: trio.Event | None = None  # of the tasks that wait; None: there are none
        backend.add(self)

    def want(self, events: int) -> None:
        """Be called back for these (READ, WRITE, both, or 0) from now on."""
        if (events != self.events or (events and self.resting)) and self.ready is not None:
            self.events = events
            self._backend.change(self)

    def close(self) -> None:
        """Watch it no more; to be called before the socket is closed. A second time is nothing."""
        if self.ready is not None:
            self.ready = None
            self._backend.remove(self)


class _Backend(Protocol):
    """How sockets are waited for."""

    def add(self, watch: Watch) -> None:
        """Wait for a socket, too."""
        ...

    def change(self, watch: Watch) -> None:
        """Wait for something else of it."""
        ...

    def remove(self, watch: Watch) -> None:
        """Wait for it no more."""
        ...

    def watches(self) -> list[Watch]:
        """Return all that is not closed."""
        ...

    async def run(self) -> None:
        """Wait and call back until cancelled."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class Poller:
    """Watches the kernel sockets of one world, in real time."""

    __slots__ = ("_backend", "_configs", "_running", "driver")

    def __init__(self, driver: Driver, *, tasks: bool = False) -> None:
        """`tasks`: a task for each socket even where there is epoll.

        ConfigError: the world is in virtual time, where no socket of the machine can be waited for.
        """
        if driver.is_virtual:
            raise ConfigError(
                "sockets of the machine's kernel live in real time, and this network's is virtual: "
                "use a host's sockets in it, or a network in real time"
            )
        self.driver = driver
        keep_freed_memory()
        self._configs: dict[int, tuple[TcpConfig, TcpConfig]] = {}  # by the `id` of the first
        self._running = False
        has_epoll = hasattr(select, "epoll") and not tasks
        self._backend: _Backend = _Epoll(driver) if has_epoll else _Tasks(driver)

    def watch(
        self,
        sock: socket.socket,
        ready: Ready,
        events: int = 0,
        abandoned: Callable[[], None] | None = None,
    ) -> Watch:
        """Call `ready(events, now)` whenever one of `events` is there, as long as it is.

        It must not block, and is called for READ, URGENT and WRITE as wanted, and for ERROR and
        HANGUP always. `abandoned` is called if the poller ends first; None: the socket is closed.
        Raises OSError where the kernel can watch no more.
        """
        return Watch(self._backend, sock, ready, events, abandoned or sock.close)

    def config_for(self, config: TcpConfig) -> TcpConfig:
        """Return what a connection of a splice has instead: it bounds what waits to be sent.

        It is made once: to check one takes as long as a third of a short connection.
        """
        known = self._configs.get(id(config))
        if known is not None:
            return known[1]
        own = config
        if config.notsent_lowat_bytes is None:
            own = replace(config, notsent_lowat_bytes=UNSENT_BYTES)
        if len(self._configs) >= _MOST_CONFIGS:
            self._configs.clear()
        self._configs[id(config)] = config, own
        return own

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Call back until cancelled; sockets may be watched before.

        What a callback raises ends it. When it ends, so does all that is watched.
        """
        assert not self._running, "a poller runs once"
        self._running = True
        try:
            task_status.started()
            await self._backend.run()
        finally:
            for watch in self._backend.watches():
                watch.close()
                watch.abandoned()
            self._backend.close()


class _Epoll:
    """epoll(7): level-triggered, for a socket that is wanted steadily then needs no more calls."""

    __slots__ = ("_driver", "_epoll", "_watches")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._epoll = select.epoll()
        self._watches: dict[int, Watch] = {}

    def add(self, watch: Watch) -> None:
        fd = watch.sock.fileno()
        self._epoll.register(fd, watch.events)
        self._watches[fd] = watch

    def change(self, watch: Watch) -> None:
        fd = watch.sock.fileno()
        if watch.resting:
            watch.resting = False
            self._epoll.register(fd, watch.events)
        else:
            self._epoll.modify(fd, watch.events)

    def remove(self, watch: Watch) -> None:
        fd = watch.sock.fileno()
        del self._watches[fd]
        if not watch.resting:
            self._epoll.unregister(fd)

    async def run(self) -> None:
        fd, driver = self._epoll.fileno(), self._driver
        while True:
            await trio.lowlevel.wait_readable(fd)
            if driver.paused:
                await driver.goes_on()
            until = perf_counter() + _SLICE_S
            for _ in range(_BATCHES_IN_A_ROW):
                if not self._batch() or perf_counter() > until:
                    break

    def _batch(self) -> bool:
        """Call back whoever is ready now; False if nobody is."""
        ready = self._epoll.poll(0, _BATCH_SOCKETS)
        if not ready:
            return False
        driver = self._driver
        now = driver.batch_begins()
        watches = self._watches
        until = perf_counter() + _SLICE_S
        try:
            # All are looked up first: one that is closed may leave its number to a new one.
            for watch, events in [(watches[fd], events) for fd, events in ready]:
                if watch.ready is not None:
                    watch.ready(events, now)
                    if events & (ERROR | HANGUP) and watch.ready is not None:
                        self._rest(watch)
                    if perf_counter() > until:
                        driver.batch_done(now)
                        now = driver.batch_begins()
                        until = perf_counter() + _SLICE_S
        finally:
            driver.batch_done(now)
        return True

    def _rest(self, watch: Watch) -> None:
        """Hear no more of what has broken, if nothing is wanted of it: epoll would repeat it.

        A socket for datagrams has errors, and goes on: it is read, and so are they.
        """
        if not watch.events and not watch.resting:
            watch.resting = True
            self._epoll.unregister(watch.sock.fileno())

    def watches(self) -> list[Watch]:
        return list(self._watches.values())

    def close(self) -> None:
        self._epoll.close()


class _Tasks:
    """A Trio task for each socket and direction."""

    __slots__ = ("_driver", "_early", "_nursery", "_watches")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._early: list[Watch] = []  # watched before it runs
        self._nursery: trio.Nursery | None = None  # None: it does not run
        self._watches: set[Watch] = set()

    def add(self, watch: Watch) -> None:
        watch.changed = trio.Event()
        self._watches.add(watch)
        if self._nursery is None:
            self._early.append(watch)
        else:
            self._start(watch)

    def change(self, watch: Watch) -> None:
        if watch.changed is not None:
            watch.changed.set()
        watch.changed = trio.Event()

    def remove(self, watch: Watch) -> None:
        self._watches.discard(watch)
        self.change(watch)
        trio.lowlevel.notify_closing(watch.sock)

    async def run(self) -> None:
        async with trio.open_nursery() as self._nursery:
            for watch in self._early:
                self._start(watch)
            self._early.clear()
            await trio.sleep_forever()

    def _start(self, watch: Watch) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._wait, watch, READ)
        self._nursery.start_soon(self._wait, watch, WRITE)

    async def _wait(self, watch: Watch, event: int) -> None:
        driver = self._driver
        wait = trio.lowlevel.wait_readable if event == READ else trio.lowlevel.wait_writable
        while watch.ready is not None:
            if not watch.events & event:
                assert watch.changed is not None
                await watch.changed.wait()
                continue
            try:
                await wait(watch.sock)
            except trio.ClosedResourceError:
                return
            if driver.paused:
                await driver.goes_on()
            if watch.ready is not None and watch.events & event:
                now = driver.batch_begins()
                try:
                    watch.ready(event, now)
                finally:
                    driver.batch_done(now)

    def watches(self) -> list[Watch]:
        return list(self._watches)

    def close(self) -> None:
        self._nursery = None
