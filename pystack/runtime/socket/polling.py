"""Waiting for several sockets of a host at once: what select(2), poll(2) and epoll(7) find.

Descriptors of the machine can be among them in real time. In virtual time they cannot be waited
for, since no time passes there; whether they are ready can be asked all the same.
"""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import trio

from pystack.core.errors import error_of
from pystack.runtime.borrowed.clock import BlockedWorldError
from pystack.runtime.driver.driver import Waiter
from pystack.runtime.socket import waits
from pystack.runtime.socket.descriptors import FIRST, Descriptor, find
from pystack.runtime.socket.readiness import ANYWAY, ERR, HUP, IN, OUT, PRI, RDNORM, WRNORM

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

NVAL: Final = 0x020
ET: Final = 1 << 31
ONESHOT: Final = 1 << 30
RDBAND: Final = 0x080
WRBAND: Final = 0x200
_USUAL: Final = IN | PRI | OUT
_FLAGS: Final = ET | ONESHOT | 1 << 29 | 1 << 28  # EPOLLWAKEUP, EPOLLEXCLUSIVE: of no meaning here
# What select(2) takes each of its sets to ask for
_SELECTED: Final = (
    RDNORM | RDBAND | IN | HUP | ERR,
    WRBAND | WRNORM | OUT | ERR,
    PRI,
)
_MOST_EVENTS: Final = 1023  # as CPython: FD_SETSIZE - 1

Found = list[tuple[int, int]]  # number, mask


class _HasFileno(Protocol):
    def fileno(self) -> int: ...


FileDescriptor = int | _HasFileno


def number_of(file: object) -> int:
    """Return the number of what is to be watched. TypeError, ValueError: there is none."""
    if isinstance(file, int):
        number = file
    else:
        fileno: Callable[[], int] | None = getattr(file, "fileno", None)
        if fileno is None:
            raise TypeError("argument must be an int, or have a fileno() method.")
        number = fileno()
        if not isinstance(number, int):
            raise TypeError("fileno() returned a non-integer")
    if number < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({number})")
    return number


def mask_from(mask: object, most: int) -> int:
    """Return what is asked of a descriptor. TypeError; ValueError, OverflowError: no such mask."""
    mask = index(mask)  # type: ignore[arg-type] # TypeError for no number
    if mask < 0:
        raise ValueError("value must be positive")
    if mask > most:
        raise OverflowError("the mask of events is too large")
    return mask


class Polled:
    """Descriptors with what is asked of them, looked at once, or until one is ready."""

    def __init__(self, host: BareHost, wanted: Mapping[int, int]) -> None:
        """`wanted`: masks by number."""
        self._host = host
        self._real: dict[int, int] = {}  # descriptors of the machine
        self._ours: list[tuple[int, Descriptor | None, int]] = []  # None: there is none any more
        for number, mask in wanted.items():
            if number < FIRST:
                self._real[number] = mask
            else:
                self._ours.append((number, find(number, host.driver), mask))

    def now(self) -> Found:
        """Return those that are ready, with their masks."""
        found = []
        for number, descriptor, mask in self._ours:
            if descriptor is None or descriptor.closed:
                found.append((number, NVAL))
            elif ready := descriptor.poll() & (mask | ANYWAY):
                found.append((number, ready))
        return found + (ask_machine(self._real) if self._real else [])

    def wait(self, what: str, timeout_s: float | None) -> Found:
        """Return those that are ready, as soon as there are any; none after the timeout."""
        found = waits.call(self._host, self.now)
        if not found and timeout_s == 0:
            waits.polled()
        if found or timeout_s == 0:
            return found
        words = f"{what} (timeout {timeout_s})"
        if self._real:
            check_machine_can_be_waited_for(self._host, words, self._real)
        return waits.wait(words, self._until, timeout_s)

    async def _until(self, timeout_s: float | None) -> Found:
        waiter = Waiter(self._host.driver)
        with (
            watched((one for _, one, _ in self._ours), waiter.wake),
            trio.move_on_after(waits.trio_s(timeout_s)),
        ):
            async with machine_watched(self._real, waiter.wake):
                while not (found := self.now()):
                    await waiter.wait()
                return found
        return []


def ask_machine(wanted: Mapping[int, int], timeout_ms: float | None = 0) -> Found:
    """Return which descriptors of the machine are ready now, or within a time; None: wait."""
    if _real_poll is None:  # another system than Unix
        sets = [[number for number, mask in wanted.items() if mask & bits] for bits in _SELECTED]
        ready = _real_select(*sets, None if timeout_ms is None else timeout_ms / 1000)
        return [
            (number, (number in ready[0]) * IN | (number in ready[1]) * OUT)
            for number in wanted
            if any(number in each for each in ready)
        ]
    asked = _real_poll()
    for number, mask in wanted.items():
        asked.register(number, mask & 0x3FF)
    found: Found = asked.poll(timeout_ms)
    return found


