"""Notes on errors that say nothing of us, though it is us whom they are about (PEP 678)."""

from inspect import iscoroutine
from traceback import walk_tb
from typing import Final

from pystack.core.errors import ConfigError, PystackError

_ASYNCIO: Final = (
    "pystack: this is a program of asyncio, and was run as one of Trio's. "
    "`await host.run_asyncio(main, ...)` runs it on a host, `await host.start_asyncio(main, ...)` "
    "starts it; pystack.run_asyncio(main) is asyncio from top to bottom."
)
_TRIO: Final = (
    "pystack: this is a program of Trio's, and was run as one of asyncio. "
    "`await host.run(async_fn, ...)` runs it on a host, from asyncio too."
)
_REPORTS: Final = (
    "pystack: `host.start` is for programs that tell when they have started "
    "(task_status.started), as with `nursery.start`. `host.start_soon` starts any, "
    "`await host.start_asyncio(main, ...)` one of asyncio, "
    "`await host.start_sync(function, ...)` one that blocks."
)
# What asyncio says where no loop of its own runs, and Trio where it is given one of its futures
_SIGNS_OF_ASYNCIO: Final = (
    "no running event loop",
    "no current event loop",
    "framework like asyncio",
)
# What asyncio says where it is given what Trio waits by
_SIGNS_OF_TRIO: Final = ("Task got bad yield: WaitTaskRescheduled", "CancelShieldedCheckpoint")


def check_called_later(async_fn: object, call: str) -> None:
    """Raise ConfigError where a program was called rather than given."""
    if iscoroutine(async_fn):
        async_fn.close()  # it would warn that nobody awaited it, which is beside the point
        raise ConfigError(
            f"a program is given as its function and arguments, {call}(main, 1), "
            f"not as {async_fn!r}"
        )


def explain(error: BaseException) -> None:
    """Add to an error, or to those in a group, what is to be known here."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            explain(inner)
    elif (note := _note_on(error)) and note not in getattr(error, "__notes__", ()):
        error.add_note(note)


def _note_on(error: BaseException) -> str:
    """Return what is to be known; empty: nothing."""
    text = str(error)
    if isinstance(error, RuntimeError | TypeError):
        if any(sign in text for sign in _SIGNS_OF_ASYNCIO):
            return _ASYNCIO
        if any(sign in text for sign in _SIGNS_OF_TRIO):
            return _TRIO
        if text.endswith("got an unexpected keyword argument 'task_status'"):
            return _REPORTS
    # `asyncio.run` in a task of Trio's: a loop of CPython's has met with what would stop the world
    if isinstance(error, OSError | PystackError) and any(
        frame.f_code.co_name == "_run_once"
        and frame.f_globals.get("__name__") == "asyncio.base_events"
        for frame, _line in walk_tb(error.__traceback__)
    ):
        return _ASYNCIO
    return ""
