"""The clock of code on hosts, in virtual time: `time`, `datetime` and all that ask them.

What stands in for a function looks for the host, or the world, that the code belongs to, at each
call. CPU time (`process_time`, `thread_time`) stays the machine's: it is what a program has cost.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import date, datetime, tzinfo
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, cast

import trio

from pystack.core.calendar import LAST_S
from pystack.core.errors import PystackError
from pystack.runtime.blocking.turns import current_thread
from pystack.runtime.borrowed.calendar import WorldClock
from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.borrowed.sources import Own, current_world
from pystack.runtime.current import current_host

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

Function = Callable[..., Any]

# How often one clock may be read while it stands still before `on_busy` is asked, each time anew.
MANY_READS: Final = 100_000
_NS: Final = 1_000_000_000
_TAI_AHEAD_S: Final = 37  # since 2017
_FOREVER_S: Final = 2.0**33  # CPython's `sleep` takes no more

# Held here, and in no name of its own: who replaces names in modules (freezegun) does not find it.
_NAMES: Final = (
    "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns clock_gettime "
    "clock_gettime_ns clock_settime clock_settime_ns localtime gmtime ctime asctime strftime sleep"
)
_TIME: Final = {name: getattr(time, name) for name in _NAMES.split() if hasattr(time, name)}


class BlockedWorldError(PystackError, RuntimeError):
    """Code that no other code can run beside would wait for time to pass, which then cannot."""

    @classmethod
    def of(cls, what: str, instead: str) -> BlockedWorldError:
        """Return one in a sentence: `what` would be waited for, and `instead` is to be used."""
        here = current_host.get()
        world = "the world" if here is None else f"the world of {here.name}"
        return cls(
            f"{what} would stop {world}, which goes on in this thread: use {instead}, or run the "
            "blocking code in another, by `await host.run_sync(function)` (in asyncio "
            "`loop.run_in_executor` does it too)"
        )


def _nothing(_clock: WorldClock) -> None:
    """Let it go on."""


class Hooks:
    """What other parts put in."""

    # Called with a clock that was read `MANY_READS` times at one instant; may raise in the reader.
    on_busy: Callable[[WorldClock], None] = staticmethod(_nothing)
    # True while somebody else (time-machine) has the say over the clocks of all code
    travels: bool = False


def clock_here() -> WorldClock | None:
    """Return the clock of the host that the code is on, or of its world; None: the machine's."""
    if Hooks.travels:
        return None
    at: BareHost | Own | None = current_host.get() or current_world.get()
    return None if at is None else at.clock


def read(clock: WorldClock) -> WorldClock:
    """Count that a clock is read, and return it."""
    now = clock.scheduler.now
    if now is clock.seen:
        clock.reads += 1
        if clock.reads >= MANY_READS:
            clock.reads = 0
            Hooks.on_busy(clock)
    else:
        clock.seen, clock.reads = now, 0
    return clock


def lend(borrow: Borrow) -> None:
    """Lend the clocks."""
    for name, make in _STAND_INS.items():
        if name in _TIME:
            borrow.function(_TIME[name], make)
    _lend_datetime(borrow)
    borrow.when_imported("time_machine", _heed_time_machine)


# `time` and its kin: these are read often, so each does all by itself (HOT)


def _time(original: Function) -> Function:
    host, world, hooks = current_host.get, current_world.get, Hooks

    def time() -> float:
        at = host() or world()
        if at is None or (clock := at.clock) is None or hooks.travels:
            return original()  # type: ignore[no-any-return]
        now = clock.scheduler.now
        if now is clock.seen:
            clock.reads += 1
            if clock.reads >= MANY_READS:
                read(clock)
        else:
            clock.seen, clock.reads = now, 0
        return clock.wall_s + (now - clock.since) * clock.rate

    return time


def _monotonic(original: Function) -> Function:
    host, world, hooks = current_host.get, current_world.get, Hooks

    def monotonic() -> float:
        at = host() or world()
        if at is None or (clock := at.clock) is None or hooks.travels:
            return original()  # type: ignore[no-any-return]
        now = clock.scheduler.now
        if now is clock.seen:
            clock.reads += 1
            if clock.reads >= MANY_READS:
                read(clock)
        else:
            clock.seen, clock.reads = now, 0
        return clock.monotonic_s + (now - clock.since) * clock.rate

    return monotonic


def _time_ns(original: Function) -> Function:
    host, world, hooks = current_host.get, current_world.get, Hooks

    def time_ns() -> int:
        at = host() or world()
        if at is None or (clock := at.clock) is None or hooks.travels:
            return original()  # type: ignore[no-any-return]
        now = clock.scheduler.now
        if now is clock.seen:
            clock.reads += 1
            if clock.reads >= MANY_READS:
                read(clock)
        else:
            clock.seen, clock.reads = now, 0
        return clock.wall_ns + int((now - clock.since) * clock.rate * 1e9 + 0.5)

    return time_ns