def check_machine_can_be_waited_for(host: BareHost, what: str, numbers: Iterable[int]) -> None:
    """Raise BlockedWorldError in virtual time: nothing of the machine can be waited for there."""
    if host.driver.is_virtual:
        some = ", ".join(map(str, sorted(numbers)))
        raise BlockedWorldError(
            f"{what} on {host.name} asks to wait for descriptors of the machine ({some}), whose "
            "time does not pass in virtual time: leave them out, or run the world in real time "
            "(trio.run)"
        )


@contextmanager
def watched(
    descriptors: Iterable[Descriptor | None], watcher: Callable[[], object]
) -> Iterator[None]:
    """Have `watcher` called for each of them, as long as this lasts."""
    kept = [one for one in descriptors if one is not None]
    for one in kept:
        one.watch(watcher)
    try:
        yield
    finally:
        for one in kept:
            one.unwatch(watcher)


class machine_watched:  # noqa: N801 - used as a function
    """Have a watcher called when a descriptor of the machine is ready, as long as this lasts."""

    def __init__(self, wanted: Mapping[int, int], watcher: Callable[[], object]) -> None:
        self._wanted, self._watcher = wanted, watcher
        self._nursery = trio.open_nursery()

    async def __aenter__(self) -> None:
        """Begin to look at them."""
        nursery = await self._nursery.__aenter__()
        self._scope = nursery.cancel_scope
        for number, mask in self._wanted.items():
            if mask & (IN | PRI):
                nursery.start_soon(self._look, trio.lowlevel.wait_readable, number)
            if mask & OUT:
                nursery.start_soon(self._look, trio.lowlevel.wait_writable, number)

    async def __aexit__(self, *error: Any) -> bool | None:  # noqa: ANN401 - the nursery's
        """Look no more."""
        self._scope.cancel()
        return await self._nursery.__aexit__(*error)

    async def _look(self, wait: Callable[[int], Any], number: int) -> None:
        await wait(number)
        self._watcher()


def select_on(
    host: BareHost,
    readers: Iterable[Any],
    writers: Iterable[Any],
    others: Iterable[Any],
    timeout_s: float | None,
) -> tuple[list[Any], list[Any], list[Any]]:
    """Return what select(2) does. OSError (EBADF), ValueError, TypeError."""
    sets = [[(number_of(file), file) for file in files] for files in (readers, writers, others)]
    wanted: dict[int, int] = {}
    for files, mask in zip(sets, _SELECTED, strict=True):
        for number, _ in files:
            wanted[number] = wanted.get(number, 0) | mask
    found = dict(Polled(host, wanted).wait("select.select", timeout_s))
    if NVAL in found.values():
        raise error_of(errno.EBADF)
    read, written, other = (
        [file for number, file in files if found.get(number, 0) & mask]
        for files, mask in zip(sets, _SELECTED, strict=True)
    )
    return read, written, other


class Poll:
    """What `select.poll` makes on a host."""

    def __init__(self, host: BareHost) -> None:
        self._host = host
        self._wanted: dict[int, int] = {}

    def register(self, fd: FileDescriptor, eventmask: int = _USUAL, /) -> None:
        """Watch a descriptor, or change what is asked of it."""
        self._wanted[number_of(fd)] = mask_from(eventmask, 0xFFFF)

    def modify(self, fd: FileDescriptor, eventmask: int, /) -> None:
        """Change what is asked of a descriptor. OSError (ENOENT): it is not watched."""
        number = number_of(fd)
        if number not in self._wanted:
            raise error_of(errno.ENOENT)
        self._wanted[number] = mask_from(eventmask, 0xFFFF)

    def unregister(self, fd: FileDescriptor, /) -> None:
        """Watch it no more. KeyError: it is not watched."""
        del self._wanted[number_of(fd)]

    def poll(self, timeout: float | None = None, /) -> Found:
        """Return the ready ones, after so many milliseconds none; None or less than 0: wait."""
        if timeout is not None and timeout < 0:
            timeout = None
        # As for select: the output of a process that Trio's thread has begun, for one
        if self._wanted and max(self._wanted) < FIRST and waits.in_trios_thread():
            return ask_machine(self._wanted, timeout)
        timeout_s = None if timeout is None else timeout / 1000
        return Polled(self._host, self._wanted).wait("select.poll", timeout_s)


class _Registered:
    """A descriptor of ours that an epoll watches."""

    __slots__ = ("descriptor", "mask", "watcher")

    def __init__(self, descriptor: Descriptor, mask: int, watcher: Callable[[], None]) -> None:
        self.descriptor, self.mask, self.watcher = descriptor, mask, watcher


