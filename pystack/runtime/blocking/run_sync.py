"""`host.run_sync`: a blocking program on a host, which is a process with threads of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import trio

from pystack.runtime.blocking.turns import (
    ProgramEnded,
    WorldThread,
    start_machine_thread,
    turns_of,
)

if TYPE_CHECKING:
    from pystack.runtime.host import Host

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def run_sync(host: Host, fn: Callable[[*Ts], T], args: tuple[*Ts]) -> T:
    """Run a blocking program in a thread of the world; return or raise what it does."""
    results: list[T] = []
    errors: list[BaseException] = []

    def main() -> None:
        try:
            results.append(fn(*args))
        except BaseException as error:  # whatever it is, the caller is to have it
            errors.append(error)

    name = f"{host.name}: {getattr(fn, '__qualname__', fn)}"
    thread = WorldThread(turns_of(host.driver), host, name, main)
    thread.reap = start_machine_thread(name, thread.run)
    await thread.attend()
    if results:
        return results[0]
    error = errors[0] if errors else None
    if error is None or comes_of_the_end(error):
        await trio.lowlevel.checkpoint_if_cancelled()  # it has ended since it was to
    raise error or ProgramEnded(name)


def comes_of_the_end(error: BaseException) -> bool:
    """Tell whether a program met with an error only since it had to end, as its own clean-up."""
    before: BaseException | None = error
    while before is not None:
        if isinstance(before, ProgramEnded):
            return True
        before = before.__context__
    return False
