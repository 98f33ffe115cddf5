"""EventLoop: asyncio's own event loop and transports, over the sockets of hosts.

All that asyncio promises is CPython's: tasks, transports, streams, TLS, and the order of callbacks.
Its own here are what it waits by (`hub.py`: a Trio task), its clock, which is the world's, and how
it finds out what is ready (`selector.py`).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import signal
import sys
from asyncio import events
from asyncio.selector_events import BaseSelectorEventLoop
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import copy_context
from heapq import heapify, heappop
from math import inf, nextafter
from typing import TYPE_CHECKING, Any, Final, TypeVarTuple

import sniffio
import trio

from pystack.core.rng import component_rng
from pystack.core.schedules import Schedule, check_schedule
from pystack.runtime.aio import bridge, tasks
from pystack.runtime.aio.machine import MachineDescriptors
from pystack.runtime.aio.selector import Selector, number_of
from pystack.runtime.current import current_host
from pystack.runtime.lab.program import Program, current_program
from pystack.runtime.names import resolver
from pystack.runtime.socket import descriptors, seal
from pystack.runtime.socket.seal import SealedError

if TYPE_CHECKING:
    from pystack.core.rng import Random
    from pystack.runtime.aio.guest import Guest
    from pystack.runtime.aio.hub import Hub
    from pystack.runtime.borrowed.calendar import WorldClock
    from pystack.runtime.driver.driver import Driver
    from pystack.runtime.socket.descriptors import Descriptor

Ts = TypeVarTuple("Ts")

# As asyncio: when so many timers, and such a share of them, have been cancelled, they are dropped.
_MANY_TIMERS: Final = 100
_CANCELLED_SHARE: Final = 0.5


class EventLoop(BaseSelectorEventLoop):
    """An event loop in the world's time, whose sockets are those of hosts.

    `pystack.EventLoop` is a `loop_factory` for `asyncio.Runner`, and so for all that takes one.
    """

    # What CPython's own classes keep; the type checker knows of none
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int
    _stopping: bool
    _debug: bool
    _thread_id: int | None
    _selector: Any
    _asyncgen_firstiter_hook: Any
    _asyncgen_finalizer_hook: Any
    _current_handle: asyncio.Handle | None
    _process_events: Any
    _check_closed: Any
    _check_running: Any
    _add_callback_signalsafe: Any
    _closed: bool

    def __init__(
        self,
        *,
        seed: int = 0,
        until: str | float | None = None,
        real_time: bool = False,
        schedule: Schedule = "fifo",
    ) -> None:
        """`seed`, `until`: as for `pystack.run`, where the loop is not run inside Trio.

        `real_time`: in the machine's time then, which `seed` and `until` are not for. `schedule`:
        "fifo", which is asyncio's own order of ready tasks, or "random", drawn from the seed: finds
        races. Raises ConfigError.
        """
        self._closed = True  # for its destructor, where this raises
        check_schedule(schedule)
        self.hub: Hub | None = None  # None: it does not run
        self.driver: Driver | None = None  # None: it has not run
        self.host_name = ""  # of the host that all its programs are on; empty: of several
        self.clock: WorldClock | None = None  # that of its host; None: the world's
        # Told of DeadlockError and the like outside of Trio; True: that is seen to. None: nobody is
        self.on_error: Callable[[BaseException], bool] | None = None
        # What was done before about signals that it handles, by the program that they are for
        self._signal_handlers: dict[tuple[Program | None, int], Any] = {}
        self._machine = MachineDescriptors(self)
        super().__init__(Selector(self._find, self._wake))  # type: ignore[arg-type]
        self._guest: Guest | None = None  # None: it has not run outside of Trio
        self._guest_words = seed, until, real_time
        self._chance: Random | None = None  # None: first in, first out
        if schedule == "random":
            self._chance = component_rng(seed, "asyncio/schedule")

    # time, and whoever wakes it

    def time(self) -> float:
        """Return the world's time in seconds: what `time.monotonic` shows on its host."""
        driver = self.driver
        if driver is None:
            return self._own_guest().now()
        return driver.now() if self.clock is None else self.clock.monotonic()

    def _find(self, fd: int) -> Descriptor | None:
        return None if self.driver is None else descriptors.find(fd, self.driver)

    def _wake(self) -> None:
        if self.hub is not None:
            self.hub.wake()

    def _write_to_self(self) -> None:
        """Wake it: something was added by somebody outside, maybe in another thread."""
        if self.hub is not None:
            self.hub.wake_from_thread()

    def _make_self_pipe(self) -> None:
        """It needs none: its hub wakes it."""

    def _close_self_pipe(self) -> None:
        """There is none."""

    # turns

    @property
    def is_ready(self) -> bool:
        """Tell whether there is something to do now."""
        return bool(self._ready or self._selector.has_candidates)

    def next_timer(self) -> float | None:
        """Return when the next timer is due, in the world's time; None: there is none."""
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:
            self._timer_cancelled_count -= 1
            heappop(scheduled)._scheduled = False  # type: ignore[attr-defined]
        if not scheduled:
            return None
        when = scheduled[0].when()
        if self.clock is None:
            return when
        # A clock that drifts: rounded, it may show a little less then.
        return max(self.clock.instant_of(when), nextafter(self.clock.scheduler.now, inf))

    def turn(self, rounds: int) -> bool:
        """Run what is ready, and what becomes so, in at most so many rounds; True: it is to stop.

        Raises what comes out of a callback that asyncio does not catch: KeyboardInterrupt,
        SystemExit.
        """
        sniffed = sniffio.thread_local
        library, sniffed.name = sniffed.name, "asyncio"
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(self._asyncgen_firstiter_hook, self._asyncgen_finalizer_hook)
        events._set_running_loop(self)
        depth = sys.get_coroutine_origin_tracking_depth()
        if self._debug:
            sys.set_coroutine_origin_tracking_depth(10)
        try:
            while True:
                self._run_round()
                if self._stopping:
                    self._stopping = False
                    return True
                rounds -= 1
                if rounds <= 0 or not (self._ready or self._selector.has_candidates):
                    return False
        finally:
            events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)
            sys.set_coroutine_origin_tracking_depth(depth)
            sniffed.name = library

    def _run_round(self) -> None:
        """One round, as BaseEventLoop has it: what is ready, timers, and then all of it once."""
        selector, ready, scheduled = self._selector, self._ready, self._scheduled
        if selector.has_candidates:
            self._process_events(selector.select(0))
        if scheduled:
            if len(scheduled) > _MANY_TIMERS:
                self._forget_cancelled_timers()
            now = self.time()
            while scheduled and scheduled[0].when() <= now:
                timer = heappop(scheduled)
                timer._scheduled = False  # type: ignore[attr-defined]
                ready.append(timer)
        if self._chance is not None and len(ready) > 1:
            self._shuffle(self._chance)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if self._debug:
                self._current_handle = handle
                try:
                    handle._run()
                finally:
                    self._current_handle = None
            else:
                handle._run()

    def _forget_cancelled_timers(self) -> None:
        scheduled = self._scheduled
        if self._timer_cancelled_count > _CANCELLED_SHARE * len(scheduled):
            kept = []
            for handle in scheduled:
                if handle._cancelled:
                    handle._scheduled = False  # type: ignore[attr-defined]
                else:
                    kept.append(handle)
            heapify(kept)
            scheduled[:] = kept
            self._timer_cancelled_count = 0

    def _shuffle(self, chance: Random) -> None:
        """Change the order of the steps of tasks among themselves; all else stays where it is."""
        ready = self._ready
        places = [place for place, handle in enumerate(ready) if tasks.is_step(handle)]
        if len(places) > 1:
            steps = [ready[place] for place in places]
            chance.shuffle(steps)
            for place, handle in zip(places, steps, strict=True):
                ready[place] = handle

    def waits(self) -> Iterable[str]:
        """Tell of each task that waits, and where, for a message."""
        return tasks.waits(self)

    def runs(self) -> str:
        """Tell what runs now, for a message from another thread."""
        task = asyncio.current_task(self)
        return "a callback of asyncio" if task is None else tasks.name_of(task)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Tell of an error that nobody waits for; of none that is nothing but a host's end."""
        error = context.get("exception")
        if error is None or not self._comes_of_the_end(error, context):
            super().call_exception_handler(context)

    def _comes_of_the_end(self, error: BaseException, context: dict[str, Any]) -> bool:
        host = current_host.get()
        if host is None and "handle" in context:
            host = context["handle"]._context.get(current_host)
        if host is not None:
            return host.programs.comes_of_the_end(error)
        # Of a task of some host's, and Python 3.11 does not tell whose
        return isinstance(error, OSError) and error.errno == errno.ENETDOWN

    # outside of Trio

    def run_forever(self) -> None:
        """Run until `stop`, outside of Trio: the world goes on for as long."""
        self._check_closed()
        self._check_running()
        self._own_guest().run_forever()

    def _own_guest(self) -> Guest:
        if self._guest is None:
            from pystack.runtime.aio.guest import Guest

            self._check_closed()
            seed, until, real_time = self._guest_words
            self._guest = Guest(self, seed=seed, until=until, real_time=real_time)
        return self._guest

    def close(self) -> None:
        """End the loop for good; and, outside of Trio, the world that it ran."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop")
        for (program, sig), before in self._signal_handlers.items():
            if program is None:
                signal.signal(sig, before)
        self._signal_handlers.clear()
        super().close()
        if self._guest is not None:
            self._guest.close()

    # names

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - asyncio's word
        proto: int = 0,
        flags: int = 0,
    ) -> Any:  # noqa: ANN401
        """Ask the host that the caller is on. Raises `socket.gaierror`."""
        here = current_host.get()
        if here is None:
            # Here it is known who asks; the thread that would look it up knows of no program.
            seal.check_look_up(host, port, family, type, proto, flags)
            return await super().getaddrinfo(
                host, port, family=family, type=type, proto=proto, flags=flags
            )
        await asyncio.sleep(0)  # as where a thread asks: never at once
        asked = here, host, port, family, type, proto, flags
        found = resolver.look_up_at_once(*asked)
        return await self.in_trio(resolver.look_up, *asked) if found is None else found

    async def getnameinfo(
        self,
        sockaddr: Any,  # noqa: ANN401
        flags: int = 0,
    ) -> tuple[str, str]:
        """Ask the host that the caller is on. Raises `socket.gaierror`."""
        here = current_host.get()
        if here is None:
            return await super().getnameinfo(sockaddr, flags)
        await asyncio.sleep(0)
        name = resolver.name_at_once(here, sockaddr, flags)
        if name is None:
            name = await self.in_trio(resolver.name_of, here, sockaddr, flags)
        return name

    # what runs elsewhere

    async def in_trio(self, async_fn: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401
        """Run a Trio function from a task of this loop, in Trio, and return what it does."""
        return await bridge.in_trio(self, async_fn, *args)

    def run_in_executor(  # type: ignore[override]
        self,
        executor: Any,  # noqa: ANN401
        func: Callable[..., Any],
        *args: Any,  # noqa: ANN401
    ) -> asyncio.Future[Any]:
        """Run a function in a thread: of the host, in the world's time; on none, the machine's."""
        if current_host.get() is not None:
            return super().run_in_executor(executor, func, *args)
        call: Callable[[], object] = functools.partial(func, *args)
        if executor is not None:
            call = functools.partial(_result_of, executor, copy_context().run, call)
        # The world stands still until it is done, as with Trio's threads, or nobody waits for it.
        run = functools.partial(trio.to_thread.run_sync, abandon_on_cancel=True)
        return self.create_task(self.in_trio(run, call))

    # descriptors of the machine

    def _add_reader(self, fd: Any, callback: Callable[..., object], *args: object) -> Any:  # noqa: ANN401
        if self._is_the_machines(fd):
            return self._machine.add(fd, "r", asyncio.Handle(callback, args, self, None))
        return super()._add_reader(fd, callback, *args)  # type: ignore[misc]

    def _add_writer(self, fd: Any, callback: Callable[..., object], *args: object) -> Any:  # noqa: ANN401
        if self._is_the_machines(fd):
            return self._machine.add(fd, "w", asyncio.Handle(callback, args, self, None))
        return super()._add_writer(fd, callback, *args)  # type: ignore[misc]

    def _remove_reader(self, fd: Any) -> bool:  # noqa: ANN401
        if self._is_the_machines(fd):
            return self._machine.remove(fd, "r")
        removed: bool = super()._remove_reader(fd)  # type: ignore[misc]
        return removed

    def _remove_writer(self, fd: Any) -> bool:  # noqa: ANN401
        if self._is_the_machines(fd):
            return self._machine.remove(fd, "w")
        removed: bool = super()._remove_writer(fd)  # type: ignore[misc]
        return removed

    def call_handle(self, handle: asyncio.Handle) -> None:
        """Call it in the next round."""
        self._ready.append(handle)

    def _is_the_machines(self, fd: Any) -> bool:  # noqa: ANN401
        return 0 <= number_of(fd) < descriptors.FIRST

    # signals

    def add_signal_handler(self, sig: int, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call a function when the program gets a signal (`host.send_signal`).

        On no host it is the machine's signal. Raises ValueError, RuntimeError, as asyncio.
        """
        if asyncio.iscoroutine(callback) or asyncio.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_closed()
        handle = asyncio.Handle(callback, args, self, None)

        def deliver(_number: int, _frame: object) -> None:
            self._add_callback_signalsafe(handle)

        try:
            before = signal.signal(sig, deliver)
        except OSError as error:
            raise RuntimeError(f"sig {sig} cannot be caught") from error
        self._signal_handlers.setdefault(self._place_of(sig), before)

    def remove_signal_handler(self, sig: int) -> bool:
        """Do again about a signal what was done before; False: it was not handled."""
        place = self._place_of(sig)
        if place not in self._signal_handlers:
            return False
        signal.signal(sig, self._signal_handlers.pop(place))
        return True

    def _place_of(self, sig: int) -> tuple[Program | None, int]:
        return current_program.get(), sig

    # what is refused

    async def subprocess_exec(self, *args: object, **words: object) -> Any:  # noqa: ANN401
        """Refuse it. Raises SealedError."""
        raise SealedError(_NO_PROCESS)

    async def subprocess_shell(self, *args: object, **words: object) -> Any:  # noqa: ANN401
        """Refuse it. Raises SealedError."""
        raise SealedError(_NO_PROCESS)

    async def create_unix_connection(self, *args: object, **words: object) -> Any:  # noqa: ANN401
        """Refuse it. Raises SealedError."""
        raise SealedError(_NO_UNIX)

    async def create_unix_server(self, *args: object, **words: object) -> Any:  # noqa: ANN401
        """Refuse it. Raises SealedError."""
        raise SealedError(_NO_UNIX)

    async def connect_read_pipe(self, protocol_factory: Any, pipe: Any) -> Any:  # noqa: ANN401
        """Refuse it. Raises SealedError."""
        raise SealedError(_NO_PIPE)

    async def connect_write_pipe(self, protocol_factory: Any, pipe: Any) -> Any:  # noqa: ANN401
        """Refuse it. Raises SealedError."""
        raise SealedError(_NO_PIPE)


def _result_of(executor: Any, run: Any, call: Callable[[], object]) -> object:  # noqa: ANN401
    return executor.submit(run, call).result()


_NO_PROCESS: Final = (
    "a process started by asyncio would be in the machine's real network, not in the emulated one. "
    "Real programs join in real time: see net.namespace(). If it needs no network, start it "
    "outside of the world with subprocess.run, in `with pystack.unsealed(): ...`."
)
_NO_UNIX: Final = (
    "a Unix socket of the machine cannot be waited for in the world of an emulated network, and "
    "hosts have none: let the programs talk TCP over 127.0.0.1 of their host."
)
_NO_PIPE: Final = (
    "a pipe of the machine cannot be waited for in the world of an emulated network: read it in a "
    "thread (asyncio.to_thread), or let the programs talk TCP over 127.0.0.1 of their host."
)