def _monotonic_ns(original: Function) -> Function:
    host, world, hooks = current_host.get, current_world.get, Hooks

    def monotonic_ns() -> int:
        at = host() or world()
        if at is None or (clock := at.clock) is None or hooks.travels:
            return original()  # type: ignore[no-any-return]
        now = clock.scheduler.now
        if now is clock.seen:
            clock.reads += 1
            if clock.reads >= MANY_READS:
                read(clock)
        else:
            clock.seen, clock.reads = now, 0
        return int((clock.monotonic_s + (now - clock.since) * clock.rate) * 1e9 + 0.5)

    return monotonic_ns


def _clock_gettime(original: Function) -> Function:
    def clock_gettime(clk_id: int, /) -> float:
        clock = clock_here()
        if clock is None or clk_id not in _CLOCKS:
            return original(clk_id)  # type: ignore[no-any-return]
        kind = _CLOCKS[clk_id]
        return read(clock).monotonic() if kind is None else read(clock).time() + kind

    return clock_gettime


def _clock_gettime_ns(original: Function) -> Function:
    def clock_gettime_ns(clk_id: int, /) -> int:
        clock = clock_here()
        if clock is None or clk_id not in _CLOCKS:
            return original(clk_id)  # type: ignore[no-any-return]
        kind = _CLOCKS[clk_id]
        return read(clock).monotonic_ns() if kind is None else read(clock).time_ns() + kind * _NS

    return clock_gettime_ns


def _set_time(*kinds: type, of_one: float) -> Callable[[Function], Function]:
    """`clock_settime` sets the host's clock, as it would the machine's: that is never touched."""

    def make(original: Function) -> Function:
        def clock_settime(clk_id: int, shown: float, /) -> None:
            clock = clock_here()
            if clock is None or not isinstance(shown, kinds):  # then it raises
                original(clk_id, shown)
            elif clk_id == time.CLOCK_REALTIME and 0 <= shown * of_one <= LAST_S:
                clock.set(shown * of_one - clock.epoch_s - clock.scheduler.now)
            else:
                raise OSError(22, "Invalid argument")

        return clock_settime

    return make


def _seconds_first(original: Function) -> Function:
    """`localtime`, `gmtime`, `ctime`: seconds since 1970; None, or nothing: now."""

    def converted(*args: Any) -> object:  # noqa: ANN401 - whatever it was given
        if not args or (len(args) == 1 and args[0] is None):
            clock = clock_here()
            if clock is not None:
                args = (read(clock).time(),)
        return original(*args)

    return converted


def _tuple_last(position: int) -> Callable[[Function], Function]:
    """`asctime`, `strftime`: a time in parts; without: now."""

    def make(original: Function) -> Function:
        def formatted(*args: Any) -> object:  # noqa: ANN401 - whatever it was given
            if len(args) == position:
                clock = clock_here()
                if clock is not None:
                    args = (*args, _LOCALTIME(read(clock).time()))
            return original(*args)

        return formatted

    return make


_LOCALTIME: Final = _TIME["localtime"]
# What `clock_gettime` is asked for: None is monotonic, a number is that of the calendar and so much
_CLOCKS: Final[dict[int, int | None]] = {
    getattr(time, name): ahead
    for name, ahead in {
        "CLOCK_REALTIME": 0,
        "CLOCK_REALTIME_COARSE": 0,
        "CLOCK_TAI": _TAI_AHEAD_S,
        "CLOCK_MONOTONIC": None,
        "CLOCK_MONOTONIC_COARSE": None,
        "CLOCK_MONOTONIC_RAW": None,
        "CLOCK_BOOTTIME": None,
        "CLOCK_HIGHRES": None,
        "CLOCK_UPTIME": None,
    }.items()
    if hasattr(time, name)
}
_STAND_INS: Final[dict[str, Callable[[Function], Function]]] = {
    "time": _time,
    "monotonic": _monotonic,
    "perf_counter": _monotonic,
    "time_ns": _time_ns,
    "monotonic_ns": _monotonic_ns,
    "perf_counter_ns": _monotonic_ns,
    "clock_gettime": _clock_gettime,
    "clock_gettime_ns": _clock_gettime_ns,
    "clock_settime": _set_time(int, float, of_one=1.0),
    "clock_settime_ns": _set_time(int, of_one=1e-9),
    "localtime": _seconds_first,
    "gmtime": _seconds_first,
    "ctime": _seconds_first,
    "asctime": _tuple_last(0),
    "strftime": _tuple_last(1),
}


