"""run_asyncio: a program that is asyncio from top to bottom, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, TypeVarTuple

from pystack.core.schedules import Schedule
from pystack.runtime.aio.loop import EventLoop
from pystack.runtime.aio.programs import check_main
from pystack.runtime.hints import explain

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


def run_asyncio(
    main: Callable[[*Ts], Coroutine[Any, Any, T]],
    *args: *Ts,
    seed: int = 0,
    until: str | float | None = None,
    schedule: Schedule = "fifo",
    debug: bool | None = None,
) -> T:
    """Run a program in virtual time, like `asyncio.run`; `seed` decides all ties.

    In it, networks and hosts are awaited as in Trio: `async with pystack.Network() as net`.
    `until`: the virtual time that it gets (60, "60s"); None: as much as it takes. `schedule`: see
    `EventLoop`. `debug`: asyncio's debug mode. Raises what the program raises, DeadlockError, and
    VirtualTimeoutError; ConfigError for an invalid time.
    """
    check_main(main)
    # Before there is a coroutine that nobody would await
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("run_asyncio cannot be called while an event loop runs: await main()")
    make_loop = partial(EventLoop, seed=seed, until=until, schedule=schedule)
    try:
        with asyncio.Runner(debug=debug, loop_factory=make_loop) as runner:
            return runner.run(main(*args))
    except BaseException as error:
        explain(error)
        raise
