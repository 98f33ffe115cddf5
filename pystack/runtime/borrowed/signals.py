"""Signals of programs: on a host, handlers are its program's own, and never the machine's.

`signal.signal` and its kin speak of the program that the code belongs to (`lab/program.py`). What
is sent to the process from there (`os.kill` with its own number, `signal.raise_signal`) reaches
that program alone.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from pystack.runtime.blocking.turns import current_thread
from pystack.runtime.borrowed.clock import BlockedWorldError
from pystack.runtime.borrowed.loan import Borrow
from pystack.runtime.lab.program import Program, current_program

Function = Callable[..., Any]


def lend(borrow: Borrow) -> None:
    """Lend what says and asks what is done about signals, and what sends one to oneself."""
    # `signal.signal` and `signal.getsignal` are functions of Python's that look these two up.
    borrow.attribute(_signal, "signal", _signal_for(_signal.signal))
    borrow.attribute(_signal, "getsignal", _getsignal_for(_signal.getsignal))
    borrow.function(_signal.raise_signal, _raise_for)
    borrow.attribute(os, "kill", _kill_for(os.kill))


def _signal_for(original: Function) -> Function:
    def signal(number: int, handler: Any, /) -> Any:  # noqa: ANN401
        program = current_program.get()
        return original(number, handler) if program is None else program.handle(number, handler)

    return signal


def _getsignal_for(original: Function) -> Function:
    def getsignal(number: int, /) -> Any:  # noqa: ANN401
        program = current_program.get()
        return original(number) if program is None else program.handler(number)

    return getsignal


def _raise_for(original: Function) -> Function:
    def raise_signal(number: int, /) -> None:
        program = current_program.get()
        if program is None:
            original(number)
        else:
            _deliver(program, number)

    return raise_signal


def _kill_for(original: Function) -> Function:
    def kill(pid: int, number: int, /) -> None:
        program = current_program.get()
        if program is None or pid != os.getpid():
            original(pid, number)
        elif number:
            _deliver(program, number)

    return kill


def _deliver(program: Program, number: int) -> None:
    """Send a signal from the program itself: from a thread of it, or in Trio's."""
    thread = current_thread()
    if thread is None:
        program.deliver(number)
    else:
        program.deliver(number, thread.call)


def lend_timers(borrow: Borrow) -> None:
    """Lend the system's timers, which go by the machine's time and end the whole process."""
    for name in ("alarm", "setitimer"):
        if hasattr(_signal, name):
            borrow.function(getattr(_signal, name), partial(_timing, name))


def _timing(name: str, original: Function) -> Function:
    def set_timer(*args: Any) -> Any:  # noqa: ANN401
        program = current_program.get()
        seconds = args[-1] if name == "alarm" or len(args) < 2 else args[1]  # or none at all
        if program is None or not seconds:
            return original(*args)
        raise BlockedWorldError(
            f"signal.{name} in {program.name} would send a signal to the whole process, by the "
            "machine's time: use threading.Timer in a thread, or trio.move_on_after and "
            "asyncio.timeout elsewhere"
        )

    return set_timer