# datetime


# That of CPython, also where freezegun has put another one under its name: of `date`s the only
# subclass that is written in C.
_DATE: Final[type[date]] = date.__mro__[-2]
_DATETIME: Final[type[datetime]] = next(
    kind
    for kind in cast("list[type[datetime]]", _DATE.__subclasses__())
    if kind.__module__ == "datetime"
)


def _lend_datetime(borrow: Borrow) -> None:
    """Lend `now` and `utcnow`; `today` asks `time.time` by itself."""
    of_any = _DATETIME.__dict__["fromtimestamp"]  # a subclass may have another
    at_seconds = _DATETIME.fromtimestamp
    utc_at_seconds = _DATETIME.__dict__["utcfromtimestamp"]
    host, world, hooks = current_host.get, current_world.get, Hooks

    def now(original: Any) -> Callable[..., object]:  # noqa: ANN401 - a descriptor
        def now(cls: type[datetime], tz: tzinfo | None = None) -> object:
            at = host() or world()
            if at is None or (clock := at.clock) is None or hooks.travels:
                return original.__get__(None, cls)(tz)
            seconds = read(clock).time()
            if cls is _DATETIME:
                return at_seconds(seconds, tz)
            return of_any.__get__(None, cls)(seconds, tz)

        return now

    def utcnow(original: Any) -> Callable[..., object]:  # noqa: ANN401 - a descriptor
        def utcnow(cls: type[datetime]) -> object:
            clock = clock_here()
            if clock is None:
                return original.__get__(None, cls)()
            return utc_at_seconds.__get__(None, cls)(read(clock).time())

        return utcnow

    borrow.class_method(_DATETIME, "now", now)
    borrow.class_method(_DATETIME, "utcnow", utcnow)


# sleep


def lend_sleep(borrow: Borrow) -> None:
    """Lend `time.sleep`: in a thread of the world it lets the world's time pass."""
    borrow.function(_TIME["sleep"], _sleep)


def _sleep(original: Function) -> Function:
    def sleep(seconds: float, /) -> None:
        here = current_host.get()
        # What is no time at all has its own errors
        if here is None or not isinstance(seconds, int | float) or not 0 <= seconds < _FOREVER_S:
            return original(seconds)  # type: ignore[no-any-return]
        thread = current_thread()
        if thread is not None:
            thread.park_until(deadline=thread.now() + seconds, what=f"time.sleep({seconds!r})")
        elif here.clock is None:
            original(seconds)
        elif get_ident() != here.clock.thread:
            _sleep_outside(original, seconds)
        elif seconds:
            raise BlockedWorldError.of(
                f"time.sleep({seconds!r})", "`await trio.sleep` or `await asyncio.sleep`"
            )
        return None

    return sleep


def _sleep_outside(original: Function, seconds: float) -> None:
    """Sleep in a thread of the machine: in one of `trio.to_thread.run_sync` in virtual time."""
    try:
        trio.from_thread.run(trio.sleep, seconds)
    except RuntimeError as error:
        if "wasn't created by Trio" not in str(error):
            raise
        original(seconds)  # it runs beside the world


# time-machine writes into the definitions of the same functions; it is to find those of CPython


def _heed_time_machine(borrow: Borrow) -> None:
    of_c: Any = sys.modules["_time_machine"]  # its functions
    for name, starts in (("patch", True), ("unpatch", False)):
        if hasattr(of_c, name):
            borrow.attribute(of_c, name, _aside(borrow, getattr(of_c, name), travels=starts))
    travels = _Travels()
    if hasattr(of_c, "patch_if_needed"):  # before 2.18, and it stays there
        first = _aside(borrow, of_c.patch_if_needed, travels=True)
        borrow.attribute(of_c, "patch_if_needed", first)
        travel: Any = sys.modules["time_machine"].travel
        borrow.attribute(travel, "stop", _then(travel.stop, travels.do))
    borrow.exchange(travels)


class _Travels:
    """Knows when a network opens whether time-machine travels already."""

    def do(self) -> None:
        state = vars(sys.modules["time_machine"])
        # Its releases have two names for those who travel
        Hooks.travels = bool(state.get("traveller_stack") or state.get("coordinates_stack"))

    def undo(self) -> None:
        Hooks.travels = False


def _then(function: Function, look: Callable[[], None]) -> Function:
    def stop(*args: object) -> object:
        try:
            return function(*args)
        finally:
            look()

    return stop


def _aside(borrow: Borrow, function: Function, *, travels: bool) -> Function:
    def patched(*args: object) -> object:
        borrow.give_back()
        try:
            return function(*args)
        finally:
            borrow.take()
            Hooks.travels = travels

    return patched