class Epoll:
    """What `select.epoll` makes on a host; one that nothing happens to costs nothing.

    Level and edge triggered, and once (EPOLLONESHOT), in the order of Linux: that in which they
    became ready.
    """

    def __init__(self, host: BareHost, sizehint: int = -1, flags: int = 0) -> None:
        if sizehint != -1 and sizehint <= 0:
            raise ValueError("sizehint must be positive or -1")
        self._host = host
        self._registered: dict[int, _Registered] = {}
        self._real: dict[int, int] = {}
        self._maybe: dict[int, None] = {}  # to be looked at; in order
        self._waiters: list[Waiter] = []
        self._closed = False

    @property
    def closed(self) -> bool:
        """Tell whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Watch nothing any more."""
        self._closed = True
        for one in self._registered.values():
            if not one.descriptor.closed:
                one.descriptor.unwatch(one.watcher)
        self._registered.clear()

    def fileno(self) -> int:
        """Refuse: no kernel knows it (EOPNOTSUPP)."""
        self._check_open()
        raise OSError(errno.EOPNOTSUPP, "this epoll exists inside pystack only")

    def register(self, fd: FileDescriptor, eventmask: int = _USUAL) -> None:
        """Watch a descriptor. OSError: EEXIST, EBADF."""
        self._check_open()
        number = number_of(fd)
        if number in self._registered or number in self._real:
            raise error_of(errno.EEXIST)
        if number < FIRST:
            self._real[number] = eventmask
            return
        descriptor = find(number, self._host.driver)
        if descriptor is None:
            raise error_of(errno.EBADF)
        one = _Registered(descriptor, eventmask, partial(self._tell, number))
        self._registered[number] = one
        descriptor.watch(one.watcher)
        self._tell(number)

    def modify(self, fd: FileDescriptor, eventmask: int) -> None:
        """Change what is asked of a descriptor. OSError: ENOENT, EBADF."""
        number = self._known(fd)
        if number < FIRST:
            self._real[number] = eventmask
        else:
            self._registered[number].mask = eventmask
            self._tell(number)

    def unregister(self, fd: FileDescriptor) -> None:
        """Watch it no more. OSError: ENOENT, EBADF."""
        number = self._known(fd)
        self._real.pop(number, None)
        one = self._registered.pop(number, None)
        self._maybe.pop(number, None)
        if one is not None:
            one.descriptor.unwatch(one.watcher)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> Found:
        """Return the ready ones, after so many seconds none; None or less than 0: wait."""
        self._check_open()
        if maxevents == -1:
            maxevents = _MOST_EVENTS
        elif index(maxevents) <= 0:
            raise ValueError(f"maxevents must be greater than 0, got {maxevents}")
        timeout_s = None if timeout is None or timeout < 0 else timeout
        found = waits.call(self._host, self._look, maxevents)
        if not found and timeout_s == 0:
            waits.polled()
        if found or timeout_s == 0:
            return found
        words = f"select.epoll (timeout {timeout_s})"
        if self._real:
            check_machine_can_be_waited_for(self._host, words, self._real)
        return waits.wait(words, self._until, maxevents, timeout_s)

    def __enter__(self) -> Self:
        """Close it at the end of the block."""
        self._check_open()
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self.close()

    def _look(self, most: int) -> Found:
        found: Found = []
        for number in list(self._maybe):
            if len(found) == most:
                break
            del self._maybe[number]
            one = self._registered.get(number)
            if one is None or one.descriptor.closed:
                continue
            asked = one.mask & ~_FLAGS
            ready = one.descriptor.poll() & (asked | ANYWAY) if one.mask & ~ONESHOT else 0
            if not ready:
                continue
            found.append((number, ready))
            if one.mask & ONESHOT:
                one.mask = 0  # until it is modified
            elif not one.mask & ET:
                self._maybe[number] = None  # it may still be ready: behind the others
        if self._real and len(found) < most:
            found += ask_machine(self._real)[: most - len(found)]
        return found

    async def _until(self, most: int, timeout_s: float | None) -> Found:
        waiter = Waiter(self._host.driver)
        self._waiters.append(waiter)
        try:
            with trio.move_on_after(waits.trio_s(timeout_s)):
                async with machine_watched(self._real, waiter.wake):
                    while not (found := self._look(most)):
                        await waiter.wait()
                    return found
            return []
        finally:
            self._waiters.remove(waiter)

    def _tell(self, number: int) -> None:
        one = self._registered.get(number)
        if one is not None and one.descriptor.closed:
            del self._registered[number]  # as Linux: what is closed is watched no more
            self._maybe.pop(number, None)
            return
        self._maybe[number] = None
        for waiter in self._waiters:
            waits.call(self._host, waiter.wake)

    def _known(self, fd: FileDescriptor) -> int:
        self._check_open()
        number = number_of(fd)
        if number not in self._registered and number not in self._real:
            is_open = number < FIRST or find(number, self._host.driver) is not None
            raise error_of(errno.ENOENT if is_open else errno.EBADF)
        return number

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("I/O operation on closed epoll object")


# What there was before it was borrowed
_real_poll: Any = getattr(select, "poll", None)
_real_select: Any = select.select
