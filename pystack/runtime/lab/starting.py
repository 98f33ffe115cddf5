"""Starting a program that does not tell when it has started: it is seen to listen, or to wait.

So are programs of asyncio and those that block; those of Trio say it (`task_status.started`). Who
has started one goes on when the host hears on a port, or when the program waits for the first time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio

from pystack.core.scheduler import Handle, no_upkeep
from pystack.runtime.lab.program import Program

if TYPE_CHECKING:
    from pystack.runtime.bare_host import BareHost

# How long a program may take until it listens: a server that looks at its clock ten times a second,
# as uvicorn does, would keep a test going for ever, and of one that waits at another port nobody
# would be told.
_PATIENCE_S: Final = 3600.0


class Start:
    """What is looked at until whoever has started a program may go on."""

    def __init__(
        self,
        host: BareHost,
        port: int | None,
        ready: Callable[[], object],
        late: Callable[[], object],
    ) -> None:
        """`port`: that it is to listen on; None: it is to wait. `late`: told when it never did."""
        self._host, self._port = host, port
        self._ready, self._late = ready, late
        self._until = host.driver.scheduler.now + _PATIENCE_S
        self._is_closed = False
        self._alarm: Handle | None = None  # None: it waits for no port
        if port is not None:
            scheduler = host.driver.scheduler
            self._alarm = scheduler.call_at(self._until, self._goes_off, no_upkeep)

    def _goes_off(self, _now: float) -> None:
        self.look()

    def close(self) -> None:
        """Look no more: the program is ready, or over."""
        self._is_closed = True
        if self._alarm is not None:
            self._alarm.cancel()

    def look(self) -> bool:
        """Look, where the program can only wait. True: there is nothing to be looked for."""
        if self._is_closed:
            return True
        if self._port is None or listens(self._host, self._port):
            told = self._ready
        elif self._host.driver.scheduler.now < self._until:
            return False
        else:
            told = self._late
        self.close()
        told()
        return True


async def start_watched(
    host: BareHost,
    function: object,
    port: int | None,
    run: Callable[[Program, Start], Awaitable[object]],
) -> Program:
    """Start a program in the network's nursery, and wait until it is ready; from Trio.

    `run`: runs it, and has `Start.look` called whenever it can only wait, until that returns True.
    """
    programs = host.programs

    async def started(*, task_status: trio.TaskStatus[Program]) -> None:
        is_ready = False
        lateness: RuntimeError | None = None

        def ready() -> None:
            nonlocal is_ready
            is_ready = True
            task_status.started(program)

        def late() -> None:
            nonlocal lateness
            assert port is not None
            # Before its clean-up closes what it does listen on
            lateness = never_listened(host, program.name, port, is_late=True)
            program.cancel()

        with programs.on_host(function) as program:
            start = Start(host, port, ready, late)
            try:
                await program.living(run(program, start))
            finally:
                start.close()
        if not is_ready:
            if program.ended_by is not None or not host.stack.powered:
                raise programs.broken(program)
            if port is not None:
                raise lateness or never_listened(host, program.name, port, is_late=False)
            ready()

    programs.check_power()
    result: Program = await programs.shared().start(started, name=programs.name_of(function))
    return result


def listens(host: BareHost, port: int) -> bool:
    """Tell whether a host hears on a port, of TCP or of UDP."""
    return port in host.stack.tcp.listeners.by_port or port in host.stack.udp.sockets


def never_listened(host: BareHost, name: str, port: int | None, *, is_late: bool) -> RuntimeError:
    """Return the error of a program that was to listen: has it ended, or is it late?"""
    tcp, udp = host.stack.tcp.listeners.by_port, host.stack.udp.sockets
    heard = [f"TCP port {number}" for number in tcp] + [f"UDP port {number}" for number in udp]
    what = f"did not listen on port {port}"
    if not is_late:
        return RuntimeError(f"{name} has ended, and {what}")
    instead = f"; {host.name} listens on {', '.join(heard)}" if heard else ""
    return RuntimeError(f"{name} {what} within {_PATIENCE_S:,.0f} s{instead}")
